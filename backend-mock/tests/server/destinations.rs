//! Several bots and channels for a user, and removing everything of one.

use backend_mock::{BotRights, DeploymentBot, Provisioned, Running, Server, Setup};
use serde_json::{Value, json};

use crate::client::{Reply, delete_as, get, get_as, options_with, post, post_as, start, user};

const CREDENTIALS: &str = "/api/worker/credentials";
const DESTINATIONS: &str = "/api/destinations";
const NOT_CONFIGURED: &str =
    "Telegram not fully configured. Please connect Telegram and add bot token in settings.";

/// A user with nothing set, and a bot and a channel that Telegram knows.
async fn bare(server: &Running) -> Provisioned {
    let bare = Setup {
        configured: false,
        ..Setup::default()
    };
    user(server, bare).await
}

async fn add(server: &Running, token: &str, bot: &Provisioned, label: &str) -> Value {
    let body = json!({
        "bot_token": bot.bot_token, "channel_id": bot.channel_id, "label": label,
    });
    let reply = post_as(server, DESTINATIONS, token, &body.to_string()).await;
    assert_eq!(reply.status, 201);
    reply.json()
}

async fn list(server: &Running, token: &str) -> Vec<(String, bool)> {
    let listed = get_as(server, DESTINATIONS, token).await.json();
    let row = |it: &Value| {
        let label = it["label"].as_str().unwrap().to_owned();
        (label, it["preferred"].as_bool().unwrap())
    };
    listed.as_array().unwrap().iter().map(row).collect()
}

async fn credentials(server: &Running, token: &str, query: &str) -> Reply {
    get_as(server, &format!("{CREDENTIALS}{query}"), token).await
}

#[tokio::test]
async fn a_user_has_several_destinations_and_prefers_one() {
    let (server, _) = start().await;
    let [ada, other] = [bare(&server).await, bare(&server).await];
    let token = &ada.auth_token;
    let first = add(&server, token, &ada, "private").await;
    assert_eq!(first["preferred"], true);
    assert_eq!(first["channel_id"], ada.channel_id);
    assert_eq!(first["channel_title"], "TeleStore files");
    let second = add(&server, token, &other, " work ").await;
    assert_eq!(second["preferred"], false);
    let rows = |first, second| vec![("private".to_owned(), first), ("work".to_owned(), second)];
    assert_eq!(list(&server, token).await, rows(true, false));

    let id = second["id"].as_str().unwrap();
    let lent = credentials(&server, token, "").await.json();
    assert_eq!(lent["bot_token"], ada.bot_token);
    assert_eq!(lent["destination_id"], first["id"]);
    let chosen = credentials(&server, token, &format!("?destination={id}")).await;
    assert_eq!(chosen.json()["bot_token"], other.bot_token);
    assert_eq!(chosen.json()["channel_id"], other.channel_id);
    assert_eq!(chosen.json()["destination_id"], id);
    assert_eq!(chosen.json()["source"], "user");

    let prefer = format!("{DESTINATIONS}/{id}/prefer");
    let reply = post_as(&server, &prefer, token, "").await;
    assert_eq!(reply.json()["preferred"], true);
    assert_eq!(list(&server, token).await, rows(false, true));
    let lent = credentials(&server, token, "").await.json();
    assert_eq!(lent["bot_token"], other.bot_token);

    let path = format!("{DESTINATIONS}/{id}");
    assert_eq!(delete_as(&server, &path, token).await.status, 200);
    assert_eq!(delete_as(&server, &path, token).await.status, 404);
    assert_eq!(list(&server, token).await, [("private".to_owned(), true)]);
    let lent = credentials(&server, token, "").await.json();
    assert_eq!(lent["bot_token"], ada.bot_token);
    server.shutdown().await;
}

