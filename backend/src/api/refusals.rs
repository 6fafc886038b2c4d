//! What was refused, for the audit log. What was done is recorded where it is done.

use std::sync::{Arc, OnceLock};

use axum::{
    extract::{RawPathParams, Request, State},
    middleware::Next,
    response::Response,
};

use super::{extract::Via, request::Origin};
use crate::{
    app::App,
    store::{audit::AuditEntry, unix_now},
};

/// The actor of a request whose token is not good.
const UNKNOWN: &str = "unknown";

/// Why a request was refused, in a word that tells nothing of what was in it. An extension of every
/// refusal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reason(pub(crate) &'static str);

/// Who a request turned out to be of. An extension of requests whose refusals are recorded; it is
/// filled in once the token was looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identified(Arc<OnceLock<(String, Via)>>);

impl Identified {
    pub(crate) fn set(&self, user_id: &str, via: &Via) {
        // The first look at a token is like any other.
        let _ = self.0.set((user_id.to_owned(), via.clone()));
    }
}

/// Middleware of one route: records that its action was refused.
pub(crate) async fn record(
    State((app, action)): State<(Arc<App>, &'static str)>,
    parameters: RawPathParams,
    mut request: Request,
    next: Next,
) -> Response {
    let origin = request.extensions().get::<Origin>().cloned();
    let identified = Identified::default();
    request.extensions_mut().insert(identified.clone());
    let response = next.run(request).await;
    if let Some(Reason(reason)) = response.extensions().get() {
        let (user_id, via) = identified.0.get().cloned().unzip();
        app.write_behind.record(AuditEntry {
            at: unix_now(),
            actor: via.map_or_else(|| UNKNOWN.to_owned(), |via| via.to_string()),
            user_id,
            action: action.to_owned(),
            target: target(&parameters),
            address: origin.as_ref().map(|origin| origin.address.to_string()),
            request_id: origin.map(|origin| origin.request_id.to_string()),
            result: (*reason).to_owned(),
        });
    }
    response
}

/// The id in the path. Anything else that stands there is the client's own word, and may be a secret
/// in the wrong place.
fn target(parameters: &RawPathParams) -> Option<String> {
    parameters
        .iter()
        .map(|(_, value)| value)
        .find(|value| uuid::Uuid::parse_str(value).is_ok())
        .map(str::to_owned)
}
