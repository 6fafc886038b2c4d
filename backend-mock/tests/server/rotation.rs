//! Keys are rotated under a server that goes on writing.

use std::{
    collections::VecDeque,
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{
    client::{request, send},
    command_line,
    persistence::Folder,
    process::Process,
};

const OLD: &str = "old:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const NEW: &str = "new:CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=";
/// Destinations that the writer keeps; the oldest go.
const KEPT: usize = 20;

/// A user's session at a server.
#[derive(Clone)]
struct Client {
    address: SocketAddr,
    token: String,
}

/// A destination that the server has acknowledged.
struct Acknowledged {
    id: String,
    bot_token: String,
}

impl Client {
    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let authorization = format!("Authorization: Bearer {}", self.token);
        let body = body.to_string();
        let request = request(method, path, &[&authorization], body.as_bytes());
        let reply = send(self.address, &request).await.unwrap();
        let said = String::from_utf8_lossy(&reply.body);
        assert!((200..300).contains(&reply.status), "{path}: {said}");
        reply.json()
    }

    /// Adds destinations and removes old ones until it is stopped; says when the first is there.
    async fn write(
        self,
        bots: Vec<Value>,
        first: oneshot::Sender<()>,
        stop: Arc<AtomicBool>,
    ) -> VecDeque<Acknowledged> {
        let mut first = Some(first);
        let mut acknowledged = VecDeque::new();
        for bot in bots.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let body = json!({ "bot_token": bot["bot_token"], "channel_id": bot["channel_id"] });
            let added = self.ask("POST", "/api/destinations", &body).await;
            acknowledged.push_back(Acknowledged {
                id: text(&added["id"]),
                bot_token: text(&bot["bot_token"]),
            });
            // The preferred one is sealed again in its row.
            self.ask("POST", "/api/settings/bot-token", &body).await;
            if let Some(first) = first.take() {
                first.send(()).unwrap();
            }
            if acknowledged.len() > KEPT
                && let Some(oldest) = acknowledged.pop_front()
            {
                let path = format!("/api/destinations/{}", oldest.id);
                self.ask("DELETE", &path, &json!({})).await;
            }
        }
        acknowledged
    }

    async fn assert_lent(&self, acknowledged: &VecDeque<Acknowledged>) {
        for one in acknowledged {
            let path = format!("/api/worker/credentials?destination={}", one.id);
            let lent = self.ask("GET", &path, &json!({})).await;
            assert_eq!(lent["destination_id"], one.id);
        }
        // All but the first, which the settings have changed since.
        let listed = self.ask("GET", "/api/destinations", &json!({})).await;
        assert_eq!(listed.as_array().unwrap().len(), acknowledged.len());
        for one in acknowledged.iter().skip(1) {
            let path = format!("/api/worker/credentials?destination={}", one.id);
            let lent = self.ask("GET", &path, &json!({})).await;
            assert_eq!(lent["bot_token"], one.bot_token);
        }
        let telegram = self.ask("GET", "/api/worker/credentials", &json!({})).await;
        assert!(telegram["telegram_session"].is_string());
    }
}

async fn start(folder: &Folder, keys: Option<&str>) -> Process {
    let variables: Vec<_> = keys
        .map(|keys| ("ENCRYPTION_KEY", keys))
        .into_iter()
        .collect();
    let arguments = ["--listen", "127.0.0.1:0", "--control"];
    Process::start(folder, &arguments, &variables, None).await
}

fn address(process: &Process) -> SocketAddr {
    process
        .base_url
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// A user, and two bots with their channels.
async fn user_and_bots(process: &Process) -> (Client, Vec<Value>) {
    let address = address(process);
    let nobody = Client {
        address,
        token: String::new(),
    };
    let unconfigured = json!({ "configured": false });
    let mut made = Vec::new();
    for _ in 0..2 {
        made.push(nobody.ask("POST", "/_control/users", &unconfigured).await);
    }
    let client = Client {
        address,
        token: text(&made[0]["auth_token"]),
    };
    (client, made)
}

/// Rotates while the client writes; returns what the server has acknowledged.
async fn rotate_under(
    folder: &Folder,
    client: &Client,
    bots: Vec<Value>,
    keys: Option<&str>,
) -> VecDeque<Acknowledged> {
    let stop = Arc::new(AtomicBool::new(false));
    let (first, begun) = oneshot::channel();
    let writing = tokio::spawn(client.clone().write(bots, first, Arc::clone(&stop)));
    begun.await.unwrap();
    let variables: Vec<_> = keys
        .map(|keys| ("ENCRYPTION_KEY", keys))
        .into_iter()
        .collect();
    let rotated = command_line::json_with(folder, "rotate-key", &variables).await;
    assert!(rotated["resealed"].as_u64().unwrap() >= 1, "{rotated}");
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap()
}

#[tokio::test]
async fn after_a_rotation_of_the_key_file_the_new_key_alone_opens_everything() {
    let folder = Folder::new();
    let server = start(&folder, None).await;
    let (client, bots) = user_and_bots(&server).await;
    let acknowledged = rotate_under(&folder, &client, bots, None).await;
    server.kill();
    let keys = fs::read_to_string(format!("{}.key", folder.data().display())).unwrap();
    let newest = keys.lines().next().unwrap();
    let server = start(&folder, Some(newest)).await;
    // The session of before is good still: nobody was logged out.
    let client = Client {
        address: address(&server),
        ..client
    };
    client.assert_lent(&acknowledged).await;
}

#[tokio::test]
async fn after_a_rotation_of_the_key_list_the_new_key_alone_opens_everything() {
    let folder = Folder::new();
    let server = start(&folder, Some(OLD)).await;
    let (client, bots) = user_and_bots(&server).await;
    server.kill();
    let list = format!("{NEW},{OLD}");
    let server = start(&folder, Some(&list)).await;
    let client = Client {
        address: address(&server),
        ..client
    };
    let acknowledged = rotate_under(&folder, &client, bots, Some(&list)).await;
    server.kill();
    let server = start(&folder, Some(NEW)).await;
    let client = Client {
        address: address(&server),
        ..client
    };
    client.assert_lent(&acknowledged).await;
}
