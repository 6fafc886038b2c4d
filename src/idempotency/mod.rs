//! Idempotency keys: a repeated upload is answered like the first one, and stored once.
//!
//! A client that got no answer sends the same `Idempotency-Key` again. A durable object for each user
//! and key remembers what became of the first upload with it. Uploads without the header have nothing
//! to do with this room.

mod object;
mod record;

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

use std::cell::{Cell, OnceCell};
use std::convert::Infallible;
use std::pin::pin;

use futures_util::future::{Either, select};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::host::{Host, Object, ObjectFault};
use crate::notify::Message;
use crate::telegram::TelegramFault;
use crate::text::hex;

pub use object::{answer, wake};
pub use record::RecordPolicy;
use record::{Answer, File, Kept, Question, Wish};

/// Most bytes of a key.
const MAX_KEY_BYTES: usize = 255;
/// How long an upload waits for the record, in milliseconds.
const ASK_TIMEOUT_MS: u32 = 5_000;
/// How often a lease is renewed while it runs.
const RENEWALS_A_LEASE: u64 = 3;
/// Pauses before it is tried again, behind the reply, to record what became of an upload.
const RECORD_PAUSES_MS: [u32; 3] = [1_000, 3_000, 7_000];

/// The value of an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Checks a key: 1 to 255 visible ASCII characters. Quotes around it are part of it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= MAX_KEY_BYTES;
        (fits && text.bytes().all(|b| b.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    /// The name of the durable object: one user's key is none of another's.
    fn object_name(&self, user_id: &str) -> String {
        let mut hash = Sha256::new();
        // With its length in front, a user id can't run over into the key.
        hash.update((user_id.len() as u64).to_be_bytes());
        hash.update(user_id);
        hash.update(&self.0);
        hex(&hash.finalize())
    }
}

/// One upload's part in what is remembered of its key. Without a key it has none, and every method is
/// done at once.
pub struct Attempt<'a, H: Host> {
    host: &'a H,
    key: Option<IdempotencyKey>,
    /// The id of the request.
    id: &'a str,
    lease_ms: u64,
    object: OnceCell<String>,
    /// From the moment in which it has the key, until the record knows how it ended.
    is_under_way: Cell<bool>,
}

/// An earlier upload with the same key, which has ended.
#[derive(Debug)]
pub struct Earlier {
    file: File,
    reply: Option<String>,
}

impl Earlier {
    /// The reply to that upload, for a repeat with this file.
    ///
    /// # Errors
    /// [`Error::IdempotencyMismatch`] when it was another file, and `outcome_unknown` when nobody knows
    /// what became of it.
    pub fn retell(self, name: &str, size: u64) -> Result<String, Error> {
        if self.file.name != name || self.file.size != size {
            return Err(Error::IdempotencyMismatch);
        }
        self.reply.ok_or(Error::Telegram {
            fault: TelegramFault::OutcomeUnknown { timed_out: false },
            with_fresh_credentials: false,
        })
    }
}

impl<'a, H: Host> Attempt<'a, H> {
    /// An attempt that has not begun. `id` is the request's.
    #[must_use]
    pub fn new(host: &'a H, key: Option<IdempotencyKey>, id: &'a str, lease_ms: u64) -> Self {
        Self {
            host,
            key,
            id,
            lease_ms,
            object: OnceCell::new(),
            is_under_way: Cell::new(false),
        }
    }

    /// Does the upload, and keeps the lease alive meanwhile.
    pub async fn hold<F: Future>(&self, upload: F) -> F::Output {
        match select(pin!(upload), pin!(self.renew())).await {
            Either::Left((output, _)) => output,
            Either::Right((never, _)) => match never {},
        }
    }

    /// Takes the key for this upload, unless an earlier one has ended with it. To be said as soon as
    /// the user is known; a second time it changes nothing.
    ///
    /// # Errors
    /// [`Error::IdempotencyInProgress`] while an earlier one is under way, and [`Error::Idempotency`].
    pub async fn begin(&self, user_id: &str) -> Result<Option<Earlier>, Error> {
        let Some(key) = &self.key else {
            return Ok(None);
        };
        if self.object.set(key.object_name(user_id)).is_err() {
            return Ok(None);
        }
        let answer = self.ask(Wish::Begin).await;
        // One whose answer did not come may have been heard.
        let may_have_it = matches!(answer, Ok(Answer::Yours) | Err(ObjectFault::NoAnswer));
        self.is_under_way.set(may_have_it);
        match answer.map_err(Error::Idempotency)? {
            Answer::Yours => Ok(None),
            Answer::Taken(retry_after) => Err(Error::IdempotencyInProgress { retry_after }),
            Answer::Ended(file, reply) => Ok(Some(Earlier { file, reply })),
        }
    }

