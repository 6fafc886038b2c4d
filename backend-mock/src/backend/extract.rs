//! What handlers take out of a request, with the backend's own refusals.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Request},
    http::{header::AUTHORIZATION, header::CONTENT_TYPE, request::Parts},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::app::App;

/// Longest JSON or form body of an API request, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Longest body that a handler takes as it is, in bytes: a fault to be answered with may be long.
const MAX_RAW_BODY_BYTES: usize = 16 << 20;

/// The user that the request's token names.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) user_id: String,
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let header = parts
            .headers
            .get(AUTHORIZATION)
            .ok_or(ApiError::NotAuthenticated)?
            .to_str()
            .map_err(|_| ApiError::InvalidToken)?;
        let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(ApiError::NotAuthenticated);
        }
        let user_id = app.tokens.verify(token.trim())?;
        if !app.store.user_exists(&user_id).await? {
            return Err(ApiError::UserNotFound);
        }
        Ok(Self { user_id })
    }
}

/// A JSON body.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, ApiError> {
        let body = gather(request.into_body(), MAX_BODY_BYTES).await?;
        from_json(&body).map(Self)
    }
}

/// A body that is JSON, or a form of the same fields.
#[derive(Debug)]
pub(crate) struct JsonOrForm<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for JsonOrForm<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, ApiError> {
        let is_form = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
        let body = gather(request.into_body(), MAX_BODY_BYTES).await?;
        if is_form {
            serde_urlencoded::from_bytes(&body)
                .map_err(|error| ApiError::Unprocessable(format!("Invalid form: {error}")))
                .map(Self)
        } else {
            from_json(&body).map(Self)
        }
    }
}

/// A body as it is.
#[derive(Debug)]
pub(crate) struct RawBody(pub(crate) Bytes);

impl FromRequest<Arc<App>> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, ApiError> {
        gather(request.into_body(), MAX_RAW_BODY_BYTES)
            .await
            .map(Self)
    }
}

/// Reads JSON; what is wrong with it is said as FastAPI does, in a 422.
pub(crate) fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::Unprocessable(format!("Invalid JSON: {error}")))
}

async fn gather(body: Body, max_bytes: usize) -> Result<Bytes, ApiError> {
    match Limited::new(body, max_bytes).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::BodyTooLarge),
        Err(_) => Err(ApiError::Refused("The body was cut short".to_owned())),
    }
}
