//! `GET /config`: what a page may know about the settings.

use serde_json::json;

use super::Request;
use crate::error::Error;
use crate::host::Host;
use crate::http::Reply;

/// Answers with the settings that are not secret.
pub(super) fn serve<H: Host>(request: &Request<'_, H>) -> Result<Reply, Error> {
    let config = &request.shared()?.config;
    Ok(Reply::json(
        200,
        &json!({
            "backendUrl": config.backend_url,
            "maxUploadBytes": config.max_upload_bytes,
            "partBytes": config.part_bytes,
            "maxFileBytes": config.max_file_bytes,
            "resumable": false,
            "links": config.link_secret.is_some(),
            "version": env!("CARGO_PKG_VERSION"),
        }),
    ))
}
