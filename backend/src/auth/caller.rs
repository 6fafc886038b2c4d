//! Who a request is of: what its token proves.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};

use crate::{
    auth::{api_key, static_tokens::StaticTokens, token::Tokens},
    error::ApiError,
    http::request::Origin,
    limits::Limits,
    store::{Store, audit::AuditEntry},
    time::unix_now,
    write_behind::WriteBehind,
};

/// The user that the request's token names. A handler reads and writes this user's data only.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) user_id: String,
    via: Via,
    origin: Origin,
}

/// How a caller proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// By an access token, or by registering just now.
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

    /// An audit entry: the caller did this to the target, with success.
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

/// Who a request turned out to be of. An extension of requests whose refusals are recorded; it is
/// filled in when the token is looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identified(Arc<OnceLock<(String, Via)>>);

impl Identified {
    /// The user's id and how it was proved; `None` until then.
    pub(crate) fn get(&self) -> Option<(String, Via)> {
        self.0.get().cloned()
    }
}

/// Verifies tokens: those of the deployment, API keys, and access tokens.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(crate) static_tokens: StaticTokens,
    pub(crate) store: Store,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) write_behind: Arc<WriteBehind>,
}

impl<S> FromRequestParts<S> for Caller
where
    Arc<Authenticator>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let authenticator = Arc::from_ref(state);
        let origin = Origin::from_request_parts(parts, state).await?;
        let (user_id, via) = authenticator.identify(bearer(&parts.headers)?).await?;
        if let Some(Identified(identified)) = parts.extensions.get() {
            // Every look at the token finds the same user.
            let _ = identified.set((user_id.clone(), via.clone()));
        }
        authenticator.limits.admit_user(&user_id)?;
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

impl Authenticator {
    /// The user that a token is of.
    async fn identify(&self, token: &str) -> Result<(String, Via), ApiError> {
        if let Some(label) = self.static_tokens.label_of(token) {
            return Ok((token_user_id(label), Via::Token(label.to_owned())));
        }
        if let Some(hash) = api_key::hash_of(token) {
            let now = unix_now();
            let key = self.store.live_key(&hash, now).await?;
            let (key_id, user_id) = key.ok_or(ApiError::InvalidToken)?;
            self.write_behind.count_use(&key_id, now);
            return Ok((user_id, Via::Key(key_id)));
        }
        let user_id = self.tokens.verify(token)?;
        if !self.store.user_exists(&user_id).await? {
            return Err(ApiError::UserNotFound);
        }
        Ok((user_id, Via::Session))
    }
}

/// The id of the user that a token of the deployment stands for.
pub(crate) fn token_user_id(label: &str) -> String {
    format!("token:{label}")
}
