//! Repeated uploads with an idempotency key, lane by lane.

use serde_json::Value;

use super::{
    Bench, Field, File, OTHER_BOT, Request, TOKEN, content, credentials, lanes, stored,
    telegram_error,
};
use crate::host::{CallFault, Host as _};
use crate::objects::user::UserRecord;
use crate::testing::{End, Moment, Script, answer};

/// The same, and the raw lane without a length.
fn lanes_and_chunked_raw(bytes: usize) -> Vec<(&'static str, Request)> {
    let mut all = Vec::from(lanes(bytes));
    all.push(("raw", Request::raw(content(bytes)).chunked()));
    all
}

#[test]
fn a_repeat_is_answered_like_the_first_one_in_every_lane_and_stores_nothing() {
    for (first_lane, first) in lanes_and_chunked_raw(9_000) {
        let bench = Bench::with_objects();
        bench.host.script(Script::answering(stored()));
        let first = bench.send(first.key("k"));
        assert_eq!(first.reply.status, 200, "{first_lane}: {}", first.json);
        assert_eq!(first.header("idempotency-replayed"), None);
        // Any lane will do: it is the file that has to be the same.
        for (lane, repeat) in lanes_and_chunked_raw(9_000) {
            let why = format!("{first_lane}, then {lane}");
            let told = bench.send(repeat.key("k"));
            assert_eq!(told.reply.status, 200, "{why}: {}", told.json);
            assert_eq!(told.reply.body, first.reply.body, "{why}");
            assert_eq!(told.header("idempotency-replayed"), Some("true"), "{why}");
            assert_ne!(told.header("x-request-id"), first.header("x-request-id"));
            let lines = bench.host.0.lines.borrow();
            let line: Value = serde_json::from_str(lines.last().expect("a line")).expect("JSON");
            assert_eq!(line["replayed"], true, "{why}");
        }
        assert_eq!(bench.uploads(), 1);
        assert_eq!(bench.host.calls_to("/webhook").len(), 1);
    }
}

#[test]
fn a_repeat_with_another_file_is_refused_in_every_lane() {
    let bench = Bench::with_objects();
    bench.host.script(Script::answering(stored()));
    let first = bench.send(Request::raw(content(9_000)).key("k"));
    assert_eq!(first.reply.status, 200);
    for (lane, repeat) in lanes_and_chunked_raw(9_001) {
        let told = bench.send(repeat.key("k"));
        assert_eq!(told.code(), (422, "idempotency_mismatch"), "{lane}");
        assert!(!told.retryable());
    }
    for parts in [
        [Field("fileName", "g.bin"), TOKEN, File(content(9_000))],
        [TOKEN, File(content(9_000)), Field("fileName", "g.bin")],
        [File(content(9_000)), TOKEN, Field("fileName", "g.bin")],
    ] {
        for request in [Request::form(&parts), Request::form(&parts).chunked()] {
            let told = bench.send(request.key("k"));
            assert_eq!(told.code(), (422, "idempotency_mismatch"));
        }
    }
    assert_eq!(bench.uploads(), 1);
}

#[test]
fn what_is_wrong_with_a_repeat_is_told_as_ever() {
    let bench = Bench::with_objects();
    bench.host.script(Script::answering(stored()));
    let parts = || [TOKEN, File(content(9_000))];
    assert_eq!(
        bench.send(Request::form(&parts()).key("k")).reply.status,
        200
    );
    let cut = Request::form(&parts()).chunked().cut(5_000, End::Gone);
    assert_eq!(
        bench.send(cut.key("k")).code(),
        (400, "client_disconnected")
    );
    let other_user = [TOKEN, File(content(9_000)), Field("userId", "v")];
    let other_user = Request::form(&other_user).chunked();
    assert_eq!(bench.send(other_user.key("k")).code(), (403, "wrong_user"));
    let large = [TOKEN, File(content(4_000_001))];
    let large = Request::form(&large).chunked();
    assert_eq!(bench.send(large.key("k")).code(), (413, "file_too_large"));
}

#[test]
fn without_a_key_no_durable_object_is_asked_and_another_key_is_another_upload() {
    for (lane, request) in lanes(9_000) {
        let bench = Bench::with_objects();
        bench.host.script(Script::answering(stored()));
        assert_eq!(bench.send(request).reply.status, 200, "{lane}");
        assert_eq!(*bench.host.0.asked.borrow(), [], "{lane}");
    }
    let bench = Bench::with_objects();
    for key in ["k", "l"] {
        bench.host.script(Script::answering(stored()));
        let told = bench.send(Request::raw(content(9_000)).key(key));
        assert_eq!(told.reply.status, 200);
        assert_eq!(told.header("idempotency-replayed"), None);
    }
    assert_eq!(bench.uploads(), 2);
}

#[test]
fn a_key_that_can_not_be_one_is_refused() {
    let bench = Bench::with_objects();
    for key in ["a b", "ä", &"k".repeat(256)] {
        let told = bench.send(Request::raw(content(9_000)).key(key));
        assert_eq!(told.code(), (400, "bad_idempotency_key"), "{key}");
    }
}

