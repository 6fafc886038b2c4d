//! The headers that name a file and its type.
//!
//! The bytes come from a user, so nothing in them may run in the worker's origin. A browser must save the
//! file, unless the request asks to show it and files of that type cannot run a script.

use std::fmt::Write as _;

use crate::multipart::envelope::{DEFAULT_CONTENT_TYPE, passable_content_type};

/// Most characters of a name. A file system takes 255 bytes.
const MAX_NAME_CHARS: usize = 200;
/// The name of a file that has none.
const DEFAULT_NAME: &str = "file";

/// Types by the extension of a name (IANA, "Media Types").
const TYPES: [(&str, &str); 42] = [
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("epub", "application/epub+zip"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("heic", "image/heic"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/vnd.microsoft.icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("md", "text/markdown; charset=utf-8"),
    ("mkv", "video/x-matroska"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tif", "image/tiff"),
    ("txt", "text/plain; charset=utf-8"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("zip", "application/zip"),
];

/// Types that a browser may show. SVG is missing because it can run scripts.
const SHOWN: [&str; 14] = [
    "application/pdf",
    "image/apng",
    "image/avif",
    "image/bmp",
    "image/gif",
    "image/heic",
    "image/jpeg",
    "image/jxl",
    "image/png",
    "image/tiff",
    "image/vnd.microsoft.icon",
    "image/webp",
    "image/x-icon",
    "text/plain",
];

/// The type of a file: the given one if it can be a header, otherwise the one of the name's extension.
#[must_use]
pub fn content_type(given: Option<&str>, name: &str) -> String {
    let passable = passable_content_type(given);
    if passable != DEFAULT_CONTENT_TYPE {
        return passable.to_owned();
    }
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    TYPES
        .iter()
        .find(|(known, _)| extension.eq_ignore_ascii_case(known))
        .map_or(DEFAULT_CONTENT_TYPE, |(_, content_type)| content_type)
        .to_owned()
}

/// Whether a browser may show a file of this type.
fn may_be_shown(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    let is_token = |text: &str| {
        let is_in = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        !text.is_empty() && text.bytes().all(is_in)
    };
    match essence.split_once('/') {
        Some(("audio" | "video", subtype)) => is_token(subtype),
        _ => SHOWN.contains(&essence.as_str()),
    }
}

/// The name for a browser: without folders and control characters, and not too long.
#[must_use]
pub fn told_name(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    let clean: String = base
        .chars()
        .map(|c| if c.is_control() { '_' } else { c })
        .take(MAX_NAME_CHARS)
        .collect();
    match clean.as_str() {
        "" | "." | ".." => DEFAULT_NAME.to_owned(),
        _ => clean,
    }
}

/// The value of `Content-Disposition` (RFC 6266): `filename` for old clients, in ASCII, and
/// `filename*` with the true name (RFC 8187).
#[must_use]
pub fn content_disposition(name: &str, content_type: &str, inline: bool) -> String {
    let kind = if inline && may_be_shown(content_type) {
        "inline"
    } else {
        "attachment"
    };
    // Clients differ about escapes in a quoted string, and some undo percent-encoding there.
    let is_plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\' | '%');
    let plain: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    let mut value = format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            value.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(value, "%{byte:02X}");
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_in_its_header() {
        for (name, header) in [
            (
                "a b.txt",
                r#"attachment; filename="a b.txt"; filename*=UTF-8''a%20b.txt"#,
            ),
            (
                "\"q\"; x=1\\.txt",
                r#"attachment; filename=".txt"; filename*=UTF-8''.txt"#,
            ),
            (
                "say \"hi\".txt",
                r#"attachment; filename="say _hi_.txt"; filename*=UTF-8''say%20%22hi%22.txt"#,
            ),
            (
                "日本🎉.txt",
                "attachment; filename=\"___.txt\"; \
                 filename*=UTF-8''%E6%97%A5%E6%9C%AC%F0%9F%8E%89.txt",
            ),
            (
                "a\r\nSet-Cookie: b",
                r#"attachment; filename="a__Set-Cookie: b"; filename*=UTF-8''a__Set-Cookie%3A%20b"#,
            ),
            (
                "100%41",
                r#"attachment; filename="100_41"; filename*=UTF-8''100%2541"#,
            ),
        ] {
            let told = told_name(name);
            assert_eq!(content_disposition(&told, "text/plain", false), header);
        }
    }

    #[test]
    fn a_name_has_no_folder_and_is_never_empty() {
        for (name, told) in [
            ("a/b\\c.txt", "c.txt"),
            ("", "file"),
            ("x/", "file"),
            ("..", "file"),
            (" \t", "file"),
        ] {
            assert_eq!(told_name(name), told, "{name}");
        }
        assert_eq!(told_name(&"é".repeat(5000)).chars().count(), 200);
    }

    #[test]
    fn only_what_runs_no_script_is_shown() {
        for (content_type, shown) in [
            ("image/png", true),
            ("IMAGE/PNG; x=y", true),
            ("audio/mpeg", true),
            ("video/mp4", true),
            ("application/pdf", true),
            ("text/plain; charset=utf-8", true),
            ("image/svg+xml", false),
            ("text/html", false),
            ("text/html; image/png", false),
            ("application/xhtml+xml", false),
            ("text/xml", false),
            ("text/javascript", false),
            ("application/octet-stream", false),
            ("video/", false),
            ("video/mp4, text/html", false),
            ("multipart/x-mixed-replace", false),
            ("", false),
        ] {
            let header = content_disposition("a", content_type, true);
            assert_eq!(header.starts_with("inline;"), shown, "{content_type}");
            let header = content_disposition("a", content_type, false);
            assert!(header.starts_with("attachment;"), "{content_type}");
        }
    }

    #[test]
    fn a_type_is_the_given_one_or_the_names() {
        for (given, name, told) in [
            (Some("video/mp4"), "a.txt", "video/mp4"),
            (None, "a.TXT", "text/plain; charset=utf-8"),
            (Some("application/octet-stream"), "a.png", "image/png"),
            (Some("a\r\nb/c"), "a.b.zip", "application/zip"),
            (None, "png", "application/octet-stream"),
            (None, "a.unknown", "application/octet-stream"),
        ] {
            assert_eq!(content_type(given, name), told, "{name}");
        }
    }
}
