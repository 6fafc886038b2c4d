//! The webhook: a worker reports that an upload is in the channel.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{
        HeaderMap,
        header::{AUTHORIZATION, COOKIE},
    },
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    app::ExpectedSignature,
    error::{ApiError, Refusals, Success},
    http::body::{RawBody, from_json},
    routes::files::size_bytes,
    store::Store,
    store::{events::NewEvent, files::NewFile},
    time::unix_now,
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct UploadEvent {
    /// Unique for each upload, and the same for each retry.
    id: Option<String>,
    user_id: String,
    file_name: String,
    message_id: i64,
    file_id: String,
    file_unique_id: Option<String>,
    #[schema(minimum = 0, maximum = 9_007_199_254_740_992_i64)]
    size: Option<i64>,
    mime_type: Option<String>,
}

/// Record an upload that a worker reports
///
/// Signed as Standard Webhooks if a secret is set. The event adds the file and counts against the user's plan
/// once. An event that came before, by its `webhook-id` or else its `id`, gets the same reply: its sender
/// missed the first one.
#[utoipa::path(
    post, path = "/webhook/upload", tag = "worker", request_body = UploadEvent,
    responses((status = 200, body = Success, description = "The event is recorded"), Refusals)
)]
pub(super) async fn upload(
    State(store): State<Store>,
    State(ExpectedSignature(secret)): State<ExpectedSignature>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Json<Success>, ApiError> {
    if let Some(secret) = &secret
        && !secret.verifies(&headers, &body, unix_now())
    {
        return Err(ApiError::InvalidSignature);
    }
    let event: UploadEvent = from_json(&body)?;
    let header_id = headers.get("webhook-id").and_then(|id| id.to_str().ok());
    let id = header_id.map(str::to_owned).or(event.id);
    let id = id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let event = NewEvent {
        id,
        headers: printable(&headers),
        body: String::from_utf8_lossy(&body).into_owned(),
        user_id: event.user_id,
        file: NewFile {
            file_name: event.file_name,
            message_id: event.message_id,
            file_id: event.file_id,
            file_unique_id: event.file_unique_id,
            size_bytes: size_bytes(event.size)?,
            mime_type: event.mime_type,
        },
    };
    if !store.record_upload(&event).await? {
        tracing::debug!("an upload event came again");
    }
    Ok(Json(Success::YES))
}

/// The headers as JSON, without credentials.
fn printable(headers: &HeaderMap) -> String {
    let shown: BTreeMap<&str, String> = headers
        .iter()
        .filter(|(name, _)| **name != AUTHORIZATION && **name != COOKIE)
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.as_str(), value.into_owned())
        })
        .collect();
    json!(shown).to_string()
}
