//! The outbox and its shards, with virtual time.

use std::collections::HashSet;
use std::pin::pin;
use std::rc::Rc;
use std::task::{self, Waker};

use futures_util::future::join;
use serde_json::{Value, json};

use super::{Outbox, SHARDS, shard_name, shard_of};
use crate::config::Config;
use crate::host::{CallFault, Host as _, ObjectFault};
use crate::notify::{Notified, deliver};
use crate::objects::{self, outbox};
use crate::testing::memory::Memory;
use crate::testing::{Seen, TestHost, answer};
use crate::webhook::Message;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

fn config() -> Config {
    Config::read(|name| match name {
        "BACKEND_URL" => Some("https://backend".to_owned()),
        "WEBHOOK_SECRET" => Some(SECRET.to_owned()),
        _ => None,
    })
    .expect("settings")
}

/// A host with an outbox, and a backend that answers this to every event.
fn host(status: u16) -> TestHost {
    let host = TestHost::default();
    host.bind_objects(config());
    host.answers("/webhook", [Ok(answer(status, "{}"))]);
    host
}

fn message(number: usize) -> Message {
    Message {
        id: format!("msg_{number}"),
        body: json!({ "id": format!("msg_{number}") }).to_string(),
    }
}

fn add(host: &TestHost, number: usize) {
    host.run(outbox::add(host, &message(number)))
        .expect("added");
}

fn list(host: &TestHost, after: u64) -> Value {
    let list = host.run(outbox::list(host, after));
    serde_json::from_str(&list.expect("a list")).expect("JSON")
}

fn owned(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

fn redrive(host: &TestHost, ids: Option<&[&str]>) -> usize {
    let ids = ids.map(owned);
    let redriven = host.run(outbox::redrive(host, ids.as_deref()));
    redriven.expect("an answer")
}

fn discard(host: &TestHost, ids: &[&str]) -> usize {
    let discarded = host.run(outbox::discard(host, &owned(ids)));
    discarded.expect("an answer")
}

/// What the shard of this event keeps.
fn storage(host: &TestHost, number: usize) -> Rc<Memory> {
    let shard = shard_of(&message(number).id);
    host.storage::<Outbox>(&shard_name(shard))
}

fn tries(host: &TestHost) -> Vec<Seen> {
    host.calls_to("/webhook")
}

fn header<'a>(call: &'a Seen, name: &str) -> &'a str {
    let found = call.headers.iter().find(|(known, _)| *known == name);
    &found.expect(name).1
}

#[test]
fn an_event_that_the_backend_takes_at_once_touches_no_outbox() {
    let host = host(204);
    let config = host.config_of_objects();
    let notified = host.run(deliver(&host, &config, &message(1)));
    assert_eq!(notified, Notified::Ok);
    assert_eq!(*host.0.asked.borrow(), []);
}

#[test]
fn an_event_that_the_backend_does_not_take_is_in_the_outbox_before_the_reply() {
    let host = host(503);
    let config = host.config_of_objects();
    let notified = host.run(deliver(&host, &config, &message(1)));
    assert_eq!(notified, Notified::Pending);
    let held = list(&host, 0);
    assert_eq!((&held["pending"], &held["parked"]), (&json!(1), &json!(0)));
    let event = &held["events"][0];
    assert_eq!(event["id"], "msg_1");
    assert_eq!(event["state"], "pending");
    assert_eq!(event["attempts"], 1);
    assert_eq!(event["event"], json!({ "id": "msg_1" }));
    // The outbox alone tries again.
    host.run_deferred();
    assert_eq!(tries(&host).len(), 1);
}

#[test]
fn what_the_outbox_can_not_take_is_tried_after_the_reply_and_the_log_says_so() {
    let host = host(503);
    let config = host.config_of_objects();
    host.0.objects_are_down.set(true);
    let notified = host.run(deliver(&host, &config, &message(1)));
    assert_eq!(notified, Notified::Retrying);
    host.run_deferred();
    assert_eq!(tries(&host).len(), 4);
    let lines = host.0.lines.borrow();
    let events: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        *events,
        [
            json!({ "event": "outbox_failed", "webhookId": "msg_1" }),
            json!({ "event": "notification_given_up", "webhookId": "msg_1" }),
        ]
    );
}

