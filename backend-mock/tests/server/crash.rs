//! The process is killed again and again while clients write.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use backend_mock::{Provisioned, Setup};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    command_line,
    persistence::Folder,
    process::{Process, http_client, seed},
};

const KILLS: u32 = 50;
/// Writes that are acknowledged between a start and a kill, at most.
const MAX_WRITES: i64 = 30;

/// What the clients know: what they have asked for, and what was acknowledged.
#[derive(Default)]
struct Known {
    /// Names of keys, and what the answer was to making them.
    keys: BTreeMap<String, Option<Key>>,
    /// The bot that was set last, and the one whose setting was not answered.
    bot: usize,
    bot_asked: Option<usize>,
    /// Events whose answer has come: 0 up to this. The next one may have been sent.
    events: i64,
}

struct Key {
    id: String,
    text: String,
    /// `None`: asked for, and not answered.
    revoked: Option<bool>,
}

/// What the clients write into.
struct World {
    client: Client,
    base_url: String,
    writer: Provisioned,
    bots: [Provisioned; 2],
    /// Writes until the process is killed.
    countdown: AtomicI64,
    enough: Notify,
}

impl World {
    fn request(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base_url))
            .bearer_auth(&self.writer.auth_token)
    }

    /// The reply's JSON; `None` when the process was killed.
    async fn write(&self, request: RequestBuilder) -> Option<Value> {
        let reply = request.send().await.ok()?;
        let status = reply.status();
        let json: Value = reply.json().await.ok()?;
        assert!(status.is_success(), "{status} {json}");
        if self.countdown.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.enough.notify_one();
        }
        Some(json)
    }

    async fn read(&self, path: &str) -> Value {
        let reply = self.request(reqwest::Method::GET, path).send().await;
        let reply = reply.unwrap();
        assert_eq!(reply.status(), StatusCode::OK, "{path}");
        reply.json().await.unwrap()
    }

    /// Makes keys, and revokes every other one, until the process is killed.
    async fn write_keys(&self, keys: &mut BTreeMap<String, Option<Key>>) {
        loop {
            let name = format!("key-{:05}", keys.len());
            keys.insert(name.clone(), None);
            let create = self.request(reqwest::Method::POST, "/api/keys");
            let create = create.json(&json!({ "name": name }));
            let Some(made) = self.write(create).await else {
                return;
            };
            let text = |field: &str| made[field].as_str().unwrap().to_owned();
            let revoke = keys.len().is_multiple_of(2);
            let path = format!("/api/keys/{}", text("id"));
            let key = keys.entry(name).or_default().insert(Key {
                id: text("id"),
                text: text("key"),
                revoked: Some(false),
            });
            if revoke {
                key.revoked = None;
                let revoke = self.request(reqwest::Method::DELETE, &path);
                if self.write(revoke).await.is_none() {
                    return;
                }
                key.revoked = Some(true);
            }
        }
    }

    /// Sets one bot after the other, until the process is killed.
    async fn write_settings(&self, bot: &mut usize, asked: &mut Option<usize>) {
        loop {
            let next = (*bot + 1) % self.bots.len();
            *asked = Some(next);
            let settings = json!({
                "bot_token": self.bots[next].bot_token, "channel_id": self.bots[next].channel_id,
            });
            let set = self.request(reqwest::Method::POST, "/api/settings/bot-token");
            if self.write(set.json(&settings)).await.is_none() {
                return;
            }
            *bot = next;
            *asked = None;
        }
    }

    /// Sends events, each until it is answered, until the process is killed.
    async fn write_events(&self, events: &mut i64) {
        loop {
            let number = *events;
            let event = json!({
                "userId": self.writer.user_id, "fileName": "a.txt", "messageId": number + 1,
                "fileId": format!("file-{number}"), "size": number,
            });
            let tell = self.request(reqwest::Method::POST, "/api/webhook/upload");
            let tell = tell.header("webhook-id", format!("event-{number}"));
            if self.write(tell.json(&event)).await.is_none() {
                return;
            }
            *events += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_outlives_fifty_kills_and_none_is_doubled() {
    let mut random = fastrand::Rng::with_seed(seed());
    let folder = Folder::new();
    let (server, writer) = folder.start().await;
    let mut bots = Vec::new();
    for _ in 0..2 {
        bots.push(server.add_user(&Setup::default()).await.unwrap());
    }
    server.shutdown().await;
    let bots: [Provisioned; 2] = bots.try_into().unwrap();

    let mut known = Known::default();
    let mut process = start(&folder).await;
    let mut world = World {
        client: http_client(),
        base_url: process.base_url.clone(),
        writer,
        bots,
        countdown: AtomicI64::new(i64::MAX),
        enough: Notify::new(),
    };
    // The first bot is set before the first kill.
    let settings = json!({
        "bot_token": world.bots[0].bot_token, "channel_id": world.bots[0].channel_id,
    });
    let set = world.request(reqwest::Method::POST, "/api/settings/bot-token");
    world.write(set.json(&settings)).await.unwrap();

    for _ in 0..KILLS {
        world = Arc::into_inner(write_until_killed(world, process, &mut known, &mut random).await)
            .unwrap();
        process = start(&folder).await;
        world.base_url.clone_from(&process.base_url);
        check(&world, &mut known).await;
    }
    assert!(known.events > i64::from(KILLS), "{} events", known.events);
    let keys = world.read("/api/keys").await.as_array().unwrap().len();
    process.kill();
    // The audit entry of a key is as sure as the key.
    let audit = command_line::json(&folder, "audit tail -n 100000").await;
    let made = audit.as_array().unwrap().iter();
    assert_eq!(
        made.filter(|row| row["action"] == "key.create").count(),
        keys
    );
}

async fn start(folder: &Folder) -> Process {
    let arguments = ["--listen", "127.0.0.1:0", "--control"];
    Process::start(folder, &arguments, &[("RUST_LOG", "warn")], None).await
}

/// Lets three clients write at once, and kills the process after some of their writes.
async fn write_until_killed(
    world: World,
    process: Process,
    known: &mut Known,
    random: &mut fastrand::Rng,
) -> Arc<World> {
    let world = Arc::new(world);
    world
        .countdown
        .store(random.i64(1..=MAX_WRITES), Ordering::Relaxed);
    let Known {
        keys,
        bot,
        bot_asked,
        events,
    } = known;
    let kill = async {
        world.enough.notified().await;
        tokio::task::block_in_place(|| process.kill());
    };
    tokio::join!(
        kill,
        world.write_keys(keys),
        world.write_settings(bot, bot_asked),
        world.write_events(events),
    );
    world
}

/// Compares what there is with what the clients know.
async fn check(world: &World, known: &mut Known) {
    check_keys(world, &known.keys).await;

    let credentials = world.read("/api/worker/credentials").await;
    let set = world
        .bots
        .iter()
        .position(|bot| credentials["bot_token"] == bot.bot_token)
        .expect("one of the bots");
    assert!(set == known.bot || Some(set) == known.bot_asked);
    assert_eq!(credentials["channel_id"], world.bots[set].channel_id);
    (known.bot, known.bot_asked) = (set, None);

    // The event that was under way is there as a whole, or not at all.
    let usage = world.read("/api/usage").await["total"].clone();
    let uploads = usage["uploads"].as_i64().unwrap();
    assert!(
        (known.events..=known.events + 1).contains(&uploads),
        "{usage}"
    );
    assert_eq!(usage["bytes"], (0..uploads).sum::<i64>());
    let files = world.read("/api/files?limit=1000").await;
    let files = texts(&files, |file| &file["fileId"]);
    let expected: BTreeSet<_> = (0..uploads)
        .map(|number| format!("file-{number}"))
        .collect();
    assert_eq!(files, expected);
    let told = world.read("/_control/notifications").await;
    let told = texts(&told, |event| &event["headers"]["webhook-id"]);
    let expected: BTreeSet<_> = (0..uploads)
        .map(|number| format!("event-{number}"))
        .collect();
    assert_eq!(told, expected);
}

async fn check_keys(world: &World, known: &BTreeMap<String, Option<Key>>) {
    let listed = world.read("/api/keys").await;
    let names = texts(&listed, |key| &key["name"]);
    assert!(names.iter().all(|name| known.contains_key(name)));
    let active: BTreeMap<&str, bool> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|key| (key["id"].as_str().unwrap(), key["active"] == true))
        .collect();
    let mut last = None;
    for key in known.values().flatten() {
        let active = active.get(key.id.as_str()).expect("an acknowledged key");
        if let Some(revoked) = key.revoked {
            assert_eq!(*active, !revoked);
            last = Some((key, revoked));
        }
    }
    if let Some((key, revoked)) = last {
        let url = format!("{}/api/auth/me", world.base_url);
        let reply = world.client.get(url).bearer_auth(&key.text).send().await;
        let expected = if revoked { 401 } else { 200 };
        assert_eq!(reply.unwrap().status(), expected);
    }
}

/// One text of each; fails where one comes twice.
fn texts(list: &Value, text: impl Fn(&Value) -> &Value) -> BTreeSet<String> {
    let list = list.as_array().unwrap();
    let texts: BTreeSet<_> = list
        .iter()
        .map(|it| text(it).as_str().unwrap().to_owned())
        .collect();
    assert_eq!(texts.len(), list.len(), "one is doubled");
    texts
}
