//! The record of an idempotency key, and how it changes.
//!
//! ```text
//! (none) ── begin ──▶ running ── commit ──▶ committing ── keep ──▶ done
//!    ▲                   │                      │
//!    └── free, or the ───┘                      ├── free ──▶ (none)
//!        lease ends                             └── lose, or the lease ends ──▶ unknown
//! ```
//!
//! Each upload is an *attempt*, and asks for permission before it writes the closing boundary to Telegram.
//! When its lease has ended, another attempt may have taken the key: the first one then gets no permission,
//! and nothing of it is stored. After an attempt got permission, no other attempt begins, unless the first
//! one says that nothing was stored. So a key stores one message at most.

use serde::{Deserialize, Serialize};

use crate::config::RecordPolicy;
use crate::host::UnixMillis;
use crate::webhook::Message;

/// The pause before the next try to hand a message over.
const HAND_OVER_PAUSE_MS: u64 = 60_000;
/// Most seconds after which a repeat may ask again. Most uploads end before their lease does.
const MAX_RETRY_AFTER_SECONDS: u64 = 5;

/// What makes two uploads the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its true name.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// A step of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It begins, and takes the key.
    Begin,
    /// It is still alive.
    Renew,
    /// It asks for permission to write the closing boundary.
    Commit(File),
    /// It failed, and nothing was stored: the key is free again.
    Free,
    /// It failed, and nobody can know whether the file was stored.
    Lose,
    /// The file is stored, and this is the reply.
    Keep(Kept),
}

/// What is kept of an upload that is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The reply, as JSON.
    pub reply: String,
    /// The message, if neither the backend nor the outbox has it.
    pub undelivered: Option<Message>,
    /// Whether the upload has ended, and this is the reply that goes out.
    pub is_final: bool,
}

/// The answer to an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may do so, or it is done.
    Granted,
    /// Another attempt is under way.
    InProgress {
        /// Seconds until it is worth asking again.
        retry_after: u32,
    },
    /// Another attempt has ended.
    Ended {
        /// What it uploaded.
        file: File,
        /// Its reply; `None` when nobody knows how it ended.
        reply: Option<String>,
    },
}

/// What is remembered of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    attempt: String,
    phase: Phase,
    kept_until: UnixMillis,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    Running {
        until: UnixMillis,
    },
    Committing {
        until: UnixMillis,
        file: File,
    },
    Done {
        file: File,
        reply: String,
        undelivered: Option<Undelivered>,
    },
    Unknown {
        file: File,
    },
}

/// A message that neither the backend nor the outbox has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Undelivered {
    message: Message,
    /// Until then its upload counts as alive, and delivers it.
    until: UnixMillis,
    hand_over_at: UnixMillis,
}

impl Record {
    /// The record after a step of an attempt, and the verdict. An attempt is named by the id of its
    /// request.
    pub(super) fn decide(
        record: Option<Self>,
        attempt: &str,
        step: Step,
        now: UnixMillis,
        policy: RecordPolicy,
    ) -> (Option<Self>, Verdict) {
        let overtaken = Verdict::InProgress { retry_after: 1 };
        let record = record.filter(|record| !record.is_over(now));
        match (record, step) {
            (None, Step::Begin) => (Some(Self::begun(attempt, now, policy)), Verdict::Granted),
            // It was overtaken, or forgotten: it has no permission, and nothing to change.
            (None, _) => (None, overtaken),
            (Some(record), step) if record.attempt == attempt => record.own(step, now, policy),
            (Some(record), Step::Begin) => match record.seen_by_others(now) {
                None => (Some(Self::begun(attempt, now, policy)), Verdict::Granted),
                Some(verdict) => (Some(record), verdict),
            },
            (Some(record), _) => (Some(record), overtaken),
        }
    }

    fn begun(attempt: &str, now: UnixMillis, policy: RecordPolicy) -> Self {
        Self {
            attempt: attempt.to_owned(),
            phase: Phase::Running {
                until: now + policy.lease_ms,
            },
            kept_until: now + policy.ttl_ms,
        }
    }

