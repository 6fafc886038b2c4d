//! The list of a user's files.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    error::ApiError,
    extract::{Caller, JsonBody},
};
use crate::{
    app::App,
    store::files::{FileRow, NewFile},
    time::rfc3339,
};

const DEFAULT_PAGE_ROWS: i64 = 100;
const MAX_PAGE_ROWS: i64 = 1000;

/// A file as the worker's reply describes it; TeleStore's `snake_case` is understood too.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Upload {
    #[serde(alias = "file_name", alias = "name")]
    file_name: String,
    #[serde(alias = "message_id", alias = "telegram_msg_id")]
    message_id: i64,
    #[serde(alias = "file_id", alias = "telegram_file_id")]
    file_id: String,
    #[serde(alias = "file_unique_id")]
    file_unique_id: Option<String>,
    size: Option<i64>,
    #[serde(alias = "mime_type")]
    mime_type: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Page {
    limit: Option<i64>,
    offset: Option<i64>,
}

/// `POST /api/files`
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    JsonBody(upload): JsonBody<Upload>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let file = NewFile {
        file_name: upload.file_name,
        message_id: upload.message_id,
        file_id: upload.file_id,
        file_unique_id: upload.file_unique_id,
        size_bytes: upload.size,
        mime_type: upload.mime_type,
    };
    let row = app.store.add_file(&caller.user_id, &file).await?;
    Ok((StatusCode::CREATED, Json(describe(&row))))
}

/// `GET /api/files`: newest first, `limit` (at most 1000) rows from `offset`.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Vec<Value>>, ApiError> {
    let Query(page) = page.map_err(|_| {
        ApiError::Unprocessable("limit and offset must be whole numbers".to_owned())
    })?;
    let limit = page.limit.unwrap_or(DEFAULT_PAGE_ROWS);
    let rows = app
        .store
        .files_of(
            &caller.user_id,
            limit.clamp(1, MAX_PAGE_ROWS),
            page.offset.unwrap_or(0).max(0),
        )
        .await?;
    Ok(Json(rows.iter().map(describe).collect()))
}

fn describe(row: &FileRow) -> Value {
    json!({
        "id": row.id,
        "fileName": row.file.file_name,
        "messageId": row.file.message_id,
        "fileId": row.file.file_id,
        "fileUniqueId": row.file.file_unique_id,
        "size": row.file.size_bytes,
        "mimeType": row.file.mime_type,
        "createdAt": rfc3339(row.created_at),
    })
}
