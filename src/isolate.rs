//! What the requests of one isolate share: settings, credentials, the buffered lane's budget, and what
//! is known about Telegram.
//!
//! Nothing here is held across an `.await`, and no request waits for it: workerd cancels a request that
//! waits for something that another request has to finish.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::config::{Config, ConfigError};
use crate::credentials::CredentialStore;
use crate::files::FileStore;
use crate::host::UnixMillis;
use crate::telegram::ChatId;
use crate::telegram::pace::Pacer;

/// Bytes that all uploads of the buffered lane may hold at the same time. An isolate that uses more
/// than 128 MB in total is terminated (developers.cloudflare.com, "Workers limits").
pub const BUFFER_BUDGET_BYTES: u64 = 80 * 1024 * 1024;

/// One isolate.
#[derive(Default)]
pub struct Isolate {
    shared: OnceCell<Shared>,
}

/// The state that requests share. It is made from the settings.
#[derive(Clone)]
pub struct Shared {
    /// The settings.
    pub config: Rc<Config>,
    /// The users' credentials.
    pub credentials: CredentialStore,
    /// The buffered lane's budget.
    pub budget: Rc<Budget>,
    /// Whether Telegram answered a moment ago.
    pub telegram: Rc<Reachability>,
    /// The pace that Telegram asked for.
    pub pacer: Rc<RefCell<Pacer>>,
    /// Chats that have become supergroups.
    pub migrations: Rc<RefCell<Migrations>>,
    /// Files that come back.
    pub files: FileStore,
}

/// The new ids of chats that have become supergroups (Bot API, `migrate_to_chat_id`).
#[derive(Debug, Default)]
pub struct Migrations(HashMap<ChatId, ChatId>);

impl Migrations {
    /// Most moves that are remembered. There are few: backends learn of a move from the reply.
    const MAX: usize = 256;

    /// Notes a move.
    pub fn note(&mut self, from: ChatId, to: i64) {
        let Some(to) = ChatId::parse(&to.to_string()) else {
            return;
        };
        if self.0.len() >= Self::MAX {
            self.0.clear();
        }
        self.0.insert(from, to);
    }

    /// Forgets a move that did not help.
    pub fn forget(&mut self, from: &ChatId) {
        self.0.remove(from);
    }

    /// Where this chat is now, if it has moved.
    #[must_use]
    pub fn of(&self, chat: &ChatId) -> Option<&ChatId> {
        self.0.get(chat)
    }
}

/// Whether the other side answered a moment ago.
#[derive(Debug, Default)]
pub struct Reachability {
    heard_at: Cell<Option<UnixMillis>>,
}

impl Reachability {
    /// How long the other side counts as reachable after an answer, in milliseconds.
    const HOLDS_MS: u64 = 10_000;

    /// Notes that it answered, with whatever status.
    pub fn heard(&self, now: UnixMillis) {
        self.heard_at.set(Some(now));
    }

    /// Notes that it did not answer.
    pub fn lost(&self) {
        self.heard_at.set(None);
    }

    /// Whether it is likely to be reachable.
    #[must_use]
    pub fn is_likely(&self, now: UnixMillis) -> bool {
        self.heard_at
            .get()
            .is_some_and(|heard_at| now.saturating_sub(heard_at) < Self::HOLDS_MS)
    }
}

impl Isolate {
    /// The shared state. It is made at first use. While a setting is wrong, the settings are read again
    /// at each use.
    ///
    /// # Errors
    /// The setting that is wrong.
    pub fn shared(
        &self,
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Result<&Shared, ConfigError> {
        if let Some(shared) = self.shared.get() {
            return Ok(shared);
        }
        let config = Rc::new(Config::read(variable)?);
        let credentials = CredentialStore::new(Rc::clone(&config));
        Ok(self.shared.get_or_init(|| Shared {
            files: FileStore::new(Rc::clone(&config), credentials.clone()),
            credentials,
            config,
            budget: Rc::new(Budget::new(BUFFER_BUDGET_BYTES)),
            telegram: Rc::default(),
            pacer: Rc::default(),
            migrations: Rc::default(),
        }))
    }
}

/// A number of bytes that leases share.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: Cell<u64>,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            used: Cell::new(0),
        }
    }

    /// All that there is, in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// What is leased at the moment, in bytes.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.get()
    }

    /// Whether so many bytes would fit beside what is leased now.
    #[must_use]
    pub fn has_room(&self, bytes: u64) -> bool {
        self.used.get().saturating_add(bytes) <= self.limit
    }

    /// An empty lease.
    #[must_use]
    pub fn lease(self: &Rc<Self>) -> Lease {
        Lease {
            budget: Rc::clone(self),
            bytes: 0,
        }
    }
}

/// A share of the budget, given back when dropped.
///
/// workerd does not drop the future of a request whose client is gone; the edge therefore runs every
/// upload to its end, whatever the client does.
#[derive(Debug)]
pub struct Lease {
    budget: Rc<Budget>,
    bytes: u64,
}

impl Lease {
    /// Makes the lease at least this large. `false`, and no change, when there is no room.
    #[must_use]
    pub fn cover(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let used = self.budget.used.get().saturating_add(more);
        if used > self.budget.limit {
            return false;
        }
        self.budget.used.set(used);
        self.bytes += more;
        true
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget
            .used
            .set(self.budget.used.get().saturating_sub(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_share_the_budget_and_give_it_back() {
        let budget = Rc::new(Budget::new(100));
        let mut first = budget.lease();
        let mut second = budget.lease();
        assert!(first.cover(60));
        assert!(!second.cover(41));
        assert!(second.cover(40));
        assert!(!first.cover(61));
        assert!(first.cover(10), "a lease never shrinks");
        assert_eq!(budget.used(), 100);
        drop(first);
        assert_eq!(budget.used(), 40);
        assert!(second.cover(100));
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_lease_of_more_than_any_number_is_refused() {
        let budget = Rc::new(Budget::new(100));
        let mut lease = budget.lease();
        assert!(lease.cover(1));
        assert!(!lease.cover(u64::MAX));
        assert_eq!(budget.used(), 1);
    }

    #[test]
    fn wrong_settings_are_named_and_right_ones_are_kept() {
        let isolate = Isolate::default();
        let error = isolate.shared(|_| None).err().expect("no settings");
        assert_eq!(error.to_string(), "BACKEND_URL is not set");
        let good =
            |name: &'static str| (name == "BACKEND_URL").then(|| "https://backend".to_owned());
        assert_eq!(
            isolate.shared(good).expect("settings").config.backend_url,
            "https://backend"
        );
        assert_eq!(
            isolate.shared(|_| None).expect("kept").config.backend_url,
            "https://backend"
        );
    }
}
