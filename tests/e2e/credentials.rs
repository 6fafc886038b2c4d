//! The backend's answers, and the cache in front of it.

use std::time::{Duration, Instant};

use backend_mock::{Provisioned, Setup};
use serde_json::{Value, json};
use testkit::{
    harness::{HEAVY, Harness, Settings, assert_error},
    http::Reply,
    stub::{Scripted, closed_port, json_reply},
    upload::{File, LANES, Shape},
};
use tokio::{task::JoinSet, time::sleep};

/// While the backend is out, stale credentials serve for this long before it is asked again.
const RETRY_OUTAGE: Duration = Duration::from_secs(5);
/// A refusal is remembered for this long.
const REMEMBERED: Duration = Duration::from_secs(5);

async fn upload(harness: &Harness, user: &Provisioned) -> Reply {
    harness
        .send(&Shape::RawPut.request(&user.auth_token, &File::of_size(100)))
        .await
}

fn source(reply: &Reply) -> String {
    let timing = reply.header("server-timing").expect("server-timing");
    timing
        .split(';')
        .find_map(|piece| piece.trim().strip_prefix("desc="))
        .expect("a source")
        .trim_matches('"')
        .to_owned()
}

/// Waits until what was fetched before is no longer fresh, for a time to live of a second.
async fn outlive_ttl() {
    sleep(Duration::from_millis(1_200)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_backend_says_is_told_truly_in_every_lane() {
    let harness = Harness::usual().await;
    let invalid = |fault: Value, why: &'static str| {
        (
            fault,
            502,
            "backend_invalid_reply",
            format!("Failed to fetch credentials: {why}"),
            false,
            None,
        )
    };
    let of = |status: u16, detail: &str| json!({ "status": status, "body": json!({ "detail": detail }).to_string() });
    let complete = |name: &str, value: Value| {
        let mut body = json!({
            "bot_token": "123456789:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "channel_id": "-1001234567890",
            "user_id": "u",
        });
        body[name] = value;
        json!({ "body": body.to_string() })
    };
    let trap = Scripted::trap().await;
    let failed = |why: &str| format!("Failed to fetch credentials: {why}");
    let rows = [
        invalid(
            json!({ "body": "<html>not JSON</html>" }),
            "the backend's answer is not the JSON of credentials",
        ),
        invalid(
            json!({ "body": "" }),
            "the backend's answer is not the JSON of credentials",
        ),
        invalid(
            json!({ "body": "[]" }),
            "the backend's answer is not the JSON of credentials",
        ),
        invalid(
            json!({ "body": "{}" }),
            "the backend's answer has no bot_token",
        ),
        invalid(
            complete("bot_token", Value::Null),
            "the backend's answer has no bot_token",
        ),
        invalid(
            complete("channel_id", Value::Null),
            "the backend's answer has no channel_id",
        ),
        invalid(
            complete("user_id", Value::Null),
            "the backend's answer has no user_id",
        ),
        invalid(
            complete("user_id", json!("")),
            "the backend's answer has an empty user_id",
        ),
        invalid(
            complete(
                "bot_token",
                json!("123456789:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/../x"),
            ),
            "the bot_token in the backend's answer is malformed",
        ),
        invalid(
            complete(
                "bot_token",
                json!("123456789:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA?a=b#c"),
            ),
            "the bot_token in the backend's answer is malformed",
        ),
        invalid(
            complete("bot_token", json!("")),
            "the bot_token in the backend's answer is malformed",
        ),
        invalid(
            complete("channel_id", json!("-100\r\nx")),
            "the channel_id in the backend's answer is malformed",
        ),
        invalid(
            json!({ "body": "x".repeat(10_000_000) }),
            "the backend's answer is too long",
        ),
        invalid(
            json!({ "status": 302, "headers": { "location": format!("{}/steal", trap.url()) } }),
            "the backend answered with a redirect; BACKEND_URL must name the final address",
        ),
        invalid(
            json!({ "status": 307, "headers": { "location": format!("{}/steal", trap.url()) } }),
            "the backend answered with a redirect; BACKEND_URL must name the final address",
        ),
        invalid(
            json!({ "status": 418 }),
            "the backend answered with an unexpected status",
        ),
        (
            of(400, "Connect first"),
            400,
            "not_configured",
            "Connect first".to_owned(),
            false,
            None,
        ),
        (
            of(401, "User not found"),
            401,
            "token_refused",
            "User not found".to_owned(),
            false,
            None,
        ),
        (
            json!({ "status": 401, "body": "<html>" }),
            401,
            "token_refused",
            "Invalid token".to_owned(),
            false,
            None,
        ),
        (
            of(403, "Plan has ended"),
            403,
            "forbidden",
            "Plan has ended".to_owned(),
            false,
            None,
        ),
        (
            of(404, "Not Found"),
            502,
            "backend_not_found",
            failed("Not Found"),
            false,
            None,
        ),
        (
            json!({ "status": 429 }),
            503,
            "backend_busy",
            failed("the backend is busy"),
            true,
            Some(5),
        ),
        (
            json!({ "status": 429, "headers": { "retry-after": "17" } }),
            503,
            "backend_busy",
            failed("the backend is busy"),
            true,
            Some(17),
        ),
        (
            of(500, "database is locked"),
            502,
            "backend_failed",
            failed("database is locked"),
            true,
            None,
        ),
        (
            json!({ "status": 500, "body": "<html>" }),
            502,
            "backend_failed",
            failed("500"),
            true,
            None,
        ),
        (
            json!({ "status": 503 }),
            502,
            "backend_failed",
            failed("503"),
            true,
            None,
        ),
        (
            json!({ "drop": "before" }),
            502,
            "backend_unreachable",
            failed("the backend is unreachable"),
            true,
            None,
        ),
        (
            json!({ "drop": "after" }),
            502,
            "backend_unreachable",
            failed("the backend is unreachable"),
            true,
            None,
        ),
    ];
    for (mut fault, status, code, error, retryable, retry_after) in rows {
        fault["on"] = json!("credentials");
        fault["times"] = json!(-1);
        harness.faults(json!([fault])).await;
        for (lane, shape, framing, size) in LANES {
            let what = format!(
                "{lane}: {}",
                fault.to_string().chars().take(200).collect::<String>()
            );
            // A user of its own each time: some refusals are remembered.
            let user = harness.add_user().await;
            let request = shape
                .request(&user.auth_token, &File::of_size(size))
                .framing(framing);
            let reply = harness.send(&request).await;
            let told = assert_error(&reply, status, code);
            assert_eq!(told["error"], error, "{what}");
            assert_eq!(told["retryable"], retryable, "{what}");
            assert_eq!(told["retryAfter"].as_u64(), retry_after, "{what}");
            assert_eq!(harness.logged(&reply).await["lane"], lane, "{what}");
        }
    }
    assert_eq!(harness.count("send_document").await, 0);
    assert_eq!(trap.connections(), 0, "a redirect was followed");
    harness.assert_nothing_stored("no credentials").await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_answer_of_unknown_length_is_cut_off() {
    let backend = Scripted::start(|_| {
        let mut reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n".to_vec();
        reply.resize(10_000_000, b' ');
        reply
    })
    .await;
    let harness = Harness::start(Settings::default().set("BACKEND_URL", backend.url())).await;
    let told = assert_error(
        &upload(&harness, &harness.demo).await,
        502,
        "backend_invalid_reply",
    );
    assert_eq!(
        told["error"],
        "Failed to fetch credentials: the backend's answer is too long"
    );
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backend_that_an_answer_names_is_never_called() {
    let trap = Scripted::trap().await;
    let harness = Harness::usual().await;
    let body = json!({
        "bot_token": harness.demo.bot_token,
        "channel_id": harness.demo.channel_id,
        "user_id": harness.demo.user_id,
        "backend_url": trap.url(),
    });
    harness
        .faults(json!([{ "on": "credentials", "body": body.to_string() }]))
        .await;
    let file = File::of_size(100);
    let reply = upload(&harness, &harness.demo).await;
    harness.assert_stored(&harness.demo, &file, &reply).await;
    assert_eq!(trap.connections(), 0);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_not_there_is_told_as_unreachable() {
    let closed = format!("http://{}", closed_port().await);
    let harness = Harness::start(Settings::default().set("BACKEND_URL", closed)).await;
    for (_, shape, framing, size) in LANES {
        let request = shape
            .request(&harness.demo.auth_token, &File::of_size(size))
            .framing(framing);
        let told = assert_error(&harness.send(&request).await, 502, "backend_unreachable");
        assert_eq!(told["retryable"], true);
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_does_not_answer_in_time_is_told_as_that() {
    let harness = Harness::start(Settings::default().set("CREDENTIALS_TIMEOUT_MS", "300")).await;
    harness
        .faults(json!([{ "on": "credentials", "times": -1, "delay_ms": 20_000 }]))
        .await;
    for (lane, shape, framing, size) in LANES {
        let user = harness.add_user().await;
        let request = shape
            .request(&user.auth_token, &File::of_size(size))
            .framing(framing);
        let told = assert_error(&harness.send(&request).await, 504, "backend_timeout");
        assert_eq!(told["retryable"], true, "{lane}");
    }
    assert_eq!(harness.count("send_document").await, 0);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_begins_in_time_and_never_ends_is_told_as_timed_out() {
    // More is announced than comes, and the connection stays open.
    let backend = Scripted::that_stays_open(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"bot".to_vec()
    })
    .await;
    let settings = Settings::default()
        .set("BACKEND_URL", backend.url())
        .set("CREDENTIALS_TIMEOUT_MS", "300");
    let harness = Harness::start(settings).await;
    assert_error(
        &upload(&harness, &harness.demo).await,
        504,
        "backend_timeout",
    );
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_uploads_of_one_user_ask_the_backend_once() {
    let _heavy = HEAVY.lock().await;
    let harness = std::sync::Arc::new(Harness::usual().await);
    let mut tasks = JoinSet::new();
    for lane in 0..8 {
        let harness = std::sync::Arc::clone(&harness);
        tasks.spawn(async move {
            let shape = Shape::ALL[lane % Shape::ALL.len()];
            for _ in 0..125 {
                let request = shape.request(&harness.demo.auth_token, &File::of_size(100));
                assert_eq!(harness.send(&request).await.status, 200);
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(harness.count("credentials").await, 1);
    assert_eq!(harness.count("send_document").await, 1000);
    assert_eq!(harness.messages().await.len(), 1000);
    assert_eq!(harness.notifications().await.len(), 1000);
    std::sync::Arc::into_inner(harness)
        .expect("the tasks have ended")
        .finish()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_uploads_at_once_with_a_cold_cache_ask_the_backend_once() {
    let harness = std::sync::Arc::new(Harness::usual().await);
    // Long enough for all to come while the first one's question is under way.
    harness
        .faults(json!([{ "on": "credentials", "times": -1, "delay_ms": 500 }]))
        .await;
    let mut tasks = JoinSet::new();
    for at in 0..20 {
        let harness = std::sync::Arc::clone(&harness);
        tasks.spawn(async move {
            let (_, shape, framing, size) = LANES[at % LANES.len()];
            let request = shape
                .request(&harness.demo.auth_token, &File::of_size(size))
                .framing(framing);
            let reply = harness.send(&request).await;
            harness
                .assert_stored(&harness.demo, &File::of_size(size), &reply)
                .await;
        });
    }
    tasks.join_all().await;
    assert_eq!(harness.count("credentials").await, 1);
    std::sync::Arc::into_inner(harness)
        .expect("the tasks have ended")
        .finish()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_while_it_asks_the_backend_does_not_hold_others_up() {
    let harness = Harness::usual().await;
    harness
        .faults(json!([{ "on": "credentials", "delay_ms": 500 }]))
        .await;
    let request = Shape::RawPut.request(&harness.demo.auth_token, &File::of_size(100));
    let leader = harness.begin(&request, usize::MAX).await;
    harness
        .eventually("the backend to be asked", || async {
            (harness.count("credentials").await == 1).then_some(())
        })
        .await;
    leader.reset();
    let reply = upload(&harness, &harness.demo).await;
    assert_eq!(reply.status, 200);
    assert!(harness.count("credentials").await <= 2);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_asked_for_again_when_their_time_is_over() {
    let harness = Harness::start(Settings::default().set("CREDENTIALS_TTL_SECONDS", "1")).await;
    assert_eq!(source(&upload(&harness, &harness.demo).await), "miss");
    outlive_ttl().await;
    assert_eq!(source(&upload(&harness, &harness.demo).await), "miss");
    assert_eq!(harness.count("credentials").await, 2);
    harness.finish().await;
}

/// Puts the backend out with this fault: what is cached serves on, and the backend is left alone.
async fn assert_served_stale(fault: Value) {
    let settings = Settings::default()
        .set("CREDENTIALS_TTL_SECONDS", "1")
        .set("CREDENTIALS_TIMEOUT_MS", "300");
    let harness = Harness::start(settings).await;
    let user = &harness.demo;
    assert_eq!(source(&upload(&harness, user).await), "miss");
    outlive_ttl().await;
    harness.faults(json!([fault])).await;
    let began = Instant::now();
    for _ in 0..10 {
        let file = File::of_size(100);
        let reply = upload(&harness, user).await;
        harness.assert_stored(user, &file, &reply).await;
        assert_eq!(source(&reply), "stale", "{fault}");
        assert_eq!(harness.logged(&reply).await["credentials"], "stale");
    }
    let questions = 1 + began.elapsed().as_secs() / RETRY_OUTAGE.as_secs();
    // workerd itself repeats a GET when a connection that was kept alive turns out to be closed.
    let most = if fault["drop"].is_null() {
        questions
    } else {
        2 * questions
    };
    let asked = harness.count("credentials").await - 1;
    assert!((1..=most).contains(&asked), "asked {asked} times: {fault}");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_bridged_with_stale_credentials_and_few_questions() {
    for fault in [
        json!({ "on": "credentials", "times": -1, "status": 500 }),
        json!({ "on": "credentials", "times": -1, "status": 503 }),
        json!({ "on": "credentials", "times": -1, "status": 429 }),
        json!({ "on": "credentials", "times": -1, "drop": "before" }),
        json!({ "on": "credentials", "times": -1, "delay_ms": 20_000 }),
    ] {
        assert_served_stale(fault).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_not_bridged_for_longer_than_is_set() {
    let settings = Settings::default()
        .set("CREDENTIALS_TTL_SECONDS", "1")
        .set("CREDENTIALS_MAX_STALE_SECONDS", "1");
    let harness = Harness::start(settings).await;
    assert_eq!(upload(&harness, &harness.demo).await.status, 200);
    harness
        .faults(json!([{ "on": "credentials", "times": -1, "status": 503 }]))
        .await;
    sleep(Duration::from_millis(2_200)).await;
    assert_error(
        &upload(&harness, &harness.demo).await,
        502,
        "backend_failed",
    );
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_leave_to_be_stale_an_outage_is_told_at_once() {
    let settings = Settings::default()
        .set("CREDENTIALS_TTL_SECONDS", "1")
        .set("CREDENTIALS_MAX_STALE_SECONDS", "0");
    let harness = Harness::start(settings).await;
    assert_eq!(upload(&harness, &harness.demo).await.status, 200);
    harness
        .faults(json!([{ "on": "credentials", "times": -1, "status": 503 }]))
        .await;
    outlive_ttl().await;
    assert_error(
        &upload(&harness, &harness.demo).await,
        502,
        "backend_failed",
    );
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_never_outlive_the_token_that_earned_them() {
    let harness = Harness::usual().await;
    let user = harness
        .add_user_with(&Setup {
            token_ttl_seconds: 3,
            ..Setup::default()
        })
        .await;
    let began = Instant::now();
    let reply = upload(&harness, &user).await;
    // On a machine that took so long, the token has run out before it was used.
    if began.elapsed() < Duration::from_secs(2) {
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    harness
        .faults(json!([{ "on": "credentials", "times": -1, "status": 503 }]))
        .await;
    sleep(Duration::from_secs(4)).await;
    assert_error(&upload(&harness, &user).await, 502, "backend_failed");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_backend_refused_is_not_served_stale_afterwards() {
    for (status, code) in [
        (400, "not_configured"),
        (401, "token_refused"),
        (403, "forbidden"),
        (404, "backend_not_found"),
    ] {
        let harness = Harness::start(Settings::default().set("CREDENTIALS_TTL_SECONDS", "1")).await;
        assert_eq!(upload(&harness, &harness.demo).await.status, 200);
        outlive_ttl().await;
        harness
            .faults(json!([{ "on": "credentials", "status": status }]))
            .await;
        assert_eq!(upload(&harness, &harness.demo).await.json()["code"], code);
        harness
            .faults(json!([{ "on": "credentials", "times": -1, "status": 503 }]))
            .await;
        if matches!(status, 401 | 403) {
            sleep(REMEMBERED + Duration::from_millis(200)).await;
        }
        assert_error(
            &upload(&harness, &harness.demo).await,
            502,
            "backend_failed",
        );
        assert_eq!(harness.messages().await.len(), 1, "{status}");
        harness.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_remembered_for_a_few_seconds() {
    let harness = Harness::usual().await;
    for (status, code) in [(401, "token_refused"), (403, "forbidden")] {
        harness.reset().await;
        harness
            .faults(json!([{ "on": "credentials", "status": status }]))
            .await;
        let user = harness.add_user().await;
        let began = Instant::now();
        for _ in 0..5 {
            let reply = upload(&harness, &user).await;
            if began.elapsed() < REMEMBERED {
                assert_error(&reply, status, code);
            }
        }
        let most = 1 + began.elapsed().as_secs() / REMEMBERED.as_secs();
        assert!(harness.count("credentials").await <= most, "{status}");
        // The fault struck once: the backend would take the token now, and is asked in the end.
        sleep(REMEMBERED + Duration::from_millis(200)).await;
        assert_eq!(upload(&harness, &user).await.status, 200, "{status}");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_failures_are_not_remembered() {
    let harness = Harness::usual().await;
    for status in [400, 404, 429, 500, 503] {
        let user = harness.add_user().await;
        harness
            .faults(json!([{ "on": "credentials", "status": status }]))
            .await;
        assert!(upload(&harness, &user).await.status >= 400, "{status}");
        assert_eq!(upload(&harness, &user).await.status, 200, "{status}");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_users_cached_credentials_serve_no_other_token() {
    let harness = Harness::usual().await;
    let user = &harness.demo;
    assert_eq!(upload(&harness, user).await.status, 200);
    // TeleStore's own cache went by the user id that the client sent.
    for (lane, shape, framing, size) in LANES {
        for token in [
            "",
            "another",
            &format!("{}x", user.auth_token),
            &user.auth_token.to_uppercase(),
        ] {
            let request = shape
                .request(token, &File::of_size(size))
                .framing(framing)
                .header("x-user-id", &user.user_id);
            let reply = harness.send(&request).await;
            assert_eq!(reply.status, 401, "{lane} {}", reply.text());
        }
    }
    assert_eq!(harness.messages().await.len(), 1);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_before_the_end_delays_no_upload() {
    // In the last twelfth of the time to live, one request refreshes after its own reply.
    const TTL: Duration = Duration::from_secs(24);
    let settings = Settings::default().set("CREDENTIALS_TTL_SECONDS", TTL.as_secs().to_string());
    let harness = Harness::start(settings).await;
    let began = Instant::now();
    assert_eq!(source(&upload(&harness, &harness.demo).await), "miss");
    // The backend would take its time: an upload that waited for it would show.
    harness
        .faults(json!([{ "on": "credentials", "times": -1, "delay_ms": 600 }]))
        .await;
    sleep(TTL.checked_sub(TTL / 12).unwrap() + Duration::from_millis(300)).await;
    let reply = upload(&harness, &harness.demo).await;
    // A machine that slept through the twelfth has missed it.
    if began.elapsed() < TTL {
        assert_eq!(source(&reply), "hit");
    }
    harness
        .eventually("the refresh", || async {
            (harness.count("credentials").await == 2).then_some(())
        })
        .await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_account_level_secrets_are_ignored_whatever_they_are() {
    let harness = Harness::usual().await;
    let user = harness.demo.clone();
    let body = json!({
        "bot_token": user.bot_token,
        "channel_id": user.channel_id,
        "user_id": user.user_id,
        "telegram_session": { "unexpected": ["session-of-another-shape"] },
        "telegram_api_id": "not a number",
        "telegram_api_hash": 17,
        "backend_url": 42,
    });
    let answer = body.to_string();
    let backend = Scripted::start(move |request| {
        if request.path().ends_with("/credentials") {
            json_reply("200 OK", &answer)
        } else {
            json_reply("200 OK", "{}")
        }
    })
    .await;
    let settings = Settings::default()
        .set("BACKEND_URL", backend.url())
        .set("TELEGRAM_API_URL", harness.backend_url());
    let worker = Harness::start(settings).await;
    let reply = upload(&worker, &user).await;
    harness
        .assert_in_channel(&user, &File::of_size(100), &reply)
        .await;
    worker.finish().await;
    harness.finish().await;
}
