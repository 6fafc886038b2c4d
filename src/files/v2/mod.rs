//! `TeleStore` v2's chunk routes, with the fields and JSON that its own frontend sends and reads.
//!
//! The frontend chooses the upload's id, never begins an upload by itself, and asks for its end without
//! a token. So the first chunk makes the resource, and the last one finishes the file within its own
//! request, which has the token.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::command::{Body, Creation, whole_number};
use crate::error::Error;
use crate::file_name::first_name;
use crate::http::{Reply, RequestHead};
use crate::json::Object;
use crate::resumable::id::ChosenId;
use crate::resumable::question::{FileDescription, Position, Refusal, Shape, State};

/// Most bytes of a body that is JSON.
pub const MAX_JSON_BYTES: usize = 16 * 1024;

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `POST /init-upload`: begin an upload.
    Init,
    /// `POST /upload-chunk`: store a chunk.
    Chunk,
    /// `POST /complete-upload`: is it finished?
    Complete,
    /// `POST /cancel-upload`: take it back.
    Cancel,
    /// `GET /upload-status/{id}`: which chunks are there?
    Status(ChosenId),
    /// `GET /upload-progress/{id}`: how far is it?
    Progress(ChosenId),
}

/// The route of a request; `None` when its path is none of these.
///
/// # Errors
/// 404 for an id that can't be one, and 405.
pub fn route(head: &RequestHead) -> Option<Result<Route, Error>> {
    let with_id = |id: &str| ChosenId::parse(id).ok_or(Error::Upload(Refusal::NotFound));
    let path = head.path.as_str();
    let (wanted, route) = match path {
        "/init-upload" => ("POST", Ok(Route::Init)),
        "/upload-chunk" => ("POST", Ok(Route::Chunk)),
        "/complete-upload" => ("POST", Ok(Route::Complete)),
        "/cancel-upload" => ("POST", Ok(Route::Cancel)),
        _ => {
            if let Some(id) = path.strip_prefix("/upload-status/") {
                ("GET", with_id(id).map(Route::Status))
            } else {
                let id = path.strip_prefix("/upload-progress/")?;
                ("GET", with_id(id).map(Route::Progress))
            }
        }
    };
    if head.method == wanted {
        return Some(route);
    }
    let allow = match wanted {
        "POST" => "POST, OPTIONS",
        _ => "GET, OPTIONS",
    };
    Some(Err(Error::MethodNotAllowed { allow }))
}

/// The fields of a chunk's form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChunkFields {
    /// `uploadId`
    pub upload_id: Option<String>,
    /// `chunkIndex`
    pub chunk_index: Option<String>,
    /// `totalChunks`
    pub total_chunks: Option<String>,
    /// `fileName`
    pub file_name: Option<String>,
    /// `fileSize`
    pub file_size: Option<String>,
}

/// A chunk of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its upload.
    pub id: ChosenId,
    /// From 0.
    pub index: u32,
    /// The upload, if this is the first chunk that comes.
    pub creation: Creation,
    /// Where its bytes belong.
    pub body: Body,
}

/// Reads the fields of a chunk's form.
///
/// # Errors
/// [`Error::ChunkField`], and that there are no chunks or not this one.
pub fn read_chunk(fields: &ChunkFields) -> Result<Chunk, Error> {
    let number = |text: &Option<String>, name| {
        let number = text.as_deref().map(str::trim).and_then(whole_number);
        number.ok_or(Error::ChunkField(name))
    };
    let id = fields.upload_id.as_deref().and_then(ChosenId::parse);
    let id = id.ok_or(Error::ChunkField("uploadId"))?;
    let index = number(&fields.chunk_index, "chunkIndex")?;
    let total = number(&fields.total_chunks, "totalChunks")?;
    let name = fields.file_name.clone().filter(|name| !name.is_empty());
    let name = name.ok_or(Error::ChunkField("fileName"))?;
    let size = match &fields.file_size {
        None => None,
        Some(_) => Some(number(&fields.file_size, "fileSize")?),
    };
    let total = u32::try_from(total).map_err(|_| Error::Upload(Refusal::TooManyParts))?;
    let index = u32::try_from(index).map_err(|_| Error::Upload(Refusal::NoSuchChunk))?;
    if index >= total {
        return Err(Error::Upload(Refusal::NoSuchChunk));
    }
    Ok(Chunk {
        id,
        index,
        creation: creation(&name, size, total),
        body: Body {
            at: Position::Chunk { index, total },
            content_length: None,
            length: size,
            completes: false,
            checksum: None,
        },
    })
}

fn creation(name: &str, length: Option<u64>, total: u32) -> Creation {
    Creation {
        file: FileDescription {
            name: first_name([name]),
            ..FileDescription::default()
        },
        destination: None,
        echoed: BTreeMap::new(),
        shape: Shape::Chunked { total },
        length,
        body: None,
    }
}

/// The upload that the body of `/complete-upload` or `/cancel-upload` names.
///
/// # Errors
/// [`Error::ChunkField`].
pub fn read_id(body: &[u8]) -> Result<ChosenId, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        upload_id: String,
    }
    serde_json::from_slice::<Object<Named>>(body)
        .ok()
        .and_then(|Object(named)| ChosenId::parse(&named.upload_id))
        .ok_or(Error::ChunkField("uploadId"))
}

