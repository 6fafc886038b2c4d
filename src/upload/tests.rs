//! The story of an upload, lane by lane, with a scripted Telegram and virtual time.

mod backend;
mod repeats;

use std::rc::Rc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::config::Config;
use crate::host::{Answer, CallFault, Host as _};
use crate::http::{Reply, RequestHead};
use crate::isolate::{BUFFER_BUDGET_BYTES, Isolate};
use crate::routes;
use crate::testing::{End, Moment, Script, TestBody, TestHost, Upload, answer};

const BOT: &str = "123:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const OTHER_BOT: &str = "456:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
const MAX_UPLOAD: u64 = 4_000_000;
const UNKNOWN: &str =
    "The file may have been stored: look into the channel before you upload it again";

fn credentials(bot: &str) -> Answer {
    answer(
        200,
        &format!(r#"{{"bot_token":"{bot}","channel_id":"-1001","user_id":"u"}}"#),
    )
}

fn stored() -> Answer {
    answer(
        200,
        r#"{"ok":true,"result":{"message_id":7,"document":{"file_id":"F","file_unique_id":"U"}}}"#,
    )
}

fn telegram_error(code: u16, words: &str) -> Answer {
    answer(
        code,
        &format!(r#"{{"ok":false,"error_code":{code},"description":"{words}"}}"#),
    )
}

fn variable(name: &'static str) -> Option<String> {
    match name {
        "BACKEND_URL" => Some("https://backend".to_owned()),
        "MAX_UPLOAD_BYTES" => Some(MAX_UPLOAD.to_string()),
        _ => None,
    }
}

/// A worker with a backend that knows everybody.
struct Bench {
    isolate: Isolate,
    host: TestHost,
    variables: &'static [(&'static str, &'static str)],
}

impl Bench {
    fn new() -> Self {
        Self::with(&[])
    }

    /// With these settings beside the usual ones.
    fn with(variables: &'static [(&'static str, &'static str)]) -> Self {
        let host = TestHost::default();
        host.answers("/credentials", [Ok(credentials(BOT))]);
        host.answers("/webhook", [Ok(answer(200, "{}"))]);
        Self {
            isolate: Isolate::default(),
            host,
            variables,
        }
    }

    /// The same with durable objects.
    fn with_objects() -> Self {
        let bench = Self::new();
        bench
            .host
            .bind_objects(Config::read(variable).expect("settings"));
        bench
    }

    fn send(&self, request: Request) -> Told {
        self.send_while(request, || true).expect("a reply")
    }

    /// Sends a request to an isolate that dies as soon as `lives` says so.
    fn send_while(&self, request: Request, lives: impl Fn() -> bool) -> Option<Told> {
        let variable = |name| {
            let known =
                |(known, value): &(&str, &str)| (*known == name).then(|| (*value).to_owned());
            self.variables
                .iter()
                .find_map(known)
                .or_else(|| variable(name))
        };
        let Request {
            head,
            bytes,
            piece,
            end,
        } = request;
        let mut body = TestBody::new(&bytes, piece, end);
        let serving = routes::serve(&self.isolate, variable, &self.host, &head, &mut body);
        let reply = self.host.run_while(serving, lives)?.reply;
        let json = serde_json::from_str(&reply.body).unwrap_or(Value::Null);
        Some(Told { reply, json })
    }

    fn uploads(&self) -> usize {
        self.host.0.uploads.borrow().len()
    }

    fn upload(&self, index: usize) -> Rc<Upload> {
        Rc::clone(&self.host.0.uploads.borrow()[index])
    }

    /// That nothing can have been stored: no body came to its closing boundary.
    fn assert_nothing_stored(&self) {
        for upload in self.host.0.uploads.borrow().iter() {
            assert!(
                !upload.closed.get() && upload.aborted.get(),
                "the body was ended well"
            );
            let bytes = upload.bytes.borrow();
            assert!(
                memchr::memmem::find(&bytes, b"--\r\n").is_none_or(|at| at < bytes.len() - 4),
                "the closing boundary was written"
            );
        }
        assert!(
            self.host.calls_to("/webhook").is_empty(),
            "the backend was told of it"
        );
    }
}

struct Told {
    reply: Reply,
    json: Value,
}

impl Told {
    fn code(&self) -> (u16, &str) {
        (
            self.reply.status,
            self.json["code"].as_str().unwrap_or("none"),
        )
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.reply.headers.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn retryable(&self) -> bool {
        self.json["retryable"].as_bool().expect("retryable")
    }
}

struct Request {
    head: RequestHead,
    bytes: Vec<u8>,
    piece: usize,
    end: End,
}

impl Request {
    fn raw(bytes: Vec<u8>) -> Self {
        let head = RequestHead {
            method: "PUT".to_owned(),
            path: "/upload/f.bin".to_owned(),
            content_length: Some(bytes.len() as u64),
            authorization: Some("Bearer t".to_owned()),
            ..RequestHead::default()
        };
        Self {
            head,
            bytes,
            piece: 64 * 1024,
            end: End::Good,
        }
    }

    fn form(parts: &[Part]) -> Self {
        let mut bytes = Vec::new();
        for part in parts {
            let (name, content) = match part {
                Part::Field(name, value) => (format!("name=\"{name}\""), value.as_bytes()),
                Part::Text(name, value) => (format!("name=\"{name}\""), value.as_bytes()),
                Part::Named(name, content) => (
                    format!("name=\"file\"; filename=\"{name}\""),
                    content.as_slice(),
                ),
                Part::File(content) => (
                    "name=\"file\"; filename=\"f.bin\"".to_owned(),
                    content.as_slice(),
                ),
            };
            bytes.extend_from_slice(
                format!("--b\r\nContent-Disposition: form-data; {name}\r\n\r\n").as_bytes(),
            );
            bytes.extend_from_slice(content);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"--b--\r\n");
        let head = RequestHead {
            method: "POST".to_owned(),
            path: "/upload".to_owned(),
            content_type: Some("multipart/form-data; boundary=b".to_owned()),
            content_length: Some(bytes.len() as u64),
            ..RequestHead::default()
        };
        Self {
            head,
            bytes,
            piece: 64 * 1024,
            end: End::Good,
        }
    }

    fn cut(mut self, bytes: usize, end: End) -> Self {
        self.bytes.truncate(bytes);
        self.end = end;
        self
    }

    fn chunked(mut self) -> Self {
        self.head.content_length = None;
        self
    }

    fn key(mut self, key: &str) -> Self {
        self.head.idempotency_key = Some(key.to_owned());
        self
    }

    fn with_token(mut self) -> Self {
        self.head.authorization = Some("bearer t".to_owned());
        self
    }
}

enum Part {
    Field(&'static str, &'static str),
    /// The same with an owned value.
    Text(&'static str, String),
    File(Vec<u8>),
    /// A file whose name is written like this.
    Named(String, Vec<u8>),
}

use Part::{Field, File};

fn content(bytes: usize) -> Vec<u8> {
    // Full of what could be taken for a delimiter.
    b"\r\n--a\r\n--"
        .iter()
        .copied()
        .cycle()
        .take(bytes)
        .collect()
}

const TOKEN: Part = Field("authToken", "t");

/// One request for each lane, with the lane's name.
fn lanes(bytes: usize) -> [(&'static str, Request); 4] {
    [
        ("raw", Request::raw(content(bytes))),
        (
            "streamed",
            Request::form(&[TOKEN, File(content(bytes))]).chunked(),
        ),
        (
            "buffered",
            Request::form(&[File(content(bytes)), TOKEN]).chunked(),
        ),
        ("small", Request::form(&[File(content(bytes)), TOKEN])),
    ]
}

#[test]
fn every_lane_posts_the_same_file_and_tells_the_backend() {
    let bytes = 200_000;
    for (lane, request) in lanes(bytes) {
        let bench = Bench::new();
        bench.host.script(Script::answering(stored()));
        let told = bench.send(request);
        assert_eq!(told.reply.status, 200, "{lane}: {}", told.json);
        assert_eq!(told.json["messageId"], 7);
        assert_eq!(told.json["fileId"], "F");
        assert_eq!(told.json["size"], bytes);
        assert_eq!(told.json["notified"], "ok");
        let upload = bench.upload(0);
        let posted = upload.bytes.borrow();
        assert!(upload.closed.get());
        assert_eq!(
            upload.length,
            upload.length.map(|_| posted.len() as u64),
            "{lane}"
        );
        let at = memchr::memmem::find(&posted, &content(bytes)).expect("the file");
        assert!(posted.starts_with(b"--") && posted.ends_with(b"--\r\n"));
        assert_eq!(&posted[at - 4..at], b"\r\n\r\n");
        let event: Value =
            serde_json::from_slice(&bench.host.calls_to("/webhook")[0].body).expect("event");
        assert_eq!(event["fileId"], "F");
        assert_eq!(event["size"], bytes);
        let line: Value = serde_json::from_str(&bench.host.0.lines.borrow()[0]).expect("log line");
        assert_eq!(line["lane"], lane);
        assert_eq!(line["status"], 200);
    }
}

#[test]
fn a_client_that_goes_away_midway_leaves_nothing_in_any_lane() {
    for (lane, request) in lanes(200_000) {
        let bench = Bench::new();
        bench.host.script(Script::answering(stored()));
        let told = bench.send(request.cut(150_000, End::Gone));
        // A native pipe can't tell whose connection broke.
        let code = match lane {
            "raw" => "upload_interrupted",
            _ => "client_disconnected",
        };
        assert_eq!(told.code(), (400, code), "{lane}");
        bench.assert_nothing_stored();
    }
}

#[test]
fn a_form_that_ends_before_its_closing_boundary_leaves_nothing() {
    for (lane, request) in lanes(200_000).into_iter().skip(1) {
        let bench = Bench::new();
        bench.host.script(Script::answering(stored()));
        let told = bench.send(request.cut(200_100, End::Good));
        assert_eq!(told.code(), (400, "body_truncated"), "{lane}");
        assert!(told.retryable());
        bench.assert_nothing_stored();
    }
}

#[test]
fn trouble_behind_the_file_leaves_nothing() {
    let file = || File(content(300_000));
    for (parts, code) in [
        (vec![file(), File(content(1))], (400, "second_file")),
        (
            vec![file(), Field("authToken", "other")],
            (400, "tokens_differ"),
        ),
        (
            vec![file(), Field("authToken", "a b")],
            (401, "token_malformed"),
        ),
        (
            vec![file(), Field("userId", "somebody else")],
            (403, "wrong_user"),
        ),
        (
            vec![file(), Field("userId", "u"), Field("userId", "v")],
            (400, "malformed_form"),
        ),
        (vec![File(Vec::new()), Field("x", "y")], (400, "file_empty")),
        (vec![File(content(4_000_001))], (413, "file_too_large")),
    ] {
        let bench = Bench::new();
        bench.host.script(Script::answering(stored()));
        let told = bench.send(Request::form(&parts).with_token().chunked());
        assert_eq!(told.code(), code);
        bench.assert_nothing_stored();
    }
}

#[test]
fn what_comes_behind_the_file_still_counts() {
    let bench = Bench::new();
    bench.host.script(Script::answering(stored()));
    let parts = [
        File(content(300_000)),
        Field("fileName", "true.bin"),
        Field("userId", "u"),
        Field("caption", "late"),
    ];
    let told = bench.send(Request::form(&parts).with_token());
    assert_eq!(told.json["fileName"], "true.bin");
    let upload = bench.upload(0);
    let posted = String::from_utf8_lossy(&upload.bytes.borrow()).into_owned();
    assert!(posted.contains("name=\"caption\"\r\n\r\nlate\r\n--"));
    assert!(!posted.contains("Uploaded:"));
}

/// In the order: what the client sends as `fileName`, as the part's own name and in a raw upload's URL;
/// what reply, notification and caption say.
#[test]
fn a_name_goes_on_without_its_path_and_without_control_characters() {
    for (given, name) in [
        ("a\0b.txt", "ab.txt"),
        ("line\r\nbreak\u{85}\x7f.txt", "linebreak.txt"),
        (r"C:\Users\Ann\a.txt", "a.txt"),
        ("/home/ann/a.dat", "a.dat"),
        ("..", "file"),
        ("dir/", "file"),
    ] {
        let raw = |path: String, query: String| {
            let mut request = Request::raw(content(10));
            (request.head.path, request.head.query) = (path, query);
            request
        };
        let escaped = utf8_percent_encode(given, NON_ALPHANUMERIC).to_string();
        let written = given.replace('\r', "%0D").replace('\n', "%0A");
        let part = |content: Vec<u8>| Part::Named(written.clone(), content);
        // A part's header can't have a NUL.
        let writable = !given.contains('\0');
        let requests = [
            Some(raw(format!("/upload/{escaped}"), String::new())),
            writable.then(|| Request::form(&[part(content(10)), TOKEN])),
            writable.then(|| Request::form(&[TOKEN, part(content(10))]).chunked()),
            Some(Request::form(&[
                Part::Text("fileName", given.to_owned()),
                Part::Named(String::new(), content(10)),
                TOKEN,
            ])),
        ];
        for request in requests.into_iter().flatten() {
            let bench = Bench::new();
            bench.host.script(Script::answering(stored()));
            let told = bench.send(request);
            assert_eq!(told.json["fileName"], name, "{given:?}");
            let event: Value =
                serde_json::from_slice(&bench.host.calls_to("/webhook")[0].body).expect("event");
            assert_eq!(event["fileName"], name, "{given:?}");
            let upload = bench.upload(0);
            let posted = String::from_utf8_lossy(&upload.bytes.borrow()).into_owned();
            assert!(
                posted.contains(&format!("Uploaded: {name}\r\n")),
                "{given:?}"
            );
            assert!(
                posted.contains(&format!("filename=\"{name}\"")),
                "{given:?}"
            );
        }
    }
}

/// As tdlib counts: an emoji is one character, not two UTF-16 code units and not four bytes.
#[test]
fn a_caption_has_at_most_1024_code_points_before_and_after_the_file() {
    for (characters, status) in [(1024, 200), (1025, 400)] {
        let caption = || Part::Text("caption", "🎉".repeat(characters));
        let file = || File(content(300_000));
        let orders = [
            [caption(), TOKEN, file()],
            [TOKEN, file(), caption()],
            [file(), TOKEN, caption()],
        ];
        for parts in orders {
            for request in [Request::form(&parts), Request::form(&parts).chunked()] {
                let bench = Bench::new();
                bench.host.script(Script::answering(stored()));
                let told = bench.send(request);
                assert_eq!(told.reply.status, status, "{}", told.json);
                if status == 400 {
                    assert_eq!(told.code(), (400, "caption_too_long"));
                    bench.assert_nothing_stored();
                }
            }
        }
    }
}

#[test]
fn the_log_names_the_setting_that_is_wrong() {
    let bench = Bench::with(&[("MAX_UPLOAD_BYTES", "much")]);
    let told = bench.send(Request::raw(content(10)));
    assert_eq!(told.code(), (500, "misconfigured"));
    let line: Value = serde_json::from_str(&bench.host.0.lines.borrow()[0]).expect("log line");
    assert_eq!(line["setting"], "MAX_UPLOAD_BYTES");
    let bench = Bench::new();
    bench.host.script(Script::answering(stored()));
    bench.send(Request::raw(content(10)));
    let line: Value = serde_json::from_str(&bench.host.0.lines.borrow()[0]).expect("log line");
    assert_eq!(line["setting"], Value::Null);
}

#[test]
fn the_limit_holds_to_the_byte() {
    let limit = usize::try_from(MAX_UPLOAD).expect("small");
    for (bytes, status) in [(limit, 200), (limit + 1, 413)] {
        for (lane, request) in lanes(bytes).into_iter().take(3) {
            let bench = Bench::new();
            bench.host.script(Script::answering(stored()));
            let told = bench.send(request.chunked());
            assert_eq!(told.reply.status, status, "{lane} {bytes}: {}", told.json);
        }
    }
    let told = Bench::new().send(Request::raw(content(limit + 1)));
    assert_eq!(told.json["error"], "File too large (max 3.81 MB)");
}

#[test]
fn a_client_that_stalls_is_given_up_and_so_is_a_telegram_that_does() {
    let bench = Bench::new();
    bench.host.script(Script::answering(stored()));
    let form = || Request::form(&[TOKEN, File(content(300_000))]).chunked();
    let told = bench.send(form().cut(200_000, End::Stalled));
    assert_eq!(told.code(), (408, "client_stalled"));
    bench.assert_nothing_stored();

    let bench = Bench::new();
    bench.host.script(Script {
        stalls_at: 100_000,
        moment: Moment::Never,
        ..Script::answering(stored())
    });
    let told = bench.send(form());
    assert_eq!(told.code(), (504, "telegram_timeout"));
    assert!(told.retryable());
    bench.assert_nothing_stored();
}

#[test]
fn without_an_answer_to_a_whole_body_the_outcome_is_unknown() {
    for (answer, status) in [
        (Err(CallFault::Network), 502),
        (Err(CallFault::Timeout), 504),
        (Ok(answer(200, "<html>")), 502),
        (Ok(answer(200, "{}")), 502),
        (Ok(answer(502, "<html>")), 502),
        (Ok(answer(504, "<html>")), 504),
        (Ok(answer(500, "")), 502),
        (Err(CallFault::AnswerTooLong { status: 502 }), 502),
        (Err(CallFault::AnswerTooLong { status: 504 }), 504),
    ] {
        for (lane, request) in lanes(200_000) {
            let bench = Bench::new();
            bench.host.script(Script {
                answer: answer.clone(),
                ..Script::answering(stored())
            });
            let told = bench.send(request);
            assert_eq!(
                told.code(),
                (status, "outcome_unknown"),
                "{lane} {answer:?}"
            );
            // It is all that TeleStore's frontends, Dropzone and FilePond show.
            assert_eq!(told.json["error"], UNKNOWN, "{lane} {answer:?}");
            assert!(!told.retryable());
        }
    }
    let bench = Bench::new();
    bench.host.script(Script {
        moment: Moment::Never,
        ..Script::answering(stored())
    });
    let told = bench.send(Request::raw(content(1000)));
    assert_eq!(
        told.code(),
        (504, "outcome_unknown"),
        "the answer never comes"
    );
    assert_eq!(
        bench.host.now(),
        60_000,
        "its time is up to the millisecond"
    );
}

/// With the end kept back, a small file that surely did not arrive is told from one that may have.
/// It is not kept back while Telegram is known to be there, which makes the same fault an unknown.
#[test]
fn the_end_of_a_small_file_is_kept_back_unless_telegram_was_there_a_moment_ago() {
    let bench = Bench::new();
    let gone = || Script {
        closes_at: 0,
        answer: Err(CallFault::Network),
        ..Script::answering(stored())
    };
    let small = || Request::form(&[TOKEN, File(content(1000))]);
    let send = |script| {
        bench.host.script(script);
        let told = bench.send(small());
        let (status, code) = told.code();
        (status, code.to_owned())
    };
    let unreachable = (502, "telegram_unreachable".to_owned());
    assert_eq!(send(gone()), unreachable, "never heard of");
    assert_eq!(send(Script::answering(stored())).0, 200);
    bench.host.advance(9_999);
    assert_eq!(send(Script::answering(stored())).0, 200);
    assert_eq!(
        send(gone()),
        (502, "outcome_unknown".to_owned()),
        "heard just now"
    );
    assert_eq!(send(gone()), unreachable, "the last one was lost");
    assert_eq!(send(Script::answering(stored())).0, 200);
    bench.host.advance(10_000);
    assert_eq!(send(gone()), unreachable, "heard long ago");
}

#[test]
fn an_answer_that_comes_before_the_bodys_end_is_heard() {
    for (given, code) in [
        (
            Ok(telegram_error(413, "Request Entity Too Large")),
            (413, "telegram_too_large"),
        ),
        (
            Ok(telegram_error(429, "Too Many Requests: retry after 5")),
            (429, "rate_limited"),
        ),
        (Ok(answer(502, "<html>")), (502, "telegram_failed")),
        (Ok(answer(503, "")), (502, "telegram_failed")),
        (Ok(answer(504, "<html>")), (502, "telegram_failed")),
        (Err(CallFault::Network), (502, "telegram_unreachable")),
        // A success for half a body proves nothing: the rest may be lost.
        (Ok(stored()), (502, "outcome_unknown")),
    ] {
        let is_success = given == Ok(stored());
        let bench = Bench::new();
        bench.host.script(Script {
            answer: given,
            moment: Moment::AfterBytes(100_000),
            stalls_at: 150_000,
            closes_at: usize::MAX,
        });
        let told = bench.send(Request::form(&[TOKEN, File(content(300_000))]).chunked());
        assert_eq!(told.code(), code);
        if !is_success {
            bench.assert_nothing_stored();
        }
    }
}

#[test]
fn a_connection_that_closes_midway_stores_nothing_and_its_last_words_count() {
    let too_large = telegram_error(413, "Request Entity Too Large");
    for (answer, code) in [
        (Err(CallFault::Network), (502, "telegram_unreachable")),
        (Ok(too_large), (413, "telegram_too_large")),
    ] {
        for (lane, request) in lanes(200_000).into_iter().take(3) {
            let bench = Bench::new();
            bench.host.script(Script {
                answer: answer.clone(),
                moment: Moment::AfterBytes(60_000),
                stalls_at: usize::MAX,
                closes_at: 100_000,
            });
            let told = bench.send(request);
            assert_eq!(told.code(), code, "{lane}");
            bench.assert_nothing_stored();
        }
    }
}

#[test]
fn credentials_that_telegram_refuses_are_replaced_where_the_body_can_be_sent_again() {
    for (lane, request) in lanes(200_000).into_iter().skip(2) {
        let bench = Bench::new();
        bench.host.script(Script::answering(stored()));
        assert_eq!(bench.send(Request::raw(content(10))).reply.status, 200);
        let dead = telegram_error(401, "Unauthorized");
        bench
            .host
            .answers("/credentials", [Ok(credentials(OTHER_BOT))]);
        bench.host.script(Script::answering(dead));
        bench.host.script(Script::answering(stored()));
        let told = bench.send(request);
        assert_eq!(told.reply.status, 200, "{lane}: {}", told.json);
        assert_eq!(bench.host.calls_to("/credentials").len(), 2, "{lane}");
        let url = bench.upload(2).url.clone();
        assert!(url.contains(OTHER_BOT), "{lane}");
    }
}

#[test]
fn fresh_credentials_that_telegram_refuses_are_not_tried_again() {
    for (lane, request) in lanes(200_000) {
        let bench = Bench::new();
        let dead = telegram_error(401, "Unauthorized");
        bench.host.script(Script::answering(dead));
        let told = bench.send(request);
        assert_eq!(told.code(), (502, "bot_token_rejected"), "{lane}");
        assert!(!told.retryable());
        assert_eq!(told.json["error"], "Unauthorized");
        assert_eq!(bench.host.calls_to("/credentials").len(), 1);
    }
}

#[test]
fn a_streamed_upload_with_dead_credentials_is_retryable_and_the_next_one_heals() {
    let bench = Bench::new();
    bench.host.script(Script::answering(stored()));
    bench.host.script(Script::answering(telegram_error(
        403,
        "Forbidden: bot was kicked from the channel chat",
    )));
    bench.host.script(Script::answering(stored()));
    assert_eq!(bench.send(Request::raw(content(10))).reply.status, 200);
    let told = bench.send(Request::raw(content(10)));
    assert_eq!(told.code(), (502, "chat_refused"));
    assert!(told.retryable());
    assert_eq!(bench.send(Request::raw(content(10))).reply.status, 200);
    assert_eq!(bench.host.calls_to("/credentials").len(), 2);
}

#[test]
fn a_notification_that_fails_is_tried_again_behind_the_reply() {
    let bench = Bench::new();
    let down = Ok(answer(503, ""));
    bench
        .host
        .answers("/webhook", [down.clone(), down, Ok(answer(200, "{}"))]);
    bench.host.script(Script::answering(stored()));
    let told = bench.send(Request::raw(content(10)));
    assert_eq!(told.json["notified"], "pending");
    assert_eq!(bench.host.calls_to("/webhook").len(), 1);
    bench.host.run_deferred();
    let calls = bench.host.calls_to("/webhook");
    let times: Vec<u64> = calls.iter().map(|call| call.at).collect();
    assert_eq!(times, [0, 1_000, 4_000]);
    assert!(
        calls.iter().all(|call| call.body == calls[0].body),
        "the same event"
    );
    let ids: Vec<_> = calls
        .iter()
        .map(|call| {
            call.headers
                .iter()
                .find(|(name, _)| *name == "webhook-id")
                .cloned()
        })
        .collect();
    assert!(ids[0].is_some() && ids.iter().all(|id| *id == ids[0]));
}

#[test]
fn credentials_near_their_end_are_refreshed_behind_the_reply() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench.host.script(Script::answering(stored()));
    }
    assert_eq!(bench.send(Request::raw(content(10))).reply.status, 200);
    bench.host.advance(56 * 60 * 1000);
    assert_eq!(bench.send(Request::raw(content(10))).reply.status, 200);
    assert_eq!(
        bench.host.calls_to("/credentials").len(),
        1,
        "the reply did not wait for it"
    );
    bench.host.run_deferred();
    assert_eq!(bench.host.calls_to("/credentials").len(), 2);
    bench.host.advance(30 * 60 * 1000);
    assert_eq!(bench.send(Request::raw(content(10))).reply.status, 200);
    assert_eq!(bench.host.calls_to("/credentials").len(), 2);
}

#[test]
fn the_buffer_is_given_back_however_an_upload_ends() {
    let bench = Bench::new();
    let budget = || {
        let shared = bench.isolate.shared(|_| None).expect("settings were read");
        Rc::clone(&shared.budget)
    };
    let form = || Request::form(&[File(content(300_000)), TOKEN]);
    bench.host.script(Script::answering(stored()));
    assert_eq!(bench.send(form()).reply.status, 200);
    assert_eq!(budget().used(), 0);
    assert_eq!(bench.send(form().cut(200_000, End::Gone)).reply.status, 400);
    assert_eq!(budget().used(), 0);

    let mut taken = budget().lease();
    assert!(taken.cover(BUFFER_BUDGET_BYTES - 250_000));
    for request in [form(), form().chunked()] {
        let told = bench.send(request);
        assert_eq!(told.code(), (503, "buffer_full"));
        assert!(told.retryable());
        assert_eq!(told.json["retryAfter"], 5);
        assert!(
            told.reply
                .headers
                .contains(&("retry-after", "5".to_owned()))
        );
    }
    bench.host.script(Script::answering(stored()));
    let streamed = bench.send(Request::form(&[TOKEN, File(content(300_000))]));
    assert_eq!(streamed.reply.status, 200, "other lanes need no buffer");
    drop(taken);
    bench.host.script(Script::answering(stored()));
    assert_eq!(bench.send(form()).reply.status, 200);
}

#[test]
fn no_secret_is_in_a_reply_or_a_line_of_the_log() {
    let bench = Bench::new();
    for (_, request) in lanes(1000) {
        bench.host.script(Script {
            answer: Err(CallFault::Network),
            ..Script::answering(stored())
        });
        let told = bench.send(request);
        let shown = format!("{:?} {:?}", told.reply, bench.host.0.lines.borrow());
        assert!(!shown.contains("AAAA"), "{shown}");
    }
}

/// Telegram asks for so many seconds.
fn asks_for(seconds: u32) -> Script {
    let words = format!("Too Many Requests: retry after {seconds}");
    let body = format!(
        r#"{{"ok":false,"error_code":429,"description":"{words}","parameters":{{"retry_after":{seconds}}}}}"#
    );
    Script::answering(answer(429, &body))
}

fn moved() -> Script {
    let words = "Bad Request: group chat was upgraded to a supergroup chat";
    let body = format!(
        r#"{{"ok":false,"error_code":400,"description":"{words}","parameters":{{"migrate_to_chat_id":-1009}}}}"#
    );
    Script::answering(answer(400, &body))
}

#[test]
fn a_file_that_is_held_waits_as_long_as_telegram_asks_for_if_that_is_short() {
    for (lane, request) in lanes(200_000) {
        let bench = Bench::new();
        bench.host.script(asks_for(4));
        bench.host.script(Script::answering(stored()));
        let told = bench.send(request);
        if matches!(lane, "small" | "buffered") {
            assert_eq!(told.reply.status, 200, "{lane}: {}", told.json);
            assert_eq!(bench.host.now(), 4000, "{lane}");
            assert_eq!(bench.host.calls_to("/credentials").len(), 1, "{lane}");
        } else {
            assert_eq!(told.code(), (429, "rate_limited"), "{lane}");
            assert_eq!(told.json["retryAfter"], 4);
            assert_eq!(bench.host.0.uploads.borrow().len(), 1);
        }
    }
}

#[test]
fn a_long_wait_is_told_and_the_next_upload_asks_again_a_little_later() {
    for (lane, request) in lanes(1000) {
        let bench = Bench::new();
        bench.host.script(asks_for(20));
        let told = bench.send(request);
        assert_eq!(told.code(), (429, "rate_limited"), "{lane}");
        assert_eq!(told.json["retryAfter"], 20);
        assert_eq!(bench.host.now(), 0, "{lane}");
        for (lane, request) in lanes(1000) {
            let began = bench.host.now();
            bench.host.script(asks_for(20));
            let told = bench.send(request);
            assert_eq!(told.code(), (429, "rate_limited"), "{lane}");
            assert!(told.retryable());
            assert_eq!(bench.host.now(), began + 5000, "{lane}");
        }
    }
}

#[test]
fn tries_of_one_upload_are_bounded() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench.host.script(asks_for(1));
    }
    let told = bench.send(Request::form(&[TOKEN, File(content(1000))]));
    assert_eq!(told.code(), (429, "rate_limited"));
    assert_eq!(bench.host.0.uploads.borrow().len(), 3);
}

#[test]
fn a_chat_that_has_moved_is_followed_once_and_the_reply_says_so() {
    for (lane, request) in lanes(200_000) {
        let bench = Bench::new();
        bench.host.script(moved());
        bench.host.script(Script::answering(stored()));
        let mut told = bench.send(request);
        if matches!(lane, "raw" | "streamed") {
            assert_eq!(told.code(), (502, "chat_migrated"), "{lane}");
            assert!(told.retryable());
            let [_, (_, again), ..] = lanes(200_000);
            told = bench.send(again);
        }
        assert_eq!(told.reply.status, 200, "{lane}: {}", told.json);
        assert_eq!(told.json["migratedToChatId"], "-1009");
        let posted = bench.upload(1).bytes.borrow().clone();
        let chat = b"name=\"chat_id\"\r\n\r\n-1009\r\n";
        assert!(memchr::memmem::find(&posted, chat).is_some(), "{lane}");
        assert_eq!(bench.host.calls_to("/credentials").len(), 1, "{lane}");
    }
    let bench = Bench::new();
    bench.host.script(moved());
    bench.host.script(moved());
    let told = bench.send(Request::form(&[TOKEN, File(content(1000))]));
    assert_eq!(told.code(), (502, "chat_migrated"), "followed once");
    assert_eq!(bench.host.0.uploads.borrow().len(), 2);
}

#[test]
fn a_client_that_sends_nothing_any_more_is_not_waited_for() {
    for (lane, request) in lanes(200_000).into_iter().skip(1) {
        let bench = Bench::new();
        bench.host.script(Script::answering(stored()));
        let told = bench.send(request.cut(100_000, End::Stalled));
        assert_eq!(told.code(), (408, "client_stalled"), "{lane}");
        // Then it has half a minute for its rest, so that it can read the reply.
        assert_eq!(bench.host.now(), 150_000, "{lane}");
        bench.assert_nothing_stored();
    }
    // Not even as far as the file.
    let bench = Bench::new();
    let form = Request::form(&[TOKEN, File(content(1000))]).chunked();
    let told = bench.send(form.cut(20, End::Stalled));
    assert_eq!(told.code(), (408, "client_stalled"));
}

#[test]
fn an_upload_that_takes_too_long_on_the_whole_is_ended() {
    for (lane, request) in lanes(200_000) {
        let bench = Bench::with(&[("UPLOAD_TIMEOUT_MS", "30000")]);
        bench.host.script(Script {
            stalls_at: 100_000,
            ..Script::answering(stored())
        });
        let told = bench.send(request);
        assert_eq!(bench.host.now(), 30_000, "{lane}");
        if lane == "small" {
            // In one piece or two, it may have arrived.
            assert_eq!(told.code().0, 504);
        } else {
            assert_eq!(told.code(), (408, "upload_timeout"), "{lane}");
            bench.assert_nothing_stored();
        }
    }
    let bench = Bench::with(&[("UPLOAD_TIMEOUT_MS", "30000")]);
    let form = Request::form(&[File(content(300_000)), TOKEN]);
    let told = bench.send(form.cut(100_000, End::Stalled));
    assert_eq!(told.code(), (408, "upload_timeout"), "while it is held");
}
