//! What the Bot API answers when it refuses, and the one place where that becomes a reply.

use std::io;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::store::StoreError;

/// A refusal, in the Bot API's own words.
///
/// The HTTP status equals `error_code`
/// (<https://core.telegram.org/bots/api#making-requests>).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{description}")]
pub struct BotApiError {
    status: StatusCode,
    description: String,
    /// Seconds.
    retry_after: Option<u64>,
}

impl BotApiError {
    /// 400, the description prefixed as the server does it.
    pub(crate) fn bad_request(reason: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("Bad Request: {reason}"))
    }

    /// 401: the token is well formed, but no bot has it.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized")
    }

    /// 403, the description prefixed as the server does it.
    pub(crate) fn forbidden(reason: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, format!("Forbidden: {reason}"))
    }

    /// 404: nothing can be there, not even a bot.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found")
    }

    /// 404: the bot is there, the method is not.
    pub(crate) fn method_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found: method not found")
    }

    /// 413: the request is longer than the limit.
    pub(crate) fn entity_too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
    }

    /// 413 with the reason.
    pub(crate) fn too_many(what: &str) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("Request Entity Too Large: {what}"),
        )
    }

    /// 415: the body is compressed.
    pub(crate) fn unsupported_encoding() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Unsupported Media Type: unsupported content-encoding",
        )
    }

    /// 429, to be tried again after some seconds.
    pub(crate) fn too_many_requests(retry_after_seconds: u64) -> Self {
        Self {
            retry_after: Some(retry_after_seconds),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!("Too Many Requests: retry after {retry_after_seconds}"),
            )
        }
    }

    /// 431: the headers of the request and its parts together are too long.
    pub(crate) fn headers_too_large() -> Self {
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "Request Header Fields Too Large: total headers size exceeded",
        )
    }

    /// 501: a verb other than GET and POST.
    pub(crate) fn not_implemented() -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "Not Implemented")
    }

    fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
    }

    fn new(status: StatusCode, description: impl Into<String>) -> Self {
        Self {
            status,
            description: description.into(),
            retry_after: None,
        }
    }
}

impl From<StoreError> for BotApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the emulated Telegram failed");
        Self::internal()
    }
}

impl From<getrandom::Error> for BotApiError {
    fn from(error: getrandom::Error) -> Self {
        tracing::error!(%error, "the emulated Telegram failed");
        Self::internal()
    }
}

impl From<io::Error> for BotApiError {
    fn from(error: io::Error) -> Self {
        tracing::error!(%error, "the folder of files failed");
        Self::internal()
    }
}

impl IntoResponse for BotApiError {
    fn into_response(self) -> Response {
        let mut body = json!({
            "ok": false,
            "error_code": self.status.as_u16(),
            "description": self.description,
        });
        if let Some(seconds) = self.retry_after {
            body["parameters"] = json!({ "retry_after": seconds });
        }
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
