//! The real Bot API, over HTTP.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    http_client::{HttpClientError, http_client},
    telegram::{BotApi, BotToken, BotUser, ChatInfo, TelegramError},
};

/// Telegram's own server of the Bot API.
pub const TELEGRAM_API_URL: &str = "https://api.telegram.org";
/// How long Telegram may take for an answer. A user waits for it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A server of the Bot API.
#[derive(Clone)]
pub struct HttpBotApi {
    /// Without a slash at the end.
    base_url: String,
    client: reqwest::Client,
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

impl HttpBotApi {
    /// The server at `base_url`.
    ///
    /// # Errors
    /// When there is no HTTP client for the URL.
    pub fn new(base_url: &str) -> Result<Self, HttpClientError> {
        Ok(Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            client: http_client(base_url, TIMEOUT)?,
        })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        token: &BotToken,
        method: &str,
    ) -> Result<T, TelegramError> {
        let url = format!("{}/bot{}/{method}", self.base_url, token.expose());
        let asked = async {
            let reply = self.client.get(url).send().await?;
            reply.json::<Answer<T>>().await
        };
        let answer = asked.await.map_err(|error| {
            // The URL holds the token.
            let error = error.without_url();
            tracing::warn!(%error, "Telegram did not answer");
            TelegramError::Unreachable
        })?;
        answer.result.ok_or_else(|| {
            let description = answer.description;
            TelegramError::Refused(description.unwrap_or_else(|| "it did not say why".to_owned()))
        })
    }
}

#[async_trait]
impl BotApi for HttpBotApi {
    async fn bot(&self, token: &BotToken) -> Result<BotUser, TelegramError> {
        self.ask(token, "getMe").await
    }

    async fn chat(&self, token: &BotToken, chat_id: &str) -> Result<ChatInfo, TelegramError> {
        let chat_id = utf8_percent_encode(chat_id, NON_ALPHANUMERIC);
        self.ask(token, &format!("getChat?chat_id={chat_id}")).await
    }

    async fn can_post(
        &self,
        token: &BotToken,
        bot: &BotUser,
        chat_id: &str,
    ) -> Result<bool, TelegramError> {
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

impl fmt::Debug for HttpBotApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base_url)
    }
}
