//! The record of a key: every order of events against a simple model.

use std::collections::HashMap;

use proptest::prelude::*;

use super::IdempotencyKey;
use super::record::{Answer, File, Kept, Question, Record, Wish};
use crate::config::RecordPolicy;
use crate::webhook::Message;

const LEASE_MS: u64 = 60_000;
const TTL_MS: u64 = 86_400_000;
const POLICY: RecordPolicy = RecordPolicy {
    lease_ms: LEASE_MS,
    ttl_ms: TTL_MS,
};

fn file() -> File {
    File {
        name: "f.bin".to_owned(),
        size: 7,
    }
}

fn message() -> Message {
    Message {
        id: "msg_1".to_owned(),
        body: "{}".to_owned(),
    }
}

/// The reply that goes out.
fn last(reply: &str) -> Wish {
    Wish::Keep(Kept {
        reply: reply.to_owned(),
        untold: None,
        is_last: true,
    })
}

/// The file is stored, and nobody knows of it yet.
fn stored() -> Wish {
    Wish::Keep(Kept {
        reply: "pending".to_owned(),
        untold: Some(message()),
        is_last: false,
    })
}

/// A record, and the clock.
#[derive(Default)]
struct Key {
    record: Option<Record>,
    now: u64,
}

impl Key {
    fn ask(&mut self, attempt: &str, wish: Wish) -> Answer {
        let question = Question {
            attempt: attempt.to_owned(),
            wish,
        };
        let (record, answer) = Record::decide(self.record.take(), question, self.now, POLICY);
        self.record = record;
        answer
    }

    fn committed(attempt: &str) -> Self {
        let mut key = Self::default();
        assert_eq!(key.ask(attempt, Wish::Begin), Answer::Yours);
        assert_eq!(key.ask(attempt, Wish::Commit(file())), Answer::Yours);
        key
    }
}

#[test]
fn while_one_is_under_way_another_is_told_to_wait_a_little() {
    let mut key = Key::default();
    assert_eq!(key.ask("a", Wish::Begin), Answer::Yours);
    assert_eq!(key.ask("b", Wish::Begin), Answer::Taken(5));
    key.now = LEASE_MS - 1_500;
    assert_eq!(key.ask("b", Wish::Begin), Answer::Taken(2));
    key.now = LEASE_MS - 1;
    assert_eq!(key.ask("b", Wish::Begin), Answer::Taken(1));
}

#[test]
fn a_key_is_free_when_the_lease_of_an_upload_that_died_is_over() {
    let mut key = Key::default();
    key.ask("a", Wish::Begin);
    key.now = LEASE_MS;
    assert_eq!(key.ask("b", Wish::Begin), Answer::Yours);
    // The dead one lives after all: it gets no leave, and can do no harm.
    for wish in [
        Wish::Commit(file()),
        Wish::Renew,
        Wish::Free,
        Wish::Lose,
        last("a"),
    ] {
        assert_eq!(key.ask("a", wish), Answer::Taken(1));
    }
    assert_eq!(key.ask("b", Wish::Commit(file())), Answer::Yours);
}

#[test]
fn an_upload_that_nobody_overtook_gets_leave_also_when_its_lease_is_over() {
    let mut key = Key::default();
    key.ask("a", Wish::Begin);
    key.now = 10 * LEASE_MS;
    assert_eq!(key.ask("a", Wish::Commit(file())), Answer::Yours);
    assert_eq!(key.ask("b", Wish::Begin), Answer::Taken(5));
}

#[test]
fn a_renewal_makes_the_lease_longer() {
    for mut key in [Key::default(), Key::committed("a")] {
        key.ask("a", Wish::Begin);
        for _ in 0..10 {
            key.now += LEASE_MS / 3;
            assert_eq!(key.ask("a", Wish::Renew), Answer::Yours);
        }
        key.now += LEASE_MS - 1;
        assert_eq!(key.ask("b", Wish::Begin), Answer::Taken(1));
    }
}

#[test]
fn of_an_upload_that_died_behind_its_leave_nobody_knows_what_became() {
    let mut key = Key::committed("a");
    assert_eq!(key.ask("b", Wish::Begin), Answer::Taken(5));
    key.now = LEASE_MS;
    assert_eq!(key.ask("b", Wish::Begin), Answer::Ended(file(), None));
    // It lives after all, and knows.
    assert_eq!(key.ask("a", last("reply")), Answer::Yours);
    let ended = Answer::Ended(file(), Some("reply".to_owned()));
    assert_eq!(key.ask("b", Wish::Begin), ended);
}

