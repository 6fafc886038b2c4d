//! `POST /files/{fileId}/link`: a URL that works without a header.

use serde_json::json;

use super::Request;
use crate::error::Error;
use crate::files::download::Caller;
use crate::files::link::{LinkRequest, seal};
use crate::host::{Body, Chunk as _, Host};
use crate::http::Reply;
use crate::telegram::FileId;
use crate::text::rfc3339;
use crate::upload::header_token;

/// Most bytes of a request's body.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Answers `{"url","expiresAt"}`, if the file is there for the token's user.
pub(super) async fn serve<H: Host>(
    request: &Request<'_, H>,
    id: &str,
    body: &mut H::Body,
) -> Result<Reply, Error> {
    let (host, head) = (request.host, request.head);
    let shared = request.shared()?;
    let secret = shared.config.link_secret.as_ref().ok_or(Error::LinksOff)?;
    let token = header_token(head)?.ok_or(Error::TokenRequired)?;
    let id = FileId::parse(id).ok_or(Error::FileNotFound)?;
    let wanted = LinkRequest::read(&read(body).await?)?;
    let caller = Caller {
        token: &token,
        user_id: head.user_id.as_deref(),
        request_id: request.id,
    };
    shared.files.find(host, &caller, &id).await?;
    let link = wanted.link(token, id, host.now());
    let sealed = seal(host, secret, &link);
    Ok(Reply::json(
        200,
        &json!({
            "url": format!("{}/l/{sealed}", head.site),
            "expiresAt": rfc3339(link.expires_at),
        }),
    ))
}

async fn read<B: Body>(body: &mut B) -> Result<Vec<u8>, Error> {
    let (mut whole, mut bytes) = (Vec::new(), Vec::new());
    while let Some(chunk) = body.read().await.map_err(|_| Error::ClientGone)? {
        if whole.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(Error::LinkRequest);
        }
        chunk.copy_into(0..chunk.len(), &mut bytes);
        whole.extend_from_slice(&bytes);
        body.recycle(chunk);
    }
    Ok(whole)
}
