//! What Telegram answers, and what is told of it.

use serde_json::{Value, json};
use testkit::{
    harness::{Harness, Settings, assert_error},
    http::Framing,
    stub::closed_port,
    upload::{File, LANES, Shape},
};

const FAILED: &str = "Telegram upload failed";
const UNKNOWN: &str =
    "The file may have been stored: look into the channel before you upload it again";
const HTML: &str = "<html><body>nginx</body></html>";

/// What Telegram answers, and what becomes of it.
struct Row {
    fault: Value,
    status: u16,
    code: &'static str,
    error: &'static str,
    retryable: bool,
    retry_after: Option<u64>,
}

fn row(fault: Value, status: u16, code: &'static str, error: &'static str, retryable: bool) -> Row {
    Row {
        fault,
        status,
        code,
        error,
        retryable,
        retry_after: None,
    }
}

/// The Bot API's own form of an error.
fn error(code: u16, description: &str) -> Value {
    let body = json!({ "ok": false, "error_code": code, "description": description });
    json!({ "status": code, "body": body.to_string() })
}

fn page(status: u16) -> Value {
    json!({ "status": status, "body": HTML })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_telegram_says_is_told_truly_in_every_lane() {
    let harness = Harness::usual().await;
    let chat_refused = |description: &'static str, code| {
        row(
            error(code, description),
            502,
            "chat_refused",
            description,
            false,
        )
    };
    let after = |fault: Value, error, seconds| Row {
        retry_after: Some(seconds),
        ..row(fault, 429, "rate_limited", error, true)
    };
    let mut limited = error(429, "Too Many Requests: retry after 7");
    limited["body"] = json!(
        json!({
            "ok": false, "error_code": 429, "description": "Too Many Requests: retry after 7",
            "parameters": { "retry_after": 7 },
        })
        .to_string()
    );
    let rows = [
        chat_refused("Bad Request: chat not found", 400),
        chat_refused(
            "Bad Request: need administrator rights in the channel chat",
            400,
        ),
        chat_refused("Bad Request: have no write access to the chat", 400),
        chat_refused("Forbidden: bot is not a member of the channel chat", 403),
        chat_refused("Forbidden: bot was kicked from the channel chat", 403),
        row(
            error(401, "Unauthorized"),
            502,
            "bot_token_rejected",
            "Unauthorized",
            false,
        ),
        row(
            error(404, "Not Found"),
            502,
            "bot_token_rejected",
            "Not Found",
            false,
        ),
        row(
            error(421, "Misdirected Request"),
            502,
            "bot_token_rejected",
            "Misdirected Request",
            false,
        ),
        row(
            error(400, "Bad Request: wrong file"),
            400,
            "telegram_rejected",
            "Bad Request: wrong file",
            false,
        ),
        row(
            error(413, "Request Entity Too Large"),
            413,
            "telegram_too_large",
            "Request Entity Too Large",
            false,
        ),
        row(
            page(413),
            413,
            "telegram_too_large",
            "Request Entity Too Large",
            false,
        ),
        after(limited, "Too Many Requests: retry after 7", 7),
        after(
            json!({ "status": 429, "body": HTML, "headers": { "retry-after": "11" } }),
            "Too Many Requests",
            11,
        ),
        after(page(429), "Too Many Requests", 5),
        row(
            error(500, "Internal Server Error: restart"),
            502,
            "telegram_failed",
            "Internal Server Error: restart",
            true,
        ),
        row(page(500), 502, "telegram_failed", FAILED, true),
        row(page(503), 502, "telegram_failed", FAILED, true),
        // Gateways that passed the request on and got no usable answer: the file may be stored.
        row(page(502), 502, "outcome_unknown", UNKNOWN, false),
        row(
            json!({ "status": 500, "body": "" }),
            502,
            "outcome_unknown",
            UNKNOWN,
            false,
        ),
        row(page(504), 504, "outcome_unknown", UNKNOWN, false),
        row(page(520), 502, "outcome_unknown", UNKNOWN, false),
        row(page(524), 504, "outcome_unknown", UNKNOWN, false),
        // It says that it went well, and not what.
        row(page(200), 502, "outcome_unknown", UNKNOWN, false),
        row(
            json!({ "body": "" }),
            502,
            "outcome_unknown",
            UNKNOWN,
            false,
        ),
        row(
            json!({ "body": "{}" }),
            502,
            "outcome_unknown",
            UNKNOWN,
            false,
        ),
        row(
            json!({ "body": "{\"ok\":true,\"result\":{\"message_id\":5,\"docu" }),
            502,
            "outcome_unknown",
            UNKNOWN,
            false,
        ),
        row(
            json!({ "body": "x".repeat(1_000_000) }),
            502,
            "outcome_unknown",
            UNKNOWN,
            false,
        ),
        row(
            json!({ "body": r#"{"ok":true,"result":{}}"# }),
            502,
            "file_id_missing",
            "Failed to get file_id from Telegram response",
            false,
        ),
        row(
            json!({ "body": r#"{"ok":true,"result":{"message_id":5}}"# }),
            502,
            "file_id_missing",
            "Failed to get file_id from Telegram response",
            false,
        ),
        // Scheduled: no message yet to find it by.
        row(
            json!({ "body": r#"{"ok":true,"result":{"message_id":0,"document":{"file_id":"f","file_unique_id":"u"}}}"# }),
            502,
            "file_id_missing",
            "Failed to get file_id from Telegram response",
            false,
        ),
        row(
            json!({ "drop": "after" }),
            502,
            "outcome_unknown",
            UNKNOWN,
            false,
        ),
    ];
    for Row {
        mut fault,
        status,
        code,
        error,
        retryable,
        retry_after,
    } in rows
    {
        fault["on"] = json!("telegram");
        fault["times"] = json!(-1);
        harness.faults(json!([fault])).await;
        let mut stored = 0;
        for (lane, shape, framing, size) in LANES {
            let what = format!(
                "{lane}: {}",
                fault.to_string().chars().take(200).collect::<String>()
            );
            // Asked for in this very request, the credentials cannot be out of date.
            let user = harness.add_user().await;
            let request = shape
                .request(&user.auth_token, &File::of_size(size))
                .framing(framing);
            let reply = harness.send(&request).await;
            assert_eq!(reply.status, status, "{what}: {}", reply.text());
            let told = assert_error(&reply, status, code);
            assert_eq!(told["error"], error, "{what}");
            assert_eq!(told["retryable"], retryable, "{what}");
            assert_eq!(told["retryAfter"].as_u64(), retry_after, "{what}");
            let line = harness.logged(&reply).await;
            assert_eq!(line["lane"], lane, "{what}");
            assert_eq!(line["credentials"], "miss", "{what}");
            stored += u64::from(fault["drop"] == "after");
            assert_eq!(harness.count("notifications").await, 0, "{what}");
        }
        // Sent once each: what may have been stored is not sent again.
        assert_eq!(harness.count("send_document").await, 4, "{code}");
        assert_eq!(harness.messages().await.len() as u64, stored, "{code}");
        harness.reset().await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_of_files_are_told_apart() {
    let harness = Harness::usual().await;
    let file = r#"{"file_id":"f","file_unique_id":"u","mime_type":"a/b"}"#;
    for (result, kind, id) in [
        (format!(r#"{{"message_id":5,"video":{file}}}"#), "video", "f"),
        (format!(r#"{{"message_id":5,"audio":{file}}}"#), "audio", "f"),
        (format!(r#"{{"message_id":5,"voice":{file}}}"#), "voice", "f"),
        (format!(r#"{{"message_id":5,"sticker":{file}}}"#), "sticker", "f"),
        (format!(r#"{{"message_id":5,"video_note":{file}}}"#), "video_note", "f"),
        (format!(r#"{{"message_id":5,"document":{file},"animation":{file}}}"#), "animation", "f"),
        (
            r#"{"message_id":5,"photo":[{"file_id":"s","width":90,"height":90},{"file_id":"l","width":900,"height":900},{"file_id":"m","width":320,"height":320}]}"#.to_owned(),
            "photo",
            "l",
        ),
    ] {
        let body = format!(r#"{{"ok":true,"result":{result}}}"#);
        harness.faults(json!([{ "on": "telegram", "body": body }])).await;
        let request = Shape::RawPut.request(&harness.demo.auth_token, &File::of_size(100));
        let told = harness.send(&request).await.json();
        assert_eq!((&told["kind"], &told["fileId"], &told["messageId"]), (&json!(kind), &json!(id), &json!(5)));
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_was_replaced_heals_in_one_request_where_the_file_is_held() {
    let harness = Harness::usual().await;
    for (lane, shape, framing, size) in LANES {
        let user = harness.add_user().await;
        let file = File::of_size(size);
        let request = shape.request(&user.auth_token, &file).framing(framing);
        let reply = harness.send(&request).await;
        harness.assert_stored(&user, &file, &reply).await;
        harness.reset().await;
        // The cached bot is dead; the backend has the new one.
        harness.replace_bot(&user).await;
        let reply = harness.send(&request).await;
        if matches!(lane, "buffered" | "small") {
            harness.assert_stored(&user, &file, &reply).await;
            assert_eq!(harness.count("send_document").await, 2, "{lane}");
        } else {
            let told = assert_error(&reply, 502, "bot_token_rejected");
            assert_eq!(told["retryable"], true, "{lane}");
            harness.assert_nothing_stored(lane).await;
            let reply = harness.send(&request).await;
            harness.assert_stored(&user, &file, &reply).await;
        }
        assert_eq!(harness.count("credentials").await, 1, "{lane}");
        assert_eq!(harness.messages().await.len(), 1, "{lane}");
        harness.reset().await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_stays_dead_is_told_after_one_more_question_and_no_loop() {
    let harness = Harness::usual().await;
    for (lane, shape, framing, size) in LANES {
        let user = harness.add_user().await;
        let request = shape
            .request(&user.auth_token, &File::of_size(size))
            .framing(framing);
        assert_eq!(harness.send(&request).await.status, 200);
        harness.reset().await;
        harness.revoke_bot(&user).await;
        let held = matches!(lane, "buffered" | "small");
        let told = assert_error(&harness.send(&request).await, 502, "bot_token_rejected");
        assert_eq!(told["error"], "Unauthorized");
        assert_eq!(told["retryable"], !held, "{lane}");
        assert_eq!(
            harness.count("send_document").await,
            1 + u64::from(held),
            "{lane}"
        );
        // Asked for in this very request, the dead bot is known to be the latest.
        let told = assert_error(&harness.send(&request).await, 502, "bot_token_rejected");
        assert_eq!(told["retryable"], false, "{lane}");
        harness.assert_nothing_stored(lane).await;
        harness.reset().await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_may_not_post_reads_telegrams_words() {
    let harness = Harness::usual().await;
    for (rights, words) in [
        ("left", "Forbidden: bot is not a member of the channel chat"),
        ("kicked", "Forbidden: bot was kicked from the channel chat"),
        (
            "member",
            "Bad Request: need administrator rights in the channel chat",
        ),
        (
            "administrator_no_post",
            "Bad Request: need administrator rights in the channel chat",
        ),
    ] {
        let user = harness
            .add_user_with(
                &serde_json::from_value(json!({ "bot_rights": rights })).expect("rights"),
            )
            .await;
        for (_, shape, framing, size) in LANES {
            let request = shape
                .request(&user.auth_token, &File::of_size(size))
                .framing(framing);
            let told = assert_error(&harness.send(&request).await, 502, "chat_refused");
            assert_eq!(told["error"], words);
        }
        harness.assert_nothing_stored(rights).await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_lost_before_the_end_is_retryable_and_stores_nothing() {
    let harness = Harness::usual().await;
    harness
        .faults(json!([{ "on": "telegram", "times": -1, "drop": "before" }]))
        .await;
    // More than two sockets hold: the end of it cannot have been sent when the connection is cut.
    let size = 30_000_000;
    for (shape, framing) in [
        (Shape::RawPut, Framing::Length),
        (Shape::RawPut, Framing::Chunked),
        (Shape::TokenFirst, Framing::Length),
        (Shape::TokenFirst, Framing::Chunked),
        (Shape::FileFirst, Framing::Length),
    ] {
        let request = shape
            .request(&harness.demo.auth_token, &File::of_size(size))
            .framing(framing);
        // Whose side broke is seen in a moment's time: often enough to see it wrong.
        for _ in 0..5 {
            let reply = harness.send(&request).await;
            let native_pipe = matches!((&shape, &framing), (Shape::RawPut, Framing::Length));
            let told = if native_pipe && reply.status == 400 {
                assert_error(&reply, 400, "upload_interrupted")
            } else {
                let told = assert_error(&reply, 502, "telegram_unreachable");
                assert_eq!(told["error"], FAILED, "{shape:?} {framing:?}");
                told
            };
            assert_eq!(told["retryable"], true, "{shape:?} {framing:?}");
            harness.assert_nothing_stored("cut").await;
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_comes_before_the_end_of_the_file_is_told() {
    let harness = Harness::usual().await;
    for (mut fault, status, code) in [
        (page(413), 413, "telegram_too_large"),
        (error(401, "Unauthorized"), 502, "bot_token_rejected"),
        // Without the closing boundary nothing can have been stored: no doubt about the outcome.
        (page(504), 502, "telegram_failed"),
        (page(502), 502, "telegram_failed"),
    ] {
        fault["on"] = json!("telegram");
        fault["times"] = json!(-1);
        // The reply comes at once, and then the connection is closed on the rest of the file.
        fault["drain"] = json!(false);
        harness.faults(json!([fault])).await;
        for (shape, framing) in [
            (Shape::RawPut, Framing::Length),
            (Shape::TokenFirst, Framing::Length),
            (Shape::FileFirst, Framing::Length),
        ] {
            let user = harness.add_user().await;
            let request = shape
                .request(&user.auth_token, &File::of_size(30_000_000))
                .framing(framing);
            let reply = harness.send(&request).await;
            let told = reply.json();
            // A reset may overtake the refusal; then nobody knows it.
            match told["code"].as_str() {
                Some("telegram_unreachable") => assert_error(&reply, 502, "telegram_unreachable"),
                Some("upload_interrupted") => assert_error(&reply, 400, "upload_interrupted"),
                _ => assert_error(&reply, status, code),
            };
            harness.assert_nothing_stored(code).await;
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_telegram_that_is_not_there_is_told_as_unreachable_in_every_lane() {
    let closed = format!("http://{}", closed_port().await);
    let harness = Harness::start(Settings::default().set("TELEGRAM_API_URL", closed)).await;
    for (lane, shape, framing, size) in LANES {
        let request = shape
            .request(&harness.demo.auth_token, &File::of_size(size))
            .framing(framing);
        let reply = harness.send(&request).await;
        // Newer releases of workerd take a small body before they are connected. Then there is no
        // telling, and the reply says so.
        if lane == "small" && reply.json()["code"] == "outcome_unknown" {
            let told = assert_error(&reply, 502, "outcome_unknown");
            assert_eq!(told["retryable"], false, "{lane}");
            assert_eq!(told["error"], UNKNOWN, "{lane}");
        } else {
            let told = assert_error(&reply, 502, "telegram_unreachable");
            assert_eq!(told["retryable"], true, "{lane}");
            assert_eq!(told["error"], FAILED, "{lane}");
        }
    }
    harness.assert_nothing_stored("no Telegram").await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_telegram_that_has_it_all_and_does_not_answer_leaves_the_outcome_unknown() {
    let harness = Harness::start(Settings::default().set("TELEGRAM_TIMEOUT_MS", "700")).await;
    harness
        .faults(json!([{ "on": "telegram", "times": -1, "delay_ms": 30_000 }]))
        .await;
    for (lane, shape, framing, size) in LANES {
        let request = shape
            .request(&harness.demo.auth_token, &File::of_size(size))
            .framing(framing);
        let told = assert_error(&harness.send(&request).await, 504, "outcome_unknown");
        assert_eq!(told["retryable"], false, "{lane}");
        assert_eq!(told["error"], UNKNOWN, "{lane}");
    }
    harness.assert_nothing_stored("hung").await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_telegram_that_takes_no_more_bytes_is_told_as_timed_out() {
    let harness = Harness::start(Settings::default().set("TELEGRAM_TIMEOUT_MS", "700")).await;
    harness
        .faults(json!([{ "on": "telegram", "times": -1, "delay_ms": 60_000 }]))
        .await;
    // More than two sockets hold: the end of it cannot have been sent. A raw upload is bounded by its
    // size alone, since a native pipe shows no progress.
    let file = File::of_size(40_000_000);
    for shape in [Shape::TokenFirst, Shape::FileFirst] {
        let request = shape.request(&harness.demo.auth_token, &file);
        let told = assert_error(&harness.send(&request).await, 504, "telegram_timeout");
        assert_eq!(told["retryable"], true, "{shape:?}");
        harness.assert_nothing_stored("stalled").await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_telegram_is_waited_for() {
    let harness = Harness::start(Settings::default().set("TELEGRAM_TIMEOUT_MS", "20000")).await;
    harness
        .faults(json!([{ "on": "telegram", "times": -1, "delay_ms": 1_500 }]))
        .await;
    for (_, shape, framing, size) in LANES {
        let file = File::of_size(size);
        let request = shape
            .request(&harness.demo.auth_token, &file)
            .framing(framing);
        let reply = harness.send(&request).await;
        harness.assert_stored(&harness.demo, &file, &reply).await;
    }
    harness.finish().await;
}

/// The new chat of this test is one where the bot is not. That is the truth to tell, and nothing to
/// remember.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_has_moved_is_followed_and_forgotten_when_the_bot_may_not_post_there() {
    let harness = Harness::usual().await;
    let body = json!({
        "ok": false, "error_code": 400,
        "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": { "migrate_to_chat_id": -1_009_999_999_999_i64 },
    });
    let moved = json!({ "on": "telegram", "status": 400, "times": 1, "body": body.to_string() });
    for (lane, shape, framing, size) in LANES {
        harness.faults(json!([moved])).await;
        let file = File::of_size(size);
        let request = shape
            .request(&harness.demo.auth_token, &file)
            .framing(framing);
        let held = matches!(lane, "buffered" | "small");
        if !held {
            let told = assert_error(&harness.send(&request).await, 502, "chat_migrated");
            assert_eq!(told["retryable"], true, "{lane}");
        }
        let told = assert_error(&harness.send(&request).await, 502, "chat_refused");
        assert_eq!(told["error"], "Bad Request: chat not found", "{lane}");
        assert_eq!(harness.count("send_document").await, 2, "{lane}");
        let reply = harness.send(&request).await;
        harness.assert_stored(&harness.demo, &file, &reply).await;
        harness.reset().await;
    }
    harness.finish().await;
}
