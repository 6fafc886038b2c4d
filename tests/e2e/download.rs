//! Files on their way back: whole, in ranges, put together from parts, by link; and what happens when
//! Telegram fails.

use backend_mock::Provisioned;
use bytes::Bytes;
use serde_json::{Value, json};
use testkit::wire::Wire;
use testkit::{
    harness::{Harness, Settings, assert_error},
    http::{Reply, Request, percent_encode},
    upload::{File, sha256},
};

const LINK_SECRET: &str = "a-secret-of-the-tests-0123456789";
const OTHER_SECRET: &str = "another-secret-of-the-tests-0123";

/// Uploads a file, and gives its receipt.
async fn upload(harness: &Harness, user: &Provisioned, file: &File) -> Value {
    let request = Request::new("PUT", &format!("/upload/{}", percent_encode(&file.name)))
        .bearer(&user.auth_token)
        .header("content-type", &file.content_type)
        .body(vec![file.content.clone()]);
    let reply = harness.send(&request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn id_of(receipt: &Value) -> &str {
    receipt["fileId"].as_str().expect("a file id")
}

/// A request for a file of the demo user.
fn get(harness: &Harness, id: &str) -> Request {
    Request::new("GET", &format!("/files/{id}")).bearer(&harness.demo.auth_token)
}

fn head(harness: &Harness, id: &str) -> Request {
    Request::new("HEAD", &format!("/files/{id}")).bearer(&harness.demo.auth_token)
}

/// A large file in three parts, and its content. The manifest goes into the channel like any document.
async fn large(harness: &Harness, sizes: &[usize]) -> (String, Bytes) {
    let mut content = Vec::new();
    let mut parts = Vec::new();
    for (number, size) in (1_u64..).zip(sizes) {
        let mut part = File::seeded(*size, number);
        part.name = format!("film.mp4.{number:03}");
        let receipt = upload(harness, &harness.demo, &part).await;
        parts.push(json!({
            "messageId": receipt["messageId"],
            "fileId": receipt["fileId"],
            "fileUniqueId": receipt["fileUniqueId"],
            "size": size,
            "sha256": part.sha256(),
        }));
        content.extend_from_slice(&part.content);
    }
    let id = manifest(harness, content.len(), &parts.into()).await;
    (id, content.into())
}

/// Puts a manifest into the channel. The order of its fields is that of the worker's own.
async fn manifest(harness: &Harness, size: usize, parts: &Value) -> String {
    let document = format!(
        r#"{{"type":"telestore-manifest/1","name":"film 日本.mp4","size":{size},"mimeType":"video/mp4","parts":{parts}}}"#
    );
    let file = File::new("film.mp4.parts.json", document);
    id_of(&upload(harness, &harness.demo, &file).await).to_owned()
}

fn assert_file(reply: &Reply, status: u16, content: &[u8]) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.body.len(), content.len());
    assert_eq!(sha256(&reply.body), sha256(content));
    let length = content.len().to_string();
    assert_eq!(reply.header("content-length"), Some(length.as_str()));
    assert_eq!(reply.header("accept-ranges"), Some("bytes"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(
        reply.header("content-security-policy"),
        Some("sandbox; default-src 'none'")
    );
    let cache_control = reply.header("cache-control").expect("cache-control");
    assert!(cache_control.contains("private"), "{cache_control}");
    let exposed = reply
        .header("access-control-expose-headers")
        .expect("exposed");
    for name in [
        "Content-Range",
        "Accept-Ranges",
        "ETag",
        "Content-Length",
        "Content-Disposition",
    ] {
        assert!(exposed.contains(name), "{exposed}");
    }
    let etag = reply.header("etag").expect("an etag");
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_comes_back_as_it_went_up() {
    let harness = Harness::usual().await;
    for size in [1, 1000, 3_000_000] {
        let file = File::of_size(size);
        let receipt = upload(&harness, &harness.demo, &file).await;
        let id = id_of(&receipt);
        let reply = harness.send(&get(&harness, id)).await;
        assert_file(&reply, 200, &file.content);
        let head = harness.send(&head(&harness, id)).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in [
            "content-length",
            "etag",
            "content-type",
            "content-disposition",
        ] {
            assert_eq!(head.header(name), reply.header(name), "{name}");
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_are_clamped_with_and_without_a_file_server_that_heeds_them() {
    let harness = Harness::usual().await;
    let file = File::of_size(100_000);
    let receipt = upload(&harness, &harness.demo, &file).await;
    let id = id_of(&receipt);
    for faults in [
        json!([]),
        json!([{"on": "file", "times": -1, "ignore_range": true}]),
    ] {
        harness.faults(faults).await;
        for (range, bytes) in [
            ("bytes=0-0", Some(0..1)),
            ("bytes=0-99999", Some(0..100_000)),
            ("bytes=50000-", Some(50_000..100_000)),
            ("bytes=99999-1000000", Some(99_999..100_000)),
            ("bytes=-1", Some(99_999..100_000)),
            ("bytes=-1000000", Some(0..100_000)),
            ("bytes=10-19,30-39", None),
            ("bytes=9-5", None),
            ("chars=0-1", None),
        ] {
            let reply = harness
                .send(&get(&harness, id).header("range", range))
                .await;
            let Some(bytes) = bytes else {
                assert_file(&reply, 200, &file.content);
                continue;
            };
            assert_file(&reply, 206, &file.content[bytes.clone()]);
            let content_range = format!("bytes {}-{}/100000", bytes.start, bytes.end - 1);
            assert_eq!(
                reply.header("content-range"),
                Some(content_range.as_str()),
                "{range}"
            );
        }
        for range in ["bytes=100000-", "bytes=-0"] {
            let reply = harness
                .send(&get(&harness, id).header("range", range))
                .await;
            assert_error(&reply, 416, "range_not_satisfiable");
            assert_eq!(reply.header("content-range"), Some("bytes */100000"));
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_the_file_gets_a_304_and_another_version_whole() {
    let harness = Harness::usual().await;
    let file = File::of_size(5000);
    let receipt = upload(&harness, &harness.demo, &file).await;
    let id = id_of(&receipt);
    let whole = harness.send(&get(&harness, id)).await;
    let etag = whole.header("etag").expect("an etag").to_owned();
    for request in [get(&harness, id), head(&harness, id)] {
        let reply = harness.send(&request.header("if-none-match", &etag)).await;
        assert_eq!((reply.status, reply.body.len()), (304, 0));
        assert_eq!(reply.header("etag"), Some(etag.as_str()));
    }
    let ranged = |tag: &str| {
        get(&harness, id)
            .header("range", "bytes=10-19")
            .header("if-range", tag)
    };
    assert_file(
        &harness.send(&ranged(&etag)).await,
        206,
        &file.content[10..20],
    );
    assert_file(
        &harness.send(&ranged("\"other\"")).await,
        200,
        &file.content,
    );
    let reply = harness
        .send(&get(&harness, id).header("if-match", "\"other\""))
        .await;
    assert_error(&reply, 412, "precondition_failed");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_is_put_together_from_its_parts() {
    let harness = Harness::usual().await;
    let (id, content) = large(&harness, &[300_000, 200_000, 400_000]).await;
    for faults in [
        json!([]),
        json!([{"on": "file", "times": -1, "ignore_range": true}]),
    ] {
        harness.faults(faults).await;
        let reply = harness.send(&get(&harness, &id)).await;
        assert_file(&reply, 200, &content);
        assert_eq!(reply.header("content-type"), Some("video/mp4"));
        let disposition = reply.header("content-disposition").expect("a disposition");
        assert!(disposition.starts_with("attachment;"), "{disposition}");
        assert!(
            disposition.ends_with("filename*=UTF-8''film%20%E6%97%A5%E6%9C%AC.mp4"),
            "{disposition}"
        );
        for (range, bytes) in [
            ("bytes=299999-300000", 299_999..300_001),
            ("bytes=100000-600000", 100_000..600_001),
            ("bytes=300000-499999", 300_000..500_000),
            ("bytes=-1", 899_999..900_000),
        ] {
            let reply = harness
                .send(&get(&harness, &id).header("range", range))
                .await;
            assert_file(&reply, 206, &content[bytes]);
        }
    }
    let head = harness.send(&head(&harness, &id)).await;
    assert_eq!(head.header("content-length"), Some("900000"));
    let raw = get(&harness, &format!("{id}?raw=1"));
    let document = harness.send(&raw).await;
    assert_eq!(document.json()["type"], "telestore-manifest/1");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_manifest_is_refused_and_an_ordinary_document_is_served() {
    let harness = Harness::usual().await;
    let part = |id: &str, size: u64| json!({"messageId": 1, "fileId": id, "size": size});
    let file = File::of_size(1000);
    let own = upload(&harness, &harness.demo, &file).await;
    let other_user = harness.add_user().await;
    let foreign = upload(&harness, &other_user, &File::seeded(1000, 7)).await;
    for (size, parts, status, code) in [
        (
            999,
            json!([part(id_of(&own), 1000)]),
            502,
            "manifest_invalid",
        ),
        (0, json!([]), 502, "manifest_invalid"),
        (
            1001,
            json!([part(id_of(&own), 1001)]),
            502,
            "manifest_invalid",
        ),
        (5, json!([part("../../etc", 5)]), 502, "manifest_invalid"),
        (
            1000,
            json!([part(id_of(&foreign), 1000)]),
            404,
            "file_not_found",
        ),
    ] {
        let id = manifest(&harness, size, &parts).await;
        let reply = harness.send(&get(&harness, &id)).await;
        assert_error(&reply, status, code);
    }
    // A manifest within a manifest is bytes like any other.
    let inner = manifest(&harness, 1000, &json!([part(id_of(&own), 1000)])).await;
    let document = harness
        .send(&get(&harness, &format!("{inner}?raw=1")))
        .await
        .body;
    let outer = json!([part(&inner, document.len() as u64)]);
    let nested = manifest(&harness, document.len(), &outer).await;
    assert_file(&harness.send(&get(&harness, &nested)).await, 200, &document);
    // The first goes in one look, the second in two.
    for size in [100, 200_000] {
        let text = format!(r#"{{"type":"other","text":"{}"}}"#, "x".repeat(size));
        let file = File::new("data.json", text);
        let receipt = upload(&harness, &harness.demo, &file).await;
        let reply = harness.send(&get(&harness, id_of(&receipt))).await;
        assert_file(&reply, 200, &file.content);
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_telegram_breaks_off_the_client_sees_a_broken_body() {
    let harness = Harness::usual().await;
    let file = File::of_size(2_000_000);
    let receipt = upload(&harness, &harness.demo, &file).await;
    let id = id_of(&receipt);
    for ignore_range in [false, true] {
        let fault =
            json!([{"on": "file", "cut_after_bytes": 1_000_000, "ignore_range": ignore_range}]);
        harness.faults(fault).await;
        let request = get(&harness, id).header("range", "bytes=5-");
        let broken = harness.try_send(&request).await;
        assert!(broken.is_err(), "a body that looks whole: {ignore_range}");
    }
    // In the third part, and where the path of the second is asked for.
    let (id, content) = large(&harness, &[300_000, 300_000, 300_000]).await;
    assert_file(&harness.send(&get(&harness, &id)).await, 200, &content);
    let none = json!({"on": "file", "delay_ms": 0});
    let cut = json!({"on": "file", "cut_after_bytes": 100_000});
    harness.faults(json!([none, none, cut])).await;
    assert!(harness.try_send(&get(&harness, &id)).await.is_err());
    harness
        .faults(json!([none, {"on": "file", "status": 500}]))
        .await;
    assert!(harness.try_send(&get(&harness, &id)).await.is_err());
    // Before the first byte it is an error with a code.
    for (fault, status, code) in [
        (json!({"status": 500}), 502, "telegram_failed"),
        (
            json!({"status": 429, "headers": {"retry-after": "7"}}),
            429,
            "rate_limited",
        ),
        (json!({"drop": "before"}), 502, "telegram_unreachable"),
        (
            json!({"status": 302, "headers": {"location": "http://example.org"}}),
            502,
            "telegram_failed",
        ),
    ] {
        let mut fault = fault;
        fault["on"] = "file".into();
        harness.faults(json!([fault])).await;
        let reply = harness.send(&get(&harness, &id)).await;
        assert_error(&reply, status, code);
    }
    harness.faults(json!([])).await;
    assert_file(&harness.send(&get(&harness, &id)).await, 200, &content);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_has_ended_is_asked_for_again() {
    let harness = Harness::usual().await;
    let file = File::of_size(1000);
    let receipt = upload(&harness, &harness.demo, &file).await;
    let id = id_of(&receipt);
    harness
        .faults(json!([{"on": "get_file", "path_ttl_seconds": 0}]))
        .await;
    // The first path has ended at once, and the second is good.
    assert_file(&harness.send(&get(&harness, id)).await, 200, &file.content);
    harness.faults(json!([{"on": "file", "status": 404}])).await;
    assert_file(&harness.send(&get(&harness, id)).await, 200, &file.content);
    harness
        .faults(json!([{"on": "file", "times": 2, "status": 404}]))
        .await;
    assert_error(
        &harness.send(&get(&harness, id)).await,
        502,
        "file_not_served",
    );
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_files_own_user_gets_it() {
    let harness = Harness::usual().await;
    let file = File::of_size(1000);
    let receipt = upload(&harness, &harness.demo, &file).await;
    let id = id_of(&receipt);
    let path = format!("/files/{id}");
    let other = harness.add_user().await;
    let reply = harness.send(&Request::new("GET", &path)).await;
    assert_error(&reply, 401, "token_required");
    let reply = harness
        .send(&Request::new("GET", &path).bearer("nobody"))
        .await;
    assert_error(&reply, 401, "token_refused");
    let reply = harness
        .send(&Request::new("GET", &path).bearer(&other.auth_token))
        .await;
    assert_error(&reply, 404, "file_not_found");
    let reply = harness
        .send(&get(&harness, id).header("x-user-id", &other.user_id))
        .await;
    assert_error(&reply, 403, "wrong_user");
    for wrong in ["nothing", "a.b", "%2e%2e"] {
        let reply = harness.send(&get(&harness, wrong)).await;
        assert_error(&reply, 404, "file_not_found");
    }
    // With a bot that was replaced, the new one is asked at once.
    harness.revoke_bot(&harness.demo).await;
    let reply = harness.send(&get(&harness, id)).await;
    assert_error(&reply, 502, "bot_token_rejected");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_over_twenty_megabytes_is_refused_with_the_reason() {
    let harness = Harness::usual().await;
    let receipt = upload(&harness, &harness.demo, &File::of_size(21 * 1024 * 1024)).await;
    assert_eq!(receipt["downloadable"], false);
    let reply = harness.send(&get(&harness, id_of(&receipt))).await;
    let told = assert_error(&reply, 413, "too_large_for_bot_api");
    assert_eq!(told["retryable"], false);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_types_reach_the_browser_and_nothing_runs_there() {
    let harness = Harness::usual().await;
    let file = File::new("page.html", "<script>alert(1)</script>");
    let receipt = upload(&harness, &harness.demo, &file).await;
    let id = id_of(&receipt);
    for (query, content_type, disposition) in [
        (
            "inline=1".to_owned(),
            "text/html; charset=utf-8",
            "attachment; filename=\"file_1.html\"; filename*=UTF-8''file_1.html",
        ),
        (
            format!("inline=1&name={}", percent_encode("図 \"1\"🎉.png")),
            "image/png",
            "inline; filename=\"_ _1__.png\"; \
             filename*=UTF-8''%E5%9B%B3%20%221%22%F0%9F%8E%89.png",
        ),
        (
            format!("inline=1&name={}", percent_encode("a.svg")),
            "image/svg+xml",
            "attachment; filename=\"a.svg\"; filename*=UTF-8''a.svg",
        ),
        (
            format!("name={}", percent_encode("a\r\nX-Evil: 1\n.txt")),
            "text/plain; charset=utf-8",
            "attachment; filename=\"a__X-Evil: 1_.txt\"; \
             filename*=UTF-8''a__X-Evil%3A%201_.txt",
        ),
    ] {
        let reply = harness.send(&get(&harness, &format!("{id}?{query}"))).await;
        assert_file(&reply, 200, &file.content);
        assert_eq!(reply.header("content-type"), Some(content_type));
        assert_eq!(reply.header("content-disposition"), Some(disposition));
        assert_eq!(reply.header("x-evil"), None);
    }
    harness.finish().await;
}

/// Asks for a link, and gives the path of its URL.
async fn link(harness: &Harness, id: &str, body: &str) -> String {
    let request = Request::new("POST", &format!("/files/{id}/link"))
        .bearer(&harness.demo.auth_token)
        .header("content-type", "application/json")
        .body(vec![Bytes::copy_from_slice(body.as_bytes())]);
    let reply = harness.send(&request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let told = reply.json();
    assert!(
        told["expiresAt"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z'))
    );
    let url = told["url"].as_str().expect("a url");
    url.strip_prefix("http://worker.example.org")
        .expect("the worker's own")
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_works_without_a_header_until_its_end() {
    let settings = || Settings::default().set("LINK_SECRET", LINK_SECRET);
    let harness = Harness::start(settings()).await;
    let file = File::of_size(10_000);
    let receipt = upload(&harness, &harness.demo, &file).await;
    let id = id_of(&receipt);
    let path = link(
        &harness,
        id,
        r#"{"expiresIn":600,"name":"cat.png","inline":true}"#,
    )
    .await;
    let reply = harness.send(&Request::new("GET", &path)).await;
    assert_file(&reply, 200, &file.content);
    assert_eq!(reply.header("content-type"), Some("image/png"));
    let disposition = reply.header("content-disposition").expect("a disposition");
    assert!(
        disposition.starts_with("inline; filename=\"cat.png\""),
        "{disposition}"
    );
    let ranged = Request::new("GET", &path).header("range", "bytes=1-2");
    assert_file(&harness.send(&ranged).await, 206, &file.content[1..3]);
    let head = harness.send(&Request::new("HEAD", &path)).await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("10000"))
    );
    let last = if path.ends_with('A') { "B" } else { "A" };
    let tampered = format!("{}{last}", &path[..path.len() - 1]);
    let middle = path.len() / 2;
    let cut = path[..middle].to_owned();
    for wrong in [tampered, cut, "/l/AAAA".to_owned(), "/l/".to_owned()] {
        let reply = harness.send(&Request::new("GET", &wrong)).await;
        assert_error(&reply, 403, "link_invalid");
    }
    let short = link(&harness, id, r#"{"expiresIn":1}"#).await;
    let expired = harness
        .eventually("the link to expire", || {
            let request = Request::new("GET", &short);
            let harness = &harness;
            async move {
                let reply = harness.send(&request).await;
                (reply.status != 200).then_some(reply)
            }
        })
        .await;
    assert_error(&expired, 403, "link_expired");
    // The link is in no log.
    assert!(!harness.log().contains(&path[3..40]));
    harness.finish().await;

    // Another secret knows nothing of it.
    let other = Harness::start(settings().set("LINK_SECRET", OTHER_SECRET)).await;
    let reply = other.send(&Request::new("GET", &path)).await;
    assert_error(&reply, 403, "link_invalid");
    other.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_made_only_for_who_may_have_the_file() {
    let harness = Harness::start(Settings::default().set("LINK_SECRET", LINK_SECRET)).await;
    let receipt = upload(&harness, &harness.demo, &File::of_size(10)).await;
    let id = id_of(&receipt);
    let other = harness.add_user().await;
    let ask = |id: &str, token: &str, body: &'static str| {
        let body = Bytes::from_static(body.as_bytes());
        Request::new("POST", &format!("/files/{id}/link"))
            .bearer(token)
            .body(vec![body])
    };
    let own = &harness.demo.auth_token;
    for (request, status, code) in [
        (ask(id, "nobody", "{}"), 401, "token_refused"),
        (ask(id, &other.auth_token, "{}"), 404, "file_not_found"),
        (ask("nothing", own, "{}"), 404, "file_not_found"),
        (
            ask(id, own, r#"{"expiresIn":604801}"#),
            400,
            "bad_link_request",
        ),
        (ask(id, own, "[]"), 400, "bad_link_request"),
        (ask(id, own, "x"), 400, "bad_link_request"),
    ] {
        assert_error(&harness.send(&request).await, status, code);
    }
    harness.finish().await;

    let without = Harness::usual().await;
    let reply = without
        .send(&ask("abc", &without.demo.auth_token, "{}"))
        .await;
    assert_error(&reply, 501, "links_not_configured");
    assert_error(
        &without.send(&Request::new("GET", "/l/abc")).await,
        501,
        "links_not_configured",
    );
    without.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_says_that_the_worker_is_there_and_the_config_what_it_takes() {
    let settings = Settings::default()
        .set("LINK_SECRET", LINK_SECRET)
        .set("PART_BYTES", "1000000")
        .set("MAX_FILE_BYTES", "5000000");
    let harness = Harness::start(settings).await;
    let root = harness.send(&Request::new("GET", "/")).await;
    assert_eq!(root.status, 200);
    let told = root.json();
    assert_eq!(
        (&told["status"], &told["service"]),
        (&json!("ok"), &json!("telestore-worker"))
    );
    let config = harness.send(&Request::new("GET", "/config")).await.json();
    assert_eq!(config["backendUrl"], harness.backend_url());
    assert_eq!(config["partBytes"], 1_000_000);
    assert_eq!(config["maxFileBytes"], 5_000_000);
    assert_eq!(config["links"], true);
    let fields = config.as_object().expect("an object");
    assert!(!fields.values().any(|value| value == LINK_SECRET));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_ends_the_download() {
    let harness = Harness::usual().await;
    let file = File::of_size(18_000_000);
    let receipt = upload(&harness, &harness.demo, &file).await;
    let mut client = Wire::connect(harness.address()).await.expect("a worker");
    let request = get(&harness, id_of(&receipt)).wire().concat();
    client.write(&request).await.expect("it takes the request");
    // The download has begun, and most of it is still to come.
    client.head().await.expect("a reply");
    client.reset();
    harness
        .eventually("the download to end", || {
            let interrupted = harness.log().contains("\"download_interrupted\"");
            async move { interrupted.then_some(()) }
        })
        .await;
    let reply = harness.send(&get(&harness, id_of(&receipt))).await;
    assert_file(&reply, 200, &file.content);
    harness.finish().await;
}
