//! The outbox: events that the backend has not acknowledged yet, kept until it does.
//!
//! It has [`SHARDS`] objects, and an event's id says which of them keeps it. What concerns all events
//! is asked of every shard.
//!
//! An event is tried again with growing pauses, for [`outbox_retry_ms`](crate::config::Config::outbox_retry_ms). Then it is *parked*:
//! it stays, and is not tried until somebody asks for it. So is an event that the backend refuses for
//! good. An event goes only when it is acknowledged, or discarded by the backend.
//!
//! An event is *claimed* before it is sent: its next try is moved to after the end of this one. So an
//! object that dies in the middle sends the event again, and the receiver drops what it has seen by
//! its `webhook-id`. No token is kept here, neither a user's nor a bot's.

mod entries;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

use futures_util::future::try_join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{Context, DurableObject, Storage, StorageFault, Transaction, ask};
use crate::host::{Host, ObjectFault};
use crate::text::rfc3339;
use crate::webhook::{Message, Undelivered};
use entries::{Entries, Entry};

/// Objects that share the events.
pub const SHARDS: u64 = 16;

/// How long a reply waits for a shard, in milliseconds. It takes a few, and far longer only when the
/// object has to move.
const ASK_TIMEOUT_MS: u32 = 5_000;
/// How long each try may take.
const TRY_TIMEOUT_MS: u32 = 10_000;
/// How much longer than a try its claim holds.
const CLAIM_SLACK_MS: u64 = 5_000;
/// The pause after the first try; each later one is twice as long.
const FIRST_PAUSE_MS: u64 = 2_000;
const MAX_PAUSE_MS: u64 = 3_600_000;
/// Tries at one time. The runtime opens six connections at most
/// (developers.cloudflare.com, "Workers limits").
const TRIES_AT_ONCE: usize = 5;
/// Tries before the object is woken anew: each wake has subrequests of its own, 50 on the free plan.
const TRIES_A_WAKE: usize = 40;
/// Events on a page of the list.
const PAGE_EVENTS: usize = 100;
/// Events that one turn redrives.
const REDRIVEN_A_TURN: usize = 500;

/// One shard.
pub struct Outbox;

/// What a shard can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Keep this message until it is delivered.
    Add(Message),
    /// What is there after this sequence, oldest first.
    List(u64),
    /// Try the events with these ids now, and for as long as a new one.
    Redrive(Vec<String>),
    /// The same for all after this sequence.
    RedriveAll(u64),
    /// Remove the events with these ids.
    Discard(Vec<String>),
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The message is there.
    Added,
    /// A part of the list.
    Listed(Page),
    /// So many events were redriven or discarded. `RedriveAll` goes on after `next`.
    Changed {
        /// How many.
        events: usize,
        /// Where to go on.
        next: Option<u64>,
    },
}

/// What a shard has.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Page {
    pending: u64,
    parked: u64,
    /// The first events of those that were asked for, with their sequences.
    events: Vec<(u64, Entry)>,
}

/// Puts a message into the outbox. It is on disk when this ends well.
///
/// # Errors
/// Why it may not be there.
pub async fn add<H: Host>(host: &H, message: &Message) -> Result<(), ObjectFault> {
    let shard = shard_of(&message.id);
    ask_shard(host, shard, &Question::Add(message.clone()))
        .await
        .map(drop)
}

/// A page of what the outbox has, oldest first, as JSON. It begins after the `next` of the page
/// before.
///
/// # Errors
/// Why there is no answer.
pub async fn list<H: Host>(host: &H, after: u64) -> Result<String, ObjectFault> {
    let questions = (0..SHARDS).map(|shard| (shard, Question::List(after)));
    let mut all = Page::default();
    for (_, answer) in ask_shards(host, questions.collect()).await? {
        let Answer::Listed(page) = answer else {
            return Err(ObjectFault::NoAnswer);
        };
        all.pending += page.pending;
        all.parked += page.parked;
        all.events.extend(page.events);
    }
    all.events.sort_unstable_by_key(|(sequence, _)| *sequence);
    all.events.truncate(PAGE_EVENTS);
    page_json(all).ok_or(ObjectFault::NoAnswer)
}

