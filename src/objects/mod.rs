//! Durable objects: single places that remember, wherever they are asked from.
//!
//! A [`DurableObject`] answers questions, and wakes when its alarm goes off. Every host gives it a
//! [`Storage`], passes questions to [`serve`] and alarms to [`wake`]; everybody else asks with
//! [`ask`]. To add an object, implement the trait in a file here, add its class to `edge/objects.rs`,
//! and add its binding and class to `wrangler.toml`.
//!
//! | file | what |
//! |---|---|
//! | [`outbox`] | events that the backend has not acknowledged yet |
//! | [`revocations`] | users whose credentials have changed |
//! | [`user`] | what became of a user's uploads with an idempotency key |

mod context;
pub mod outbox;
pub mod revocations;
mod storage;
pub mod user;

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
pub mod upload;
pub mod user_uploads;

use std::future::Future;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::config::{Config, ConfigError};
use crate::host::{Host, Object, ObjectFault, ObjectReply};

pub use context::Context;
pub use storage::{Range, Storage, StorageFault, Transaction, parse};

/// Where the failures of an alarm are counted, among the object's own keys.
const FAILURES_KEY: &str = "alarm-failures";
/// The pause after an alarm's first failure, in milliseconds. Each further one doubles it.
const FIRST_ALARM_PAUSE_MS: u64 = 60_000;
/// The longest pause.
const MAX_ALARM_PAUSE_MS: u64 = 3_600_000;

/// A place that remembers. There is one for each name, and it does one thing at a time.
pub trait DurableObject {
    /// What it can be asked.
    type Question: Serialize + DeserializeOwned;
    /// What it answers.
    type Answer: Serialize + DeserializeOwned;
    /// The binding of its class, as `wrangler.toml` names it.
    const BINDING: &'static str;

    /// Answers a question, within one turn of its storage.
    ///
    /// # Errors
    /// [`StorageFault`]; nothing is then kept of the turn.
    fn answer<H: Host, T: Transaction>(
        context: &Context<'_, H>,
        tx: &mut T,
        question: Self::Question,
    ) -> impl Future<Output = Result<Self::Answer, StorageFault>>;

    /// Does what is due when the alarm goes off, in as many turns as it needs. The network is used
    /// between two turns, never within one: questions are answered meanwhile.
    ///
    /// # Errors
    /// [`StorageFault`]; the alarm is then tried again.
    fn wake<H: Host, S: Storage>(
        _context: &Context<'_, H>,
        _storage: &S,
        _host: &H,
    ) -> impl Future<Output = Result<(), StorageFault>> {
        std::future::ready(Ok(()))
    }
}

/// Asks the object of that name.
///
/// # Errors
/// Why there is no answer.
pub async fn ask<O: DurableObject>(
    host: &impl Host,
    name: &str,
    question: &O::Question,
    timeout_ms: u32,
) -> Result<O::Answer, ObjectFault> {
    let question = serde_json::to_string(question).map_err(|_| ObjectFault::Unreadable)?;
    let object = Object {
        binding: O::BINDING,
        name,
    };
    let answer = ask_in_text(host, object, question, timeout_ms).await?;
    serde_json::from_str(&answer).map_err(|_| ObjectFault::NoAnswer)
}

async fn ask_in_text(
    host: &impl Host,
    object: Object<'_>,
    question: String,
    timeout_ms: u32,
) -> Result<String, ObjectFault> {
    let reply = host.ask(object, question, timeout_ms).await?;
    match reply.status {
        200 => Ok(reply.body),
        400 => Err(ObjectFault::Unreadable),
        500 => Err(ObjectFault::Failed),
        _ => Err(ObjectFault::NoAnswer),
    }
}

/// Answers what [`ask`] sent, within the durable object.
pub async fn serve<O: DurableObject>(
    host: &impl Host,
    config: Result<&Config, ConfigError>,
    storage: &impl Storage,
    question: &str,
) -> ObjectReply {
    let Ok(question) = serde_json::from_str::<O::Question>(question) else {
        return refuse(400, "the question can't be read");
    };
    let config = match config {
        Ok(config) => config,
        Err(error) => return refuse(500, &error.to_string()),
    };
    let context = Context::new(host, config);
    let answered = storage.turn(async |tx| {
        let answer = O::answer(&context, tx, question).await?;
        serde_json::to_string(&answer).map_err(|_| StorageFault)
    });
    match answered.await {
        Ok(body) => ObjectReply { status: 200, body },
        Err(StorageFault) => refuse(500, "the storage failed"),
    }
}

fn refuse(status: u16, why: &str) -> ObjectReply {
    ObjectReply {
        status,
        body: json!({ "error": why }).to_string(),
    }
}

/// Does what is due, within the durable object, when its alarm goes off.
///
/// workerd drops an alarm for good after six failures in a row ("Durable Objects: Alarms"). So a
/// failure sets the next alarm itself, and ends well.
///
/// # Errors
/// [`StorageFault`] when not even that could be written.
pub async fn wake<O: DurableObject>(
    host: &impl Host,
    config: Result<&Config, ConfigError>,
    storage: &impl Storage,
) -> Result<(), StorageFault> {
    let why = match config {
        Ok(config) => match O::wake(&Context::new(host, config), storage, host).await {
            Ok(()) => return Ok(()),
            Err(StorageFault) => "the storage failed".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    set_alarm_again(host, storage, O::BINDING, &why).await
}

/// Counts a failure of an alarm, and sets the next one.
async fn set_alarm_again(
    host: &impl Host,
    storage: &impl Storage,
    binding: &str,
    why: &str,
) -> Result<(), StorageFault> {
    let now = host.now();
    let failures = storage.turn(async |tx| {
        let before = tx.read::<AlarmFailures>(FAILURES_KEY).await?;
        let failures = AlarmFailures::after(before, now);
        tx.write(FAILURES_KEY, &failures).await?;
        tx.set_alarm(now + failures.pause_ms()).await?;
        Ok(failures)
    });
    let failures = failures.await?;
    let line = json!({
        "event": "alarm_failed",
        "object": binding,
        "failures": failures.count,
        "retryAfter": failures.pause_ms() / 1000,
        "why": why,
    });
    host.log(&line.to_string());
    Ok(())
}

/// How often an alarm has failed in a row.
#[derive(Debug, Serialize, Deserialize)]
struct AlarmFailures {
    count: u32,
    last_at: u64,
}

impl AlarmFailures {
    /// One failure more. A row of failures ends when none came for twice the longest pause.
    fn after(before: Option<Self>, now: u64) -> Self {
        let is_in_a_row =
            |before: &Self| now.saturating_sub(before.last_at) < 2 * MAX_ALARM_PAUSE_MS;
        let count = before.filter(is_in_a_row).map_or(0, |before| before.count);
        Self {
            count: count.saturating_add(1),
            last_at: now,
        }
    }

    fn pause_ms(&self) -> u64 {
        let doublings = self.count.saturating_sub(1).min(MAX_ALARM_PAUSE_MS.ilog2());
        (FIRST_ALARM_PAUSE_MS << doublings).min(MAX_ALARM_PAUSE_MS)
    }
}
