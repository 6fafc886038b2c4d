//! The record of a key, and of a user: every order of events against a simple model.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use futures_util::future::join;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::record::{File, Kept, Record, Step, Verdict};
use super::{UserKey, UserRecord};
use crate::config::{Config, RecordPolicy};
use crate::host::{Host as _, ObjectFault};
use crate::objects::wake;
use crate::testing::memory::Memory;
use crate::testing::{TestHost, answer};
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
fn last(reply: &str) -> Step {
    Step::Keep(Kept {
        reply: reply.to_owned(),
        undelivered: None,
        is_final: true,
    })
}

/// The file is stored, and nobody knows of it yet.
fn stored() -> Step {
    Step::Keep(Kept {
        reply: "pending".to_owned(),
        undelivered: Some(message()),
        is_final: false,
    })
}

fn in_progress(retry_after: u32) -> Verdict {
    Verdict::InProgress { retry_after }
}

fn ended(reply: Option<String>) -> Verdict {
    Verdict::Ended {
        file: file(),
        reply,
    }
}

/// A record, and the clock.
#[derive(Default)]
struct Key {
    record: Option<Record>,
    now: u64,
}

impl Key {
    fn ask(&mut self, attempt: &str, step: Step) -> Verdict {
        let before = self.record.take();
        let (record, verdict) = Record::decide(before, attempt, step, self.now, POLICY);
        self.record = record;
        verdict
    }

    fn committed(attempt: &str) -> Self {
        let mut key = Self::default();
        assert_eq!(key.ask(attempt, Step::Begin), Verdict::Granted);
        assert_eq!(key.ask(attempt, Step::Commit(file())), Verdict::Granted);
        key
    }
}

#[test]
fn while_one_is_under_way_another_is_told_to_wait_a_little() {
    let mut key = Key::default();
    assert_eq!(key.ask("a", Step::Begin), Verdict::Granted);
    assert_eq!(key.ask("b", Step::Begin), in_progress(5));
    key.now = LEASE_MS - 1_500;
    assert_eq!(key.ask("b", Step::Begin), in_progress(2));
    key.now = LEASE_MS - 1;
    assert_eq!(key.ask("b", Step::Begin), in_progress(1));
}

#[test]
fn a_key_is_free_when_the_lease_of_an_upload_that_died_is_over() {
    let mut key = Key::default();
    key.ask("a", Step::Begin);
    key.now = LEASE_MS;
    assert_eq!(key.ask("b", Step::Begin), Verdict::Granted);
    // The dead one lives after all: it gets no leave, and can do no harm.
    for step in [
        Step::Commit(file()),
        Step::Renew,
        Step::Free,
        Step::Lose,
        last("a"),
    ] {
        assert_eq!(key.ask("a", step), in_progress(1));
    }
    assert_eq!(key.ask("b", Step::Commit(file())), Verdict::Granted);
}

#[test]
fn an_upload_that_nobody_overtook_gets_leave_also_when_its_lease_is_over() {
    let mut key = Key::default();
    key.ask("a", Step::Begin);
    key.now = 10 * LEASE_MS;
    assert_eq!(key.ask("a", Step::Commit(file())), Verdict::Granted);
    assert_eq!(key.ask("b", Step::Begin), in_progress(5));
}

#[test]
fn a_renewal_makes_the_lease_longer() {
    for mut key in [Key::default(), Key::committed("a")] {
        key.ask("a", Step::Begin);
        for _ in 0..10 {
            key.now += LEASE_MS / 3;
            assert_eq!(key.ask("a", Step::Renew), Verdict::Granted);
        }
        key.now += LEASE_MS - 1;
        assert_eq!(key.ask("b", Step::Begin), in_progress(1));
    }
}

