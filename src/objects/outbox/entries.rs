//! How a shard of the outbox keeps its events.
//!
//! | key | value |
//! |---|---|
//! | `state` | [`State`] |
//! | `event/<sequence>` | [`Entry`] |
//! | `id/<id of the event>` | its sequence |
//! | `due/<time>/<sequence>` | nothing: the events by the time of their next try |
//!
//! Numbers in keys have 16 digits, so that keys are in the order of numbers. `edge/objects.js` writes
//! these keys as well, once, for events that an older version left.

use serde::{Deserialize, Serialize};

use super::SHARDS;
use crate::host::UnixMillis;
use crate::objects::{Range, StorageFault, Transaction, parse};

/// Sequences a millisecond. A shard that takes more than a sixteenth of it runs ahead of the clock,
/// which does no harm. With 256 a sequence stays a whole number in JavaScript until the year 3084.
const SEQUENCES_A_MS: u64 = 256;
/// Most bytes of an event's id. No event has a longer one.
const MAX_ID_BYTES: usize = 255;
/// The largest whole number that JavaScript knows exactly (ECMA-262, `Number.MAX_SAFE_INTEGER`).
const MAX_SEQUENCE: u64 = (1 << 53) - 1;

const STATE_KEY: &str = "state";
const EVENT_PREFIX: &str = "event/";
const DUE_PREFIX: &str = "due/";

/// What is known of all events of a shard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    last_sequence: u64,
    pending: u64,
    parked: u64,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) body: String,
    pub(super) queued_at: UnixMillis,
    /// When it is parked, if nothing helps.
    pub(super) retry_until: UnixMillis,
    /// Tries that failed.
    pub(super) attempts: u32,
    /// When it is tried next; `None` when it is parked.
    pub(super) due_at: Option<UnixMillis>,
    pub(super) last_error: Option<String>,
}

/// The events of a shard, within one turn.
pub(super) struct Entries<'a, T> {
    tx: &'a mut T,
    state: State,
    state_before: State,
    first_due_before: Option<UnixMillis>,
}

impl<'a, T: Transaction> Entries<'a, T> {
    /// Begins the turn.
    pub(super) async fn open(tx: &'a mut T) -> Result<Self, StorageFault> {
        let state: State = tx.read(STATE_KEY).await?.unwrap_or_default();
        let first_due_before = first_due(tx).await?;
        Ok(Self {
            tx,
            state_before: state.clone(),
            state,
            first_due_before,
        })
    }

    /// Ends the turn. The alarm goes off when the first event is due, or earlier.
    pub(super) async fn close(self) -> Result<(), StorageFault> {
        let first_due = first_due(self.tx).await?;
        let is_earlier = match (first_due, self.first_due_before) {
            (Some(now), Some(before)) => now < before,
            (now, _) => now.is_some(),
        };
        if let Some(at) = first_due.filter(|_| is_earlier) {
            self.tx.set_alarm(at).await?;
        }
        if self.state != self.state_before {
            self.tx.write(STATE_KEY, &self.state).await?;
        }
        Ok(())
    }

    /// Ends the turn after which the object sleeps until the next event is due.
    pub(super) async fn close_until_due(mut self) -> Result<(), StorageFault> {
        // The alarm that woke the object is no more.
        self.first_due_before = None;
        self.close().await
    }

