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

use crate::{
    app::App,
    backend::{
        error::ApiError,
        extract::{RawBody, from_json},
    },
    provision::{Provisioned, Setup},
    store::telegram::MessageRow,
    telegram::{Telegram, token::BotToken},
};

pub(crate) mod faults;
mod stats;

use faults::{Fault, Faults};
use stats::Stats;

/// What the control holds itself; the rest is in the store.
#[derive(Debug, Default)]
pub(crate) struct Control {
    pub(crate) stats: Stats,
    pub(crate) faults: Faults,
}

/// The routes below `/_control`.
pub(crate) fn routes() -> Router<Arc<App>> {
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

async fn stats(State(app): State<Arc<App>>) -> Json<Value> {
    Json(app.control.stats.to_json())
}

async fn messages(State(app): State<Arc<App>>) -> Result<Json<Vec<Value>>, ApiError> {
    let messages = app.store.messages().await?;
    Ok(Json(messages.iter().map(describe_message).collect()))
}

async fn notifications(State(app): State<Arc<App>>) -> Result<Json<Vec<Value>>, ApiError> {
    let events = app.store.events().await?;
    Ok(Json(
        events
            .into_iter()
            .map(|(headers, body)| json!({ "headers": parsed(&headers), "body": parsed(&body) }))
            .collect(),
    ))
}

async fn file(
    State(app): State<Arc<App>>,
    Path(file_id): Path<String>,
) -> Result<Response, ApiError> {
    let stored = app
        .store
        .telegram_file_by_id(&file_id)
        .await?
        .ok_or(ApiError::NotFound)?;
    Ok(telegram(&app)?.content(&stored).await?)
}

async fn set_faults(
    State(app): State<Arc<App>>,
    RawBody(body): RawBody,
) -> Result<Json<Value>, ApiError> {
    let faults: Vec<Fault> = from_json(&body)?;
    faults.iter().try_for_each(Fault::check)?;
    app.control.faults.replace(faults);
    Ok(success())
}

async fn reset(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    app.control.faults.replace(Vec::new());
    app.control.stats.reset();
    app.store.clear_events().await?;
    app.store.clear_messages().await?;
    if let Some(telegram) = &app.telegram {
        telegram.blobs().clear().await?;
    }
    Ok(success())
}

/// Makes a user with a bot and a channel; an empty body asks for the usual.
async fn add_user(
    State(app): State<Arc<App>>,
    RawBody(body): RawBody,
) -> Result<(StatusCode, Json<Provisioned>), ApiError> {
    let setup = if body.is_empty() {
        Setup::default()
    } else {
        from_json(&body)?
    };
    Ok((StatusCode::CREATED, Json(app.add_user(&setup).await?)))
}

/// Gives the user another bot in the same channel; the one before is revoked.
async fn replace_bot(
    State(app): State<Arc<App>>,
    Path(user_id): Path<String>,
) -> Result<Json<Provisioned>, ApiError> {
    if !app.store.user_exists(&user_id).await? {
        return Err(ApiError::NotFound);
    }
    Ok(Json(app.replace_bot(&user_id).await?))
}

async fn revoke_bot(
    State(app): State<Arc<App>>,
    Path(bot_token): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let token = BotToken::parse(&bot_token).ok_or(ApiError::NotFound)?;
    if !app.store.revoke_bot(&token.hash()).await? {
        return Err(ApiError::NotFound);
    }
    Ok(success())
}

async fn codes(State(app): State<Arc<App>>) -> Result<Json<Vec<Value>>, ApiError> {
    let codes = telegram(&app)?.sent_codes();
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
    State(app): State<Arc<App>>,
    RawBody(body): RawBody,
) -> Result<Json<Value>, ApiError> {
    let Scan { url } = from_json(&body)?;
    if !telegram(&app)?.scan(&url) {
        return Err(ApiError::NotFound);
    }
    Ok(success())
}

fn telegram(app: &App) -> Result<&Telegram, ApiError> {
    app.telegram.as_deref().ok_or(ApiError::NotFound)
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
