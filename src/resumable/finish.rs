//! How an upload ends: finished, put together, terminated, expired.

use super::manifest::Part;
use super::naming::Place;
use super::question::{Answer, Destination, Finished, FinishedFile, Refusal, Shape, Work};
use super::resource::{Context, LEASE_MS, MAX_PARTS, Phase, Resource, UploadPolicy, Write};
use crate::host::UnixMillis;
use crate::webhook::Message;

/// How long the request that stored a file is taken to deliver its notification, in milliseconds.
const DELIVERY_MS: u64 = 60_000;
/// How long after its last sign of life a file that is complete is finished by the alarm.
const FINISH_AFTER_MS: u64 = 30_000;
/// The pause after a deletion that failed; it doubles each time.
const RETRY_MS: u64 = 60_000;
const MAX_RETRY_MS: u64 = 3_600_000;
/// Telegram deletes no message that is older (Bot API, `deleteMessage`: 48 hours).
const DELETABLE_MS: u64 = 48 * 3_600_000;
/// How long an upload that has ended is answered with 410 rather than 404.
const REMEMBERED_MS: u64 = 24 * 3_600_000;

/// What an alarm has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Forget the upload.
    Forget,
    /// Delete messages: known orphans, and the parts in the ledger as well if `parts` says so.
    Delete {
        /// Whether the parts go.
        parts: bool,
        /// Final uploads to be asked first: the parts stay if one of them is complete.
        unless_complete: Vec<String>,
    },
    /// Finish the file, whose request died.
    Finish,
    /// Deliver this notification, whose request died.
    Deliver(Message),
    /// Nothing yet: wake the object then.
    At(UnixMillis),
}

impl Resource {
    /// All bytes are there.
    pub(super) fn complete(&mut self, cx: &Context<'_>) {
        if matches!(self.phase, Phase::Open) {
            self.phase = Phase::Complete {
                manifest: None,
                finish_at: cx.now + FINISH_AFTER_MS,
            };
        }
    }

    /// Takes the right to finish the file.
    pub(super) fn finish(&mut self, cx: &mut Context<'_>) -> Result<Answer, Refusal> {
        let manifest = match (&mut self.phase, &self.shape) {
            (Phase::Finished { .. }, _) | (Phase::Complete { .. }, Shape::Partial) => {
                return Ok(Answer::State(Box::new(self.state())));
            }
            (
                Phase::Complete {
                    manifest,
                    finish_at,
                },
                _,
            ) => {
                *finish_at = cx.now + FINISH_AFTER_MS;
                manifest.clone()
            }
            _ => return Err(Refusal::Incomplete),
        };
        self.take_place(None, cx)?;
        let lease = cx.lease(None, false, false);
        self.leases.push(lease);
        Ok(Answer::Work(Box::new(Work {
            state: self.state(),
            manifest,
        })))
    }

    /// Keeps the reply. The request that did so may do it again, with what it knows then.
    pub(super) fn keep(&mut self, kept: Finished, cx: &mut Context<'_>) -> Result<(), Refusal> {
        match &mut self.phase {
            Phase::Finished { finished, by, .. } if by == cx.request => {
                *finished = kept;
                return Ok(());
            }
            Phase::Complete { .. } => {}
            _ => return Err(Refusal::Overtaken),
        }
        self.own_lease(cx)?;
        while !self.leases.is_empty() {
            self.drop_lease(0, cx);
        }
        self.expires_at = cx.now + cx.policy.ttl_ms;
        self.phase = Phase::Finished {
            finished: kept,
            by: cx.request.to_owned(),
            deliver_at: cx.now + DELIVERY_MS,
        };
        Ok(())
    }

    /// Takes the parts of a partial upload over. The answer to the same question may get lost.
    pub(super) fn adopt(
        &mut self,
        after: u32,
        parts: Vec<Part>,
        is_last: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        if !matches!(self.shape, Shape::Final) || after > self.parts {
            return Err(Refusal::WrongShape);
        }
        self.own_lease(cx)?.until = cx.now + LEASE_MS;
        if after == self.parts {
            let bytes: u64 = parts.iter().map(|part| part.size).sum();
            let limit = cx.policy.max_file_bytes;
            if self.offset.saturating_add(bytes) > limit {
                return Err(Refusal::TooLarge { limit });
            }
            if self.parts.saturating_add(count) > MAX_PARTS {
                return Err(Refusal::TooManyParts);
            }
            for part in parts {
                let number = self.parts + 1;
                self.acknowledge(Place { number, piece: 0 }, part, cx);
            }
        } else if after.saturating_add(count) != self.parts {
            return Err(Refusal::WrongShape);
        }
        if is_last {
            if self.offset == 0 {
                return Err(Refusal::Empty);
            }
            self.length = Some(self.offset);
            self.complete(cx);
        }
        Ok(())
    }

    /// A final upload is about to have the parts. They stay this one's to delete until that one is
    /// complete. This one ends before that one is forgotten, so that it can ask.
    pub(super) fn merge(&mut self, into: String, cx: &Context<'_>) -> Result<(), Refusal> {
        match (&self.shape, &self.phase) {
            (Shape::Partial, Phase::Complete { .. }) => {}
            (Shape::Partial, _) => return Err(Refusal::Incomplete),
            _ => return Err(Refusal::WrongShape),
        }
        if !self.merged_into.contains(&into) {
            self.merged_into.push(into);
        }
        self.expires_at = cx.now + cx.policy.ttl_ms / 2;
        Ok(())
    }

