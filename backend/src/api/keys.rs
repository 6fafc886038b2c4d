//! A user's API keys: made, listed, rotated, revoked.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    api_key::{
        ApiKeyText, DEFAULT_EXPIRES_DAYS, MAX_EXPIRES_DAYS, MAX_NAME_CHARACTERS, SECONDS_A_DAY,
    },
    error::{ApiError, Refusals, Success},
    extract::{ApiPath, Caller, JsonBody},
};
use crate::{
    app::App,
    store::{
        Store,
        audit::AuditEntry,
        keys::{ApiKey, NewKey},
        unix_now,
    },
    time::rfc3339,
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

/// An API key, without the key.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyReply {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The key's first eight characters.
    pub(crate) preview: String,
    pub(crate) active: bool,
    pub(crate) created_at: String,
    pub(crate) expires_at: String,
    pub(crate) last_used_at: Option<String>,
    pub(crate) request_count: i64,
}

/// An API key that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewKeyReply {
    #[serde(flatten)]
    pub(crate) about: KeyReply,
    /// The key. It is shown this once.
    pub(crate) key: String,
}

/// List your API keys
#[utoipa::path(
    get, path = "/keys", tag = "keys", security(("token" = [])),
    responses((status = 200, body = Vec<KeyReply>), Refusals)
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<Vec<KeyReply>>, ApiError> {
    let keys = app.store.keys(Some(&caller.user_id)).await?;
    Ok(Json(keys.into_iter().map(describe).collect()))
}

/// Make an API key
#[utoipa::path(
    post, path = "/keys", tag = "keys", security(("token" = [])), request_body = KeyRequest,
    responses((status = 201, body = NewKeyReply), Refusals)
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    JsonBody(request): JsonBody<KeyRequest>,
) -> Result<(StatusCode, Json<NewKeyReply>), ApiError> {
    let expires_days = request.expires_days.unwrap_or(DEFAULT_EXPIRES_DAYS);
    let key = make_key(
        &app.store,
        &caller.user_id,
        &request.name,
        expires_days,
        |id| caller.entry("key.create", Some(id)),
    )
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
    State(app): State<Arc<App>>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<Success>, ApiError> {
    let entry = caller.entry("key.revoke", Some(&id));
    revoke_key(&app.store, &caller.user_id, &id, &entry).await?;
    app.credentials_changed(&caller.user_id);
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
    State(app): State<Arc<App>>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<NewKeyReply>, ApiError> {
    let entry = caller.entry("key.rotate", Some(&id));
    let key = rotate_key(&app.store, &caller.user_id, &id, &entry).await?;
    app.credentials_changed(&caller.user_id);
    Ok(Json(key))
}

// What the routes and the command line share.

/// Gives the user another key; `entry` makes the audit entry for the key's id.
pub(crate) async fn make_key(
    store: &Store,
    user_id: &str,
    name: &str,
    expires_days: i64,
    entry: impl FnOnce(&str) -> AuditEntry,
) -> Result<NewKeyReply, ApiError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARACTERS {
        return Err(ApiError::Unprocessable(
            "name: must have 1 to 100 characters".to_owned(),
        ));
    }
    if !(1..=MAX_EXPIRES_DAYS).contains(&expires_days) {
        return Err(ApiError::Unprocessable(
            "expires_days: must be 1 to 3650".to_owned(),
        ));
    }
    let key = ApiKeyText::generate()?;
    let id = uuid::Uuid::new_v4().to_string();
    let record = key.record(id, name.to_owned(), expires_days * SECONDS_A_DAY);
    let entry = entry(&record.id);
    store.add_key(user_id, &record, &entry).await?;
    Ok(fresh(record, &key))
}

/// Makes one of the user's keys useless for good.
pub(crate) async fn revoke_key(
    store: &Store,
    user_id: &str,
    id: &str,
    entry: &AuditEntry,
) -> Result<(), ApiError> {
    if store.revoke_key(user_id, id, entry).await? {
        return Ok(());
    }
    // Revoked before is revoked: a client that missed the answer may ask again.
    match store.key(user_id, id).await? {
        Some(_) => Ok(()),
        None => Err(ApiError::NotFound),
    }
}

/// Puts a fresh key in the place of one of the user's.
pub(crate) async fn rotate_key(
    store: &Store,
    user_id: &str,
    id: &str,
    entry: &AuditEntry,
) -> Result<NewKeyReply, ApiError> {
    let old = store.key(user_id, id).await?;
    let old = old.ok_or(ApiError::NotFound)?;
    let key = ApiKeyText::generate()?;
    let record = key.record(old.id, old.name, old.expires_at - old.created_at);
    if !store.replace_key(user_id, &record, entry).await? {
        return Err(ApiError::Conflict(
            "This key was revoked; make another one".to_owned(),
        ));
    }
    Ok(fresh(record, &key))
}

fn fresh(record: NewKey, key: &ApiKeyText) -> NewKeyReply {
    NewKeyReply {
        about: KeyReply {
            id: record.id,
            name: record.name,
            preview: record.preview,
            active: true,
            created_at: rfc3339(record.created_at),
            expires_at: rfc3339(record.expires_at),
            last_used_at: None,
            request_count: 0,
        },
        key: key.expose().to_owned(),
    }
}

/// A key as its owner may see it.
pub(crate) fn describe(key: ApiKey) -> KeyReply {
    KeyReply {
        active: key.is_active(unix_now()),
        id: key.id,
        name: key.name,
        preview: key.preview,
        created_at: rfc3339(key.created_at),
        expires_at: rfc3339(key.expires_at),
        last_used_at: key.last_used_at.map(rfc3339),
        request_count: key.request_count,
    }
}
