//! `getFile`: from a file's id to its path on the bot's file server.
//!
//! The cloud Bot API serves `GET /file/bot<token>/<file_path>` for an hour after `getFile`. The
//! self-hosted server serves no files; a web server beside it does, from its working directory. With
//! `--local` it returns the full path, `<directory>/<token>/documents/file_0.pdf`
//! (tdlib/telegram-bot-api). The part after the token is the path on that web server.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{BotToken, TelegramFault, read_result};
use crate::host::Answer;
use crate::json::Object;

/// Most bytes of a file id. Those of documents have about 80.
const MAX_FILE_ID_BYTES: usize = 256;
/// Most bytes of a path.
const MAX_PATH_BYTES: usize = 1024;

/// A file's id, checked because it goes into URLs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct FileId(String);

impl FileId {
    /// Checks an id: 1 to 256 characters of the URL-safe base64 alphabet.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=MAX_FILE_ID_BYTES).contains(&text.len());
        let is_id = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        (fits && text.bytes().all(is_id)).then(|| Self(text.to_owned()))
    }

    /// The id as Telegram reads it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FileId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a file id")
    }
}

/// A file that the bot can fetch. `Debug` hides the path, because with `--local` it is derived from one
/// that contains the token.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Below `/file/bot<token>/`, percent-encoded.
    path: String,
    /// Bytes.
    pub size: u64,
    /// The id that is the same for every bot.
    pub unique_id: Option<String>,
}

impl RemoteFile {
    /// The URL of its bytes. It contains the token.
    #[must_use]
    pub fn url(&self, api_url: &str, token: &BotToken) -> String {
        format!("{api_url}/file/bot{}/{}", token.0, self.path)
    }

    /// The last segment of the path: `file_5.pdf`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

impl std::fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteFile")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Why the bot cannot fetch a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileFault {
    /// The file is over [`super::MAX_CLOUD_DOWNLOAD_BYTES`], and the Bot API server is Telegram's.
    TooBig,
    /// The id is wrong, or another bot's.
    NotFound,
    /// The Bot API server returns a path on its own disk that no web server serves.
    NotServed,
    /// Something else went wrong.
    Telegram(TelegramFault),
}

/// Reads the answer to `getFile`.
///
/// # Errors
/// Why there is no file.
pub fn read_file(answer: &Answer, token: &BotToken) -> Result<RemoteFile, FileFault> {
    #[derive(Deserialize)]
    struct File {
        file_path: Option<String>,
        file_size: Option<u64>,
        file_unique_id: Option<String>,
    }
    let Object(file): Object<File> = read_result(answer).map_err(|fault| match fault {
        TelegramFault::BadRequest { description } if description.contains("file is too big") => {
            FileFault::TooBig
        }
        // "wrong file_id or the file is temporarily unavailable", "invalid file_id", and more.
        TelegramFault::BadRequest { .. } | TelegramFault::ChatRefused { .. } => FileFault::NotFound,
        // `getFile` stores nothing, so a missing answer only means that Telegram is unreachable.
        TelegramFault::OutcomeUnknown { .. } | TelegramFault::NoIds => {
            FileFault::Telegram(TelegramFault::Failed { description: None })
        }
        fault => FileFault::Telegram(fault),
    })?;
    let incomplete = || FileFault::Telegram(TelegramFault::Failed { description: None });
    let given = file.file_path.ok_or_else(incomplete)?;
    Ok(RemoteFile {
        path: served_path(&given, token).ok_or(FileFault::NotServed)?,
        size: file.file_size.ok_or_else(incomplete)?,
        unique_id: file.file_unique_id,
    })
}

/// The path below `/file/bot<token>/`. A server under Windows writes the token with `~` for `:`.
fn served_path(given: &str, token: &BotToken) -> Option<String> {
    let given = given.replace('\\', "/");
    let is_absolute = given.starts_with('/') || given.get(1..3) == Some(":/");
    let path = if is_absolute {
        let folders = [token.0.clone(), token.0.replace(':', "~")];
        folders
            .iter()
            .find_map(|folder| Some(given.split_once(&format!("/{folder}/"))?.1))?
    } else {
        given.as_str()
    };
    let is_clean = |segment: &str| !matches!(segment, "" | "." | "..");
    (path.len() <= MAX_PATH_BYTES && path.split('/').all(is_clean)).then(|| encoded(path))
}

