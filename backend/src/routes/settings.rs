//! Setting the bot and the channel that a user's files go to.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    auth::caller::Caller,
    bot_check::{ChannelId, check_bot, check_channel},
    error::{ApiError, Refusals},
    http::body::JsonBody,
    logins::Logins,
};

#[derive(Deserialize, ToSchema)]
pub(super) struct BotSettings {
    #[schema(pattern = r"^\s*[1-9]\d{0,16}:[A-Za-z0-9_-]{30,60}\s*$")]
    bot_token: String,
    channel_id: Option<ChannelId>,
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
/// Both are checked with Telegram before they are stored. Without a `channel_id` the current channel stays;
/// without a current one, the channel that was made for you is used. The result is your preferred
/// destination.
#[utoipa::path(
    post, path = "/settings/bot-token", tag = "settings", security(("token" = [])),
    request_body = BotSettings, responses((status = 200, body = BotSaved, description = "The bot is set"), Refusals)
)]
pub(super) async fn set_bot_token(
    State(logins): State<Logins>,
    caller: Caller,
    JsonBody(settings): JsonBody<BotSettings>,
) -> Result<Json<BotSaved>, ApiError> {
    let (bot_api, destinations) = (&*logins.telegram.bot_api, &logins.destinations);
    let bot = check_bot(bot_api, &settings.bot_token).await?;
    let channel_id = match settings.channel_id {
        Some(channel_id) => Some(channel_id.into_text()),
        None => match destinations.bot_and_channel(&caller.user_id).await? {
            Some((_, Some(channel_id))) => Some(channel_id),
            _ => logins.own_channel(&caller.user_id, &bot).await?,
        },
    };
    let channel = match channel_id {
        Some(channel_id) => Some(check_channel(bot_api, &bot, &channel_id).await?),
        None => None,
    };
    let entry = caller.entry("credentials.set", None);
    destinations
        .set_preferred(&caller.user_id, &bot, channel.as_ref(), &entry)
        .await?;
    Ok(Json(BotSaved {
        success: true,
        bot_username: bot.user.username,
        message: if channel.is_some() {
            "Bot token saved; the bot can post into the channel."
        } else {
            "Bot token saved. Add a channel to finish."
        },
    }))
}
