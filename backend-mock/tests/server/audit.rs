//! The audit log: what is done and what is refused.

use serde_json::{Value, json};

use crate::{
    client::{get_as, post, post_as, request, send},
    command_line,
    persistence::Folder,
};

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "one story, best read in one piece")]
async fn what_is_done_and_what_is_refused_is_in_the_audit_log_without_a_secret() {
    let folder = Folder::new();
    let (server, demo) = folder.start().await;
    let token = &demo.auth_token;
    let made = post_as(&server, "/api/keys", token, r#"{"name":"laptop"}"#).await;
    let made = made.json();
    let id = made["id"].as_str().unwrap();
    let key = made["key"].as_str().unwrap();

    // Refused: no token, a key that is none, a name that is none, a key that is not there, a bot
    // that is none, a key in place of an id, a second registration.
    let credentials = "/api/worker/credentials";
    let unknown_id = uuid::Uuid::new_v4().to_string();
    get_as(&server, credentials, "tsk_nonsense").await;
    post_as(&server, "/api/keys", token, r#"{"name":""}"#).await;
    let rotate = format!("/api/keys/{unknown_id}/rotate");
    post_as(&server, &rotate, key, "").await;
    let bot = json!({ "bot_token": "1:not-a-token" }).to_string();
    post_as(&server, "/api/settings/bot-token", token, &bot).await;
    let authorization = format!("Authorization: Bearer {token}");
    let mistaken = format!("/api/keys/{key}");
    let revoke = request("DELETE", &mistaken, &[&authorization], b"");
    assert_eq!(send(server.address, &revoke).await.unwrap().status, 404);
    let ada = r#"{"email":"ada@example.com","password":"correct horse","name":"Ada"}"#;
    for status in [201, 400] {
        let reply = post(&server, "/api/auth/register", ada).await;
        assert_eq!(reply.status, status);
    }
    // Done: a fetch, with an id of the client's own.
    let own_id = ["X-Request-Id: mine-1", &authorization];
    let fetch = request("GET", credentials, &own_id, b"");
    let fetched = send(server.address, &fetch).await.unwrap();
    assert_eq!(fetched.status, 200);
    let destination = fetched.json()["destination_id"].clone();
    server.shutdown().await;

    let audit = command_line::json(&folder, "audit tail -n 100").await;
    let rows = audit.as_array().unwrap();
    let own_key = format!("key:{id}");
    let has = |actor: &str, action: &str, target: Option<&str>, result: &str| {
        let like = |row: &&Value| {
            row["actor"] == actor
                && row["action"] == action
                && row["target"] == json!(target)
                && row["result"] == result
        };
        let found: Vec<_> = rows.iter().filter(like).collect();
        assert_eq!(found.len(), 1, "{actor} {action} {result} in {audit:#}");
        found[0].clone()
    };
    has("session", "key.create", Some(id), "ok");
    let nobody = has("unknown", "credentials.fetch", None, "Unauthorized");
    assert_eq!(nobody["user_id"], Value::Null);
    assert_eq!(nobody["address"], "127.0.0.1");
    assert_eq!(nobody["request_id"].as_str().unwrap().len(), 32);
    let unprocessable = has("session", "key.create", None, "Unprocessable Entity");
    assert_eq!(unprocessable["user_id"], demo.user_id);
    has(&own_key, "key.rotate", Some(&unknown_id), "Not Found");
    has("session", "credentials.set", None, "Bad Request");
    has("session", "key.revoke", None, "Not Found");
    has("unknown", "user.register", None, "Bad Request");
    has("session", "user.register", None, "ok");
    let fetched = has("session", "credentials.fetch", destination.as_str(), "ok");
    assert_eq!(fetched["request_id"], "mine-1");
    assert_eq!(fetched["user_id"], demo.user_id);

    let text = audit.to_string();
    for secret in [key, token, &demo.bot_token, "not-a-token", "correct horse"] {
        assert!(!text.contains(secret));
    }
    let table = command_line::run(&folder, "audit tail -n 1").await;
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        table.contains("REQUEST") && table.contains("127.0.0.1"),
        "{table}"
    );
}
