//! The outbox: events that the backend has not acknowledged yet, kept by one durable object until it
//! does.
//!
//! An event is tried again with growing pauses, for [`Config::outbox_retry_ms`]. Then it is *parked*:
//! it stays, and is tried no more until somebody asks for it. Nothing is ever dropped.
//!
//! An event is *claimed* before it is sent, by moving its time behind the end of that try. So an
//! object that dies in the middle takes the event up again, and the receiver drops what it has seen
//! by its `webhook-id`. There is no token in here, neither a user's nor a bot's.

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::message::{Message, Undelivered};
use crate::config::Config;
use crate::host::{Host, Object, ObjectFault, Storage, StorageFault, UnixMillis, rows};
use crate::text::rfc3339;

/// How long a reply waits for the outbox, in milliseconds. It takes a few, and far longer only when
/// the object has to move.
const ASK_TIMEOUT_MS: u32 = 5_000;
/// How long each try may take.
const TRY_TIMEOUT_MS: u32 = 10_000;
/// How much longer than a try its claim holds.
const CLAIM_SLACK_MS: u64 = 5_000;
/// The pause behind the first try; each later one is twice as long.
const FIRST_PAUSE_MS: u64 = 2_000;
const MAX_PAUSE_MS: u64 = 3_600_000;
/// Tries at one time. The runtime opens six connections at most
/// (developers.cloudflare.com, "Workers limits").
const TRIES_AT_ONCE: usize = 5;
/// Tries before the object is woken anew: each wake has subrequests of its own, 50 on the free plan.
const TRIES_A_WAKE: usize = 40;
/// Events on a page of the list.
const PAGE_EVENTS: usize = 100;

/// What the outbox can be asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Keep this message until it is delivered.
    Add(Message),
    /// What is there, oldest first, page by page: from behind the `next` of the page before.
    List(u64),
    /// Try those with these `webhook-id`s now, or all, and as long again as a new one.
    Redrive(Option<Vec<String>>),
}

/// Puts a message into the outbox. It is on disk when this ends well.
///
/// # Errors
/// Why it may not be there.
pub async fn add<H: Host>(host: &H, message: &Message) -> Result<(), ObjectFault> {
    ask(host, &Question::Add(message.clone())).await.map(drop)
}

/// Asks the outbox, and gives the JSON that it answers.
///
/// # Errors
/// Why there is no answer.
pub async fn ask<H: Host>(host: &H, question: &Question) -> Result<String, ObjectFault> {
    let question = serde_json::to_string(question).map_err(|_| ObjectFault::Failed)?;
    let object = Object {
        binding: "OUTBOX",
        name: "outbox",
    };
    let reply = host.ask(object, question, ASK_TIMEOUT_MS).await?;
    match reply.status {
        200 => Ok(reply.body),
        _ => Err(ObjectFault::Failed),
    }
}

/// Answers a question, within the durable object.
///
/// # Errors
/// [`StorageFault`], also for what is no question.
pub async fn answer<H: Host, S: Storage>(
    host: &H,
    config: &Config,
    storage: &S,
    question: &str,
) -> Result<String, StorageFault> {
    let question = serde_json::from_str(question).map_err(|_| StorageFault)?;
    let now = host.now();
    open(storage)?;
    let answer = match question {
        Question::Add(message) => {
            insert(storage, &message, now, pause_ms(host, 1), config)?;
            json!({}).to_string()
        }
        Question::List(after) => page(storage, after)?,
        Question::Redrive(ids) => {
            let redriven = redrive(storage, ids.as_deref(), now, config)?;
            json!({ "redriven": redriven }).to_string()
        }
    };
    schedule(storage).await?;
    Ok(answer)
}

