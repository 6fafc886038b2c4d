//! Whether the server is up, and whether it can work.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    error::{ApiError, ErrorReply},
    store::Store,
};

/// The server's state.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `ok`.
    status: &'static str,
    version: &'static str,
}

const OK: Health = Health {
    status: "ok",
    version: env!("CARGO_PKG_VERSION"),
};

/// Whether the server is up
#[utoipa::path(get, path = "/health", tag = "server", responses((status = 200, body = Health, description = "The server is well")))]
pub(super) async fn health() -> Json<Health> {
    Json(OK)
}

/// Whether the server can work: the database answers
#[utoipa::path(
    get, path = "/ready", tag = "server",
    responses(
        (status = 200, body = Health, description = "The server is well"),
        (status = 503, body = ErrorReply, description = "The database does not answer"),
    )
)]
pub(super) async fn ready(State(store): State<Store>) -> Result<Json<Health>, ApiError> {
    store.ping().await.map_err(|error| {
        tracing::error!(%error, "the database does not answer");
        ApiError::NotReady
    })?;
    Ok(Json(OK))
}