#[test]
fn a_reply_that_comes_late_does_not_undo_the_last_one() {
    let mut key = Key::committed("a");
    key.ask("a", stored());
    key.ask("a", last("ok"));
    key.ask("a", stored());
    let ended = Answer::Ended(file(), Some("ok".to_owned()));
    assert_eq!(key.ask("b", Wish::Begin), ended);
    let record = key.record.expect("a record");
    assert_eq!(record.alarm_at(), TTL_MS);
    assert_eq!(record.left_behind(TTL_MS), None);
}

#[test]
fn a_message_is_left_behind_when_its_upload_says_nothing_more_for_as_long_as_a_lease() {
    let mut key = Key::committed("a");
    key.ask("a", stored());
    key.now = LEASE_MS - 1;
    assert_eq!(key.ask("b", Wish::Begin), Answer::Taken(1));
    key.now = LEASE_MS;
    let ended = Answer::Ended(file(), Some("pending".to_owned()));
    assert_eq!(key.ask("b", Wish::Begin), ended);
    let record = key.record.expect("a record");
    assert_eq!(record.alarm_at(), LEASE_MS);
    assert_eq!(record.left_behind(LEASE_MS - 1), None);
    assert_eq!(record.left_behind(LEASE_MS), Some(&message()));
    let again = record.clone().handed_over(false, LEASE_MS);
    assert_eq!(again.alarm_at(), LEASE_MS + 60_000);
    key.record = Some(again);
    assert_eq!(key.ask("b", Wish::Begin), ended);
    let done = record.handed_over(true, LEASE_MS);
    assert_eq!(done.alarm_at(), TTL_MS);
    assert_eq!(done.left_behind(TTL_MS), None);
}

#[test]
fn a_message_that_nobody_took_stays_with_a_record_that_answers_repeats() {
    let mut key = Key::committed("a");
    key.ask("a", stored());
    let untold = Wish::Keep(Kept {
        reply: "pending".to_owned(),
        untold: Some(message()),
        is_last: true,
    });
    key.ask("a", untold);
    let ended = Answer::Ended(file(), Some("pending".to_owned()));
    assert_eq!(key.ask("b", Wish::Begin), ended);
    let record = key.record.expect("a record");
    assert_eq!(record.left_behind(LEASE_MS), Some(&message()));
}

#[test]
fn a_key_is_forgotten_a_day_after_its_upload_has_ended() {
    for (wish, reply) in [
        (last("reply"), Some("reply".to_owned())),
        (Wish::Lose, None),
    ] {
        let mut key = Key::committed("a");
        key.now = 50_000;
        key.ask("a", wish);
        key.now += TTL_MS - 1;
        let ended = Answer::Ended(file(), reply);
        assert_eq!(key.ask("b", Wish::Begin), ended);
        key.now += 1;
        assert!(
            key.record
                .as_ref()
                .is_some_and(|record| record.is_over(key.now))
        );
        assert_eq!(key.ask("b", Wish::Begin), Answer::Yours);
    }
}

#[test]
fn a_key_is_not_forgotten_while_its_upload_lives() {
    let question = |wish| Question {
        attempt: "a".to_owned(),
        wish,
    };
    let short = RecordPolicy {
        ttl_ms: 1_000,
        ..POLICY
    };
    let (record, _) = Record::decide(None, question(Wish::Begin), 0, short);
    let record = record.expect("a record");
    assert!(!record.is_over(LEASE_MS - 1));
    assert_eq!(record.alarm_at(), LEASE_MS);
    let commit = question(Wish::Commit(file()));
    let (_, answer) = Record::decide(Some(record), commit, LEASE_MS - 1, short);
    assert_eq!(answer, Answer::Yours);
}

