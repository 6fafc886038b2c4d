//! Plans, what was used of them, and what happens when nothing is left.

use std::time::{SystemTime, UNIX_EPOCH};

use backend_mock::{Provisioned, Running};
use serde_json::{Value, json};

use crate::{
    client::{get, get_as, post, post_as, request, send, start},
    command_line,
    persistence::Folder,
};

const CREDENTIALS: &str = "/api/worker/credentials";

async fn tell(server: &Running, webhook_id: &str, event: &Value) -> u16 {
    let header = format!("webhook-id: {webhook_id}");
    let body = event.to_string();
    let request = request("POST", "/api/webhook/upload", &[&header], body.as_bytes());
    send(server.address, &request).await.unwrap().status
}

fn event(user_id: &str, file_id: &str, size: i64) -> Value {
    json!({
        "userId": user_id, "fileName": "a.txt", "messageId": 7, "fileId": file_id, "size": size,
        "mimeType": "text/plain",
    })
}

async fn usage(server: &Running, token: &str) -> Value {
    let reply = get_as(server, "/api/usage", token).await;
    assert_eq!(reply.status, 200);
    reply.json()
}

/// A user of the plan `free`, on a file that the command line can open.
async fn start_free(folder: &Folder) -> (Running, Provisioned) {
    let (server, demo) = folder.start().await;
    command_line::json(folder, "users set-plan demo@example.com free").await;
    (server, demo)
}