#[test]
fn of_an_upload_that_died_behind_its_leave_nobody_knows_what_became() {
    let mut key = Key::committed("a");
    assert_eq!(key.ask("b", Step::Begin), in_progress(5));
    key.now = LEASE_MS;
    assert_eq!(key.ask("b", Step::Begin), ended(None));
    // It lives after all, and knows.
    assert_eq!(key.ask("a", last("reply")), Verdict::Granted);
    let told = ended(Some("reply".to_owned()));
    assert_eq!(key.ask("b", Step::Begin), told);
}

#[test]
fn a_reply_that_comes_late_does_not_undo_the_last_one() {
    let mut key = Key::committed("a");
    key.ask("a", stored());
    key.ask("a", last("ok"));
    key.ask("a", stored());
    let told = ended(Some("ok".to_owned()));
    assert_eq!(key.ask("b", Step::Begin), told);
    let record = key.record.expect("a record");
    assert_eq!(record.due_at(), TTL_MS);
    assert_eq!(record.left_behind(TTL_MS), None);
}

#[test]
fn a_message_is_left_behind_when_its_upload_says_nothing_more_for_as_long_as_a_lease() {
    let mut key = Key::committed("a");
    key.ask("a", stored());
    key.now = LEASE_MS - 1;
    assert_eq!(key.ask("b", Step::Begin), in_progress(1));
    key.now = LEASE_MS;
    let told = ended(Some("pending".to_owned()));
    assert_eq!(key.ask("b", Step::Begin), told);
    let record = key.record.expect("a record");
    assert_eq!(record.due_at(), LEASE_MS);
    assert_eq!(record.left_behind(LEASE_MS - 1), None);
    assert_eq!(record.left_behind(LEASE_MS), Some(&message()));
    let again = record.clone().handed_over(false, LEASE_MS);
    assert_eq!(again.due_at(), LEASE_MS + 60_000);
    key.record = Some(again);
    assert_eq!(key.ask("b", Step::Begin), told);
    let done = record.handed_over(true, LEASE_MS);
    assert_eq!(done.due_at(), TTL_MS);
    assert_eq!(done.left_behind(TTL_MS), None);
}

#[test]
fn a_message_that_nobody_took_stays_with_a_record_that_answers_repeats() {
    let mut key = Key::committed("a");
    key.ask("a", stored());
    let undelivered = Step::Keep(Kept {
        reply: "pending".to_owned(),
        undelivered: Some(message()),
        is_final: true,
    });
    key.ask("a", undelivered);
    let told = ended(Some("pending".to_owned()));
    assert_eq!(key.ask("b", Step::Begin), told);
    let record = key.record.expect("a record");
    assert_eq!(record.left_behind(LEASE_MS), Some(&message()));
}

#[test]
fn a_key_is_forgotten_a_day_after_its_upload_has_ended() {
    for (step, reply) in [
        (last("reply"), Some("reply".to_owned())),
        (Step::Lose, None),
    ] {
        let mut key = Key::committed("a");
        key.now = 50_000;
        key.ask("a", step);
        key.now += TTL_MS - 1;
        let told = ended(reply);
        assert_eq!(key.ask("b", Step::Begin), told);
        key.now += 1;
        assert!(
            key.record
                .as_ref()
                .is_some_and(|record| record.is_over(key.now))
        );
        assert_eq!(key.ask("b", Step::Begin), Verdict::Granted);
    }
}

#[test]
fn a_key_is_not_forgotten_while_its_upload_lives() {
    let short = RecordPolicy {
        ttl_ms: 1_000,
        ..POLICY
    };
    let (record, _) = Record::decide(None, "a", Step::Begin, 0, short);
    let record = record.expect("a record");
    assert!(!record.is_over(LEASE_MS - 1));
    assert_eq!(record.due_at(), LEASE_MS);
    let commit = Step::Commit(file());
    let (_, verdict) = Record::decide(Some(record), "a", commit, LEASE_MS - 1, short);
    assert_eq!(verdict, Verdict::Granted);
}

