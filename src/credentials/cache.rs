//! The cache policy, without a clock, a network or JavaScript: the caller passes the time, and the
//! cache returns what to do as a [`Decision`].
//!
//! **The key is the token's hash, never a user id.** Only the backend's 200 for *this* token creates
//! an entry, so nobody can upload with credentials that their own token did not earn.
//!
//! # No request waits for another
//! workerd cancels a request that awaits something that belongs to another request. So the first
//! request that finds a cold key *claims* the fetch. The others get [`Decision::Wait`] and look again
//! on a timer of their own. A claim expires after its timeout: its request may have been cancelled,
//! and would otherwise lock everyone out.
//!
//! # Bounds
//! Entries, failures and claims have separate bounds. A client that sends random tokens creates only
//! failures and claims, and cannot push anybody's credentials out. One user has a bounded share of the
//! entries, whatever the number of their tokens.
//!
//! # Revocation
//! A user who is dropped stays dropped: a fetch that began before does not bring the old credentials
//! back. And credentials that nobody could have revoked here, since the isolate has not heard who was
//! revoked since they were fetched, are not served without asking the backend
//! ([`Cache::distrust_before`]).

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::Source;
use super::backend::{BackendFault, Credentials};
use super::token::TokenHash;
use crate::config::CachePolicy;
use crate::host::UnixMillis;

/// Most entries, about 0.5 KiB each. The least recently used is removed first.
const MAX_ENTRIES: usize = 4096;
/// Most remembered failures. The oldest is removed first.
const MAX_FAILURES: usize = 512;
/// Most entries of one user. The user's least recently used is removed first.
const MAX_ENTRIES_PER_USER: usize = 32;
/// Most users whose drop is remembered, for the fetches that began before it.
const MAX_DROPS: usize = 256;
/// How long a backend that answers 429 counts as one that is down. It may be busy with somebody else's
/// requests, and would refuse this token if it were not.
const MAX_STALE_WHILE_BUSY_MS: u64 = 5 * 60_000;
/// How long a 401 or 403 is remembered, so that a bad client does not hammer the backend.
const FAILURE_MS: u64 = 5_000;
/// How long stale credentials are served, while the backend is down, before it is asked again.
const RETRY_OUTAGE_MS: u64 = 5_000;
/// The last part of an entry's life, in which one request refreshes it: a twelfth of it, at most this.
const MAX_REFRESH_LEAD_MS: u64 = 5 * 60_000;
const REFRESH_LEAD_DIVISOR: u64 = 12;

/// What a request has to do to get credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Use these.
    Fresh(Rc<Credentials>),
    /// Use these, and refresh them meanwhile: this request has claimed the fetch.
    FreshAndRefresh(Rc<Credentials>),
    /// Use these: the backend is down, and was asked a moment ago.
    Stale(Rc<Credentials>),
    /// The backend refused this token a moment ago, or failed the request that this one waited for.
    Failed(BackendFault),
    /// Ask the backend: this request has claimed the fetch.
    Fetch,
    /// Another request is asking: look again shortly.
    Wait,
}

struct Entry {
    credentials: Rc<Credentials>,
    /// When the fetch began.
    fetched_at: UnixMillis,
    fresh_until: UnixMillis,
    stale_until: UnixMillis,
    /// While the backend is down: when to ask it again.
    retry_at: UnixMillis,
    /// Since when the backend answers 429.
    busy_since: Option<UnixMillis>,
    last_used: u64,
}

/// A fetch under way, as far as the cache has to know it.
#[derive(Debug, Clone, Copy)]
pub struct Fetch {
    began_at: UnixMillis,
    /// How many drops there were before it.
    drops: u64,
}

/// The users who were dropped, in the order of their drops.
#[derive(Debug, Default)]
struct Drops {
    count: u64,
    /// Each with its place in the order.
    users: VecDeque<(String, u64)>,
    /// Drops up to this place are not told apart any more: they may be of anybody.
    of_anybody: u64,
}

impl Drops {
    fn push(&mut self, user_id: &str) {
        self.count += 1;
        self.users.retain(|(known, _)| known != user_id);
        self.users.push_back((user_id.to_owned(), self.count));
        if self.users.len() > MAX_DROPS
            && let Some((_, place)) = self.users.pop_front()
        {
            self.of_anybody = place;
        }
    }

    fn push_all(&mut self) {
        self.count += 1;
        self.users.clear();
        self.of_anybody = self.count;
    }

    /// Whether this user was dropped after so many drops.
    fn has_since(&self, drops: u64, user_id: &str) -> bool {
        self.of_anybody > drops
            || self
                .users
                .iter()
                .any(|(known, place)| *place > drops && known == user_id)
    }
}

impl Entry {
    /// Whether the credentials are served although the backend failed so.
    fn outlives(&mut self, fault: &BackendFault, now: UnixMillis) -> bool {
        if !matches!(fault, BackendFault::Busy { .. }) {
            self.busy_since = None;
            return true;
        }
        let since = *self.busy_since.get_or_insert(now);
        now.saturating_sub(since) < MAX_STALE_WHILE_BUSY_MS
    }
}

