//! `GET /config`: what a page may know of the settings.

use serde_json::json;

use crate::config::Config;
use crate::http::Reply;

/// Answers with what is no secret.
#[must_use]
pub fn serve(config: &Config) -> Reply {
    Reply::json(
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
    )
}