#[tokio::test]
async fn a_list_shows_a_masked_token_and_never_the_token() {
    let (server, demo) = start().await;
    let listed = get_as(&server, DESTINATIONS, &demo.auth_token).await;
    let (bot_id, secret) = demo.bot_token.split_once(':').unwrap();
    let preview = format!("{bot_id}:…{}", &secret[secret.len() - 4..]);
    assert_eq!(listed.json()[0]["bot_token_preview"], preview);
    let text = String::from_utf8(listed.body.clone()).unwrap();
    assert!(!text.contains(&secret[..secret.len() - 4]), "{text}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_destination_that_telegram_refuses_is_not_stored() {
    let (server, demo) = start().await;
    let ada = bare(&server).await;
    let reader = Setup {
        bot_rights: BotRights::AdministratorNoPost,
        configured: false,
        ..Setup::default()
    };
    let reader = user(&server, reader).await;
    let unknown = format!("1:{}", "a".repeat(35));
    let long = "x".repeat(101);
    for (bot_token, channel_id, label, status, reason) in [
        ("nonsense", "-100", "", 400, "This is not a bot token"),
        (&unknown, "-100", "", 400, "Telegram refused: Unauthorized"),
        (
            &demo.bot_token,
            "-100",
            "",
            400,
            "Telegram refused: Bad Request: chat not found",
        ),
        (
            &demo.bot_token,
            &reader.channel_id,
            "",
            400,
            "Telegram refused: Forbidden: bot is not a member of the channel chat",
        ),
        (
            &reader.bot_token,
            &reader.channel_id,
            "",
            400,
            "must be an administrator of the channel with the right to post messages",
        ),
        (
            &ada.bot_token,
            &ada.channel_id,
            &long,
            422,
            "label: must have at most 100 characters",
        ),
    ] {
        let body = json!({ "bot_token": bot_token, "channel_id": channel_id, "label": label });
        let reply = post_as(&server, DESTINATIONS, &ada.auth_token, &body.to_string()).await;
        let (said, detail) = reply.detail();
        assert_eq!(said, status, "{detail}");
        assert!(detail.ends_with(reason), "{detail}");
    }
    let body = json!({ "bot_token": ada.bot_token }).to_string();
    let reply = post_as(&server, DESTINATIONS, &ada.auth_token, &body).await;
    assert_eq!(reply.detail().0, 422);
    assert!(list(&server, &ada.auth_token).await.is_empty());
    assert_eq!(get(&server, DESTINATIONS).await.status, 401);
    server.shutdown().await;
}

#[tokio::test]
async fn a_destination_of_another_user_is_not_there() {
    let (server, demo) = start().await;
    let ada = bare(&server).await;
    let listed = get_as(&server, DESTINATIONS, &demo.auth_token).await.json();
    let id = listed[0]["id"].as_str().unwrap();
    let path = format!("{DESTINATIONS}/{id}");
    let token = &ada.auth_token;
    let detail = "There is no such destination; GET /api/destinations lists yours";
    for reply in [
        delete_as(&server, &path, token).await,
        post_as(&server, &format!("{path}/prefer"), token, "").await,
        credentials(&server, token, &format!("?destination={id}")).await,
        credentials(&server, token, "?destination=").await,
    ] {
        assert_eq!(reply.detail(), (404, detail.to_owned()));
    }
    let unchanged = get_as(&server, DESTINATIONS, &demo.auth_token).await.json();
    assert_eq!(unchanged, listed);
    server.shutdown().await;
}

#[tokio::test]
async fn the_old_settings_change_the_preferred_destination() {
    let (server, demo) = start().await;
    let [ada, other] = [bare(&server).await, bare(&server).await];
    let token = &ada.auth_token;
    add(&server, token, &ada, "one").await;
    add(&server, token, &demo, "two").await;
    let body = json!({ "bot_token": other.bot_token, "channel_id": other.channel_id });
    let reply = post_as(&server, "/api/settings/bot-token", token, &body.to_string()).await;
    assert_eq!(reply.status, 200);
    let rows = [("one".to_owned(), true), ("two".to_owned(), false)];
    assert_eq!(list(&server, token).await, rows);
    let lent = credentials(&server, token, "").await.json();
    assert_eq!(lent["bot_token"], other.bot_token);
    server.shutdown().await;
}

#[tokio::test]
async fn a_users_own_destination_comes_before_the_deployments() {
    let options = options_with(|backend| {
        backend.deployment_bot = Some(DeploymentBot {
            bot_token: "1:deployment".to_owned(),
            channel_id: "-1001".to_owned(),
        });
    });
    let server = Server::start(options).await.unwrap();
    let ada = bare(&server).await;
    let token = &ada.auth_token;
    let lent = credentials(&server, token, "").await.json();
    assert_eq!(lent["source"], "deployment");
    assert_eq!(lent["destination_id"], Value::Null);
    let own = add(&server, token, &ada, "").await;
    let lent = credentials(&server, token, "").await.json();
    assert_eq!(lent["source"], "user");
    assert_eq!(lent["bot_token"], ada.bot_token);
    let path = format!("{DESTINATIONS}/{}", own["id"].as_str().unwrap());
    assert_eq!(delete_as(&server, &path, token).await.status, 200);
    let lent = credentials(&server, token, "").await.json();
    assert_eq!(lent["source"], "deployment");
    server.shutdown().await;
}

#[tokio::test]
async fn everything_of_a_user_goes_and_the_account_stays() {
    let (server, demo) = start().await;
    let registration = r#"{"email":"ada@example.com","password":"correct horse","name":"Ada"}"#;
    let registered = post(&server, "/api/auth/register", registration).await;
    let registered = registered.json();
    let key = registered["api_key"].as_str().unwrap();
    let session = registered["access_token"].as_str().unwrap();
    add(&server, session, &demo, "").await;
    let told = r#"{"fileName":"a.txt","messageId":7,"fileId":"F"}"#;
    post_as(&server, "/api/files", key, told).await;

    let reply = delete_as(&server, "/api/me/data", key).await;
    assert_eq!(reply.json(), json!({ "success": true }));
    // The key has gone with the rest.
    let reply = get_as(&server, "/api/auth/me", key).await;
    assert_eq!(reply.detail(), (401, "Invalid token".to_owned()));
    for path in ["/api/keys", DESTINATIONS, "/api/files"] {
        assert_eq!(get_as(&server, path, session).await.json(), json!([]));
    }
    let reply = credentials(&server, session, "").await;
    assert_eq!(reply.detail(), (400, NOT_CONFIGURED.to_owned()));
    let login = r#"{"username":"ada@example.com","password":"correct horse"}"#;
    let reply = post(&server, "/api/auth/login", login).await;
    assert_eq!(reply.status, 200);
    // Whoever has the same bot and channel has them still.
    let lent = credentials(&server, &demo.auth_token, "").await;
    assert_eq!(lent.json()["bot_token"], demo.bot_token);
    server.shutdown().await;
}