/// A fetch that failed. Requests that waited for it get the same fault. After a 401 or 403, all
/// requests with that token get it for a few seconds.
struct Failure {
    fault: BackendFault,
    at: UnixMillis,
    /// When it was recorded, in the order of uses.
    recorded: u64,
}

impl Failure {
    fn ends_at(&self) -> UnixMillis {
        self.at + FAILURE_MS
    }
}

/// The most that the cache keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) entries: usize,
    pub(super) failures: usize,
}

/// One isolate's cache.
pub struct Cache {
    policy: CachePolicy,
    bounds: Bounds,
    /// How long a claim lasts, in milliseconds: a little longer than a fetch can take.
    claim_ms: u64,
    entries: HashMap<TokenHash, Entry>,
    /// How many entries each user has.
    entries_of: HashMap<String, usize>,
    failures: HashMap<TokenHash, Failure>,
    /// The keys that are being fetched, and when each claim expires.
    claims: HashMap<TokenHash, UnixMillis>,
    /// Counts uses. It orders them even while the clock stands still.
    uses: u64,
    drops: Drops,
    /// Entries that were fetched before are not served without asking the backend.
    trusted_from: UnixMillis,
}

impl Cache {
    /// An empty cache, for fetches that take at most `fetch_timeout_ms`.
    #[must_use]
    pub fn new(policy: CachePolicy, fetch_timeout_ms: u32) -> Self {
        let bounds = Bounds {
            entries: MAX_ENTRIES,
            failures: MAX_FAILURES,
        };
        Self::bounded(policy, fetch_timeout_ms, bounds)
    }

    pub(super) fn bounded(policy: CachePolicy, fetch_timeout_ms: u32, bounds: Bounds) -> Self {
        Self {
            policy,
            bounds,
            claim_ms: u64::from(fetch_timeout_ms) + 1_000,
            entries: HashMap::new(),
            entries_of: HashMap::new(),
            failures: HashMap::new(),
            claims: HashMap::new(),
            uses: 0,
            drops: Drops::default(),
            trusted_from: 0,
        }
    }

    /// Makes the backend be asked before entries that were fetched before this time are served.
    pub fn distrust_before(&mut self, time: UnixMillis) {
        self.trusted_from = time;
    }

    /// To be noted before the backend is asked.
    #[must_use]
    pub fn begin_fetch(&self, now: UnixMillis) -> Fetch {
        Fetch {
            began_at: now,
            drops: self.drops.count,
        }
    }

