//! An upload's object and a Telegram beside it, both in memory.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::UnixMillis;
use crate::resumable::Due;
use crate::resumable::manifest::Part;
use crate::resumable::naming::Place;
use crate::resumable::question::{
    Answer, Append, Ask, Destination, FileDescription, Finished, NewUpload, Piece, Position,
    Question, Refusal, Shape, State,
};
use crate::resumable::resource::{Orphan, Resource, UploadPolicy, Write, decide};
use crate::resumable::seal::{KEY_BYTES, NONCE_BYTES, Sealed, SealingKey};
use crate::telegram::{BotToken, FileId};

pub(super) const POLICY: UploadPolicy = UploadPolicy {
    part_bytes: 100,
    max_file_bytes: 100_000,
    ttl_ms: 86_400_000,
};
pub(super) const USER: &str = "u1";

/// A stretch of the source that a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) start: u64,
    pub(super) size: u64,
    pub(super) serial: u32,
}

/// One durable object, and the chat that it knows of.
pub(super) struct Bench {
    pub(super) now: UnixMillis,
    pub(super) resource: Option<Resource>,
    pub(super) parts: BTreeMap<Place, Part>,
    pub(super) orphans: BTreeMap<u32, Orphan>,
    pub(super) chat: BTreeMap<i64, Stored>,
    pub(super) deleted: BTreeSet<i64>,
    /// Serial numbers of unknown orphans that were listed when the upload was forgotten.
    pub(super) listed: BTreeSet<u32>,
    next_message: i64,
    /// What is kept and travels does so as JSON. It takes its time.
    pub(super) as_json: bool,
}

pub(super) fn destination() -> Destination {
    Destination {
        bot_id: "1".to_owned(),
        chat_id: "-1001".to_owned(),
        name: None,
        token_mark: "m1".to_owned(),
    }
}

pub(super) fn sealed() -> Sealed {
    let bot = BotToken::parse(&format!("1:{}", "A".repeat(35))).expect("a token");
    let key = SealingKey::new([1; KEY_BYTES]);
    key.seal([2; NONCE_BYTES], "up_1", &bot).expect("sealed")
}

pub(super) fn new_upload(shape: Shape, length: Option<u64>) -> NewUpload {
    NewUpload {
        object: "up_1".to_owned(),
        destination: destination(),
        file: FileDescription {
            name: "a.bin".to_owned(),
            mime_type: "application/octet-stream".to_owned(),
            ..FileDescription::default()
        },
        echoed: BTreeMap::new(),
        shape,
        length,
        sealed: sealed(),
    }
}

pub(super) fn append(offset: u64) -> Append {
    Append {
        destination: destination(),
        at: Position::Offset(offset),
        content_length: None,
        length: None,
        completes: false,
        is_checked: false,
    }
}

pub(super) const SEQUENTIAL: Shape = Shape::Sequential {
    ends_at_length: true,
};

impl Bench {
    pub(super) fn new(shape: Shape, length: Option<u64>) -> Self {
        let mut bench = Self {
            now: 1_700_000_000_000,
            resource: None,
            parts: BTreeMap::new(),
            orphans: BTreeMap::new(),
            chat: BTreeMap::new(),
            deleted: BTreeSet::new(),
            listed: BTreeSet::new(),
            next_message: 100,
            as_json: true,
        };
        let create = Ask::Create(Box::new(new_upload(shape, length)));
        bench.ask("create", create);
        bench
    }

    pub(super) fn ask(&mut self, request: &str, ask: Ask) -> Answer {
        self.ask_as(request, Some(USER), ask)
    }

    pub(super) fn ask_as(&mut self, request: &str, user: Option<&str>, ask: Ask) -> Answer {
        let question = Question {
            request: request.to_owned(),
            user: user.map(str::to_owned),
            ask,
        };
        let question = self.travel(question);
        let orphan = question
            .serial()
            .and_then(|serial| self.orphans.get(&serial));
        let before = self.resource.take().map(|resource| self.travel(resource));
        let turn = decide(before, orphan.cloned(), question, self.now, &POLICY);
        self.resource = turn.resource;
        if turn.forgets {
            self.forget();
        }
        self.write(turn.writes);
        match turn.page_after {
            Some(after) => {
                let parts = self.parts.iter().filter(|(place, _)| Some(**place) > after);
                let page = parts.take(3).map(|(place, part)| (*place, part.clone()));
                Answer::Ledger(page.collect())
            }
            None => self.travel(turn.answer),
        }
    }

    fn travel<T: Serialize + DeserializeOwned>(&self, value: T) -> T {
        if !self.as_json {
            return value;
        }
        let json = serde_json::to_string(&value).expect("JSON");
        serde_json::from_str(&json).expect("the same")
    }

    fn forget(&mut self) {
        self.resource = None;
        self.parts.clear();
        let orphans = std::mem::take(&mut self.orphans);
        self.listed.extend(orphans.into_keys());
    }

