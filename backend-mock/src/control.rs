//! The test control, under `/_control`: what arrived, what was kept, and what is to go wrong.
//!
//! It shows everything to everyone that reaches the port, so it is there only when asked for.
//!
//! | route | what |
//! |---|---|
//! | `GET /stats` | how many requests arrived, refused ones included |
//! | `GET /messages` | the messages that the emulated Telegram accepted |
//! | `GET /notifications` | the events that the webhook accepted, with their headers |
//! | `GET /files/{file_id}` | the bytes of a file |
//! | `POST /faults` | a list of faults in place of the one in force |
//! | `POST /reset` | empties messages, notifications, stats and faults |
//! | `POST /users` | makes a user with a bot and a channel |
//! | `POST /users/{user_id}/bot` | gives the user another bot in the same channel |
//! | `POST /bots/{bot_token}/revoke` | makes a bot's token useless |
//! | `GET /telegram/codes` | the login codes that phones show: `[{"phone","code"}]` |
//! | `POST /telegram/scan` | a phone scans and confirms the QR code of `{"url":"tg://login?token=…"}` |

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use backend::{ApiError, RawBody, from_json};
use emulator::{BotToken, MessageRow, Telegram};

use crate::{
    faults::Fault,
    parts::Parts,
    provision::{Provisioned, Provisioner, Setup},
};

/// The routes below `/_control`.
pub(crate) fn routes() -> Router<Arc<Parts>> {
    Router::new()
        .route("/stats", get(stats))
        .route("/messages", get(messages))
        .route("/notifications", get(notifications))
        .route("/files/{file_id}", get(file))
        .route("/faults", post(set_faults))
        .route("/reset", post(reset))
        .route("/users", post(add_user))
        .route("/users/{user_id}/bot", post(replace_bot))
        .route("/bots/{bot_token}/revoke", post(revoke_bot))
        .route("/telegram/codes", get(codes))
        .route("/telegram/scan", post(scan))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
}

async fn stats(State(parts): State<Arc<Parts>>) -> Json<Value> {
    Json(parts.stats.to_json())
}

async fn messages(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<Value>>, ApiError> {
    let messages = match &parts.telegram {
        Some(telegram) => telegram.messages().await.map_err(failed)?,
        None => Vec::new(),
    };
    Ok(Json(messages.iter().map(describe_message).collect()))
}

async fn notifications(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<Value>>, ApiError> {
    let events = parts.backend.upload_events().await.map_err(failed)?;
    Ok(Json(
        events
            .into_iter()
            .map(|(headers, body)| json!({ "headers": parsed(&headers), "body": parsed(&body) }))
            .collect(),
    ))
}

async fn file(
    State(parts): State<Arc<Parts>>,
    Path(file_id): Path<String>,
) -> Result<Response, ApiError> {
    let content = telegram(&parts)?.content_of(&file_id).await;
    content.map_err(failed)?.ok_or(ApiError::NotFound)
}

async fn set_faults(
    State(parts): State<Arc<Parts>>,
    RawBody(body): RawBody,
) -> Result<Json<Value>, ApiError> {
    let faults: Vec<Fault> = from_json(&body)?;
    faults.iter().try_for_each(Fault::check)?;
    parts.faults.replace(faults);
    Ok(success())
}

async fn reset(State(parts): State<Arc<Parts>>) -> Result<Json<Value>, ApiError> {
    parts.faults.replace(Vec::new());
    parts.stats.reset();
    parts.backend.clear_upload_events().await.map_err(failed)?;
    if let Some(telegram) = &parts.telegram {
        telegram.clear().await.map_err(failed)?;
    }
    Ok(success())
}

/// Makes a user with a bot and a channel; an empty body asks for the usual.
async fn add_user(
    State(parts): State<Arc<Parts>>,
    RawBody(body): RawBody,
) -> Result<(StatusCode, Json<Provisioned>), ApiError> {
    let setup = if body.is_empty() {
        Setup::default()
    } else {
        from_json(&body)?
    };
    let made = provisioner(&parts)?.add_user(&setup).await;
    Ok((StatusCode::CREATED, Json(made.map_err(failed)?)))
}

/// Gives the user another bot in the same channel; the one before is revoked.
async fn replace_bot(
    State(parts): State<Arc<Parts>>,
    Path(user_id): Path<String>,
) -> Result<Json<Provisioned>, ApiError> {
    if !parts.backend.has_user(&user_id).await.map_err(failed)? {
        return Err(ApiError::NotFound);
    }
    let replaced = provisioner(&parts)?.replace_bot(&user_id).await;
    Ok(Json(replaced.map_err(failed)?))
}

async fn revoke_bot(
    State(parts): State<Arc<Parts>>,
    Path(bot_token): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let token = BotToken::parse(&bot_token).ok_or(ApiError::NotFound)?;
    let revoked = telegram(&parts)?.revoke_bot(&token).await;
    if !revoked.map_err(failed)? {
        return Err(ApiError::NotFound);
    }
    Ok(success())
}

async fn codes(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<Value>>, ApiError> {
    let codes = telegram(&parts)?.phones().codes();
    let codes = codes.into_iter();
    Ok(Json(
        codes
            .map(|(phone, code)| json!({ "phone": phone, "code": code }))
            .collect(),
    ))
}

#[derive(Deserialize)]
struct Scan {
    url: String,
}

async fn scan(
    State(parts): State<Arc<Parts>>,
    RawBody(body): RawBody,
) -> Result<Json<Value>, ApiError> {
    let Scan { url } = from_json(&body)?;
    if !telegram(&parts)?.phones().scan(&url) {
        return Err(ApiError::NotFound);
    }
    Ok(success())
}

fn telegram(parts: &Parts) -> Result<&Telegram, ApiError> {
    parts.telegram.as_deref().ok_or(ApiError::NotFound)
}

fn provisioner(parts: &Parts) -> Result<Provisioner<'_>, ApiError> {
    parts.provisioner().ok_or(ApiError::NotFound)
}

fn failed(error: impl std::fmt::Display) -> ApiError {
    tracing::error!(%error, "the test control failed");
    ApiError::Internal
}

fn describe_message(message: &MessageRow) -> Value {
    let file = message.file.as_ref();
    json!({
        "message_id": message.message_id,
        "chat_id": message.chat_id,
        "bot_id": message.bot_id,
        "file_id": file.map(|file| &file.file_id),
        "file_name": file.map(|file| &file.file_name),
        "size": file.map(|file| file.size_bytes),
        "sha256": file.map(|file| &file.sha256),
        "caption": message.caption,
        "text": message.text,
        "parameters": parsed(&message.parameters),
    })
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

fn success() -> Json<Value> {
    Json(json!({ "success": true }))
}
