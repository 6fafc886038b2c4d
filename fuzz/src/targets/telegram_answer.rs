//! Telegram's answer to `sendDocument`.
//!
//! The first line of the input is the status and, after a space, `Retry-After`. The rest is the body.

use serde_json::Value;
use telestore_worker::error::Error;
use telestore_worker::host::Answer;
use telestore_worker::http::Reply;
use telestore_worker::telegram::{Stored, TelegramFault, read_answer};

use super::answer;

/// Runs the target.
pub fn run(data: &[u8]) {
    let Some(answer) = answer(data) else {
        return;
    };
    let Some(json) = super::json(&answer.body) else {
        return;
    };
    check(&answer, &json);
    // The same in valid UTF-8, and with each name once.
    let body = serde_json::to_vec(&json).expect("JSON");
    let plain = Answer { body, ..answer };
    check(&plain, &json);
    if is_error_object(&json) {
        let fault = read_answer(&plain).expect_err("Telegram said that it failed");
        assert!(!matches!(
            fault,
            TelegramFault::OutcomeUnknown { .. } | TelegramFault::NoIds
        ));
    }
}

fn check(answer: &Answer, json: &Value) {
    match read_answer(answer) {
        Ok(stored) => is_in(&stored, json),
        Err(fault) => {
            is_true(&fault, answer, json);
            is_told(fault);
        }
    }
}

/// What is told of a stored file is what Telegram said of it.
fn is_in(stored: &Stored, json: &Value) {
    let result = &json["result"];
    assert_eq!(json["ok"], true);
    assert!(stored.message_id != 0 && result["message_id"] == stored.message_id);
    let named = &result[stored.kind];
    let mut files = named.as_array().into_iter().flatten().chain([named]);
    assert!(
        !stored.file_id.is_empty() && files.any(|file| file["file_id"] == *stored.file_id.as_str())
    );
}

/// A fault never denies that Telegram may have the file, nor affirms it.
fn is_true(fault: &TelegramFault, answer: &Answer, json: &Value) {
    let says_ok = json["ok"] == true;
    let says_error = json["ok"] == false;
    match fault {
        TelegramFault::NoIds => assert!(says_ok),
        TelegramFault::OutcomeUnknown { .. } => {}
        TelegramFault::Unreachable | TelegramFault::Stalled => panic!("there was an answer"),
        _ => assert!(
            !(says_ok && (200..300).contains(&answer.status)),
            "Telegram said that it has the file"
        ),
    }
    if (200..300).contains(&answer.status) && !says_error {
        assert!(matches!(
            fault,
            TelegramFault::NoIds | TelegramFault::OutcomeUnknown { .. }
        ));
    }
}

/// Whether it is an error whose fields have the types that the Bot API gives them.
fn is_error_object(json: &Value) -> bool {
    let parameters = &json["parameters"];
    let fits =
        |value: &Value, most: u64| value.is_null() || value.as_u64().is_some_and(|n| n <= most);
    json["ok"] == false
        && json["result"].is_null()
        && fits(&json["error_code"], u64::from(u16::MAX))
        && (json["description"].is_null() || json["description"].is_string())
        && (parameters.is_null() || parameters.is_object())
        && fits(&parameters["retry_after"], u64::from(u32::MAX))
        && (parameters["migrate_to_chat_id"].is_null() || parameters["migrate_to_chat_id"].is_i64())
}

/// A fault becomes a reply that a browser can read, whatever Telegram's words were.
fn is_told(fault: TelegramFault) {
    let error = Error::Telegram {
        fault,
        with_fresh_credentials: true,
    };
    super::is_error_reply(&Reply::error(&error, "id"));
}