#[test]
fn a_failure_that_stored_nothing_frees_the_key_at_once() {
    for (index, (lane, _)) in lanes_and_chunked_raw(9_000).into_iter().enumerate() {
        let bench = Bench::with_objects();
        let request = || lanes_and_chunked_raw(9_000).swap_remove(index).1.key("k");
        for refusal in [
            telegram_error(400, "Bad Request: chat not found"),
            telegram_error(413, "Request Entity Too Large"),
            telegram_error(500, "Internal Server Error"),
        ] {
            bench.host.script(Script::answering(refusal));
            assert_ne!(bench.send(request()).reply.status, 200, "{lane}");
        }
        let gone = lanes_and_chunked_raw(9_000).swap_remove(index).1;
        if lane != "small" {
            bench.host.script(Script::answering(stored()));
        }
        let told = bench.send(gone.cut(5_000, End::Gone).key("k"));
        assert_eq!(told.reply.status, 400, "{lane}");
        bench.host.0.scripts_are_void();
        bench.host.script(Script::answering(stored()));
        let told = bench.send(request());
        assert_eq!(told.reply.status, 200, "{lane}: {}", told.json);
        assert_eq!(told.header("idempotency-replayed"), None, "{lane}");
    }
}

#[test]
fn an_outcome_that_nobody_knows_stays_unknown_and_nothing_is_sent_again() {
    for unknown in [Err(CallFault::Network), Ok(answer(502, "<html>"))] {
        for (index, (lane, _)) in lanes_and_chunked_raw(9_000).into_iter().enumerate() {
            let bench = Bench::with_objects();
            let request = || lanes_and_chunked_raw(9_000).swap_remove(index).1.key("k");
            let mut script = Script::answering(stored());
            script.answer = unknown.clone();
            bench.host.script(script);
            for _ in 0..3 {
                let told = bench.send(request());
                assert_eq!(told.json["code"], "outcome_unknown", "{lane}");
                assert!(!told.retryable());
            }
            assert_eq!(bench.uploads(), 1, "{lane}");
        }
    }
}

#[test]
fn credentials_that_are_replaced_on_the_way_do_not_disturb_the_key() {
    let bench = Bench::with_objects();
    bench.host.script(Script::answering(stored()));
    let small = || Request::form(&[File(content(9_000)), TOKEN]);
    assert_eq!(bench.send(small()).reply.status, 200);
    bench
        .host
        .answers("/credentials", [Ok(credentials(OTHER_BOT))]);
    bench
        .host
        .script(Script::answering(telegram_error(401, "Unauthorized")));
    bench.host.script(Script::answering(stored()));
    let first = bench.send(small().key("k"));
    assert_eq!(first.reply.status, 200, "{}", first.json);
    assert_eq!(bench.uploads(), 3);
    let told = bench.send(small().key("k"));
    assert_eq!(told.reply.body, first.reply.body);
    assert_eq!(bench.uploads(), 3);
}

#[test]
fn an_upload_that_dies_before_its_leave_frees_the_key_when_its_lease_is_over() {
    let bench = Bench::with_objects();
    bench.host.script(Script::answering(stored()));
    let slow = Request::raw(content(9_000)).chunked();
    let slow = slow.cut(5_000, End::Stalled).key("k");
    // It is renewed meanwhile: the lease of a minute is over at 160 s.
    let died = bench.send_while(slow, || bench.host.now() < 100_000);
    assert!(died.is_none());
    let told = bench.send(Request::raw(content(9_000)).key("k"));
    assert_eq!(told.code(), (409, "idempotency_in_progress"));
    assert!(told.retryable());
    assert_eq!(told.header("retry-after"), Some("5"));
    bench.host.advance(159_999 - bench.host.now());
    let told = bench.send(Request::raw(content(9_000)).key("k"));
    assert_eq!(told.code(), (409, "idempotency_in_progress"));
    assert_eq!(told.header("retry-after"), Some("1"));
    bench.host.advance(1);
    bench.host.script(Script::answering(stored()));
    let told = bench.send(Request::raw(content(9_000)).key("k"));
    assert_eq!(told.reply.status, 200, "{}", told.json);
}

#[test]
fn of_an_upload_that_dies_behind_its_leave_nobody_knows_what_became_in_every_lane() {
    for (index, (lane, _)) in lanes_and_chunked_raw(9_000).into_iter().enumerate() {
        let bench = Bench::with_objects();
        let request = || lanes_and_chunked_raw(9_000).swap_remove(index).1.key("k");
        let mut script = Script::answering(stored());
        script.moment = Moment::Never;
        bench.host.script(script);
        let died = bench.send_while(request(), || {
            !(bench.uploads() == 1 && bench.upload(0).closed.get())
        });
        assert!(died.is_none(), "{lane}");
        let told = bench.send(request());
        assert_eq!(told.code(), (409, "idempotency_in_progress"), "{lane}");
        bench.host.advance(60_000);
        let told = bench.send(request());
        assert_eq!(told.json["code"], "outcome_unknown", "{lane}");
        assert_eq!(bench.uploads(), 1, "{lane}");
    }
}