    /// What a request with this token has to do now. `Fetch` and `FreshAndRefresh` claim the fetch;
    /// [`Self::settle`] releases it. A request that got `Wait` passes the time of its first one.
    pub fn decide(
        &mut self,
        key: &TokenHash,
        waiting_since: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Decision {
        let uses = self.count_use();
        if self
            .entries
            .get(key)
            .is_some_and(|entry| now >= entry.stale_until)
        {
            self.remove(key);
        }
        if let Some(entry) = self.entries.get_mut(key) {
            entry.last_used = uses;
            let credentials = Rc::clone(&entry.credentials);
            if now < entry.fresh_until && entry.fetched_at >= self.trusted_from {
                let lead = (self.policy.ttl_ms / REFRESH_LEAD_DIVISOR).min(MAX_REFRESH_LEAD_MS);
                let due = now + lead >= entry.fresh_until && now >= entry.retry_at;
                return if due && self.claim(key, now) {
                    Decision::FreshAndRefresh(credentials)
                } else {
                    Decision::Fresh(credentials)
                };
            }
            if now < entry.retry_at {
                return Decision::Stale(credentials);
            }
        }
        if let Some(failure) = self
            .failures
            .get(key)
            .filter(|failure| now < failure.ends_at())
            && (failure.fault.is_remembered()
                || waiting_since.is_some_and(|since| failure.at >= since))
        {
            return Decision::Failed(failure.fault.clone());
        }
        if self.claim(key, now) {
            Decision::Fetch
        } else {
            Decision::Wait
        }
    }

    /// Records the outcome of a claimed fetch that took no time. `expires_at` is when the token expires,
    /// if it does.
    ///
    /// # Errors
    /// The fault. For an outage, returns stale credentials instead if there are some.
    pub fn settle(
        &mut self,
        key: &TokenHash,
        outcome: Result<Rc<Credentials>, BackendFault>,
        expires_at: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<(Rc<Credentials>, Source), BackendFault> {
        self.settle_fetch(key, self.begin_fetch(now), outcome, expires_at, now)
    }

    /// Records the outcome of a claimed fetch.
    ///
    /// # Errors
    /// Those of [`Self::settle`].
    pub fn settle_fetch(
        &mut self,
        key: &TokenHash,
        fetch: Fetch,
        outcome: Result<Rc<Credentials>, BackendFault>,
        expires_at: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<(Rc<Credentials>, Source), BackendFault> {
        self.claims.remove(key);
        let fault = match outcome {
            Ok(credentials) => {
                self.failures.remove(key);
                let expires_at = expires_at.unwrap_or(UnixMillis::MAX);
                self.insert(key, Rc::clone(&credentials), fetch, expires_at, now);
                return Ok((credentials, Source::Miss));
            }
            Err(fault) => fault,
        };
        if fault.is_refusal() {
            self.remove(key);
        } else if fault.is_outage()
            && let Some(entry) = self
                .entries
                .get_mut(key)
                .filter(|entry| now < entry.stale_until)
            && entry.outlives(&fault, now)
        {
            entry.retry_at = now + RETRY_OUTAGE_MS;
            return Ok((Rc::clone(&entry.credentials), Source::Stale));
        }
        self.remember(key, fault.clone(), now);
        Err(fault)
    }

    /// Forgets the credentials that Telegram refused. Newer ones under the same key stay.
    pub fn drop_refused(&mut self, key: &TokenHash, refused: &Rc<Credentials>) {
        if self
            .entries
            .get(key)
            .is_some_and(|entry| Rc::ptr_eq(&entry.credentials, refused))
        {
            self.remove(key);
        }
    }

    /// Whether there are credentials to serve while the backend is down.
    #[must_use]
    pub fn has_stale(&self, key: &TokenHash, now: UnixMillis) -> bool {
        self.entries
            .get(key)
            .is_some_and(|entry| now < entry.stale_until)
    }

    /// Forgets this user's credentials, under all tokens.
    pub fn drop_user(&mut self, user_id: &str) {
        self.drops.push(user_id);
        self.entries
            .retain(|_, entry| entry.credentials.user_id != user_id);
        self.entries_of.remove(user_id);
    }

    /// Forgets all credentials.
    pub fn drop_all(&mut self) {
        self.drops.push_all();
        self.entries.clear();
        self.entries_of.clear();
    }

    fn insert(
        &mut self,
        key: &TokenHash,
        credentials: Rc<Credentials>,
        fetch: Fetch,
        expires_at: UnixMillis,
        now: UnixMillis,
    ) {
        let is_dropped = self.drops.has_since(fetch.drops, &credentials.user_id);
        if expires_at <= now || is_dropped {
            // The backend accepted the token, so this upload may go on. The next one asks again.
            self.remove(key);
            return;
        }
        self.remove(key);
        self.make_room(&credentials.user_id);
        *self
            .entries_of
            .entry(credentials.user_id.clone())
            .or_default() += 1;
        let last_used = self.count_use();
        let fresh_until = (now + self.policy.ttl_ms).min(expires_at);
        let entry = Entry {
            credentials,
            fetched_at: fetch.began_at,
            fresh_until,
            stale_until: (fresh_until + self.policy.max_stale_ms).min(expires_at),
            retry_at: 0,
            busy_since: None,
            last_used,
        };
        self.entries.insert(*key, entry);
    }

    fn remove(&mut self, key: &TokenHash) {
        let Some(entry) = self.entries.remove(key) else {
            return;
        };
        let user_id = &entry.credentials.user_id;
        if let Some(share) = self.entries_of.get_mut(user_id) {
            *share -= 1;
            if *share == 0 {
                self.entries_of.remove(user_id);
            }
        }
    }

    /// Removes the least recently used entry, of this user or of all, where there are as many as there
    /// may be.
    fn make_room(&mut self, user_id: &str) {
        let is_full = self.entries.len() >= self.bounds.entries;
        let of_user = |entry: &Entry| entry.credentials.user_id == user_id;
        let share = self.entries_of.get(user_id).copied().unwrap_or_default();
        let is_users_share = share >= MAX_ENTRIES_PER_USER;
        if !is_full && !is_users_share {
            return;
        }
        let oldest = self
            .entries
            .iter()
            .filter(|(_, entry)| !is_users_share || of_user(entry))
            .min_by_key(|(_, entry)| entry.last_used)
            .map(|(key, _)| *key);
        if let Some(oldest) = oldest {
            self.remove(&oldest);
        }
    }

    fn remember(&mut self, key: &TokenHash, fault: BackendFault, now: UnixMillis) {
        self.failures.retain(|_, failure| now < failure.ends_at());
        if self.failures.len() >= self.bounds.failures
            && !self.failures.contains_key(key)
            && let Some(oldest) = self
                .failures
                .iter()
                .min_by_key(|(_, failure)| failure.recorded)
                .map(|(key, _)| *key)
        {
            self.failures.remove(&oldest);
        }
        let failure = Failure {
            fault,
            at: now,
            recorded: self.count_use(),
        };
        self.failures.insert(*key, failure);
    }

    fn count_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    /// Claims the fetch of this key, unless another request has.
    fn claim(&mut self, key: &TokenHash, now: UnixMillis) -> bool {
        if self.claims.get(key).is_some_and(|&until| now < until) {
            return false;
        }
        // Cancelled requests never settle their claims. There are never many claims.
        self.claims.retain(|_, until| now < *until);
        self.claims.insert(*key, now + self.claim_ms);
        true
    }
}
