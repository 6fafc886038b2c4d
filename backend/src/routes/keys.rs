//! A user's API keys: made, listed, rotated, revoked.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    auth::{api_key::DEFAULT_EXPIRES_DAYS, caller::Caller},
    error::{ApiError, Refusals, Success},
    http::body::{ApiPath, JsonBody},
    keys::{KeyReply, NewKeyReply, describe, make_key, revoke_key, rotate_key},
    store::Store,
    worker_hook::WorkerHook,
};

#[derive(Deserialize, ToSchema)]
pub(super) struct KeyRequest {
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
    name: String,
    /// Days until the key expires: 1 to 3650. Default: 90.
    #[schema(minimum = 1, maximum = 3650)]
    expires_days: Option<i64>,
}

/// List your API keys
#[utoipa::path(
    get, path = "/keys", tag = "keys", security(("token" = [])),
    responses((status = 200, body = Vec<KeyReply>, description = "Your API keys"), Refusals)
)]
pub(super) async fn list(
    State(store): State<Store>,
    caller: Caller,
) -> Result<Json<Vec<KeyReply>>, ApiError> {
    let keys = store.keys(Some(&caller.user_id)).await?;
    Ok(Json(keys.into_iter().map(describe).collect()))
}

/// Make an API key
#[utoipa::path(
    post, path = "/keys", tag = "keys", security(("token" = [])), request_body = KeyRequest,
    responses(
        (status = 201, body = NewKeyReply, description = "The key, shown this once"),
        Refusals
    )
)]
pub(super) async fn create(
    State(store): State<Store>,
    caller: Caller,
    JsonBody(request): JsonBody<KeyRequest>,
) -> Result<(StatusCode, Json<NewKeyReply>), ApiError> {
    let expires_days = request.expires_days.unwrap_or(DEFAULT_EXPIRES_DAYS);
    let key = make_key(&store, &caller.user_id, &request.name, expires_days, |id| {
        caller.entry("key.create", Some(id))
    })
    .await?;
    Ok((StatusCode::CREATED, Json(key)))
}

/// Revoke an API key
///
/// The key becomes invalid at once and for good.
#[utoipa::path(
    delete, path = "/keys/{id}", tag = "keys", security(("token" = [])),
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 200, body = Success, description = "The key is revoked"), Refusals)
)]
pub(super) async fn revoke(
    State(store): State<Store>,
    State(worker): State<WorkerHook>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<Success>, ApiError> {
    let entry = caller.entry("key.revoke", Some(&id));
    revoke_key(&store, &caller.user_id, &id, &entry).await?;
    worker.credentials_changed(&caller.user_id);
    Ok(Json(Success::YES))
}

/// Replace an API key
///
/// Id and name stay, and the old key becomes invalid at once. The new key has the lifetime that the old one
/// was made with.
#[utoipa::path(
    post, path = "/keys/{id}/rotate", tag = "keys", security(("token" = [])),
    params(("id" = String, Path, description = "The key's id")),
    responses(
        (status = 200, body = NewKeyReply, description = "The key, shown this once"),
        Refusals
    )
)]
pub(super) async fn rotate(
    State(store): State<Store>,
    State(worker): State<WorkerHook>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<NewKeyReply>, ApiError> {
    let entry = caller.entry("key.rotate", Some(&id));
    let key = rotate_key(&store, &caller.user_id, &id, &entry).await?;
    worker.credentials_changed(&caller.user_id);
    Ok(Json(key))
}
