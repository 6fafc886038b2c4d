//! Users whose credentials have changed, under growing versions.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Context, DurableObject, Range, StorageFault, Transaction, parse};
use crate::host::{Host, UnixMillis};
use crate::text::hex;

/// The name of the one object for all users.
pub const NAME: &str = "revocations";

/// How long a user is remembered, in milliseconds. An isolate that asks later than that forgets
/// everybody.
const REMEMBERED_MS: u64 = 3_600_000;
/// How far apart the clocks of an isolate and of the object may be, in milliseconds.
const CLOCK_SKEW_MS: u64 = 60_000;
/// Most entries that one answer is made from. When there are more, it may be anybody.
const MAX_ENTRIES: usize = 10_000;
/// Most entries that one revocation removes. It is more than it adds, so none pile up.
const REMOVED_AT_ONCE: usize = 100;

const STATE_KEY: &str = "state";
/// Before the version of an entry.
const ENTRY_PREFIX: &str = "revoked/";

/// The object.
pub struct Revocations;

/// What it can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Remember this user.
    Revoke(String),
    /// Who was revoked after that version.
    Since(Version),
    /// Who was revoked from that time on. An isolate asks so that knows no version yet.
    From(UnixMillis),
}

/// A point in the history of revocations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Random, made when the object first writes: versions from before it was reset don't compare
    /// with those after.
    pub epoch: String,
    /// Grows with each revocation.
    pub number: u64,
}

/// What happened since then.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// The newest version.
    pub version: Version,
    /// The users; `None` when the object does not remember as far back: it may be anybody.
    pub users: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    user_id: String,
    at: UnixMillis,
}

impl DurableObject for Revocations {
    type Question = Question;
    /// `None` when nothing was asked for.
    type Answer = Option<News>;
    const BINDING: &'static str = "REVOCATIONS";

    async fn answer<H: Host, T: Transaction>(
        context: &Context<'_, H>,
        tx: &mut T,
        question: Question,
    ) -> Result<Option<News>, StorageFault> {
        let now = context.now();
        let version = tx.read(STATE_KEY).await?;
        match question {
            Question::Revoke(user_id) => {
                let version = version.unwrap_or_else(|| Version {
                    epoch: hex(&context.random::<8>()),
                    number: 0,
                });
                remove_old(tx, now).await?;
                add(tx, version, Entry { user_id, at: now }).await?;
                Ok(None)
            }
            Question::Since(known) => {
                let version = version.unwrap_or_default();
                let users = since(tx, &known, &version).await?;
                Ok(Some(News { version, users }))
            }
            Question::From(time) => {
                let from = time.saturating_sub(CLOCK_SKEW_MS);
                let users = from_time(tx, from, now).await?;
                let version = version.unwrap_or_default();
                Ok(Some(News { version, users }))
            }
        }
    }
}

fn entry_key(number: u64) -> String {
    format!("{ENTRY_PREFIX}{number:016}")
}

async fn add(
    tx: &mut impl Transaction,
    mut version: Version,
    entry: Entry,
) -> Result<(), StorageFault> {
    version.number += 1;
    tx.write(&entry_key(version.number), &entry).await?;
    tx.write(STATE_KEY, &version).await
}

async fn remove_old(tx: &mut impl Transaction, now: UnixMillis) -> Result<(), StorageFault> {
    let oldest = Range::first(ENTRY_PREFIX, REMOVED_AT_ONCE);
    for (key, value) in tx.list(oldest).await? {
        let entry: Entry = parse(&value)?;
        if entry.at >= now.saturating_sub(REMEMBERED_MS) {
            break;
        }
        tx.delete(&key).await?;
    }
    Ok(())
}

/// Who was revoked after a known version.
async fn since(
    tx: &mut impl Transaction,
    known: &Version,
    newest: &Version,
) -> Result<Option<Vec<String>>, StorageFault> {
    if known.epoch != newest.epoch || known.number > newest.number {
        return Ok(None);
    }
    let after = entry_key(known.number);
    let entries = Range {
        prefix: ENTRY_PREFIX,
        after: Some(&after),
        limit: MAX_ENTRIES,
    };
    let entries = tx.list(entries).await?;
    // Each version has one entry, until it is removed.
    let is_complete = entries.len() as u64 == newest.number - known.number;
    users(entries, 0, is_complete)
}

/// Who was revoked from a time on.
async fn from_time(
    tx: &mut impl Transaction,
    from: UnixMillis,
    now: UnixMillis,
) -> Result<Option<Vec<String>>, StorageFault> {
    let entries = tx.list(Range::first(ENTRY_PREFIX, MAX_ENTRIES)).await?;
    let is_complete = entries.len() < MAX_ENTRIES && from + REMEMBERED_MS >= now;
    users(entries, from, is_complete)
}

