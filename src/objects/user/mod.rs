//! The record of a user: what became of the uploads with an idempotency key.
//!
//! One object has all keys of one user, and one alarm for them.
//!
//! | key | value |
//! |---|---|
//! | `key/<SHA-256 of an idempotency key>` | [`Record`] |
//! | `due/<time>/<key of an entry>` | nothing: the entries by the time at which they want to be looked at |

mod record;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

use futures_util::stream::{StreamExt as _, iter};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Context, DurableObject, Range, Storage, StorageFault, Transaction, ask, outbox};
use crate::host::{Host, ObjectFault, UnixMillis};
use crate::text::hex;
use crate::webhook::Message;

use record::Record;
pub use record::{File, Kept, Step, Verdict};

/// How long an upload waits for its user's record, in milliseconds.
const ASK_TIMEOUT_MS: u32 = 5_000;
/// How long the backend may take to acknowledge a message that the record hands over.
const HAND_OVER_TIMEOUT_MS: u32 = 5_000;
/// Entries that one turn of an alarm looks at. When there are more, the alarm goes off again at once.
const ENTRIES_A_WAKE: usize = 500;
/// Messages that one alarm hands over. Each takes two subrequests at most, and a wake has 50 on the
/// free plan (developers.cloudflare.com, "Workers limits").
const HAND_OVERS_A_WAKE: usize = 20;
/// Messages that are handed over at one time.
const HAND_OVERS_AT_ONCE: usize = 5;

const KEY_PREFIX: &str = "key/";
const DUE_PREFIX: &str = "due/";

/// The object of one user.
pub struct UserRecord;

