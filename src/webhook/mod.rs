//! The webhook: what the backend is told of an upload, signed and sent.

mod message;
mod signature;

use serde::Serialize;

use crate::text::rfc3339;

pub use message::{Message, Undelivered};
pub use signature::{Signature, WebhookSecret};

/// What happened, as `POST {BACKEND_URL}/api/webhook/upload` takes it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Unique per upload, and the same in every try: the receiver drops what it has seen.
    pub id: String,
    /// Whose upload it was.
    pub user_id: String,
    /// The file's true name.
    pub file_name: String,
    /// The message that holds it.
    pub message_id: i64,
    /// Telegram's id for it.
    pub file_id: String,
    /// Telegram's id for it that is the same for every bot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_unique_id: Option<String>,
    /// Bytes, counted.
    pub size: u64,
    /// Its type.
    pub mime_type: String,
    /// When Telegram had it (RFC 3339).
    pub uploaded_at: String,
}

impl Event {
    /// The time of an event in its wire form.
    #[must_use]
    pub fn time(ms: crate::host::UnixMillis) -> String {
        rfc3339(ms)
    }
}
