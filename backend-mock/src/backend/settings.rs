//! Setting the bot and the channel that a user's files go to.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    bot_api::{BotApi, BotUser},
    error::{ApiError, Refusals},
    extract::{Caller, JsonBody},
};
use crate::{app::App, telegram::token::BotToken};

#[derive(Deserialize, ToSchema)]
pub(super) struct BotSettings {
    #[schema(pattern = r"^\s*[1-9]\d{0,16}:[A-Za-z0-9_-]{30,60}\s*$")]
    bot_token: String,
    channel_id: Option<ChannelId>,
}

/// A chat id, as a string or a number.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum ChannelId {
    Text(String),
    Number(i64),
}

/// The bot that was set.
#[derive(Serialize, ToSchema)]
pub(super) struct BotSaved {
    /// Always `true`.
    success: bool,
    bot_username: String,
    /// What is set now, or what is yet to be set.
    message: &'static str,
}

/// Set the bot and the channel
///
/// Nothing is stored that Telegram would refuse: a wrong setting shows here, where its owner looks
/// on, and not at the next upload. Without a `channel_id` the one that is set stays.
#[utoipa::path(
    post, path = "/settings/bot-token", tag = "settings", security(("token" = [])),
    request_body = BotSettings, responses((status = 200, body = BotSaved), Refusals)
)]
pub(super) async fn set_bot_token(
    State(app): State<Arc<App>>,
    caller: Caller,
    JsonBody(settings): JsonBody<BotSettings>,
) -> Result<Json<BotSaved>, ApiError> {
    let bot_token = BotToken::parse(settings.bot_token.trim())
        .ok_or_else(|| ApiError::Refused("This is not a bot token".to_owned()))?;
    let bot = app.bot_api.bot(&bot_token).await?;
    let given = settings.channel_id.map(|id| match id {
        ChannelId::Text(text) => text.trim().to_owned(),
        ChannelId::Number(number) => number.to_string(),
    });
    let channel_id = match given {
        Some(channel_id) => Some(channel_id),
        None => app
            .bot_and_channel(&caller.user_id)
            .await?
            .and_then(|(_, channel_id)| channel_id),
    };
    if let Some(channel_id) = &channel_id {
        check_channel(&app.bot_api, &bot_token, &bot, channel_id).await?;
    }
    app.set_bot_and_channel(
        &caller.user_id,
        &bot.username,
        bot_token.expose(),
        channel_id.as_deref(),
        &caller.entry("credentials.set", None),
    )
    .await?;
    Ok(Json(BotSaved {
        success: true,
        bot_username: bot.username,
        message: if channel_id.is_some() {
            "Bot token saved; the bot can post into the channel."
        } else {
            "Bot token saved. Add a channel to finish."
        },
    }))
}

/// Refuses a channel that the bot cannot post into.
async fn check_channel(
    bot_api: &BotApi,
    bot_token: &BotToken,
    bot: &BotUser,
    channel_id: &str,
) -> Result<(), ApiError> {
    let chat = bot_api.chat(bot_token, channel_id).await?;
    if chat.kind != "channel" {
        return Err(ApiError::Refused(format!(
            "This chat is a {}, not a channel",
            chat.kind
        )));
    }
    if !bot_api.can_post(bot_token, bot, channel_id).await? {
        return Err(ApiError::Refused(format!(
            "@{} must be an administrator of the channel with the right to post messages",
            bot.username
        )));
    }
    Ok(())
}
