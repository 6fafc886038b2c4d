//! The backend is told of every stored file, once, and whatever it answers the file is stored.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use testkit::{
    harness::{Harness, Settings, assert_notification},
    stub::{Scripted, json_reply},
    upload::{File, LANES, Shape},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Uploads, expects `pending`, and then the notification by a later try.
async fn assert_delivered_later(harness: &Harness, fault: Value, tries: u64) {
    harness.faults(json!([fault])).await;
    let file = File::of_size(1_000);
    let reply = harness
        .send(&Shape::RawPut.request(&harness.demo.auth_token, &file))
        .await;
    let (told, _) = harness
        .assert_in_channel(&harness.demo, &file, &reply)
        .await;
    assert_eq!(told["notified"], "pending", "{fault}");
    harness
        .eventually("a later try", || async {
            let done = harness.count("notifications").await >= tries
                && !harness.notifications().await.is_empty();
            done.then_some(())
        })
        .await;
    // The receiver drops what it has seen, so that one is left whether one or two came through.
    let notification = harness.notification_of(&told).await;
    assert_notification(&notification, &harness.demo, &told);
    assert_eq!(harness.count("notifications").await, tries, "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_that_failed_is_delivered_later_exactly_once() {
    let harness = Harness::usual().await;
    for fault in [
        json!({ "on": "notify", "status": 500 }),
        json!({ "on": "notify", "status": 404 }),
        json!({ "on": "notify", "status": 302, "headers": { "location": "/api/health" } }),
        json!({ "on": "notify", "drop": "before" }),
        // The work is done and its answer lost: the same id comes again and is dropped.
        json!({ "on": "notify", "drop": "after" }),
    ] {
        assert_delivered_later(&harness, fault, 2).await;
        harness.reset().await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_is_tried_again_and_again_with_one_id() {
    let harness = Harness::usual().await;
    assert_delivered_later(
        &harness,
        json!({ "on": "notify", "times": 2, "status": 503 }),
        3,
    )
    .await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_never_answers_holds_no_reply_up_for_long() {
    let harness = Harness::usual().await;
    harness
        .faults(json!([{ "on": "notify", "times": -1, "delay_ms": 30_000 }]))
        .await;
    let file = File::of_size(1_000);
    let began = std::time::Instant::now();
    let reply = harness
        .send(&Shape::RawPut.request(&harness.demo.auth_token, &file))
        .await;
    // The delay is ten times what the worker waits: the two cannot be mistaken for each other.
    assert!(began.elapsed().as_secs() < 25, "{:?}", began.elapsed());
    let (told, _) = harness
        .assert_in_channel(&harness.demo, &file, &reply)
        .await;
    assert_eq!(told["notified"], "pending");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_2xx_is_an_acknowledgement() {
    let harness = Harness::usual().await;
    for status in [200, 201, 202, 204] {
        harness
            .faults(json!([{ "on": "notify", "status": status }]))
            .await;
        let file = File::of_size(1_000);
        let reply = harness
            .send(&Shape::RawPut.request(&harness.demo.auth_token, &file))
            .await;
        let (told, _) = harness
            .assert_in_channel(&harness.demo, &file, &reply)
            .await;
        assert_eq!(told["notified"], "ok", "{status}");
        assert_eq!(harness.count("notifications").await, 1, "{status}");
        harness.reset().await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_notifications_are_what_a_backend_with_the_secret_takes() {
    let settings = Settings::default()
        .set("WEBHOOK_SECRET", SECRET)
        .backend_webhook_secret(SECRET);
    let harness = Harness::start(settings).await;
    harness.keep_secret(SECRET);
    for (lane, shape, framing, size) in LANES {
        let file = File::of_size(size);
        let request = shape
            .request(&harness.demo.auth_token, &file)
            .framing(framing);
        let reply = harness.send(&request).await;
        harness.assert_stored(&harness.demo, &file, &reply).await;
        let notification = harness.notification_of(&reply.json()).await;
        let signature = notification["headers"]["webhook-signature"]
            .as_str()
            .expect(lane);
        assert!(signature.starts_with("v1,"), "{signature}");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsigned_notifications_are_not() {
    let harness = Harness::start(Settings::default().backend_webhook_secret(SECRET)).await;
    let file = File::of_size(1_000);
    let reply = harness
        .send(&Shape::RawPut.request(&harness.demo.auth_token, &file))
        .await;
    let (told, _) = harness
        .assert_in_channel(&harness.demo, &file, &reply)
        .await;
    assert_eq!(told["notified"], "pending");
    assert_eq!(harness.notifications().await, Vec::<Value>::new());
    harness.finish().await;
}

/// A backend of the test's own, that keeps the very bytes it gets.
async fn recording_backend(harness: &Harness) -> Scripted {
    let user = harness.demo.clone();
    Scripted::start(move |request| {
        if request.path() == "/base/api/worker/credentials" {
            let credentials = json!({
                "bot_token": user.bot_token,
                // A number where TeleStore has a string; null where it has secrets.
                "channel_id": user.channel_id.parse::<i64>().expect("a number"),
                "telegram_session": null,
                "telegram_api_id": null,
                "telegram_api_hash": null,
                "user_id": user.user_id,
                "backend_url": "http://127.0.0.1:1/never",
            });
            json_reply("200 OK", &credentials.to_string())
        } else {
            json_reply("200 OK", r#"{"success":true}"#)
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signature_is_that_of_the_very_bytes_and_the_backend_url_keeps_its_path() {
    // Its Telegram serves both; the worker under test has a backend that writes down the bytes.
    let harness = Harness::usual().await;
    let backend = recording_backend(&harness).await;
    let settings = Settings::default()
        .set("BACKEND_URL", format!("{}/base", backend.url()))
        .set("TELEGRAM_API_URL", harness.backend_url())
        .set("WEBHOOK_SECRET", SECRET);
    let worker = Harness::start(settings).await;
    worker.keep_secret(SECRET);
    worker.keep_secret(&harness.demo.auth_token);
    worker.keep_secret(&harness.demo.bot_token);
    let file = File::of_size(1_000);
    let reply = worker
        .send(&Shape::RawPut.request(&harness.demo.auth_token, &file))
        .await;
    let (told, _) = harness
        .assert_in_channel(&harness.demo, &file, &reply)
        .await;
    assert_eq!(told["notified"], "ok");

    let received = backend.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].path(), "/base/api/worker/credentials");
    let authorization = format!("Bearer {}", harness.demo.auth_token);
    assert_eq!(
        received[0].header("authorization"),
        Some(authorization.as_str())
    );
    let webhook = &received[1];
    assert_eq!(webhook.path(), "/base/api/webhook/upload");
    assert_eq!(webhook.header("authorization"), None);
    assert_eq!(webhook.header("content-type"), Some("application/json"));
    let id = webhook.header("webhook-id").expect("an id");
    let timestamp = webhook.header("webhook-timestamp").expect("a timestamp");
    let key = STANDARD
        .decode(SECRET.trim_start_matches("whsec_"))
        .expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&webhook.body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(webhook.header("webhook-signature"), Some(expected.as_str()));
    let body: Value = serde_json::from_slice(&webhook.body).expect("JSON");
    assert_eq!(body["id"], id);
    assert_eq!(body["fileId"], told["fileId"]);
    worker.finish().await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_uploads_of_one_file_are_two_notifications() {
    let harness = Harness::usual().await;
    let file = File::of_size(1_000);
    let request = Shape::FileFirst.request(&harness.demo.auth_token, &file);
    for _ in 0..2 {
        let reply = harness.send(&request).await;
        harness.assert_stored(&harness.demo, &file, &reply).await;
    }
    let notifications = harness.notifications().await;
    assert_eq!(notifications.len(), 2);
    assert_ne!(
        notifications[0]["body"]["id"],
        notifications[1]["body"]["id"]
    );
    harness.finish().await;
}
