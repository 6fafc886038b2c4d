//! Request heads in, replies out.

use wasm_bindgen::JsValue;

use super::js;
use crate::http::{Reply, RequestHead, UploadHeaders};
use crate::webhook::Signature;

/// The headers that the core wants to know, in the order in which [`head`] takes them.
const WANTED: &str = "content-type\ncontent-length\nauthorization\nx-user-id\norigin\naccess-control-request-headers\nidempotency-key\nupload-complete";

/// The headers of a hook's signature, in the order of [`Signature`].
const SIGNATURE: &str = "webhook-id\nwebhook-timestamp\nwebhook-signature";

/// The headers of resumable uploads, in the order in which [`upload_headers`] takes them.
const UPLOAD: &str = "accept\ncontent-digest\ncontent-disposition\ntus-resumable\nupload-checksum\nupload-complete\nupload-concat\nupload-defer-length\nupload-draft-interop-version\nupload-length\nupload-metadata\nupload-offset\nx-http-method-override";

/// What the core wants to know of a request.
pub(super) fn head(request: &web_sys::Request) -> RequestHead {
    let text = js::head(request, WANTED);
    let mut lines = text.split('\n');
    let method = lines.next().unwrap_or_default().to_owned();
    let (path, query) = path_and_query(lines.next().unwrap_or_default());
    let mut header = || {
        lines
            .next()
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    };
    let mut head = RequestHead {
        method,
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

fn signature(request: &web_sys::Request) -> Option<Signature> {
    let text = js::head(request, SIGNATURE);
    // Behind the method and the URL.
    let mut lines = text.split('\n').skip(2).map(str::to_owned);
    Some(Signature {
        id: lines.next()?,
        timestamp: lines.next()?,
        signatures: lines.next()?,
    })
}

/// Path and query of an absolute URL, which workerd has already put into its standard form.
fn path_and_query(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('#').next().unwrap_or_default();
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
    path.split_once('?').unwrap_or((path, ""))
}

/// The reply as JavaScript has it.
pub(super) fn response(reply: &Reply) -> Result<web_sys::Response, JsValue> {
    js::respond(reply.status, &header_lines(&reply.headers), &reply.body)
}

/// Headers as they cross the border.
pub(super) fn header_lines(headers: &[(&str, String)]) -> String {
    let lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    lines.join("\n")
}
