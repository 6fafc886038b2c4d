//! Requests from the backend, signed as Standard Webhooks with the shared secret.
//!
//! `POST /hooks/outbox` shows what the outbox has (`{"action":"list"}`), tries it at once
//! (`{"action":"redrive"}`), or removes events from it (`{"action":"discard","ids":["…"]}`).
//!
//! `POST /hooks/credentials` with `{"user_id":"…"}` says that this user's credentials have changed.

use serde::Deserialize;
use serde_json::json;

use super::Request;
use crate::error::Error;
use crate::host::{Body, Chunk as _, Host, ObjectFault};
use crate::http::Reply;
use crate::isolate::Shared;
use crate::objects::outbox;

/// Most bytes of a hook's body.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// A hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// `POST /hooks/outbox`
    Outbox,
    /// `POST /hooks/credentials`
    Credentials,
}

/// Answers a hook with JSON.
///
/// # Errors
/// Why the hook was refused. Then nothing was done.
pub(super) async fn serve<H: Host>(
    request: &Request<'_, H>,
    hook: Hook,
    body: &mut H::Body,
) -> Result<Reply, Error> {
    let (host, shared) = (request.host, request.shared()?);
    let body = verified(request, shared, body).await?;
    let answer = match hook {
        Hook::Outbox => manage_outbox(host, &body).await,
        Hook::Credentials => revoke_credentials(host, shared, &body).await,
    };
    Ok(Reply::json_text(200, answer?))
}

/// The body, if its signature is good.
async fn verified<H: Host>(
    request: &Request<'_, H>,
    shared: &Shared,
    body: &mut H::Body,
) -> Result<Vec<u8>, Error> {
    let secret = shared
        .config
        .webhook_secret
        .as_ref()
        .ok_or(Error::HooksOff)?;
    let signature = request
        .head
        .signature
        .as_ref()
        .ok_or(Error::SignatureRefused)?;
    let body = read(body).await?;
    if secret.verifies(signature, &body, request.host.now()) {
        Ok(body)
    } else {
        Err(Error::SignatureRefused)
    }
}

async fn read<B: Body>(body: &mut B) -> Result<Vec<u8>, Error> {
    let (mut whole, mut bytes) = (Vec::new(), Vec::new());
    while let Some(chunk) = body.read().await.map_err(|_| Error::ClientGone)? {
        if whole.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(Error::HookMalformed);
        }
        chunk.copy_into(0..chunk.len(), &mut bytes);
        whole.extend_from_slice(&bytes);
        body.recycle(chunk);
    }
    Ok(whole)
}

async fn manage_outbox<H: Host>(host: &H, body: &[u8]) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Wanted {
        action: Action,
        #[serde(default)]
        after: u64,
        ids: Option<Vec<String>>,
    }
    /// Only the worker itself adds events.
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Action {
        List,
        Redrive,
        Discard,
    }
    let wanted: Wanted = serde_json::from_slice(body).map_err(|_| Error::HookMalformed)?;
    let answer = match (wanted.action, wanted.ids) {
        (Action::List, _) => outbox::list(host, wanted.after).await,
        (Action::Redrive, ids) => {
            let redriven = outbox::redrive(host, ids.as_deref()).await;
            redriven.map(|redriven| json!({ "redriven": redriven }).to_string())
        }
        (Action::Discard, Some(ids)) => {
            let discarded = outbox::discard(host, &ids).await;
            discarded.map(|discarded| json!({ "discarded": discarded }).to_string())
        }
        // Without ids it would empty the outbox.
        (Action::Discard, None) => return Err(Error::HookMalformed),
    };
    answer.map_err(Error::Outbox)
}

/// Answers `propagated: false` if only this isolate forgets the credentials.
async fn revoke_credentials<H: Host>(
    host: &H,
    shared: &Shared,
    body: &[u8],
) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Changed {
        user_id: String,
    }
    let Changed { user_id } = serde_json::from_slice(body).map_err(|_| Error::HookMalformed)?;
    match shared.credentials.revoke(host, &user_id).await {
        Ok(()) => Ok(json!({ "success": true, "propagated": true }).to_string()),
        Err(ObjectFault::NotBound) => {
            Ok(json!({ "success": true, "propagated": false }).to_string())
        }
        Err(_) => Err(Error::Revocations),
    }
}
