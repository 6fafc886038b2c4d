//! Resumable Uploads for HTTP (draft-ietf-httpbis-resumable-upload, interop version 8).
//!
//! A request with `Upload-Complete` to any URL that takes an upload begins a resource; the resource is
//! then asked with `HEAD`, appended to with `PATCH`, and cancelled with `DELETE`.

#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use super::command::{
    Algorithm, Body, Checksum, Command, Creation, Limits, Outcome, upload_of_path, upload_path,
};
use super::structured::{boolean, byte_sequence, integer};
use crate::error::Error;
use crate::file_name::first_name;
use crate::host::UnixMillis;
use crate::http::{Reply, RequestHead};
use crate::multipart::file_name_of;
use crate::resumable::id::UploadId;
use crate::resumable::question::{FileDescription, Position, Refusal, Shape, State};

const INTEROP_VERSION: u64 = 8;
const MEDIA_TYPE: &str = "application/partial-upload";
/// Before the name of a problem type (section "Problem Types").
const PROBLEMS: &str = "https://iana.org/assignments/http-problem-types#";

/// Whether a request asks for a resource of its own: with `Upload-Complete`, and in no other version.
/// In another version it is a plain upload.
#[must_use]
pub fn is_spoken(head: &RequestHead) -> bool {
    let version = head.upload.interop_version.as_deref();
    complete(head).is_some() && version.is_none_or(|version| integer(version) == Some(8))
}

fn complete(head: &RequestHead) -> Option<bool> {
    boolean(head.upload.complete.as_deref()?)
}

/// What the URL and the fields of a creation say of the file. The request's own
/// `Content-Disposition` says its name where the URL does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// The name in the URL.
    pub name: Option<String>,
    /// The caption.
    pub caption: Option<String>,
    /// The user's destination.
    pub destination: Option<String>,
}

/// What a request that begins an upload wants.
///
/// # Errors
/// Why that can't be told.
pub fn read_creation(head: &RequestHead, target: Target) -> Result<Command, Error> {
    let disposition = head.upload.content_disposition.as_deref();
    let name = target
        .name
        .filter(|name| !name.is_empty())
        .or_else(|| disposition.and_then(file_name_of));
    let body = body(head, 0)?;
    let length = body.length;
    Ok(Command::Create(Box::new(Creation {
        file: FileDescription {
            name: first_name(name.as_deref()),
            mime_type: head.content_type.clone().unwrap_or_default(),
            caption: target.caption,
            ..FileDescription::default()
        },
        destination: target.destination,
        echoed: std::collections::BTreeMap::new(),
        shape: Shape::Sequential {
            ends_at_length: false,
        },
        length,
        // An empty one may complete the upload, or only begin it.
        body: Some(body).filter(|body| body.completes || body.content_length != Some(0)),
    })))
}

/// What a request to an upload resource wants.
///
/// # Errors
/// Why that can't be told.
pub fn read(head: &RequestHead) -> Result<Command, Error> {
    if head.method == "OPTIONS" {
        return Ok(Command::Discover);
    }
    let id = upload_of_path(&head.path).ok_or(Error::Upload(Refusal::NotFound))?;
    match head.method.as_str() {
        "HEAD" | "GET" => Ok(Command::Look(id)),
        "DELETE" => Ok(Command::Terminate(id)),
        "PATCH" => {
            let media_type = head.content_type.as_deref().unwrap_or_default();
            let media_type = media_type.split(';').next().unwrap_or_default().trim();
            if !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
                return Err(Error::UploadMediaType {
                    expected: MEDIA_TYPE,
                });
            }
            if complete(head).is_none() {
                return Err(Error::UploadHeader {
                    name: "Upload-Complete",
                    problem: "is missing, or neither ?0 nor ?1",
                });
            }
            let offset = head.upload.offset.as_deref().and_then(integer);
            let offset = offset.ok_or(Error::UploadHeader {
                name: "Upload-Offset",
                problem: "is missing, or not a whole number",
            })?;
            body(head, offset).map(|body| Command::Append(id, body))
        }
        _ => Err(Error::MethodNotAllowed {
            allow: "GET, HEAD, PATCH, DELETE, OPTIONS",
        }),
    }
}

fn body(head: &RequestHead, offset: u64) -> Result<Body, Error> {
    let completes = complete(head).unwrap_or_default();
    let by_header = head.upload.length.as_deref().and_then(integer);
    let by_content = head.content_length.filter(|_| completes);
    let by_content = by_content.map(|bytes| offset.saturating_add(bytes));
    if let (Some(by_header), Some(by_content)) = (by_header, by_content)
        && by_header != by_content
    {
        return Err(Error::Upload(Refusal::LengthDiffers));
    }
    let digest = head.upload.content_digest.as_deref();
    let digest = digest.and_then(|digest| byte_sequence(digest, "sha-256"));
    Ok(Body {
        at: Position::Offset(offset),
        content_length: head.content_length,
        length: by_header.or(by_content),
        completes,
        checksum: digest.map(|digest| Checksum {
            algorithm: Algorithm::Sha256,
            digest,
        }),
    })
}