/// Tries the events with these `webhook-id`s now, or all, and for as long as new ones. Returns how
/// many they are.
///
/// # Errors
/// Why not; some may then be tried, others not.
pub async fn redrive<H: Host>(host: &H, ids: Option<&[String]>) -> Result<usize, ObjectFault> {
    let questions = match ids {
        Some(ids) => by_shard(ids, Question::Redrive),
        None => (0..SHARDS)
            .map(|shard| (shard, Question::RedriveAll(0)))
            .collect(),
    };
    change(host, questions).await
}

/// Removes the events with these `webhook-id`s. Returns how many there were.
///
/// # Errors
/// Why not; some may then be gone, others not.
pub async fn discard<H: Host>(host: &H, ids: &[String]) -> Result<usize, ObjectFault> {
    change(host, by_shard(ids, Question::Discard)).await
}

/// The question for each shard that may have some of these events.
fn by_shard(ids: &[String], question: impl Fn(Vec<String>) -> Question) -> Vec<(u64, Question)> {
    let questions = (0..SHARDS).filter_map(|shard| {
        // Shard 0 also has the events of the version that had no other.
        let may_be_there = |id: &&String| shard == 0 || shard_of(id) == shard;
        let ids: Vec<String> = ids.iter().filter(may_be_there).cloned().collect();
        (!ids.is_empty()).then(|| (shard, question(ids)))
    });
    questions.collect()
}

/// Asks until nothing is left to be changed, and counts what was.
async fn change<H: Host>(
    host: &H,
    mut questions: Vec<(u64, Question)>,
) -> Result<usize, ObjectFault> {
    let mut changed = 0;
    while !questions.is_empty() {
        let mut rest = Vec::new();
        for (shard, answer) in ask_shards(host, questions).await? {
            let Answer::Changed { events, next } = answer else {
                return Err(ObjectFault::NoAnswer);
            };
            changed += events;
            rest.extend(next.map(|next| (shard, Question::RedriveAll(next))));
        }
        questions = rest;
    }
    Ok(changed)
}

async fn ask_shards<H: Host>(
    host: &H,
    questions: Vec<(u64, Question)>,
) -> Result<Vec<(u64, Answer)>, ObjectFault> {
    let asked = questions.into_iter().map(async |(shard, question)| {
        let answer = ask_shard(host, shard, &question).await?;
        Ok((shard, answer))
    });
    try_join_all(asked).await
}

async fn ask_shard<H: Host>(
    host: &H,
    shard: u64,
    question: &Question,
) -> Result<Answer, ObjectFault> {
    ask::<Outbox>(host, &shard_name(shard), question, ASK_TIMEOUT_MS).await
}

/// The first shard has the name that the outbox had when it was one object.
pub(super) fn shard_name(shard: u64) -> String {
    match shard {
        0 => "outbox".to_owned(),
        _ => format!("outbox-{shard}"),
    }
}

/// The shard that keeps the event with this id.
pub(super) fn shard_of(id: &str) -> u64 {
    let first = Sha256::digest(id).first().copied();
    u64::from(first.unwrap_or_default()) % SHARDS
}

impl DurableObject for Outbox {
    type Question = Question;
    type Answer = Answer;
    const BINDING: &'static str = "OUTBOX";

