//! Request heads in, replies out.

use wasm_bindgen::{JsCast as _, JsValue};

use crate::http::{Reply, RequestHead};

/// What the core wants to know of a request.
pub(super) fn head(request: &web_sys::Request) -> RequestHead {
    let headers = request.headers();
    let header = |name: &str| headers.get(name).ok().flatten();
    let url = request.url();
    let (path, query) = path_and_query(&url);
    RequestHead {
        method: request.method(),
        path: path.to_owned(),
        query: query.to_owned(),
        content_type: header("content-type"),
        content_length: header("content-length").and_then(|length| length.trim().parse().ok()),
        authorization: header("authorization"),
        user_id: header("x-user-id"),
        origin: header("origin"),
        requested_headers: header("access-control-request-headers"),
    }
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
    let headers = web_sys::Headers::new()?;
    for (name, value) in &reply.headers {
        headers.append(name, value)?;
    }
    let init = web_sys::ResponseInit::new();
    init.set_status(reply.status);
    init.set_headers(headers.unchecked_ref());
    let body = (!reply.body.is_empty()).then_some(reply.body.as_str());
    web_sys::Response::new_with_opt_str_and_init(body, &init)
}
