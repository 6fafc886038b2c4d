//! Makes every isolate forget the credentials of users whose bot, channel or key has changed.
//!
//! The backend's hook (`POST /hooks/credentials`) reaches one isolate. A durable object remembers the
//! user under a growing version. Each isolate asks that object for newer versions every [`REFRESH_MS`],
//! while an upload runs and not before it. An isolate that was idle for a minute asks before it uses its
//! cached credentials. While the object does not answer, credentials that are older than a minute are
//! not used without asking the backend. So no upload begins with credentials that were revoked more
//! than a minute ago, unless the backend is down.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::Cache;
use crate::host::{Host, ObjectFault, UnixMillis};
use crate::objects;
use crate::objects::revocations::{NAME, News, Question, Version};

/// How often a busy isolate asks, in milliseconds.
const REFRESH_MS: u64 = 20_000;
/// How long an answer of the object is recent enough, in milliseconds.
const HOLDS_MS: u64 = 60_000;
/// How long an upload waits for the object, if it has to, in milliseconds.
const ASK_TIMEOUT_MS: u32 = 2_000;

/// What an isolate knows.
#[derive(Debug, Default)]
pub struct Revocations {
    /// When it was first used. No cached credentials are older.
    began_at: Cell<Option<UnixMillis>>,
    version: RefCell<Option<Version>>,
    /// When the object was asked last.
    asked_at: Cell<Option<UnixMillis>>,
    /// When the question was asked that it answered last.
    known_at: Cell<Option<UnixMillis>>,
    /// Whether there is no object to ask.
    unbound: Cell<bool>,
}

/// Whether the object has to be asked.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    No,
    /// While the upload runs.
    Meanwhile,
    /// Before the upload uses its credentials.
    First,
}

impl Revocations {
    /// From when on credentials must have been fetched to be served without asking the backend: those
    /// that are older may have been revoked more than a minute ago.
    pub(super) fn trusted_from(&self, now: UnixMillis) -> UnixMillis {
        let oldest = now.saturating_sub(HOLDS_MS);
        match self.known_at.get() {
            Some(known_at) if known_at < oldest && !self.unbound.get() => oldest,
            _ => 0,
        }
    }

    /// When this upload has to ask. If it has to, other uploads do not.
    fn due(&self, now: UnixMillis) -> Due {
        let is_within = |time: &Cell<Option<UnixMillis>>, ms| {
            time.get().is_some_and(|at| now.saturating_sub(at) < ms)
        };
        if self.began_at.get().is_none() {
            for time in [&self.began_at, &self.asked_at, &self.known_at] {
                time.set(Some(now));
            }
        }
        if self.unbound.get() || is_within(&self.asked_at, REFRESH_MS) {
            return Due::No;
        }
        self.asked_at.set(Some(now));
        if is_within(&self.known_at, HOLDS_MS) {
            Due::Meanwhile
        } else {
            Due::First
        }
    }
}

/// Learns who was revoked, if it is time to.
pub async fn refresh<H: Host>(host: &H, known: &Rc<Revocations>, cache: &Rc<RefCell<Cache>>) {
    match known.due(host.now()) {
        Due::No => {}
        Due::First => learn(host, known, cache).await,
        Due::Meanwhile => {
            let (host2, known, cache) = (host.clone(), Rc::clone(known), Rc::clone(cache));
            host.defer(async move { learn(&host2, &known, &cache).await });
        }
    }
}

async fn learn<H: Host>(host: &H, known: &Revocations, cache: &RefCell<Cache>) {
    let asked_at = host.now();
    let version = known.version.borrow().clone();
    let question = match version {
        Some(version) => Question::Since(version),
        None => Question::From(known.began_at.get().unwrap_or_default()),
    };
    let news = match ask(host, &question).await {
        Ok(news) => news,
        Err(ObjectFault::NotBound) => {
            known.unbound.set(true);
            return;
        }
        // The next upload asks again. Uploads do not wait for the object to recover.
        Err(_) => None,
    };
    let Some(news) = news else { return };
    let mut cache = cache.borrow_mut();
    match &news.users {
        Some(users) => users.iter().for_each(|user_id| cache.drop_user(user_id)),
        None => cache.drop_all(),
    }
    known.version.replace(Some(news.version));
    known.known_at.set(Some(asked_at));
}

/// Makes every isolate forget this user's credentials. This one forgets them at once.
///
/// # Errors
/// Why the others may not learn of it.
pub async fn revoke<H: Host>(
    host: &H,
    cache: &RefCell<Cache>,
    user_id: &str,
) -> Result<(), ObjectFault> {
    cache.borrow_mut().drop_user(user_id);
    let question = Question::Revoke(user_id.to_owned());
    ask(host, &question).await.map(drop)
}

async fn ask<H: Host>(host: &H, question: &Question) -> Result<Option<News>, ObjectFault> {
    objects::ask::<objects::revocations::Revocations>(host, NAME, question, ASK_TIMEOUT_MS).await
}