/// Tries what is due, within the durable object, and sets the alarm for what is left.
///
/// # Errors
/// [`StorageFault`]; the runtime then wakes the object again.
pub async fn wake<H: Host, S: Storage>(
    host: &H,
    config: &Config,
    storage: &S,
) -> Result<(), StorageFault> {
    open(storage)?;
    let mut under_way = FuturesUnordered::new();
    let mut left = TRIES_A_WAKE;
    loop {
        let room = left.min(TRIES_AT_ONCE - under_way.len());
        for entry in claim(storage, host.now(), room)? {
            left -= 1;
            under_way.push(entry.try_once(host, config, storage));
        }
        match under_way.next().await {
            Some(tried) => tried?,
            None => break,
        }
    }
    schedule(storage).await
}

/// An event that was claimed.
struct Entry {
    sequence: u64,
    message: Message,
    /// Tries that failed.
    attempts: u32,
    /// When it is parked.
    retry_until: UnixMillis,
}

impl Entry {
    async fn try_once<H: Host, S: Storage>(
        self,
        host: &H,
        config: &Config,
        storage: &S,
    ) -> Result<(), StorageFault> {
        match self.message.send(host, config, TRY_TIMEOUT_MS).await {
            Ok(()) => self.delete(storage),
            Err(why) => self.put_off(host, storage, why),
        }
    }

    fn delete(&self, storage: &impl Storage) -> Result<(), StorageFault> {
        let statement = "DELETE FROM events WHERE sequence = ?";
        storage.sql(statement, &[self.sequence.into()]).map(drop)
    }

    fn put_off<H: Host>(
        &self,
        host: &H,
        storage: &impl Storage,
        why: Undelivered,
    ) -> Result<(), StorageFault> {
        let attempts = self.attempts.saturating_add(1);
        let due_at = next_try(host.now(), pause_ms(host, attempts), self.retry_until);
        if due_at.is_none() {
            let line = json!({
                "event": "notification_parked",
                "webhookId": self.message.id,
                "attempts": attempts,
                "why": why.to_string(),
            });
            host.log(&line.to_string());
        }
        storage
            .sql(
                "UPDATE events SET due_at = ?, attempts = ?, last_error = ? WHERE sequence = ?",
                &[
                    due_at.into(),
                    attempts.into(),
                    why.to_string().into(),
                    self.sequence.into(),
                ],
            )
            .map(drop)
    }
}

/// When to try again after a failure: after that pause, and a last time when its time is over. `None`
/// when that was the last.
fn next_try(now: UnixMillis, pause_ms: u64, retry_until: UnixMillis) -> Option<UnixMillis> {
    (now < retry_until).then(|| now.saturating_add(pause_ms).min(retry_until))
}

/// The pause behind so many failed tries: exponential, and between a half and the whole of it, so that
/// what failed together does not come back together.
fn pause_ms<H: Host>(host: &H, attempts: u32) -> u64 {
    let mut random = [0; 4];
    host.fill_random(&mut random);
    let doublings = attempts.saturating_sub(1).min(MAX_PAUSE_MS.ilog2());
    let half = (FIRST_PAUSE_MS << doublings).min(MAX_PAUSE_MS) / 2;
    half + half * u64::from(u32::from_le_bytes(random)) / u64::from(u32::MAX)
}

/// `due_at` is the time of the next try, and NULL when the event is parked.
fn open(storage: &impl Storage) -> Result<(), StorageFault> {
    storage.sql(
        "CREATE TABLE IF NOT EXISTS events (
           sequence INTEGER PRIMARY KEY AUTOINCREMENT,
           id TEXT NOT NULL UNIQUE,
           body TEXT NOT NULL,
           queued_at INTEGER NOT NULL,
           retry_until INTEGER NOT NULL,
           attempts INTEGER NOT NULL,
           due_at INTEGER,
           last_error TEXT
         )",
        &[],
    )?;
    storage
        .sql(
            "CREATE INDEX IF NOT EXISTS events_by_due_at ON events (due_at)",
            &[],
        )
        .map(drop)
}

