//! Whatever writers, breaks, crashes and clocks do, in any order: the offset is true, the file has no
//! hole and no byte twice, and every message is in the file, in the ledger of orphans, or deleted.

use proptest::prelude::*;

use super::bench::{Bench, SEQUENTIAL, append};
use crate::resumable::Due;
use crate::resumable::manifest::Part;
use crate::resumable::question::{Append, Ask, FinishedFile, Position, Refusal, Shape};
use crate::resumable::resource::LEASE_MS;

const WRITERS: usize = 4;
const LENGTH: u64 = 700;
const CHUNKS: u32 = 7;
const CHUNK: u64 = 100;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Time goes by, in milliseconds.
    Pass(u64),
    /// A writer does the next thing that it has to do.
    Go(usize),
    /// The same, and something goes wrong with it.
    Trip(usize, Trouble),
    /// A writer dies where it is.
    Die(usize),
    /// The alarm.
    Wake,
    /// The user takes the upload back.
    Terminate,
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// The client breaks off.
    Break,
    /// Telegram does not store it, and says so.
    Refused,
    /// Telegram stores it, and its answer is lost.
    StoredUnheard,
    /// Telegram does not store it, and that is not heard either.
    LostUnheard,
    /// The object's answer is lost: the question is asked twice.
    AskedTwice,
}

/// A request that appends.
#[derive(Debug, Clone)]
enum Writer {
    Idle,
    /// It may append from this byte of the source on.
    Granted {
        at: u64,
        left: u64,
    },
    /// It has leave.
    Leave {
        at: u64,
        left: u64,
        serial: u32,
        size: u64,
    },
    /// Telegram has answered.
    Stored {
        at: u64,
        left: u64,
        serial: u32,
        part: Part,
    },
}

struct World {
    bench: Bench,
    writers: Vec<(Writer, String)>,
    requests: u32,
    is_checked: bool,
    shape: Shape,
    offset: u64,
    next_chunk: u32,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let trouble = prop_oneof![
        3 => Just(Trouble::Break),
        2 => Just(Trouble::Refused),
        2 => Just(Trouble::StoredUnheard),
        1 => Just(Trouble::LostUnheard),
        3 => Just(Trouble::AskedTwice),
    ];
    let step = prop_oneof![
        4 => prop_oneof![1_u64..3_000, Just(LEASE_MS), Just(LEASE_MS + 1)].prop_map(Step::Pass),
        30 => (0..WRITERS).prop_map(Step::Go),
        8 => (0..WRITERS, trouble).prop_map(|(writer, trouble)| Step::Trip(writer, trouble)),
        2 => (0..WRITERS).prop_map(Step::Die),
        1 => Just(Step::Wake),
        1 => prop_oneof![9 => Just(Step::Pass(50)), 1 => Just(Step::Terminate), 1 => Just(Step::Pass(90_000_000))],
    ];
    prop::collection::vec(step, 0..160)
}

impl World {
    fn new(shape: Shape, is_checked: bool) -> Self {
        let mut bench = Bench::new(shape.clone(), Some(LENGTH));
        bench.as_json = false;
        Self {
            bench,
            writers: vec![(Writer::Idle, String::new()); WRITERS],
            requests: 0,
            is_checked,
            shape,
            offset: 0,
            next_chunk: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Pass(ms) => self.bench.now += ms,
            Step::Go(writer) => self.go(writer, None),
            Step::Trip(writer, trouble) => self.go(writer, Some(trouble)),
            Step::Die(writer) => self.set(writer, Writer::Idle),
            Step::Wake => drop(self.bench.wake()),
            Step::Terminate => {
                let finished = FinishedFile::Goes;
                let _ = self.bench.done("end", Ask::Terminate { finished });
            }
        }
        self.bench.check();
        let offset = match self.bench.look() {
            Ok(state) => state.offset,
            Err(_) => self.offset,
        };
        assert!(offset >= self.offset, "what was acknowledged stays");
        self.offset = offset;
    }

    fn set(&mut self, writer: usize, to: Writer) {
        self.writers[writer].0 = to;
    }

    fn go(&mut self, writer: usize, trouble: Option<Trouble>) {
        let (state, request) = self.writers[writer].clone();
        match state {
            Writer::Idle => self.begin(writer),
            Writer::Granted { at, left } => self.commit(writer, &request, at, left, trouble),
            Writer::Leave {
                at,
                left,
                serial,
                size,
            } => self.transmit(writer, &request, (at, left, serial, size), trouble),
            Writer::Stored {
                at,
                left,
                serial,
                part,
            } => {
                let size = part.size;
                let ask = || Ask::Store {
                    serial,
                    part: part.clone(),
                };
                let first = self.bench.done(&request, ask());
                if matches!(trouble, Some(Trouble::AskedTwice)) {
                    let again = self.bench.done(&request, ask());
                    assert_eq!(again.is_ok(), first.is_ok());
                }
                let next = match first {
                    Ok(_) => Writer::Granted {
                        at: at + size,
                        left: left - size,
                    },
                    Err(_) => Writer::Idle,
                };
                self.set(writer, next);
            }
        }
    }