#[test]
fn an_event_is_tried_for_three_days_with_growing_pauses_and_then_parked() {
    let host = host(500);
    add(&host, 1);
    host.run_alarms_until(4 * DAY_MS);
    let seen = tries(&host);
    let times: Vec<u64> = seen.iter().map(|call| call.at).collect();
    assert!((1_000..=2_000).contains(&times[0]), "{times:?}");
    for (index, pair) in times.windows(2).enumerate() {
        let whole = (2_000u64 << (index + 1).min(20)).min(60 * MINUTE_MS);
        let pause = pair[1] - pair[0];
        let is_last = pair[1] == 3 * DAY_MS;
        assert!(
            pause <= whole && (is_last || pause >= whole / 2),
            "{index}: {pause}"
        );
    }
    assert_eq!(times.last(), Some(&(3 * DAY_MS)), "it ends with a last try");
    // 12 doublings up to the hour, and then 72 hours of pauses between a half and a whole one.
    assert!((70..=160).contains(&times.len()), "{}", times.len());

    for call in &seen {
        assert_eq!(header(call, "webhook-id"), "msg_1");
        assert_eq!(call.body, message(1).body.as_bytes());
        assert_eq!(
            header(call, "webhook-timestamp"),
            (call.at / 1000).to_string()
        );
        let secret = config().webhook_secret.expect("a secret");
        let signature = secret.sign("msg_1", call.at / 1000, &call.body);
        assert_eq!(header(call, "webhook-signature"), signature);
    }

    let held = list(&host, 0);
    assert_eq!((&held["pending"], &held["parked"]), (&json!(0), &json!(1)));
    assert_eq!(held["events"][0]["state"], "parked");
    assert_eq!(held["events"][0]["attempts"], times.len() + 1);
    assert_eq!(held["events"][0]["nextTryAt"], Value::Null);
    assert_eq!(held["events"][0]["lastError"], "the backend answered 500");
    let line: Value = serde_json::from_str(&host.0.lines.borrow()[0]).expect("JSON");
    assert_eq!(line["event"], "notification_parked");
    assert_eq!(line["webhookId"], "msg_1");
    assert_eq!(storage(&host, 1).alarm.get(), None);
}

#[test]
fn a_parked_event_is_delivered_when_it_is_asked_for() {
    let host = host(500);
    add(&host, 1);
    add(&host, 2);
    host.run_alarms_until(4 * DAY_MS);
    host.answers("/webhook", [Ok(answer(200, "{}"))]);
    let before = tries(&host).len();

    assert_eq!(redrive(&host, Some(&["msg_2", "msg_2", "msg_3"])), 1);
    host.run_alarms_until(host.now() + 1);
    let held = list(&host, 0);
    assert_eq!((&held["pending"], &held["parked"]), (&json!(0), &json!(1)));
    assert_eq!(held["events"][0]["id"], "msg_1");

    assert_eq!(redrive(&host, None), 1);
    host.run_alarms_until(host.now() + 1);
    assert_eq!(tries(&host).len(), before + 2);
    assert_eq!(list(&host, 0)["events"], json!([]));
    assert_eq!(redrive(&host, None), 0);
}

#[test]
fn a_parked_event_that_is_asked_for_in_vain_has_three_days_again() {
    let host = host(500);
    add(&host, 1);
    host.run_alarms_until(4 * DAY_MS);
    let first_round = tries(&host).len();
    redrive(&host, None);
    host.run_alarms_until(6 * DAY_MS);
    assert_eq!(list(&host, 0)["pending"], 1);
    host.run_alarms_until(8 * DAY_MS);
    assert_eq!(list(&host, 0)["parked"], 1);
    assert!(tries(&host).len() > first_round + 70);
}

#[test]
fn an_event_that_is_acknowledged_is_gone_and_not_sent_again() {
    let host = host(200);
    host.answers(
        "/webhook",
        [
            Ok(answer(429, "{}")),
            Err(CallFault::Timeout),
            Err(CallFault::Network),
            Err(CallFault::AnswerTooLong { status: 201 }),
        ],
    );
    add(&host, 1);
    host.run_alarms_until(DAY_MS);
    assert_eq!(tries(&host).len(), 4);
    assert_eq!(list(&host, 0)["events"], json!([]));
    assert_eq!(storage(&host, 1).alarm.get(), None);
}

#[test]
fn an_event_that_is_added_twice_is_there_once() {
    let host = host(200);
    add(&host, 1);
    add(&host, 1);
    assert_eq!(list(&host, 0)["pending"], 1);
    host.run_alarms_until(MINUTE_MS);
    assert_eq!(tries(&host).len(), 1);
}

