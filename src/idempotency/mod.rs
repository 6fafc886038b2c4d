//! Idempotency keys: a repeated upload is answered like the first one, and stored once.
//!
//! A client that got no answer sends the same `Idempotency-Key` again. The user's record remembers
//! what became of the first upload with it. Uploads without the header never ask for it.

use std::cell::{Cell, OnceCell};
use std::convert::Infallible;
use std::pin::pin;

use futures_util::future::{Either, select};
use serde_json::json;

use crate::error::Error;
use crate::host::{Host, ObjectFault};
use crate::objects::user::{File, Kept, Step, UserKey, Verdict};
use crate::telegram::TelegramFault;
use crate::webhook::Message;

/// Most bytes of a key.
const MAX_KEY_BYTES: usize = 255;
/// How often a lease is renewed while it runs.
const RENEWALS_A_LEASE: u64 = 3;
/// Pauses before the next try, after the reply, to record how an upload ended.
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
}

/// An upload that may have a key, and what its record knows. Without a key there is no record, and every
/// method returns at once.
pub struct Attempt<'a, H: Host> {
    host: &'a H,
    key: Option<IdempotencyKey>,
    /// The id of the request.
    id: &'a str,
    lease_ms: u64,
    record: OnceCell<UserKey>,
    /// From the moment it has the key until the record knows how it ended.
    is_under_way: Cell<bool>,
}

/// An earlier upload with the same key, which has ended.
#[derive(Debug)]
pub struct EndedUpload {
    file: File,
    reply: Option<String>,
}

impl EndedUpload {
    /// Whether an upload of this file repeats it.
    ///
    /// # Errors
    /// [`Error::IdempotencyMismatch`] when it had another file.
    pub fn check(&self, name: &str, size: u64) -> Result<(), Error> {
        if self.file.name != name || self.file.size != size {
            return Err(Error::IdempotencyMismatch);
        }
        Ok(())
    }

    /// Its reply, for a repeat with this file.
    ///
    /// # Errors
    /// [`Error::IdempotencyMismatch`] when it had another file, and `outcome_unknown` when nobody knows
    /// how it ended.
    pub fn replay(self, name: &str, size: u64) -> Result<String, Error> {
        self.check(name, size)?;
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
            record: OnceCell::new(),
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

    /// Takes the key for this upload, unless an earlier one with it has ended. It is called as soon as
    /// the user is known; a second call changes nothing.
    ///
    /// # Errors
    /// [`Error::IdempotencyInProgress`] while an earlier one is under way, and [`Error::Idempotency`].
    pub async fn begin(&self, user_id: &str) -> Result<Option<EndedUpload>, Error> {
        let Some(key) = &self.key else {
            return Ok(None);
        };
        if self.record.set(UserKey::new(user_id, &key.0)).is_err() {
            return Ok(None);
        }
        let verdict = self.step(Step::Begin).await;
        // When no answer came, the record may have given it the key.
        let may_have_it = matches!(verdict, Ok(Verdict::Granted) | Err(ObjectFault::NoAnswer));
        self.is_under_way.set(may_have_it);
        match verdict.map_err(Error::Idempotency)? {
            Verdict::Granted => Ok(None),
            Verdict::InProgress { retry_after } => {
                Err(Error::IdempotencyInProgress { retry_after })
            }
            Verdict::Ended { file, reply } => Ok(Some(EndedUpload { file, reply })),
        }
    }

    /// Asks for permission to write the closing boundary. Without it the boundary must not be written.
    ///
    /// # Errors
    /// [`Error::IdempotencyInProgress`] if another upload has taken the key meanwhile, or
    /// [`Error::Idempotency`].
    pub async fn commit(&self, name: &str, size: u64) -> Result<(), Error> {
        if !self.is_under_way.get() {
            return Ok(());
        }
        let file = File {
            name: name.to_owned(),
            size,
        };
        match self
            .step(Step::Commit(file))
            .await
            .map_err(Error::Idempotency)?
        {
            Verdict::Granted => Ok(()),
            Verdict::InProgress { retry_after } => {
                Err(Error::IdempotencyInProgress { retry_after })
            }
            // Another one ends with this key only if it has overtaken this one.
            Verdict::Ended { .. } => Err(Error::IdempotencyInProgress { retry_after: 1 }),
        }
    }

    /// Records that the file is stored, with the message that is still to be delivered: should this
    /// upload die now, the record delivers it.
    pub async fn stored(&self, reply: impl FnOnce() -> String, message: &Message) {
        if self.is_under_way.get() {
            let kept = Kept {
                reply: reply(),
                undelivered: Some(message.clone()),
                is_final: false,
            };
            self.record(Step::Keep(kept)).await;
        }
    }

    /// Records the reply that goes out. The record keeps an `undelivered` message, which the outbox does
    /// not have either, and delivers it.
    pub async fn replied(&self, reply: impl FnOnce() -> String, undelivered: Option<&Message>) {
        if self.is_under_way.replace(false) {
            let kept = Kept {
                reply: reply(),
                undelivered: undelivered.cloned(),
                is_final: true,
            };
            self.record(Step::Keep(kept)).await;
        }
    }

    /// Records that the upload failed. When nothing was stored, the key is free again.
    pub async fn failed(&self, error: &Error) {
        if self.is_under_way.replace(false) {
            let may_be_stored = error.may_be_stored();
            self.record(if may_be_stored {
                Step::Lose
            } else {
                Step::Free
            })
            .await;
        }
    }

    /// Renews the lease as long as the upload lives.
    async fn renew(&self) -> Infallible {
        if self.key.is_none() {
            std::future::pending::<()>().await;
        }
        let pause_ms = u32::try_from(self.lease_ms / RENEWALS_A_LEASE).unwrap_or(u32::MAX);
        loop {
            self.host.sleep(pause_ms).await;
            if self.is_under_way.get() {
                // If the key is lost, the permission to commit is refused.
                let _ = self.step(Step::Renew).await;
            }
        }
    }

    /// Records how the upload ended. If that fails, it is tried again after the reply; if that fails
    /// too, the lease ends, and a repeat gets `outcome_unknown` at worst.
    async fn record(&self, step: Step) {
        let Some(record) = self.record.get() else {
            return;
        };
        if record.step(self.host, self.id, step.clone()).await.is_ok() {
            return;
        }
        let line = json!({ "event": "idempotency_not_recorded", "requestId": self.id });
        self.host.log(&line.to_string());
        let (host, record, id) = (self.host.clone(), record.clone(), self.id.to_owned());
        self.host.defer(async move {
            for pause_ms in RECORD_PAUSES_MS {
                host.sleep(pause_ms).await;
                if record.step(&host, &id, step.clone()).await.is_ok() {
                    return;
                }
            }
        });
    }

    async fn step(&self, step: Step) -> Result<Verdict, ObjectFault> {
        let record = self.record.get().ok_or(ObjectFault::Failed)?;
        record.step(self.host, self.id, step).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_to_255_visible_ascii_characters() {
        assert!(IdempotencyKey::parse("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"").is_some());
        assert!(IdempotencyKey::parse(&"k".repeat(255)).is_some());
        for text in ["", "a b", "a\tb", "ä", "\u{7f}", &"k".repeat(256)] {
            assert_eq!(IdempotencyKey::parse(text), None, "{text:?}");
        }
    }
}
