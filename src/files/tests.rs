//! Downloads against a file server by script: what it is asked for, and what it may get wrong.

use std::ops::Range;
use std::rc::Rc;

use serde_json::json;

use crate::host::{CallFault, Fetched};
use crate::http::{Conditions, RequestHead, Served};
use crate::isolate::Isolate;
use crate::routes;
use crate::testing::{Delivered, End, TestBody, TestDownload, TestHost, answer};

const BOT: &str = "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const PART_BYTES: u64 = 10;
const PARTS: u64 = 80;

/// The content of a large file: parts of ten bytes, each of which has its own number in every byte.
fn content() -> Vec<u8> {
    (0..PARTS)
        .flat_map(|part| vec![u8::try_from(part).expect("fits"); 10])
        .collect()
}

fn manifest() -> String {
    let parts: Vec<_> = (0..PARTS)
        .map(|part| {
            json!({"messageId": part + 1, "fileId": format!("part{part}"), "fileUniqueId": null,
                   "size": PART_BYTES, "sha256": null})
        })
        .collect();
    format!(
        r#"{{"type":"telestore-manifest/1","name":"a","size":{},"mimeType":"a/b","parts":{}}}"#,
        PARTS * PART_BYTES,
        json!(parts)
    )
}

/// How the file server answers to a request for a part.
type Server = fn(&[u8], Option<Range<u64>>) -> Fetched<TestDownload>;

fn fetched(status: u16, bytes: &[u8]) -> Fetched<TestDownload> {
    Fetched {
        status,
        content_length: Some(bytes.len() as u64),
        content_range: None,
        retry_after: None,
        body: TestDownload {
            bytes: bytes.to_vec(),
            breaks: false,
        },
    }
}

fn slice(bytes: &[u8], range: &Range<u64>) -> Vec<u8> {
    let index = |at: u64| usize::try_from(at).expect("fits");
    bytes[index(range.start)..index(range.end).min(bytes.len())].to_vec()
}

/// As nginx does.
fn good(bytes: &[u8], range: Option<Range<u64>>) -> Fetched<TestDownload> {
    let Some(range) = range else {
        return fetched(200, bytes);
    };
    let range = range.start..range.end.min(bytes.len() as u64);
    let mut part = fetched(206, &slice(bytes, &range));
    let header = format!("bytes {}-{}/{}", range.start, range.end - 1, bytes.len());
    part.content_range = Some(header);
    part
}

struct Bench {
    isolate: Isolate,
    host: TestHost,
}

impl Bench {
    fn new(server: Server) -> Self {
        let host = TestHost::default();
        let credentials = json!({"bot_token": BOT, "channel_id": "-1001", "user_id": "u"});
        host.answers("/credentials", [Ok(answer(200, &credentials.to_string()))]);
        let file = |path: &str, size: usize| {
            let file = json!({"file_id": "f", "file_path": path, "file_size": size});
            Ok(answer(
                200,
                &json!({"ok": true, "result": file}).to_string(),
            ))
        };
        let document = manifest();
        host.answers(
            "file_id=manifest",
            [file("documents/m.json", document.len())],
        );
        host.answers("file_id=part", [file("documents/part.bin", 10)]);
        let parts = content();
        let asked = host.clone();
        host.file_server(move |url, range| {
            if url.ends_with("/m.json") {
                return Ok(good(document.as_bytes(), range));
            }
            // Every part has the same path: which one it is, the last `getFile` says.
            let calls = asked.calls_to("file_id=part");
            let url = &calls.last().ok_or(CallFault::Network)?.url;
            let number = url
                .rsplit_once("part")
                .and_then(|(_, number)| number.parse().ok());
            let begin = number.unwrap_or(0_usize) * 10;
            Ok(server(&parts[begin..begin + 10], range))
        });
        Self {
            isolate: Isolate::default(),
            host,
        }
    }

