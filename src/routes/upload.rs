//! `POST /`, `POST /upload`, `PUT /upload/{fileName}`: the upload itself, its log line and timings.

use super::Request;
use crate::host::Host;
use crate::http::Reply;
use crate::upload::{Content, Outcome, Report, upload};

pub(super) async fn serve<H: Host>(
    request: &Request<'_, H>,
    content: Content,
    body: &mut H::Body,
) -> Reply {
    let Request { host, head, id, .. } = *request;
    let mut report = Report::default();
    let result = match request.shared() {
        Ok(shared) => upload(host, shared, head, content, body, id, &mut report).await,
        Err(error) => Err(error),
    };
    host.log(&report.log_line(id, &result));
    let mut reply = match result {
        Ok(Outcome::Uploaded(receipt)) => Reply::json_text(200, receipt.to_json(id)),
        Ok(Outcome::Replayed(reply)) => Reply::replayed(reply),
        Err(error) => Reply::error(&error, id),
    };
    if let Some(timing) = report.server_timing() {
        reply.headers.push(("server-timing", timing));
    }
    reply
}
