//! Every refusal of the API, and the one place that turns it into a reply: `{"detail": "…"}`, as FastAPI
//! writes it.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::{
        HeaderValue, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{
    IntoResponses, PartialSchema, ToSchema,
    openapi::{RefOr, ResponseBuilder, content::ContentBuilder},
};

use crate::{secrets::SecretsError, store::StoreError, telegram::TelegramError};

/// A refusal.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 401: the request names no token.
    #[error("Not authenticated")]
    NotAuthenticated,
    /// 401: the token is unknown or has expired.
    #[error("Invalid token")]
    InvalidToken,
    /// 401: the token is good, but its user is gone.
    #[error("User not found")]
    UserNotFound,
    /// 401: the e-mail address or the password is wrong. The text does not say which.
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
    /// 403: the user's plan for this month is used up.
    #[error("Quota used up: the plan {plan} allows {what} a month. It renews at {renews_at}.")]
    QuotaUsedUp {
        /// The plan's name.
        plan: String,
        /// How much it allows.
        what: String,
        /// When the next month begins.
        renews_at: String,
    },
    /// 400: the request is well formed and refused. The text says why.
    #[error("{0}")]
    Refused(String),
    /// 409: the request conflicts with the current state. The text says why.
    #[error("{0}")]
    Conflict(String),
    /// 415: the route does not take this media type.
    #[error("Unsupported Media Type: send application/json")]
    UnsupportedMediaType,
    /// 429.
    #[error("Too many requests: try again in {retry_after_seconds} s")]
    TooManyRequests {
        /// Seconds.
        retry_after_seconds: u64,
    },
    /// 422: a field or a parameter is invalid. The text says which.
    #[error("{0}")]
    Unprocessable(String),
    /// 413: the body is longer than the limit.
    #[error("Request body too large")]
    BodyTooLarge,
    /// 404.
    #[error("Not Found")]
    NotFound,
    /// 404: the user has no destination with this id.
    #[error("There is no such destination; GET /api/destinations lists yours")]
    NoDestination,
    /// 404: the user has no login with this id.
    #[error("There is no such login; request a code or a QR code first")]
    NoLogin,
    /// 405.
    #[error("Method Not Allowed")]
    MethodNotAllowed,
    /// 503: the database does not answer. The reason is in the log.
    #[error("The database does not answer")]
    NotReady,
    /// 501: users log in over MTProto, and this server has no client for it.
    #[error(
        "This server cannot log in to Telegram; make a channel and a bot there, and enter both under \
         /api/destinations"
    )]
    NoTelegramLogin,
    /// 502: Telegram did not answer. The reason is in the log.
    #[error("Telegram cannot be reached: nothing was changed, try again")]
    TelegramUnreachable,
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
            Self::QuotaUsedUp { .. } => StatusCode::FORBIDDEN,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound | Self::NoDestination | Self::NoLogin => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TelegramUnreachable => StatusCode::BAD_GATEWAY,
            Self::NoTelegramLogin => StatusCode::NOT_IMPLEMENTED,
            Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Why a request was refused, without anything that the client sent. An extension of every refusal's
/// response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reason(pub(crate) &'static str);

impl ApiError {
    /// The reason for the audit log. The text itself may hold what the client sent.
    fn reason(&self) -> Reason {
        Reason(match self {
            Self::NotConfigured => "not configured",
            Self::QuotaUsedUp { .. } => "quota used up",
            Self::TelegramUnreachable => "Telegram unreachable",
            _ => self.status().canonical_reason().unwrap_or("refused"),
        })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let reason = self.reason();
        let body = Json(ErrorReply {
            detail: self.to_string(),
        });
        let mut response = (status, body).into_response();
        response.extensions_mut().insert(reason);
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Self::TooManyRequests {
            retry_after_seconds,
        } = self
        {
            headers.insert(RETRY_AFTER, retry_after_seconds.into());
        }
        response
    }
}

/// A refusal.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorReply {
    /// What is wrong, in a sentence.
    detail: String,
}

/// Done.
#[derive(Serialize, ToSchema)]
pub(crate) struct Success {
    /// Always `true`.
    success: bool,
}

impl Success {
    pub(crate) const YES: Self = Self { success: true };
}

/// The refusals of any route, for its documentation.
pub(crate) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        [
            ("400", "Refused: `detail` says why"),
            ("401", "The token is missing or invalid"),
            ("403", "Not allowed: `detail` says why"),
            ("404", "Not found"),
            ("405", "The path has no such method"),
            (
                "409",
                "A conflict with the current state: `detail` says why",
            ),
            ("413", "The body is too large"),
            ("415", "The route does not take this media type"),
            ("502", "Telegram does not answer"),
            (
                "422",
                "A field or a parameter is invalid: `detail` says which",
            ),
            (
                "429",
                "Too many requests: `Retry-After` says when to try again",
            ),
        ]
        .into_iter()
        .map(|(status, description)| {
            let content = ContentBuilder::new()
                .schema(Some(ErrorReply::schema()))
                .build();
            let response = ResponseBuilder::new()
                .description(description)
                .content("application/json", content)
                .build();
            (status.to_owned(), response.into())
        })
        .collect()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_nul_in_text() {
            return Self::Unprocessable("A text must not contain NUL".to_owned());
        }
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

impl From<TelegramError> for ApiError {
    fn from(error: TelegramError) -> Self {
        match error {
            TelegramError::Refused(_) => Self::Refused(format!("Telegram refused: {error}")),
            TelegramError::Unreachable => Self::TelegramUnreachable,
            TelegramError::Internal => Self::Internal,
        }
    }
}
