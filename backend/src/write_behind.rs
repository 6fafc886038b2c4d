//! What is gathered in memory and written within a second: uses of keys, and the audit entries of fetched
//! credentials and of refusals.
//!
//! One write each would make every request wait for the disk. A process that is killed loses at most the
//! last second of these, and nothing else: changes of keys and credentials are audited in the transaction
//! that makes them.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::store::{Store, StoreError, audit::AuditEntry, keys::KeyUse};

/// The longest time that anything is gathered.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);
/// Entries that are kept while the database fails. Beyond this the oldest are dropped, and the log says
/// so.
const MAX_ENTRIES: usize = 100_000;

/// What waits to be written.
#[derive(Debug, Default)]
pub(crate) struct WriteBehind(
    // A std mutex: it is held to add or to take, never across an await.
    Mutex<Pending>,
);

#[derive(Debug, Default)]
struct Pending {
    uses: HashMap<String, (i64, i64)>,
    entries: Vec<AuditEntry>,
}

impl WriteBehind {
    /// Counts a request with a key, at `now` in Unix seconds.
    pub(crate) fn count_use(&self, key_id: &str, now: i64) {
        let mut pending = self.lock();
        match pending.uses.get_mut(key_id) {
            Some((requests, last_at)) => {
                *requests += 1;
                *last_at = now;
            }
            None => {
                pending.uses.insert(key_id.to_owned(), (1, now));
            }
        }
    }

    /// Adds an entry to the audit log.
    pub(crate) fn record(&self, entry: AuditEntry) {
        self.lock().entries.push(entry);
    }

    /// Writes what was gathered. What cannot be written stays for the next call.
    pub(crate) async fn flush(&self, store: &Store) {
        let Pending { uses, entries } = mem::take(&mut *self.lock());
        let uses: Vec<KeyUse> = uses
            .into_iter()
            .map(|(key_id, (requests, last_at))| KeyUse {
                key_id,
                requests,
                last_at,
            })
            .collect();
        if !uses.is_empty()
            && let Err(error) = store.count_key_uses(&uses).await
        {
            self.give_back_uses(uses, &error);
        }
        if !entries.is_empty()
            && let Err(error) = store.add_audit_entries(&entries).await
        {
            self.give_back_entries(entries, &error);
        }
    }

    fn give_back_uses(&self, uses: Vec<KeyUse>, error: &StoreError) {
        tracing::error!(%error, keys = uses.len(), "uses of keys could not be written yet");
        let mut pending = self.lock();
        for key in uses {
            let (requests, last_at) = pending.uses.entry(key.key_id).or_default();
            *requests += key.requests;
            *last_at = key.last_at.max(*last_at);
        }
    }

    fn give_back_entries(&self, mut entries: Vec<AuditEntry>, error: &StoreError) {
        tracing::error!(%error, entries = entries.len(), "audit entries could not be written yet");
        let mut pending = self.lock();
        entries.append(&mut pending.entries);
        let surplus = entries.len().saturating_sub(MAX_ENTRIES);
        if surplus > 0 {
            tracing::error!(entries = surplus, "the oldest audit entries are dropped");
            entries.drain(..surplus);
        }
        pending.entries = entries;
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
