//! tus 1.0.0 (tus.io/protocols/resumable-upload), with the extensions creation, creation-with-upload,
//! creation-defer-length, expiration, termination, checksum and concatenation.

mod metadata;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::command::{
    Algorithm, Body, Checksum, Command, Creation, Limits, Outcome, upload_of_path, upload_path,
    whole_number,
};
use crate::error::Error;
use crate::http::{Reply, RequestHead};
use crate::resumable::id::UploadId;
use crate::resumable::question::{Position, Refusal, Shape, State};
use crate::text::http_date;
use metadata::Metadata;

const VERSION: &str = "1.0.0";
const EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,expiration,\
    termination,checksum,concatenation";
const MEDIA_TYPE: &str = "application/offset+octet-stream";
/// Most partial uploads that make a final one.
const MAX_PARTIAL: usize = 1_000;
/// Names of the header fields that are given back as they came.
const METADATA: &str = "upload-metadata";
const CONCAT: &str = "upload-concat";
/// `460 Checksum Mismatch` (tus 1.0.0, "Checksum").
const STATUS_CHECKSUM_MISMATCH: u16 = 460;
/// `423 Locked` (RFC 4918 section 11.3), on which tus clients try again.
const STATUS_LOCKED: u16 = 423;

/// Whether a request to `/files` or below speaks tus: by its version, or by what no other does.
#[must_use]
pub fn is_spoken(head: &RequestHead) -> bool {
    let upload = &head.upload;
    upload.tus_resumable.is_some()
        || upload.defer_length.is_some()
        || upload.concat.is_some()
        || upload.metadata.is_some()
        || is_media_type(head)
}

/// The method that a request stands for.
#[must_use]
pub fn method(head: &RequestHead) -> &str {
    let told = head.upload.method_override.as_deref().map(str::trim);
    told.filter(|method| !method.is_empty())
        .unwrap_or(&head.method)
}

/// What a request wants.
///
/// # Errors
/// Why that can't be told.
pub fn read(head: &RequestHead) -> Result<Command, Error> {
    let method = method(head).to_ascii_uppercase();
    if method == "OPTIONS" {
        return Ok(Command::Discover);
    }
    if head.upload.tus_resumable.as_deref().map(str::trim) != Some(VERSION) {
        return Err(Error::TusVersion);
    }
    if matches!(head.path.as_str(), "/files" | "/files/") {
        return match method.as_str() {
            "POST" => read_creation(head),
            _ => Err(Error::MethodNotAllowed {
                allow: "GET, POST, OPTIONS",
            }),
        };
    }
    let id = upload_of_path(&head.path).ok_or(Error::Upload(Refusal::NotFound))?;
    match method.as_str() {
        "HEAD" => Ok(Command::Look(id)),
        "DELETE" => Ok(Command::Terminate(id)),
        "PATCH" => read_append(head, id),
        _ => Err(Error::MethodNotAllowed {
            allow: "GET, HEAD, PATCH, DELETE, OPTIONS",
        }),
    }
}

fn read_creation(head: &RequestHead) -> Result<Command, Error> {
    let Metadata { file, destination } =
        metadata::read(head.upload.metadata.as_deref().unwrap_or_default())?;
    let mut echoed = BTreeMap::new();
    for (name, value) in [
        (METADATA, &head.upload.metadata),
        (CONCAT, &head.upload.concat),
    ] {
        if let Some(value) = value {
            echoed.insert(name.to_owned(), value.clone());
        }
    }
    let concat = read_concat(head)?;
    let length = read_length(head)?;
    let shape = match &concat {
        Concat::None => Shape::Sequential {
            ends_at_length: true,
        },
        Concat::Partial => Shape::Partial,
        Concat::Final(_) => Shape::Final,
    };
    let mut creation = Box::new(Creation {
        file,
        destination,
        echoed,
        shape,
        length,
        body: None,
    });
    match (concat, length, defers_length(head)?) {
        (Concat::Final(partials), None, false) => {
            return Ok(Command::Concatenate(creation, partials));
        }
        (Concat::Final(_), ..) => Err(header("Upload-Length", "does not go with a final upload")),
        (_, Some(_), true) => Err(header("Upload-Length", "is there though it is deferred")),
        (_, None, false) => Err(header("Upload-Length", "is missing")),
        _ => Ok(()),
    }?;
    creation.body = read_body(head, 0)?;
    Ok(Command::Create(creation))
}

