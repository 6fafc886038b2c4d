//! API keys, tokens of the deployment, and what an account begins with.

use backend_mock::{Running, Server, Setup};
use serde_json::{Value, json};

use crate::client::{delete_as, get, get_as, options_with, post, post_as, start, user};

const CREDENTIALS: &str = "/api/worker/credentials";

async fn create(server: &Running, token: &str, name: &str) -> Value {
    let body = json!({ "name": name, "expires_days": 30 }).to_string();
    let reply = post_as(server, "/api/keys", token, &body).await;
    assert_eq!(reply.status, 201);
    reply.json()
}

async fn assert_opens_nothing(server: &Running, token: &str) {
    let reply = get_as(server, CREDENTIALS, token).await;
    assert_eq!(reply.detail(), (401, "Invalid token".into()));
    assert!(reply.has_header("WWW-Authenticate: Bearer"));
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn a_registration_gives_a_first_key_that_is_shown_this_once() {
    let (server, _) = start().await;
    let ada = r#"{"email":"ada@example.com","password":"correct horse","name":"Ada"}"#;
    let reply = post(&server, "/api/auth/register", ada).await;
    assert_eq!(reply.status, 201);
    let registered = reply.json();
    let key = text(&registered["api_key"]);
    assert!(key.starts_with("tsk_") && key.len() == 47, "{key}");
    assert_eq!(registered["user"]["plan"], "free");
    assert_eq!(registered["token_type"], "bearer");
    for token in [key, text(&registered["access_token"])] {
        let me = get_as(&server, "/api/auth/me", token).await.json();
        assert_eq!(me, registered["user"]);
    }
    let listed = get_as(&server, "/api/keys", key).await;
    assert!(
        !String::from_utf8(listed.body.clone())
            .unwrap()
            .contains(key)
    );
    let listed = listed.json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["name"], "Primary API Key");
    assert_eq!(listed[0]["preview"], key[..8]);
    assert_eq!(listed[0]["active"], true);
    assert!(listed[0]["last_used_at"].is_null());

    let config = get_as(&server, "/api/auth/client-config", key).await.json();
    assert_eq!(config["user"], registered["user"]);
    assert_eq!(config["limits"]["max_upload_bytes"], 52_412_416);
    assert_eq!(config["quota"]["uploads_left"], config["quota"]["uploads"]);
    assert_eq!(config["telegram_configured"], false);
    server.shutdown().await;
}

#[tokio::test]
async fn a_key_opens_what_its_user_may_until_it_is_revoked() {
    let (server, demo) = start().await;
    let made = create(&server, &demo.auth_token, " laptop ").await;
    assert_eq!(made["name"], "laptop");
    let key = text(&made["key"]);
    let credentials = get_as(&server, CREDENTIALS, key).await.json();
    assert_eq!(credentials["user_id"], demo.user_id);
    assert_eq!(credentials["bot_token"], demo.bot_token);
    assert_eq!(credentials["source"], "user");
    let path = format!("/api/keys/{}", text(&made["id"]));
    // Again is the same: the answer may have been lost.
    for _ in 0..2 {
        assert_eq!(
            delete_as(&server, &path, &demo.auth_token).await.status,
            200
        );
        assert_opens_nothing(&server, key).await;
    }
    let listed = get_as(&server, "/api/keys", &demo.auth_token).await.json();
    assert_eq!(listed[0]["active"], false);
    let rotate = format!("{path}/rotate");
    let reply = post_as(&server, &rotate, &demo.auth_token, "").await;
    assert_eq!(reply.status, 409);
    for token in [
        &key[..46],
        "tsk_",
        "tsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        assert_opens_nothing(&server, token).await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_rotated_key_keeps_its_id_and_the_old_one_opens_nothing() {
    let (server, demo) = start().await;
    let made = create(&server, &demo.auth_token, "laptop").await;
    let path = format!("/api/keys/{}/rotate", text(&made["id"]));
    // A key may rotate itself.
    let reply = post_as(&server, &path, text(&made["key"]), "").await;
    assert_eq!(reply.status, 200);
    let rotated = reply.json();
    assert_eq!(rotated["id"], made["id"]);
    assert_eq!(rotated["name"], made["name"]);
    assert_opens_nothing(&server, text(&made["key"])).await;
    let reply = get_as(&server, CREDENTIALS, text(&rotated["key"])).await;
    assert_eq!(reply.status, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn a_key_of_another_user_is_not_there() {
    let (server, demo) = start().await;
    let other = user(&server, Setup::default()).await;
    let made = create(&server, &demo.auth_token, "laptop").await;
    let path = format!("/api/keys/{}", text(&made["id"]));
    assert_eq!(
        delete_as(&server, &path, &other.auth_token).await.status,
        404
    );
    let rotate = format!("{path}/rotate");
    let reply = post_as(&server, &rotate, &other.auth_token, "").await;
    assert_eq!(reply.detail(), (404, "Not Found".into()));
    let listed = get_as(&server, "/api/keys", &other.auth_token).await.json();
    assert_eq!(listed, json!([]));
    let reply = get_as(&server, CREDENTIALS, text(&made["key"])).await;
    assert_eq!(reply.status, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_refused() {
    let (server, demo) = start().await;
    for body in [
        r#"{"name":" "}"#,
        r#"{"name":"a","expires_days":0}"#,
        r#"{"name":"a","expires_days":3651}"#,
        r#"{"expires_days":1}"#,
    ] {
        let reply = post_as(&server, "/api/keys", &demo.auth_token, body).await;
        assert_eq!(reply.detail().0, 422, "{body}");
    }
    assert_eq!(get(&server, "/api/keys").await.status, 401);
    let listed = get_as(&server, "/api/keys", &demo.auth_token).await.json();
    assert_eq!(listed, json!([]));
    server.shutdown().await;
}

#[tokio::test]
async fn a_token_of_the_deployment_is_a_user_of_its_own() {
    let tokens = "admin:s3cret,other".parse().unwrap();
    let options = options_with(|backend| backend.api_tokens = tokens);
    let server = Server::start(options).await.unwrap();
    let me = get_as(&server, "/api/auth/me", "s3cret").await.json();
    assert_eq!(me["id"], "token:admin");
    let other = get_as(&server, "/api/auth/me", "other").await.json();
    assert_eq!(other["id"], "token:2");
    assert_opens_nothing(&server, "admin:s3cret").await;
    let told = r#"{"fileName":"a.txt","messageId":7,"fileId":"F"}"#;
    let reply = post_as(&server, "/api/files", "s3cret", told).await;
    assert_eq!(reply.status, 201);
    let files = get_as(&server, "/api/files", "other").await.json();
    assert_eq!(files, json!([]));
    // Nobody logs in as one.
    let login = r#"{"username":"token:admin","password":"s3cret"}"#;
    let reply = post(&server, "/api/auth/login", login).await;
    assert_eq!(reply.status, 401);
    server.shutdown().await;
}