    async fn answer<H: Host, T: Transaction>(
        context: &Context<'_, H>,
        tx: &mut T,
        question: Question,
    ) -> Result<Answer, StorageFault> {
        let mut entries = Entries::open(tx).await?;
        let answer = match question {
            Question::Add(message) => {
                let shard = shard_of(&message.id);
                entries.add(shard, &new_entry(context, message)).await?;
                Answer::Added
            }
            Question::List(after) => {
                let (pending, parked) = entries.counts();
                Answer::Listed(Page {
                    pending,
                    parked,
                    events: entries.after(after, PAGE_EVENTS).await?,
                })
            }
            Question::Redrive(ids) => {
                let found = find(&mut entries, &ids).await?;
                redrive_all(context, &mut entries, found).await?
            }
            Question::RedriveAll(after) => {
                let found = entries.after(after, REDRIVEN_A_TURN).await?;
                redrive_all(context, &mut entries, found).await?
            }
            Question::Discard(ids) => {
                let found = find(&mut entries, &ids).await?;
                for (sequence, entry) in &found {
                    entries.remove(*sequence, entry).await?;
                }
                let events = found.len();
                Answer::Changed { events, next: None }
            }
        };
        entries.close().await?;
        Ok(answer)
    }

    /// Tries what is due.
    async fn wake<H: Host, S: Storage>(
        context: &Context<'_, H>,
        storage: &S,
        host: &H,
    ) -> Result<(), StorageFault> {
        let mut under_way = FuturesUnordered::new();
        let mut left = TRIES_A_WAKE;
        loop {
            let room = left.min(TRIES_AT_ONCE - under_way.len());
            if room > 0 {
                let claimed = storage.turn(async |tx| claim(context, tx, room).await);
                for (sequence, entry) in claimed.await? {
                    left -= 1;
                    under_way.push(try_once(context, storage, host, sequence, entry));
                }
            }
            match under_way.next().await {
                Some(tried) => tried?,
                None => break,
            }
        }
        let ended = storage.turn(async |tx| Entries::open(tx).await?.close_until_due().await);
        ended.await
    }
}

fn new_entry<H: Host>(context: &Context<'_, H>, message: Message) -> Entry {
    let now = context.now();
    Entry {
        id: message.id,
        body: message.body,
        queued_at: now,
        retry_until: now + context.config.outbox_retry_ms,
        // Whoever adds it has tried once.
        attempts: 1,
        due_at: Some(now + pause_ms(context, 1)),
        last_error: None,
    }
}

/// The events with these ids, each once.
async fn find(
    entries: &mut Entries<'_, impl Transaction>,
    ids: &[String],
) -> Result<Vec<(u64, Entry)>, StorageFault> {
    let mut found: Vec<(u64, Entry)> = Vec::new();
    for id in ids {
        found.extend(entries.find(id).await?);
    }
    found.sort_unstable_by_key(|(sequence, _)| *sequence);
    found.dedup_by_key(|(sequence, _)| *sequence);
    Ok(found)
}

async fn redrive_all<H: Host>(
    context: &Context<'_, H>,
    entries: &mut Entries<'_, impl Transaction>,
    found: Vec<(u64, Entry)>,
) -> Result<Answer, StorageFault> {
    let now = context.now();
    for (sequence, entry) in &found {
        let redriven = Entry {
            due_at: Some(now),
            retry_until: now + context.config.outbox_retry_ms,
            attempts: 0,
            ..entry.clone()
        };
        entries.replace(*sequence, entry, &redriven).await?;
    }
    let is_full = found.len() == REDRIVEN_A_TURN;
    Ok(Answer::Changed {
        events: found.len(),
        next: found.last().filter(|_| is_full).map(|(last, _)| *last),
    })
}

/// Takes up to so many events that are due.
async fn claim<H: Host>(
    context: &Context<'_, H>,
    tx: &mut impl Transaction,
    most: usize,
) -> Result<Vec<(u64, Entry)>, StorageFault> {
    let now = context.now();
    let until = now + u64::from(TRY_TIMEOUT_MS) + CLAIM_SLACK_MS;
    let mut entries = Entries::open(tx).await?;
    let mut claimed = Vec::new();
    for (sequence, entry) in entries.due(now, most).await? {
        let mine = Entry {
            due_at: Some(until),
            ..entry.clone()
        };
        entries.replace(sequence, &entry, &mine).await?;
        claimed.push((sequence, mine));
    }
    entries.close().await?;
    Ok(claimed)
}

