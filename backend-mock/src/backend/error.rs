//! What the backend answers when it refuses, and the one place where that becomes a reply:
//! `{"detail": "…"}`, as FastAPI writes it.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{secrets::SecretsError, store::StoreError, telegram::BotApiError};

/// A refusal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// 401: the request names no token.
    #[error("Not authenticated")]
    NotAuthenticated,
    /// 401: the token is not one of ours, or has run out.
    #[error("Invalid token")]
    InvalidToken,
    /// 401: the token is good, but its user is gone.
    #[error("User not found")]
    UserNotFound,
    /// 401: e-mail address or password are wrong; not said which.
    #[error("Incorrect email or password")]
    WrongPassword,
    /// 401: the webhook's signature does not hold.
    #[error("Invalid webhook signature")]
    InvalidSignature,
    /// 400: the user has no bot or no channel yet.
    #[error(
        "Telegram not fully configured. Please connect Telegram and add bot token in settings."
    )]
    NotConfigured,
    /// 400: the request is understood and refused; the text says why.
    #[error("{0}")]
    Refused(String),
    /// 422: the request is not what the route takes; the text says what is wrong.
    #[error("{0}")]
    Unprocessable(String),
    /// 413: the body is beyond the limit.
    #[error("Request body too large")]
    BodyTooLarge,
    /// 404.
    #[error("Not Found")]
    NotFound,
    /// 405.
    #[error("Method Not Allowed")]
    MethodNotAllowed,
    /// 500: the reason is in the log.
    #[error("Internal Server Error")]
    Internal,
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotAuthenticated
            | Self::InvalidToken
            | Self::UserNotFound
            | Self::WrongPassword
            | Self::InvalidSignature => StatusCode::UNAUTHORIZED,
            Self::NotConfigured | Self::Refused(_) => StatusCode::BAD_REQUEST,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = Json(json!({ "detail": self.to_string() }));
        let mut response = (status, body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        Self::Internal
    }
}

impl From<SecretsError> for ApiError {
    fn from(error: SecretsError) -> Self {
        tracing::error!(%error, "a secret could not be handled");
        Self::Internal
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        tracing::error!(%error, "input or output failed");
        Self::Internal
    }
}

impl From<BotApiError> for ApiError {
    fn from(error: BotApiError) -> Self {
        Self::Refused(format!("Telegram refused: {error}"))
    }
}