    /// How many events are pending, and how many are parked.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.state.pending, self.state.parked)
    }

    /// Adds an event, unless it is there.
    pub(super) async fn add(&mut self, shard: u64, entry: &Entry) -> Result<(), StorageFault> {
        let id_key = id_key(&entry.id);
        if self.tx.get(&id_key).await?.is_some() {
            return Ok(());
        }
        let sequence = next_sequence(self.state.last_sequence, entry.queued_at, shard);
        self.state.last_sequence = sequence;
        self.tx.put(&id_key, &sequence.to_string()).await?;
        self.tx.write(&event_key(sequence), entry).await?;
        self.index(sequence, entry).await
    }

    /// The event with this sequence.
    pub(super) async fn get(&mut self, sequence: u64) -> Result<Option<Entry>, StorageFault> {
        self.tx.read(&event_key(sequence)).await
    }

    /// The event with this id, and its sequence.
    pub(super) async fn find(&mut self, id: &str) -> Result<Option<(u64, Entry)>, StorageFault> {
        if id.len() > MAX_ID_BYTES {
            return Ok(None);
        }
        let Some(sequence) = self.tx.read(&id_key(id)).await? else {
            return Ok(None);
        };
        let entry = self.get(sequence).await?;
        Ok(entry.map(|entry| (sequence, entry)))
    }

    /// Writes an event anew.
    pub(super) async fn replace(
        &mut self,
        sequence: u64,
        before: &Entry,
        after: &Entry,
    ) -> Result<(), StorageFault> {
        self.remove_from_index(sequence, before).await?;
        self.tx.write(&event_key(sequence), after).await?;
        self.index(sequence, after).await
    }

    /// Removes an event.
    pub(super) async fn remove(
        &mut self,
        sequence: u64,
        entry: &Entry,
    ) -> Result<(), StorageFault> {
        self.remove_from_index(sequence, entry).await?;
        self.tx.delete(&event_key(sequence)).await?;
        self.tx.delete(&id_key(&entry.id)).await
    }

    /// What is due, the longest due first.
    pub(super) async fn due(
        &mut self,
        now: UnixMillis,
        limit: usize,
    ) -> Result<Vec<(u64, Entry)>, StorageFault> {
        let mut due = Vec::new();
        for (key, _) in self.tx.list(Range::first(DUE_PREFIX, limit)).await? {
            let (at, sequence) = parse_due_key(&key)?;
            if at > now {
                break;
            }
            let entry = self.get(sequence).await?.ok_or(StorageFault)?;
            due.push((sequence, entry));
        }
        Ok(due)
    }

    /// The events after a sequence, oldest first.
    pub(super) async fn after(
        &mut self,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Entry)>, StorageFault> {
        let after = event_key(sequence.min(MAX_SEQUENCE));
        let range = Range {
            prefix: EVENT_PREFIX,
            after: Some(&after),
            limit,
        };
        let listed = self.tx.list(range).await?;
        let parsed = listed.iter().map(|(key, value)| {
            let sequence = key.strip_prefix(EVENT_PREFIX).ok_or(StorageFault)?;
            Ok((sequence.parse().map_err(|_| StorageFault)?, parse(value)?))
        });
        parsed.collect()
    }

    async fn index(&mut self, sequence: u64, entry: &Entry) -> Result<(), StorageFault> {
        if let Some(at) = entry.due_at {
            self.state.pending += 1;
            self.tx.put(&due_key(at, sequence), "").await
        } else {
            self.state.parked += 1;
            Ok(())
        }
    }

    async fn remove_from_index(
        &mut self,
        sequence: u64,
        entry: &Entry,
    ) -> Result<(), StorageFault> {
        if let Some(at) = entry.due_at {
            self.state.pending = self.state.pending.saturating_sub(1);
            self.tx.delete(&due_key(at, sequence)).await
        } else {
            self.state.parked = self.state.parked.saturating_sub(1);
            Ok(())
        }
    }
}

async fn first_due(tx: &mut impl Transaction) -> Result<Option<UnixMillis>, StorageFault> {
    let first = tx.list(Range::first(DUE_PREFIX, 1)).await?.pop();
    first
        .map(|(key, _)| parse_due_key(&key).map(|(at, _)| at))
        .transpose()
}

/// The next sequence of a shard: above its last one, and no other shard's. It grows with the time, so
/// that the events of all shards have one order.
fn next_sequence(last: u64, now: UnixMillis, shard: u64) -> u64 {
    let from = (last + 1).max(now.saturating_mul(SEQUENCES_A_MS));
    from + (SHARDS + shard - from % SHARDS) % SHARDS
}

fn event_key(sequence: u64) -> String {
    format!("{EVENT_PREFIX}{sequence:016}")
}

fn id_key(id: &str) -> String {
    format!("id/{id}")
}

fn due_key(at: UnixMillis, sequence: u64) -> String {
    format!("{DUE_PREFIX}{at:016}/{sequence:016}")
}

fn parse_due_key(key: &str) -> Result<(UnixMillis, u64), StorageFault> {
    let parts = key
        .strip_prefix(DUE_PREFIX)
        .and_then(|key| key.split_once('/'));
    let (at, sequence) = parts.ok_or(StorageFault)?;
    match (at.parse(), sequence.parse()) {
        (Ok(at), Ok(sequence)) => Ok((at, sequence)),
        _ => Err(StorageFault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_grow_with_the_time_and_are_unique_over_shards() {
        let mut seen = std::collections::BTreeSet::new();
        for shard in 0..SHARDS {
            let mut last = 0;
            for now in [0, 0, 1, 1_780_000_000_000, 1_780_000_000_000, 5] {
                let next = next_sequence(last, now, shard);
                assert!(next > last && next >= now * SEQUENCES_A_MS);
                assert_eq!(next % SHARDS, shard);
                assert!(seen.insert(next));
                last = next;
            }
        }
        assert!(*seen.last().expect("sequences") < MAX_SEQUENCE);
    }
}
