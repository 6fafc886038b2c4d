//! What handlers take out of a request, with the backend's own refusals.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, header::CONTENT_TYPE, request::Parts},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// Longest JSON or form body of an API request, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Longest body that a handler takes as it is, in bytes: a fault to be answered with may be long.
const MAX_RAW_BODY_BYTES: usize = 16 << 20;

const URLENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/";

/// A JSON body of any media type but a form's: handwritten clients often send JSON as `text/plain`, or
/// without a type.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if is_form(media_type(request.headers())) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let body = gather(request.into_body(), MAX_BODY_BYTES).await?;
        from_json(&body).map(Self)
    }
}

/// A body that is JSON, or a form of the same fields.
#[derive(Debug)]
pub(crate) struct JsonOrForm<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonOrForm<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let media_type = media_type(request.headers());
        let is_urlencoded = media_type.is_some_and(|it| it.eq_ignore_ascii_case(URLENCODED));
        if !is_urlencoded && is_form(media_type) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let body = gather(request.into_body(), MAX_BODY_BYTES).await?;
        if is_urlencoded {
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
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        gather(request.into_body(), MAX_RAW_BODY_BYTES)
            .await
            .map(Self)
    }
}

/// Parameters of the path.
#[derive(Debug)]
pub(crate) struct ApiPath<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for ApiPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        // Nothing has a path that is not UTF-8.
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(parameters)| Self(parameters))
            .map_err(|_| ApiError::NotFound)
    }
}

/// Parameters of the query.
#[derive(Debug)]
pub(crate) struct ApiQuery<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Query::from_request_parts(parts, state)
            .await
            .map(|Query(parameters)| Self(parameters))
            .map_err(|error| ApiError::Unprocessable(error.body_text()))
    }
}

/// Reads JSON. A 422 says what is wrong with it, as FastAPI does.
///
/// # Errors
/// [`ApiError::Unprocessable`] when the text is not the JSON of a `T`.
pub fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::Unprocessable(format!("Invalid JSON: {error}")))
}

/// The content type without its parameters.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or_default().trim())
}

/// Whether the media type is a form's.
fn is_form(media_type: Option<&str>) -> bool {
    media_type.is_some_and(|it| {
        it.eq_ignore_ascii_case(URLENCODED)
            || it
                .get(..MULTIPART.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(MULTIPART))
    })
}

async fn gather(body: Body, max_bytes: usize) -> Result<Bytes, ApiError> {
    match Limited::new(body, max_bytes).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::BodyTooLarge),
        Err(_) => Err(ApiError::Refused("The body was cut short".to_owned())),
    }
}
