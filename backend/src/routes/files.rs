//! The list of a user's files.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    auth::caller::Caller,
    error::{ApiError, Refusals},
    http::body::{ApiQuery, JsonBody},
    store::{
        Store,
        files::{FileRow, NewFile},
        usage::MAX_BYTES,
    },
    time::rfc3339,
};

const DEFAULT_PAGE_ROWS: i64 = 100;
const MAX_PAGE_ROWS: i64 = 1000;

/// A file as the worker's reply describes it; TeleStore's `snake_case` is understood too.
#[derive(Deserialize, ToSchema)]
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
    #[schema(minimum = 0, maximum = 9_007_199_254_740_992_i64)]
    size: Option<i64>,
    #[serde(alias = "mime_type")]
    mime_type: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// The most rows to return: up to 1000. Default: 100.
    limit: Option<i64>,
    /// How many rows to skip.
    offset: Option<i64>,
}

/// A file.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileReply {
    id: String,
    file_name: String,
    message_id: i64,
    file_id: String,
    file_unique_id: Option<String>,
    size: Option<i64>,
    mime_type: Option<String>,
    created_at: String,
}

/// Record an uploaded file
#[utoipa::path(
    post, path = "/files", tag = "files", security(("token" = [])), request_body = Upload,
    responses((status = 201, body = FileReply, description = "The file"), Refusals)
)]
pub(super) async fn add(
    State(store): State<Store>,
    caller: Caller,
    JsonBody(upload): JsonBody<Upload>,
) -> Result<(StatusCode, Json<FileReply>), ApiError> {
    let file = NewFile {
        file_name: upload.file_name,
        message_id: upload.message_id,
        file_id: upload.file_id,
        file_unique_id: upload.file_unique_id,
        size_bytes: size_bytes(upload.size)?,
        mime_type: upload.mime_type,
    };
    let row = store.add_file(&caller.user_id, &file).await?;
    Ok((StatusCode::CREATED, Json(describe(row))))
}

/// List your files, newest first
#[utoipa::path(
    get, path = "/files", tag = "files", security(("token" = [])), params(Page),
    responses((status = 200, body = Vec<FileReply>, description = "Your files"), Refusals)
)]
pub(super) async fn list(
    State(store): State<Store>,
    caller: Caller,
    ApiQuery(page): ApiQuery<Page>,
) -> Result<Json<Vec<FileReply>>, ApiError> {
    let limit = page.limit.unwrap_or(DEFAULT_PAGE_ROWS);
    let rows = store
        .files_of(
            &caller.user_id,
            limit.clamp(1, MAX_PAGE_ROWS),
            page.offset.unwrap_or(0).max(0),
        )
        .await?;
    Ok(Json(rows.into_iter().map(describe).collect()))
}

/// A size that a file can have.
pub(super) fn size_bytes(size: Option<i64>) -> Result<Option<i64>, ApiError> {
    if size.is_none_or(|size| (0..=MAX_BYTES).contains(&size)) {
        Ok(size)
    } else {
        Err(ApiError::Unprocessable(
            "size: must be 0 to 2^53".to_owned(),
        ))
    }
}

fn describe(row: FileRow) -> FileReply {
    FileReply {
        id: row.id,
        file_name: row.file.file_name,
        message_id: row.file.message_id,
        file_id: row.file.file_id,
        file_unique_id: row.file.file_unique_id,
        size: row.file.size_bytes,
        mime_type: row.file.mime_type,
        created_at: rfc3339(row.created_at),
    }
}