#[test]
fn a_key_has_one_to_255_visible_ascii_characters() {
    assert!(IdempotencyKey::parse("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"").is_some());
    assert!(IdempotencyKey::parse(&"k".repeat(255)).is_some());
    for text in ["", "a b", "a\tb", "ä", "\u{7f}", &"k".repeat(256)] {
        assert_eq!(IdempotencyKey::parse(text), None, "{text:?}");
    }
}

#[test]
fn one_users_key_is_none_of_anothers() {
    let name = |user: &str, key: &str| IdempotencyKey::parse(key).expect("a key").object_name(user);
    assert_eq!(name("u", "key"), name("u", "key"));
    assert_ne!(name("u", "key"), name("v", "key"));
    assert_ne!(name("uk", "ey"), name("u", "key"));
    assert_eq!(name("u", "key").len(), 64);
}

/// What can happen, to one of a few attempts.
#[derive(Debug, Clone)]
enum Happening {
    Ask(usize, Wish),
    Time(u64),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let wish = prop_oneof![
        4 => Just(Wish::Begin),
        1 => Just(Wish::Renew),
        3 => Just(Wish::Commit(file())),
        1 => Just(Wish::Free),
        1 => Just(Wish::Lose),
        1 => Just(last("")),
        1 => Just(stored()),
    ];
    let happening = prop_oneof![
        5 => (0..4usize, wish).prop_map(|(attempt, wish)| Happening::Ask(attempt, wish)),
        1 => (1..2 * LEASE_MS).prop_map(Happening::Time),
    ];
    prop::collection::vec(happening, 1..60)
}

/// What an attempt has done to Telegram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    /// It had leave: there may be a message, or there surely is one.
    MayBeStored,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    /// Within a day no two attempts may store something, and a reply that was kept is what everybody
    /// else is told.
    #[test]
    fn a_key_stores_one_message_at_most(happenings in happenings()) {
        let mut key = Key::default();
        // An attempt begins once, and says nothing more when it has ended.
        let mut begun: HashMap<usize, Sent> = HashMap::new();
        let mut ended = [false; 4];
        let mut kept: Option<String> = None;
        let mut lost = false;
        for happening in happenings {
            let (attempt, wish) = match happening {
                Happening::Time(ms) => {
                    // All of it within a day of the beginning.
                    key.now = (key.now + ms).min(TTL_MS - 1);
                    continue;
                }
                Happening::Ask(attempt, wish) => (attempt, wish),
            };
            let has_begun = begun.contains_key(&attempt);
            if ended[attempt] || has_begun == (wish == Wish::Begin) {
                continue;
            }
            let has_leave = begun.get(&attempt) == Some(&Sent::MayBeStored);
            if matches!(wish, Wish::Lose | Wish::Keep(..)) && !has_leave {
                continue;
            }
            let name = format!("{attempt}");
            let wish = match wish {
                Wish::Keep(kept) => Wish::Keep(Kept { reply: name.clone(), ..kept }),
                other => other,
            };
            let answer = key.ask(&name, wish.clone());
            match (wish, answer) {
                (Wish::Begin, Answer::Yours) => {
                    prop_assert!(kept.is_none() && !lost);
                    prop_assert!(begun.values().all(|sent| *sent == Sent::Nothing));
                    begun.insert(attempt, Sent::Nothing);
                }
                (Wish::Begin, answer) => {
                    if let Some(reply) = &kept {
                        prop_assert_eq!(answer, Answer::Ended(file(), Some(reply.clone())));
                    } else if lost {
                        prop_assert_eq!(answer, Answer::Ended(file(), None));
                    }
                }
                (Wish::Commit(_), Answer::Yours) => {
                    let others = begun.iter().filter(|(other, _)| **other != attempt);
                    prop_assert!(others.into_iter().all(|(_, sent)| *sent == Sent::Nothing));
                    begun.insert(attempt, Sent::MayBeStored);
                }
                (Wish::Free, _) => {
                    begun.insert(attempt, Sent::Nothing);
                    ended[attempt] = true;
                }
                (Wish::Lose, answer) => {
                    prop_assert_eq!(answer, Answer::Yours);
                    (lost, ended[attempt]) = (true, true);
                }
                (Wish::Keep(now_kept), answer) => {
                    prop_assert_eq!(answer, Answer::Yours);
                    kept = Some(now_kept.reply);
                    ended[attempt] = now_kept.is_last;
                }
                (Wish::Commit(_) | Wish::Renew, _) => {}
            }
            // One that said Keep says nothing else than Keep.
            if kept.as_deref() == Some(&name) && !ended[attempt] {
                prop_assert_eq!(key.ask(&name, last(&name)), Answer::Yours);
                ended[attempt] = true;
            }
        }
    }
}
