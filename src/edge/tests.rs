//! The glue that needs JavaScript but not workerd, in Node. What needs `FixedLengthStream` or
//! `readAtLeast` is tested end to end, in workerd itself.

use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;

use super::body::{JsChunk, RequestBody};
use super::{exchange, runtime};
use crate::host::{Body as _, CallFault, Chunk as _};
use crate::http::Reply;

fn request(url: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> web_sys::Request {
    let init = web_sys::RequestInit::new();
    init.set_method(if body.is_some() { "POST" } else { "GET" });
    let list = web_sys::Headers::new().expect("headers");
    for (name, value) in headers {
        list.append(name, value).expect("header");
    }
    init.set_headers(&list);
    if let Some(body) = body {
        init.set_body(&Uint8Array::from(body));
    }
    web_sys::Request::new_with_str_and_init(url, &init).expect("request")
}

#[wasm_bindgen_test]
fn a_requests_head_is_read_as_it_came() {
    let headers = [
        ("Content-Type", "text/plain"),
        ("Content-Length", " 42 "),
        ("Authorization", "Bearer t"),
        ("X-User-Id", "u"),
        ("Idempotency-Key", "k"),
    ];
    let head = exchange::head(&request(
        "http://host:8787/upload/a%20b?x=1&y=%2F#f",
        &headers,
        Some(b"x"),
    ));
    assert_eq!(head.method, "POST");
    assert_eq!(head.path, "/upload/a%20b");
    assert_eq!(head.site, "http://host:8787");
    assert_eq!(head.query, "x=1&y=%2F");
    assert_eq!(head.content_type.as_deref(), Some("text/plain"));
    assert_eq!(head.content_length, Some(42));
    assert_eq!(head.authorization.as_deref(), Some("Bearer t"));
    assert_eq!(head.user_id.as_deref(), Some("u"));
    assert_eq!(head.origin, None);
    assert_eq!(head.idempotency_key.as_deref(), Some("k"));
    let bare = exchange::head(&request("http://host", &[], None));
    assert_eq!((bare.path.as_str(), bare.query.as_str()), ("/", ""));
    let lying = [("Content-Length", "-1")];
    let head = exchange::head(&request("http://host/?", &lying, Some(b"x")));
    assert_eq!(head.content_length, None);
}

#[wasm_bindgen_test]
fn the_signature_of_a_hook_alone_is_read() {
    let headers = [
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", "7"),
        ("webhook-signature", "v1,a v1,b"),
    ];
    let hook = request("http://host/hooks/outbox?x", &headers, Some(b"{}"));
    let signature = exchange::head(&hook).signature.expect("a signature");
    assert_eq!(signature.id, "msg_1");
    assert_eq!(signature.timestamp, "7");
    assert_eq!(signature.signatures, "v1,a v1,b");
    let upload = request("http://host/upload", &headers, Some(b"{}"));
    assert_eq!(exchange::head(&upload).signature, None);
}

#[wasm_bindgen_test]
async fn a_request_without_a_body_has_an_empty_one() {
    let mut body = RequestBody::new(request("http://host/", &[], None), None);
    assert!(body.read().await.expect("readable").is_none());
    assert_eq!(body.read_whole().await, Ok(Vec::new()));
    body.drain(10).await;
}

#[wasm_bindgen_test]
async fn a_small_body_is_read_whole() {
    let mut body = RequestBody::new(request("http://host/", &[], Some(b"small")), Some(5));
    assert_eq!(body.read_whole().await, Ok(b"small".to_vec()));
    body.drain(10).await;
}

/// The search that looks at few bytes must find what one that looks at all of them finds: in content
/// made of the delimiter's own bytes, at any place, whole or cut off.
#[wasm_bindgen_test]
fn a_delimiter_is_found_as_a_naive_search_finds_it() {
    let mut seed = 1_u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap_or_default() % below
    };
    for boundary in [
        "b",
        "ab",
        "----WebKitFormBoundaryX7vK2pQw9TzR4mLs",
        "aaaaaaaaaa",
    ] {
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        let needle = JsChunk::needle(&delimiter);
        for _ in 0..4000 {
            let mut content = Vec::new();
            while content.len() < 120 {
                match random(4) {
                    0 => content.extend(&delimiter[..random(delimiter.len() + 1)]),
                    1 => content.extend(&delimiter[random(delimiter.len())..]),
                    2 => content.push(b'\r'),
                    _ => content.extend((0..random(60)).map(|_| b"-xb\r\n"[random(5)])),
                }
            }
            let from = random(content.len());
            let naive = (from..content.len())
                .find(|&at| content[at..].iter().zip(&delimiter).all(|(a, b)| a == b))
                .unwrap_or(content.len());
            let chunk = JsChunk {
                view: Uint8Array::from(content.as_slice()),
            };
            assert_eq!(chunk.find(&needle, from), naive, "{content:?} from {from}");
        }
    }
}

#[wasm_bindgen_test]
fn a_reply_becomes_a_response_with_all_its_headers() {
    let reply = Reply {
        status: 429,
        headers: vec![
            ("retry-after", "7".to_owned()),
            ("vary", "Origin".to_owned()),
        ],
        body: "{}".to_owned(),
    };
    let response = exchange::response(&reply.into()).expect("response");
    assert_eq!(response.status(), 429);
    assert_eq!(
        response.headers().get("retry-after"),
        Ok(Some("7".to_owned()))
    );
    assert!(response.body().is_some());
    let empty = Reply {
        status: 204,
        headers: Vec::new(),
        body: String::new(),
    };
    assert!(
        exchange::response(&empty.into())
            .expect("response")
            .body()
            .is_none()
    );
}

#[wasm_bindgen_test]
fn only_a_timeout_is_told_from_a_broken_connection() {
    let error = js_sys::Error::new("https://api.telegram.org/bot1:secret/sendDocument failed");
    assert_eq!(runtime::fault(&error), CallFault::Network);
    Reflect::set(&error, &"name".into(), &"TimeoutError".into()).expect("name");
    assert_eq!(runtime::fault(&error), CallFault::Timeout);
    assert_eq!(runtime::fault(&JsValue::NULL), CallFault::Network);
}
