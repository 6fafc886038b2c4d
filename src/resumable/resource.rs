//! One upload resource: what is remembered of it, and how that changes.
//!
//! ```text
//! Open ── all bytes are there ──▶ Complete ── the reply is kept ──▶ Finished ── in the end ──▶ (none)
//!   │                                │                                 │
//!   └───── expired or terminated ────┴────────── terminated ───────────┴─▶ Ending ─▶ Ended ─▶ (none)
//! ```
//!
//! Three rules make the offset true and the file whole:
//! - Nothing is sent to Telegram whole unless the object was asked for leave ([`Ask::Commit`]), and
//!   leave is given to the holder of the lease alone. A request that was overtaken gets none.
//! - What Telegram stored counts when it is recorded ([`Ask::Store`]), and only if its lease has not
//!   been taken over meanwhile: the next holder began at the offset without it.
//! - Whatever had leave and does not count is an orphan: known, and deleted by the alarm, or unknown,
//!   and listed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::index_set::IndexSet;
use super::manifest::{MAX_NAME_BYTES, Part};
use super::naming::Place;
use super::question::{
    Answer, Ask, Destination, FileDescription, Finished, NewUpload, Piece, Question, Refusal,
    Shape, State,
};
use super::seal::Sealed;
use crate::config::Config;
use crate::host::UnixMillis;

/// What the settings say of uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadPolicy {
    /// `PART_BYTES`: the largest part.
    pub part_bytes: u64,
    /// `MAX_FILE_BYTES`: the largest file.
    pub max_file_bytes: u64,
    /// `UPLOAD_TTL_SECONDS`: how long an upload lives from its last part.
    pub ttl_ms: u64,
}

impl UploadPolicy {
    /// That of these settings.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            part_bytes: config.part_bytes,
            max_file_bytes: config.max_file_bytes,
            ttl_ms: config.upload_ttl_ms,
        }
    }
}

/// Most parts of a file: so many fit into one manifest.
#[allow(clippy::cast_possible_truncation, reason = "it is 10,000")]
pub const MAX_PARTS: u32 = super::manifest::MAX_PARTS as u32;
/// How long a request that brings no more bytes may still append, if nobody takes its place. A client
/// is told to come again within this time, and a new request takes over after it.
pub const LEASE_MS: u64 = 8_000;
/// How often a request that brings bytes renews its lease.
pub const RENEW_MS: u64 = 2_500;
/// How many chunks may come at a time. Two do; the others are those whose connection broke.
pub(super) const MAX_CHUNKS_AT_ONCE: usize = 4;

/// An upload resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// The name of its object.
    pub(super) object: String,
    pub(super) owner: String,
    pub(super) destination: Destination,
    pub(super) file: FileDescription,
    pub(super) echoed: BTreeMap<String, String>,
    pub(super) shape: Shape,
    pub(super) length: Option<u64>,
    /// Bytes that Telegram has acknowledged.
    pub(super) offset: u64,
    /// Parts in the ledger.
    pub(super) parts: u32,
    pub(super) received: IndexSet,
    pub(super) leases: Vec<Lease>,
    /// The number of the next leave to commit.
    pub(super) next_serial: u32,
    pub(super) phase: Phase,
    /// The final uploads that may have taken this partial one's parts over.
    pub(super) merged_into: Vec<String>,
    pub(super) sealed: Sealed,
    pub(super) created_at: UnixMillis,
    pub(super) expires_at: UnixMillis,
    pub(super) unknown_orphans: u32,
    /// Orphans are to be deleted from then on.
    pub(super) orphans_due_at: Option<UnixMillis>,
    pub(super) failed_deletions: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    Open,
    Complete {
        manifest: Option<Part>,
        /// The alarm finishes it then, unless a request does.
        finish_at: UnixMillis,
    },
    Finished {
        finished: Finished,
        by: String,
        /// Until then its request is taken to deliver the notification.
        deliver_at: UnixMillis,
    },
    Ending {
        /// Whether the parts in the ledger are its own to delete.
        parts_go: bool,
        next_at: UnixMillis,
    },
    Ended {
        forget_at: UnixMillis,
    },
}

/// The right to append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    pub(super) holder: String,
    pub(super) until: UnixMillis,
    pub(super) chunk: Option<u32>,
    pub(super) completes: bool,
    pub(super) is_checked: bool,
    /// What leave was given for and Telegram has not answered yet.
    pub(super) intent: Option<Intent>,
    /// What Telegram has, and does not count before the request has ended well.
    pub(super) tentative: Vec<(u32, Part)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    pub(super) serial: u32,
    pub(super) piece: Piece,
}

/// A message that is not of the file, or may be in the channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// The message, if it is known.
    pub message_id: Option<i64>,
    /// Bytes; 0 for a manifest.
    pub size: u64,
    /// Since when it is one.
    pub since: UnixMillis,
}