fn insert(
    storage: &impl Storage,
    message: &Message,
    now: UnixMillis,
    pause_ms: u64,
    config: &Config,
) -> Result<(), StorageFault> {
    storage
        .sql(
            "INSERT INTO events (id, body, queued_at, retry_until, attempts, due_at)
             VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT (id) DO NOTHING",
            &[
                message.id.as_str().into(),
                message.body.as_str().into(),
                now.into(),
                (now + config.outbox_retry_ms).into(),
                (now + pause_ms).into(),
            ],
        )
        .map(drop)
}

/// Takes what is due, the longest due first, up to so many.
fn claim(storage: &impl Storage, now: UnixMillis, most: usize) -> Result<Vec<Entry>, StorageFault> {
    let until = now + u64::from(TRY_TIMEOUT_MS) + CLAIM_SLACK_MS;
    let claimed = storage.sql(
        "UPDATE events SET due_at = ? WHERE sequence IN (
           SELECT sequence FROM events WHERE due_at <= ? ORDER BY due_at, sequence LIMIT ?
         ) RETURNING sequence, id, body, attempts, retry_until",
        &[until.into(), now.into(), most.into()],
    )?;
    let entry = |(sequence, id, body, attempts, retry_until)| Entry {
        sequence,
        message: Message { id, body },
        attempts,
        retry_until,
    };
    Ok(rows(&claimed)?.into_iter().map(entry).collect())
}

fn redrive(
    storage: &impl Storage,
    ids: Option<&[String]>,
    now: UnixMillis,
    config: &Config,
) -> Result<usize, StorageFault> {
    // Without ids the list is not looked at.
    let chosen = json!(ids.unwrap_or_default()).to_string();
    let redriven = storage.sql(
        "UPDATE events SET due_at = ?, retry_until = ?, attempts = 0
         WHERE ? OR id IN (SELECT value FROM json_each(?)) RETURNING sequence",
        &[
            now.into(),
            (now + config.outbox_retry_ms).into(),
            u8::from(ids.is_none()).into(),
            chosen.into(),
        ],
    )?;
    Ok(rows::<(u64,)>(&redriven)?.len())
}

fn page(storage: &impl Storage, after: u64) -> Result<String, StorageFault> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        pending: u64,
        parked: u64,
        events: Vec<Listed>,
        /// Where the next page begins, if this one is full.
        next: Option<u64>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Listed {
        id: String,
        state: &'static str,
        attempts: u32,
        queued_at: String,
        next_try_at: Option<String>,
        last_error: Option<String>,
        event: Box<RawValue>,
    }
    let counts = storage.sql(
        "SELECT count(due_at), count(*) - count(due_at) FROM events",
        &[],
    )?;
    let (pending, parked) = rows(&counts)?.pop().ok_or(StorageFault)?;
    let listed = storage.sql(
        "SELECT sequence, id, body, queued_at, attempts, due_at, last_error FROM events
         WHERE sequence > ? ORDER BY sequence LIMIT ?",
        &[after.into(), PAGE_EVENTS.into()],
    )?;
    let mut page = Page {
        pending,
        parked,
        events: Vec::new(),
        next: None,
    };
    for (sequence, id, body, queued_at, attempts, due_at, last_error) in rows(&listed)? {
        let due_at: Option<UnixMillis> = due_at;
        page.events.push(Listed {
            id,
            state: due_at.map_or("parked", |_| "pending"),
            attempts,
            queued_at: rfc3339(queued_at),
            next_try_at: due_at.map(rfc3339),
            last_error,
            event: RawValue::from_string(body).map_err(|_| StorageFault)?,
        });
        page.next = (page.events.len() == PAGE_EVENTS).then_some(sequence);
    }
    serde_json::to_string(&page).map_err(|_| StorageFault)
}

/// Sets the alarm for what is due next, if anything is.
async fn schedule(storage: &impl Storage) -> Result<(), StorageFault> {
    let next = storage.sql("SELECT min(due_at) FROM events", &[])?;
    match rows(&next)?.pop() {
        Some((Some(due_at),)) => storage.set_alarm(due_at).await,
        _ => Ok(()),
    }
}
