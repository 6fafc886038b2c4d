//! The backend's credentials endpoint: `GET {BACKEND_URL}/api/worker/credentials`.

use serde::Deserialize;

use crate::host::{Answer, CallFault};
use crate::json::Object;
use crate::telegram::{BotToken, ChatId};

/// Most bytes of the backend's answer that are read.
pub(super) const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Most characters of the backend's `detail` that are forwarded to the browser.
const MAX_DETAIL_CHARS: usize = 300;

/// What is needed to post into a user's channel. `Debug` hides the bot's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's bot.
    pub bot_token: BotToken,
    /// The user's channel.
    pub chat_id: ChatId,
    /// The user that they belong to.
    pub user_id: String,
}

/// Why there are no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendFault {
    /// 400, 401, 403 or 404: the backend's decision about this token.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The backend's `detail`, if the answer has one.
        detail: Option<String>,
    },
    /// 429.
    Busy {
        /// Seconds, from its `Retry-After`.
        retry_after: Option<u32>,
    },
    /// 5xx, or 408: the backend did not receive the whole request in time (RFC 9110 section 15.5.9).
    Failed {
        /// The HTTP status.
        status: u16,
        /// The backend's `detail`, if the answer has one.
        detail: Option<String>,
    },
    /// There was no answer.
    Call(CallFault),
    /// The answer is neither credentials nor an error: not JSON, not complete, a redirect.
    Unusable(&'static str),
}

impl BackendFault {
    /// Whether the backend has decided, which makes what is cached for the token void.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Whether the backend could not answer, so that stale credentials may be used.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. } | Self::Failed { .. } | Self::Call(_)
        )
    }

    /// Whether the fault is remembered. 401 and 403 are about the token and stay true for a while. 400
    /// ("not configured") and 404 end as soon as the user or the deployer acts.
    #[must_use]
    pub fn is_remembered(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 401 | 403,
                ..
            }
        )
    }
}

/// Reads the backend's answer.
///
/// The answer also holds account-level secrets (`telegram_session`, `telegram_api_hash`). They are not
/// deserialised. Its `backend_url` is not used: a backend that could name the next URL could make the
/// worker call anything.
///
/// # Errors
/// Why the answer holds no credentials.
pub(super) fn read_answer(answer: &Answer) -> Result<Credentials, BackendFault> {
    match answer.status {
        200..=299 => read_credentials(&answer.body),
        status @ (400 | 401 | 403 | 404) => Err(BackendFault::Refused {
            status,
            detail: detail(&answer.body),
        }),
        429 => Err(BackendFault::Busy {
            retry_after: answer.retry_after(),
        }),
        status @ (408 | 500..=599) => Err(BackendFault::Failed {
            status,
            detail: detail(&answer.body),
        }),
        300..=399 => Err(BackendFault::Unusable(
            "the backend answered with a redirect; BACKEND_URL must name the final address",
        )),
        _ => Err(BackendFault::Unusable(
            "the backend answered with an unexpected status",
        )),
    }
}

fn read_credentials(body: &[u8]) -> Result<Credentials, BackendFault> {
    #[derive(Deserialize)]
    struct Fields {
        bot_token: Option<String>,
        channel_id: Option<Text>,
        user_id: Option<Text>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Text {
        String(String),
        Integer(i64),
    }
    impl Text {
        fn into_string(self) -> String {
            match self {
                Self::String(text) => text,
                Self::Integer(number) => number.to_string(),
            }
        }
    }
    let Object(fields): Object<Fields> = serde_json::from_slice(body).map_err(|_| {
        BackendFault::Unusable("the backend's answer is not the JSON of credentials")
    })?;
    let missing = |what| move || BackendFault::Unusable(what);
    let bot_token = fields
        .bot_token
        .ok_or_else(missing("the backend's answer has no bot_token"))?;
    let chat_id = fields
        .channel_id
        .ok_or_else(missing("the backend's answer has no channel_id"))?
        .into_string();
    let user_id = fields
        .user_id
        .ok_or_else(missing("the backend's answer has no user_id"))?
        .into_string();
    if user_id.is_empty() {
        return Err(BackendFault::Unusable(
            "the backend's answer has an empty user_id",
        ));
    }
    Ok(Credentials {
        bot_token: BotToken::parse(&bot_token).ok_or_else(missing(
            "the bot_token in the backend's answer is malformed",
        ))?,
        chat_id: ChatId::parse(&chat_id).ok_or_else(missing(
            "the channel_id in the backend's answer is malformed",
        ))?,
        user_id,
    })
}

/// FastAPI's `{"detail":"…"}`.
fn detail(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Detail {
        detail: String,
    }
    let Object(Detail { detail }) = serde_json::from_slice(body).ok()?;
    let text: String = detail
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_DETAIL_CHARS)
        .collect();
    (!text.is_empty()).then_some(text)
}