/// A change of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A part of the file.
    Part(Place, Part),
    /// An orphan, by the serial number of its leave.
    Orphan(u32, Orphan),
    /// It is none.
    NoOrphan(u32),
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What is remembered from now on.
    pub resource: Option<Resource>,
    /// The answer.
    pub answer: Answer,
    /// The upload that was there is forgotten: its ledger is to be emptied first.
    pub forgets: bool,
    /// Changes of the ledger, to be made in the same transaction.
    pub writes: Vec<Write>,
    /// The answer is a page of the ledger: the parts after this place.
    pub page_after: Option<Option<Place>>,
}

/// What decisions need beside the resource.
pub(super) struct Context<'a> {
    pub(super) request: &'a str,
    pub(super) now: UnixMillis,
    pub(super) policy: &'a UploadPolicy,
    pub(super) writes: Vec<Write>,
    /// The orphan of the serial number that the question names.
    pub(super) orphan: Option<Orphan>,
}

impl Question {
    /// The serial number that it names: its orphan is to be looked up before the decision.
    #[must_use]
    pub fn serial(&self) -> Option<u32> {
        match self.ask {
            Ask::Store { serial, .. } | Ask::Fail { serial, .. } => Some(serial),
            _ => None,
        }
    }
}

/// What becomes of a resource by a question. `orphan` is the one that [`Question::serial`] names.
#[must_use]
pub fn decide(
    resource: Option<Resource>,
    orphan: Option<Orphan>,
    question: Question,
    now: UnixMillis,
    policy: &UploadPolicy,
) -> Turn {
    let Question { request, user, ask } = question;
    let mut cx = Context::new(&request, now, policy, orphan);
    let was_there = resource.is_some();
    let mut resource = resource.filter(|resource| !resource.is_forgotten(now));
    let forgets = was_there && resource.is_none();
    let page_after = match ask {
        Ask::Ledger { after } => Some(after),
        _ => None,
    };
    let result = match (&mut resource, ask) {
        (None, Ask::Create(new)) => {
            let made = user.ok_or(Refusal::Foreign);
            let made = made.and_then(|owner| Resource::new(owner, *new, &cx));
            made.map(|made| Answer::State(Box::new(resource.insert(made).state())))
        }
        (None, _) => Err(Refusal::NotFound),
        (Some(resource), ask) => resource.answer(user.as_deref(), ask, &mut cx),
    };
    Turn {
        page_after: page_after.filter(|_| result.is_ok()),
        answer: result.unwrap_or_else(Answer::Refused),
        forgets,
        writes: cx.writes,
        resource,
    }
}

impl Resource {
    fn new(owner: String, new: NewUpload, cx: &Context<'_>) -> Result<Self, Refusal> {
        let limit = cx.policy.max_file_bytes;
        match (new.length, &new.shape) {
            (Some(0), _) | (_, Shape::Chunked { total: 0 }) => return Err(Refusal::Empty),
            (Some(length), _) if length > limit => return Err(Refusal::TooLarge { limit }),
            (_, Shape::Chunked { total }) if *total > MAX_PARTS => {
                return Err(Refusal::TooManyParts);
            }
            _ if new.file.name.len() > MAX_NAME_BYTES => return Err(Refusal::NameTooLong),
            _ => {}
        }
        // A final upload is filled by the request that makes it.
        let lease = matches!(new.shape, Shape::Final).then(|| cx.lease(None, false, false));
        Ok(Self {
            object: new.object,
            owner,
            destination: new.destination,
            file: new.file,
            echoed: new.echoed,
            shape: new.shape,
            length: new.length,
            offset: 0,
            parts: 0,
            received: IndexSet::default(),
            leases: lease.into_iter().collect(),
            next_serial: 0,
            phase: Phase::Open,
            merged_into: Vec::new(),
            sealed: new.sealed,
            created_at: cx.now,
            expires_at: cx.now + cx.policy.ttl_ms,
            unknown_orphans: 0,
            orphans_due_at: None,
            failed_deletions: 0,
        })
    }