    /// Asks for leave to write the closing boundary. Without it the boundary must not be written.
    ///
    /// # Errors
    /// [`Error::IdempotencyInProgress`] when another upload has taken the key meanwhile, and
    /// [`Error::Idempotency`].
    pub async fn commit(&self, name: &str, size: u64) -> Result<(), Error> {
        if !self.is_under_way.get() {
            return Ok(());
        }
        let file = File {
            name: name.to_owned(),
            size,
        };
        match self.ask(Wish::Commit(file)).await {
            Ok(Answer::Yours) => Ok(()),
            Ok(Answer::Taken(retry_after)) => Err(Error::IdempotencyInProgress { retry_after }),
            Ok(Answer::Ended(..)) => Err(Error::Idempotency(ObjectFault::Failed)),
            Err(fault) => Err(Error::Idempotency(fault)),
        }
    }

    /// Records that the file is stored, and with it the message that is still to be delivered: should
    /// this upload die now, the record does that.
    pub async fn stored(&self, reply: impl FnOnce() -> String, message: &Message) {
        if self.is_under_way.get() {
            let kept = Kept {
                reply: reply(),
                untold: Some(message.clone()),
                is_last: false,
            };
            self.record(Wish::Keep(kept)).await;
        }
    }

    /// Records the reply as it goes out. The record goes on to keep an `untold` message, which is
    /// neither delivered nor in the outbox.
    pub async fn told(&self, reply: impl FnOnce() -> String, untold: Option<&Message>) {
        if self.is_under_way.replace(false) {
            let kept = Kept {
                reply: reply(),
                untold: untold.cloned(),
                is_last: true,
            };
            self.record(Wish::Keep(kept)).await;
        }
    }

    /// Records that the upload failed. When nothing was stored, the key is free again.
    pub async fn failed(&self, error: &Error) {
        if self.is_under_way.replace(false) {
            let may_be_stored = error.may_be_stored();
            self.record(if may_be_stored {
                Wish::Lose
            } else {
                Wish::Free
            })
            .await;
        }
    }

    /// Says now and then that the upload lives.
    async fn renew(&self) -> Infallible {
        if self.key.is_none() {
            std::future::pending::<()>().await;
        }
        let pause_ms = u32::try_from(self.lease_ms / RENEWALS_A_LEASE).unwrap_or(u32::MAX);
        loop {
            self.host.sleep(pause_ms).await;
            if self.is_under_way.get() {
                // When it is lost, the leave to commit is refused.
                let _ = self.ask(Wish::Renew).await;
            }
        }
    }

    /// Lets the record know how the upload ended. If it can't be told now, it is told behind the reply;
    /// if not even then, the lease ends, and a repeat gets `outcome_unknown` at worst.
    async fn record(&self, wish: Wish) {
        let Some(name) = self.object.get() else {
            return;
        };
        let question = self.question(wish);
        if ask(self.host, name, &question).await.is_ok() {
            return;
        }
        let line = json!({ "event": "idempotency_not_recorded", "requestId": self.id });
        self.host.log(&line.to_string());
        let (host, name) = (self.host.clone(), name.clone());
        self.host.defer(async move {
            for pause_ms in RECORD_PAUSES_MS {
                host.sleep(pause_ms).await;
                if ask(&host, &name, &question).await.is_ok() {
                    return;
                }
            }
        });
    }

    async fn ask(&self, wish: Wish) -> Result<Answer, ObjectFault> {
        let name = self.object.get().ok_or(ObjectFault::Failed)?;
        ask(self.host, name, &self.question(wish)).await
    }

    fn question(&self, wish: Wish) -> Question {
        Question {
            attempt: self.id.to_owned(),
            wish,
        }
    }
}

async fn ask<H: Host>(host: &H, name: &str, question: &Question) -> Result<Answer, ObjectFault> {
    let question = serde_json::to_string(question).map_err(|_| ObjectFault::Failed)?;
    let object = Object {
        binding: "IDEMPOTENCY",
        name,
    };
    let reply = host.ask(object, question, ASK_TIMEOUT_MS).await?;
    serde_json::from_str(&reply.body).map_err(|_| ObjectFault::Failed)
}
