//! `GET` and `HEAD` of `/files/{fileId}` with the user's token, and of `/l/{sealed}` without.
//!
//! Optional query: `name`, `inline=1`, and `raw=1`, which gives the manifest of a large file as the
//! document that it is.

use super::Request;
use super::table::query_value;
use crate::error::Error;
use crate::files::download::{Caller, Wanted};
use crate::files::link::unseal;
use crate::host::Host;
use crate::http::Served;
use crate::telegram::FileId;
use crate::upload::header_token;

/// Answers with the file of this id.
pub(super) async fn serve_file<H: Host>(
    request: &Request<'_, H>,
    id: &str,
) -> Result<Served<H::ReplyBody>, Error> {
    let head = request.head;
    let files = &request.shared()?.files;
    let token = header_token(head)?.ok_or(Error::TokenRequired)?;
    let caller = Caller {
        token: &token,
        user_id: head.user_id.as_deref(),
        request_id: request.id,
    };
    let is_set = |name| query_value(&head.query, name).map(|value| value.as_deref() == Some("1"));
    let wanted = Wanted {
        id: FileId::parse(id).ok_or(Error::FileNotFound)?,
        name: query_value(&head.query, "name")?,
        inline: is_set("inline")?,
        raw: is_set("raw")?,
        is_get: head.method == "GET",
        conditions: head.conditions.clone(),
    };
    files.download(request.host, &caller, &wanted).await
}

/// Answers with the file of a link.
pub(super) async fn serve_link<H: Host>(
    request: &Request<'_, H>,
    sealed: &str,
) -> Result<Served<H::ReplyBody>, Error> {
    let shared = request.shared()?;
    let secret = shared.config.link_secret.as_ref().ok_or(Error::LinksOff)?;
    let link = unseal(secret, sealed, request.host.now())?;
    let caller = Caller {
        token: &link.token,
        user_id: None,
        request_id: request.id,
    };
    let wanted = Wanted {
        id: link.file_id,
        name: link.name,
        inline: link.inline,
        raw: false,
        is_get: request.head.method == "GET",
        conditions: request.head.conditions.clone(),
    };
    shared.files.download(request.host, &caller, &wanted).await
}
