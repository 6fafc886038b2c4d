//! A request as HTTP/1.1 writes it, which is how the seeds are written.

use telestore_worker::http::RequestHead;

use crate::bytes::split_once;

/// A request's head, and its body. `None` when a runtime would not have passed it on.
pub(crate) fn read(data: &[u8]) -> Option<(RequestHead, &[u8])> {
    let (text, body) = split_once(data, b"\r\n\r\n")?;
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.split("\r\n");
    let mut request_line = lines.next()?.split(' ');
    let (method, url) = (request_line.next()?, request_line.next()?);
    let is_method = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
    let is_url = url.starts_with('/') && url.bytes().all(|b| b.is_ascii_graphic());
    if !is_method || !is_url {
        return None;
    }
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let mut head = RequestHead {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        ..RequestHead::default()
    };
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        if value.contains(['\r', '\n', '\0']) {
            return None;
        }
        let value = Some(value.to_owned());
        match name.to_ascii_lowercase().as_str() {
            "content-type" => head.content_type = value,
            // The HTTP layer holds the client to what it says.
            "content-length" => head.content_length = Some(body.len() as u64),
            "authorization" => head.authorization = value,
            "x-user-id" => head.user_id = value,
            "origin" => head.origin = value,
            "access-control-request-headers" => head.requested_headers = value,
            _ => {}
        }
    }
    Some((head, body))
}
