//! What handlers take out of a request, with the backend's own refusals.

use std::{fmt, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{
        HeaderMap,
        header::{AUTHORIZATION, CONTENT_TYPE},
        request::Parts,
    },
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::{api_key, error::ApiError, refusals::Identified, request::Origin};
use crate::{
    app::App,
    store::{audit::AuditEntry, unix_now},
};

/// Longest JSON or form body of an API request, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Longest body that a handler takes as it is, in bytes: a fault to be answered with may be long.
const MAX_RAW_BODY_BYTES: usize = 16 << 20;

const URLENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/";

/// The user that the request's token names. Whatever a handler reads or writes is this user's.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) user_id: String,
    via: Via,
    origin: Origin,
}

/// How a caller proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// By an access token, or by making the account just now.
    Session,
    /// By the API key with this id.
    Key(String),
    /// By the token of the deployment with this label.
    Token(String),
}

impl Caller {
    pub(crate) fn new(user_id: String, via: Via, origin: Origin) -> Self {
        Self {
            user_id,
            via,
            origin,
        }
    }

    /// An audit entry: the caller did this to the target, and it was done.
    pub(crate) fn entry(&self, action: &str, target: Option<&str>) -> AuditEntry {
        AuditEntry {
            at: unix_now(),
            actor: self.via.to_string(),
            user_id: Some(self.user_id.clone()),
            action: action.to_owned(),
            target: target.map(str::to_owned),
            address: Some(self.origin.address.to_string()),
            request_id: Some(self.origin.request_id.to_string()),
            result: "ok".to_owned(),
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session => f.write_str("session"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Token(label) => write!(f, "token:{label}"),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let origin = Origin::from_request_parts(parts, app).await?;
        let (user_id, via) = identify(app, bearer(&parts.headers)?).await?;
        if let Some(identified) = parts.extensions.get::<Identified>() {
            identified.set(&user_id, &via);
        }
        app.limits.admit_user(&user_id)?;
        Ok(Self::new(user_id, via, origin))
    }
}

/// The token of `Authorization: Bearer` (RFC 6750, 2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let header = headers
        .get(AUTHORIZATION)
        .ok_or(ApiError::NotAuthenticated)?
        .to_str()
        .map_err(|_| ApiError::InvalidToken)?;
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::NotAuthenticated);
    }
    Ok(token.trim())
}

/// The user behind a token: one of the deployment, an API key, or an access token.
async fn identify(app: &App, token: &str) -> Result<(String, Via), ApiError> {
    if let Some(label) = app.static_tokens.label_of(token) {
        return Ok((token_user_id(label), Via::Token(label.to_owned())));
    }
    if let Some(hash) = api_key::hash_of(token) {
        let now = unix_now();
        let key = app.store.live_key(&hash, now).await?;
        let (key_id, user_id) = key.ok_or(ApiError::InvalidToken)?;
        app.write_behind.count_use(&key_id, now);
        return Ok((user_id, Via::Key(key_id)));
    }
    let user_id = app.tokens.verify(token)?;
    if !app.store.user_exists(&user_id).await? {
        return Err(ApiError::UserNotFound);
    }
    Ok((user_id, Via::Session))
}

/// The id of the user that a token of the deployment stands for.
pub(crate) fn token_user_id(label: &str) -> String {
    format!("token:{label}")
}

/// A JSON body, whatever it is called, unless it is called a form: clients that send JSON by hand
/// often say `text/plain`, or nothing.
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
        // A path that is no UTF-8 names nothing that there is.
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

/// Reads JSON; what is wrong with it is said as FastAPI does, in a 422.
pub fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::Unprocessable(format!("Invalid JSON: {error}")))
}

/// The content type without its parameters.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or_default().trim())
}

/// Whether a body is a form by its name.
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
