//! Everything that can go wrong with a request. `describe` turns an error into a reply, with the table
//! in [`rows`].

mod describe;
pub mod rows;
mod upload;

use crate::config::ConfigError;
use crate::credentials::BackendFault;
use crate::host::ObjectFault;
use crate::multipart::Malformed;
use crate::resumable::question::Refusal;
use crate::telegram::TelegramFault;

/// Why a request failed. Unless a variant says otherwise, nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// There is no such route.
    NotFound,
    /// The route exists for other methods, which `allow` lists.
    MethodNotAllowed {
        /// The value of `Allow` (RFC 9110 section 10.2.1).
        allow: &'static str,
    },
    /// Neither a multipart form nor a raw body with a file name.
    UnsupportedMediaType,
    /// The multipart body is wrong.
    Malformed(Malformed),
    /// The file name in the URL is not percent-encoded UTF-8.
    FileName,
    /// The form has no file.
    NoFile,
    /// The file has no bytes; Telegram refuses those.
    EmptyFile,
    /// The caption is over 1024 characters.
    CaptionTooLong,
    /// The request has no token.
    TokenRequired,
    /// The token is no token: it has control characters or blanks, or is too long.
    TokenMalformed,
    /// The header's token and the form's differ.
    TokensDiffer,
    /// `userId` is not the token's user.
    WrongUser,
    /// The file is over the limit, in bytes.
    TooLarge {
        /// Bytes.
        limit: u64,
    },
    /// The user is over the deployment's rate limit.
    RateLimited,
    /// The other isolates may not learn that a user's credentials have changed.
    Revocations,
    /// The buffered lane has no room at the moment.
    Busy,
    /// The buffered lane could not hold this upload even if it were alone.
    TooLargeToBuffer {
        /// Bytes.
        limit: u64,
    },
    /// The client went away.
    ClientGone,
    /// The client went away, or Telegram did: the native pipe between them does not show which.
    Interrupted,
    /// The client sent nothing for too long.
    ClientStalled,
    /// The upload took longer in total than it may.
    TookTooLong,
    /// A setting is missing or cannot be used.
    Config(ConfigError),
    /// There are no credentials.
    Backend(BackendFault),
    /// Telegram did not store the file, or it is unknown whether it did.
    Telegram {
        /// Why.
        fault: TelegramFault,
        /// This request got the credentials from the backend, so asking again would return the same.
        with_fresh_credentials: bool,
    },
    /// The `Idempotency-Key` is not 1 to 255 visible ASCII characters.
    IdempotencyKey,
    /// An upload with the same key is running.
    IdempotencyInProgress {
        /// Seconds.
        retry_after: u32,
    },
    /// The key was used for another file.
    IdempotencyMismatch,
    /// The key's record could not be read or written.
    Idempotency(ObjectFault),
    /// Without `WEBHOOK_SECRET` no hook can be verified.
    HooksOff,
    /// A hook's signature is missing, wrong or old.
    SignatureRefused,
    /// A hook's body is not the expected JSON.
    HookMalformed,
    /// The outbox did not answer.
    Outbox(ObjectFault),
    /// Telegram did not return the file.
    Download {
        /// Why.
        fault: TelegramFault,
        /// As in [`Error::Telegram`].
        with_fresh_credentials: bool,
    },
    /// No file of this user's bot has this id.
    FileNotFound,
    /// The file is in one message, and too large for the cloud Bot API to return.
    TooLargeForBotApi,
    /// No web server serves the path that the Bot API server names.
    FileNotServed,
    /// The document begins like a manifest but is not a valid one.
    Manifest {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file has no such bytes.
    RangeNotSatisfiable {
        /// Bytes of the file.
        size: u64,
    },
    /// The file is not the version that `If-Match` names.
    PreconditionFailed,
    /// There are no links without `LINK_SECRET`.
    LinksOff,
    /// The body is not a request for a link.
    LinkRequest,
    /// The link was sealed under another secret, or was tampered with.
    LinkInvalid,
    /// The link has expired.
    LinkExpired,
    /// An upload resource does not do what it was asked.
    Upload(Refusal),
    /// An upload resource could not be asked.
    UploadObject(ObjectFault),
    /// A header of a resumable upload can't be used.
    UploadHeader {
        /// Its name.
        name: &'static str,
        /// What is wrong with it, continuing "The header `name` …".
        problem: &'static str,
    },
    /// The body of a resumable upload has another type.
    UploadMediaType {
        /// The type that it should have.
        expected: &'static str,
    },
    /// `Tus-Resumable` names another version, or is missing.
    TusVersion,
    /// The algorithm of a checksum is unknown.
    ChecksumAlgorithm,
    /// A digest in a header or a field is no SHA-256, or two of them differ.
    Digest,
    /// The body's checksum is another.
    ChecksumMismatch,
    /// A request of `TeleStore` v2's dialect lacks a field, or has a wrong one.
    ChunkField(&'static str),
    /// The user has as many unfinished uploads as one may have.
    TooManyUploads,
}

/// An error as a reply shows it. `code` is stable; the texts may be refined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The HTTP status.
    pub status: u16,
    /// Stable, in `snake_case`.
    pub code: &'static str,
    /// What frontends show: TeleStore's own words where it has them.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Seconds.
    pub retry_after: Option<u32>,
    /// What the user or the deployer can do.
    pub hint: &'static str,
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<BackendFault> for Error {
    fn from(fault: BackendFault) -> Self {
        Self::Backend(fault)
    }
}

impl From<TelegramFault> for Error {
    /// With credentials that may be old.
    fn from(fault: TelegramFault) -> Self {
        Self::Telegram {
            fault,
            with_fresh_credentials: false,
        }
    }
}

impl Description {
    /// Adds the seconds after which the request may succeed.
    fn after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }
}

impl Error {
    /// Whether the file may be in the channel in spite of the error.
    #[must_use]
    pub fn may_be_stored(&self) -> bool {
        matches!(
            self,
            Self::Telegram {
                fault: TelegramFault::OutcomeUnknown { .. } | TelegramFault::NoIds,
                ..
            }
        )
    }

    /// Whether Telegram refused the credentials, so that fresh ones may help.
    #[must_use]
    pub fn blames_credentials(&self) -> bool {
        matches!(
            self,
            Self::Telegram { fault, .. } | Self::Download { fault, .. }
                if fault.blames_credentials()
        )
    }
}
