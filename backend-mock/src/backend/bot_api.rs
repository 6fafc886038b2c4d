//! The Bot API that settings are checked with: the emulated one beside us, or a real one.

use std::{fmt, sync::Arc, time::Duration};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};

use super::error::ApiError;
use crate::{
    http_client::http_client,
    telegram::{Telegram, token::BotToken},
};

/// How long Telegram may take for an answer. A user waits for it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A Bot API.
#[derive(Clone)]
pub(crate) enum BotApi {
    /// The emulator of this server.
    Emulated(Arc<Telegram>),
    /// The server at this address, without a slash at the end.
    Remote {
        base_url: String,
        client: reqwest::Client,
    },
}

/// A bot, as getMe describes it.
#[derive(Deserialize)]
pub(crate) struct BotUser {
    pub(crate) id: i64,
    pub(crate) username: String,
}

/// A chat, as getChat describes it.
#[derive(Deserialize)]
pub(crate) struct ChatInfo {
    pub(crate) id: i64,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Channels and groups have one.
    pub(crate) title: Option<String>,
}

#[derive(Deserialize)]
struct Member {
    status: String,
    #[serde(default)]
    can_post_messages: bool,
}

/// What every method answers.
#[derive(Deserialize)]
struct Answer<T> {
    result: Option<T>,
    description: Option<String>,
}

impl BotApi {
    /// The server at `base_url`.
    pub(crate) fn remote(base_url: &str) -> Result<Self, reqwest::Error> {
        Ok(Self::Remote {
            base_url: base_url.trim_end_matches('/').to_owned(),
            client: http_client(TIMEOUT)?,
        })
    }

    /// getMe: the bot behind a token.
    pub(crate) async fn bot(&self, token: &BotToken) -> Result<BotUser, ApiError> {
        match self {
            Self::Emulated(telegram) => {
                let bot = telegram.get_me(token).await?;
                Ok(BotUser {
                    id: bot.id,
                    username: bot.username,
                })
            }
            Self::Remote { .. } => self.ask(token, "getMe").await,
        }
    }

    /// getChat.
    pub(crate) async fn chat(&self, token: &BotToken, chat_id: &str) -> Result<ChatInfo, ApiError> {
        match self {
            Self::Emulated(telegram) => {
                let bot = telegram.get_me(token).await?;
                let chat = telegram.get_chat(&bot, chat_id).await?;
                Ok(ChatInfo {
                    id: chat.id,
                    kind: chat.kind,
                    title: Some(chat.title),
                })
            }
            Self::Remote { .. } => {
                let chat_id = utf8_percent_encode(chat_id, NON_ALPHANUMERIC);
                self.ask(token, &format!("getChat?chat_id={chat_id}")).await
            }
        }
    }

    /// getChatMember of the bot itself: whether it may post into the channel.
    pub(crate) async fn can_post(
        &self,
        token: &BotToken,
        bot: &BotUser,
        chat_id: &str,
    ) -> Result<bool, ApiError> {
        match self {
            Self::Emulated(telegram) => {
                let bot = telegram.get_me(token).await?;
                Ok(telegram.get_own_rights(&bot, chat_id).await?.can_post())
            }
            Self::Remote { .. } => {
                let chat_id = utf8_percent_encode(chat_id, NON_ALPHANUMERIC);
                let method = format!("getChatMember?chat_id={chat_id}&user_id={}", bot.id);
                let member: Member = self.ask(token, &method).await?;
                Ok(match member.status.as_str() {
                    "creator" => true,
                    "administrator" => member.can_post_messages,
                    _ => false,
                })
            }
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        token: &BotToken,
        method: &str,
    ) -> Result<T, ApiError> {
        let Self::Remote { base_url, client } = self else {
            return Err(ApiError::Internal);
        };
        let url = format!("{base_url}/bot{}/{method}", token.expose());
        let asked = async { client.get(url).send().await?.json::<Answer<T>>().await };
        let answer = asked.await.map_err(|error| {
            // The URL holds the token.
            let error = error.without_url();
            tracing::warn!(%error, "Telegram did not answer");
            ApiError::TelegramUnreachable
        })?;
        answer.result.ok_or_else(|| {
            let description = answer.description;
            let description = description.unwrap_or_else(|| "it did not say why".to_owned());
            ApiError::Refused(format!("Telegram refused: {description}"))
        })
    }
}

impl fmt::Debug for BotApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Emulated(_) => f.write_str("Emulated"),
            Self::Remote { base_url, .. } => f.write_str(base_url),
        }
    }
}
