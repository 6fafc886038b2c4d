//! A file's name, on its way from browser to Telegram.
//!
//! The first line of the input is the file's type, the rest is its name.

use telestore_worker::file_name::file_name;
use telestore_worker::multipart::envelope::{Envelope, passable_content_type};
use telestore_worker::multipart::testing::read_form;

use super::upload::naive_name;
use crate::bot_api;
use crate::bytes::{chance, split_once};

const CONTENT: &[u8] = b"\r\n--content\0\xff\r\n";

/// Runs the target.
pub fn run(data: &[u8]) {
    let Some((content_type, name)) = split_once(data, b"\n") else {
        return;
    };
    let (Ok(content_type), Ok(name)) =
        (std::str::from_utf8(content_type), std::str::from_utf8(name))
    else {
        return;
    };
    as_telegram_reads_it(content_type, name, chance(data));
    as_a_browser_writes_it(name);
    assert_eq!(file_name(name), naive_name(name));
}

/// Whatever the name, Telegram's reader undoes what the envelope did to it.
fn as_telegram_reads_it(content_type: &str, name: &str, chance: u64) {
    let mut entropy = [0; 24];
    entropy[..8].copy_from_slice(&chance.to_le_bytes());
    let envelope = Envelope::new(entropy);
    let framed = envelope.content_type();
    let (_, boundary) = framed.split_once("boundary=").expect("a boundary");
    let content_type = passable_content_type(Some(content_type));
    assert!(content_type.contains('/') && content_type.bytes().all(|b| (32..127).contains(&b)));
    // The name is also the caption, once before the file and once after it.
    let captions = if chance.is_multiple_of(2) {
        (Some(name), None)
    } else {
        (None, Some(name))
    };
    let opening = envelope.opening("-1001", captions.0, name, content_type);
    let closing = envelope.closing(captions.1);
    let body = [opening.as_bytes(), CONTENT, closing.as_bytes()].concat();
    let parts = bot_api::read(boundary, &body).expect("what Telegram can read");
    assert_eq!(parts.len(), 4);
    assert_eq!(parts[0].name, b"chat_id");
    assert_eq!(bot_api::value(&parts, "chat_id"), Some(&b"-1001"[..]));
    assert_eq!(bot_api::value(&parts, "caption"), Some(name.as_bytes()));
    assert_eq!(
        bot_api::value(&parts, "disable_content_type_detection"),
        Some(&b"true"[..])
    );
    assert_eq!(bot_api::value(&parts, "document"), Some(CONTENT));
    let files: Vec<_> = parts
        .iter()
        .filter_map(|part| part.filename.as_deref())
        .collect();
    assert_eq!(files, [name.as_bytes()]);
    // Cut off anywhere in its closing, it is nothing to Telegram.
    let cut = body.len() - 3 - usize::try_from(chance % 16).expect("small");
    assert!(bot_api::read(boundary, &body[..cut]).is_none());
}

/// Names are read as browsers write them (WHATWG HTML, "multipart form data"): what they leave
/// alone, `%` and `\`, can't be told from what they and others escape.
fn as_a_browser_writes_it(name: &str) {
    if name.is_empty() || name.contains(['%', '\\', '\0']) {
        return;
    }
    let written = name
        .replace('"', "%22")
        .replace('\r', "%0D")
        .replace('\n', "%0A");
    if written.len() > 8 * 1024 {
        return;
    }
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{written}\"\r\n\r\nx\r\n--b--\r\n"
    );
    let (file, _) = read_form("b", [body.as_bytes()])
        .expect("a form")
        .file
        .expect("a file");
    assert_eq!(file.name.as_deref(), Some(name));
}
