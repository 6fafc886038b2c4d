//! The test control.

use std::time::{Duration, Instant};

use backend_mock::{Options, Server};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::client::{
    form, get, get_as, messages, options, post, request, send, send_document, start, stats, upload,
};

const CREDENTIALS: &str = "/api/worker/credentials";

pub(crate) async fn order(server: &backend_mock::Running, faults: Value) {
    let reply = post(server, "/_control/faults", &faults.to_string()).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn without_the_flag_there_is_no_control() {
    let server = Server::start(Options {
        control: false,
        ..options()
    })
    .await
    .unwrap();
    for path in ["stats", "messages", "notifications", "files/x"] {
        assert_eq!(get(&server, &format!("/_control/{path}")).await.status, 404);
    }
    for path in ["faults", "reset", "users"] {
        let reply = post(&server, &format!("/_control/{path}"), "[]").await;
        assert_eq!(reply.status, 404);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_fault_answers_in_place_of_the_work() {
    let (server, demo) = start().await;
    order(
        &server,
        json!([{"on": "telegram", "status": 429, "body": "{\"ok\":false}",
                "headers": {"Retry-After": "7", "X-Test": "a"}}]),
    )
    .await;
    // Long enough that a server that does not read it would reset the connection.
    let content = vec![b'x'; 8 << 20];
    let reply = upload(&server, &demo, "a.bin", &content).await.unwrap();
    assert_eq!(reply.status, 429);
    assert_eq!(reply.body, b"{\"ok\":false}");
    assert!(reply.has_header("Retry-After: 7"));
    assert!(reply.has_header("X-Test: a"));
    assert!(reply.has_header("Content-Type: application/json"));
    assert!(messages(&server).await.is_empty());
    assert_eq!(stats(&server).await, (0, 1, 0));
    // Once, when nothing else is said.
    let reply = upload(&server, &demo, "a.bin", b"x").await.unwrap();
    assert_eq!(reply.status, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn a_fault_may_answer_ten_megabytes_of_anything() {
    let (server, demo) = start().await;
    let body = "<html>".repeat((10 << 20) / 6);
    order(
        &server,
        json!([{"on": "credentials", "status": 502, "body": body,
                "headers": {"Content-Type": "text/html"}}]),
    )
    .await;
    let reply = get_as(&server, CREDENTIALS, &demo.auth_token).await;
    assert_eq!(reply.status, 502);
    assert_eq!(reply.body.len(), body.len());
    assert!(reply.has_header("Content-Type: text/html"));
    server.shutdown().await;
}

#[tokio::test]
async fn a_connection_dropped_before_the_work_leaves_no_message() {
    let (server, demo) = start().await;
    order(&server, json!([{"on": "telegram", "drop": "before"}])).await;
    let reply = upload(&server, &demo, "a.txt", b"x").await;
    assert!(reply.is_none());
    assert!(messages(&server).await.is_empty());
    assert_eq!(stats(&server).await, (0, 1, 0));
    server.shutdown().await;
}

#[tokio::test]
async fn a_connection_dropped_after_the_work_leaves_the_message() {
    let (server, demo) = start().await;
    order(&server, json!([{"on": "telegram", "drop": "after"}])).await;
    let reply = upload(&server, &demo, "a.txt", b"x").await;
    assert!(reply.is_none());
    assert_eq!(messages(&server).await.len(), 1);
    assert_eq!(stats(&server).await, (0, 1, 0));
    server.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_is_kept_alive_can_be_dropped_too() {
    let (server, demo) = start().await;
    order(
        &server,
        json!([{"on": "credentials", "delay_ms": 1}, {"on": "credentials", "drop": "before"}]),
    )
    .await;
    let head = format!(
        "GET {CREDENTIALS} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {}\r\n\r\n",
        demo.auth_token
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = vec![0; 4096];
    let read = stream.read(&mut first).await.unwrap();
    assert!(first[..read].starts_with(b"HTTP/1.1 200 OK"));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest).await;
    assert!(ended.is_err(), "the end is a reset");
    assert!(rest.is_empty());
    assert_eq!(stats(&server).await, (2, 0, 0));
    server.shutdown().await;
}

#[tokio::test]
async fn a_notification_dropped_after_the_work_is_listed() {
    let (server, demo) = start().await;
    let body = json!({"id": "1", "userId": demo.user_id, "fileName": "a", "messageId": 1,
                      "fileId": "F", "size": 1, "mimeType": "a/b"})
    .to_string();
    let notify = request("POST", "/api/webhook/upload", &[], body.as_bytes());
    order(
        &server,
        json!([{"on": "notify", "drop": "before"}, {"on": "notify", "drop": "after"}]),
    )
    .await;
    for listed in [0, 1, 1] {
        let reply = send(server.address, &notify).await;
        let events = get(&server, "/_control/notifications").await.json();
        assert_eq!(events.as_array().unwrap().len(), listed);
        assert!(reply.is_none_or(|reply| reply.status == 200));
    }
    assert_eq!(stats(&server).await, (0, 0, 3));
    server.shutdown().await;
}

#[tokio::test]
async fn requests_at_hand_are_answered_before_the_server_stops() {
    let (server, demo) = start().await;
    order(&server, json!([{"on": "telegram", "delay_ms": 200}])).await;
    let body = form(&[("chat_id", &demo.channel_id)], "a.txt", b"x");
    let (address, request) = (server.address, send_document(&demo, &body));
    let sending = tokio::spawn(async move { send(address, &request).await });
    while stats(&server).await.1 == 0 {
        tokio::task::yield_now().await;
    }
    server.shutdown().await;
    assert_eq!(sending.await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn a_delay_comes_before_the_work() {
    let (server, demo) = start().await;
    order(&server, json!([{"on": "credentials", "delay_ms": 200}])).await;
    let begun = Instant::now();
    let reply = get_as(&server, CREDENTIALS, &demo.auth_token).await;
    assert_eq!(reply.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(200));
    server.shutdown().await;
}

#[tokio::test]
async fn a_list_of_faults_replaces_the_one_in_force() {
    let (server, demo) = start().await;
    order(
        &server,
        json!([{"on": "credentials", "times": -1, "status": 500}]),
    )
    .await;
    for _ in 0..3 {
        let reply = get_as(&server, CREDENTIALS, &demo.auth_token).await;
        assert_eq!(reply.status, 500);
    }
    for wrong in ["{}", "[{}]", r#"[{"on":"credentials","status":1}]"#] {
        let reply = post(&server, "/_control/faults", wrong).await;
        assert_eq!(reply.detail().0, 422);
    }
    order(&server, json!([])).await;
    let reply = get_as(&server, CREDENTIALS, &demo.auth_token).await;
    assert_eq!(reply.status, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn a_reset_empties_what_was_counted_and_kept() {
    let (server, demo) = start().await;
    let reply = upload(&server, &demo, "a.txt", b"x").await.unwrap();
    let file_id = reply.json()["result"]["document"]["file_id"].clone();
    order(
        &server,
        json!([{"on": "credentials", "times": -1, "status": 500}]),
    )
    .await;
    assert_eq!(post(&server, "/_control/reset", "").await.status, 200);
    assert_eq!(stats(&server).await, (0, 0, 0));
    assert!(messages(&server).await.is_empty());
    let path = format!("/_control/files/{}", file_id.as_str().unwrap());
    assert_eq!(get(&server, &path).await.status, 404);
    let reply = get_as(&server, CREDENTIALS, &demo.auth_token).await;
    assert_eq!(reply.status, 200);
    // Users and bots stay, and a message id is not given out twice.
    let reply = upload(&server, &demo, "a.txt", b"x").await.unwrap();
    assert_eq!(reply.json()["result"]["message_id"], 2);
    server.shutdown().await;
}

#[tokio::test]
async fn a_user_is_made_as_asked() {
    let (server, demo) = start().await;
    let usual = post(&server, "/_control/users", "").await;
    assert_eq!(usual.status, 201);
    let usual = usual.json();
    assert_ne!(usual["user_id"], demo.user_id);
    assert_ne!(usual["channel_id"], demo.channel_id);
    let token = |user: &Value| user["auth_token"].as_str().unwrap().to_owned();
    let credentials = get_as(&server, CREDENTIALS, &token(&usual)).await.json();
    assert_eq!(credentials["bot_token"], usual["bot_token"]);

    let body = r#"{"configured":false,"token_ttl_seconds":60}"#;
    let bare = post(&server, "/_control/users", body).await.json();
    let reply = get_as(&server, CREDENTIALS, &token(&bare)).await;
    assert_eq!(reply.status, 400);
    let body = r#"{"token_ttl_seconds":-5}"#;
    let expired = post(&server, "/_control/users", body).await.json();
    let reply = get_as(&server, CREDENTIALS, &token(&expired)).await;
    assert_eq!(reply.detail(), (401, "Invalid token".into()));
    let reply = post(&server, "/_control/users", r#"{"bot_rights":"king"}"#).await;
    assert_eq!(reply.status, 422);
    server.shutdown().await;
}

#[tokio::test]
async fn another_bot_takes_over_the_channel() {
    let (server, demo) = start().await;
    upload(&server, &demo, "a.txt", b"x").await.unwrap();
    let path = format!("/_control/users/{}/bot", demo.user_id);
    let renewed = post(&server, &path, "").await.json();
    assert_eq!(renewed["user_id"], demo.user_id);
    assert_eq!(renewed["channel_id"], demo.channel_id);
    assert_ne!(renewed["bot_token"], demo.bot_token);
    let credentials = get_as(&server, CREDENTIALS, &demo.auth_token).await;
    assert_eq!(credentials.json()["bot_token"], renewed["bot_token"]);
    let refused = upload(&server, &demo, "a.txt", b"x").await.unwrap();
    assert_eq!(refused.status, 401);
    let mut with_new = demo.clone();
    renewed["bot_token"]
        .as_str()
        .unwrap()
        .clone_into(&mut with_new.bot_token);
    let body = form(&[("chat_id", &demo.channel_id)], "b.txt", b"x");
    let reply = send(server.address, &send_document(&with_new, &body)).await;
    assert_eq!(reply.unwrap().json()["result"]["message_id"], 2);
    let reply = post(&server, "/_control/users/nobody/bot", "").await;
    assert_eq!(reply.status, 404);
    server.shutdown().await;
}
