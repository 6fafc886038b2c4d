//! Users whose credentials have changed, so that every isolate drops what it has of them.
//!
//! The backend says so to whichever isolate it reaches (`POST /hooks/credentials`). One durable object
//! remembers it under a growing version. Each isolate asks that object for what is newer than it
//! knows, beside an upload and not in front of it, every [`REFRESH_MS`]; one that had nothing to do
//! for a minute asks before it uses what it has. So nobody uploads with credentials that were
//! revoked more than a minute ago.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::Cache;
use crate::host::{Host, Object, ObjectFault, Storage, StorageFault, UnixMillis, rows};

/// How often an isolate that is busy asks, in milliseconds.
const REFRESH_MS: u64 = 20_000;
/// What an isolate knows holds for so long, in milliseconds.
const HOLDS_MS: u64 = 60_000;
/// How long an upload waits for the object when it has to, in milliseconds.
const ASK_TIMEOUT_MS: u32 = 2_000;
/// How long the object remembers a user, in milliseconds. An isolate that asks later than that drops
/// everything.
const REMEMBERED_MS: u64 = 3_600_000;
/// How far apart the clocks of an isolate and of the object may be, in milliseconds.
const CLOCK_SKEW_MS: u64 = 60_000;

/// What the object can be asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Question {
    /// Remember this user.
    Revoke(String),
    /// Who was revoked after that version.
    Since(u64),
    /// Who was revoked from that time on: the question of an isolate that knows no version yet.
    From(UnixMillis),
}

/// What it answers to `Since`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct News {
    version: u64,
    /// None when it does not remember as far back: then it may be anybody.
    users: Option<Vec<String>>,
}

/// What an isolate knows.
#[derive(Debug, Default)]
pub struct Revocations {
    /// When it was first used. What is cached is no older than that.
    began_at: Cell<Option<UnixMillis>>,
    version: Cell<Option<u64>>,
    /// When the object was asked last.
    asked_at: Cell<Option<UnixMillis>>,
    /// When it answered last.
    known_at: Cell<Option<UnixMillis>>,
    /// There is no object to ask.
    unbound: Cell<bool>,
}

/// Whether the object has to be asked.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    No,
    Beside,
    Before,
}

impl Revocations {
    /// What an upload has to do. It has then claimed the asking.
    fn due(&self, now: UnixMillis) -> Due {
        let is_within = |time: &Cell<Option<UnixMillis>>, ms| {
            time.get().is_some_and(|at| now.saturating_sub(at) < ms)
        };
        if self.began_at.get().is_none() {
            for time in [&self.began_at, &self.asked_at, &self.known_at] {
                time.set(Some(now));
            }
        }
        if self.unbound.get() || is_within(&self.asked_at, REFRESH_MS) {
            return Due::No;
        }
        self.asked_at.set(Some(now));
        if is_within(&self.known_at, HOLDS_MS) {
            Due::Beside
        } else {
            Due::Before
        }
    }
}

/// Learns who was revoked, if it is time to.
pub async fn refresh<H: Host>(host: &H, known: &Rc<Revocations>, cache: &Rc<RefCell<Cache>>) {
    match known.due(host.now()) {
        Due::No => {}
        Due::Before => learn(host, known, cache).await,
        Due::Beside => {
            let (host2, known, cache) = (host.clone(), Rc::clone(known), Rc::clone(cache));
            host.defer(async move { learn(&host2, &known, &cache).await });
        }
    }
}

async fn learn<H: Host>(host: &H, known: &Revocations, cache: &RefCell<Cache>) {
    let question = match known.version.get() {
        Some(version) => Question::Since(version),
        None => Question::From(known.began_at.get().unwrap_or_default()),
    };
    let news = match ask(host, &question).await {
        Ok(answer) => serde_json::from_str::<News>(&answer).ok(),
        Err(ObjectFault::NotBound) => {
            known.unbound.set(true);
            return;
        }
        // The next one asks again; uploads do not wait for it to be well.
        Err(ObjectFault::Failed) => None,
    };
    let Some(news) = news else { return };
    let mut cache = cache.borrow_mut();
    match &news.users {
        Some(users) => users.iter().for_each(|user_id| cache.drop_user(user_id)),
        None => cache.drop_all(),
    }
    known.version.set(Some(news.version));
    known.known_at.set(Some(host.now()));
}

/// Tells every isolate to drop what it has of this user. This one does at once.
///
/// # Errors
/// Why the others may not hear of it.
pub async fn revoke<H: Host>(
    host: &H,
    cache: &RefCell<Cache>,
    user_id: &str,
) -> Result<(), ObjectFault> {
    cache.borrow_mut().drop_user(user_id);
    let question = Question::Revoke(user_id.to_owned());
    ask(host, &question).await.map(drop)
}

async fn ask<H: Host>(host: &H, question: &Question) -> Result<String, ObjectFault> {
    let question = serde_json::to_string(question).map_err(|_| ObjectFault::Failed)?;
    host.ask(Object::Revocations, question, ASK_TIMEOUT_MS)
        .await
}

/// Answers a question, within the durable object.
///
/// # Errors
/// [`StorageFault`], also for what is no question.
pub fn answer<S: Storage>(
    storage: &S,
    now: UnixMillis,
    question: &str,
) -> Result<String, StorageFault> {
    storage.sql(
        "CREATE TABLE IF NOT EXISTS revoked (version INTEGER PRIMARY KEY, user_id TEXT NOT NULL, at INTEGER NOT NULL)",
        &[],
    )?;
    match serde_json::from_str(question).map_err(|_| StorageFault)? {
        Question::Revoke(user_id) => {
            // The last one stays: the next version is counted from it.
            storage.sql(
                "DELETE FROM revoked WHERE at < ? AND version < (SELECT MAX(version) FROM revoked)",
                &[now.saturating_sub(REMEMBERED_MS).into()],
            )?;
            storage.sql(
                "INSERT INTO revoked (user_id, at) VALUES (?, ?)",
                &[user_id.into(), now.into()],
            )?;
            Ok("{}".to_owned())
        }
        Question::Since(version) => {
            let (oldest, last) = versions(storage)?;
            let statement = "SELECT DISTINCT user_id FROM revoked WHERE version > ?";
            news(storage, last, version + 1 >= oldest, statement, version)
        }
        Question::From(time) => {
            let (_, last) = versions(storage)?;
            let statement = "SELECT DISTINCT user_id FROM revoked WHERE at >= ?";
            let from = time.saturating_sub(CLOCK_SKEW_MS);
            news(storage, last, from + REMEMBERED_MS >= now, statement, from)
        }
    }
}

/// The oldest and the newest version that is remembered; 0 when there is none.
fn versions<S: Storage>(storage: &S) -> Result<(u64, u64), StorageFault> {
    let bounds = "SELECT COALESCE(MIN(version), 0), COALESCE(MAX(version), 0) FROM revoked";
    let bounds = rows::<(u64, u64)>(&storage.sql(bounds, &[])?)?.pop();
    Ok(bounds.unwrap_or_default())
}

/// The users that a statement with one parameter gives, unless it does not reach `as_far_back` as that.
fn news<S: Storage>(
    storage: &S,
    version: u64,
    as_far_back: bool,
    statement: &str,
    parameter: u64,
) -> Result<String, StorageFault> {
    let users = if as_far_back {
        let users = rows::<(String,)>(&storage.sql(statement, &[parameter.into()])?)?;
        Some(users.into_iter().map(|(user_id,)| user_id).collect())
    } else {
        None
    };
    serde_json::to_string(&News { version, users }).map_err(|_| StorageFault)
}
