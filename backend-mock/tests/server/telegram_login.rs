//! Connecting a user's own Telegram account.

use backend_mock::{Options, Provisioned, Running, Server, Setup};
use serde_json::{Value, json};

use crate::client::{Reply, get, get_as, options, post, post_as, start, user};

const CREDENTIALS: &str = "/api/worker/credentials";
const PHONE: &str = "+49 151 23456789";

async fn bare(server: &Running) -> Provisioned {
    let bare = Setup {
        configured: false,
        ..Setup::default()
    };
    user(server, bare).await
}

async fn ask(server: &Running, token: &str, route: &str, body: &Value) -> Reply {
    let path = format!("/api/telegram/{route}");
    post_as(server, &path, token, &body.to_string()).await
}

/// Requests a code; returns its hash, and the code as the phone shows it.
async fn request_code(server: &Running, token: &str) -> (String, String) {
    let reply = ask(server, token, "request-code", &json!({ "phone": PHONE })).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["expires_in"], 300);
    let hash = reply.json()["phone_code_hash"].as_str().unwrap().to_owned();
    let shown = get(server, "/_control/telegram/codes").await.json();
    assert_eq!(shown[0]["phone"], "+4915123456789");
    (hash, shown[0]["code"].as_str().unwrap().to_owned())
}

async fn verify_code(server: &Running, token: &str, hash: &str, code: &str) -> Reply {
    let body = json!({ "phone": PHONE, "code": code, "phone_code_hash": hash });
    ask(server, token, "verify-code", &body).await
}

/// A code that is not this one.
fn wrong(code: &str) -> &str {
    if code == "00000" { "00001" } else { "00000" }
}

#[tokio::test]
async fn a_code_connects_the_account_and_makes_a_channel() {
    let (server, _) = start().await;
    let ada = bare(&server).await;
    let token = &ada.auth_token;
    let (hash, code) = request_code(&server, token).await;
    let reply = verify_code(&server, token, &hash, &code).await;
    assert_eq!(reply.status, 200);
    let connected = reply.json();
    assert_eq!(connected["success"], true);
    let channel_id = connected["channel_id"].as_str().unwrap();
    assert!(channel_id.starts_with("-100"), "{channel_id}");
    assert_ne!(channel_id, ada.channel_id);
    let invite = connected["invite_link"].as_str().unwrap();
    assert!(invite.starts_with("https://t.me/+"), "{invite}");
    // The answer may have been lost.
    let again = verify_code(&server, token, &hash, &code).await;
    assert_eq!(again.json(), connected);

    // With a bot, it is all that an upload needs.
    let body = json!({ "bot_token": ada.bot_token }).to_string();
    let reply = post_as(&server, "/api/settings/bot-token", token, &body).await;
    assert_eq!(reply.status, 200);
    let lent = get_as(&server, CREDENTIALS, token).await.json();
    assert_eq!(lent["channel_id"], channel_id);
    assert_eq!(lent["bot_token"], ada.bot_token);
    assert!(lent["telegram_session"].as_str().unwrap().len() > 100);
    assert_eq!(lent["telegram_api_id"], 1);

    // Another login has another session and the same channel.
    let (hash, code) = request_code(&server, token).await;
    let reply = verify_code(&server, token, &hash, &code).await;
    assert_eq!(reply.json(), connected);
    let renewed = get_as(&server, CREDENTIALS, token).await.json();
    assert_ne!(renewed["telegram_session"], lent["telegram_session"]);
    server.shutdown().await;
}

