//! What an upload reports: its receipt, its log line, its timings.

use serde::Serialize;

use crate::credentials::Source;
use crate::error::Error;
use crate::host::UnixMillis;
use crate::notify::Notified;

use super::StoredFile;

/// How the file's bytes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// The body is the file, and is piped natively.
    Raw,
    /// A form whose token is known before the file: scanned and forwarded piece by piece.
    Streamed,
    /// A form whose file comes before its token: held until the token is known.
    Buffered,
    /// A small form: read at once.
    Small,
}

impl Lane {
    fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Streamed => "streamed",
            Self::Buffered => "buffered",
            Self::Small => "small",
        }
    }
}

/// What is known about an upload so far, for the log and the timings. It never contains a secret or the
/// file's name.
#[derive(Debug, Default)]
pub struct Report {
    /// The lane, as soon as it is chosen.
    pub lane: Option<Lane>,
    /// Where the credentials came from.
    pub source: Option<Source>,
    /// Milliseconds that it took to get credentials.
    pub credentials_ms: Option<UnixMillis>,
    /// Milliseconds from the start of the request to Telegram until its answer.
    pub telegram_ms: Option<UnixMillis>,
    /// Milliseconds until the backend acknowledged, or the wait for that ended.
    pub notify_ms: Option<UnixMillis>,
}

impl Report {
    /// The value of `Server-Timing` (W3C Server Timing), if there are any timings.
    #[must_use]
    pub fn server_timing(&self) -> Option<String> {
        let credentials = self.credentials_ms.map(|ms| match self.source {
            Some(source) => format!("credentials;desc=\"{}\";dur={ms}", source.as_str()),
            None => format!("credentials;dur={ms}"),
        });
        let telegram = self.telegram_ms.map(|ms| format!("telegram;dur={ms}"));
        let notify = self.notify_ms.map(|ms| format!("notify;dur={ms}"));
        let metrics: Vec<String> = [credentials, telegram, notify]
            .into_iter()
            .flatten()
            .collect();
        (!metrics.is_empty()).then(|| metrics.join(", "))
    }

    /// The line that an upload writes to the log, as JSON.
    #[must_use]
    pub fn log_line(&self, request_id: &str, result: &Result<Outcome, Error>) -> String {
        let failure = result.as_ref().err().map(Error::describe);
        let receipt = match result {
            Ok(Outcome::Uploaded(receipt)) => Some(receipt),
            Ok(Outcome::Replayed(_)) | Err(_) => None,
        };
        let line = LogLine {
            event: "upload",
            request_id,
            status: failure.as_ref().map_or(200, |failure| failure.status),
            code: failure.as_ref().map(|failure| failure.code),
            setting: match result {
                Err(Error::Config(wrong)) => Some(wrong.setting),
                _ => None,
            },
            replayed: matches!(result, Ok(Outcome::Replayed(_))),
            lane: self.lane.map(Lane::as_str),
            size: receipt.map(|receipt| receipt.size),
            user_id: receipt.map(|receipt| receipt.user_id.as_str()),
            notified: receipt.map(|receipt| receipt.notified),
            credentials: self.source.map(Source::as_str),
            credentials_ms: self.credentials_ms,
            telegram_ms: self.telegram_ms,
            notify_ms: self.notify_ms,
        };
        // Strings and numbers always serialise.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogLine<'a> {
    event: &'static str,
    request_id: &'a str,
    status: u16,
    code: Option<&'static str>,
    /// The name of the setting that is wrong.
    setting: Option<&'static str>,
    replayed: bool,
    lane: Option<&'static str>,
    size: Option<u64>,
    user_id: Option<&'a str>,
    notified: Option<Notified>,
    credentials: Option<&'static str>,
    credentials_ms: Option<UnixMillis>,
    telegram_ms: Option<UnixMillis>,
    notify_ms: Option<UnixMillis>,
}

/// How an upload succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Telegram has the file.
    Uploaded(Receipt),
    /// An earlier upload with the same idempotency key has stored it. This was the body of its reply.
    Replayed(String),
}

/// What the browser learns about a stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Telegram's message; never 0.
    pub message_id: i64,
    /// Telegram's id of the file.
    pub file_id: String,
    /// Telegram's id of the file that is the same for every bot.
    pub file_unique_id: Option<String>,
    /// The file's true name.
    pub file_name: String,
    /// Bytes, counted.
    pub size: u64,
    /// The file's type.
    pub mime_type: String,
    /// What Telegram stored it as.
    pub kind: &'static str,
    /// Whether a bot can fetch it back.
    pub downloadable: bool,
    /// Whether the backend knows.
    pub notified: Notified,
    /// The new id of the chat, if it has migrated since the credentials were stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrated_to_chat_id: Option<String>,
    /// The user who uploaded it.
    #[serde(skip)]
    pub user_id: String,
}

impl Receipt {
    /// The receipt of a stored file. The backend is not notified yet.
    pub(super) fn new(sent: StoredFile, downloadable: bool) -> Self {
        let mime_type = sent.mime_type().to_owned();
        Self {
            message_id: sent.stored.message_id,
            file_id: sent.stored.file_id,
            file_unique_id: sent.stored.file_unique_id,
            file_name: sent.file.name,
            size: sent.size,
            mime_type,
            kind: sent.stored.kind,
            downloadable,
            notified: Notified::Pending,
            migrated_to_chat_id: sent.migrated_to.map(|chat| chat.as_str().to_owned()),
            user_id: sent.credentials.user_id.clone(),
        }
    }

    /// The reply's JSON: `TeleStore`'s four fields, and ours.
    #[must_use]
    pub fn to_json(&self, request_id: &str) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Success<'a> {
            success: bool,
            #[serde(flatten)]
            receipt: &'a Receipt,
            request_id: &'a str,
        }
        let success = Success {
            success: true,
            receipt: self,
            request_id,
        };
        // Strings and numbers always serialise.
        serde_json::to_string(&success).unwrap_or_default()
    }
}
