//! Records refusals in the audit log. What succeeds is recorded where it is done.

use std::sync::Arc;

use axum::{
    extract::{RawPathParams, Request, State},
    middleware::Next,
    response::Response,
};

use crate::{
    auth::caller::Identified, error::Reason, http::request::Origin, store::audit::AuditEntry,
    time::unix_now, write_behind::WriteBehind,
};

/// The actor of a request without a valid token.
const UNKNOWN: &str = "unknown";

/// Middleware of one route: records each refusal of its action.
pub(crate) async fn record(
    State((write_behind, action)): State<(Arc<WriteBehind>, &'static str)>,
    parameters: RawPathParams,
    mut request: Request,
    next: Next,
) -> Response {
    let origin = request.extensions().get::<Origin>().cloned();
    let identified = Identified::default();
    request.extensions_mut().insert(identified.clone());
    let response = next.run(request).await;
    if let Some(Reason(reason)) = response.extensions().get() {
        let (user_id, via) = identified.get().unzip();
        write_behind.record(AuditEntry {
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

/// The id in the path. Anything else in its place comes from the client, and may be a misplaced secret.
fn target(parameters: &RawPathParams) -> Option<String> {
    parameters
        .iter()
        .map(|(_, value)| value)
        .find(|value| uuid::Uuid::parse_str(value).is_ok())
        .map(str::to_owned)
}
