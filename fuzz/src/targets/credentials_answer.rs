//! The backend's answer to the question for credentials, through the cache.
//!
//! The first line of the input is the status and, after a space, `Retry-After`. The rest is the body.

use serde_json::Value;
use telestore_worker::credentials::{AuthToken, BackendFault, Credentials, Source};
use telestore_worker::error::Error;
use telestore_worker::host::Answer;
use telestore_worker::http::Reply;
use telestore_worker::isolate::Isolate;
use telestore_worker::testing::TestHost;

use super::answer;

/// Runs the target.
pub fn run(data: &[u8]) {
    let Some(answer) = answer(data) else {
        return;
    };
    let Some(json) = super::json(&answer.body) else {
        return;
    };
    let host = TestHost::default();
    host.answers("/credentials", [Ok(answer.clone())]);
    let setting = |name| (name == "BACKEND_URL").then(|| "https://backend".to_owned());
    let isolate = Isolate::default();
    let shared = isolate.shared(setting).expect("settings");
    let token = AuthToken::parse("token").expect("a token");
    let obtain = || host.run(shared.credentials.obtain(&host, &token));
    let (first, second) = (obtain(), obtain());
    let asked = host.calls_to("/credentials").len();
    match first {
        Ok((held, source)) => {
            assert!((200..300).contains(&answer.status) && source == Source::Miss);
            are_in(&held, &json);
            assert_eq!(second, Ok((held, Source::Hit)));
            assert_eq!(asked, 1);
        }
        Err(fault) => {
            is_true(&fault, &answer);
            assert_eq!(asked, if fault.is_remembered() { 1 } else { 2 });
            assert_eq!(second, Err(fault.clone()));
            super::is_error_reply(&Reply::error(&Error::Backend(fault), "id"));
        }
    }
}

/// Credentials are the backend's own, fit for the places that they go to, and shown nowhere.
fn are_in(held: &Credentials, json: &Value) {
    let bot_token = json["bot_token"].as_str().expect("a string");
    let (id, secret) = bot_token.split_once(':').expect("an id and a secret");
    let is_secret = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    assert!(
        id.parse::<u64>()
            .is_ok_and(|id| (1..100_000_000_000_000_000).contains(&id))
    );
    assert!(!id.starts_with('0') && (30..=60).contains(&secret.len()));
    assert!(secret.bytes().all(is_secret));
    assert_eq!(
        held.bot_token.method_url("http://api", "m"),
        format!("http://api/bot{bot_token}/m")
    );
    // The backend may say it in another place, too, which is then no secret.
    let is_told = held.user_id.contains(secret) || held.chat_id.as_str().contains(secret);
    assert!(!format!("{held:?}").contains(secret) || is_told);
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    assert_eq!(held.chat_id.as_str(), text(&json["channel_id"]).trim());
    let is_chat = |b: u8| b.is_ascii_alphanumeric() || b"-@_".contains(&b);
    assert!(held.chat_id.as_str().bytes().all(is_chat));
    assert_eq!(held.user_id, text(&json["user_id"]));
    assert!(!held.user_id.is_empty());
}

/// A fault is what the status says, and a refusal is never read into an outage or the other way.
fn is_true(fault: &BackendFault, answer: &Answer) {
    let expected = match answer.status {
        400 | 401 | 403 | 404 => {
            matches!(fault, BackendFault::Refused { status, .. } if *status == answer.status)
        }
        429 => matches!(fault, BackendFault::Busy { .. }),
        408 | 500..=599 => {
            matches!(fault, BackendFault::Failed { status, .. } if *status == answer.status)
        }
        _ => matches!(fault, BackendFault::Unusable(_)),
    };
    assert!(expected, "{} is no {fault:?}", answer.status);
    assert!(!(fault.is_refusal() && fault.is_outage()));
}
