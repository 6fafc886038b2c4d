//! Two users make random requests over all routes: neither sees or changes anything of the other's.

use std::collections::{BTreeMap, BTreeSet};

use backend_mock::{Options, Server, Setup};
use fastrand::Rng;
use serde_json::Value;

use crate::{
    client::{options_with, user},
    openapi::{Api, CLEARS_ALL, Drawn, Operation, Texts},
    process::{http_client, seed},
};

const REQUESTS: u32 = 10_000;
/// Requests of one user in a row, at most.
const MAX_BLOCK: u32 = 100;
/// Fields that name a row of the database. Any other text is a user's own and carries its mark.
const IDS: [&str; 8] = [
    "id",
    "destination",
    "destination_id",
    "userId",
    "user_id",
    "qr_id",
    "phone_code_hash",
    "login_id",
];

/// A user, and all that is known to be this user's.
struct Actor {
    /// Stands in every text that this user sends, and in none of the other's.
    mark: &'static str,
    token: String,
    bot_token: String,
    channel_id: String,
    /// What nobody else may ever be shown.
    secrets: BTreeSet<String>,
    /// Names of rows, which the other guesses.
    ids: BTreeSet<String>,
    /// API keys, revoked ones included.
    keys: Vec<String>,
    /// What this user saw when it last looked at everything.
    seen: BTreeMap<String, Value>,
    requests: u32,
}

/// The texts of one request: an actor's own, and ids of both.
struct Guesses<'a> {
    actor: &'a Actor,
    others_ids: Vec<&'a String>,
}

impl Texts for Guesses<'_> {
    fn text(&mut self, field: &str, random: &mut Rng) -> String {
        let actor = self.actor;
        match field {
            field if IDS.contains(&field) => {
                let own: Vec<_> = actor.ids.iter().collect();
                let ids = if random.bool() {
                    &own
                } else {
                    &self.others_ids
                };
                let random_id = || "00000000-0000-4000-8000-000000000000".to_owned();
                random
                    .choice(ids)
                    .map_or_else(random_id, |id| (*id).clone())
            }
            "bot_token" => actor.bot_token.clone(),
            "channel_id" => actor.channel_id.clone(),
            "email" | "username" => format!("{}+{}@example.com", actor.mark, random.u32(..)),
            "phone" => format!("+1555{:07}", random.u32(..10_000_000)),
            _ => format!("{} {}", actor.mark, random.u16(..)),
        }
    }
}

impl Actor {
    /// Notes what a reply to this user names: ids and secrets that are this user's from now on.
    fn learn(&mut self, reply: &Value, other: &Actor) {
        match reply {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if let Value::String(text) = value {
                        match name.as_str() {
                            "key" | "api_key" => {
                                self.secrets.insert(text.clone());
                                self.keys.push(text.clone());
                            }
                            "access_token" | "bot_token" | "telegram_session"
                            | "telegram_api_hash" | "invite_link" => {
                                self.secrets.insert(text.clone());
                            }
                            name if IDS.contains(&name) && !other.ids.contains(text) => {
                                self.ids.insert(text.clone());
                            }
                            _ => {}
                        }
                    }
                    self.learn(value, other);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.learn(value, other)),
            _ => {}
        }
    }

    /// What of this user's stands in a text that the other was sent for a request.
    fn found_in<'a>(&self, text: &'a str, request: &Drawn) -> Option<&'a str> {
        let sent = |id: &str| {
            request.path.contains(id) || request.body.as_ref().is_some_and(|it| it.1.contains(id))
        };
        // No id or secret has other characters.
        let is_end = |it: char| !it.is_ascii_alphanumeric() && !"-_.:".contains(it);
        let mut words = text.split(is_end).map(|word| word.trim_matches(['.', ':']));
        words.find(|word| {
            *word == self.mark
                || self.secrets.contains(*word)
                || self.ids.contains(*word) && !sent(word)
        })
    }
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "one story, best read in one piece")]
async fn neither_of_two_users_sees_or_changes_anything_of_the_others() {
    let mut random = Rng::with_seed(seed());
    let server = Server::start(Options {
        control: false,
        ..options_with(|backend| {
            // Whoever may write events may write everybody's: that is the worker.
            let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse();
            backend.webhook_secret = Some(secret.unwrap());
        })
    })
    .await
    .unwrap();
    let client = http_client();
    let document = client
        .get(format!("{}/api/openapi.json", server.base_url))
        .send()
        .await
        .unwrap();
    let mut api = Api::of(document.json().await.unwrap());
    api.operations.retain(|it| it.path != CLEARS_ALL);
    let mut pair = Vec::new();
    for mark in ["alice", "bobby"] {
        let made = user(&server, Setup::default()).await;
        pair.push(Actor {
            mark,
            secrets: [made.auth_token.clone(), made.bot_token.clone()].into(),
            ids: [made.user_id].into(),
            keys: Vec::new(),
            seen: BTreeMap::new(),
            token: made.auth_token,
            bot_token: made.bot_token,
            channel_id: made.channel_id,
            requests: 0,
        });
    }
    let mut run = Run {
        client,
        base_url: server.base_url.clone(),
        api,
        granted: 0,
        changes: 0,
    };
    let mut pair: [Actor; 2] = pair.try_into().ok().unwrap();
    for actor in &mut pair {
        actor.seen = run.look(actor).await;
    }
    let mut left = REQUESTS;
    while left > 0 {
        let [actor, other] = &mut pair;
        let block = random.u32(1..=MAX_BLOCK).min(left);
        for _ in 0..block {
            run.ask(actor, other, &mut random).await;
        }
        left -= block;
        let seen = run.look(other).await;
        assert_eq!(
            seen, other.seen,
            "{} changed what is {}'s",
            actor.mark, other.mark
        );
        let seen = run.look(actor).await;
        run.changes += u32::from(seen != actor.seen);
        actor.seen = seen;
        pair.reverse();
    }
    run.prove(&pair, &random);
    // Even who clears everything clears nothing of the other's.
    let [actor, other] = &pair;
    let clear = Drawn {
        method: reqwest::Method::DELETE,
        path: CLEARS_ALL.to_owned(),
        body: None,
    };
    let (status, text) = run.send(&clear, &actor.token).await;
    assert!(status < 300, "{status} {text}");
    assert_eq!(run.look(other).await, other.seen);
    assert_ne!(run.look(actor).await, actor.seen);
    server.shutdown().await;
}

