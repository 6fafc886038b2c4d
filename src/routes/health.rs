//! `GET /health`: the worker is up. It makes no request and needs no settings.

use serde_json::json;

use crate::http::Reply;

pub(super) fn serve() -> Reply {
    Reply::json(
        200,
        &json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }),
    )
}
