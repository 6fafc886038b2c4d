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
    /// Days until the key runs out, 1 to 3650; 90 if it is not said.
    #[schema(minimum = 1, maximum = 3650)]
    expires_days: Option<i64>,
}

/// List your API keys
#[utoipa::path(
    get, path = "/keys", tag = "keys", security(("token" = [])),
    responses((status = 200, body = Vec<KeyReply>), Refusals)
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
    responses((status = 201, body = NewKeyReply), Refusals)
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
/// It opens nothing from here on, and can't be had back.
#[utoipa::path(
    delete, path = "/keys/{id}", tag = "keys", security(("token" = [])),
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 200, body = Success), Refusals)
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

/// Put a fresh key in the place of one
///
/// Id and name stay; the old key opens nothing from here on. The new one lives as long as the old
/// one was to live from its making.
#[utoipa::path(
    post, path = "/keys/{id}/rotate", tag = "keys", security(("token" = [])),
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 200, body = NewKeyReply), Refusals)
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