/// What it can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// A step of an upload with an idempotency key.
    Idempotency {
        /// The SHA-256 of the key, in hexadecimal.
        key: String,
        /// The id of the upload's request.
        attempt: String,
        /// What it does.
        step: Step,
    },
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Question::Idempotency`].
    Idempotency(Verdict),
}

/// An idempotency key of a user, as the user's record knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserKey {
    object: String,
    key: String,
}

impl UserKey {
    /// This user's key.
    #[must_use]
    pub fn new(user_id: &str, key: &str) -> Self {
        Self {
            object: object_name(user_id),
            key: hex(&Sha256::digest(key)),
        }
    }

    /// Takes a step of an attempt.
    ///
    /// # Errors
    /// Why there is no verdict.
    pub async fn step<H: Host>(
        &self,
        host: &H,
        attempt: &str,
        step: Step,
    ) -> Result<Verdict, ObjectFault> {
        let question = Question::Idempotency {
            key: self.key.clone(),
            attempt: attempt.to_owned(),
            step,
        };
        let answer = ask::<UserRecord>(host, &self.object, &question, ASK_TIMEOUT_MS).await?;
        let Answer::Idempotency(verdict) = answer;
        Ok(verdict)
    }
}

/// The name of a user's object.
fn object_name(user_id: &str) -> String {
    hex(&Sha256::digest(user_id))
}

impl DurableObject for UserRecord {
    type Question = Question;
    type Answer = Answer;
    const BINDING: &'static str = "USER_RECORDS";

    async fn answer<H: Host, T: Transaction>(
        context: &Context<'_, H>,
        tx: &mut T,
        question: Question,
    ) -> Result<Answer, StorageFault> {
        let Question::Idempotency { key, attempt, step } = question;
        let key = format!("{KEY_PREFIX}{key}");
        let (now, policy) = (context.now(), context.config.idempotency_policy);
        let before: Option<Record> = tx.read(&key).await?;
        let due_before = before.as_ref().map(Record::due_at);
        let (after, verdict) = Record::decide(before, &attempt, step, now, policy);
        let first_due_before = first_due(tx).await?;
        replace(tx, &key, due_before, after.as_ref()).await?;
        // An alarm that goes off too early finds nothing to do, and sets the next one.
        let due_after = after.as_ref().map(Record::due_at);
        if let Some(at) = due_after
            && first_due_before.is_none_or(|before| at < before)
        {
            tx.set_alarm(at).await?;
        }
        Ok(Answer::Idempotency(verdict))
    }

    /// Forgets the keys whose time is over, and delivers messages that uploads left undelivered when
    /// they died.
    async fn wake<H: Host, S: Storage>(
        context: &Context<'_, H>,
        storage: &S,
        host: &H,
    ) -> Result<(), StorageFault> {
        let left_behind = storage.turn(async |tx| look_at_due(tx, context.now()).await);
        let left_behind = left_behind.await?;
        let handed_over = iter(left_behind)
            .map(async |(key, message)| {
                let delivered = hand_over(context, host, &message).await;
                let noted = storage.turn(async |tx| {
                    note_hand_over(tx, &key, &message, delivered, context.now()).await
                });
                noted.await
            })
            .buffer_unordered(HAND_OVERS_AT_ONCE)
            .collect::<Vec<_>>();
        for noted in handed_over.await {
            noted?;
        }
        storage.turn(async |tx| sleep_until_due(tx).await).await
    }
}

/// Forgets what is over among the entries that are due, and returns the messages that were left
/// behind.
async fn look_at_due(
    tx: &mut impl Transaction,
    now: UnixMillis,
) -> Result<Vec<(String, Message)>, StorageFault> {
    let mut left_behind = Vec::new();
    for (due_key, _) in tx.list(Range::first(DUE_PREFIX, ENTRIES_A_WAKE)).await? {
        let (due_at, key) = parse_due_key(&due_key)?;
        if due_at > now {
            break;
        }
        let record: Option<Record> = tx.read(key).await?;
        let record = record.ok_or(StorageFault)?;
        if record.is_over(now) {
            replace(tx, key, Some(due_at), None).await?;
        } else if let Some(message) = record.left_behind(now)
            && left_behind.len() < HAND_OVERS_A_WAKE
        {
            left_behind.push((key.to_owned(), message.clone()));
        }
    }
    Ok(left_behind)
}

/// Takes over a message whose upload died before it could deliver it. `false` when neither the outbox
/// nor the backend took it.
pub(super) async fn hand_over<H: Host>(
    context: &Context<'_, H>,
    host: &H,
    message: &Message,
) -> bool {
    outbox::add(host, message).await.is_ok()
        || message
            .send(host, context.config, HAND_OVER_TIMEOUT_MS)
            .await
            .is_ok()
}

/// Notes the hand-over of a message, unless the record was changed meanwhile.
async fn note_hand_over(
    tx: &mut impl Transaction,
    key: &str,
    message: &Message,
    delivered: bool,
    now: UnixMillis,
) -> Result<(), StorageFault> {
    let Some(record) = tx.read::<Record>(key).await? else {
        return Ok(());
    };
    if record.left_behind(now) != Some(message) {
        return Ok(());
    }
    let due_before = record.due_at();
    let after = record.handed_over(delivered, now);
    replace(tx, key, Some(due_before), Some(&after)).await
}

/// Sets the alarm for the first entry that is due, or forgets the object when it has none.
async fn sleep_until_due(tx: &mut impl Transaction) -> Result<(), StorageFault> {
    match first_due(tx).await? {
        Some(at) => tx.set_alarm(at).await,
        None => tx.clear().await,
    }
}

/// Writes or removes a record, and its place among what is due.
async fn replace(
    tx: &mut impl Transaction,
    key: &str,
    due_before: Option<UnixMillis>,
    after: Option<&Record>,
) -> Result<(), StorageFault> {
    let due_after = after.map(Record::due_at);
    if due_before != due_after {
        if let Some(at) = due_before {
            tx.delete(&due_key(at, key)).await?;
        }
        if let Some(at) = due_after {
            tx.put(&due_key(at, key), "").await?;
        }
    }
    match after {
        Some(record) => tx.write(key, record).await,
        None if due_before.is_some() => tx.delete(key).await,
        None => Ok(()),
    }
}

async fn first_due(tx: &mut impl Transaction) -> Result<Option<UnixMillis>, StorageFault> {
    let first = tx.list(Range::first(DUE_PREFIX, 1)).await?.pop();
    first
        .map(|(due_key, _)| parse_due_key(&due_key).map(|(at, _)| at))
        .transpose()
}

/// Times have 16 digits, so that keys are in the order of times.
fn due_key(at: UnixMillis, key: &str) -> String {
    format!("{DUE_PREFIX}{at:016}/{key}")
}

fn parse_due_key(due_key: &str) -> Result<(UnixMillis, &str), StorageFault> {
    let parts = due_key
        .strip_prefix(DUE_PREFIX)
        .and_then(|rest| rest.split_once('/'));
    let (at, key) = parts.ok_or(StorageFault)?;
    Ok((at.parse().map_err(|_| StorageFault)?, key))
}