/// What the body of `/init-upload` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// The id, if the client chose one.
    pub id: Option<ChosenId>,
    /// The upload.
    pub creation: Creation,
    /// The token, if it is not in the header.
    pub auth_token: Option<String>,
}

/// Reads the body of `/init-upload`.
///
/// # Errors
/// [`Error::ChunkField`].
pub fn read_init(body: &[u8]) -> Result<Init, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Begun {
        upload_id: Option<String>,
        file_name: String,
        file_size: Option<u64>,
        total_chunks: u32,
        auth_token: Option<String>,
    }
    let Object(begun): Object<Begun> =
        serde_json::from_slice(body).map_err(|_| Error::ChunkField("fileName or totalChunks"))?;
    let id = begun.upload_id.as_deref();
    let id = id.map(|id| ChosenId::parse(id).ok_or(Error::ChunkField("uploadId")));
    if begun.file_name.is_empty() {
        return Err(Error::ChunkField("fileName"));
    }
    Ok(Init {
        id: id.transpose()?,
        creation: creation(&begun.file_name, begun.file_size, begun.total_chunks),
        auth_token: begun.auth_token,
    })
}

/// The reply to `/init-upload`.
#[must_use]
pub fn init_reply(id: &ChosenId, state: &State) -> Reply {
    let body = json!({
        "success": true,
        "uploadId": id.as_str(),
        "total_chunks": total(state),
    });
    Reply::json(200, &body)
}

/// The reply to `/upload-chunk`, when the chunk is there.
#[must_use]
pub fn chunk_reply(index: u32, state: &State) -> Reply {
    #[derive(Serialize)]
    struct Stored {
        success: bool,
        chunk_index: u32,
        received_chunks: usize,
        total_chunks: u32,
        complete: bool,
    }
    let stored = Stored {
        success: true,
        chunk_index: index,
        received_chunks: state.received.len(),
        total_chunks: total(state),
        complete: state.is_complete,
    };
    Reply::json(200, &stored)
}

/// The reply to `/complete-upload`.
#[must_use]
pub fn complete_reply(id: &ChosenId, state: &State, request_id: &str) -> Reply {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Completed<'a> {
        success: bool,
        upload_id: &'a str,
        status: &'static str,
        message: &'static str,
        message_id: Option<i64>,
        file_id: Option<&'a str>,
        check_progress_at: String,
    }
    if !state.is_complete {
        return Reply::error(&Error::Upload(Refusal::Incomplete), request_id);
    }
    let finished = state.finished.as_ref();
    let completed = Completed {
        success: true,
        upload_id: id.as_str(),
        status: status(state),
        message: match finished {
            Some(_) => "Upload completed",
            None => "All chunks are stored; the file is being finished",
        },
        message_id: finished.map(|finished| finished.message_id),
        file_id: finished.map(|finished| finished.file_id.as_str()),
        check_progress_at: format!("/upload-progress/{}", id.as_str()),
    };
    Reply::json(200, &completed)
}

/// The reply to `/upload-progress/{id}`.
#[must_use]
pub fn progress_reply(id: &ChosenId, state: &State) -> Reply {
    let finished = state.finished.as_ref();
    progress(&Progress {
        upload_id: id.as_str(),
        status: status(state),
        progress: percent(state),
        error: None,
        message_id: finished.map(|finished| finished.message_id),
        file_id: finished.map(|finished| finished.file_id.as_str()),
    })
}

/// The reply to `/upload-progress/{id}` of an upload that has ended without a file.
#[must_use]
pub fn failed_reply(id: &ChosenId, error: &Error) -> Reply {
    progress(&Progress {
        upload_id: id.as_str(),
        status: "failed",
        progress: 0,
        error: Some(error.describe().message),
        message_id: None,
        file_id: None,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress<'a> {
    upload_id: &'a str,
    status: &'static str,
    progress: u64,
    error: Option<String>,
    message_id: Option<i64>,
    file_id: Option<&'a str>,
}

fn progress(progress: &Progress<'_>) -> Reply {
    Reply::json(200, progress)
}

/// The reply to `/upload-status/{id}`.
#[must_use]
pub fn status_reply(id: &ChosenId, state: &State) -> Reply {
    #[derive(Serialize)]
    struct Status<'a> {
        upload_id: &'a str,
        file_name: &'a str,
        total_chunks: u32,
        received_chunks: usize,
        received_chunk_indices: &'a [u32],
        complete: bool,
    }
    let status = Status {
        upload_id: id.as_str(),
        file_name: &state.file.name,
        total_chunks: total(state),
        received_chunks: state.received.len(),
        received_chunk_indices: &state.received,
        complete: state.is_complete,
    };
    Reply::json(200, &status)
}

/// The reply to `/cancel-upload`.
#[must_use]
pub fn cancel_reply(id: &ChosenId) -> Reply {
    let body = json!({
        "success": true,
        "uploadId": id.as_str(),
        "message": "Upload cancelled",
    });
    Reply::json(200, &body)
}

fn total(state: &State) -> u32 {
    match state.shape {
        Shape::Chunked { total } => total,
        _ => 0,
    }
}

fn status(state: &State) -> &'static str {
    match state.finished {
        Some(_) => "completed",
        None => "uploading",
    }
}

/// 100 when the file is finished, and not before.
fn percent(state: &State) -> u64 {
    if state.finished.is_some() {
        return 100;
    }
    let received = state.received.len() as u64;
    (received * 100 / u64::from(total(state).max(1))).min(99)
}
