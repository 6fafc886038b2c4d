//! Checks with Telegram, before anything is stored, that a bot can post into a channel.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    error::ApiError,
    telegram::{BotApi, BotToken, BotUser},
};

/// A chat id, as a string or a number.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ChannelId {
    Text(String),
    Number(i64),
}

impl ChannelId {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text.trim().to_owned(),
            Self::Number(number) => number.to_string(),
        }
    }
}

/// A bot that Telegram knows.
pub(crate) struct CheckedBot {
    pub(crate) token: BotToken,
    pub(crate) user: BotUser,
}

/// A channel that the bot may post into.
pub(crate) struct CheckedChannel {
    pub(crate) id: String,
    pub(crate) title: Option<String>,
}

/// The bot that has a token (getMe).
pub(crate) async fn check_bot(bot_api: &dyn BotApi, token: &str) -> Result<CheckedBot, ApiError> {
    let token = BotToken::parse(token.trim())
        .ok_or_else(|| ApiError::Refused("This is not a bot token".to_owned()))?;
    let user = bot_api.bot(&token).await?;
    Ok(CheckedBot { token, user })
}

/// The channel with this id (getChat), unless the bot cannot post into it (getChatMember).
pub(crate) async fn check_channel(
    bot_api: &dyn BotApi,
    bot: &CheckedBot,
    channel_id: &str,
) -> Result<CheckedChannel, ApiError> {
    let chat = bot_api.chat(&bot.token, channel_id).await?;
    if chat.kind != "channel" {
        return Err(ApiError::Refused(format!(
            "This chat is a {}, not a channel",
            chat.kind
        )));
    }
    // A channel may be asked for by its name, and keeps its number when the name changes.
    let id = chat.id.to_string();
    if !bot_api.can_post(&bot.token, &bot.user, &id).await? {
        return Err(ApiError::Refused(format!(
            "@{} must be an administrator of the channel with the right to post messages",
            bot.user.username
        )));
    }
    Ok(CheckedChannel {
        id,
        title: chat.title,
    })
}
