//! A request from its head to its reply.

use serde_json::json;

use crate::check::check;
use crate::error::Error;
use crate::hooks;
use crate::host::{Body as _, Host, within};
use crate::http::{Reply, RequestHead, Served};
use crate::isolate::{Isolate, Shared};
use crate::route::{Route, route};
use crate::routes;
use crate::text::hex;
use crate::upload::{self, Outcome, Report, header_token};

/// How much of a body is read on, in bytes, after its request has failed.
///
/// A server that answers and closes while the client is still sending makes the client's system
/// throw the answer away, and the page then shows a network error where the reason should stand. A
/// body that is larger by its own word is not waited for.
const MAX_DRAIN_BYTES: u64 = 64 * 1024 * 1024;
/// For how long, in milliseconds.
const MAX_DRAIN_MS: u32 = 30_000;

/// Answers a request. Every reply carries CORS headers and a request id, errors included.
pub async fn serve<H: Host>(
    isolate: &Isolate,
    variable: impl Fn(&'static str) -> Option<String>,
    host: &H,
    head: &RequestHead,
    body: &mut H::Body,
) -> Served<H::ReplyBody> {
    let mut id = [0; 12];
    host.fill_random(&mut id);
    let request_id = hex(&id);
    let shared = isolate.shared(variable);
    let origins = shared
        .as_ref()
        .ok()
        .map(|shared| &shared.config.allowed_origins);
    let mut served: Served<H::ReplyBody> = match route(head) {
        Ok(Route::Preflight) => Reply::preflight(head).into(),
        Ok(Route::Health) => Reply::json(
            200,
            &json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }),
        )
        .into(),
        Ok(Route::Page) => routes::page::serve().into(),
        Ok(wanted @ (Route::Config | Route::File(_) | Route::MakeLink(_) | Route::Link(_))) => {
            let result = match &shared {
                Ok(shared) => serve_files(host, shared, head, wanted, body, &request_id).await,
                Err(error) => Err(Error::Config(error.clone())),
            };
            result.unwrap_or_else(|error| Reply::error(&error, &request_id).into())
        }
        Ok(wanted @ (Route::Form { .. } | Route::Raw(_))) => {
            let mut report = Report::default();
            let result = match &shared {
                Ok(shared) => {
                    let id = request_id.as_str();
                    upload::upload(host, shared, head, wanted, body, id, &mut report).await
                }
                Err(error) => Err(Error::Config(error.clone())),
            };
            host.log(&report.log_line(&request_id, &result));
            let mut reply = match &result {
                Ok(Outcome::Uploaded(receipt)) => {
                    Reply::json_text(200, receipt.to_json(&request_id))
                }
                Ok(Outcome::Replayed(reply)) => Reply::replayed(reply.clone()),
                Err(error) => Reply::error(error, &request_id),
            };
            if let Some(timing) = report.server_timing() {
                reply.headers.push(("server-timing", timing));
            }
            reply.into()
        }
        Ok(Route::Check) => {
            let result = match (&shared, header_token(head)) {
                (Ok(shared), Ok(token)) => check(host, shared, token, &request_id).await,
                (Err(error), _) => Err(Error::Config(error.clone())),
                (_, Err(error)) => Err(error),
            };
            match result {
                Ok(findings) => Reply::json(200, &findings),
                Err(error) => Reply::error(&error, &request_id),
            }
            .into()
        }
        Ok(Route::Hook(hook)) => {
            let result = match &shared {
                Ok(shared) => hooks::serve(host, shared, hook, head, body).await,
                Err(error) => Err(Error::Config(error.clone())),
            };
            match result {
                Ok(answer) => Reply::json_text(200, answer),
                Err(error) => Reply::error(&error, &request_id),
            }
            .into()
        }
        Err(error) => Reply::error(&error, &request_id).into(),
    };
    if served.reply.status >= 400
        && head
            .content_length
            .is_none_or(|length| length <= MAX_DRAIN_BYTES)
    {
        // Whether it came to the end or not, the reply goes out.
        let _ = within(host, MAX_DRAIN_MS, body.drain(MAX_DRAIN_BYTES)).await;
    }
    let mut reply = served.reply;
    reply.headers.push(("x-request-id", request_id));
    served.reply = reply.with_cors(origins, head.origin.as_deref());
    served
}

/// The routes of files that come back, and what a page may know of the settings.
async fn serve_files<H: Host>(
    host: &H,
    shared: &Shared,
    head: &RequestHead,
    wanted: Route,
    body: &mut H::Body,
    request_id: &str,
) -> Result<Served<H::ReplyBody>, Error> {
    match wanted {
        Route::Config => Ok(routes::config::serve(&shared.config).into()),
        Route::File(id) => routes::download::serve_file(host, shared, head, &id, request_id).await,
        Route::MakeLink(id) => routes::link::serve(host, shared, head, &id, body, request_id)
            .await
            .map(Served::from),
        Route::Link(sealed) => {
            routes::download::serve_link(host, shared, head, &sealed, request_id).await
        }
        _ => Err(Error::NotFound),
    }
}
