//! The backend out, credentials that change, and what `GET /check` finds.

use super::*;

use crate::config::WebhookSecret;
use crate::webhook::Signature;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const WITH_SECRET: &[(&str, &str)] = &[("WEBHOOK_SECRET", SECRET)];

fn small() -> Request {
    Request::form(&[TOKEN, File(content(1000))])
}

fn with_token(token: &'static str) -> Request {
    Request::form(&[Field("authToken", token), File(content(1000))])
}

fn check(token: Option<&str>) -> Request {
    let head = RequestHead {
        method: "GET".to_owned(),
        path: "/check".to_owned(),
        authorization: token.map(|token| format!("Bearer {token}")),
        ..RequestHead::default()
    };
    Request {
        head,
        ..Request::raw(Vec::new())
    }
}

fn hook(body: &str, now: u64) -> Request {
    let secret = WebhookSecret::parse(SECRET).expect("a secret");
    let timestamp = now / 1000;
    let signature = Signature {
        id: "msg_1".to_owned(),
        timestamp: timestamp.to_string(),
        signatures: secret.sign("msg_1", timestamp, body.as_bytes()),
    };
    let head = RequestHead {
        method: "POST".to_owned(),
        path: "/hooks/credentials".to_owned(),
        signature: Some(signature),
        ..RequestHead::default()
    };
    Request {
        head,
        ..Request::raw(body.as_bytes().to_vec())
    }
}

impl Bench {
    fn upload_well(&self, request: Request) -> Told {
        self.host.script(Script::answering(stored()));
        let told = self.send(request);
        assert_eq!(told.reply.status, 200, "{}", told.json);
        self.host.run_deferred();
        told
    }

    fn asked_backend(&self) -> usize {
        self.host.calls_to("/credentials").len()
    }

    fn source(&self) -> String {
        let lines = self.host.0.lines.borrow();
        let line: Value = serde_json::from_str(lines.last().expect("a line")).expect("JSON");
        line["credentials"].as_str().unwrap_or("none").to_owned()
    }
}

#[test]
fn behind_five_outages_stale_credentials_are_served_without_asking() {
    let bench = Bench::new();
    for token in ["a", "b", "c", "d", "e", "f", "g"] {
        bench.upload_well(with_token(token));
    }
    assert_eq!(bench.asked_backend(), 7);
    // All of them are past their hour, and the backend is out.
    bench.host.advance(3_700_000);
    bench
        .host
        .answers("/credentials", [Err(CallFault::Timeout)]);
    for (token, asked) in [
        ("a", 8),
        ("b", 9),
        ("c", 10),
        ("d", 11),
        ("e", 12),
        ("f", 12),
    ] {
        bench.upload_well(with_token(token));
        assert_eq!(bench.source(), "stale", "{token}");
        assert_eq!(bench.asked_backend(), asked, "{token}");
    }
    // Who has nothing to fall back on asks.
    let told = bench.send(with_token("new"));
    assert_eq!(told.code(), (504, "backend_timeout"));
    assert_eq!(bench.asked_backend(), 13);
    // Now and then one probes, and when the backend is back all go on as usual.
    bench.host.advance(5_000);
    bench.host.answers("/credentials", [Ok(credentials(BOT))]);
    bench.upload_well(with_token("g"));
    assert_eq!(bench.source(), "miss");
    bench.upload_well(with_token("f"));
    assert_eq!(bench.source(), "miss");
}

