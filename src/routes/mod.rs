//! The routes: a request from its head to its reply. [`table`] finds the route. Each route has a handler
//! of its own, which returns a reply or an error.

mod check;
mod config;
mod download;
mod health;
pub mod hooks;
mod link;
mod page;
pub mod table;
mod upload;

use crate::config::ConfigError;
use crate::error::Error;
use crate::host::{Body as _, Host, within};
use crate::http::{Reply, RequestHead, Served};
use crate::isolate::{Isolate, Shared};
use crate::text::hex;
use table::{Route, route};

/// How many bytes of a body are still read after its request has failed.
///
/// If a server answers and closes the connection while the client is still sending, the client's system
/// discards the answer, and the page shows a network error instead of the reason. A body whose
/// `Content-Length` is larger than this is not read.
const MAX_DRAIN_BYTES: u64 = 64 * 1024 * 1024;
/// How long such a body is read, in milliseconds.
const MAX_DRAIN_MS: u32 = 30_000;

/// A request, as its handler sees it.
struct Request<'a, H: Host> {
    host: &'a H,
    /// The state that the isolate's requests share, unless a setting is wrong.
    shared: Result<&'a Shared, ConfigError>,
    head: &'a RequestHead,
    /// The request's id, which the reply and the log name.
    id: &'a str,
}

impl<'a, H: Host> Request<'a, H> {
    /// The state that the isolate's requests share.
    ///
    /// # Errors
    /// [`Error::Config`]
    fn shared(&self) -> Result<&'a Shared, Error> {
        self.shared.clone().map_err(Error::Config)
    }
}

/// Answers a request. Every reply carries CORS headers and a request id, errors included.
pub async fn serve<H: Host>(
    isolate: &Isolate,
    variable: impl Fn(&'static str) -> Option<String>,
    host: &H,
    head: &RequestHead,
    body: &mut H::Body,
) -> Served<H::ReplyBody> {
    let mut random = [0; 12];
    host.fill_random(&mut random);
    let id = hex(&random);
    let request = Request {
        host,
        shared: isolate.shared(variable),
        head,
        id: &id,
    };
    let mut served = answer(&request, body)
        .await
        .unwrap_or_else(|error| Reply::error(&error, &id).into());
    if served.reply.status >= 400 {
        drain(host, head, body).await;
    }
    let origins = request
        .shared
        .ok()
        .map(|shared| &shared.config.allowed_origins);
    let mut reply = served.reply;
    reply.headers.push(("x-request-id", id.clone()));
    served.reply = reply.with_cors(origins, head.origin.as_deref());
    served
}

async fn answer<H: Host>(
    request: &Request<'_, H>,
    body: &mut H::Body,
) -> Result<Served<H::ReplyBody>, Error> {
    let reply = match route(request.head)? {
        Route::File(id) => return download::serve_file(request, &id).await,
        Route::Link(sealed) => return download::serve_link(request, &sealed).await,
        Route::MakeLink(id) => link::serve(request, &id, body).await,
        Route::Page => Ok(page::serve()),
        Route::Config => config::serve(request),
        Route::Preflight => Ok(Reply::preflight(request.head)),
        Route::Health => Ok(health::serve()),
        Route::Upload(content) => Ok(upload::serve(request, content, body).await),
        Route::Check => check::serve(request).await,
        Route::Hook(hook) => hooks::serve(request, hook, body).await,
    };
    reply.map(Served::from)
}

async fn drain<H: Host>(host: &H, head: &RequestHead, body: &mut H::Body) {
    let is_bounded = |length| length <= MAX_DRAIN_BYTES;
    if head.content_length.is_none_or(is_bounded) {
        // The reply is sent whether or not the body has ended.
        let _ = within(host, MAX_DRAIN_MS, body.drain(MAX_DRAIN_BYTES)).await;
    }
}