struct Run {
    client: reqwest::Client,
    base_url: String,
    api: Api,
    /// Random requests that were not refused.
    granted: u32,
    /// Blocks after which a user saw something else than before.
    changes: u32,
}

impl Run {
    /// Makes a random request, and looks for the other's things in the reply.
    async fn ask(&mut self, actor: &mut Actor, other: &Actor, random: &mut Rng) {
        let operation = random.choice(&self.api.operations).unwrap().clone();
        let mut texts = Guesses {
            others_ids: other.ids.iter().collect(),
            actor,
        };
        let drawn = self.api.draw(&operation, &mut texts, random);
        // Now and then with a key: it may be revoked.
        let token = match random.choice(&actor.keys) {
            Some(key) if random.u8(..4) == 0 => key,
            _ => &actor.token,
        };
        let (status, text) = self.send(&drawn, token).await;
        assert!(status < 500, "{status} {text} to {drawn:?}");
        if let Some(found) = other.found_in(&text, &drawn) {
            panic!("{} was shown {found} in {text} to {drawn:?}", actor.mark);
        }
        actor.requests += 1;
        if status < 300 {
            self.granted += 1;
            if let Ok(json) = serde_json::from_str(&text) {
                actor.learn(&json, other);
            }
        }
    }

    /// Everything that a user can look at without naming it.
    async fn look(&self, actor: &Actor) -> BTreeMap<String, Value> {
        let mut seen = BTreeMap::new();
        for operation in self.api.operations.iter().filter(|it| is_listing(it)) {
            let drawn = Drawn {
                method: operation.method.clone(),
                path: operation.path.clone(),
                body: None,
            };
            let (status, text) = self.send(&drawn, &actor.token).await;
            let mut json = serde_json::from_str(&text).unwrap();
            forget_uses(&mut json);
            seen.insert(format!("{status} {}", operation.path), json);
        }
        seen
    }

    async fn send(&self, drawn: &Drawn, token: &str) -> (u16, String) {
        let url = format!("{}{}", self.base_url, drawn.path);
        let mut request = self.client.request(drawn.method.clone(), url);
        if let Some((kind, body)) = &drawn.body {
            request = request.header("content-type", kind).body(body.clone());
        }
        let reply = request.bearer_auth(token).send().await.unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    }

    /// What would have been found, had it been there: a run that sees nothing proves nothing.
    fn prove(&self, pair: &[Actor; 2], random: &Rng) {
        let nothing = Drawn {
            method: reqwest::Method::GET,
            path: String::new(),
            body: None,
        };
        for actor in pair {
            for path in ["/api/keys", "/api/files", "/api/worker/credentials"] {
                let shown = actor.seen.iter().find(|(at, _)| at.ends_with(path));
                let (at, json) = shown.unwrap();
                let text = json.to_string();
                let found = actor.found_in(&text, &nothing);
                assert!(found.is_some() || !at.starts_with("200"), "{at}");
            }
            assert!(actor.requests > REQUESTS / 4, "{}", actor.requests);
        }
        assert!(self.granted > REQUESTS / 4, "{} granted", self.granted);
        assert!(self.changes > 20, "{} changes, {random:?}", self.changes);
    }
}

fn is_listing(operation: &Operation) -> bool {
    operation.is_private
        && operation.method == reqwest::Method::GET
        && !operation.path.contains('{')
}

/// Takes out what tells of the use of keys: it is written within a second, and not at once.
fn forget_uses(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            fields.retain(|name, _| name != "last_used_at" && name != "request_count");
            fields.values_mut().for_each(forget_uses);
        }
        Value::Array(values) => values.iter_mut().for_each(forget_uses),
        _ => {}
    }
}