/// The body of a creation, if it is of the file ("Creation With Upload").
fn read_body(head: &RequestHead, offset: u64) -> Result<Option<Body>, Error> {
    if head.content_length == Some(0) {
        return Ok(None);
    }
    if !is_media_type(head) {
        return match head.content_length {
            None => Ok(None),
            Some(_) => Err(Error::UploadMediaType {
                expected: MEDIA_TYPE,
            }),
        };
    }
    body(head, offset, None).map(Some)
}

fn read_append(head: &RequestHead, id: UploadId) -> Result<Command, Error> {
    if !is_media_type(head) {
        return Err(Error::UploadMediaType {
            expected: MEDIA_TYPE,
        });
    }
    let offset = head.upload.offset.as_deref();
    let offset = offset.ok_or_else(|| header("Upload-Offset", "is missing"))?;
    let offset = whole_number(offset.trim())
        .ok_or_else(|| header("Upload-Offset", "is not a whole number"))?;
    let length = read_length(head)?;
    body(head, offset, length).map(|body| Command::Append(id, body))
}

fn body(head: &RequestHead, offset: u64, length: Option<u64>) -> Result<Body, Error> {
    Ok(Body {
        at: Position::Offset(offset),
        content_length: head.content_length,
        length,
        completes: false,
        checksum: head.upload.checksum.as_deref().map(checksum).transpose()?,
    })
}

fn read_length(head: &RequestHead) -> Result<Option<u64>, Error> {
    let length = head.upload.length.as_deref();
    length
        .map(|text| {
            whole_number(text.trim())
                .ok_or_else(|| header("Upload-Length", "is not a whole number"))
        })
        .transpose()
}

fn defers_length(head: &RequestHead) -> Result<bool, Error> {
    match head.upload.defer_length.as_deref().map(str::trim) {
        None => Ok(false),
        Some("1") => Ok(true),
        Some(_) => Err(header("Upload-Defer-Length", "is not 1")),
    }
}

fn checksum(text: &str) -> Result<Checksum, Error> {
    let malformed = || header("Upload-Checksum", "is not an algorithm and a Base64 digest");
    let (name, digest) = text.trim().split_once(' ').ok_or_else(malformed)?;
    let mut known = Algorithm::ALL.into_iter();
    let (_, algorithm) = known
        .find(|(known, _)| *known == name)
        .ok_or(Error::ChecksumAlgorithm)?;
    let digest = BASE64.decode(digest).map_err(|_| malformed())?;
    if digest.len() == algorithm.digest_bytes() {
        Ok(Checksum { algorithm, digest })
    } else {
        Err(malformed())
    }
}

enum Concat {
    None,
    Partial,
    Final(Vec<UploadId>),
}

fn read_concat(head: &RequestHead) -> Result<Concat, Error> {
    let malformed = || header("Upload-Concat", "is neither partial nor final with a list");
    let text = match head.upload.concat.as_deref().map(str::trim) {
        None => return Ok(Concat::None),
        Some("partial") => return Ok(Concat::Partial),
        Some(text) => text,
    };
    let urls = text.strip_prefix("final;").ok_or_else(malformed)?;
    let ids = urls.split(' ').filter(|url| !url.is_empty()).map(|url| {
        // Absolute or relative. Its host is not looked at: there is none but this one.
        let path = url.find("/files/").and_then(|at| url.get(at..));
        path.and_then(upload_of_path)
            .ok_or(Error::Upload(Refusal::NotFound))
    });
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    if ids.is_empty() || ids.len() > MAX_PARTIAL {
        return Err(malformed());
    }
    Ok(Concat::Final(ids))
}

fn is_media_type(head: &RequestHead) -> bool {
    let media_type = head.content_type.as_deref().unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case(MEDIA_TYPE)
}

fn header(name: &'static str, problem: &'static str) -> Error {
    Error::UploadHeader { name, problem }
}