/// Sends a claimed event, and notes what became of it.
async fn try_once<H: Host, S: Storage>(
    context: &Context<'_, H>,
    storage: &S,
    host: &H,
    sequence: u64,
    claimed: Entry,
) -> Result<(), StorageFault> {
    let message = Message {
        id: claimed.id.clone(),
        body: claimed.body.clone(),
    };
    let sent = message.send(host, context.config, TRY_TIMEOUT_MS).await;
    let noted = storage.turn(async |tx| {
        let mut entries = Entries::open(tx).await?;
        let Some(entry) = entries.get(sequence).await? else {
            // Somebody has discarded it meanwhile.
            return Ok(false);
        };
        let mut is_parked = false;
        match sent {
            Ok(()) => entries.remove(sequence, &entry).await?,
            // Somebody has redriven it meanwhile: it is due again.
            Err(_) if entry.due_at != claimed.due_at => {}
            Err(why) => {
                let failed = after_failure(context, &entry, why);
                is_parked = failed.due_at.is_none();
                entries.replace(sequence, &entry, &failed).await?;
            }
        }
        entries.close().await?;
        Ok(is_parked)
    });
    let is_parked = noted.await?;
    if let Err(why) = sent
        && is_parked
    {
        let line = json!({
            "event": "notification_parked",
            "webhookId": claimed.id,
            "attempts": claimed.attempts.saturating_add(1),
            "why": why.to_string(),
        });
        context.log(&line.to_string());
    }
    Ok(())
}

/// The event after a try that failed: parked when that was the last one.
fn after_failure<H: Host>(context: &Context<'_, H>, entry: &Entry, why: Undelivered) -> Entry {
    let attempts = entry.attempts.saturating_add(1);
    let (now, last_at) = (context.now(), entry.retry_until);
    let is_last = why.is_permanent() || now >= last_at;
    // The last try is made when its time is over.
    let next = now.saturating_add(pause_ms(context, attempts)).min(last_at);
    Entry {
        attempts,
        due_at: (!is_last).then_some(next),
        last_error: Some(why.to_string()),
        ..entry.clone()
    }
}

/// The pause after so many failed tries: exponential, and between a half and the whole of it, so that
/// events that failed together don't come back together.
fn pause_ms<H: Host>(context: &Context<'_, H>, attempts: u32) -> u64 {
    let random = u64::from(u32::from_le_bytes(context.random()));
    let doublings = attempts.saturating_sub(1).min(MAX_PAUSE_MS.ilog2());
    let half = (FIRST_PAUSE_MS << doublings).min(MAX_PAUSE_MS) / 2;
    half + half * random / u64::from(u32::MAX)
}

/// The page as the backend gets it.
fn page_json(page: Page) -> Option<String> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Shown {
        pending: u64,
        parked: u64,
        events: Vec<ShownEvent>,
        /// Where the next page begins, if this one is full.
        next: Option<u64>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ShownEvent {
        id: String,
        state: &'static str,
        attempts: u32,
        queued_at: String,
        next_try_at: Option<String>,
        last_error: Option<String>,
        event: Box<RawValue>,
    }
    let is_full = page.events.len() == PAGE_EVENTS;
    let next = page
        .events
        .last()
        .filter(|_| is_full)
        .map(|(last, _)| *last);
    let events = page.events.into_iter().map(|(_, entry)| {
        Some(ShownEvent {
            id: entry.id,
            state: entry.due_at.map_or("parked", |_| "pending"),
            attempts: entry.attempts,
            queued_at: rfc3339(entry.queued_at),
            next_try_at: entry.due_at.map(rfc3339),
            last_error: entry.last_error,
            event: RawValue::from_string(entry.body).ok()?,
        })
    });
    let shown = Shown {
        pending: page.pending,
        parked: page.parked,
        events: events.collect::<Option<_>>()?,
        next,
    };
    serde_json::to_string(&shown).ok()
}