    /// Ends the upload. The alarm deletes what Telegram has of it.
    pub(super) fn terminate(&mut self, finished: FinishedFile, cx: &mut Context<'_>) {
        if matches!(
            (&self.phase, finished),
            (Phase::Finished { .. }, FinishedFile::Stays)
        ) {
            self.phase = Phase::Ended {
                forget_at: cx.now + REMEMBERED_MS,
            };
            return;
        }
        while !self.leases.is_empty() {
            self.drop_lease(0, cx);
        }
        let manifest = match &self.phase {
            Phase::Complete { manifest, .. } => manifest.as_ref().map(|part| part.message_id),
            Phase::Finished { finished, .. } => Some(finished.message_id),
            _ => None,
        };
        if let Some(message_id) = manifest {
            let serial = self.next_serial;
            self.next_serial += 1;
            self.note_orphan(serial, Some(message_id), 0, cx);
        }
        // A final upload that is not complete has parts that are still the partial ones' to delete.
        let parts_go = !matches!(self.shape, Shape::Final) || !matches!(self.phase, Phase::Open);
        self.phase = Phase::Ending {
            parts_go,
            next_at: cx.now,
        };
    }

    /// Ends an upload whose time is over. One to which bytes are coming lives on.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) {
        let is_alive = self.leases.iter().any(|lease| cx.now < lease.until);
        // In all that time nobody could finish one that is complete.
        let may_end = matches!(self.phase, Phase::Open | Phase::Complete { .. });
        if may_end && !is_alive && cx.now >= self.expires_at {
            self.terminate(FinishedFile::Goes, cx);
        }
    }

    /// What the alarm has to do. The resource and the ledger may change by that.
    pub fn wake(&mut self, now: UnixMillis, policy: &UploadPolicy) -> (Due, Vec<Write>) {
        let mut cx = Context::new("alarm", now, policy, None);
        self.expire(&mut cx);
        (self.due(now), cx.writes)
    }

    fn due(&self, now: UnixMillis) -> Due {
        let orphans_are_due = self.orphans_due_at.is_some_and(|at| now >= at);
        match &self.phase {
            Phase::Ending { parts_go, next_at } if now >= *next_at => Due::Delete {
                parts: *parts_go,
                unless_complete: self.merged_into.clone(),
            },
            Phase::Complete { finish_at, .. } if now >= *finish_at && !self.is_partial() => {
                Due::Finish
            }
            Phase::Finished {
                finished:
                    Finished {
                        undelivered: Some(message),
                        ..
                    },
                deliver_at,
                ..
            } if now >= *deliver_at => Due::Deliver(message.clone()),
            _ if self.is_forgotten(now) => Due::Forget,
            _ if orphans_are_due => Due::Delete {
                parts: false,
                unless_complete: Vec::new(),
            },
            _ => Due::At(self.alarm_at()),
        }
    }

    /// All messages that were to be deleted are deleted.
    pub fn deleted(&mut self, now: UnixMillis) {
        self.failed_deletions = 0;
        self.orphans_due_at = None;
        if matches!(self.phase, Phase::Ending { .. }) {
            self.phase = Phase::Ended {
                forget_at: now + REMEMBERED_MS,
            };
        }
    }

    /// The parts of this partial upload belong to a final one that is complete.
    pub fn give_parts_away(&mut self) {
        if let Phase::Ending { parts_go, .. } = &mut self.phase {
            *parts_go = false;
            self.merged_into.clear();
        }
    }

    /// Telegram did not delete them. Tries again later, until the messages are too old: `false` then.
    pub fn not_deleted(&mut self, now: UnixMillis) -> bool {
        if now >= self.expires_at.max(self.created_at) + DELETABLE_MS {
            self.deleted(now);
            return false;
        }
        let pause_ms = RETRY_MS << self.failed_deletions.min(6);
        self.failed_deletions += 1;
        let at = now + pause_ms.min(MAX_RETRY_MS);
        match &mut self.phase {
            Phase::Ending { next_at, .. } => *next_at = at,
            _ => self.orphans_due_at = Some(at),
        }
        true
    }

    /// Whether somebody has the notification now. If not, it is tried again later.
    pub fn handed_over(&mut self, is_delivered: bool, now: UnixMillis) {
        if let Phase::Finished {
            finished,
            deliver_at,
            ..
        } = &mut self.phase
        {
            if is_delivered {
                finished.undelivered = None;
            }
            *deliver_at = now + DELIVERY_MS;
        }
    }

    /// The alarm could not finish the file. It tries again later.
    pub fn not_finished(&mut self, now: UnixMillis) {
        if let Phase::Complete { finish_at, .. } = &mut self.phase {
            *finish_at = now + DELIVERY_MS;
        }
    }

    fn is_partial(&self) -> bool {
        matches!(self.shape, Shape::Partial)
    }

    /// When there is something to do.
    #[must_use]
    pub fn alarm_at(&self) -> UnixMillis {
        let by_phase = match &self.phase {
            Phase::Complete { finish_at, .. } if !self.is_partial() => *finish_at,
            Phase::Finished {
                finished,
                deliver_at,
                ..
            } if finished.undelivered.is_some() => *deliver_at,
            Phase::Open | Phase::Complete { .. } | Phase::Finished { .. } => self.expires_at,
            Phase::Ending { next_at, .. } => *next_at,
            Phase::Ended { forget_at } => *forget_at,
        };
        // Nobody takes the place of a request that is alive.
        let alive_until = self.leases.iter().map(|lease| lease.until).max();
        let by_phase = by_phase.max(alive_until.unwrap_or_default());
        self.orphans_due_at.unwrap_or(by_phase).min(by_phase)
    }
}

impl Destination {
    /// Whether it is the same bot and chat.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.bot_id == other.bot_id && self.chat_id == other.chat_id
    }
}