    fn write(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Part(place, part) => {
                    let before = self.parts.insert(place, part);
                    assert_eq!(before, None, "a part is written once");
                }
                Write::Orphan(serial, orphan) => drop(self.orphans.insert(serial, orphan)),
                Write::NoOrphan(serial) => drop(self.orphans.remove(&serial)),
            }
        }
    }

    pub(super) fn state(&mut self) -> State {
        match self.ask("look", Ask::Look) {
            Answer::State(state) => *state,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn look(&mut self) -> Result<State, Refusal> {
        match self.ask("look", Ask::Look) {
            Answer::State(state) => Ok(*state),
            Answer::Refused(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn begin(&mut self, request: &str, append: Append) -> Result<Place, Refusal> {
        match self.ask(request, Ask::Begin(append)) {
            Answer::Granted(grant) => Ok(grant.place),
            Answer::Refused(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn commit(&mut self, request: &str, size: u64) -> Result<u32, Refusal> {
        self.commit_last(request, size, false)
    }

    pub(super) fn commit_last(
        &mut self,
        request: &str,
        size: u64,
        is_last: bool,
    ) -> Result<u32, Refusal> {
        match self.ask(request, Ask::Commit(Piece::Part { size, is_last })) {
            Answer::Leave { serial } => Ok(serial),
            Answer::Refused(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    /// Telegram stores what leave was given for.
    pub(super) fn telegram(&mut self, serial: u32, start: u64, size: u64) -> Part {
        let message_id = self.next_message;
        self.next_message += 1;
        let stored = Stored {
            start,
            size,
            serial,
        };
        self.chat.insert(message_id, stored);
        Part {
            message_id,
            file_id: FileId::parse(&format!("file{message_id}")).expect("an id"),
            file_unique_id: None,
            size,
            sha256: None,
        }
    }

    pub(super) fn done(&mut self, request: &str, ask: Ask) -> Result<State, Refusal> {
        match self.ask(request, ask) {
            Answer::State(state) => Ok(*state),
            Answer::Refused(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    /// One part from leave to ledger.
    pub(super) fn put(&mut self, request: &str, start: u64, size: u64) -> Result<State, Refusal> {
        let serial = self.commit(request, size)?;
        let part = self.telegram(serial, start, size);
        self.done(request, Ask::Store { serial, part })
    }

    pub(super) fn end(&mut self, request: &str, is_whole: bool) -> Result<State, Refusal> {
        self.done(request, Ask::End { is_whole })
    }

    pub(super) fn finished(message_id: i64) -> Finished {
        Finished {
            reply: format!("{{\"messageId\":{message_id}}}"),
            file_id: format!("file{message_id}"),
            message_id,
            undelivered: None,
        }
    }

    /// What the alarm does, Telegram being well.
    pub(super) fn wake(&mut self) -> Due {
        let Some(resource) = &mut self.resource else {
            return Due::Forget;
        };
        let (due, writes) = resource.wake(self.now, &POLICY);
        self.write(writes);
        if let Due::Delete { parts, .. } = due {
            let known = self.orphans.values().filter_map(|orphan| orphan.message_id);
            let mut messages: Vec<i64> = known.collect();
            self.orphans.retain(|_, orphan| orphan.message_id.is_none());
            if parts {
                messages.extend(self.parts.values().map(|part| part.message_id));
                self.parts.clear();
            }
            for message in messages {
                self.chat.remove(&message);
                self.deleted.insert(message);
            }
            if let Some(resource) = &mut self.resource {
                resource.deleted(self.now);
            }
        }
        if due == Due::Forget {
            self.forget();
        }
        due
    }

    /// The ledger and the chat agree.
    pub(super) fn check(&self) {
        let Some(resource) = &self.resource else {
            return;
        };
        let mut at = 0;
        for (place, part) in &self.parts {
            let key = place.key();
            let stored = self.chat.get(&part.message_id);
            let stored = stored.unwrap_or_else(|| panic!("{key} is not in the chat"));
            assert_eq!(stored.size, part.size, "{key}");
            if self.is_sequential() {
                assert_eq!(stored.start, at, "a hole, or doubled bytes, at {key}");
            }
            at += part.size;
        }
        if !self.parts.is_empty() {
            assert_eq!(resource.state().offset, at, "the offset is what is stored");
            assert_eq!(resource.state().parts as usize, self.parts.len());
        }
        let listed = self.orphans.values().filter(|o| o.message_id.is_none());
        let unknown = resource.state().unknown_orphans;
        assert_eq!(unknown as usize, listed.count());
        for (id, stored) in &self.chat {
            let in_file = self
                .parts
                .values()
                .filter(|part| part.message_id == *id)
                .count();
            let is_orphan = self.orphans.contains_key(&stored.serial);
            let is_pending = resource.leases.iter().any(|lease| {
                let intent = lease.intent.is_some_and(|i| i.serial == stored.serial);
                let mut tentative = lease.tentative.iter();
                intent || tentative.any(|(serial, _)| *serial == stored.serial)
            });
            let places = in_file + usize::from(is_orphan) + usize::from(is_pending);
            assert_eq!(places, 1, "message {id} is accounted for once: {stored:?}");
        }
    }

    fn is_sequential(&self) -> bool {
        let resource = self.resource.as_ref();
        resource.is_none_or(|resource| !matches!(resource.state().shape, Shape::Chunked { .. }))
    }
}