    fn answer(
        &mut self,
        user: Option<&str>,
        ask: Ask,
        cx: &mut Context<'_>,
    ) -> Result<Answer, Refusal> {
        match user {
            Some(user) if user != self.owner => return Err(Refusal::Foreign),
            // Whoever knows the id of an upload may look at it and take it back: TeleStore v2's
            // frontends send no token with that.
            None if !matches!(ask, Ask::Look | Ask::Terminate { .. }) => {
                return Err(Refusal::Foreign);
            }
            _ => {}
        }
        self.expire(cx);
        if matches!(self.phase, Phase::Ending { .. } | Phase::Ended { .. })
            && !matches!(ask, Ask::Store { .. } | Ask::Fail { .. })
        {
            return Err(Refusal::Gone);
        }
        match ask {
            Ask::Create(new) => self.is_like(&new)?,
            Ask::Look | Ask::Ledger { .. } => {}
            Ask::Begin(append) => {
                let grant = self.begin(&append, cx)?;
                return Ok(Answer::Granted(Box::new(grant)));
            }
            Ask::Renew => self.renew(cx)?,
            Ask::Commit(piece) => {
                let serial = self.commit(piece, cx)?;
                return Ok(Answer::Leave { serial });
            }
            Ask::Reseal { sealed, token_mark } => {
                self.sealed = sealed;
                self.destination.token_mark = token_mark;
            }
            Ask::Store { serial, part } => self.store(serial, part, cx)?,
            Ask::Fail { serial, is_unknown } => self.fail(serial, is_unknown, cx),
            Ask::End { is_whole } => self.end(is_whole, cx)?,
            Ask::Finish => return self.finish(cx),
            Ask::Keep(finished) => self.keep(finished, cx)?,
            Ask::Adopt {
                after,
                parts,
                is_last,
            } => self.adopt(after, parts, is_last, cx)?,
            Ask::Merge { into } => self.merge(into, cx)?,
            Ask::Terminate { finished } => self.terminate(finished, cx),
        }
        Ok(Answer::State(Box::new(self.state())))
    }

    /// Two requests may make the same resource: the second finds it made.
    fn is_like(&self, new: &NewUpload) -> Result<(), Refusal> {
        if self.shape == new.shape && self.length == new.length {
            Ok(())
        } else {
            Err(Refusal::LengthDiffers)
        }
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> State {
        let finished = match &self.phase {
            Phase::Finished { finished, .. } => Some(finished.clone()),
            _ => None,
        };
        State {
            offset: self.offset,
            length: self.length,
            shape: self.shape.clone(),
            file: self.file.clone(),
            destination: self.destination.clone(),
            echoed: self.echoed.clone(),
            received: self.received.iter().collect(),
            parts: self.parts,
            is_complete: matches!(self.phase, Phase::Complete { .. } | Phase::Finished { .. }),
            finished,
            expires_at: self.expires_at,
            created_at: self.created_at,
            unknown_orphans: self.unknown_orphans,
        }
    }

    /// The name of its object.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.object
    }

    /// Whose upload it is.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Where its messages are.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// With what they can be deleted.
    #[must_use]
    pub fn sealed(&self) -> &Sealed {
        &self.sealed
    }

    pub(super) fn is_forgotten(&self, now: UnixMillis) -> bool {
        match self.phase {
            Phase::Ended { forget_at } => now >= forget_at,
            Phase::Finished { .. } => now >= self.expires_at && self.orphans_due_at.is_none(),
            _ => false,
        }
    }

    /// The lease of the request that asks.
    pub(super) fn own_lease(&mut self, cx: &Context<'_>) -> Result<&mut Lease, Refusal> {
        let mut leases = self.leases.iter_mut();
        leases
            .find(|lease| lease.holder == cx.request)
            .ok_or(Refusal::Overtaken)
    }

    /// A lease is over: what it was about to store is not of the file any more.
    pub(super) fn drop_lease(&mut self, at: usize, cx: &mut Context<'_>) {
        let lease = self.leases.remove(at);
        if let Some(intent) = lease.intent {
            self.note_orphan(intent.serial, None, intent.piece.size(), cx);
        }
        for (serial, part) in lease.tentative {
            self.note_orphan(serial, Some(part.message_id), part.size, cx);
        }
    }

    pub(super) fn note_orphan(
        &mut self,
        serial: u32,
        message_id: Option<i64>,
        size: u64,
        cx: &mut Context<'_>,
    ) {
        match message_id {
            Some(_) => self.orphans_due_at = Some(cx.now),
            None => self.unknown_orphans += 1,
        }
        let orphan = Orphan {
            message_id,
            size,
            since: cx.now,
        };
        cx.writes.push(Write::Orphan(serial, orphan));
    }
}

impl<'a> Context<'a> {
    pub(super) fn new(
        request: &'a str,
        now: UnixMillis,
        policy: &'a UploadPolicy,
        orphan: Option<Orphan>,
    ) -> Self {
        Self {
            request,
            now,
            policy,
            writes: Vec::new(),
            orphan,
        }
    }

    pub(super) fn lease(&self, chunk: Option<u32>, completes: bool, is_checked: bool) -> Lease {
        Lease {
            holder: self.request.to_owned(),
            until: self.now + LEASE_MS,
            chunk,
            completes,
            is_checked,
            intent: None,
            tentative: Vec::new(),
        }
    }
}

impl Piece {
    pub(super) fn size(self) -> u64 {
        match self {
            Self::Part { size, .. } => size,
            Self::Manifest => 0,
        }
    }
}
