//! One Telegram message with one document: a stretch of a file.

use serde::{Deserialize, Serialize};

/// A part that Telegram has stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// The message that holds it.
    pub message_id: i64,
    /// The id with which the user's bot fetches it.
    pub file_id: String,
    /// The id that is the same for every bot.
    pub file_unique_id: Option<String>,
    /// Bytes; never 0.
    pub size: u64,
    /// SHA-256 of its bytes, in lower-case hexadecimal.
    pub sha256: Option<String>,
}