#[tokio::test]
async fn five_wrong_codes_are_the_end_of_a_login() {
    let (server, _) = start().await;
    let ada = bare(&server).await;
    let token = &ada.auth_token;
    let (hash, code) = request_code(&server, token).await;
    for left in (1..5).rev() {
        let reply = verify_code(&server, token, &hash, wrong(&code)).await;
        let reason = format!("The code is wrong; attempts left: {left}");
        assert_eq!(reply.detail(), (400, reason));
    }
    for code in [wrong(&code), &code] {
        let reply = verify_code(&server, token, &hash, code).await;
        let reason = "Too many wrong codes; request another one".to_owned();
        assert_eq!(reply.detail(), (400, reason));
    }
    let (hash, code) = request_code(&server, token).await;
    let reply = verify_code(&server, token, &hash, &code).await;
    assert_eq!(reply.status, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn of_many_codes_at_once_five_are_looked_at() {
    let (server, _) = start().await;
    let ada = bare(&server).await;
    let token = &ada.auth_token;
    let (hash, code) = request_code(&server, token).await;
    let guess = || verify_code(&server, token, &hash, wrong(&code));
    let replies = tokio::join!(
        guess(),
        guess(),
        guess(),
        guess(),
        guess(),
        guess(),
        guess(),
        guess(),
    );
    let replies: [Reply; 8] = replies.into();
    let looked_at = replies.iter().filter(|reply| {
        let (status, detail) = reply.detail();
        assert_eq!(status, 400);
        detail.starts_with("The code is wrong")
    });
    // The fifth is told that it was the last.
    assert_eq!(looked_at.count(), 4);
    let reply = verify_code(&server, token, &hash, &code).await;
    assert_eq!(reply.status, 400);
    server.shutdown().await;
}

#[tokio::test]
async fn a_scanned_qr_code_connects_the_account() {
    let (server, _) = start().await;
    let ada = bare(&server).await;
    let token = &ada.auth_token;
    // A bot that was set before gets the channel.
    let body = json!({ "bot_token": ada.bot_token }).to_string();
    let reply = post_as(&server, "/api/settings/bot-token", token, &body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(get_as(&server, CREDENTIALS, token).await.status, 400);

    let shown = ask(&server, token, "request-qr", &json!({})).await.json();
    assert_eq!(shown["expires_in"], 120);
    let url = shown["url"].as_str().unwrap();
    assert!(url.starts_with("tg://login?token="), "{url}");
    let question = json!({ "qr_id": shown["qr_id"] });
    let status = ask(&server, token, "verify-qr", &question).await.json();
    assert_eq!(status["status"], "pending");
    for (link, status) in [("tg://login?token=AAAA", 404), ("x", 404), (url, 200)] {
        let body = json!({ "url": link }).to_string();
        let reply = post(&server, "/_control/telegram/scan", &body).await;
        assert_eq!(reply.status, status, "{link}");
    }
    let confirmed = ask(&server, token, "verify-qr", &question).await.json();
    assert_eq!(confirmed["status"], "confirmed");
    assert_eq!(confirmed["success"], true);
    assert!(confirmed["invite_link"].is_string());
    let again = ask(&server, token, "verify-qr", &question).await.json();
    assert_eq!(again, confirmed);
    let lent = get_as(&server, CREDENTIALS, token).await.json();
    assert_eq!(lent["channel_id"], confirmed["channel_id"]);
    server.shutdown().await;
}

#[tokio::test]
async fn a_qr_code_expires_when_another_is_requested() {
    let (server, demo) = start().await;
    let token = &demo.auth_token;
    let first = ask(&server, token, "request-qr", &json!({})).await.json();
    ask(&server, token, "request-qr", &json!({})).await;
    let question = json!({ "qr_id": first["qr_id"] });
    let status = ask(&server, token, "verify-qr", &question).await.json();
    assert_eq!(status, json!({ "status": "expired" }));
    server.shutdown().await;
}

#[tokio::test]
async fn a_login_is_its_users_alone_and_for_its_phone_alone() {
    let (server, demo) = start().await;
    let ada = bare(&server).await;
    let token = &ada.auth_token;
    let (hash, code) = request_code(&server, token).await;
    let gone = "There is no such login; request a code or a QR code first";
    let qr = ask(&server, token, "request-qr", &json!({})).await.json();
    let question = json!({ "qr_id": qr["qr_id"] });
    for reply in [
        verify_code(&server, &demo.auth_token, &hash, &code).await,
        verify_code(&server, token, "nothing", &code).await,
        ask(&server, &demo.auth_token, "verify-qr", &question).await,
        ask(&server, token, "verify-qr", &json!({ "qr_id": hash })).await,
    ] {
        assert_eq!(reply.detail(), (404, gone.to_owned()));
    }
    let body = json!({ "phone": "+1 202 5550100", "code": code, "phone_code_hash": hash });
    let reply = ask(&server, token, "verify-code", &body).await;
    let reason = "The code was sent to another phone number";
    assert_eq!(reply.detail(), (400, reason.to_owned()));
    let reply = ask(&server, token, "request-code", &json!({ "phone": "me" })).await;
    assert_eq!(reply.detail().0, 422);
    let reply = post(&server, "/api/telegram/request-qr", "{}").await;
    assert_eq!(reply.status, 401);
    let reply = verify_code(&server, token, &hash, &code).await;
    assert_eq!(reply.status, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn a_server_without_the_emulator_says_that_it_cannot_log_in() {
    let server = Server::start(Options {
        emulator: false,
        demo: false,
        ..options()
    })
    .await
    .unwrap();
    let ada = r#"{"email":"ada@example.com","password":"correct horse"}"#;
    let registered = post(&server, "/api/auth/register", ada).await.json();
    let token = registered["api_key"].as_str().unwrap();
    for (route, body) in [
        ("request-code", json!({ "phone": PHONE })),
        (
            "verify-code",
            json!({ "phone": PHONE, "code": "1", "phone_code_hash": "1" }),
        ),
        ("request-qr", json!({})),
        ("verify-qr", json!({ "qr_id": "1" })),
    ] {
        let (status, detail) = ask(&server, token, route, &body).await.detail();
        assert_eq!(status, 501, "{route}");
        assert!(detail.contains("/api/destinations"), "{detail}");
    }
    server.shutdown().await;
}