    /// Asks for a range of the large file, and lets the pump run to its end.
    fn get(&self, range: &str) -> Served<Rc<Delivered>> {
        let head = RequestHead {
            method: "GET".to_owned(),
            path: "/files/manifest".to_owned(),
            authorization: Some("Bearer t".to_owned()),
            conditions: Conditions {
                range: Some(range.to_owned()),
                ..Conditions::default()
            },
            ..RequestHead::default()
        };
        let variable = |name| (name == "BACKEND_URL").then(|| "http://127.0.0.1:1".to_owned());
        let mut body = TestBody::new(b"", 1, End::Good);
        let serving = routes::serve(&self.isolate, variable, &self.host, &head, &mut body);
        let served = self.host.run(serving);
        self.host.run_deferred();
        served
    }

    /// How many requests Telegram got: `getFile`, and those for files.
    fn counts(&self) -> (usize, usize) {
        let asked = self.host.calls_to("/getFile").len();
        (asked, self.host.0.fetched.borrow().len())
    }
}

fn bytes(served: &Served<Rc<Delivered>>) -> Vec<u8> {
    let delivered = served.stream.as_ref().expect("a stream");
    assert!(delivered.whole.get(), "it is whole");
    delivered.bytes.borrow().clone()
}

fn code(served: &Served<Rc<Delivered>>) -> String {
    let json: serde_json::Value = serde_json::from_str(&served.reply.body).expect("JSON");
    json["code"].as_str().expect("a code").to_owned()
}

#[test]
fn a_range_in_the_sixtieth_part_costs_one_get_file_and_one_request() {
    let bench = Bench::new(good);
    assert_eq!(bytes(&bench.get("bytes=0-0")), content()[..1]);
    let (asked, fetched) = bench.counts();
    assert_eq!((asked, fetched), (2, 2), "the manifest, and the first part");
    assert_eq!(bytes(&bench.get("bytes=595-597")), content()[595..598]);
    assert_eq!(bench.counts(), (asked + 1, fetched + 1));
    assert_eq!(bytes(&bench.get("bytes=596-599")), content()[596..600]);
    assert_eq!(
        bench.counts(),
        (asked + 1, fetched + 2),
        "its path is known"
    );
    let fetched = bench.host.0.fetched.borrow();
    assert_eq!(fetched.last().expect("one").1, Some(6..10));
}

#[test]
fn a_server_that_ignores_ranges_or_gives_no_length_is_cut_to_measure() {
    let servers: [Server; 2] = [
        |bytes, _| fetched(200, bytes),
        |bytes, range| Fetched {
            content_length: None,
            ..good(bytes, range)
        },
    ];
    for server in servers {
        let bench = Bench::new(server);
        assert_eq!(bytes(&bench.get("bytes=12-17")), content()[12..18]);
    }
}

#[test]
fn what_is_not_the_slice_is_refused_before_the_first_byte() {
    let another_range: Server = |bytes, range| {
        let range = range.map(|range| range.start - 1..range.end - 1);
        good(bytes, range)
    };
    let bench = Bench::new(another_range);
    let served = bench.get("bytes=12-17");
    assert_eq!(
        (served.reply.status, code(&served).as_str()),
        (502, "telegram_failed")
    );

    let bench = Bench::new(good);
    let file = json!({"file_id": "f", "file_path": "documents/part.bin", "file_size": 9});
    let changed = json!({"ok": true, "result": file}).to_string();
    bench
        .host
        .answers("file_id=part", [Ok(answer(200, &changed))]);
    let served = bench.get("bytes=12-17");
    assert_eq!(
        (served.reply.status, code(&served).as_str()),
        (502, "manifest_invalid")
    );
}

#[test]
fn a_part_that_ends_early_breaks_the_body() {
    let servers: [Server; 3] = [
        // A length that is not the slice's: it is counted.
        |bytes, range| good(&bytes[..9], range),
        |bytes, range| {
            let mut short = good(bytes, range);
            short.body.bytes.truncate(3);
            short.content_length = None;
            short
        },
        |bytes, range| {
            let mut broken = good(bytes, range);
            broken.body.bytes.truncate(3);
            broken.body.breaks = true;
            broken
        },
    ];
    for server in servers {
        let served = Bench::new(server).get("bytes=0-9");
        let delivered = served.stream.expect("a stream");
        assert!(delivered.broken.get() && !delivered.whole.get());
    }
}
