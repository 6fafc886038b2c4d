//! What is remembered of an idempotency key, and how it changes.
//!
//! ```text
//! (none) ── begin ──▶ running ── commit ──▶ committing ── keep ──▶ done
//!    ▲                   │                      │
//!    └── free, or the ───┘                      ├── free ──▶ (none)
//!        lease is over                          └── lose, or the lease is over ──▶ unknown
//! ```
//!
//! Whoever writes to Telegram does so under an *attempt*, and asks for leave before the closing
//! boundary. An attempt whose lease was over may have been overtaken by another: it then gets no leave,
//! and nothing of it is stored. From that leave on no other attempt begins unless the first one says
//! that nothing came of it. So a key stores one message at most.

use serde::{Deserialize, Serialize};

use crate::config::RecordPolicy;
use crate::host::UnixMillis;
use crate::webhook::Message;

/// The pause before it is tried again to hand a message over.
const HAND_OVER_PAUSE_MS: u64 = 60_000;
/// Most seconds after which a repeat may ask again. The first mostly ends before its lease does.
const MAX_RETRY_AFTER_SECONDS: u64 = 5;

/// What makes two uploads the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct File {
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
}

/// What an attempt has to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Question {
    /// Which attempt: the id of its request.
    pub(super) attempt: String,
    pub(super) wish: Wish,
}

/// What it wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Wish {
    /// To upload.
    Begin,
    /// To go on uploading.
    Renew,
    /// To write the closing boundary.
    Commit(File),
    /// To forget it: nothing was stored.
    Free,
    /// To say that it can't be known what was stored.
    Lose,
    /// To keep the reply: the file is stored.
    Keep(Kept),
}

/// What is kept of an upload that is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) reply: String,
    /// The message, if neither backend nor outbox has it.
    pub(super) untold: Option<Message>,
    /// Whether the upload has ended, and this is the reply that goes out.
    pub(super) is_last: bool,
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// It may, or it is done.
    Yours,
    /// Another attempt is under way. Seconds until it is worth asking again.
    Taken(u32),
    /// Another attempt has ended, with this reply, or nobody knows how.
    Ended(File, Option<String>),
}

/// What is remembered of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
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
        untold: Option<Untold>,
    },
    Unknown {
        file: File,
    },
}

/// A message that neither backend nor outbox has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Untold {
    message: Message,
    /// Until then its upload is taken to be alive, and to deliver it.
    until: UnixMillis,
    hand_over_at: UnixMillis,
}

impl Record {
    /// What becomes of a record by this wish, and the answer.
    pub(super) fn decide(
        record: Option<Self>,
        question: Question,
        now: UnixMillis,
        policy: RecordPolicy,
    ) -> (Option<Self>, Answer) {
        let Question { attempt, wish } = question;
        let record = record.filter(|record| !record.is_over(now));
        match (record, wish) {
            (None, Wish::Begin) => (Some(Self::begun(attempt, now, policy)), Answer::Yours),
            // It was overtaken, or forgotten: it has no leave, and nothing to change.
            (None, _) => (None, Answer::Taken(1)),
            (Some(record), wish) if record.attempt == attempt => record.own(wish, now, policy),
            (Some(record), Wish::Begin) => match record.seen_by_others(now) {
                None => (Some(Self::begun(attempt, now, policy)), Answer::Yours),
                Some(answer) => (Some(record), answer),
            },
            (Some(record), _) => (Some(record), Answer::Taken(1)),
        }
    }

    fn begun(attempt: String, now: UnixMillis, policy: RecordPolicy) -> Self {
        Self {
            attempt,
            phase: Phase::Running {
                until: now + policy.lease_ms,
            },
            kept_until: now + policy.ttl_ms,
        }
    }

    /// What the attempt itself may do. That its lease is over does not matter as long as nobody else
    /// has made use of that.
    fn own(self, wish: Wish, now: UnixMillis, policy: RecordPolicy) -> (Option<Self>, Answer) {
        let until = now + policy.lease_ms;
        let mut kept_until = now + policy.ttl_ms;
        let phase = match (self.phase, wish) {
            (Phase::Running { .. } | Phase::Committing { .. }, Wish::Free) => {
                return (None, Answer::Yours);
            }
            (Phase::Running { .. }, Wish::Renew) => Phase::Running { until },
            (Phase::Committing { file, .. }, Wish::Renew) => Phase::Committing { until, file },
            (Phase::Running { .. } | Phase::Committing { .. }, Wish::Commit(file)) => {
                Phase::Committing { until, file }
            }
            (Phase::Committing { file, .. }, Wish::Lose) => Phase::Unknown { file },
            (
                Phase::Committing { file, .. }
                | Phase::Done {
                    file,
                    untold: Some(_),
                    ..
                },
                Wish::Keep(kept),
            ) => {
                let untold = kept.untold.map(|message| Untold {
                    message,
                    until: if kept.is_last { now } else { until },
                    hand_over_at: until,
                });
                Phase::Done {
                    file,
                    reply: kept.reply,
                    untold,
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
        (Some(record), Answer::Yours)
    }

    /// What another attempt is told; `None` when it may take the place of this one.
    fn seen_by_others(&self, now: UnixMillis) -> Option<Answer> {
        if let Some(until) = self.alive_until().filter(|until| now < *until) {
            let seconds = (until - now).div_ceil(1000).min(MAX_RETRY_AFTER_SECONDS);
            return Some(Answer::Taken(u32::try_from(seconds).unwrap_or(1)));
        }
        match &self.phase {
            Phase::Running { .. } => None,
            Phase::Committing { file, .. } | Phase::Unknown { file } => {
                Some(Answer::Ended(file.clone(), None))
            }
            Phase::Done { file, reply, .. } => {
                Some(Answer::Ended(file.clone(), Some(reply.clone())))
            }
        }
    }

    /// Until when its upload is taken to be alive, unless that has ended. One whose file is stored may
    /// still have to tell the backend: only then its reply is known.
    fn alive_until(&self) -> Option<UnixMillis> {
        match &self.phase {
            Phase::Running { until } | Phase::Committing { until, .. } => Some(*until),
            Phase::Done { untold, .. } => untold.as_ref().map(|untold| untold.until),
            Phase::Unknown { .. } => None,
        }
    }

    /// When it is forgotten.
    fn over_at(&self) -> UnixMillis {
        self.kept_until.max(self.alive_until().unwrap_or_default())
    }

    /// When there is something to do.
    pub(super) fn alarm_at(&self) -> UnixMillis {
        match &self.phase {
            Phase::Done {
                untold: Some(untold),
                ..
            } => untold.hand_over_at.min(self.over_at()),
            _ => self.over_at(),
        }
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self, now: UnixMillis) -> bool {
        now >= self.over_at()
    }

    /// The message that somebody else has to deliver by now: its upload has died.
    pub(super) fn left_behind(&self, now: UnixMillis) -> Option<&Message> {
        match &self.phase {
            Phase::Done {
                untold: Some(untold),
                ..
            } if now >= untold.hand_over_at => Some(&untold.message),
            _ => None,
        }
    }

    /// The record after that was tried.
    pub(super) fn handed_over(mut self, delivered: bool, now: UnixMillis) -> Self {
        if let Phase::Done { untold, .. } = &mut self.phase {
            if delivered {
                *untold = None;
            } else if let Some(untold) = untold {
                untold.hand_over_at = now + HAND_OVER_PAUSE_MS;
            }
        }
        self
    }
}