/// Percent-encodes all but the unreserved characters and the slash (RFC 3986 section 2.3).
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> BotToken {
        BotToken::parse(&format!("123456:{}", "A".repeat(35))).expect("a token")
    }

    fn read(status: u16, body: &str) -> Result<RemoteFile, FileFault> {
        let answer = Answer {
            status,
            retry_after: None,
            body: body.as_bytes().to_vec(),
        };
        read_file(&answer, &token())
    }

    fn path(given: &str) -> Result<String, FileFault> {
        let file = serde_json::json!({"file_id": "f", "file_path": given, "file_size": 1});
        let body = serde_json::json!({"ok": true, "result": file}).to_string();
        read(200, &body).map(|file| file.path)
    }

    #[test]
    fn only_what_can_stand_in_a_url_is_an_id() {
        for good in ["A", "BQACAgIAAx0CX_-9", &"a".repeat(256)] {
            assert_eq!(FileId::parse(good).expect("an id").as_str(), good);
        }
        for bad in ["", "a/b", "a.b", "a b", "a%2F", "é", "..", &"a".repeat(257)] {
            assert_eq!(FileId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_path_becomes_a_url() {
        let body = r#"{"ok":true,"result":{"file_id":"f","file_unique_id":"u","file_size":7,
            "file_path":"documents/file_5.pdf"}}"#;
        let file = read(200, body).expect("a file");
        assert_eq!((file.size, file.unique_id.as_deref()), (7, Some("u")));
        assert_eq!(file.name(), "file_5.pdf");
        let url = file.url("https://api.telegram.org", &token());
        let secret = "A".repeat(35);
        assert_eq!(
            url,
            format!("https://api.telegram.org/file/bot123456:{secret}/documents/file_5.pdf")
        );
        assert!(!format!("{file:?}").contains("documents"));
    }

    #[test]
    fn a_path_on_the_servers_disk_is_cut_behind_the_token() {
        let secret = "A".repeat(35);
        for directory in [
            format!("/var/lib/telegram-bot-api/123456:{secret}"),
            format!("C:\\bots\\123456~{secret}"),
        ] {
            assert_eq!(
                path(&format!("{directory}/documents/a b.pdf")),
                Ok("documents/a%20b.pdf".to_owned())
            );
        }
        for elsewhere in [
            "/etc/passwd",
            "/data/1:x/documents/file_0",
            "C:/documents/a",
        ] {
            assert_eq!(path(elsewhere), Err(FileFault::NotServed), "{elsewhere}");
        }
    }

    #[test]
    fn a_path_never_leaves_the_bots_folder() {
        for bad in [
            "",
            "../bot1/documents/a",
            "a/../../b",
            "a//b",
            "documents/",
            "./a",
        ] {
            assert_eq!(path(bad), Err(FileFault::NotServed), "{bad}");
        }
        assert_eq!(
            path("a?b#c%2F\u{e9}"),
            Ok("a%3Fb%23c%252F%C3%A9".to_owned())
        );
    }

    #[test]
    fn telegrams_refusals_are_told_apart() {
        let refusal = |code: u16, description: &str| {
            let body = serde_json::json!({
                "ok": false, "error_code": code, "description": description,
            });
            read(code, &body.to_string()).expect_err("a fault")
        };
        assert_eq!(
            refusal(400, "Bad Request: file is too big"),
            FileFault::TooBig
        );
        for words in [
            "Bad Request: wrong file_id or the file is temporarily unavailable",
            "Bad Request: invalid file_id",
        ] {
            assert_eq!(refusal(400, words), FileFault::NotFound);
        }
        let dead = refusal(401, "Unauthorized");
        assert!(matches!(
            dead,
            FileFault::Telegram(TelegramFault::TokenDead { .. })
        ));
        for (status, body) in [(200, "{}"), (200, "<html>"), (504, ""), (502, "")] {
            assert_eq!(
                read(status, body),
                Err(FileFault::Telegram(TelegramFault::Failed {
                    description: None
                })),
                "{status} {body}"
            );
        }
    }
}