    fn begin(&mut self, writer: usize) {
        self.requests += 1;
        let request = format!("r{}", self.requests);
        let Ok(state) = self.bench.look() else {
            return;
        };
        let (append, at, left) = if let Shape::Chunked { total } = self.shape {
            let index = self.next_chunk % total;
            self.next_chunk += 1;
            let chunk = Append {
                at: Position::Chunk { index, total },
                ..append(0)
            };
            (chunk, u64::from(index) * CHUNK, CHUNK)
        } else {
            let from = Append {
                is_checked: self.is_checked,
                ..append(state.offset)
            };
            (from, state.offset, LENGTH - state.offset)
        };
        if self.bench.begin(&request, append).is_ok() {
            self.writers[writer] = (Writer::Granted { at, left }, request);
        }
    }

    fn commit(
        &mut self,
        writer: usize,
        request: &str,
        at: u64,
        left: u64,
        trouble: Option<Trouble>,
    ) {
        if left == 0 || matches!(trouble, Some(Trouble::Break)) {
            let _ = self.bench.end(request, left == 0);
            return self.set(writer, Writer::Idle);
        }
        if matches!(trouble, Some(Trouble::Refused)) {
            let _ = self.bench.done(request, Ask::Renew);
        }
        let size = left.min(20 + (at * 7 + u64::from(self.requests)) % 80);
        let is_last = size == left;
        let leave = self.bench.commit_last(request, size, is_last);
        if matches!(trouble, Some(Trouble::AskedTwice)) {
            assert_eq!(self.bench.commit_last(request, size, is_last), leave);
        }
        let next = match leave {
            Ok(serial) => Writer::Leave {
                at,
                left,
                serial,
                size,
            },
            Err(_) => Writer::Idle,
        };
        self.set(writer, next);
    }

    fn transmit(
        &mut self,
        writer: usize,
        request: &str,
        (at, left, serial, size): (u64, u64, u32, u64),
        trouble: Option<Trouble>,
    ) {
        let is_unknown = match trouble {
            Some(Trouble::StoredUnheard) => {
                self.bench.telegram(serial, at, size);
                true
            }
            Some(Trouble::LostUnheard) => true,
            Some(Trouble::Refused) => false,
            _ => {
                let part = self.bench.telegram(serial, at, size);
                let stored = Writer::Stored {
                    at,
                    left,
                    serial,
                    part,
                };
                return self.set(writer, stored);
            }
        };
        let _ = self.bench.done(request, Ask::Fail { serial, is_unknown });
        let _ = self.bench.end(request, false);
        self.set(writer, Writer::Idle);
    }

    /// From here on everything goes well: the file gets whole, or has ended.
    fn conclude(&mut self) {
        for writer in 0..WRITERS {
            self.set(writer, Writer::Idle);
        }
        self.bench.now += LEASE_MS;
        for _ in 0..200 {
            match self.bench.look() {
                Err(Refusal::Gone | Refusal::NotFound) => return self.all_is_deleted(),
                Err(other) => panic!("{other:?}"),
                Ok(state) if state.is_complete => return self.is_whole(),
                Ok(_) => self.go(0, None),
            }
            self.bench.check();
        }
        panic!("it came to no end");
    }

    fn is_whole(&mut self) {
        let end: u64 = self.bench.parts.values().map(|part| part.size).sum();
        assert_eq!(end, LENGTH);
        let mut at = 0;
        for part in self.bench.parts.values() {
            assert_eq!(self.bench.chat[&part.message_id].start, at);
            at += part.size;
        }
        let finished = FinishedFile::Goes;
        let ended = self.bench.done("end", Ask::Terminate { finished });
        assert!(ended.is_ok());
        self.all_is_deleted();
    }

    fn all_is_deleted(&mut self) {
        self.bench.now += 1;
        while matches!(self.bench.wake(), Due::Delete { .. }) {}
        for (id, stored) in &self.bench.chat {
            let orphan = self.bench.orphans.get(&stored.serial);
            let is_listed = orphan.is_some_and(|orphan| orphan.message_id.is_none());
            let was_listed = self.bench.listed.contains(&stored.serial);
            assert!(
                is_listed || was_listed,
                "message {id} is neither deleted nor listed"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_a_sequential_upload_has_no_hole_and_no_message_is_lost(
        is_checked in any::<bool>(),
        steps in steps(),
    ) {
        let mut world = World::new(SEQUENTIAL, is_checked);
        for step in steps {
            world.step(step);
        }
        world.conclude();
    }

    #[test]
    fn whatever_happens_chunks_make_the_file_in_their_order(steps in steps()) {
        let mut world = World::new(Shape::Chunked { total: CHUNKS }, false);
        for step in steps {
            world.step(step);
        }
        world.conclude();
    }
}
