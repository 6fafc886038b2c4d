//! Everything that can go wrong with a request. `describe` says how it is told, with the table in
//! [`rows`].

mod describe;
pub mod rows;

use crate::config::ConfigError;
use crate::credentials::BackendFault;
use crate::host::ObjectFault;
use crate::multipart::Malformed;
use crate::telegram::TelegramFault;

/// Why a request did not end well. Unless a variant says otherwise, nothing was stored.
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
    /// No token came.
    TokenRequired,
    /// The token can't be one: it has control characters, blanks, or is too long.
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
    /// The deployment's rate limit keeps the user out for now.
    RateLimited,
    /// The other isolates may not hear that a user's credentials have changed.
    Revocations,
    /// The buffered lane has no room at the moment.
    Busy,
    /// The buffered lane could not hold this upload if it were alone, in bytes.
    TooLargeToBuffer {
        /// Bytes.
        limit: u64,
    },
    /// The client went away.
    ClientGone,
    /// The client went away, or Telegram did: the runtime's pipe between them can't tell which.
    Interrupted,
    /// The client sent nothing for too long.
    ClientStalled,
    /// The upload took longer on the whole than it may.
    TookTooLong,
    /// A setting is missing or can't be used.
    Config(ConfigError),
    /// There are no credentials.
    Backend(BackendFault),
    /// Telegram did not store the file, or it can't be known.
    Telegram {
        /// Why.
        fault: TelegramFault,
        /// The credentials came from the backend in this very request: asking for fresh ones would
        /// bring the same.
        with_fresh_credentials: bool,
    },
    /// The `Idempotency-Key` is not 1 to 255 visible ASCII characters.
    IdempotencyKey,
    /// An upload with the same key is under way.
    IdempotencyInProgress {
        /// Seconds.
        retry_after: u32,
    },
    /// The key was used for another file.
    IdempotencyMismatch,
    /// What became of the key can't be asked or recorded.
    Idempotency(ObjectFault),
    /// There is no `WEBHOOK_SECRET` by which a hook could be told from anybody's request.
    HooksOff,
    /// A hook's signature is missing, wrong or old.
    SignatureRefused,
    /// A hook's body is not what it should be.
    HookMalformed,
    /// The outbox did not answer.
    Outbox(ObjectFault),
    /// Telegram did not give the file.
    Download {
        /// Why.
        fault: TelegramFault,
        /// As of [`Error::Telegram`].
        with_fresh_credentials: bool,
    },
    /// The id is no file's, or another bot's.
    FileNotFound,
    /// The file is in one message, and larger than the cloud Bot API gives back.
    TooLargeForBotApi,
    /// No web server has the path that the Bot API server gives.
    FileNotServed,
    /// The document begins like a manifest, and is none.
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
    /// There is no `LINK_SECRET` to seal links under.
    LinksOff,
    /// The body of a request for a link is not what it should be.
    LinkRequest,
    /// The link was not sealed under this secret, or was tampered with.
    LinkInvalid,
    /// The link's time is over.
    LinkExpired,
}

/// How an error is told. `code` is stable; the texts may be refined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The HTTP status.
    pub status: u16,
    /// Stable, in `snake_case`.
    pub code: &'static str,
    /// What frontends show: TeleStore's own words where it has some.
    pub message: String,
    /// Whether the same request may do better later.
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
    /// Seconds after which the request may do better.
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

    /// Whether Telegram blames the credentials, so that fresh ones might do better.
    #[must_use]
    pub fn blames_credentials(&self) -> bool {
        matches!(
            self,
            Self::Telegram { fault, .. } | Self::Download { fault, .. }
                if fault.blames_credentials()
        )
    }
}
