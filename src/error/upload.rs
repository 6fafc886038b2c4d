//! Errors of resumable uploads as a reply shows them.

use super::describe::{BUSY_RETRY_AFTER_SECONDS, megabytes};
use super::{Description, Error, rows};
use crate::host::ObjectFault;
use crate::resumable::question::Refusal;

/// A resource that does not do what it is asked.
pub(super) fn describe_refusal(refusal: Refusal) -> Description {
    match refusal {
        Refusal::NotFound => rows::UPLOAD_NOT_FOUND.describe(),
        Refusal::Gone => rows::UPLOAD_GONE.describe(),
        Refusal::Foreign => rows::UPLOAD_FOREIGN.describe(),
        Refusal::DestinationChanged => rows::DESTINATION_CHANGED.describe(),
        Refusal::Offset { expected } => {
            rows::OFFSET_MISMATCH.saying(format!("The upload's offset is {expected}"))
        }
        Refusal::Locked { retry_after } => rows::UPLOAD_LOCKED.describe().after(retry_after),
        Refusal::Overtaken => rows::UPLOAD_OVERTAKEN.describe(),
        Refusal::Complete => rows::UPLOAD_COMPLETE.describe(),
        Refusal::Incomplete => rows::UPLOAD_INCOMPLETE.describe(),
        Refusal::Empty => rows::FILE_EMPTY.describe(),
        Refusal::NameTooLong => rows::FILE_NAME_TOO_LONG.describe(),
        Refusal::LengthExceeded { length } => {
            rows::LENGTH_EXCEEDED.saying(format!("The upload is longer than its {length} bytes"))
        }
        Refusal::LengthDiffers => rows::LENGTH_MISMATCH.describe(),
        Refusal::TooLarge { limit } => {
            rows::UPLOAD_TOO_LARGE.saying(format!("File too large (max {})", megabytes(limit)))
        }
        Refusal::TooManyParts => rows::TOO_MANY_PARTS.describe(),
        Refusal::NoSuchChunk => rows::NO_SUCH_CHUNK.describe(),
        Refusal::ChunkStored => rows::CHUNK_STORED.describe(),
        Refusal::WrongShape => rows::WRONG_UPLOAD_KIND.describe(),
    }
}

/// A resource that could not be asked.
pub(super) fn describe_object(fault: ObjectFault) -> Description {
    match fault {
        ObjectFault::NotBound => rows::RESUMABLE_UNAVAILABLE.describe(),
        _ => rows::UPLOAD_UNAVAILABLE
            .describe()
            .after(BUSY_RETRY_AFTER_SECONDS),
    }
}

/// A header of a resumable upload. `problem` continues "The header `name` …".
pub(super) fn describe_header(name: &str, problem: &str) -> Description {
    rows::BAD_UPLOAD_HEADER.saying(format!("Malformed request: the header {name} {problem}"))
}

pub(super) fn describe_media_type(expected: &str) -> Description {
    rows::UPLOAD_MEDIA_TYPE.saying(format!(
        "Unsupported media type: this request's body is {expected}"
    ))
}

pub(super) fn describe_chunk_field(field: &str) -> Description {
    rows::BAD_CHUNK_FIELD.saying(format!(
        "Malformed request: the field {field} is missing or can't be used"
    ))
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Upload(refusal)
    }
}
