//! The worker is told when credentials change.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode},
    routing::post as route_post,
};
use backend_mock::{Options, Provisioned, Running, Server, Setup};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

use crate::{
    client::{delete_as, get_as, options_with, post, post_as, user},
    command_line,
    persistence::Folder,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Plays the worker: says what it was told, and answers what it is to.
struct Worker {
    url: String,
    told: mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
    serving: JoinHandle<()>,
}

impl Worker {
    /// Answers these statuses one after the other, and 204 from then on.
    async fn start(statuses: &[u16]) -> Self {
        let statuses: VecDeque<_> = statuses
            .iter()
            .map(|status| StatusCode::from_u16(*status).unwrap())
            .collect();
        let statuses = Arc::new(Mutex::new(statuses));
        let (tell, told) = mpsc::unbounded_channel();
        let hook = async move |headers: HeaderMap, body: Bytes| {
            tell.send((headers, body)).unwrap();
            let status = statuses.lock().unwrap().pop_front();
            status.unwrap_or(StatusCode::NO_CONTENT)
        };
        let router = Router::new().route("/hooks/credentials", route_post(hook));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let serving = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, told, serving }
    }

    /// Checks the signature of what it is told next; returns its id and whose credentials changed.
    async fn told(&mut self) -> (String, String) {
        let (headers, body) = self.told.recv().await.unwrap();
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let [id, timestamp] = ["webhook-id", "webhook-timestamp"].map(header);
        let secret = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap());
        let mac = Hmac::<Sha256>::new_from_slice(&secret.unwrap())
            .unwrap()
            .chain_update(format!("{id}.{timestamp}."))
            .chain_update(&body);
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(header("webhook-signature"), signature);
        assert_eq!(header("content-type"), "application/json");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body.as_object().unwrap().len(), 1);
        (id, body["user_id"].as_str().unwrap().to_owned())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn telling(worker_url: &str) -> Options {
    options_with(|backend| {
        backend.worker_url = Some(worker_url.to_owned());
        backend.webhook_secret = Some(SECRET.parse().unwrap());
    })
}

async fn bare(server: &Running) -> Provisioned {
    let bare = Setup {
        configured: false,
        ..Setup::default()
    };
    user(server, bare).await
}

fn settings(bot: &Provisioned) -> String {
    json!({ "bot_token": bot.bot_token, "channel_id": bot.channel_id }).to_string()
}

#[tokio::test]
async fn the_worker_is_told_of_every_change() {
    let mut worker = Worker::start(&[]).await;
    let server = Server::start(telling(&worker.url)).await.unwrap();
    let demo = server.demo.clone().unwrap();
    // The demo user's bot is set as the server starts.
    assert_eq!(worker.told().await.1, demo.user_id);
    let ada = bare(&server).await;
    let token = &ada.auth_token;

    let bot = settings(&ada);
    let added = post_as(&server, "/api/destinations", token, &bot).await;
    assert_eq!(worker.told().await.1, ada.user_id);
    let path = format!("/api/destinations/{}", added.json()["id"].as_str().unwrap());
    post_as(&server, &format!("{path}/prefer"), token, "").await;
    assert_eq!(worker.told().await.1, ada.user_id);
    assert_eq!(delete_as(&server, &path, token).await.status, 200);
    assert_eq!(worker.told().await.1, ada.user_id);
    post_as(&server, "/api/settings/bot-token", token, &bot).await;
    assert_eq!(worker.told().await.1, ada.user_id);

    let key = post_as(&server, "/api/keys", token, r#"{"name":"a"}"#).await;
    let path = format!("/api/keys/{}", key.json()["id"].as_str().unwrap());
    post_as(&server, &format!("{path}/rotate"), token, "").await;
    assert_eq!(worker.told().await.1, ada.user_id);
    assert_eq!(delete_as(&server, &path, token).await.status, 200);
    assert_eq!(worker.told().await.1, ada.user_id);

    let control = format!("/_control/users/{}/bot", demo.user_id);
    assert_eq!(post(&server, &control, "").await.status, 200);
    assert_eq!(worker.told().await.1, demo.user_id);
    assert_eq!(delete_as(&server, "/api/me/data", token).await.status, 200);
    assert_eq!(worker.told().await.1, ada.user_id);

    // What changes nothing tells nothing.
    let refused = json!({ "bot_token": "x", "channel_id": "-100" }).to_string();
    post_as(&server, "/api/destinations", token, &refused).await;
    delete_as(&server, "/api/destinations/nothing", token).await;
    post_as(&server, "/api/destinations/nothing/prefer", token, "").await;
    get_as(&server, "/api/keys", token).await;
    server.shutdown().await;
    assert!(worker.told.try_recv().is_err());
}

#[tokio::test]
async fn a_worker_that_does_not_take_it_is_told_again() {
    let mut worker = Worker::start(&[503]).await;
    let server = Server::start(telling(&worker.url)).await.unwrap();
    let first = worker.told().await;
    // With the same id, and signed anew.
    assert_eq!(worker.told().await, first);
    server.shutdown().await;
    assert!(worker.told.try_recv().is_err());
}

#[tokio::test]
async fn a_worker_that_refuses_is_not_told_again() {
    let mut worker = Worker::start(&[401]).await;
    let server = Server::start(telling(&worker.url)).await.unwrap();
    worker.told().await;
    // Waits for whatever is yet to be told.
    server.shutdown().await;
    assert!(worker.told.try_recv().is_err());
}

#[tokio::test]
async fn a_worker_that_never_answers_keeps_nobody_waiting() {
    // Its connections are taken by the system, and read by nobody.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let server = Server::start(telling(&url)).await.unwrap();
    let ada = bare(&server).await;
    let added = post_as(
        &server,
        "/api/destinations",
        &ada.auth_token,
        &settings(&ada),
    )
    .await;
    assert_eq!(added.status, 201);
    // A second change arrives at the worker while it has not answered the first.
    let demo = server.demo.clone().unwrap();
    let path = "/api/settings/bot-token";
    let set = post_as(&server, path, &demo.auth_token, &settings(&demo)).await;
    assert_eq!(set.status, 200);
    for _ in 0..3 {
        silent.accept().await.unwrap();
    }
}

#[tokio::test]
async fn without_a_secret_nobody_is_told() {
    let mut worker = Worker::start(&[]).await;
    let mut options = telling(&worker.url);
    options.backend.webhook_secret = None;
    let server = Server::start(options).await.unwrap();
    server.shutdown().await;
    assert!(worker.told.try_recv().is_err());
}

#[tokio::test]
async fn the_command_line_tells_the_worker_too() {
    let mut worker = Worker::start(&[]).await;
    let folder = Folder::new();
    let (server, demo) = folder.start().await;
    let variables = [
        ("WORKER_URL", worker.url.as_str()),
        ("WEBHOOK_SECRET", SECRET),
    ];
    let made = command_line::json_with(
        &folder,
        "keys create --user demo@example.com --name ci",
        &variables,
    )
    .await;
    let id = made["id"].as_str().unwrap();
    for command in ["rotate", "revoke"] {
        let command = format!("keys {command} {id}");
        command_line::json_with(&folder, &command, &variables).await;
    }
    server.shutdown().await;
    for _ in 0..2 {
        assert_eq!(worker.told.recv().await.unwrap().1, {
            json!({ "user_id": demo.user_id }).to_string()
        });
    }
    assert!(worker.told.try_recv().is_err());
}
