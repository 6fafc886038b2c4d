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
//! failures and claims, and cannot push anybody's credentials out.

use std::collections::HashMap;
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
    fresh_until: UnixMillis,
    stale_until: UnixMillis,
    /// While the backend is down: when to ask it again.
    retry_at: UnixMillis,
    last_used: u64,
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
    failures: HashMap<TokenHash, Failure>,
    /// The keys that are being fetched, and when each claim expires.
    claims: HashMap<TokenHash, UnixMillis>,
    /// Counts uses. It orders them even while the clock stands still.
    uses: u64,
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
            failures: HashMap::new(),
            claims: HashMap::new(),
            uses: 0,
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
            self.entries.remove(key);
        }
        if let Some(entry) = self.entries.get_mut(key) {
            entry.last_used = uses;
            let credentials = Rc::clone(&entry.credentials);
            if now < entry.fresh_until {
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

    /// Records the outcome of a claimed fetch. `expires_at` is when the token expires, if it does.
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
        self.claims.remove(key);
        let fault = match outcome {
            Ok(credentials) => {
                self.failures.remove(key);
                self.insert(
                    key,
                    Rc::clone(&credentials),
                    expires_at.unwrap_or(UnixMillis::MAX),
                    now,
                );
                return Ok((credentials, Source::Miss));
            }
            Err(fault) => fault,
        };
        if fault.is_refusal() {
            self.entries.remove(key);
        } else if fault.is_outage()
            && let Some(entry) = self
                .entries
                .get_mut(key)
                .filter(|entry| now < entry.stale_until)
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
            self.entries.remove(key);
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
        self.entries
            .retain(|_, entry| entry.credentials.user_id != user_id);
    }

    /// Forgets all credentials.
    pub fn drop_all(&mut self) {
        self.entries.clear();
    }

    fn insert(
        &mut self,
        key: &TokenHash,
        credentials: Rc<Credentials>,
        expires_at: UnixMillis,
        now: UnixMillis,
    ) {
        if expires_at <= now {
            // The backend accepted the token, so this upload may go on. The next one asks again.
            self.entries.remove(key);
            return;
        }
        if self.entries.len() >= self.bounds.entries
            && !self.entries.contains_key(key)
            && let Some(oldest) = self
                .entries
                .iter()
                .min_by_key(|(_, entry)| entry.last_used)
                .map(|(key, _)| *key)
        {
            self.entries.remove(&oldest);
        }
        let last_used = self.count_use();
        let fresh_until = (now + self.policy.ttl_ms).min(expires_at);
        let entry = Entry {
            credentials,
            fresh_until,
            stale_until: (fresh_until + self.policy.max_stale_ms).min(expires_at),
            retry_at: 0,
            last_used,
        };
        self.entries.insert(*key, entry);
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
