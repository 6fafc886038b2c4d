//! The outbox: what the backend does not take is kept, through the worker's death, until it does.

use bytes::Bytes;
use serde_json::{Value, json};
use testkit::{
    harness::{Harness, assert_error, assert_notification},
    http::{Reply, Request},
    upload::{File, LANES, Shape},
    workerd::{Module, Workerd},
};

use crate::hook::{SECRET, hook, signed, unix_now};

const OTHER_SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

async fn ask(harness: &Harness, question: Value) -> Value {
    let reply = harness
        .send(&hook(
            "/hooks/outbox",
            SECRET,
            unix_now(),
            &question.to_string(),
        ))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

async fn list(harness: &Harness) -> Value {
    ask(harness, json!({ "action": "list" })).await
}

async fn upload_pending(harness: &Harness, shape: Shape, file: &File) -> Value {
    let reply = harness
        .send(&shape.request(&harness.demo.auth_token, file))
        .await;
    let (told, _) = harness.assert_in_channel(&harness.demo, file, &reply).await;
    assert_eq!(told["notified"], "pending");
    told
}

/// Waits until the outbox is empty, and so many events came through, each once.
async fn assert_delivered(harness: &Harness, uploads: &[Value]) {
    harness
        .eventually("an empty outbox", || async {
            (list(harness).await["events"] == json!([])).then_some(())
        })
        .await;
    assert_eq!(harness.notifications().await.len(), uploads.len());
    for told in uploads {
        let notification = harness.notification_of(told).await;
        assert_notification(&notification, &harness.demo, told);
        let signature = notification["headers"]["webhook-signature"].as_str();
        assert!(signature.is_some_and(|value| value.starts_with("v1,")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_backend_does_not_take_outlives_the_worker_and_arrives_once() {
    let mut harness = Harness::start(signed()).await;
    harness.keep_secret(SECRET);
    harness
        .faults(json!([{ "on": "notify", "times": -1, "drop": "before" }]))
        .await;
    let mut uploads = Vec::new();
    for (_, shape, _, size) in LANES {
        uploads.push(upload_pending(&harness, shape, &File::of_size(size)).await);
    }
    harness.restart_worker().await;
    let held = list(&harness).await;
    assert_eq!(held["pending"], uploads.len());
    assert_eq!(held["parked"], 0);
    for (event, told) in held["events"]
        .as_array()
        .expect("events")
        .iter()
        .zip(&uploads)
    {
        assert_eq!(event["event"]["fileId"], told["fileId"]);
        assert_eq!(event["event"]["id"], event["id"]);
        assert_eq!(event["state"], "pending");
    }
    assert_eq!(harness.notifications().await, Vec::<Value>::new());

    harness.faults(json!([])).await;
    assert_delivered(&harness, &uploads).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_and_not_acknowledged_is_sent_again_with_the_same_id() {
    let harness = Harness::start(signed()).await;
    harness
        .faults(json!([{ "on": "notify", "times": 2, "drop": "after" }]))
        .await;
    let told = upload_pending(&harness, Shape::TokenFirst, &File::of_size(1_000)).await;
    // The receiver drops what it has seen.
    assert_delivered(&harness, &[told]).await;
    assert_eq!(harness.count("notifications").await, 3);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_time_is_over_is_parked_and_delivered_when_it_is_asked_for() {
    let harness = Harness::start(signed().set("OUTBOX_RETRY_SECONDS", "1")).await;
    harness
        .faults(json!([{ "on": "notify", "times": -1, "status": 500 }]))
        .await;
    let told = upload_pending(&harness, Shape::RawPut, &File::of_size(1_000)).await;
    let held = harness
        .eventually("a parked event", || async {
            let held = list(&harness).await;
            (held["parked"] == 1).then_some(held)
        })
        .await;
    assert_eq!(held["pending"], 0);
    let event = &held["events"][0];
    assert_eq!(event["state"], "parked");
    assert_eq!(event["nextTryAt"], Value::Null);
    assert_eq!(event["lastError"], "the backend answered 500");
    assert_eq!(event["attempts"], harness.count("notifications").await);
    assert_eq!(event["event"]["fileId"], told["fileId"]);
    let line = harness
        .eventually("a line in the log", || async {
            let log = harness.log();
            let line = log
                .lines()
                .find(|line| line.contains("notification_parked"));
            line.map(ToOwned::to_owned)
        })
        .await;
    assert!(
        line.contains(event["id"].as_str().expect("an id")),
        "{line}"
    );

    harness.faults(json!([])).await;
    let nobody = json!({ "action": "redrive", "ids": ["msg_of_nobody"] });
    assert_eq!(ask(&harness, nobody).await["redriven"], 0);
    assert_eq!(list(&harness).await["parked"], 1);
    let this = json!({ "action": "redrive", "ids": [event["id"]] });
    assert_eq!(ask(&harness, this).await["redriven"], 1);
    assert_delivered(&harness, &[told]).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_the_backend_acknowledges_touches_no_durable_object() {
    let harness = Harness::start(signed()).await;
    for (_, shape, _, size) in LANES {
        let file = File::of_size(size);
        let reply = harness
            .send(&shape.request(&harness.demo.auth_token, &file))
            .await;
        harness.assert_stored(&harness.demo, &file, &reply).await;
    }
    assert_eq!(harness.files_of_objects(), Vec::<String>::new());
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_outbox_the_worker_tries_behind_the_reply_and_says_so() {
    let harness = Harness::start(signed().without_objects()).await;
    harness
        .faults(json!([{ "on": "notify", "times": 2, "status": 503 }]))
        .await;
    let told = upload_pending(&harness, Shape::FileFirst, &File::of_size(1_000)).await;
    harness
        .eventually("a later try", || async {
            (!harness.notifications().await.is_empty()).then_some(())
        })
        .await;
    assert_notification(&harness.notification_of(&told).await, &harness.demo, &told);
    assert!(harness.log().contains("outbox_not_bound"));
    let reply = harness
        .send(&hook(
            "/hooks/outbox",
            SECRET,
            unix_now(),
            r#"{"action":"list"}"#,
        ))
        .await;
    assert_error(&reply, 501, "outbox_not_bound");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_is_not_signed_by_the_backend_is_refused() {
    let harness = Harness::start(signed()).await;
    harness
        .faults(json!([{ "on": "notify", "times": -1, "status": 500 }]))
        .await;
    upload_pending(&harness, Shape::RawPut, &File::of_size(1_000)).await;
    let body = r#"{"action":"redrive"}"#;
    let now = unix_now();
    let unsigned = Request::new("POST", "/hooks/outbox").body(vec![Bytes::from(body)]);
    let with_a_token = unsigned.clone().bearer(&harness.demo.auth_token);
    let other_body = hook("/hooks/outbox", SECRET, now, "{}").body(vec![Bytes::from(body)]);
    for (why, request) in [
        ("unsigned", unsigned),
        ("a user", with_a_token),
        (
            "another secret",
            hook("/hooks/outbox", OTHER_SECRET, now, body),
        ),
        ("another body", other_body),
        ("old", hook("/hooks/outbox", SECRET, now - 310, body)),
        (
            "from the future",
            hook("/hooks/outbox", SECRET, now + 310, body),
        ),
    ] {
        let reply = harness.send(&request).await;
        assert_eq!(reply.status, 403, "{why}: {}", reply.text());
        assert_error(&reply, 403, "signature_refused");
    }
    for body in [
        "",
        "{}",
        "[]",
        r#"{"action":"drop"}"#,
        r#"{"action":"add"}"#,
        r#"{"action":"discard"}"#,
    ] {
        assert_error(
            &harness
                .send(&hook("/hooks/outbox", SECRET, now, body))
                .await,
            400,
            "bad_hook",
        );
    }
    let long = format!("{body}{}", " ".repeat(64 * 1024));
    assert_error(
        &harness
            .send(&hook("/hooks/outbox", SECRET, now, &long))
            .await,
        400,
        "bad_hook",
    );
    let get: Reply = harness.send(&Request::new("GET", "/hooks/outbox")).await;
    assert_error(&get, 405, "method_not_allowed");
    assert_eq!(get.header("allow"), Some("POST, OPTIONS"));
    assert_eq!(list(&harness).await["pending"], 1);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_secret_there_are_no_hooks_and_the_reply_names_the_setting() {
    let harness = Harness::usual().await;
    let reply = harness
        .send(&hook(
            "/hooks/outbox",
            SECRET,
            unix_now(),
            r#"{"action":"list"}"#,
        ))
        .await;
    let told = assert_error(&reply, 404, "hooks_off");
    let error = told["error"].as_str().expect("a text");
    assert!(error.contains("WEBHOOK_SECRET"), "{error}");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_the_backend_refuses_for_good_is_parked_until_it_is_redriven_or_discarded() {
    let harness = Harness::start(signed()).await;
    harness
        .faults(json!([{ "on": "notify", "times": -1, "status": 422 }]))
        .await;
    let mut uploads = Vec::new();
    for _ in 0..3 {
        uploads.push(upload_pending(&harness, Shape::RawPut, &File::of_size(1_000)).await);
    }
    let held = harness
        .eventually("parked events", || async {
            let held = list(&harness).await;
            (held["parked"] == 3).then_some(held)
        })
        .await;
    // Each was tried before its reply, and once by the outbox.
    assert_eq!(harness.count("notifications").await, 6);
    let ids: Vec<&Value> = held["events"]
        .as_array()
        .expect("events")
        .iter()
        .zip(&uploads)
        .map(|(event, told)| {
            assert_eq!(event["event"]["fileId"], told["fileId"], "oldest first");
            assert_eq!(event["lastError"], "the backend answered 422");
            &event["id"]
        })
        .collect();

    let these = json!({ "action": "discard", "ids": [ids[0], ids[2], "msg_of_nobody"] });
    assert_eq!(
        ask(&harness, these.clone()).await,
        json!({ "discarded": 2 })
    );
    assert_eq!(ask(&harness, these).await, json!({ "discarded": 0 }));
    let left = list(&harness).await;
    assert_eq!((&left["pending"], &left["parked"]), (&json!(0), &json!(1)));
    assert_eq!(left["events"][0]["id"], *ids[1]);
    let all = hook(
        "/hooks/outbox",
        SECRET,
        unix_now(),
        r#"{"action":"discard"}"#,
    );
    assert_error(&harness.send(&all).await, 400, "bad_hook");

    harness.faults(json!([])).await;
    let redrive = json!({ "action": "redrive" });
    assert_eq!(ask(&harness, redrive).await, json!({ "redriven": 1 }));
    assert_delivered(&harness, &uploads[1..2]).await;
    harness.finish().await;
}

/// The outbox of the first version, with the events that it is sent.
const FIRST_VERSION: &str = r#"
export class Outbox {
  constructor(state) {
    this.sql = state.storage.sql;
  }
  async fetch(request) {
    this.sql.exec(`CREATE TABLE events (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, body TEXT NOT NULL, queued_at INTEGER NOT NULL,
      retry_until INTEGER NOT NULL, attempts INTEGER NOT NULL, due_at INTEGER, last_error TEXT)`);
    const insert = "INSERT INTO events (id, body, queued_at, retry_until, attempts, due_at, last_error) VALUES (?, ?, ?, ?, ?, ?, ?)";
    for (const row of await request.json()) this.sql.exec(insert, ...row);
    return new Response();
  }
}
export class UserRecord {}
export class Revocations {}
export class UploadRecord {}
export class UserUploads {}
export default {
  fetch(request, env) {
    if (request.method === "GET") return new Response();
    return env.OUTBOX.get(env.OUTBOX.idFromName("outbox")).fetch(request);
  },
};
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_the_first_version_left_are_taken_over() {
    let mut harness = Harness::start(signed()).await;
    harness
        .faults(json!([{ "on": "notify", "times": -1, "status": 503 }]))
        .await;
    let first_version = Module {
        name: "index.js",
        bytes: Bytes::from(FIRST_VERSION),
    };
    let first_version = Workerd::new(vec![first_version]).expect("workerd");
    harness.restart_worker_in(first_version).await;
    let now = unix_now() * 1000;
    let later = now + 3_600_000;
    let rows: Vec<Value> = (0..3)
        .map(|number| {
            let event = json!({
                "id": format!("msg_{number}"),
                "userId": harness.demo.user_id,
                "fileName": "a.bin",
                "messageId": number + 1,
                "fileId": format!("file-{number}"),
                "size": 7,
                "mimeType": "text/plain",
                "uploadedAt": "2026-11-24T12:00:00.000Z",
            });
            let due_at = (number != 1).then_some(later);
            let error = (number == 1).then_some("the backend answered 500");
            json!([
                event["id"],
                event.to_string(),
                now + number,
                later,
                number + 1,
                due_at,
                error
            ])
        })
        .collect();
    let fill = Request::new("POST", "/").body(vec![Bytes::from(json!(rows).to_string())]);
    assert_eq!(harness.send(&fill).await.status, 200);

    let worker = Workerd::with_built_worker().expect("the built worker");
    harness.restart_worker_in(worker).await;
    let added = upload_pending(&harness, Shape::RawPut, &File::of_size(1_000)).await;
    let held = list(&harness).await;
    assert_eq!((&held["pending"], &held["parked"]), (&json!(3), &json!(1)));
    let events = held["events"].as_array().expect("events");
    for (number, event) in events.iter().enumerate().take(3) {
        assert_eq!(event["id"], format!("msg_{number}"));
        assert_eq!(event["event"]["fileId"], format!("file-{number}"));
        assert_eq!(event["attempts"], number + 1);
        let is_parked = number == 1;
        assert_eq!(event["state"] == "parked", is_parked);
        assert_eq!(event["nextTryAt"].is_null(), is_parked);
        assert_eq!(event["lastError"].is_string(), is_parked);
    }
    assert_eq!(events[3]["event"]["fileId"], added["fileId"]);

    // Once, and not again after the next start.
    let this = json!({ "action": "discard", "ids": ["msg_2"] });
    assert_eq!(ask(&harness, this).await, json!({ "discarded": 1 }));
    harness.restart_worker().await;
    harness.faults(json!([])).await;
    assert_eq!(
        ask(&harness, json!({ "action": "redrive" })).await["redriven"],
        3
    );
    harness
        .eventually("an empty outbox", || async {
            (list(&harness).await["events"] == json!([])).then_some(())
        })
        .await;
    assert_eq!(harness.notifications().await.len(), 3);
    harness.finish().await;
}

/// The record of an idempotency key, in the first version: an object with this message.
const FIRST_RECORD: &str = r#"
export class Outbox {}
export class Revocations {}
export class UploadRecord {}
export class UserUploads {}
export class UserRecord {
  constructor(state) {
    this.storage = state.storage;
  }
  async fetch(request) {
    this.storage.sql.exec("CREATE TABLE record (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), json TEXT NOT NULL)");
    this.storage.sql.exec("INSERT INTO record VALUES (1, ?)", await request.text());
    await this.storage.setAlarm(Date.now() + 3_000);
    return new Response();
  }
  alarm() {
    throw new Error("too early");
  }
}
export default {
  fetch(request, env) {
    if (request.method === "GET") return new Response();
    return env.USER_RECORDS.get(env.USER_RECORDS.idFromName("key")).fetch(request);
  },
};
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_a_record_of_the_first_version_left_is_delivered() {
    let record = Module {
        name: "index.js",
        bytes: Bytes::from(FIRST_RECORD),
    };
    let record = Workerd::new(vec![record]).expect("workerd");
    let mut harness = Harness::start(signed().host(record)).await;
    let event = json!({
        "id": "msg_1",
        "userId": harness.demo.user_id,
        "fileName": "a.bin",
        "messageId": 1,
        "fileId": "file-1",
        "size": 7,
        "mimeType": "text/plain",
        "uploadedAt": "2026-11-24T12:00:00.000Z",
    });
    let now = unix_now() * 1000;
    let record = json!({
        "attempt": "a",
        "phase": { "Done": {
            "file": { "name": "a.bin", "size": 7 },
            "reply": "{}",
            "untold": {
                "message": { "id": "msg_1", "body": event.to_string() },
                "until": now,
                "hand_over_at": now,
            },
        } },
        "kept_until": now + 86_400_000,
    });
    let fill = Request::new("POST", "/").body(vec![Bytes::from(record.to_string())]);
    assert_eq!(harness.send(&fill).await.status, 200);
    let worker = Workerd::with_built_worker().expect("the built worker");
    harness.restart_worker_in(worker).await;
    let notifications = harness
        .eventually("the notification", || async {
            let all = harness.notifications().await;
            (!all.is_empty()).then_some(all)
        })
        .await;
    assert_eq!(notifications.len(), 1);
    assert_eq!(notifications[0]["headers"]["webhook-id"], "msg_1");
    assert_eq!(notifications[0]["body"]["fileId"], "file-1");
    harness.finish().await;
}
