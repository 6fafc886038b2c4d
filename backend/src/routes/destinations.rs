//! A user's bots and channels: added, listed, preferred, removed.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    auth::caller::Caller,
    bot_check::{ChannelId, check_bot, check_channel},
    destinations::Destinations,
    error::{ApiError, Refusals, Success},
    http::body::{ApiPath, JsonBody},
    store::destinations::Destination,
    telegram::Telegram,
    time::rfc3339,
};

/// Most destinations that a user has.
const MAX_DESTINATIONS: i64 = 100;
const MAX_LABEL_CHARACTERS: usize = 100;
/// Last characters of a token's secret that are shown in lists.
const PREVIEW_CHARACTERS: usize = 4;

#[derive(Deserialize, ToSchema)]
pub(super) struct DestinationRequest {
    bot_token: String,
    channel_id: ChannelId,
    /// What you call it; at most 100 characters.
    #[serde(default)]
    label: String,
    /// Whether uploads that name no destination go here. The first destination is always preferred.
    #[serde(default)]
    preferred: bool,
}

/// A bot and the channel that it posts into, without the token.
#[derive(Serialize, ToSchema)]
pub(super) struct DestinationReply {
    id: String,
    label: String,
    bot_username: String,
    /// The bot's number and the last four characters of the token, like `123456789:…x9Zk`.
    bot_token_preview: String,
    /// `null`: a channel is yet to be set.
    channel_id: Option<String>,
    channel_title: Option<String>,
    preferred: bool,
    created_at: String,
}

/// List your destinations, oldest first
#[utoipa::path(
    get, path = "/destinations", tag = "destinations", security(("token" = [])),
    responses(
        (status = 200, body = Vec<DestinationReply>, description = "Your destinations"),
        Refusals
    )
)]
pub(super) async fn list(
    State(destinations): State<Destinations>,
    caller: Caller,
) -> Result<Json<Vec<DestinationReply>>, ApiError> {
    let rows = destinations.store.destinations(&caller.user_id).await?;
    let replies: Result<_, _> = rows
        .into_iter()
        .map(|row| describe(&destinations, &caller.user_id, row))
        .collect();
    replies.map(Json)
}

/// Add a bot and a channel
///
/// The bot and the channel are checked with Telegram first: the bot must exist, and must be an
/// administrator of the channel with the right to post. `detail` says what is wrong.
#[utoipa::path(
    post, path = "/destinations", tag = "destinations", security(("token" = [])),
    request_body = DestinationRequest,
    responses((status = 201, body = DestinationReply, description = "The destination"), Refusals)
)]
pub(super) async fn add(
    State(destinations): State<Destinations>,
    State(telegram): State<Telegram>,
    caller: Caller,
    JsonBody(request): JsonBody<DestinationRequest>,
) -> Result<(StatusCode, Json<DestinationReply>), ApiError> {
    let label = request.label.trim();
    if label.chars().count() > MAX_LABEL_CHARACTERS {
        return Err(ApiError::Unprocessable(
            "label: must have at most 100 characters".to_owned(),
        ));
    }
    let bot = check_bot(&*telegram.bot_api, &request.bot_token).await?;
    let channel_id = request.channel_id.into_text();
    let channel = check_channel(&*telegram.bot_api, &bot, &channel_id).await?;
    let id = uuid::Uuid::now_v7().to_string();
    let entry = caller.entry("destination.add", Some(&id));
    let destination = Destination {
        label: label.to_owned(),
        preferred: request.preferred,
        ..destinations.new_row(&caller.user_id, id, &bot, Some(&channel))?
    };
    let added = destinations
        .store
        .add_destination(&caller.user_id, destination, MAX_DESTINATIONS, &entry)
        .await?;
    let added = added.ok_or_else(|| {
        ApiError::Conflict("You have 100 destinations; remove one first".to_owned())
    })?;
    destinations.worker.credentials_changed(&caller.user_id);
    let reply = describe(&destinations, &caller.user_id, added)?;
    Ok((StatusCode::CREATED, Json(reply)))
}

/// Prefer a destination to the others
///
/// Uploads that name no destination go there.
#[utoipa::path(
    post, path = "/destinations/{id}/prefer", tag = "destinations", security(("token" = [])),
    params(("id" = String, Path, description = "The destination's id")),
    responses(
        (status = 200, body = DestinationReply, description = "The destination, now preferred"),
        Refusals
    )
)]
pub(super) async fn prefer(
    State(destinations): State<Destinations>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<DestinationReply>, ApiError> {
    let entry = caller.entry("destination.prefer", Some(&id));
    let user_id = &caller.user_id;
    if !destinations
        .store
        .prefer_destination(user_id, &id, &entry)
        .await?
    {
        return Err(ApiError::NoDestination);
    }
    destinations.worker.credentials_changed(user_id);
    let destination = destinations.store.destination(user_id, &id).await?;
    let destination = destination.ok_or(ApiError::NoDestination)?;
    describe(&destinations, user_id, destination).map(Json)
}

/// Remove a destination
///
/// If it was the preferred one, the oldest of the others becomes preferred.
#[utoipa::path(
    delete, path = "/destinations/{id}", tag = "destinations", security(("token" = [])),
    params(("id" = String, Path, description = "The destination's id")),
    responses((status = 200, body = Success, description = "The destination is removed"), Refusals)
)]
pub(super) async fn remove(
    State(destinations): State<Destinations>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<Success>, ApiError> {
    let entry = caller.entry("destination.remove", Some(&id));
    let user_id = &caller.user_id;
    if !destinations
        .store
        .remove_destination(user_id, &id, &entry)
        .await?
    {
        return Err(ApiError::NoDestination);
    }
    destinations.worker.credentials_changed(user_id);
    Ok(Json(Success::YES))
}

fn describe(
    destinations: &Destinations,
    user_id: &str,
    destination: Destination,
) -> Result<DestinationReply, ApiError> {
    let bot_token = destinations.open_bot_token(user_id, &destination)?;
    Ok(DestinationReply {
        bot_token_preview: preview(&bot_token),
        id: destination.id,
        label: destination.label,
        bot_username: destination.bot_username,
        channel_id: destination.channel_id,
        channel_title: destination.channel_title,
        preferred: destination.preferred,
        created_at: rfc3339(destination.created_at),
    })
}

/// Enough of a token to tell it from others: a secret has 30 characters or more.
fn preview(bot_token: &str) -> String {
    let (bot_id, secret) = bot_token.split_once(':').unwrap_or_default();
    let hidden = secret.chars().count().saturating_sub(PREVIEW_CHARACTERS);
    let shown: String = secret.chars().skip(hidden).collect();
    format!("{bot_id}:…{shown}")
}
