//! A request's head: its route, the boundary of its form, the name of its file.
//!
//! The input is the head as HTTP/1.1 writes it, with its empty line.

use telestore_worker::error::Error;
use telestore_worker::http::{Reply, RequestHead};
use telestore_worker::multipart::testing::naive_boundary;
use telestore_worker::routes::table::{Route, route};
use telestore_worker::upload::{Content, RawFile};

use crate::bytes::percent_decode;
use crate::request;

/// Runs the target.
pub fn run(data: &[u8]) {
    let Some((head, _)) = request::read(data) else {
        return;
    };
    let content_type = head.content_type.as_deref().unwrap_or_default();
    let media = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match route(&head) {
        Ok(Route::Preflight) => {
            assert_eq!(head.method, "OPTIONS");
            is_reply(&Reply::preflight(&head), &head);
        }
        Ok(Route::Health) => {
            assert!(head.path == "/health" && ["GET", "HEAD"].contains(&head.method.as_str()));
        }
        Ok(Route::Check) => assert!(head.path == "/check" && head.method == "GET"),
        Ok(Route::Hook(_)) => {
            assert!(head.path.starts_with("/hooks/") && head.method == "POST");
        }
        Ok(Route::Page | Route::Config | Route::File(_) | Route::Link(_)) => {
            assert!(["GET", "HEAD"].contains(&head.method.as_str()));
        }
        Ok(Route::MakeLink(id)) => {
            assert!(head.method == "POST" && head.path == format!("/files/{id}/link"));
        }
        Ok(Route::Upload(Content::Form { boundary })) => {
            assert!(["/", "/upload"].contains(&head.path.as_str()) && head.method == "POST");
            assert_eq!(media, "multipart/form-data");
            assert_eq!(Ok(boundary), naive_boundary(content_type));
        }
        Ok(Route::Upload(Content::Raw(raw))) => {
            assert!(!media.starts_with("multipart/"));
            is_named(&raw, &head);
        }
        Err(error) => {
            assert_ne!(head.method, "OPTIONS");
            if let Error::MethodNotAllowed { allow } = &error {
                assert!(allow.split(", ").all(|allowed| allowed != head.method));
            }
            let reply = Reply::error(&error, "id");
            super::is_error_reply(&reply);
            is_reply(&reply, &head);
        }
    }
}

/// The name is the path's last segment, or the query's; what the query says is what it says first.
fn is_named(raw: &RawFile, head: &RequestHead) {
    let value = |wanted: &str| {
        let pairs = head
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.into_iter().find(|(name, _)| *name == wanted)?;
        Some(percent_decode(value.replace('+', " ").as_bytes()))
    };
    let name = match head.method.as_str() {
        "PUT" => head
            .path
            .strip_prefix("/upload/")
            .map(|name| percent_decode(name.as_bytes())),
        "POST" => value("fileName"),
        _ => None,
    };
    assert_eq!(Some(raw.name.as_bytes()), name.as_deref());
    assert_eq!(
        raw.caption.as_deref().map(str::as_bytes),
        value("caption").as_deref()
    );
    assert_eq!(
        raw.user_id.as_deref().map(str::as_bytes),
        value("userId").as_deref()
    );
}

/// No header can be ended from outside.
fn is_reply(reply: &Reply, head: &RequestHead) {
    let reply = reply.clone().with_cors(None, head.origin.as_deref());
    for (name, value) in &reply.headers {
        assert!(
            value.bytes().all(|b| (b' '..=b'~').contains(&b)),
            "{name}: {value:?}"
        );
    }
    assert!(
        reply
            .headers
            .iter()
            .any(|(name, _)| *name == "access-control-allow-origin")
    );
}
