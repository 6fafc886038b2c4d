//! The credentials that a worker borrows for one user.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::BackendUrl,
    auth::caller::Caller,
    destinations::{Destinations, Source},
    error::{ApiError, Refusals},
    http::body::ApiQuery,
    quota::Quota,
    write_behind::WriteBehind,
};

/// What a worker needs to upload for a user.
#[derive(Serialize, ToSchema)]
pub(super) struct Credentials {
    bot_token: String,
    channel_id: String,
    telegram_session: Option<String>,
    telegram_api_id: Option<i64>,
    telegram_api_hash: Option<String>,
    user_id: String,
    backend_url: String,
    source: Source,
    /// Which of the user's destinations this is; `null`: none of them.
    destination_id: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Choice {
    /// The id of one of the user's destinations. Default: the preferred one.
    destination: Option<String>,
}

/// Borrow a user's credentials
///
/// For a worker that uploads in the user's name: those of the destination that is named, else the
/// user's preferred ones, else the deployment's. Refused with 403 when nothing is left of the user's
/// plan in this month.
#[utoipa::path(
    get, path = "/worker/credentials", tag = "worker", security(("token" = [])), params(Choice),
    responses((status = 200, body = Credentials, description = "The credentials"), Refusals)
)]
pub(super) async fn borrow(
    State(destinations): State<Destinations>,
    State(write_behind): State<Arc<WriteBehind>>,
    State(BackendUrl(backend_url)): State<BackendUrl>,
    caller: Caller,
    ApiQuery(choice): ApiQuery<Choice>,
) -> Result<Json<Credentials>, ApiError> {
    let user_id = &caller.user_id;
    Quota::of(&destinations.store, user_id).await?.check()?;
    let chosen = choice.destination.as_deref();
    let lent = destinations.credentials_of(user_id, chosen).await?;
    let target = lent.destination_id.as_deref();
    write_behind.record(caller.entry("credentials.fetch", target));
    Ok(Json(Credentials {
        bot_token: lent.bot_token,
        channel_id: lent.channel_id,
        telegram_session: lent.telegram_session,
        telegram_api_id: lent.telegram_api_id,
        telegram_api_hash: lent.telegram_api_hash,
        user_id: caller.user_id,
        backend_url: backend_url.to_string(),
        source: lent.source,
        destination_id: lent.destination_id,
    }))
}
