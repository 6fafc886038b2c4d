//! Telegram's replies, as they come and as they should not.

use super::fault::TelegramFault;
use super::{BotToken, ChatId, Stored, read_answer};
use crate::host::Answer;

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status,
        retry_after: None,
        body: body.as_bytes().to_vec(),
    }
}

fn fault(status: u16, body: &str) -> TelegramFault {
    read_answer(&answer(status, body)).expect_err(body)
}

fn stored(result: &str) -> Stored {
    read_answer(&answer(200, &format!(r#"{{"ok":true,"result":{result}}}"#))).expect(result)
}

#[test]
fn every_kind_of_message_gives_its_file() {
    let file = r#"{"file_id":"F","file_unique_id":"U","mime_type":"a/b","file_size":3}"#;
    for kind in [
        "document",
        "video",
        "audio",
        "voice",
        "sticker",
        "video_note",
    ] {
        let stored = stored(&format!(r#"{{"message_id":5,"{kind}":{file}}}"#));
        assert_eq!((stored.kind, stored.file_id.as_str()), (kind, "F"));
        assert_eq!(
            (stored.message_id, stored.file_unique_id.as_deref()),
            (5, Some("U"))
        );
        assert_eq!(stored.mime_type.as_deref(), Some("a/b"));
    }
    let animation =
        format!(r#"{{"message_id":5,"document":{{"file_id":"D"}},"animation":{file}}}"#);
    assert_eq!(stored(&animation).kind, "animation");
}

#[test]
fn of_a_photos_sizes_the_largest_is_taken() {
    let photo = r#"{"message_id":5,"photo":[{"file_id":"S","width":90,"height":90},
        {"file_id":"L","width":1280,"height":960},{"file_id":"M","width":320,"height":320}]}"#;
    assert_eq!(
        (stored(photo).kind, stored(photo).file_id.as_str()),
        ("photo", "L")
    );
}

#[test]
fn ok_without_usable_ids_is_its_own_fault() {
    for result in [
        "{}",
        r#"{"message_id":1}"#,
        r#"{"message_id":0,"document":{"file_id":"F"}}"#,
        r#"{"message_id":1,"document":{}}"#,
        r#"{"message_id":1,"photo":[]}"#,
    ] {
        let body = format!(r#"{{"ok":true,"result":{result}}}"#);
        assert_eq!(fault(200, &body), TelegramFault::NoIds, "{result}");
    }
    assert_eq!(fault(200, r#"{"ok":true}"#), TelegramFault::NoIds);
}

#[test]
fn a_success_that_cannot_be_read_leaves_the_outcome_unknown() {
    for body in [
        "",
        "{}",
        "<html>",
        r#"{"ok":true,"result":{"mess"#,
        "[]",
        "null",
        // The fields without their names.
        r#"[true,{"message_id":7,"document":{"file_id":"F"}},null,null,null]"#,
        r#"{"ok":true,"result":{"message_id":7,"document":["F",null,null,3,0,0]}}"#,
    ] {
        assert_eq!(
            fault(200, body),
            TelegramFault::OutcomeUnknown { timed_out: false },
            "{body}"
        );
    }
}

fn error(code: u16, description: &str, parameters: &str) -> TelegramFault {
    let body = format!(
        r#"{{"ok":false,"error_code":{code},"description":"{description}","parameters":{parameters}}}"#
    );
    fault(code, &body)
}

#[test]
fn errors_are_told_apart_by_what_they_mean_for_an_upload() {
    for (code, words) in [
        (401, "Unauthorized"),
        (404, "Not Found"),
        (421, "Misdirected Request"),
    ] {
        let expected = TelegramFault::TokenDead {
            description: words.to_owned(),
        };
        assert_eq!(error(code, words, "{}"), expected);
        assert!(expected.blames_credentials());
    }
    for (code, words) in [
        (400, "Bad Request: chat not found"),
        (
            400,
            "Bad Request: need administrator rights in the channel chat",
        ),
        (400, "Bad Request: have no write access to the chat"),
        (403, "Forbidden: bot is not a member of the channel chat"),
        (403, "Forbidden: bot was kicked from the channel chat"),
    ] {
        let expected = TelegramFault::ChatRefused {
            description: words.to_owned(),
        };
        assert_eq!(error(code, words, "{}"), expected);
        assert!(expected.blames_credentials());
    }
    let words = "Bad Request: group chat was upgraded to a supergroup chat";
    let migrated = TelegramFault::ChatMoved {
        description: words.to_owned(),
        to: -1009,
    };
    assert_eq!(
        error(400, words, r#"{"migrate_to_chat_id":-1009}"#),
        migrated
    );
    for words in [
        "Bad Request: message caption is too long",
        "Bad Request: file must be non-empty",
    ] {
        let expected = TelegramFault::BadRequest {
            description: words.to_owned(),
        };
        assert_eq!(error(400, words, "{}"), expected);
        assert!(!expected.blames_credentials());
    }
    assert_eq!(
        error(413, "Request Entity Too Large", "{}"),
        TelegramFault::TooLarge
    );
    for (code, words) in [
        (408, "Request Timeout"),
        (500, "Internal Server Error: restart"),
    ] {
        let description = Some(words.to_owned());
        assert_eq!(
            error(code, words, "{}"),
            TelegramFault::Failed { description }
        );
    }
}

#[test]
fn retry_after_is_found_in_the_parameters_the_header_or_assumed() {
    let words = "Too Many Requests: retry after 17";
    let after = |seconds| TelegramFault::RetryAfter {
        description: words.to_owned(),
        seconds,
    };
    assert_eq!(error(429, words, r#"{"retry_after":17}"#), after(17));
    let body = format!(r#"{{"ok":false,"error_code":429,"description":"{words}"}}"#);
    let with_header = Answer {
        retry_after: Some("9".to_owned()),
        ..answer(429, &body)
    };
    assert_eq!(read_answer(&with_header), Err(after(9)));
    assert_eq!(fault(429, &body), after(5));
    let html = Answer {
        retry_after: Some("9".to_owned()),
        ..answer(429, "<html>")
    };
    let foreign = TelegramFault::RetryAfter {
        description: "Too Many Requests".to_owned(),
        seconds: 9,
    };
    assert_eq!(read_answer(&html), Err(foreign));
}

/// A gateway says 502 or 504 when it had passed the request on and got no usable answer (RFC 9110
/// sections 15.6.3 and 15.6.5): the file may be stored.
#[test]
fn a_gateways_5xx_says_nothing_of_the_file_that_it_had_passed_on() {
    let html = "<html><body>Bad Gateway</body></html>";
    for (status, body, timed_out) in [
        (502, html, false),
        (502, "", false),
        (504, html, true),
        (504, "", true),
        (520, html, false),
        (524, html, true),
        (500, "", false),
        (503, "", false),
        (503, " \r\n", false),
        (502, r#"{"ok":false,"error_code":502,"descr"#, false),
    ] {
        assert_eq!(
            fault(status, body),
            TelegramFault::OutcomeUnknown { timed_out },
            "{status} {body:?}"
        );
    }
    for code in [500, 502, 504] {
        let description = Some("Internal Server Error: restart".to_owned());
        let own_words = error(code, "Internal Server Error: restart", "{}");
        assert_eq!(own_words, TelegramFault::Failed { description });
    }
}

#[test]
fn other_pages_of_a_proxy_say_that_nothing_is_stored() {
    let html = "<html><body>nginx</body></html>";
    for status in [500, 503, 521, 301] {
        assert_eq!(
            fault(status, html),
            TelegramFault::Failed { description: None },
            "{status}"
        );
    }
    assert_eq!(fault(413, html), TelegramFault::TooLarge);
    assert!(fault(404, html).blames_credentials());
}

#[test]
fn bot_tokens_are_held_to_their_form() {
    let secret = "A".repeat(35);
    for good in [
        format!("1:{secret}"),
        format!("12345678901234567:{}", "a-_9".repeat(15)),
        format!("9:{}", "x".repeat(30)),
    ] {
        assert!(BotToken::parse(&good).is_some(), "{good}");
    }
    for bad in [
        String::new(),
        format!(":{secret}"),
        format!("0:{secret}"),
        format!("01:{secret}"),
        format!("123456789012345678:{secret}"),
        format!("1:{}", "x".repeat(29)),
        format!("1:{}", "x".repeat(61)),
        format!("1:{}/{}", "x".repeat(20), "y".repeat(20)),
        format!("1:{secret}\n"),
        format!("1:{secret}:{secret}"),
        format!("１:{secret}"),
    ] {
        assert!(BotToken::parse(&bad).is_none(), "{bad:?}");
    }
    let token = BotToken::parse(&format!("1:{secret}")).expect("token");
    assert_eq!(format!("{token:?}"), "BotToken(…)");
    assert_eq!(
        token.method_url("http://api", "sendDocument"),
        format!("http://api/bot1:{secret}/sendDocument")
    );
}

#[test]
fn chats_are_ids_or_names() {
    for good in ["-1001234567890", "42", "@channel_name", " -100 "] {
        assert!(ChatId::parse(good).is_some(), "{good}");
    }
    for bad in [
        "",
        "-",
        "@",
        "1-2",
        "--1",
        "a",
        "@a b",
        "12345678901234567890",
    ] {
        assert!(ChatId::parse(bad).is_none(), "{bad:?}");
    }
}
