//! The storage of Durable Objects, in workerd itself.

use bytes::Bytes;
use serde_json::json;
use testkit::{
    harness::{Harness, Settings},
    http::Request,
    workerd::{Module, Workerd},
};

fn module(name: &'static str, source: &'static str) -> Module {
    Module {
        name,
        bytes: Bytes::from(source),
    }
}

/// An object that is written with the functions that the worker's own are.
const OUTBOX_OF_THE_TEST: &str = r#"
import * as objects from "./objects.js";
export class Outbox {
  constructor(state) {
    this.state = state;
  }
  async fetch() {
    const { state } = this;
    const keys = () => JSON.parse(objects.list(state, "", undefined, 9));
    const answer = {};
    answer.kept = objects.transaction(state, () => {
      for (const key of ["b/1", "a/2", "a/10", "a/1"]) objects.put(state, key, key);
      objects.remove(state, "a/2");
      answer.within = [objects.get(state, "a/2") ?? null, objects.get(state, "a/1")];
      objects.setAlarm(state, Date.now() + 3_600_000);
      return true;
    });
    const alarm = await state.storage.getAlarm();
    answer.refused = objects.transaction(state, () => {
      objects.put(state, "a/1", "other");
      objects.put(state, "c", "new");
      objects.remove(state, "a/10");
      objects.setAlarm(state, 7);
      return false;
    });
    try {
      objects.transaction(state, () => {
        objects.put(state, "a/1", "other");
        objects.put(state, "large", "x".repeat(3_000_000));
        return true;
      });
    } catch {
      answer.thrown = true;
    }
    answer.keys = keys();
    answer.pages = [JSON.parse(objects.list(state, "a/", undefined, 1)), JSON.parse(objects.list(state, "a/", "a/1", 2 ** 31 - 1))];
    answer.alarmStays = (await state.storage.getAlarm()) === alarm;
    await objects.clear(state);
    answer.cleared = [keys(), await state.storage.getAlarm()];
    return Response.json(answer);
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
async fn a_turn_that_fails_leaves_nothing_written() {
    let modules = vec![
        module("index.js", OUTBOX_OF_THE_TEST),
        module("objects.js", include_str!("../../src/edge/objects.js")),
    ];
    let workerd = Workerd::new(modules).expect("workerd");
    let harness = Harness::start(Settings::default().host(workerd)).await;
    let reply = harness.send(&Request::new("POST", "/")).await;
    let expected = json!({
        "kept": true,
        "within": [null, "a/1"],
        "refused": false,
        "thrown": true,
        "keys": [["a/1", "a/1"], ["a/10", "a/10"], ["b/1", "b/1"]],
        "pages": [[["a/1", "a/1"]], [["a/10", "a/10"]]],
        "alarmStays": true,
        "cleared": [[], null],
    });
    assert_eq!(reply.json(), expected, "{}", reply.text());
    harness.finish().await;
}

/// Leaves an alarm to the worker that comes after it.
const ALARM_OF_THE_TEST: &str = r#"
export class Outbox {
  constructor(state) {
    this.state = state;
  }
  async fetch() {
    await this.state.storage.setAlarm(Date.now() + 3_000);
    return new Response();
  }
  alarm() {
    throw new Error("too early");
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
async fn an_alarm_under_wrong_settings_ends_well_and_is_tried_again_later() {
    let workerd = Workerd::new(vec![module("index.js", ALARM_OF_THE_TEST)]).expect("workerd");
    let settings = Settings::default().unset("BACKEND_URL").host(workerd);
    let mut harness = Harness::start(settings).await;
    let reply = harness.send(&Request::new("POST", "/")).await;
    assert_eq!(reply.status, 200);
    let worker = Workerd::with_built_worker().expect("the built worker");
    harness.restart_worker_in(worker).await;
    let line = harness
        .eventually("an alarm", || async {
            let log = harness.log();
            let line = log.lines().find(|line| line.contains("alarm_failed"));
            line.map(ToOwned::to_owned)
        })
        .await;
    let json = &line[line.find('{').expect("JSON")..];
    let line: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let expected = json!({
        "event": "alarm_failed",
        "object": "OUTBOX",
        "failures": 1,
        "retryAfter": 60,
        "why": "BACKEND_URL is not set",
    });
    assert_eq!(line, expected);
    harness.finish().await;
}