#[test]
fn an_upload_that_dies_before_it_tells_the_backend_is_told_by_its_record() {
    let bench = Bench::with_objects();
    bench.host.script(Script::answering(stored()));
    let request = || Request::raw(content(9_000)).key("k");
    // A backend that takes its time, and an isolate that does not live to see it.
    bench.host.calls_take(2_000);
    let died = bench.send_while(request(), || bench.host.calls_to("/webhook").is_empty());
    assert!(died.is_none());
    bench.host.calls_take(0);
    let told = bench.send(request());
    assert_eq!(told.code(), (409, "idempotency_in_progress"));
    bench.host.advance(60_000);
    let told = bench.send(request());
    assert_eq!(told.header("idempotency-replayed"), Some("true"));
    assert_eq!(told.json["messageId"], 7);
    assert_eq!(told.json["notified"], "pending");
    let cut_off = bench.host.calls_to("/webhook").remove(0);

    bench.host.run_alarms_until(bench.host.now() + 10_000);
    let calls = bench.host.calls_to("/webhook");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].body, cut_off.body);
    bench.host.run_alarms_until(bench.host.now() + 86_400_000);
    assert_eq!(bench.host.calls_to("/webhook").len(), 2);
}

#[test]
fn what_neither_backend_nor_outbox_took_is_delivered_by_the_record() {
    let bench = Bench::with_objects();
    bench.host.script(Script::answering(stored()));
    bench.host.answers("/webhook", [Ok(answer(503, "{}"))]);
    bench.host.0.outbox_is_down.set(true);
    let request = || Request::raw(content(9_000)).key("k");
    let first = bench.send(request());
    assert_eq!(first.json["notified"], "pending");
    assert_eq!(bench.send(request()).reply.body, first.reply.body);
    bench.host.run_deferred();
    bench.host.run_alarms_until(bench.host.now() + 300_000);
    let in_vain = bench.host.calls_to("/webhook").len();

    bench.host.answers("/webhook", [Ok(answer(200, "{}"))]);
    bench.host.run_alarms_until(bench.host.now() + 120_000);
    let calls = bench.host.calls_to("/webhook");
    assert_eq!(calls.len(), in_vain + 1);
    assert_eq!(calls.last().map(|call| &call.body), Some(&calls[0].body));
    assert_eq!(bench.send(request()).reply.body, first.reply.body);
    assert_eq!(bench.uploads(), 1);
}

#[test]
fn a_key_is_forgotten_a_day_later_and_nothing_is_left_of_it() {
    let bench = Bench::with_objects();
    bench.host.script(Script::answering(stored()));
    let request = || Request::raw(content(9_000)).key("k");
    assert_eq!(bench.send(request()).reply.status, 200);
    let name = bench.host.0.asked.borrow()[0].0.clone();
    bench.host.run_alarms_until(86_400_000);
    let storage = bench.host.storage::<UserRecord>(&name);
    assert!(storage.entries().is_empty());
    assert_eq!(storage.alarm.get(), None);
    bench.host.script(Script::answering(stored()));
    let told = bench.send(request());
    assert_eq!(told.header("idempotency-replayed"), None);
    assert_eq!(bench.uploads(), 2);
}

#[test]
fn without_the_record_nothing_is_stored() {
    for (lane, request) in lanes_and_chunked_raw(9_000) {
        let bench = Bench::new();
        let told = bench.send(request.key("k"));
        assert_eq!(told.code(), (501, "idempotency_unavailable"), "{lane}");
        assert!(!told.retryable());
        assert_eq!(bench.uploads(), 0);
    }
    for (lane, request) in lanes_and_chunked_raw(9_000) {
        let bench = Bench::with_objects();
        bench.host.0.objects_are_down.set(true);
        let told = bench.send(request.key("k"));
        assert_eq!(told.code(), (503, "idempotency_unavailable"), "{lane}");
        assert!(told.retryable());
        assert_eq!(bench.uploads(), 0);
    }
}

#[test]
fn without_leave_the_closing_boundary_is_not_written() {
    for (lane, request) in lanes_and_chunked_raw(9_000) {
        let bench = Bench::with_objects();
        bench.host.script(Script::answering(stored()));
        // It begins well, and then the record is out of reach.
        bench.host.0.objects_go_down_after.set(Some(1));
        let told = bench.send(request.key("k"));
        assert_eq!(told.code(), (503, "idempotency_unavailable"), "{lane}");
        bench.assert_nothing_stored();
        let line = bench.host.0.lines.borrow()[0].clone();
        assert!(line.contains("idempotency_not_recorded"), "{line}");
        // As soon as it can be reached, after the reply, the key is free.
        bench.host.0.objects_go_down_after.set(None);
        bench.host.run_deferred();
        bench.host.0.scripts_are_void();
        bench.host.script(Script::answering(stored()));
        let again = lanes_and_chunked_raw(9_000)
            .into_iter()
            .find(|(other, _)| *other == lane);
        let told = bench.send(again.expect("the lane").1.key("k"));
        assert_eq!(told.reply.status, 200, "{lane}: {}", told.json);
    }
}
