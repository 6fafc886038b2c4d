//! What a request of any dialect wants of an upload resource, and what came of it.

use std::collections::BTreeMap;

use crate::error::Error;
pub use crate::host::DigestAlgorithm as Algorithm;
use crate::resumable::id::UploadId;
use crate::resumable::question::{Append, Destination, FileDescription, Position, Shape, State};

/// What a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// To know what this server can do.
    Discover,
    /// To begin an upload, and perhaps to append to it at once.
    Create(Box<Creation>),
    /// To put an upload together from partial ones.
    Concatenate(Box<Creation>, Vec<UploadId>),
    /// To know how far it is.
    Look(UploadId),
    /// To append.
    Append(UploadId, Body),
    /// To take it back.
    Terminate(UploadId),
}

/// An upload that is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// What the client says of the file.
    pub file: FileDescription,
    /// The user's destination by its id or label.
    pub destination: Option<String>,
    /// Header fields that the dialect gives back as they came.
    pub echoed: BTreeMap<String, String>,
    /// How the bytes come.
    pub shape: Shape,
    /// Bytes, if they are known yet.
    pub length: Option<u64>,
    /// What the body of this request is, if it is of the file.
    pub body: Option<Body>,
}

/// The body of a request, as far as its headers tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Where its bytes belong.
    pub at: Position,
    /// Its own length.
    pub content_length: Option<u64>,
    /// The file's length.
    pub length: Option<u64>,
    /// Its end is the file's end.
    pub completes: bool,
    /// To be checked before anything of it counts.
    pub checksum: Option<Checksum>,
}

impl Body {
    /// The question to the upload resource.
    #[must_use]
    pub fn append(&self, destination: Destination) -> Append {
        Append {
            destination,
            at: self.at,
            content_length: self.content_length,
            length: self.length,
            completes: self.completes,
            is_checked: self.checksum.is_some(),
        }
    }
}

/// A checksum of a request's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// How it was made.
    pub algorithm: Algorithm,
    /// Its bytes.
    pub digest: Vec<u8>,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// What this server can do: nothing had to be asked.
    Discovered,
    /// The upload has begun.
    Created {
        /// Its id.
        id: UploadId,
        /// How far it is.
        state: State,
        /// Why not all of the request's body is there.
        error: Option<Error>,
    },
    /// How far it is.
    Looked(State),
    /// The body was appended.
    Appended(State),
    /// It is gone.
    Terminated,
}

/// What the deployment's settings say to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `MAX_FILE_BYTES`.
    pub max_file_bytes: u64,
    /// Bytes of one request's body that the platform takes.
    pub max_request_bytes: u64,
    /// `UPLOAD_TTL_SECONDS`.
    pub ttl_seconds: u64,
}

/// The path of an upload's URL.
#[must_use]
pub fn upload_path(id: &UploadId) -> String {
    format!("/files/{}", id.as_str())
}

/// The upload that a path names.
#[must_use]
pub fn upload_of_path(path: &str) -> Option<UploadId> {
    UploadId::parse(path.strip_prefix("/files/")?)
}

/// A whole number that is not negative, as header fields have it. Larger ones than JavaScript's
/// numbers hold are none.
#[must_use]
pub fn whole_number(text: &str) -> Option<u64> {
    const MOST: u64 = (1 << 53) - 1;
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok()).flatten();
    number.filter(|number| *number <= MOST)
}
