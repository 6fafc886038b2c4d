//! Credentials: from the cache if it has them, otherwise from the backend, and stale ones while the
//! backend is down.

mod backend;
mod cache;
mod circuit;
pub mod revocations;
mod token;

// Proptest's runner does not exist for wasm.
#[cfg(all(test, not(target_arch = "wasm32")))]
mod model;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;

use crate::config::Config;
use crate::host::{Call, CallFault, Host, Method, ObjectFault, UnixMillis};

pub use backend::{BackendFault, Credentials};
pub use cache::{Cache, Decision};
pub use circuit::Circuit;
pub use revocations::Revocations;
pub use token::{AuthToken, TokenHash};

/// How often a waiting request looks whether the fetch is done, in milliseconds.
const POLL_MS: u32 = 15;

/// Where credentials came from, as `Server-Timing` and the log name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The cache.
    Hit,
    /// The backend.
    Miss,
    /// The cache, after the entry has expired, because the backend is down.
    Stale,
}

impl Source {
    /// Its name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Stale => "stale",
        }
    }
}

/// Credentials, and where they came from.
pub type Found = Result<(Rc<Credentials>, Source), BackendFault>;

/// The credentials of one isolate's users. Clones share them.
#[derive(Clone)]
pub struct CredentialStore {
    config: Rc<Config>,
    cache: Rc<RefCell<Cache>>,
    circuit: Rc<RefCell<Circuit>>,
    revocations: Rc<Revocations>,
}

impl CredentialStore {
    /// An empty store.
    #[must_use]
    pub fn new(config: Rc<Config>) -> Self {
        let cache = Cache::new(config.cache_policy, config.credentials_timeout_ms);
        Self {
            config,
            cache: Rc::new(RefCell::new(cache)),
            circuit: Rc::default(),
            revocations: Rc::default(),
        }
    }

    /// The credentials that this token earns.
    ///
    /// # Errors
    /// [`BackendFault`] if the backend refuses the token, or if it is down and nothing is cached.
    pub async fn obtain<H: Host>(&self, host: &H, token: &AuthToken) -> Found {
        if self.config.webhook_secret.is_some() {
            // Without the secret the backend cannot revoke anything.
            revocations::refresh(host, &self.revocations, &self.cache).await;
            let trusted_from = self.revocations.trusted_from(host.now());
            self.cache.borrow_mut().distrust_before(trusted_from);
        }
        let key = token.hash();
        let mut waiting_since = None;
        loop {
            let now = host.now();
            let decision = self.cache.borrow_mut().decide(&key, waiting_since, now);
            match decision {
                Decision::Fresh(credentials) => return Ok((credentials, Source::Hit)),
                Decision::FreshAndRefresh(credentials) => {
                    self.refresh_after_the_reply(host, token);
                    return Ok((credentials, Source::Hit));
                }
                Decision::Stale(credentials) => return Ok((credentials, Source::Stale)),
                Decision::Failed(fault) => return Err(fault),
                Decision::Fetch => {
                    return match self.known_outage(&key, now) {
                        Some(fault) => {
                            let mut cache = self.cache.borrow_mut();
                            cache.settle(&key, Err(fault), None, now)
                        }
                        None => self.fetch(host, token).await,
                    };
                }
                Decision::Wait => {
                    // The claim's timeout bounds the wait: after it, one of the waiting requests gets `Fetch`.
                    waiting_since.get_or_insert(now);
                    host.sleep(POLL_MS).await;
                }
            }
        }
    }

    fn refresh_after_the_reply<H: Host>(&self, host: &H, token: &AuthToken) {
        let (host2, store, token) = (host.clone(), self.clone(), token.clone());
        host.defer(async move {
            // The outcome is in the cache. This request has its credentials.
            let _ = store.fetch(&host2, &token).await;
        });
    }

    /// The outage to assume without asking, if stale credentials can be served.
    fn known_outage(&self, key: &TokenHash, now: UnixMillis) -> Option<BackendFault> {
        let has_stale = self.cache.borrow().has_stale(key, now);
        has_stale
            .then(|| self.circuit.borrow_mut().known_outage(now))
            .flatten()
    }

    /// Asks the backend, whatever the cache has, and caches the answer.
    ///
    /// # Errors
    /// Those of [`Self::obtain`].
    pub async fn fetch<H: Host>(&self, host: &H, token: &AuthToken) -> Found {
        let fetch = self.cache.borrow().begin_fetch(host.now());
        let call = Call {
            method: Method::Get,
            url: format!("{}/api/worker/credentials", self.config.backend_url),
            headers: vec![
                ("authorization", token.bearer()),
                ("accept", "application/json".to_owned()),
            ],
            body: Vec::new(),
            last: Vec::new(),
            timeout_ms: self.config.credentials_timeout_ms,
            max_answer_bytes: backend::MAX_ANSWER_BYTES,
        };
        let outcome = match host.call(call).await {
            Ok(answer) => backend::read_answer(&answer).map(Rc::new),
            Err(CallFault::AnswerTooLong { .. }) => {
                Err(BackendFault::Unusable("the backend's answer is too long"))
            }
            Err(fault) => Err(BackendFault::Call(fault)),
        };
        let now = host.now();
        self.circuit.borrow_mut().note(&outcome, now);
        let mut cache = self.cache.borrow_mut();
        cache.settle_fetch(&token.hash(), fetch, outcome, token.expires_at(), now)
    }

    /// Forgets the credentials that Telegram refused. Newer ones of the same token stay.
    pub fn drop_refused(&self, token: &AuthToken, refused: &Rc<Credentials>) {
        let mut cache = self.cache.borrow_mut();
        cache.drop_refused(&token.hash(), refused);
    }

    /// Makes every isolate forget this user's credentials. This one forgets them at once.
    ///
    /// # Errors
    /// Why the others may not learn of it.
    pub async fn revoke<H: Host>(&self, host: &H, user_id: &str) -> Result<(), ObjectFault> {
        revocations::revoke(host, &self.cache, user_id).await
    }

    /// The backend's last outage, if it has not answered since.
    #[must_use]
    pub fn last_fault(&self) -> Option<BackendFault> {
        self.circuit.borrow().last_fault()
    }
}
