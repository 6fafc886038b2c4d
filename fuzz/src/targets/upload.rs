//! A request, through every lane: what it stores is what a naive reader finds in it, and what it
//! does not store is nothing.
//!
//! The input is a request as HTTP/1.1 writes it. With a `Content-Length` a form takes the small lane.

use std::rc::Rc;

use serde_json::Value;
use telestore_worker::credentials::AuthToken;
use telestore_worker::http::{Reply, RequestHead};
use telestore_worker::isolate::Isolate;
use telestore_worker::multipart::form::{Fields, FilePart};
use telestore_worker::multipart::testing::naive_form;
use telestore_worker::routes;
use telestore_worker::routes::table::{Route, route};
use telestore_worker::testing::{End, Script, TestBody, TestHost, Upload, answer};
use telestore_worker::upload::{Content, RawFile};

use crate::bot_api;
use crate::bytes::{chance, find, split_once};
use crate::request;

const BOT: &str = "123:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const CREDENTIALS: &str =
    r#"{"bot_token":"123:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","channel_id":"-1001","user_id":"u"}"#;
const STORED: &str = r#"{"ok":true,"result":{"message_id":7,"document":{"file_id":"F"}}}"#;
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Runs the target.
pub fn run(data: &[u8]) {
    let Some((head, body)) = request::read(data) else {
        return;
    };
    if body.len() > MAX_BODY_BYTES {
        return;
    }
    let chance = chance(data);
    let end = if chance.is_multiple_of(8) {
        End::Gone
    } else {
        End::Good
    };
    let (host, reply) = serve(&head, body, chance, end);
    let expected = match route(&head) {
        Ok(Route::Preflight | Route::Health) => {
            assert!([200, 204].contains(&reply.status));
            assert!(host.0.uploads.borrow().is_empty());
            return;
        }
        Ok(Route::Check | Route::Hook(_)) => {
            // There is no secret, and so there are no hooks.
            assert!(reply.status == 200 || [400, 401, 404].contains(&reply.status));
            assert!(host.0.uploads.borrow().is_empty());
            return;
        }
        Ok(Route::Page | Route::Config | Route::File(_) | Route::MakeLink(_) | Route::Link(_)) => {
            // Telegram's answer to `getFile` has no path, and there is no secret for links.
            assert!([200, 400, 401, 404, 501, 502].contains(&reply.status));
            assert!(host.0.uploads.borrow().is_empty());
            return;
        }
        Ok(_) if end == End::Gone => None,
        Ok(Route::Upload(Content::Form { boundary })) => expected_of_form(&head, &boundary, body),
        Ok(Route::Upload(Content::Raw(raw))) => expected_of_raw(&head, raw, body),
        Err(_) => None,
    };
    let uploads = host.0.uploads.borrow();
    let committed: Vec<_> = uploads
        .iter()
        .filter(|upload| upload.closed.get())
        .collect();
    if let Some(expected) = &expected {
        assert_eq!(committed.len(), 1, "{}", reply.body);
        is_stored(expected, committed[0]);
        is_receipt(expected, &reply);
        is_notified(expected, &host);
    } else {
        super::is_error_reply(&reply);
        assert!(committed.is_empty(), "{}", reply.body);
        assert!(host.calls_to("/webhook").is_empty());
    }
    tells_no_secret(&host, &reply, data);
}

/// The bot's secret is in no reply and no log, unless the input itself has it.
fn tells_no_secret(host: &TestHost, reply: &Reply, data: &[u8]) {
    let secret = BOT.split_once(':').expect("a secret").1;
    let shown = [
        reply.body.as_bytes(),
        host.0.lines.borrow().concat().as_bytes(),
    ]
    .concat();
    assert!(find(&shown, secret.as_bytes()).is_none() || find(data, secret.as_bytes()).is_some());
}

/// What the worker replies, and the host that has seen what it did.
fn serve(head: &RequestHead, body: &[u8], chance: u64, end: End) -> (TestHost, Reply) {
    let host = TestHost::default();
    host.answers("/credentials", [Ok(answer(200, CREDENTIALS))]);
    host.answers("/webhook", [Ok(answer(200, "{}"))]);
    host.answers("/get", [Ok(answer(200, STORED))]);
    host.script(Script::answering(answer(200, STORED)));
    let setting = |name| (name == "BACKEND_URL").then(|| "https://backend".to_owned());
    let piece = 1 << (chance / 8 % 10);
    let reply = host.run(routes::serve(
        &Isolate::default(),
        setting,
        &host,
        head,
        &mut TestBody::new(body, piece, end),
    ));
    host.run_deferred();
    (host, reply.reply)
}

/// A file that has to be stored.
struct Expected {
    /// In reply, caption and notification.
    name: String,
    /// If `fileName` comes after a streamed file, Telegram knows the file by this name.
    own_name: String,
    content: Vec<u8>,
    caption: String,
}

