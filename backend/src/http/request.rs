//! What every request gets: an id, the address that it came from, a line in the log.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::Instrument;

use crate::{error::ApiError, http::connection::Peer, limits::Limits};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Longest id that is accepted from a client.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// The address that a request came from, and its id. An extension of every request.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) address: IpAddr,
    pub(crate) request_id: Arc<str>,
}

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().cloned().ok_or_else(|| {
            tracing::error!("a request did not pass the middleware that names it");
            ApiError::Internal
        })
    }
}

/// Whether a proxy in front says where requests come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrustForwardedFor(pub(crate) bool);

/// Middleware: gives the request an id, and logs the reply's status.
pub(crate) async fn observe(
    State(TrustForwardedFor(trusted)): State<TrustForwardedFor>,
    mut request: Request,
    next: Next,
) -> Response {
    let origin = Origin {
        address: address(&request, trusted),
        request_id: request_id(request.headers()),
    };
    let header = HeaderValue::from_str(&origin.request_id);
    // The route and not the path: a path of the Bot API holds a token, and people put keys where ids belong.
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("", MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        id = %origin.request_id,
        method = %request.method(),
        route,
    );
    request.extensions_mut().insert(origin);
    async move {
        let mut response = next.run(request).await;
        tracing::debug!(status = response.status().as_u16(), "answered");
        if let Ok(header) = header {
            response.headers_mut().insert(REQUEST_ID, header);
        }
        response
    }
    .instrument(span)
    .await
}

/// Middleware of the API: refuses an address with too many requests.
pub(crate) async fn limit_address(
    State(limits): State<Arc<Limits>>,
    origin: Origin,
    request: Request,
    next: Next,
) -> Response {
    match limits.admit_address(origin.address) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// The client's own id if it is safe in a log, else a new one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let sane = |id: &&str| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(sane)
        .map_or_else(
            || uuid::Uuid::new_v4().simple().to_string().into(),
            Into::into,
        )
}

/// The client's address. A proxy appends the address that it sees to `X-Forwarded-For`; a client can write
/// whatever it likes before that.
fn address(request: &Request, trust_forwarded_for: bool) -> IpAddr {
    let forwarded = || {
        let last = request.headers().get_all(FORWARDED_FOR).iter().next_back();
        last?.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
    };
    trust_forwarded_for
        .then(forwarded)
        .flatten()
        .or_else(|| request.extensions().get::<Peer>().map(|peer| peer.0))
        .unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_sane_id_is_taken_over_and_another_is_not() {
        let id_of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_static(text));
            request_id(&headers)
        };
        assert_eq!(&*id_of("abc-1.2:3_4"), "abc-1.2:3_4");
        for text in ["", "a b", "a\tb", "{}", "a\"b"] {
            assert_eq!(id_of(text).len(), 32, "{text:?}");
        }
        assert_ne!(id_of(""), id_of(""));
    }

    #[test]
    fn only_the_proxys_own_word_is_believed_and_only_where_there_is_one() {
        let mut request = Request::new(Body::empty());
        request.headers_mut().insert(
            FORWARDED_FOR,
            HeaderValue::from_static("192.0.2.1, 192.0.2.2"),
        );
        request.extensions_mut().insert(Peer([127, 0, 0, 1].into()));
        assert_eq!(address(&request, true), IpAddr::from([192, 0, 2, 2]));
        assert_eq!(address(&request, false), IpAddr::from([127, 0, 0, 1]));
    }
}