/// Each user once, unless some are missing.
fn users(
    entries: Vec<(String, String)>,
    from: UnixMillis,
    is_complete: bool,
) -> Result<Option<Vec<String>>, StorageFault> {
    if !is_complete {
        return Ok(None);
    }
    let mut users = BTreeSet::new();
    for (_, value) in entries {
        let entry: Entry = parse(&value)?;
        if entry.at >= from {
            users.insert(entry.user_id);
        }
    }
    Ok(Some(users.into_iter().collect()))
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::objects::{Storage as _, ask};
    use crate::testing::TestHost;

    fn host() -> TestHost {
        let host = TestHost::default();
        let variable = |name| (name == "BACKEND_URL").then(|| "https://backend".to_owned());
        host.bind_objects(Config::read(variable).expect("settings"));
        host.advance(10 * REMEMBERED_MS);
        host
    }

    fn revoke(host: &TestHost, user_id: &str) {
        let question = Question::Revoke(user_id.to_owned());
        let told = host.run(ask::<Revocations>(host, NAME, &question, 1_000));
        assert_eq!(told, Ok(None));
    }

    fn news(host: &TestHost, question: &Question) -> (Version, Option<Vec<String>>) {
        let told = host.run(ask::<Revocations>(host, NAME, question, 1_000));
        let news = told.expect("an answer").expect("news");
        (news.version, news.users)
    }

    fn since(host: &TestHost, version: &Version) -> (Version, Option<Vec<String>>) {
        news(host, &Question::Since(version.clone()))
    }

    fn list(users: &[&str]) -> Vec<String> {
        users.iter().map(|&user| user.to_owned()).collect()
    }

    fn reset(host: &TestHost) {
        let storage = host.storage::<Revocations>(NAME);
        let cleared = host.run(storage.turn(async |tx| tx.clear().await));
        cleared.expect("cleared");
    }

    #[test]
    fn each_user_is_told_once_to_whoever_knows_an_older_version() {
        let host = host();
        revoke(&host, "a");
        let (first, _) = news(&host, &Question::From(0));
        assert_eq!(first.number, 1);
        for user in ["b", "a", "b"] {
            revoke(&host, user);
        }
        let (last, users) = since(&host, &first);
        assert_eq!((last.number, users), (4, Some(list(&["a", "b"]))));
        assert_eq!(since(&host, &last), (last, Some(list(&[]))));
    }

    #[test]
    fn from_a_time_on_the_clocks_may_differ_by_a_minute() {
        let host = host();
        revoke(&host, "a");
        let now = host.now();
        let from = |time| news(&host, &Question::From(time)).1;
        assert_eq!(from(now + CLOCK_SKEW_MS), Some(list(&["a"])));
        assert_eq!(from(now + CLOCK_SKEW_MS + 1), Some(list(&[])));
        assert_eq!(
            from(now + CLOCK_SKEW_MS - REMEMBERED_MS),
            Some(list(&["a"]))
        );
        assert_eq!(from(now + CLOCK_SKEW_MS - REMEMBERED_MS - 1), None);
    }

    #[test]
    fn a_version_from_before_a_reset_answers_anybody() {
        let host = host();
        let (empty, users) = since(&host, &Version::default());
        assert_eq!((&empty, users), (&Version::default(), Some(list(&[]))));
        revoke(&host, "a");
        revoke(&host, "b");
        let (before, _) = since(&host, &Version::default());
        assert_eq!(since(&host, &empty).1, None, "from before it first wrote");
        reset(&host);
        assert_eq!(since(&host, &before).1, None);
        revoke(&host, "c");
        revoke(&host, "d");
        let (after, users) = since(&host, &before);
        assert_eq!((after.number, users), (before.number, None));
        assert_ne!(after.epoch, before.epoch);
        revoke(&host, "e");
        assert_eq!(since(&host, &after).1, Some(list(&["e"])));
    }

    #[test]
    fn what_is_older_than_an_hour_is_forgotten_and_whoever_needs_it_is_told_so() {
        let host = host();
        for user in ["a", "b"] {
            revoke(&host, user);
        }
        let (old, _) = since(&host, &Version::default());
        let first = Version {
            number: 1,
            ..old.clone()
        };
        host.advance(REMEMBERED_MS + 1);
        assert_eq!(
            since(&host, &first).1,
            Some(list(&["b"])),
            "it is still there"
        );
        revoke(&host, "c");
        let entries = host.storage::<Revocations>(NAME).entries();
        assert_eq!(entries.len(), 2, "{entries:?}");
        assert_eq!(since(&host, &first).1, None);
        let (newest, users) = since(&host, &old);
        assert_eq!((newest.number, users), (3, Some(list(&["c"]))));
    }

    #[test]
    fn more_users_than_an_answer_holds_are_anybody() {
        let host = host();
        let storage = host.storage::<Revocations>(NAME);
        let now = host.now();
        let filled = storage.turn(async |tx| {
            let mut version = Version::default();
            for number in 0..=MAX_ENTRIES {
                let user_id = number.to_string();
                add(tx, version.clone(), Entry { user_id, at: now }).await?;
                version.number += 1;
            }
            Ok(())
        });
        host.run(filled).expect("filled");
        let version = |number| Version {
            epoch: String::new(),
            number,
        };
        assert_eq!(since(&host, &version(0)).1, None);
        let told = since(&host, &version(1)).1.map(|users| users.len());
        assert_eq!(told, Some(MAX_ENTRIES));
        assert_eq!(news(&host, &Question::From(now)).1, None);
    }
}