/// `Upload-Limit`, for a resource that lives until then, or for those to come.
fn limit(limits: &Limits, lives_until: Option<UnixMillis>, now: UnixMillis) -> String {
    let max_age = match lives_until {
        Some(end) => end.saturating_sub(now) / 1000,
        None => limits.ttl_seconds,
    };
    format!(
        "max-size={}, max-append-size={}, max-age={max_age}",
        limits.max_file_bytes, limits.max_request_bytes
    )
}

/// The header of a reply to `OPTIONS`, for every URL whose uploads can be resumable.
#[must_use]
pub fn discovery_header(limits: &Limits) -> (&'static str, String) {
    ("upload-limit", limit(limits, None, 0))
}

/// The headers of `104 (Upload Resumption Supported)`, for a host that can send one. `None` when the
/// client's version is another, or missing.
#[must_use]
pub fn interim_headers(
    head: &RequestHead,
    id: &UploadId,
    state: &State,
    limits: &Limits,
    now: UnixMillis,
) -> Option<Vec<(&'static str, String)>> {
    let version = head.upload.interop_version.as_deref().and_then(integer);
    (version == Some(INTEROP_VERSION)).then(|| {
        vec![
            ("location", upload_path(id)),
            ("upload-limit", limit(limits, Some(state.expires_at), now)),
            ("upload-draft-interop-version", INTEROP_VERSION.to_string()),
        ]
    })
}

/// The reply to a request.
#[must_use]
pub fn reply(
    head: &RequestHead,
    result: &Result<Outcome, Error>,
    limits: &Limits,
    now: UnixMillis,
    request_id: &str,
) -> Reply {
    match result {
        Ok(Outcome::Discovered) => {
            let mut reply = Reply::preflight(head);
            reply.headers.push(discovery_header(limits));
            reply
        }
        Ok(Outcome::Created { id, state, error }) => {
            let mut reply = match error {
                Some(error) => failed(head, error, limits, request_id),
                None => progressed(201, state),
            };
            if state.finished.is_none() {
                let limit = limit(limits, Some(state.expires_at), now);
                reply
                    .headers
                    .extend([("location", upload_path(id)), ("upload-limit", limit)]);
            }
            reply
        }
        Ok(Outcome::Looked(state)) => {
            let mut reply = empty(204);
            push_progress(&mut reply, state);
            if let Some(length) = state.length {
                reply.headers.push(("upload-length", length.to_string()));
            }
            let limit = limit(limits, Some(state.expires_at), now);
            reply.headers.push(("upload-limit", limit));
            reply
        }
        Ok(Outcome::Appended(state)) => progressed(204, state),
        Ok(Outcome::Terminated) => empty(204),
        Err(error) => failed(head, error, limits, request_id),
    }
}

fn empty(status: u16) -> Reply {
    Reply {
        status,
        headers: vec![("cache-control", "no-store".to_owned())],
        body: String::new(),
    }
}

/// The receipt, if the file is finished: what a request that is no resumable upload gets.
fn progressed(status: u16, state: &State) -> Reply {
    let mut reply = match &state.finished {
        Some(finished) => Reply::json_text(200, finished.reply.clone()),
        None => empty(status),
    };
    push_progress(&mut reply, state);
    reply
}

fn push_progress(reply: &mut Reply, state: &State) {
    reply.headers.extend([
        ("upload-complete", sf_boolean(state.finished.is_some())),
        ("upload-offset", state.offset.to_string()),
    ]);
}

fn sf_boolean(value: bool) -> String {
    if value { "?1" } else { "?0" }.to_owned()
}

/// An error about an upload resource says that the upload is not complete, so that the client can tell
/// it from one about the file.
fn failed(head: &RequestHead, error: &Error, limits: &Limits, request_id: &str) -> Reply {
    let mut reply = Reply::error(error, request_id);
    let problem = match error {
        Error::Upload(Refusal::Offset { expected }) => {
            reply.headers.push(("upload-offset", expected.to_string()));
            let provided = head.upload.offset.as_deref().and_then(integer);
            Some(json!({
                "type": format!("{PROBLEMS}mismatching-upload-offset"),
                "title": "The request's offset is not the upload's",
                "expected-offset": expected,
                "provided-offset": provided,
            }))
        }
        Error::Upload(Refusal::LengthDiffers) => Some(json!({
            "type": format!("{PROBLEMS}inconsistent-upload-length"),
            "title": "The lengths of the upload differ",
        })),
        _ => None,
    };
    if let Some(problem) = problem {
        into_problem(&mut reply, problem);
    }
    if reply.status == 413 {
        reply.headers.push(discovery_header(limits));
    }
    let is_of_resource = upload_of_path(&head.path).is_some();
    if is_of_resource || matches!(error, Error::Upload(_)) {
        reply.headers.push(("upload-complete", sf_boolean(false)));
    }
    reply
}

/// Makes a problem document (RFC 9457) of an error. Its own members stay beside the standard ones.
fn into_problem(reply: &mut Reply, problem: Value) {
    let (Ok(mut body), Value::Object(problem)) = (
        serde_json::from_str::<Map<String, Value>>(&reply.body),
        problem,
    ) else {
        return;
    };
    body.extend(problem);
    body.insert("status".to_owned(), reply.status.into());
    reply.body = Value::Object(body).to_string();
    for (name, value) in &mut reply.headers {
        if *name == "content-type" {
            "application/problem+json".clone_into(value);
        }
    }
}
