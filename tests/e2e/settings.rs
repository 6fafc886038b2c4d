//! Settings, health, preflights, and which pages may read.

use testkit::{
    harness::{Harness, Settings, assert_cors, assert_error},
    http::Request,
    upload::{File, Shape},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_says_ok_and_asks_nobody() {
    let harness = Harness::usual().await;
    let reply = harness.send(&Request::new("GET", "/health")).await;
    assert_eq!(reply.status, 200);
    let told = reply.json();
    assert_eq!(told["status"], "ok");
    assert!(
        told["version"]
            .as_str()
            .is_some_and(|version| !version.is_empty())
    );
    assert_eq!(
        told.as_object().map(serde_json::Map::len),
        Some(2),
        "{told}"
    );
    assert_cors(&reply);
    let head = harness.send(&Request::new("HEAD", "/health")).await;
    assert_eq!(head.status, 200);
    for what in ["credentials", "send_document", "notifications"] {
        assert_eq!(harness.count(what).await, 0, "{what}");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preflight_is_answered_for_a_day_and_for_the_headers_it_names() {
    let harness = Harness::usual().await;
    for target in ["/", "/upload", "/upload/a%20b", "/health", "/anything"] {
        let request = Request::new("OPTIONS", target)
            .header("origin", "https://app.example.org")
            .header("access-control-request-method", "PUT")
            .header(
                "access-control-request-headers",
                "authorization,x-own-header",
            );
        let reply = harness.send(&request).await;
        assert_eq!(reply.status, 204, "{target}");
        assert!(reply.body.is_empty());
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert_eq!(reply.header("access-control-max-age"), Some("86400"));
        assert_eq!(
            reply.header("access-control-allow-headers"),
            Some("authorization,x-own-header")
        );
        let methods = reply
            .header("access-control-allow-methods")
            .expect("methods");
        for method in ["GET", "POST", "PUT", "OPTIONS"] {
            assert!(methods.contains(method), "{methods}");
        }
    }
    let bare = harness.send(&Request::new("OPTIONS", "/upload")).await;
    assert_eq!(bare.status, 204);
    let allowed = bare
        .header("access-control-allow-headers")
        .expect("headers");
    for name in ["authorization", "content-type", "x-user-id"] {
        assert!(allowed.contains(name), "{allowed}");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_listed_origins_may_read_and_each_sees_itself() {
    let settings = Settings::default().set(
        "ALLOWED_ORIGINS",
        "https://app.example.org, https://other.example.org/",
    );
    let harness = Harness::start(settings).await;
    for (origin, allowed) in [
        (
            Some("https://app.example.org"),
            Some("https://app.example.org"),
        ),
        (
            Some("https://other.example.org"),
            Some("https://other.example.org"),
        ),
        (Some("https://app.example.org.evil.example"), None),
        (Some("http://app.example.org"), None),
        (Some("null"), None),
        (None, None),
    ] {
        let upload = Shape::FileFirst.request(&harness.demo.auth_token, &File::of_size(10));
        for request in [
            upload,
            Request::new("OPTIONS", "/upload"),
            Request::new("GET", "/health"),
            Request::new("GET", "/nowhere"),
        ] {
            let request = match origin {
                Some(origin) => request.header("origin", origin),
                None => request,
            };
            let reply = harness.send(&request).await;
            assert_eq!(
                reply.header("access-control-allow-origin"),
                allowed,
                "{origin:?}"
            );
            // A cache must not give one origin's reply to another.
            assert_eq!(reply.header("vary"), Some("Origin"), "{origin:?}");
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_backend_url_uploads_say_so_and_health_is_well() {
    let harness = Harness::start(Settings::default().unset("BACKEND_URL")).await;
    for shape in Shape::ALL {
        for size in [10, 300_000] {
            let request = shape.request(&harness.demo.auth_token, &File::of_size(size));
            let told = assert_error(&harness.send(&request).await, 500, "misconfigured");
            assert_eq!(
                told["error"],
                "The worker is misconfigured: BACKEND_URL is not set"
            );
            assert_eq!(told["retryable"], false);
        }
    }
    assert_eq!(
        harness.send(&Request::new("GET", "/health")).await.status,
        200
    );
    assert_eq!(
        harness
            .send(&Request::new("OPTIONS", "/upload"))
            .await
            .status,
        204
    );
    assert_error(
        &harness.send(&Request::new("GET", "/nowhere")).await,
        404,
        "not_found",
    );
    harness.assert_nothing_stored("misconfigured").await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_setting_that_cannot_be_used_is_named_and_no_secret_is_repeated() {
    for (name, value) in [
        ("BACKEND_URL", "backend.example.org"),
        ("BACKEND_URL", "ftp://backend.example.org"),
        ("BACKEND_URL", "https://user:hunter2@backend.example.org"),
        ("BACKEND_URL", "https://backend.example.org/?a=b"),
        ("TELEGRAM_API_URL", "telegram"),
        ("ALLOWED_ORIGINS", "app.example.org"),
        ("MAX_UPLOAD_BYTES", "50 MB"),
        ("MAX_UPLOAD_BYTES", "0"),
        ("MAX_UPLOAD_BYTES", "-1"),
        ("MAX_UPLOAD_BYTES", "99999999999999999999"),
        ("CREDENTIALS_TTL_SECONDS", "0"),
        ("CREDENTIALS_TTL_SECONDS", "1.5"),
        ("CREDENTIALS_MAX_STALE_SECONDS", "forever"),
        ("CREDENTIALS_TIMEOUT_MS", "0"),
        ("TELEGRAM_TIMEOUT_MS", "600001"),
        ("WEBHOOK_SECRET", "hunter2"),
        ("WEBHOOK_SECRET", "whsec_aHVudGVyMg=="),
        ("WEBHOOK_SECRET", "whsec_hunter2-not-base64"),
    ] {
        let harness = Harness::start(Settings::default().set(name, value)).await;
        harness.keep_secret("hunter2");
        harness.keep_secret("aHVudGVyMg");
        let request = Shape::FileFirst.request(&harness.demo.auth_token, &File::of_size(10));
        let told = assert_error(&harness.send(&request).await, 500, "misconfigured");
        let error = told["error"].as_str().expect("an error");
        assert!(
            error.starts_with(&format!("The worker is misconfigured: {name} ")),
            "{error}"
        );
        harness.assert_nothing_stored(name).await;
        assert_eq!(
            harness.send(&Request::new("GET", "/health")).await.status,
            200
        );
        harness.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_are_set_to_nothing_have_their_defaults() {
    let mut settings = Settings::default();
    for name in [
        "ALLOWED_ORIGINS",
        "MAX_UPLOAD_BYTES",
        "CREDENTIALS_TTL_SECONDS",
        "CREDENTIALS_MAX_STALE_SECONDS",
        "CREDENTIALS_TIMEOUT_MS",
        "TELEGRAM_TIMEOUT_MS",
        "WEBHOOK_SECRET",
    ] {
        settings = settings.set(name, "");
    }
    let harness = Harness::start(settings).await;
    let file = File::of_size(5_000_000);
    let reply = harness
        .send(&Shape::FileFirst.request(&harness.demo.auth_token, &file))
        .await;
    harness.assert_stored(&harness.demo, &file, &reply).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urls_may_end_in_a_slash() {
    // One worker is put in front of the other one's backend: only then is its address known.
    let harness = Harness::usual().await;
    let url = format!("{}/", harness.backend_url());
    let slashed = Harness::start(
        Settings::default()
            .set("BACKEND_URL", &url)
            .set("TELEGRAM_API_URL", &url),
    )
    .await;
    let file = File::of_size(10);
    slashed.keep_secret(&harness.demo.auth_token);
    let reply = slashed
        .send(&Shape::FileFirst.request(&harness.demo.auth_token, &file))
        .await;
    harness.assert_stored(&harness.demo, &file, &reply).await;
    slashed.finish().await;
    harness.finish().await;
}
