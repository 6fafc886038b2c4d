//! What Telegram's errors mean for an upload.

use crate::host::Answer;

/// Seconds to wait when Telegram says 429 without saying how long.
const DEFAULT_RETRY_AFTER_SECONDS: u32 = 5;
/// Most characters of a description that are forwarded.
const MAX_DESCRIPTION_CHARS: usize = 300;

/// Why an upload to Telegram did not store a file, or why that is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TelegramFault {
    /// 401, 404, 421: the bot's token is dead.
    TokenDead {
        /// Telegram's description.
        description: String,
    },
    /// 403, or 400 about the chat: the bot cannot post there.
    ChatRefused {
        /// Telegram's description.
        description: String,
    },
    /// The chat has become a supergroup, which has another id (Bot API, `migrate_to_chat_id`).
    ChatMoved {
        /// Telegram's description.
        description: String,
        /// The new id.
        to: i64,
    },
    /// Another 400: something about this file or caption.
    BadRequest {
        /// Telegram's description.
        description: String,
    },
    /// 413.
    TooLarge,
    /// 429.
    RetryAfter {
        /// Telegram's description.
        description: String,
        /// Seconds.
        seconds: u32,
    },
    /// 5xx or 408, from the API itself or from a proxy before it.
    Failed {
        /// Telegram's description; `None` when a proxy answered.
        description: Option<String>,
    },
    /// There was no connection, or it ended before the body was complete: nothing is stored.
    Unreachable,
    /// Telegram accepted no more bytes for too long: nothing is stored.
    Stalled,
    /// The whole body was sent, and no answer says whether it was stored.
    OutcomeUnknown {
        /// Whether this is because of a timeout.
        timed_out: bool,
    },
    /// `ok`, but without ids that identify the file: it is stored.
    NoIds,
}

impl TelegramFault {
    /// The fault in the Bot API's error object.
    pub(super) fn from_error(
        code: u16,
        description: Option<String>,
        retry_after: Option<u32>,
        migrate_to_chat_id: Option<i64>,
    ) -> Self {
        let words = description
            .map(|text| clean(&text))
            .filter(|text| !text.is_empty());
        let description = words
            .clone()
            .unwrap_or_else(|| "Telegram upload failed".to_owned());
        if let Some(to) = migrate_to_chat_id {
            return Self::ChatMoved { description, to };
        }
        match code {
            401 | 404 | 421 => Self::TokenDead { description },
            403 => Self::ChatRefused { description },
            413 => Self::TooLarge,
            429 => Self::RetryAfter {
                description,
                seconds: retry_after.unwrap_or(DEFAULT_RETRY_AFTER_SECONDS),
            },
            400 if is_about_chat(&description) => Self::ChatRefused { description },
            400..=407 | 409..=499 => Self::BadRequest { description },
            _ => Self::Failed { description: words },
        }
    }

    /// The fault in an answer to a whole body that is not the Bot API's JSON: a proxy's page, truncated
    /// JSON, nothing.
    pub(super) fn from_foreign_answer(answer: &Answer) -> Self {
        match answer.status {
            413 => Self::TooLarge,
            429 => Self::too_many_requests(answer.retry_after()),
            401 | 404 | 421 => Self::TokenDead {
                description: "Telegram upload failed".to_owned(),
            },
            500..=599 if answer.body.trim_ascii().is_empty() => {
                Self::from_foreign_status(answer.status)
                    .unwrap_or(Self::OutcomeUnknown { timed_out: false })
            }
            status => {
                Self::from_foreign_status(status).unwrap_or(Self::Failed { description: None })
            }
        }
    }

    /// The fault of a foreign answer whose status alone leaves open whether the file is stored.
    #[must_use]
    pub fn from_foreign_status(status: u16) -> Option<Self> {
        match status {
            // Success without a result; and gateways that passed the request on and got no usable
            // answer (RFC 9110 section 15.6.3; 520: developers.cloudflare.com, "Cloudflare 5xx errors").
            200..=299 | 502 | 520 => Some(Self::OutcomeUnknown { timed_out: false }),
            // The same, after they waited in vain (RFC 9110 section 15.6.5; 524: as 520).
            504 | 524 => Some(Self::OutcomeUnknown { timed_out: true }),
            _ => None,
        }
    }

    /// A 429 without the Bot API's JSON.
    #[must_use]
    pub fn too_many_requests(retry_after_seconds: Option<u32>) -> Self {
        Self::RetryAfter {
            description: "Too Many Requests".to_owned(),
            seconds: retry_after_seconds.unwrap_or(DEFAULT_RETRY_AFTER_SECONDS),
        }
    }

    /// Whether the credentials are the reason, so that fresh ones may help.
    #[must_use]
    pub fn blames_credentials(&self) -> bool {
        matches!(self, Self::TokenDead { .. } | Self::ChatRefused { .. })
    }
}

/// Whether the description of a 400 is about the chat or the bot's rights in it, not about the file.
fn is_about_chat(description: &str) -> bool {
    const ABOUT_CHAT: [&str; 7] = [
        "chat not found",
        "administrator rights",
        "write access",
        "group chat was upgraded",
        "not enough rights",
        "CHAT_",
        "PEER_ID_INVALID",
    ];
    ABOUT_CHAT.iter().any(|words| description.contains(words))
}

fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_DESCRIPTION_CHARS)
        .collect()
}