    /// A step of the attempt that has the key. It keeps the key after its lease has ended, until
    /// another attempt takes it.
    fn own(self, step: Step, now: UnixMillis, policy: RecordPolicy) -> (Option<Self>, Verdict) {
        let until = now + policy.lease_ms;
        let mut kept_until = now + policy.ttl_ms;
        let phase = match (self.phase, step) {
            (Phase::Running { .. } | Phase::Committing { .. }, Step::Free) => {
                return (None, Verdict::Granted);
            }
            (Phase::Running { .. }, Step::Renew) => Phase::Running { until },
            (Phase::Committing { file, .. }, Step::Renew) => Phase::Committing { until, file },
            (Phase::Running { .. } | Phase::Committing { .. }, Step::Commit(file)) => {
                Phase::Committing { until, file }
            }
            (Phase::Committing { file, .. }, Step::Lose) => Phase::Unknown { file },
            (
                Phase::Committing { file, .. }
                | Phase::Done {
                    file,
                    undelivered: Some(_),
                    ..
                },
                Step::Keep(kept),
            ) => {
                let undelivered = kept.undelivered.map(|message| Undelivered {
                    message,
                    until: if kept.is_final { now } else { until },
                    hand_over_at: until,
                });
                Phase::Done {
                    file,
                    reply: kept.reply,
                    undelivered,
                }
            }
            // What comes late, or twice, changes nothing.
            (phase, _) => {
                kept_until = self.kept_until;
                phase
            }
        };
        let record = Self {
            attempt: self.attempt,
            phase,
            kept_until,
        };
        (Some(record), Verdict::Granted)
    }

    /// The answer to another attempt; `None` if it may take the key.
    fn seen_by_others(&self, now: UnixMillis) -> Option<Verdict> {
        if let Some(until) = self.alive_until().filter(|until| now < *until) {
            let seconds = (until - now).div_ceil(1000).min(MAX_RETRY_AFTER_SECONDS);
            let retry_after = u32::try_from(seconds).unwrap_or(1);
            return Some(Verdict::InProgress { retry_after });
        }
        match &self.phase {
            Phase::Running { .. } => None,
            Phase::Committing { file, .. } | Phase::Unknown { file } => Some(Verdict::Ended {
                file: file.clone(),
                reply: None,
            }),
            Phase::Done { file, reply, .. } => Some(Verdict::Ended {
                file: file.clone(),
                reply: Some(reply.clone()),
            }),
        }
    }

    /// Until when its upload counts as alive, unless it has ended. An upload whose file is stored may
    /// still have to notify the backend: its reply is known after that.
    fn alive_until(&self) -> Option<UnixMillis> {
        match &self.phase {
            Phase::Running { until } | Phase::Committing { until, .. } => Some(*until),
            Phase::Done { undelivered, .. } => undelivered.as_ref().map(|message| message.until),
            Phase::Unknown { .. } => None,
        }
    }

    /// When it is forgotten.
    fn over_at(&self) -> UnixMillis {
        self.kept_until.max(self.alive_until().unwrap_or_default())
    }

    /// When there is something to do.
    pub(super) fn due_at(&self) -> UnixMillis {
        match &self.phase {
            Phase::Done {
                undelivered: Some(undelivered),
                ..
            } => undelivered.hand_over_at.min(self.over_at()),
            _ => self.over_at(),
        }
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self, now: UnixMillis) -> bool {
        now >= self.over_at()
    }

    /// The message that its upload has left undelivered: the upload has died.
    pub(super) fn left_behind(&self, now: UnixMillis) -> Option<&Message> {
        match &self.phase {
            Phase::Done {
                undelivered: Some(undelivered),
                ..
            } if now >= undelivered.hand_over_at => Some(&undelivered.message),
            _ => None,
        }
    }

    /// The record after a try to deliver it.
    pub(super) fn handed_over(mut self, delivered: bool, now: UnixMillis) -> Self {
        if let Phase::Done { undelivered, .. } = &mut self.phase {
            if delivered {
                *undelivered = None;
            } else if let Some(undelivered) = undelivered {
                undelivered.hand_over_at = now + HAND_OVER_PAUSE_MS;
            }
        }
        self
    }
}