/// Counts so much as used today, as if so many events had come.
async fn use_up(folder: &Folder, user_id: &str, uploads: i64, bytes: i64) {
    use sqlx::Connection;
    sqlx::any::install_default_drivers();
    let url = match folder.database_variable() {
        Some((_, url)) => url.to_owned(),
        None => format!("sqlite://{}", folder.data().display()),
    };
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut connection = sqlx::AnyConnection::connect(&url).await.unwrap();
    sqlx::query("INSERT INTO usage_days (user_id, day, uploads, bytes) VALUES ($1, $2, $3, $4)")
        .bind(user_id)
        .bind(i64::try_from(since_1970.as_secs() / 86_400).unwrap())
        .bind(uploads)
        .bind(bytes)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn an_event_counts_once_and_makes_the_files_row() {
    let (server, demo) = start().await;
    let before = usage(&server, &demo.auth_token).await;
    assert_eq!(before["days"], json!([]));
    assert_eq!(before["total"], json!({ "uploads": 0, "bytes": 0 }));
    for _ in 0..3 {
        let event = event(&demo.user_id, "F1", 5);
        assert_eq!(tell(&server, "one", &event).await, 200);
    }
    // Without the header, the event's own id tells that it came before.
    let mut second = event(&demo.user_id, "F2", 7);
    second["id"] = json!("two");
    for _ in 0..2 {
        let reply = post(&server, "/api/webhook/upload", &second.to_string()).await;
        assert_eq!(reply.json(), json!({ "success": true }));
    }
    // The browser's own word of it is no second row, and counts nothing.
    let told = r#"{"fileName":"a.txt","messageId":7,"fileId":"F1"}"#;
    let reply = post_as(&server, "/api/files", &demo.auth_token, told).await;
    assert_eq!(reply.status, 201);
    assert_eq!(reply.json()["size"], 5);

    let after = usage(&server, &demo.auth_token).await;
    let sums = json!({ "uploads": 2, "bytes": 12 });
    assert_eq!(after["total"], sums);
    assert_eq!(after["month"], sums);
    assert_eq!(after["plan"], "enterprise");
    assert_eq!(after["quota"]["uploads_left"], Value::Null);
    assert_eq!(after["days"].as_array().unwrap().len(), 1);
    assert_eq!(after["days"][0]["uploads"], 2);
    assert_eq!(after["days"][0]["bytes"], 12);
    let date = after["days"][0]["date"].as_str().unwrap();
    let renews = after["quota"]["renews_at"].as_str().unwrap();
    assert!(date.len() == 10 && date < renews, "{date} {renews}");
    let files = get_as(&server, "/api/files", &demo.auth_token).await.json();
    assert_eq!(files.as_array().unwrap().len(), 2);
    server.shutdown().await;
}

#[tokio::test]
async fn an_event_of_nobody_counts_for_nobody() {
    let (server, demo) = start().await;
    assert_eq!(tell(&server, "one", &event("nobody", "F", 5)).await, 200);
    let listed = get(&server, "/_control/notifications").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let usage = usage(&server, &demo.auth_token).await;
    assert_eq!(usage["total"]["uploads"], 0);
    server.shutdown().await;
}

#[tokio::test]
async fn a_size_that_no_file_has_is_refused_and_nothing_is_kept() {
    let (server, demo) = start().await;
    for size in [-1, (1 << 53) + 1] {
        let status = tell(&server, "one", &event(&demo.user_id, "F", size)).await;
        assert_eq!(status, 422);
        let told = json!({ "fileName": "a", "messageId": 7, "fileId": "F", "size": size });
        let reply = post_as(&server, "/api/files", &demo.auth_token, &told.to_string()).await;
        assert_eq!(reply.detail(), (422, "size: must be 0 to 2^53".to_owned()));
    }
    let listed = get(&server, "/_control/notifications").await.json();
    assert_eq!(listed, json!([]));
    for days in ["0", "367", "x"] {
        let path = format!("/api/usage?days={days}");
        let reply = get_as(&server, &path, &demo.auth_token).await;
        assert_eq!(reply.status, 422, "{days}");
    }
    assert_eq!(get(&server, "/api/usage").await.status, 401);
    server.shutdown().await;
}

#[tokio::test]
async fn a_user_with_nothing_left_borrows_nothing_until_the_plan_is_a_larger_one() {
    let folder = Folder::new();
    let (server, demo) = start_free(&folder).await;
    use_up(&folder, &demo.user_id, 4999, 0).await;
    let config = async || {
        let path = "/api/auth/client-config";
        get_as(&server, path, &demo.auth_token).await.json()
    };
    assert_eq!(config().await["plan"], "free");
    assert_eq!(config().await["quota"]["uploads_left"], 1);
    let reply = get_as(&server, CREDENTIALS, &demo.auth_token).await;
    assert_eq!(reply.status, 200);

    let last = event(&demo.user_id, "F", 5);
    assert_eq!(tell(&server, "one", &last).await, 200);
    let config_after = config().await;
    let quota = &config_after["quota"];
    assert_eq!(quota["uploads_left"], 0);
    let renews = quota["renews_at"].as_str().unwrap();
    let (status, detail) = get_as(&server, CREDENTIALS, &demo.auth_token)
        .await
        .detail();
    assert_eq!(status, 403);
    let expected =
        format!("Quota used up: the plan free allows 5000 uploads a month. It renews at {renews}.");
    assert_eq!(detail, expected);
    // An upload under way when the last was used is told all the same.
    let late = event(&demo.user_id, "G", 5);
    assert_eq!(tell(&server, "two", &late).await, 200);

    command_line::json(&folder, "users set-plan demo@example.com pro").await;
    let reply = get_as(&server, CREDENTIALS, &demo.auth_token).await;
    assert_eq!(reply.status, 200);
    let refused = command_line::run(&folder, "users set-plan demo@example.com huge").await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("enterprise, free, pro"), "{said}");
    server.shutdown().await;
    let audit = command_line::json(&folder, "audit tail -n 100").await;
    let rows = audit.as_array().unwrap().iter();
    let set: Vec<_> = rows.filter(|row| row["action"] == "plan.set").collect();
    assert_eq!(set.len(), 2);
    assert_eq!(set[1]["target"], "pro");
    assert_eq!(set[1]["user_id"], demo.user_id);
    assert_eq!(set[1]["actor"], "cli");
}

#[tokio::test]
async fn bytes_are_used_up_as_uploads_are() {
    let folder = Folder::new();
    let (server, demo) = start_free(&folder).await;
    use_up(&folder, &demo.user_id, 1, (100 << 30) - 1).await;
    let reply = get_as(&server, CREDENTIALS, &demo.auth_token).await;
    assert_eq!(reply.status, 200);
    let last = event(&demo.user_id, "F", 2);
    assert_eq!(tell(&server, "one", &last).await, 200);
    let (status, detail) = get_as(&server, CREDENTIALS, &demo.auth_token)
        .await
        .detail();
    assert_eq!(status, 403);
    assert!(
        detail.contains("allows 107374182400 bytes a month"),
        "{detail}"
    );
    server.shutdown().await;
}