/// The reply to a request.
#[must_use]
pub fn reply(
    head: &RequestHead,
    result: &Result<Outcome, Error>,
    limits: &Limits,
    request_id: &str,
) -> Reply {
    let mut reply = match result {
        Ok(Outcome::Discovered) => discovered(head, limits),
        Ok(Outcome::Created { id, state, error }) => {
            created(head, id, state, error.as_ref(), request_id)
        }
        Ok(Outcome::Looked(state)) => looked(state),
        Ok(Outcome::Appended(state)) => appended(head, state),
        Ok(Outcome::Terminated) => empty(204),
        Err(error) => failed(error, request_id),
    };
    reply.headers.push(("tus-resumable", VERSION.to_owned()));
    reply
}

fn empty(status: u16) -> Reply {
    Reply {
        status,
        headers: vec![("cache-control", "no-store".to_owned())],
        body: String::new(),
    }
}

fn discovered(head: &RequestHead, limits: &Limits) -> Reply {
    let mut reply = Reply::preflight(head);
    let algorithms = Algorithm::ALL.map(|(name, _)| name).join(",");
    reply.headers.extend([
        ("tus-version", VERSION.to_owned()),
        ("tus-extension", EXTENSIONS.to_owned()),
        ("tus-max-size", limits.max_file_bytes.to_string()),
        ("tus-checksum-algorithm", algorithms),
    ]);
    reply
}

fn created(
    head: &RequestHead,
    id: &UploadId,
    state: &State,
    error: Option<&Error>,
    request_id: &str,
) -> Reply {
    let mut reply = match receipt(head, state) {
        Some(receipt) => Reply::json_text(201, receipt),
        None => empty(201),
    };
    // What is not there yet can be appended. A body that is wrong can't.
    let is_wrong =
        |error: &&Error| matches!(error, Error::ChecksumMismatch) || !error.describe().retryable;
    if let Some(error) = error.filter(is_wrong) {
        reply = failed(error, request_id);
    }
    reply.headers.push(("location", upload_path(id)));
    push_progress(&mut reply, state);
    reply
}

fn looked(state: &State) -> Reply {
    let mut reply = empty(200);
    push_progress(&mut reply, state);
    if let Some(length) = state.length {
        reply.headers.push(("upload-length", length.to_string()));
    } else if !matches!(state.shape, Shape::Final) {
        reply.headers.push(("upload-defer-length", "1".to_owned()));
    }
    for name in [METADATA, CONCAT] {
        if let Some(value) = state.echoed.get(name) {
            reply.headers.push((name, value.clone()));
        }
    }
    reply
}

fn appended(head: &RequestHead, state: &State) -> Reply {
    let mut reply = match receipt(head, state) {
        Some(receipt) => Reply::json_text(200, receipt),
        None => empty(204),
    };
    push_progress(&mut reply, state);
    reply
}

/// The receipt of a finished file, for a client that takes JSON.
fn receipt(head: &RequestHead, state: &State) -> Option<String> {
    let accept = head.upload.accept.as_deref().unwrap_or_default();
    let takes_json = accept.split(',').any(|range| {
        let media_type = range.split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case("application/json")
    });
    let finished = state.finished.as_ref().filter(|_| takes_json)?;
    Some(finished.reply.clone())
}

/// Offset and end, and the ids of a finished file. A final upload has an offset when it is complete.
fn push_progress(reply: &mut Reply, state: &State) {
    if state.is_complete || !matches!(state.shape, Shape::Final) {
        reply
            .headers
            .push(("upload-offset", state.offset.to_string()));
    }
    match &state.finished {
        Some(finished) => reply.headers.extend([
            ("x-file-id", finished.file_id.clone()),
            ("x-message-id", finished.message_id.to_string()),
        ]),
        None => reply
            .headers
            .push(("upload-expires", http_date(state.expires_at))),
    }
}

fn failed(error: &Error, request_id: &str) -> Reply {
    let mut reply = Reply::error(error, request_id);
    match error {
        Error::TusVersion => reply.headers.push(("tus-version", VERSION.to_owned())),
        Error::ChecksumMismatch => reply.status = STATUS_CHECKSUM_MISMATCH,
        Error::Upload(Refusal::Locked { .. }) => reply.status = STATUS_LOCKED,
        Error::Upload(Refusal::Offset { expected }) => {
            reply.headers.push(("upload-offset", expected.to_string()));
        }
        _ => {}
    }
    // tus clients try again after 503, and never after 429.
    if reply.status == 429 {
        reply.status = 503;
    }
    reply
}
