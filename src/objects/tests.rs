//! The shape of an object: what each host does for it, on a storage in memory.

use serde_json::{Value, json};

use super::{Context, DurableObject, Range, Storage, StorageFault, Transaction, ask, serve, wake};
use crate::config::{Config, ConfigError};
use crate::host::Host;
use crate::testing::TestHost;
use crate::testing::memory::Memory;

const MINUTE_MS: u64 = 60_000;

/// Counts what it is told to, and fails when it is told to.
struct Counter;

impl DurableObject for Counter {
    type Question = i64;
    type Answer = i64;
    const BINDING: &'static str = "COUNTER";

    async fn answer<H: Host, T: Transaction>(
        _: &Context<'_, H>,
        tx: &mut T,
        more: i64,
    ) -> Result<i64, StorageFault> {
        let count = tx.read("count").await?.unwrap_or(0) + more;
        tx.write("count", &count).await?;
        tx.set_alarm(7).await?;
        if count < 0 {
            return Err(StorageFault);
        }
        Ok(count)
    }

    async fn wake<H: Host, S: Storage>(
        _: &Context<'_, H>,
        storage: &S,
        host: &H,
    ) -> Result<(), StorageFault> {
        let count = storage.turn(async |tx| tx.read::<i64>("count").await);
        let count = count.await?;
        host.log(&format!("{count:?}"));
        count.map(drop).ok_or(StorageFault)
    }
}

fn config() -> Config {
    let variable = |name| (name == "BACKEND_URL").then(|| "https://backend".to_owned());
    Config::read(variable).expect("settings")
}

fn wrong_settings() -> ConfigError {
    Config::read(|_| None).expect_err("no settings")
}

fn serve_counter(host: &TestHost, storage: &Memory, question: &str) -> (u16, Value) {
    let config = config();
    let reply = host.run(serve::<Counter>(host, Ok(&config), storage, question));
    let body = serde_json::from_str(&reply.body).expect("JSON");
    (reply.status, body)
}

#[test]
fn a_turn_that_fails_leaves_nothing_written() {
    let (host, storage) = (TestHost::default(), Memory::default());
    assert_eq!(serve_counter(&host, &storage, "2"), (200, json!(2)));
    storage.alarm.set(None);
    let before = storage.entries();
    let failed = (500, json!({ "error": "the storage failed" }));
    assert_eq!(serve_counter(&host, &storage, "-3"), failed);
    assert_eq!((storage.entries(), storage.alarm.get()), (before, None));
    for operations in 0..3 {
        storage.fails_after.set(Some(operations));
        assert_eq!(serve_counter(&host, &storage, "1"), failed);
    }
    storage.fails_after.set(None);
    assert_eq!(serve_counter(&host, &storage, "1"), (200, json!(3)));
    assert_eq!(storage.alarm.get(), Some(7));
}

#[test]
fn a_question_that_can_not_be_read_is_told_apart_from_a_storage_that_fails() {
    let (host, storage) = (TestHost::default(), Memory::default());
    for question in ["", "{}", "\"1\"", "1 1", "null"] {
        let unreadable = json!({ "error": "the question can't be read" });
        let told = serve_counter(&host, &storage, question);
        assert_eq!(told, (400, unreadable), "{question}");
    }
    let reply = host.run(serve::<Counter>(
        &host,
        Err(wrong_settings()),
        &storage,
        "1",
    ));
    assert_eq!(reply.status, 500);
    assert_eq!(reply.body, r#"{"error":"BACKEND_URL is not set"}"#);
    assert!(storage.entries().is_empty());
}

#[test]
fn without_a_binding_there_is_nobody_to_ask() {
    let asked = async { ask::<Counter>(&TestHost::default(), "c", &1, 1_000).await };
    let told = TestHost::default().run(asked);
    assert_eq!(told, Err(crate::host::ObjectFault::NotBound));
}

#[test]
fn a_turn_reads_what_it_wrote_and_lists_keys_in_order() {
    let storage = Memory::default();
    let turn = storage.turn(async |tx| {
        for key in ["b/1", "a/2", "a/10", "a/1", "c"] {
            tx.put(key, key).await?;
        }
        tx.delete("a/2").await?;
        tx.delete("nobody").await?;
        let first = tx.list(Range::first("a/", 1)).await?;
        let rest = Range {
            prefix: "a/",
            after: Some("a/1"),
            limit: 9,
        };
        Ok((first, tx.list(rest).await?, tx.get("a/2").await?))
    });
    let (first, rest, gone) = TestHost::default().run(turn).expect("a turn");
    let pair = |key: &str| (key.to_owned(), key.to_owned());
    assert_eq!(
        (first, rest, gone),
        (vec![pair("a/1")], vec![pair("a/10")], None)
    );
}

/// Wakes the counter, and returns when it wants to be woken again.
fn wake_counter(host: &TestHost, storage: &Memory, config: Result<&Config, ConfigError>) -> u64 {
    storage.alarm.set(None);
    host.run(wake::<Counter>(host, config, storage))
        .expect("it ends well");
    storage.alarm.get().expect("an alarm") - host.now()
}

#[test]
fn an_alarm_that_fails_is_set_again_with_growing_pauses_and_the_log_says_so() {
    let (host, storage) = (TestHost::default(), Memory::default());
    let config = config();
    for (failures, minutes) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
        // Nothing was counted yet: that fails, as wrong settings do.
        let config = if failures % 2 == 0 {
            Ok(&config)
        } else {
            Err(wrong_settings())
        };
        let pause_ms = wake_counter(&host, &storage, config);
        assert_eq!(pause_ms, minutes * MINUTE_MS, "{failures}");
        host.advance(pause_ms);
    }
    let lines = host.0.lines.borrow();
    let line: Value = serde_json::from_str(&lines[1]).expect("JSON");
    let expected = json!({
        "event": "alarm_failed",
        "object": "COUNTER",
        "failures": 1,
        "retryAfter": 60,
        "why": "the storage failed",
    });
    assert_eq!(line, expected);
    assert!(lines[2].contains("BACKEND_URL is not set"), "{}", lines[2]);
    drop(lines);
    // After a while without a failure, a new row of them begins.
    host.advance(3 * 60 * MINUTE_MS);
    assert_eq!(wake_counter(&host, &storage, Ok(&config)), MINUTE_MS);
}

#[test]
fn an_alarm_that_goes_well_sets_none_by_itself() {
    let (host, storage) = (TestHost::default(), Memory::default());
    serve_counter(&host, &storage, "2");
    storage.alarm.set(None);
    let config = config();
    let woken = host.run(wake::<Counter>(&host, Ok(&config), &storage));
    assert_eq!((woken, storage.alarm.get()), (Ok(()), None));
    assert_eq!(*host.0.lines.borrow(), ["Some(2)"]);
}

#[test]
fn an_alarm_fails_only_when_not_even_the_next_one_can_be_set() {
    let (host, storage) = (TestHost::default(), Memory::default());
    storage.fails_after.set(Some(0));
    let config = config();
    let woken = host.run(wake::<Counter>(&host, Ok(&config), &storage));
    assert_eq!(woken, Err(StorageFault));
}
