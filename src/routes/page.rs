//! `GET /`: the worker is up, as TeleStore's health check expects it.

use serde_json::json;

use crate::http::Reply;

/// Answers as TeleStore's health check does.
pub(super) fn serve() -> Reply {
    Reply::json(
        200,
        &json!({
            "status": "ok",
            "service": "telestore-worker",
            "version": env!("CARGO_PKG_VERSION"),
        }),
    )
}
