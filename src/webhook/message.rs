//! An event, and the message that carries it to the backend.

use serde::{Deserialize, Serialize, Serializer};

use crate::config::Config;
use crate::host::{Call, CallFault, Host, Method, UnixMillis};
use crate::text::rfc3339;

const MAX_ANSWER_BYTES: usize = 4 * 1024;

/// A stored file, as `POST {BACKEND_URL}/api/webhook/upload` expects it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Unique per upload, and the same in every try, so that the receiver can ignore duplicates.
    pub id: String,
    /// The user who uploaded it.
    pub user_id: String,
    /// The file's true name.
    pub file_name: String,
    /// The message that holds it.
    pub message_id: i64,
    /// Telegram's id of the file.
    pub file_id: String,
    /// Telegram's id of the file that is the same for every bot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_unique_id: Option<String>,
    /// Bytes, counted.
    pub size: u64,
    /// The MIME type.
    pub mime_type: String,
    /// When Telegram stored it.
    #[serde(serialize_with = "as_rfc3339")]
    pub uploaded_at: UnixMillis,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_rfc3339<S: Serializer>(time: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

/// An event with its id. Every try sends the same bytes, with a new signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The `webhook-id`.
    pub id: String,
    /// The event's JSON.
    pub body: String,
}

/// Why a message was not acknowledged. The text contains no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undelivered {
    /// The backend answered with this status.
    Status(u16),
    /// It did not answer in time.
    Timeout,
    /// It could not be reached, or the connection broke.
    Unreachable,
}

impl std::fmt::Display for Undelivered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the backend answered {status}"),
            Self::Timeout => f.write_str("the backend did not answer in time"),
            Self::Unreachable => f.write_str("the backend is unreachable"),
        }
    }
}

impl Undelivered {
    /// Whether the backend refused the message for good: a 4xx, other than those that ask the sender
    /// to come back (RFC 9110 section 15.5, RFC 8470 section 5.2, RFC 6585 section 4).
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            Self::Status(408 | 425 | 429) | Self::Timeout | Self::Unreachable => false,
            Self::Status(status) => (400..500).contains(&status),
        }
    }
}

impl Message {
    /// The message about this event.
    #[must_use]
    pub fn new(event: &Event) -> Self {
        // Strings and numbers always serialise.
        Self {
            id: event.id.clone(),
            body: serde_json::to_string(event).unwrap_or_default(),
        }
    }

    /// Sends it once. Any 2xx acknowledges it (Standard Webhooks, "Delivery").
    ///
    /// # Errors
    /// Why it was not acknowledged.
    pub async fn send<H: Host>(
        &self,
        host: &H,
        config: &Config,
        timeout_ms: u32,
    ) -> Result<(), Undelivered> {
        let timestamp = host.now() / 1000;
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", self.id.clone()),
            ("webhook-timestamp", timestamp.to_string()),
        ];
        if let Some(secret) = &config.webhook_secret {
            headers.push((
                "webhook-signature",
                secret.sign(&self.id, timestamp, self.body.as_bytes()),
            ));
        }
        let call = Call {
            method: Method::Post,
            url: format!("{}/api/webhook/upload", config.backend_url),
            headers,
            body: self.body.clone().into_bytes(),
            last: Vec::new(),
            timeout_ms,
            max_answer_bytes: MAX_ANSWER_BYTES,
        };
        let status = match host.call(call).await {
            Ok(answer) => answer.status,
            Err(CallFault::AnswerTooLong { status }) => status,
            Err(CallFault::Timeout) => return Err(Undelivered::Timeout),
            Err(CallFault::Network | CallFault::Unsent) => return Err(Undelivered::Unreachable),
        };
        if (200..300).contains(&status) {
            Ok(())
        } else {
            Err(Undelivered::Status(status))
        }
    }
}
