//! Request heads in, replies out.

use wasm_bindgen::JsValue;
use web_sys::ReadableStream;

use super::js;
use crate::http::{Conditions, RequestHead, Served, UploadHeaders};
use crate::webhook::Signature;

/// The headers that the core needs, in the order in which [`head`] reads them.
const WANTED: &str = "content-type\ncontent-length\nauthorization\nx-user-id\norigin\naccess-control-request-headers\nidempotency-key\nupload-complete";

/// The headers of a request for a file, in the order of [`Conditions`].
const CONDITIONS: &str = "range\nif-range\nif-match\nif-none-match";

/// The headers of a hook's signature, in the order of [`Signature`].
const SIGNATURE: &str = "webhook-id\nwebhook-timestamp\nwebhook-signature";

/// The headers of resumable uploads, in the order in which [`upload_headers`] reads them.
const UPLOAD: &str = "accept\ncontent-digest\ncontent-disposition\ntus-resumable\nupload-checksum\nupload-complete\nupload-concat\nupload-defer-length\nupload-draft-interop-version\nupload-length\nupload-metadata\nupload-offset\nx-http-method-override";

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
    let mut head = RequestHead {
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
        upload: UploadHeaders::default(),
    };
    // An ordinary upload does not pay for a second crossing.
    if header().is_some() || path == "/files" || path.starts_with("/files/") {
        head.upload = upload_headers(request);
    }
    head
}

fn upload_headers(request: &web_sys::Request) -> UploadHeaders {
    let text = js::head(request, UPLOAD);
    // After the method and the URL.
    let mut lines = text.split('\n').skip(2);
    let mut header = || {
        lines
            .next()
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    };
    UploadHeaders {
        accept: header(),
        content_digest: header(),
        content_disposition: header(),
        tus_resumable: header(),
        checksum: header(),
        complete: header(),
        concat: header(),
        defer_length: header(),
        interop_version: header(),
        length: header(),
        metadata: header(),
        offset: header(),
        method_override: header(),
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