#[test]
fn a_shards_backlog_goes_five_at_a_time_and_each_event_once() {
    let host = host(200);
    let of_one_shard = (0..).filter(|number| shard_of(&message(*number).id) == 3);
    for number in of_one_shard.take(123) {
        add(&host, number);
    }
    host.calls_take(100);
    host.run_alarms_until(MINUTE_MS);
    assert_eq!(host.0.most_under_way.get(), 5);
    let seen = tries(&host);
    let ids: HashSet<&str> = seen.iter().map(|call| header(call, "webhook-id")).collect();
    assert_eq!((seen.len(), ids.len()), (123, 123));
    assert_eq!(list(&host, 0)["events"], json!([]));
}

#[test]
fn events_are_spread_over_sixteen_shards_and_each_lasts_until_it_is_delivered() {
    let host = host(404);
    for number in 0..400 {
        add(&host, number);
    }
    let shards: HashSet<u64> = (0..400)
        .map(|number| shard_of(&message(number).id))
        .collect();
    assert_eq!(shards, (0..SHARDS).collect());
    assert_eq!(list(&host, 0)["pending"], 400);
    host.run_alarms_until(MINUTE_MS);
    assert_eq!(list(&host, 0)["parked"], 400);
    host.answers("/webhook", [Ok(answer(200, "{}"))]);
    assert_eq!(redrive(&host, None), 400);
    host.run_alarms_until(host.now() + MINUTE_MS);
    let empty = json!({ "pending": 0, "parked": 0, "events": [], "next": null });
    assert_eq!(list(&host, 0), empty);
    // Of each event nothing but the counts is left.
    for number in 0..400 {
        let storage = storage(&host, number);
        assert_eq!(storage.entries().into_keys().collect::<Vec<_>>(), ["state"]);
        assert_eq!(storage.alarm.get(), None);
    }
}

#[test]
fn more_events_than_one_turn_takes_are_all_redriven() {
    let host = host(200);
    let of_one_shard = (0..).filter(|number| shard_of(&message(*number).id) == 0);
    for number in of_one_shard.take(1_200) {
        add(&host, number);
    }
    assert_eq!(redrive(&host, None), 1_200);
}

#[test]
fn an_event_that_the_backend_refuses_for_good_is_parked_at_once() {
    for (status, is_permanent) in [
        (302, false),
        (400, true),
        (401, true),
        (404, true),
        (408, false),
        (410, true),
        (413, true),
        (422, true),
        (425, false),
        (429, false),
        (499, true),
        (500, false),
        (503, false),
    ] {
        let host = host(status);
        add(&host, 1);
        host.run_alarms_until(2 * MINUTE_MS);
        let is_parked = list(&host, 0)["parked"] == 1;
        assert_eq!(is_parked, is_permanent, "{status}");
        assert_eq!(tries(&host).len() == 1, is_permanent, "{status}");
        let error = format!("the backend answered {status}");
        assert_eq!(list(&host, 0)["events"][0]["lastError"], error);
    }
}

#[test]
fn an_event_that_is_discarded_is_gone_and_no_other() {
    let host = host(500);
    for number in 0..40 {
        add(&host, number);
    }
    host.run_alarms_until(4 * DAY_MS);
    let before = tries(&host).len();
    let long = "m".repeat(4_000);
    let ids = ["msg_7", "msg_7", "msg_13", "msg_40", "", &long];
    assert_eq!(discard(&host, &ids), 2);
    assert_eq!(discard(&host, &ids), 0);
    let held = list(&host, 0);
    assert_eq!((&held["pending"], &held["parked"]), (&json!(0), &json!(38)));
    let events = held["events"].as_array().expect("events");
    let is_gone = |id: &str| events.iter().all(|event| event["id"] != id);
    assert!(is_gone("msg_7") && is_gone("msg_13") && !is_gone("msg_8"));
    assert_eq!(redrive(&host, Some(&["msg_7"])), 0);
    host.run_alarms_until(host.now() + DAY_MS);
    assert_eq!(tries(&host).len(), before);
    // It may come again.
    add(&host, 7);
    assert_eq!(list(&host, 0)["pending"], 1);
}

/// Does something in the middle of the only try of event 1.
fn during_a_try(host: &TestHost, something: impl Future) {
    add(host, 1);
    host.advance(2_000);
    host.calls_take(1_000);
    let (config, storage) = (host.config_of_objects(), storage(host, 1));
    storage.alarm.set(None);
    let wake = objects::wake::<Outbox>(host, Ok(&*config), &*storage);
    let meanwhile = async {
        host.sleep(500).await;
        assert_eq!(tries(host).len(), 1);
        something.await
    };
    let (woken, _) = host.run(join(wake, meanwhile));
    assert_eq!(woken, Ok(()));
}

