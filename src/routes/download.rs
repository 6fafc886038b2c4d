//! `GET` and `HEAD` of `/files/{fileId}` with the user's token, and of `/l/{sealed}` without.
//!
//! Optional query: `name`, `inline=1`, and `raw=1`, which gives the manifest of a large file as the
//! document that it is.

use crate::error::Error;
use crate::files::download::{Caller, Wanted, download};
use crate::files::link::unseal;
use crate::host::Host;
use crate::http::{RequestHead, Served};
use crate::isolate::Shared;
use crate::route::query_value;
use crate::telegram::FileId;
use crate::upload::header_token;

/// Answers with the file of this id.
///
/// # Errors
/// Why not.
pub async fn serve_file<H: Host>(
    host: &H,
    shared: &Shared,
    head: &RequestHead,
    id: &str,
    request_id: &str,
) -> Result<Served<H::ReplyBody>, Error> {
    let token = header_token(head)?.ok_or(Error::TokenRequired)?;
    let caller = Caller {
        token: &token,
        user_id: head.user_id.as_deref(),
        request_id,
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
    download(host, shared, &caller, &wanted).await
}

/// Answers with the file of a link.
///
/// # Errors
/// Why not.
pub async fn serve_link<H: Host>(
    host: &H,
    shared: &Shared,
    head: &RequestHead,
    sealed: &str,
    request_id: &str,
) -> Result<Served<H::ReplyBody>, Error> {
    let secret = shared.config.link_secret.as_ref().ok_or(Error::LinksOff)?;
    let link = unseal(secret, sealed, host.now())?;
    let caller = Caller {
        token: &link.token,
        user_id: None,
        request_id,
    };
    let wanted = Wanted {
        id: link.file_id,
        name: link.name,
        inline: link.inline,
        raw: false,
        is_get: head.method == "GET",
        conditions: head.conditions.clone(),
    };
    download(host, shared, &caller, &wanted).await
}
