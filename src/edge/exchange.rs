//! Request heads in, replies out.

use wasm_bindgen::JsValue;
use web_sys::ReadableStream;

use super::js;
use crate::http::{Conditions, RequestHead, Served};
use crate::webhook::Signature;

/// The headers that the core needs, in the order in which [`head`] reads them.
const WANTED: &str = "content-type\ncontent-length\nauthorization\nx-user-id\norigin\naccess-control-request-headers\nidempotency-key";

/// The headers of a request for a file, in the order of [`Conditions`].
const CONDITIONS: &str = "range\nif-range\nif-match\nif-none-match";

/// The headers of a hook's signature, in the order of [`Signature`].
const SIGNATURE: &str = "webhook-id\nwebhook-timestamp\nwebhook-signature";

/// The head of a request, as the core needs it.
pub(super) fn head(request: &web_sys::Request) -> RequestHead {
    let text = js::head(request, WANTED);
    let mut lines = text.split('\n');
    let method = lines.next().unwrap_or_default().to_owned();
    let (site, path, query) = split_url(lines.next().unwrap_or_default());
    let mut header = || {
        lines
            .next()
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    };
    RequestHead {
        method,
        site: site.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        content_type: header(),
        content_length: header().and_then(|length| length.trim().parse().ok()),
        authorization: header(),
        user_id: header(),
        origin: header(),
        requested_headers: header(),
        idempotency_key: header(),
        signature: path
            .starts_with("/hooks/")
            .then(|| signature(request))
            .flatten(),
        conditions: if path.starts_with("/files/") || path.starts_with("/l/") {
            conditions(request)
        } else {
            Conditions::default()
        },
    }
}

fn conditions(request: &web_sys::Request) -> Conditions {
    let text = js::head(request, CONDITIONS);
    // After the method and the URL.
    let mut lines = text.split('\n').skip(2);
    let mut header = || {
        let line = lines.next().filter(|value| !value.is_empty());
        line.map(str::to_owned)
    };
    Conditions {
        range: header(),
        if_range: header(),
        if_match: header(),
        if_none_match: header(),
    }
}

fn signature(request: &web_sys::Request) -> Option<Signature> {
    let text = js::head(request, SIGNATURE);
    // After the method and the URL.
    let mut lines = text.split('\n').skip(2).map(str::to_owned);
    Some(Signature {
        id: lines.next()?,
        timestamp: lines.next()?,
        signatures: lines.next()?,
    })
}

/// Site, path and query of an absolute URL. workerd has already normalised it.
fn split_url(url: &str) -> (&str, &str, &str) {
    let url = url.split('#').next().unwrap_or_default();
    let authority = url.find("://").map_or(0, |at| at + 3);
    let path_at = url
        .get(authority..)
        .and_then(|rest| rest.find('/'))
        .map_or(url.len(), |at| authority + at);
    let (site, path) = url.split_at(path_at);
    let path = if path.is_empty() { "/" } else { path };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    (site, path, query)
}

/// The reply as a JavaScript object.
pub(super) fn response(served: &Served<ReadableStream>) -> Result<web_sys::Response, JsValue> {
    let reply = &served.reply;
    let headers = header_lines(&reply.headers);
    match &served.stream {
        Some(stream) => js::respond_with_stream(reply.status, &headers, stream),
        None => js::respond(reply.status, &headers, &reply.body),
    }
}

/// Headers as `glue.js` expects them.
pub(super) fn header_lines(headers: &[(&str, String)]) -> String {
    let lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    lines.join("\n")
}
