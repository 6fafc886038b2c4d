//! What Telegram's errors mean for an upload.

use crate::host::Answer;

/// Seconds to wait when Telegram says 429 without saying how long.
const DEFAULT_RETRY_AFTER_SECONDS: u32 = 5;
/// Most characters of a description that are passed on.
const MAX_DESCRIPTION_CHARS: usize = 300;

/// Why an upload to Telegram did not end with a stored file, or why that can't be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TelegramFault {
    /// 401, 404, 421: the bot's token is dead.
    TokenDead {
        /// Telegram's own words.
        description: String,
    },
    /// 403, or 400 about the chat: the bot can't post there.
    ChatRefused {
        /// Telegram's own words.
        description: String,
    },
    /// The chat has become a supergroup, which has another id (Bot API, `migrate_to_chat_id`).
    ChatMoved {
        /// Telegram's own words.
        description: String,
        /// The new id.
        to: i64,
    },
    /// Another 400: something about this file or caption.
    BadRequest {
        /// Telegram's own words.
        description: String,
    },
    /// 413.
    TooLarge,
    /// 429.
    RetryAfter {
        /// Telegram's own words.
        description: String,
        /// Seconds.
        seconds: u32,
    },
    /// 5xx, or 408, from the API itself or from what stands in front of it.
    Failed {
        /// Telegram's own words; none when a proxy answered.
        description: Option<String>,
    },
    /// No connection, or it ended before the body was whole: nothing is stored.
    Unreachable,
    /// Telegram took no more bytes for too long: nothing is stored.
    Stalled,
    /// The body was sent whole and no answer came that says what became of it.
    OutcomeUnknown {
        /// Whether it was time that ran out.
        timed_out: bool,
    },
    /// `ok`, but without ids to find the file by: it is stored.
    NoIds,
}

impl TelegramFault {
    /// From the Bot API's own error object.
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

    /// From an answer that is not the Bot API's JSON: a proxy's page, half a JSON, nothing.
    pub(super) fn from_foreign_answer(answer: &Answer) -> Self {
        match answer.status {
            // It says that it went well, and not what: the file may be there.
            200..=299 => Self::OutcomeUnknown { timed_out: false },
            413 => Self::TooLarge,
            429 => Self::too_many_requests(answer.retry_after.as_deref()),
            // A gateway that had passed the request on and then waited in vain. 520 and 524 are
            // Cloudflare's own (developers.cloudflare.com, "Cloudflare 5xx errors").
            504 | 520 | 524 => Self::OutcomeUnknown {
                timed_out: answer.status != 520,
            },
            401 | 404 | 421 => Self::TokenDead {
                description: "Telegram upload failed".to_owned(),
            },
            _ => Self::Failed { description: None },
        }
    }

    /// A 429 without the Bot API's JSON.
    #[must_use]
    pub fn too_many_requests(retry_after: Option<&str>) -> Self {
        let seconds = retry_after.and_then(|text| text.trim().parse().ok());
        Self::RetryAfter {
            description: "Too Many Requests".to_owned(),
            seconds: seconds.unwrap_or(DEFAULT_RETRY_AFTER_SECONDS),
        }
    }

    /// Whether the cached credentials are to blame, so that fresh ones might do better.
    #[must_use]
    pub fn blames_credentials(&self) -> bool {
        matches!(self, Self::TokenDead { .. } | Self::ChatRefused { .. })
    }
}

/// The descriptions of a 400 that speak of the chat and the bot's rights in it, not of the file.
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