#[test]
fn a_user_whose_credentials_changed_is_forgotten_by_the_isolate_that_hears_of_it() {
    let bench = Bench::with(WITH_SECRET);
    bench.upload_well(small());
    bench.upload_well(small());
    assert_eq!(bench.asked_backend(), 1);
    let told = bench.send(hook(r#"{"user_id":"another"}"#, bench.host.now()));
    assert_eq!(told.json["propagated"], false, "there are no objects");
    bench.upload_well(small());
    assert_eq!(bench.asked_backend(), 1);
    bench
        .host
        .answers("/credentials", [Ok(credentials(OTHER_BOT))]);
    let told = bench.send(hook(r#"{"user_id":"u"}"#, bench.host.now()));
    assert_eq!(told.reply.status, 200);
    bench.upload_well(small());
    assert_eq!(bench.asked_backend(), 2);
    assert!(bench.upload(3).url.contains(OTHER_BOT));
    for (body, status) in [("{}", 400), ("", 400), (r#"{"user_id":7}"#, 400)] {
        assert_eq!(
            bench.send(hook(body, bench.host.now())).reply.status,
            status
        );
    }
    let mut forged = hook(r#"{"user_id":"u"}"#, bench.host.now());
    forged.bytes = br#"{"user_id":"v"}"#.to_vec();
    assert_eq!(bench.send(forged).code(), (403, "signature_refused"));
}

/// Two isolates that share the durable objects.
#[test]
fn every_isolate_forgets_a_user_within_a_minute_and_no_busy_one_waits_for_that() {
    let mut bench = Bench::with(WITH_SECRET);
    let settings = |name| {
        let known = |(known, value): &(&str, &str)| (*known == name).then(|| (*value).to_owned());
        WITH_SECRET
            .iter()
            .find_map(known)
            .or_else(|| variable(name))
    };
    bench
        .host
        .bind_objects(Config::read(settings).expect("settings"));
    bench.upload_well(small());
    let other = std::mem::take(&mut bench.isolate);
    bench.send(hook(r#"{"user_id":"u"}"#, bench.host.now()));
    let hearing = std::mem::replace(&mut bench.isolate, other);

    // It knew a moment ago that there was nothing.
    bench.upload_well(small());
    assert_eq!(bench.asked_backend(), 1);
    // It asks beside this upload, and knows it for the next one.
    bench.host.advance(20_000);
    bench.upload_well(small());
    assert_eq!(bench.asked_backend(), 1);
    bench.upload_well(small());
    assert_eq!(bench.asked_backend(), 2);

    // One that was idle for a minute asks first.
    let other = std::mem::replace(&mut bench.isolate, hearing);
    bench.host.advance(30_000);
    bench.send(hook(r#"{"user_id":"u"}"#, bench.host.now()));
    bench.isolate = other;
    bench.host.advance(60_000);
    bench.upload_well(small());
    assert_eq!(bench.asked_backend(), 3);

    // Past what the object remembers, everything is forgotten.
    bench.upload_well(small());
    assert_eq!(bench.asked_backend(), 3);
    for _ in 0..2 {
        bench.host.advance(4_000_000 - 500_000);
        let other = std::mem::take(&mut bench.isolate);
        bench.send(hook(r#"{"user_id":"another"}"#, bench.host.now()));
        bench.isolate = other;
    }
    // An object that is out of order keeps nobody from uploading.
    bench.host.0.objects_are_down.set(true);
    bench.upload_well(small());
}

#[test]
fn while_nobody_knows_who_was_revoked_the_backend_confirms_what_is_over_a_minute_old() {
    let bench = Bench::with(WITH_SECRET);
    let settings = |name| {
        let known = |(known, value): &(&str, &str)| (*known == name).then(|| (*value).to_owned());
        WITH_SECRET
            .iter()
            .find_map(known)
            .or_else(|| variable(name))
    };
    bench
        .host
        .bind_objects(Config::read(settings).expect("settings"));
    bench.upload_well(small());
    bench.host.0.objects_are_down.set(true);
    for asked in 2..4 {
        bench.host.advance(60_001);
        bench.upload_well(small());
        assert_eq!(bench.asked_backend(), asked);
        // What was confirmed a moment ago holds for a minute.
        bench.upload_well(small());
        assert_eq!(bench.asked_backend(), asked);
    }
    bench.host.answers("/credentials", [Ok(answer(401, "{}"))]);
    bench.host.advance(60_001);
    assert_eq!(bench.send(small()).code(), (401, "token_refused"));
    bench.host.answers("/credentials", [Ok(credentials(BOT))]);
    bench.host.advance(5_001);
    bench.upload_well(small());
    bench
        .host
        .answers("/credentials", [Err(CallFault::Network)]);
    bench.host.advance(60_001);
    bench.upload_well(small());
}

#[test]
fn without_the_secret_no_object_is_asked_who_changed() {
    let bench = Bench::with_objects();
    bench.upload_well(small());
    bench.host.advance(100_000);
    bench.upload_well(small());
    assert!(bench.host.0.asked.borrow().is_empty());
}

#[test]
fn a_user_whom_the_rate_limit_keeps_out_is_told_to_come_again() {
    for (lane, request) in lanes(1000) {
        let bench = Bench::new();
        *bench.host.0.kept_out.borrow_mut() = Some("u".to_owned());
        let told = bench.send(request);
        assert_eq!(told.code(), (429, "too_many_uploads"), "{lane}");
        assert_eq!(told.json["retryAfter"], 10);
        assert_eq!(bench.uploads(), 0, "{lane}");
    }
    let bench = Bench::with_telegram();
    *bench.host.0.kept_out.borrow_mut() = Some("u".to_owned());
    let told = bench.send(check(Some("t")));
    assert_eq!(told.code(), (429, "too_many_uploads"));
    assert!(bench.host.calls_to("/getMe").is_empty());
}

fn result(json: &str) -> Answer {
    answer(200, &format!(r#"{{"ok":true,"result":{json}}}"#))
}

impl Bench {
    fn with_telegram() -> Self {
        let bench = Self::new();
        bench.host.answers("/getMe", [Ok(result(r#"{"id":123}"#))]);
        bench
            .host
            .answers("/getChat?", [Ok(result(r#"{"type":"channel"}"#))]);
        let member = r#"{"status":"administrator","can_post_messages":true}"#;
        bench.host.answers("/getChatMember", [Ok(result(member))]);
        bench
    }

    /// The status of everything that was checked, in the order in which it depends on each other.
    fn check(&self) -> (String, [String; 5], Value) {
        let told = self.send(check(Some("t")));
        assert_eq!(told.reply.status, 200, "{}", told.json);
        let checks = told.json["checks"].clone();
        let status = |name| {
            let check: &Value = &checks[name];
            let code = check["code"].as_str().or(check["status"].as_str());
            code.expect("a status").to_owned()
        };
        let all = ["backend", "credentials", "bot", "channel", "post"].map(status);
        let whole = told.json["status"].as_str().expect("a status").to_owned();
        (whole, all, checks)
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn a_check_finds_what_an_upload_would_run_into() {
    let ok = "ok";
    let unknown = "unknown";
    let bench = Bench::with_telegram();
    let (whole, all, checks) = bench.check();
    assert_eq!((whole.as_str(), all), ("ok", [ok; 5].map(str::to_owned)));
    assert_eq!(checks["credentials"]["source"], "miss");
    assert_eq!(bench.check().2["credentials"]["source"], "hit");
    assert_eq!(
        bench.asked_backend(),
        2,
        "whether it is there is asked anew"
    );
    assert_eq!(bench.uploads(), 0);

    let words = |code: u16, words: &str| Ok(telegram_error(code, words));
    for (part, answer, expected) in [
        (
            "/getMe",
            words(401, "Unauthorized"),
            [ok, ok, "bot_token_rejected", unknown, unknown],
        ),
        (
            "/getMe",
            Err(CallFault::Network),
            [ok, ok, "telegram_unreachable", unknown, unknown],
        ),
        (
            "/getChat?",
            words(400, "Bad Request: chat not found"),
            [ok, ok, ok, "chat_refused", unknown],
        ),
        (
            "/getChatMember",
            Ok(result(r#"{"status":"member"}"#)),
            [ok, ok, ok, ok, "chat_refused"],
        ),
        (
            "/getChatMember",
            Ok(super::answer(200, "<html>")),
            [ok, ok, ok, ok, "telegram_failed"],
        ),
        (
            "/credentials",
            Ok(super::answer(401, r#"{"detail":"Invalid token"}"#)),
            [ok, "token_refused", unknown, unknown, unknown],
        ),
        (
            "/credentials",
            Ok(super::answer(503, "")),
            ["backend_failed", unknown, unknown, unknown, unknown],
        ),
        (
            "/credentials",
            Err(CallFault::Timeout),
            ["backend_timeout", unknown, unknown, unknown, unknown],
        ),
    ] {
        let bench = Bench::with_telegram();
        bench.host.answers(part, [answer]);
        let (whole, all, checks) = bench.check();
        assert_eq!(all, expected.map(str::to_owned), "{part}");
        assert_eq!(whole, "failed", "{part}");
        let text = checks.to_string();
        assert!(!text.contains(BOT) && !text.contains("Bearer"), "{text}");
    }

    // An upload goes well with stale credentials, and so does the check; it says what is the matter.
    let bench = Bench::with_telegram();
    bench.check();
    bench.host.advance(3_700_000);
    bench
        .host
        .answers("/credentials", [Err(CallFault::Timeout)]);
    let (whole, all, checks) = bench.check();
    assert_eq!(all, ["backend_timeout", ok, ok, ok, ok].map(str::to_owned));
    assert_eq!(whole, "ok");
    assert_eq!(checks["credentials"]["source"], "stale");

    let told = bench.send(check(None));
    assert_eq!(told.code(), (401, "token_required"));
}
