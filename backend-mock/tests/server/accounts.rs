//! The backend: accounts, settings, credentials, files, the webhook.

use backend_mock::{BotRights, DeploymentBot, Options, Running, Server, Setup};
use serde_json::{Value, json};

use crate::client::{
    get, get_as, options_with, post, post_as, request, send, start, stats, upload, user,
};

const CREDENTIALS: &str = "/api/worker/credentials";
const ADA: &str = r#"{"email":"Ada@Example.com ","password":"correct horse","name":"Ada"}"#;

async fn register(server: &Running) -> String {
    let reply = post(server, "/api/auth/register", ADA).await;
    assert_eq!(reply.status, 201);
    assert_eq!(reply.json()["user"]["email"], "ada@example.com");
    assert_eq!(reply.json()["user"]["name"], "Ada");
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_user_registers_and_logs_in_by_json_or_form() {
    let (server, _) = start().await;
    register(&server).await;
    let again = post(&server, "/api/auth/register", ADA).await;
    assert_eq!(again.detail(), (400, "Email already registered".into()));

    for body in [
        r#"{"email":"ada@example.com","password":"correct horse"}"#,
        r#"{"username":"ADA@example.com","password":"correct horse"}"#,
    ] {
        let reply = post(&server, "/api/auth/login", body).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.json()["token_type"], "bearer");
        assert_eq!(reply.json()["expires_in"], 3600);
    }
    let form = request(
        "POST",
        "/api/auth/login",
        &["Content-Type: application/x-www-form-urlencoded"],
        b"username=ada%40example.com&password=correct+horse",
    );
    let reply = send(server.address, &form).await.unwrap();
    let token = reply.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(
        get_as(&server, "/api/files", &token).await.json(),
        json!([])
    );

    for body in [
        r#"{"email":"ada@example.com","password":"wrong"}"#,
        r#"{"email":"nobody@example.com","password":"correct horse"}"#,
        r#"{"email":"demo@example.com","password":""}"#,
    ] {
        let reply = post(&server, "/api/auth/login", body).await;
        assert_eq!(reply.detail(), (401, "Incorrect email or password".into()));
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_registration_that_cannot_be_one_is_refused() {
    let (server, _) = start().await;
    for body in [
        r#"{"email":"no address","password":"12345678"}"#,
        r#"{"email":"@example.com","password":"12345678"}"#,
        r#"{"email":"a@example.com","password":"1234567"}"#,
        r#"{"email":"a@example.com"}"#,
        r#"{"email":7,"password":"12345678"}"#,
        "not json",
        "",
    ] {
        let reply = post(&server, "/api/auth/register", body).await;
        assert_eq!(reply.detail().0, 422, "{body}");
    }
    let long = format!(r#"{{"email":"{}"}}"#, "x".repeat(2 << 20));
    let reply = post(&server, "/api/auth/register", &long).await;
    assert_eq!(reply.detail(), (413, "Request body too large".into()));
    server.shutdown().await;
}

#[tokio::test]
async fn routes_and_verbs_that_are_not_there_are_refused_in_the_same_shape() {
    let (server, _) = start().await;
    for path in [
        "/",
        "/api",
        "/api/nothing",
        "/nothing",
        "/bot",
        "/_control/x",
    ] {
        let reply = get(&server, path).await;
        assert_eq!(reply.detail(), (404, "Not Found".into()), "{path}");
    }
    let reply = get(&server, "/api/auth/login").await;
    assert_eq!(reply.detail(), (405, "Method Not Allowed".into()));
    server.shutdown().await;
}

#[tokio::test]
async fn a_browser_of_another_origin_is_let_in() {
    let (server, _) = start().await;
    let preflight = request(
        "OPTIONS",
        "/api/files",
        &[
            "Origin: https://a.example",
            "Access-Control-Request-Method: POST",
        ],
        b"",
    );
    let reply = send(server.address, &preflight).await.unwrap();
    assert_eq!(reply.status, 200);
    assert!(reply.has_header("Access-Control-Allow-Origin: *"));
    let refused = get(&server, "/api/files").await;
    assert!(refused.has_header("Access-Control-Allow-Origin: *"));
    server.shutdown().await;
}

#[tokio::test]
async fn a_worker_borrows_what_the_user_set() {
    let (server, demo) = start().await;
    let reply = get_as(&server, CREDENTIALS, &demo.auth_token).await;
    assert_eq!(reply.status, 200);
    let credentials = reply.json();
    assert_eq!(credentials["bot_token"], demo.bot_token);
    assert_eq!(credentials["channel_id"], demo.channel_id);
    assert_eq!(credentials["user_id"], demo.user_id);
    assert_eq!(credentials["backend_url"], server.base_url);
    for secret in ["telegram_session", "telegram_api_hash"] {
        assert!(credentials[secret].is_string());
    }
    assert!(credentials["telegram_api_id"].is_number());
    server.shutdown().await;
}

#[tokio::test]
async fn credentials_are_refused_without_a_good_token() {
    let (server, _) = start().await;
    let expired = Setup {
        token_ttl_seconds: -1,
        ..Setup::default()
    };
    let expired = user(&server, expired).await.auth_token;
    let elsewhere = start().await;
    for token in [expired.as_str(), "nonsense", &elsewhere.1.auth_token] {
        let reply = get_as(&server, CREDENTIALS, token).await;
        assert_eq!(reply.detail(), (401, "Invalid token".into()));
        assert!(reply.has_header("WWW-Authenticate: Bearer"));
    }
    let reply = get(&server, CREDENTIALS).await;
    assert_eq!(reply.detail(), (401, "Not authenticated".into()));
    assert!(reply.has_header("WWW-Authenticate: Bearer"));
    assert_eq!(stats(&server).await.0, 4);
    elsewhere.0.shutdown().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_token_of_a_user_that_is_gone_is_refused() {
    let secret = || options_with(|backend| backend.jwt_secret = Some("shared".to_owned()));
    let one = Server::start(secret()).await.unwrap();
    let other = Server::start(secret()).await.unwrap();
    let token = &one.demo.as_ref().unwrap().auth_token;
    let reply = get_as(&other, CREDENTIALS, token).await;
    assert_eq!(reply.detail(), (401, "User not found".into()));
    one.shutdown().await;
    other.shutdown().await;
}

#[tokio::test]
async fn bot_settings_are_checked_with_telegram_before_they_are_stored() {
    let (server, demo) = start().await;
    let token = register(&server).await;
    let not_configured =
        "Telegram not fully configured. Please connect Telegram and add bot token in settings.";
    let reply = get_as(&server, CREDENTIALS, &token).await;
    assert_eq!(reply.detail(), (400, not_configured.into()));

    let set = async |settings: Value| {
        let path = "/api/settings/bot-token";
        post_as(&server, path, &token, &settings.to_string()).await
    };
    let reader = Setup {
        bot_rights: BotRights::AdministratorNoPost,
        configured: false,
        ..Setup::default()
    };
    let reader = user(&server, reader).await;
    let unknown = format!("1:{}", "a".repeat(35));
    for (bot_token, channel_id, reason) in [
        ("nonsense", "-100", "This is not a bot token"),
        (&unknown, "-100", "Telegram refused: Unauthorized"),
        (
            &demo.bot_token,
            "-100",
            "Telegram refused: Bad Request: chat not found",
        ),
        (
            &demo.bot_token,
            &reader.channel_id,
            "Telegram refused: Forbidden: bot is not a member of the channel chat",
        ),
    ] {
        let reply = set(json!({ "bot_token": bot_token, "channel_id": channel_id })).await;
        assert_eq!(reply.detail(), (400, reason.to_owned()));
    }
    let reply =
        set(json!({ "bot_token": reader.bot_token, "channel_id": reader.channel_id })).await;
    let (status, reason) = reply.detail();
    assert_eq!(status, 400);
    assert!(
        reason.ends_with("with the right to post messages"),
        "{reason}"
    );

    let reply = set(json!({ "bot_token": demo.bot_token })).await;
    assert_eq!(reply.json()["success"], true);
    let reply = get_as(&server, CREDENTIALS, &token).await;
    assert_eq!(reply.detail(), (400, not_configured.into()));

    let channel: i64 = demo.channel_id.parse().unwrap();
    let reply = set(json!({ "bot_token": demo.bot_token, "channel_id": channel })).await;
    assert_eq!(reply.status, 200);
    assert!(reply.json()["bot_username"].is_string());
    assert!(reply.json()["message"].is_string());
    let credentials = get_as(&server, CREDENTIALS, &token).await.json();
    assert_eq!(credentials["channel_id"], demo.channel_id);
    assert!(credentials["telegram_session"].is_null());
    server.shutdown().await;
}

#[tokio::test]
async fn bot_settings_are_checked_with_the_bot_api_that_is_named() {
    let (telegram, demo) = start().await;
    let reader = Setup {
        bot_rights: BotRights::AdministratorNoPost,
        configured: false,
        ..Setup::default()
    };
    let reader = user(&telegram, reader).await;
    let server = Server::start(Options {
        emulator: false,
        demo: false,
        ..options_with(|backend| backend.telegram_api_url = Some(telegram.base_url.clone()))
    })
    .await
    .unwrap();
    let token = register(&server).await;
    let set = async |bot_token: &str, channel_id: &str| {
        let body = json!({ "bot_token": bot_token, "channel_id": channel_id }).to_string();
        post_as(&server, "/api/settings/bot-token", &token, &body).await
    };
    let unknown = format!("1:{}", "a".repeat(35));
    for (bot_token, channel_id, reason) in [
        (&unknown, "-100", "Telegram refused: Unauthorized"),
        (
            &demo.bot_token,
            "-100&x=1",
            "Telegram refused: Bad Request: chat not found",
        ),
    ] {
        let reply = set(bot_token, channel_id).await;
        assert_eq!(reply.detail(), (400, reason.to_owned()));
    }
    let (status, reason) = set(&reader.bot_token, &reader.channel_id).await.detail();
    assert_eq!(status, 400);
    assert!(reason.ends_with("with the right to post messages"));
    assert_eq!(set(&demo.bot_token, &demo.channel_id).await.status, 200);
    let credentials = get_as(&server, CREDENTIALS, &token).await.json();
    assert_eq!(credentials["bot_token"], demo.bot_token);
    // There is no Telegram here.
    let path = format!("/bot{}/getMe", demo.bot_token);
    assert_eq!(get(&server, &path).await.detail().0, 404);

    telegram.shutdown().await;
    let (status, reason) = set(&demo.bot_token, &demo.channel_id).await.detail();
    assert_eq!(status, 502);
    assert!(!reason.contains(&demo.bot_token));
    server.shutdown().await;
}

#[tokio::test]
async fn the_deployments_bot_serves_whoever_has_none() {
    let deployment_bot = DeploymentBot {
        bot_token: "1:deployment".to_owned(),
        channel_id: "-1001".to_owned(),
    };
    let options = options_with(|backend| backend.deployment_bot = Some(deployment_bot));
    let server = Server::start(options).await.unwrap();
    let token = register(&server).await;
    let credentials = get_as(&server, CREDENTIALS, &token).await.json();
    assert_eq!(credentials["bot_token"], "1:deployment");
    assert_eq!(credentials["channel_id"], "-1001");
    assert_eq!(credentials["source"], "deployment");
    let demo = server.demo.clone().unwrap();
    let credentials = get_as(&server, CREDENTIALS, &demo.auth_token).await.json();
    assert_eq!(credentials["bot_token"], demo.bot_token);
    assert_eq!(credentials["source"], "user");
    server.shutdown().await;
}

#[tokio::test]
async fn an_event_that_comes_again_is_answered_and_not_listed_twice() {
    let (server, demo) = start().await;
    let body = json!({
        "id": "upload-1", "userId": demo.user_id, "fileName": "a.txt", "messageId": 7,
        "fileId": "F", "fileUniqueId": "U", "size": 5, "mimeType": "text/plain",
    })
    .to_string();
    let with_id = |id: &str| {
        let header = format!("webhook-id: {id}");
        request("POST", "/api/webhook/upload", &[&header], body.as_bytes())
    };
    for request in [with_id("one"), with_id("one"), with_id("two")] {
        let reply = send(server.address, &request).await.unwrap();
        assert_eq!(reply.json(), json!({ "success": true }));
    }
    for _ in 0..2 {
        let reply = post(&server, "/api/webhook/upload", &body).await;
        assert_eq!(reply.json(), json!({ "success": true }));
    }
    let listed = get(&server, "/_control/notifications").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert_eq!(listed[0]["headers"]["webhook-id"], "one");
    assert_eq!(listed[0]["body"]["fileName"], "a.txt");
    assert_eq!(stats(&server).await.2, 5);

    // One file, however often it was told; the browser's own word of it included.
    let told = r#"{"fileName":"a.txt","messageId":7,"fileId":"F"}"#;
    let reply = post_as(&server, "/api/files", &demo.auth_token, told).await;
    assert_eq!(reply.status, 201);
    let files = get_as(&server, "/api/files", &demo.auth_token).await.json();
    assert_eq!(files.as_array().unwrap().len(), 1);
    assert_eq!(files[0]["fileUniqueId"], "U");
    assert_eq!(files[0]["size"], 5);
    server.shutdown().await;
}

#[tokio::test]
async fn an_event_without_its_fields_is_refused() {
    let (server, _) = start().await;
    for body in ["{}", "[]", "x", r#"{"userId":"u"}"#] {
        let reply = post(&server, "/api/webhook/upload", body).await;
        assert_eq!(reply.detail().0, 422, "{body}");
    }
    let listed = get(&server, "/_control/notifications").await.json();
    assert_eq!(listed, json!([]));
    server.shutdown().await;
}

#[tokio::test]
async fn an_event_must_be_signed_when_there_is_a_secret() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse();
    let options = options_with(|backend| backend.webhook_secret = Some(secret.unwrap()));
    let server = Server::start(options).await.unwrap();
    let reply = post(&server, "/api/webhook/upload", "{}").await;
    assert_eq!(reply.detail(), (401, "Invalid webhook signature".into()));
    // Signed well, but long ago.
    let old = request(
        "POST",
        "/api/webhook/upload",
        &[
            "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp: 1614265330",
            "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ],
        br#"{"test": 2432232314}"#,
    );
    assert_eq!(send(server.address, &old).await.unwrap().status, 401);
    server.shutdown().await;
}

#[tokio::test]
async fn a_user_sees_no_files_but_its_own() {
    let (server, demo) = start().await;
    let told = r#"{"file_name":"a.txt","message_id":7,"file_id":"F"}"#;
    post_as(&server, "/api/files", &demo.auth_token, told).await;
    let other = user(&server, Setup::default()).await;
    let files = get_as(&server, "/api/files", &other.auth_token).await;
    assert_eq!(files.json(), json!([]));
    let files = get_as(&server, "/api/files?limit=x", &other.auth_token).await;
    assert_eq!(files.status, 422);
    assert_eq!(get(&server, "/api/files").await.status, 401);
    upload(&server, &other, "b.txt", b"b").await.unwrap();
    server.shutdown().await;
}
