//! Credentials: from the cache when it has them, from the backend when not, stale when the backend
//! is out.

mod backend;
mod cache;
mod circuit;
pub mod revocations;
mod token;

// Its cases come from a runner that wasm has not.
#[cfg(all(test, not(target_arch = "wasm32")))]
mod model;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

use std::rc::Rc;

use crate::host::{Call, CallFault, Host, Method, UnixMillis};
use crate::isolate::Shared;

pub use backend::{BackendFault, Credentials};
pub use cache::{Cache, CachePolicy, Decision};
pub use circuit::Circuit;
pub use revocations::Revocations;
pub use token::{AuthToken, TokenHash};

/// How often a request looks whether the one that fetches is done, in milliseconds.
const POLL_MS: u32 = 15;

/// Where credentials came from, as `Server-Timing` and the log name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The cache.
    Hit,
    /// The backend.
    Miss,
    /// The cache, past its time, as the backend is out.
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

/// The credentials that this token earns.
///
/// # Errors
/// [`BackendFault`] when the backend refuses the token, or is out and nothing cached helps.
pub async fn obtain<H: Host>(
    host: &H,
    shared: &Shared,
    token: &AuthToken,
) -> Result<(Rc<Credentials>, Source), BackendFault> {
    if shared.config.webhook_secret.is_some() {
        // Without the secret nobody can say that something has changed.
        revocations::refresh(host, &shared.revocations, &shared.cache).await;
    }
    let key = token.hash();
    let mut waiting_since = None;
    loop {
        let now = host.now();
        let decision = shared.cache.borrow_mut().decide(&key, waiting_since, now);
        match decision {
            Decision::Fresh(credentials) => return Ok((credentials, Source::Hit)),
            Decision::FreshAndRefresh(credentials) => {
                let (host2, shared, token) = (host.clone(), shared.clone(), token.clone());
                host.defer(async move {
                    // What comes of it is in the cache; this request has what it needs.
                    let _ = fetch(&host2, &shared, &token, &key).await;
                });
                return Ok((credentials, Source::Hit));
            }
            Decision::Stale(credentials) => return Ok((credentials, Source::Stale)),
            Decision::Failed(fault) => return Err(fault),
            Decision::Fetch => {
                return match spared(shared, &key, now) {
                    Some(fault) => {
                        let mut cache = shared.cache.borrow_mut();
                        cache.settle(&key, Err(fault), None, now)
                    }
                    None => fetch(host, shared, token, &key).await,
                };
            }
            Decision::Wait => {
                // The claim's own timeout bounds the wait: then somebody gets `Fetch`.
                waiting_since.get_or_insert(now);
                host.sleep(POLL_MS).await;
            }
        }
    }
}

/// Asks the backend, whatever the cache has, and puts what it says into the cache.
///
/// # Errors
/// The same as of [`obtain`].
pub async fn ask_anew<H: Host>(
    host: &H,
    shared: &Shared,
    token: &AuthToken,
) -> Result<(Rc<Credentials>, Source), BackendFault> {
    fetch(host, shared, token, &token.hash()).await
}

/// The fault to go by without asking, when the backend is out and something else can be served.
fn spared(shared: &Shared, key: &TokenHash, now: UnixMillis) -> Option<BackendFault> {
    let has_stale = shared.cache.borrow().has_stale(key, now);
    has_stale
        .then(|| shared.circuit.borrow_mut().spares(now))
        .flatten()
}

async fn fetch<H: Host>(
    host: &H,
    shared: &Shared,
    token: &AuthToken,
    key: &TokenHash,
) -> Result<(Rc<Credentials>, Source), BackendFault> {
    let config = &shared.config;
    let call = Call {
        method: Method::Get,
        url: format!("{}/api/worker/credentials", config.backend_url),
        headers: vec![
            ("authorization", token.bearer()),
            ("accept", "application/json".to_owned()),
        ],
        body: Vec::new(),
        last: Vec::new(),
        timeout_ms: config.credentials_timeout_ms,
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
    shared.circuit.borrow_mut().note(&outcome, now);
    let mut cache = shared.cache.borrow_mut();
    cache.settle(key, outcome, token.expires_at(), now)
}