#[test]
fn an_event_that_is_discarded_during_a_try_stays_gone() {
    let host = host(500);
    let ids = owned(&["msg_1"]);
    during_a_try(&host, outbox::discard(&host, &ids));
    assert_eq!(list(&host, 0)["events"], json!([]));
    assert_eq!(
        (
            list(&host, 0)["pending"].clone(),
            list(&host, 0)["parked"].clone()
        ),
        (json!(0), json!(0))
    );
}

#[test]
fn an_event_that_is_redriven_during_a_try_is_tried_again_at_once() {
    let host = host(200);
    // The first try, which fails for good, does not park it.
    host.answers("/webhook", [Ok(answer(404, "{}")), Ok(answer(200, "{}"))]);
    during_a_try(&host, outbox::redrive(&host, None));
    assert_eq!(tries(&host).len(), 2);
    assert_eq!(list(&host, 0)["events"], json!([]));
    assert_eq!(*host.0.lines.borrow(), Vec::<String>::new());
}

#[test]
fn an_event_that_is_added_during_a_try_is_not_slept_over() {
    let host = host(200);
    let of_the_shard = |number: &usize| shard_of(&message(*number).id) == shard_of("msg_1");
    let other = (2..1_000).find(of_the_shard).expect("a number");
    let other = message(other);
    during_a_try(&host, outbox::add(&host, &other));
    host.run_alarms_until(host.now() + 3_000);
    assert_eq!(tries(&host).len(), 2);
    assert_eq!(list(&host, 0)["events"], json!([]));
}

#[test]
fn a_shard_that_does_not_answer_fails_the_whole_list() {
    let host = host(200);
    add(&host, 1);
    host.0.objects_go_down_after.set(Some(7));
    assert_eq!(host.run(outbox::list(&host, 0)), Err(ObjectFault::NoAnswer));
}

#[test]
fn one_event_that_fails_holds_no_other_up() {
    let host = host(200);
    add(&host, 1);
    add(&host, 2);
    let failure = Ok(answer(500, "{}"));
    host.answers("/webhook", [failure, Ok(answer(200, "{}"))]);
    host.run_alarms_until(2_000);
    assert_eq!(list(&host, 0)["pending"], 1);
    host.run_alarms_until(MINUTE_MS);
    assert_eq!(tries(&host).len(), 3);
    assert_eq!(list(&host, 0)["pending"], 0);
}

#[test]
fn what_was_under_way_when_the_object_died_is_taken_up_again() {
    let host = host(200);
    add(&host, 1);
    host.advance(5_000);
    host.calls_take(9_000);
    let config = host.config_of_objects();
    let storage = storage(&host, 1);
    {
        let wake = objects::wake::<Outbox>(&host, Ok(&*config), &*storage);
        let context = &mut task::Context::from_waker(Waker::noop());
        let polled = pin!(wake).poll(context);
        assert!(polled.is_pending());
    }
    assert_eq!(tries(&host).len(), 1);
    // The runtime wakes an object again whose alarm did not end well.
    storage.alarm.set(Some(host.now()));
    host.run_alarms_until(host.now() + 14_000);
    assert_eq!(tries(&host).len(), 1, "it may still be under way");
    host.run_alarms_until(host.now() + 2_000);
    assert_eq!(tries(&host).len(), 2);
    host.run_alarms_until(host.now() + 10_000);
    assert_eq!(list(&host, 0)["events"], json!([]));
}

#[test]
fn the_list_comes_in_pages_oldest_first() {
    let host = host(200);
    for number in 0..250 {
        add(&host, number);
        host.advance(1);
    }
    let (mut after, mut ids) = (0, Vec::new());
    loop {
        let page = list(&host, after);
        assert_eq!(page["pending"], 250);
        let events = page["events"].as_array().expect("events").clone();
        assert!(events.len() <= 100);
        ids.extend(events.iter().map(|event| event["id"].clone()));
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    let expected: Vec<Value> = (0..250).map(|number| message(number).id.into()).collect();
    assert_eq!(ids, expected);
    assert_eq!(list(&host, u64::MAX)["events"], json!([]));
}

#[test]
fn without_an_outbox_there_is_nobody_to_ask() {
    let host = TestHost::default();
    let config = Rc::new(config());
    host.answers("/webhook", [Ok(answer(200, "{}"))]);
    assert_eq!(
        host.run(outbox::add(&host, &message(1))),
        Err(ObjectFault::NotBound)
    );
    let notified = host.run(deliver(&host, &config, &message(1)));
    assert_eq!(notified, Notified::Ok);
}
