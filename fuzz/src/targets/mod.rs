//! The targets.

pub mod credentials_answer;
pub mod file_name;
pub mod jwt_expiry;
pub mod multipart;
pub mod request_head;
pub mod telegram_answer;
pub mod upload;

use serde::de::IgnoredAny;
use serde_json::Value;
use telestore_worker::host::Answer;
use telestore_worker::http::Reply;

use crate::bytes::split_once;

/// An upstream's answer: status and `Retry-After` on the first line, then the body.
fn answer(data: &[u8]) -> Option<Answer> {
    let (line, body) = split_once(data, b"\n")?;
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let (status, retry_after) = match line.split_once(' ') {
        Some((status, retry_after)) => (status, Some(retry_after.to_owned())),
        None => (line, None),
    };
    let status = status.parse().ok()?;
    (200..=599).contains(&status).then(|| Answer {
        status,
        retry_after,
        body: body.to_vec(),
    })
}

/// The JSON that the bytes are, `Null` when they are none. What is not UTF-8 is replaced: readers need
/// not look at a text that they pass over. `None` is for JSON that only such a reader takes, as there
/// is a number beyond all bounds in it, or half a surrogate pair.
fn json(bytes: &[u8]) -> Option<Value> {
    match serde_json::from_str(&String::from_utf8_lossy(bytes)) {
        Ok(json) => Some(json),
        Err(_) if serde_json::from_slice::<IgnoredAny>(bytes).is_ok() => None,
        Err(_) => Some(Value::Null),
    }
}

/// What every error's reply has to be, whoever's words it repeats.
fn is_error_reply(reply: &Reply) {
    assert!((400..600).contains(&reply.status), "{}", reply.status);
    let json: Value = serde_json::from_str(&reply.body).expect("JSON");
    assert_eq!(json["success"], false);
    let message = json["error"].as_str().expect("a string");
    assert!(!message.is_empty() && message.chars().count() <= 400 && !message.contains('\n'));
    let code = json["code"].as_str().expect("a code");
    assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    assert!(json["retryable"].is_boolean());
    let retry_after = reply
        .headers
        .iter()
        .find(|(name, _)| *name == "retry-after");
    assert_eq!(
        retry_after.map(|(_, seconds)| seconds.clone()),
        json["retryAfter"]
            .as_u64()
            .map(|seconds| seconds.to_string())
    );
    for (name, value) in &reply.headers {
        assert!(
            value.bytes().all(|b| (b' '..=b'~').contains(&b)),
            "{name}: {value:?}"
        );
    }
}