#[test]
fn one_users_key_is_none_of_anothers() {
    assert_eq!(UserKey::new("u", "key"), UserKey::new("u", "key"));
    assert_ne!(UserKey::new("u", "key"), UserKey::new("v", "key"));
    assert_ne!(UserKey::new("u", "key"), UserKey::new("u", "yek"));
    // Neither is in the name or the entry.
    let UserKey { object, key } = UserKey::new("u", "key");
    assert_eq!((object.len(), key.len()), (64, 64));
}

/// Steps of four attempts, on one of three keys, and time that passes.
#[derive(Debug, Clone)]
enum Happening {
    Ask(usize, usize, Step),
    Time(u64),
    /// The storage fails after so many operations of the next step.
    StorageFails(usize),
}

fn happenings(keys: usize) -> impl Strategy<Value = Vec<Happening>> {
    let step = prop_oneof![
        4 => Just(Step::Begin),
        1 => Just(Step::Renew),
        3 => Just(Step::Commit(file())),
        1 => Just(Step::Free),
        1 => Just(Step::Lose),
        1 => Just(last("")),
        1 => Just(stored()),
    ];
    let happening = prop_oneof![
        10 => (0..keys, 0..4usize, step).prop_map(|(key, attempt, step)| Happening::Ask(key, attempt, step)),
        2 => (1..2 * LEASE_MS).prop_map(Happening::Time),
        1 => (0..8usize).prop_map(Happening::StorageFails),
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

/// What is known of a key from outside.
#[derive(Debug, Default)]
struct Model {
    begun: HashMap<usize, Sent>,
    ended: [bool; 4],
    kept: Option<String>,
    lost: bool,
}

impl Model {
    /// Whether an attempt would take this step: it begins once, and takes none after it has ended, or
    /// any other than `Keep` after its file is stored.
    fn is_possible(&self, attempt: usize, step: &Step) -> bool {
        let has_begun = self.begun.contains_key(&attempt);
        if self.ended[attempt] || has_begun == (*step == Step::Begin) {
            return false;
        }
        let has_leave = self.begun.get(&attempt) == Some(&Sent::MayBeStored);
        let has_kept = self.kept.as_deref() == Some(&attempt.to_string());
        match step {
            Step::Keep(_) => has_leave,
            Step::Lose => has_leave && !has_kept,
            _ => !has_kept,
        }
    }

    /// Within a day no two attempts may store something, and a reply that was kept is what everybody
    /// else is told.
    fn learn(&mut self, attempt: usize, step: Step, verdict: Verdict) -> Result<(), TestCaseError> {
        match (step, verdict) {
            (Step::Begin, Verdict::Granted) => {
                prop_assert!(self.kept.is_none() && !self.lost);
                prop_assert!(self.begun.values().all(|sent| *sent == Sent::Nothing));
                self.begun.insert(attempt, Sent::Nothing);
            }
            (Step::Begin, verdict) => {
                let reply = self.kept.clone();
                let may_be_told = verdict == ended(reply.clone()) || verdict_is_wait(&verdict);
                prop_assert!(may_be_told || (reply.is_none() && !self.lost));
                if self.lost {
                    prop_assert_eq!(verdict, ended(None));
                }
            }
            (Step::Commit(_), Verdict::Granted) => {
                let mut others = self.begun.iter().filter(|(other, _)| **other != attempt);
                prop_assert!(others.all(|(_, sent)| *sent == Sent::Nothing));
                self.begun.insert(attempt, Sent::MayBeStored);
            }
            (Step::Free, _) => {
                self.begun.insert(attempt, Sent::Nothing);
                self.ended[attempt] = true;
            }
            (Step::Lose, verdict) => {
                prop_assert_eq!(verdict, Verdict::Granted);
                (self.lost, self.ended[attempt]) = (true, true);
            }
            (Step::Keep(kept), verdict) => {
                prop_assert_eq!(verdict, Verdict::Granted);
                self.kept = Some(kept.reply);
                self.ended[attempt] = kept.is_final;
            }
            (Step::Commit(_) | Step::Renew, _) => {}
        }
        Ok(())
    }
}

fn verdict_is_wait(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::InProgress { .. })
}

/// The step with a reply that tells whose it is.
fn signed(attempt: usize, step: Step) -> Step {
    match step {
        Step::Keep(kept) => Step::Keep(Kept {
            reply: attempt.to_string(),
            ..kept
        }),
        other => other,
    }
}

/// A host with the record of one user, and a backend that answers this to every message.
fn host(status: u16) -> TestHost {
    let host = TestHost::default();
    let variable = |name| (name == "BACKEND_URL").then(|| "https://backend".to_owned());
    host.bind_objects(Config::read(variable).expect("settings"));
    host.answers("/webhook", [Ok(answer(status, "{}"))]);
    host
}

fn key(number: usize) -> UserKey {
    UserKey::new("u", &number.to_string())
}

fn step(host: &TestHost, number: usize, attempt: &str, step: Step) -> Verdict {
    let verdict = host.run(key(number).step(host, attempt, step));
    verdict.expect("a verdict")
}

/// What the record of the user keeps.
fn storage(host: &TestHost) -> Rc<Memory> {
    host.storage::<UserRecord>(&key(0).object)
}

/// Each record has one place among what is due, and the alarm is not too late for it.
fn assert_consistent(host: &TestHost) {
    let storage = storage(host);
    let entries = storage.entries();
    let mut expected = BTreeMap::new();
    for (key, value) in entries.iter().filter(|(key, _)| key.starts_with("key/")) {
        let record: Record = serde_json::from_str(value).expect("a record");
        expected.insert(key.clone(), value.clone());
        expected.insert(format!("due/{:016}/{key}", record.due_at()), String::new());
    }
    assert_eq!(entries, expected);
    if let Some(first) = entries.keys().find(|key| key.starts_with("due/")) {
        let at: u64 = first[4..20].parse().expect("a time");
        assert!(storage.alarm.get().is_some_and(|alarm| alarm <= at));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_key_stores_one_message_at_most(happenings in happenings(1)) {
        let (mut key, mut model) = (Key::default(), Model::default());
        for happening in happenings {
            match happening {
                // All of it within a day of the beginning.
                Happening::Time(ms) => key.now = (key.now + ms).min(TTL_MS - 1),
                Happening::Ask(_, attempt, step) if model.is_possible(attempt, &step) => {
                    let step = signed(attempt, step);
                    let verdict = key.ask(&attempt.to_string(), step.clone());
                    model.learn(attempt, step, verdict)?;
                }
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same for the object with its alarm, for several keys, and a storage that fails now and then.
    #[test]
    fn each_of_a_users_keys_stores_one_message_at_most(happenings in happenings(3)) {
        let host = host(200);
        let mut models: [Model; 3] = Default::default();
        for happening in happenings {
            match happening {
                Happening::Time(ms) => host.run_alarms_until((host.now() + ms).min(TTL_MS - 1)),
                Happening::StorageFails(after) => storage(&host).fails_after.set(Some(after)),
                Happening::Ask(number, attempt, step) if models[number].is_possible(attempt, &step) => {
                    let step = signed(attempt, step);
                    let before = storage(&host).entries();
                    let (key, id) = (key(number), attempt.to_string());
                    let asked = host.run(key.step(&host, &id, step.clone()));
                    storage(&host).fails_after.set(None);
                    match asked {
                        Ok(verdict) => models[number].learn(attempt, step, verdict)?,
                        Err(fault) => {
                            prop_assert_eq!(fault, ObjectFault::Failed);
                            prop_assert_eq!(storage(&host).entries(), before);
                        }
                    }
                }
                Happening::Ask(..) => {}
            }
            storage(&host).fails_after.set(None);
            assert_consistent(&host);
        }
    }
}

#[test]
fn all_keys_of_a_user_are_one_object_which_forgets_each_in_its_time() {
    let host = host(200);
    for number in 0..2_000 {
        step(&host, number, "a", Step::Begin);
        step(&host, number, "a", Step::Commit(file()));
        step(&host, number, "a", last("reply"));
        host.advance(1);
    }
    let asked = host.0.asked.take().into_iter();
    let names: HashSet<String> = asked.map(|(name, _)| name).collect();
    assert_eq!(names.len(), 1);
    assert_eq!(storage(&host).entries().len(), 4_000);
    host.run_alarms_until(TTL_MS + 999);
    assert_eq!(storage(&host).entries().len(), 2_000);
    assert_consistent(&host);
    host.run_alarms_until(TTL_MS + 1_999);
    assert!(storage(&host).entries().is_empty());
    assert_eq!(storage(&host).alarm.get(), None);
}

#[test]
fn one_alarm_looks_at_a_bounded_number_of_entries() {
    let host = host(200);
    for number in 0..1_200 {
        step(&host, number, "a", Step::Begin);
    }
    host.advance(TTL_MS);
    let config = host.config_of_objects();
    for left in [700, 200, 0] {
        let storage = storage(&host);
        let woken = wake::<UserRecord>(&host, Ok(&*config), &*storage);
        assert_eq!(host.run(woken), Ok(()));
        assert_eq!(storage.entries().len(), 2 * left);
    }
}

/// So many uploads that died between Telegram's ok and the notification.
fn leave_behind(host: &TestHost, uploads: usize) {
    for number in 0..uploads {
        let message = Message {
            id: format!("msg_{number}"),
            body: "{}".to_owned(),
        };
        let kept = Kept {
            reply: "pending".to_owned(),
            undelivered: Some(message),
            is_final: false,
        };
        for taken in [Step::Begin, Step::Commit(file()), Step::Keep(kept)] {
            assert_eq!(step(host, number, "a", taken), Verdict::Granted);
        }
    }
}

#[test]
fn messages_of_uploads_that_died_are_all_handed_over_once() {
    let host = host(200);
    leave_behind(&host, 50);
    host.run_alarms_until(LEASE_MS + 10_000);
    let calls = host.calls_to("/webhook");
    let ids: HashSet<String> = calls.iter().map(|call| call.headers[1].1.clone()).collect();
    assert_eq!((calls.len(), ids.len()), (50, 50));
    assert_consistent(&host);
    for number in 0..50 {
        let told = ended(Some("pending".to_owned()));
        assert_eq!(step(&host, number, "b", Step::Begin), told);
    }
}

#[test]
fn a_message_that_nobody_takes_is_handed_over_again_until_somebody_does() {
    let host = host(503);
    leave_behind(&host, 1);
    host.0.outbox_is_down.set(true);
    host.run_alarms_until(10 * LEASE_MS - 1);
    // Once a minute.
    assert_eq!(host.calls_to("/webhook").len(), 9);
    host.0.outbox_is_down.set(false);
    host.run_alarms_until(10 * LEASE_MS);
    assert_consistent(&host);
    // From now on it is the outbox's.
    assert_eq!(storage(&host).alarm.get(), Some(TTL_MS));
}

#[test]
fn an_upload_that_lives_after_all_is_not_overtaken_by_its_hand_over() {
    let host = host(200);
    leave_behind(&host, 1);
    host.advance(LEASE_MS);
    host.calls_take(1_000);
    host.0.outbox_is_down.set(true);
    let (config, storage) = (host.config_of_objects(), storage(&host));
    let woken = wake::<UserRecord>(&host, Ok(&*config), &*storage);
    let key = key(0);
    let meanwhile = async {
        host.sleep(500).await;
        assert_eq!(host.calls_to("/webhook").len(), 1);
        key.step(&host, "a", last("ok")).await
    };
    let ended_well = (Ok(()), Ok(Verdict::Granted));
    assert_eq!(host.run(join(woken, meanwhile)), ended_well);
    let told = ended(Some("ok".to_owned()));
    assert_eq!(step(&host, 0, "b", Step::Begin), told);
    assert_consistent(&host);
}