fn expected_of_raw(head: &RequestHead, raw: RawFile, body: &[u8]) -> Option<Expected> {
    let part = FilePart {
        name: Some(raw.name).filter(|name| !name.is_empty()),
        content_type: None,
    };
    let fields = Fields {
        user_id: raw.user_id,
        caption: raw.caption,
        ..Fields::default()
    };
    expected(head, &part, body, fields)
}

/// What a form brings about; `None` when it has to be refused.
fn expected_of_form(head: &RequestHead, boundary: &str, body: &[u8]) -> Option<Expected> {
    let is_boundary = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? !#$%&*^`|~".contains(&b);
    if !(1..=70).contains(&boundary.len())
        || !boundary.bytes().all(is_boundary)
        || boundary.ends_with(' ')
    {
        return None;
    }
    let form = naive_form(boundary, body).ok()?;
    let (part, content) = form.file?;
    expected(head, &part, &content, form.fields)
}

fn expected(
    head: &RequestHead,
    part: &FilePart,
    content: &[u8],
    fields: Fields,
) -> Option<Expected> {
    let of_header = match head
        .authorization
        .as_deref()
        .and_then(|v| v.trim().split_once(' '))
    {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Some(AuthToken::parse(token)?)
        }
        _ => None,
    };
    let of_form = match fields.auth_token.as_deref().map(str::trim) {
        Some("") | None => None,
        Some(token) => Some(AuthToken::parse(token)?),
    };
    let tokens_agree = of_header.is_none() || of_form.is_none() || of_header == of_form;
    let has_token = of_header.is_some() || of_form.is_some();
    let mut claimed = [head.user_id.as_deref(), fields.user_id.as_deref()]
        .into_iter()
        .flatten();
    let is_user = claimed.all(|user_id| ["", "u"].contains(&user_id.trim()));
    if !tokens_agree || !has_token || !is_user || content.is_empty() {
        return None;
    }
    let own_name = part.name.as_deref().and_then(naive_name);
    let own_name = own_name.unwrap_or_else(|| "file".to_owned());
    let given = fields.file_name.as_deref().and_then(naive_name);
    let name = given.unwrap_or_else(|| own_name.clone());
    let caption = match fields.caption {
        Some(caption) if caption.chars().count() > 1024 => return None,
        Some(caption) => caption,
        None => format!("Uploaded: {name}").chars().take(1024).collect(),
    };
    Some(Expected {
        name,
        own_name,
        content: content.to_vec(),
        caption,
    })
}

/// A name without its path and without control characters, if that leaves anything.
pub(super) fn naive_name(given: &str) -> Option<String> {
    let is_control = |c: &char| matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}');
    let mut name: String = given.chars().filter(|c| !is_control(c)).collect();
    while let Some(at) = name.find(['/', '\\']) {
        name.drain(..=at);
    }
    let rest = name.replace('.', "");
    (!rest.trim().is_empty()).then_some(name)
}

/// What Telegram reads is the file.
fn is_stored(expected: &Expected, upload: &Rc<Upload>) {
    assert_eq!(
        upload.url,
        format!("https://api.telegram.org/bot{BOT}/sendDocument")
    );
    let body = upload.bytes.borrow();
    assert!(
        upload
            .length
            .is_none_or(|length| length == body.len() as u64)
    );
    let (line, _) = split_once(&body, b"\r\n").expect("a line");
    let boundary = std::str::from_utf8(&line[2..]).expect("a boundary");
    let mentions = |text: &[u8]| find(text, boundary.as_bytes()).is_some();
    if mentions(&expected.content) || mentions(expected.caption.as_bytes()) {
        // The test's randomness can be foreseen; a CSPRNG's can't.
        return;
    }
    let parts = bot_api::read(boundary, &body).expect("what Telegram can read");
    assert_eq!(parts.len(), 4);
    assert_eq!(bot_api::value(&parts, "chat_id"), Some(&b"-1001"[..]));
    assert_eq!(
        bot_api::value(&parts, "caption"),
        Some(expected.caption.as_bytes())
    );
    assert_eq!(
        bot_api::value(&parts, "document"),
        Some(&expected.content[..])
    );
    let names: Vec<_> = parts
        .iter()
        .filter_map(|part| part.filename.as_deref())
        .collect();
    assert!(names == [expected.name.as_bytes()] || names == [expected.own_name.as_bytes()]);
}

fn is_receipt(expected: &Expected, reply: &Reply) {
    let json: Value = serde_json::from_str(&reply.body).expect("JSON");
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(json["success"], true);
    assert_eq!(
        (&json["messageId"], &json["fileId"]),
        (&7.into(), &"F".into())
    );
    assert_eq!(json["fileName"], expected.name.as_str());
    assert_eq!(json["size"], expected.content.len());
}

fn is_notified(expected: &Expected, host: &TestHost) {
    let events = host.calls_to("/webhook");
    assert_eq!(events.len(), 1);
    let json: Value = serde_json::from_slice(&events[0].body).expect("JSON");
    assert_eq!(
        (&json["userId"], &json["messageId"]),
        (&"u".into(), &7.into())
    );
    assert_eq!(json["fileName"], expected.name.as_str());
    assert_eq!(json["size"], expected.content.len());
}
