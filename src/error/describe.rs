//! Each error as a reply shows it: its row of the table, and the details of this occurrence.

use super::{Description, Error, rows, upload};
use crate::credentials::BackendFault;
use crate::host::{CallFault, ObjectFault};
use crate::multipart::Malformed;
use crate::telegram::TelegramFault;

/// Seconds after which an upload that found no room may try again.
pub(super) const BUSY_RETRY_AFTER_SECONDS: u32 = 5;
/// The same for a user over the rate limit: the shorter of Cloudflare's two periods.
const RATE_LIMIT_RETRY_AFTER_SECONDS: u32 = 10;
/// The same for a backend that answered 429 without `Retry-After`.
const BACKEND_RETRY_AFTER_SECONDS: u32 = 5;

impl Error {
    /// The error as a reply shows it.
    #[must_use]
    #[allow(clippy::too_many_lines, reason = "a table, with a line for each error")]
    pub fn describe(&self) -> Description {
        match self {
            Self::NotFound => rows::NOT_FOUND.describe(),
            Self::MethodNotAllowed { .. } => rows::METHOD_NOT_ALLOWED.describe(),
            Self::UnsupportedMediaType => rows::UNSUPPORTED_MEDIA_TYPE.describe(),
            Self::Malformed(malformed) => describe_malformed(malformed),
            Self::FileName => rows::BAD_FILE_NAME.describe(),
            Self::NoFile => rows::NO_FILE.describe(),
            Self::EmptyFile => rows::FILE_EMPTY.describe(),
            Self::CaptionTooLong => rows::CAPTION_TOO_LONG.describe(),
            Self::TokenRequired => rows::TOKEN_REQUIRED.describe(),
            Self::TokenMalformed => rows::TOKEN_MALFORMED.describe(),
            Self::TokensDiffer => rows::TOKENS_DIFFER.describe(),
            Self::WrongUser => rows::WRONG_USER.describe(),
            Self::TooLarge { limit } => {
                rows::FILE_TOO_LARGE.saying(format!("File too large (max {})", megabytes(*limit)))
            }
            Self::Busy => rows::BUFFER_FULL.describe().after(BUSY_RETRY_AFTER_SECONDS),
            Self::TooLargeToBuffer { limit } => rows::TOO_LARGE_TO_BUFFER
                .saying(format!("File too large (max {})", megabytes(*limit))),
            Self::ClientGone => rows::CLIENT_DISCONNECTED.describe(),
            Self::Interrupted => rows::UPLOAD_INTERRUPTED.describe(),
            Self::ClientStalled => rows::CLIENT_STALLED.describe(),
            Self::RateLimited => rows::TOO_MANY_UPLOADS
                .describe()
                .after(RATE_LIMIT_RETRY_AFTER_SECONDS),
            Self::Revocations => rows::REVOCATIONS_FAILED.describe(),
            Self::TookTooLong => rows::UPLOAD_TIMEOUT.describe(),
            Self::Config(error) => {
                rows::MISCONFIGURED.saying(format!("The worker is misconfigured: {error}"))
            }
            Self::Backend(fault) => describe_backend(fault),
            Self::Telegram {
                fault,
                with_fresh_credentials,
            } => unless_fresh(describe_telegram(fault), fault, *with_fresh_credentials),
            Self::IdempotencyKey => rows::BAD_IDEMPOTENCY_KEY.describe(),
            Self::IdempotencyInProgress { retry_after } => {
                rows::IDEMPOTENCY_IN_PROGRESS.describe().after(*retry_after)
            }
            Self::IdempotencyMismatch => rows::IDEMPOTENCY_MISMATCH.describe(),
            Self::Idempotency(fault) => describe_idempotency(*fault),
            Self::HooksOff => rows::HOOKS_OFF.describe(),
            Self::SignatureRefused => rows::SIGNATURE_REFUSED.describe(),
            Self::HookMalformed => rows::BAD_HOOK.describe(),
            Self::Outbox(fault) => describe_outbox(*fault),
            Self::Download {
                fault,
                with_fresh_credentials,
            } => unless_fresh(describe_download(fault), fault, *with_fresh_credentials),
            Self::FileNotFound => rows::FILE_NOT_FOUND.describe(),
            Self::TooLargeForBotApi => rows::TOO_LARGE_FOR_BOT_API.describe(),
            Self::FileNotServed => rows::FILE_NOT_SERVED.describe(),
            Self::Manifest { why } => rows::MANIFEST_INVALID
                .saying(format!("The manifest of this file cannot be used: {why}")),
            Self::RangeNotSatisfiable { size } => {
                rows::RANGE_NOT_SATISFIABLE.saying(format!("The file has {size} bytes"))
            }
            Self::PreconditionFailed => rows::PRECONDITION_FAILED.describe(),
            Self::LinksOff => rows::LINKS_NOT_CONFIGURED.describe(),
            Self::LinkRequest => rows::BAD_LINK_REQUEST.describe(),
            Self::LinkInvalid => rows::LINK_INVALID.describe(),
            Self::LinkExpired => rows::LINK_EXPIRED.describe(),
            Self::Upload(refusal) => upload::describe_refusal(*refusal),
            Self::UploadObject(fault) => upload::describe_object(*fault),
            Self::UploadHeader { name, problem } => upload::describe_header(name, problem),
            Self::UploadMediaType { expected } => upload::describe_media_type(expected),
            Self::TusVersion => rows::TUS_VERSION.describe(),
            Self::ChecksumAlgorithm => rows::CHECKSUM_ALGORITHM.describe(),
            Self::Digest => rows::BAD_DIGEST.describe(),
            Self::ChecksumMismatch => rows::DIGEST_MISMATCH.describe(),
            Self::ChunkField(field) => upload::describe_chunk_field(field),
            Self::TooManyUploads => rows::TOO_MANY_UNFINISHED_UPLOADS.describe(),
        }
    }
}

/// A fault of the credentials is retryable, unless the request has fresh ones.
fn unless_fresh(description: Description, fault: &TelegramFault, with_fresh: bool) -> Description {
    Description {
        retryable: description.retryable || (fault.blames_credentials() && !with_fresh),
        ..description
    }
}

fn describe_malformed(malformed: &Malformed) -> Description {
    let message = format!("Malformed request: {malformed}");
    match malformed {
        Malformed::SecondFile => rows::SECOND_FILE.saying(message),
        Malformed::FieldTooLong(_) | Malformed::FieldsTooLong => {
            rows::FIELD_TOO_LARGE.saying(message)
        }
        Malformed::Truncated => rows::BODY_TRUNCATED.saying(message),
        _ => rows::MALFORMED_FORM.saying(message),
    }
}

fn describe_backend(fault: &BackendFault) -> Description {
    let failed = |why: &str| format!("Failed to fetch credentials: {why}");
    match fault {
        BackendFault::Refused {
            status: 400,
            detail,
        } => rows::NOT_CONFIGURED.saying_or(detail.as_deref()),
        BackendFault::Refused {
            status: 401,
            detail,
        } => rows::TOKEN_REFUSED.saying_or(detail.as_deref()),
        BackendFault::Refused {
            status: 403,
            detail,
        } => rows::FORBIDDEN.saying_or(detail.as_deref()),
        BackendFault::Refused { status, detail } => rows::BACKEND_NOT_FOUND.saying(failed(
            &detail.clone().unwrap_or_else(|| status.to_string()),
        )),
        BackendFault::Busy { retry_after } => rows::BACKEND_BUSY
            .describe()
            .after(retry_after.unwrap_or(BACKEND_RETRY_AFTER_SECONDS)),
        BackendFault::Failed { status, detail } => rows::BACKEND_FAILED.saying(failed(
            &detail.clone().unwrap_or_else(|| status.to_string()),
        )),
        BackendFault::Call(CallFault::Timeout) => rows::BACKEND_TIMEOUT.describe(),
        BackendFault::Call(_) => rows::BACKEND_UNREACHABLE.describe(),
        BackendFault::Unusable(why) => rows::BACKEND_INVALID_REPLY.saying(failed(why)),
    }
}

fn describe_telegram(fault: &TelegramFault) -> Description {
    match fault {
        TelegramFault::TokenDead { description } => rows::BOT_TOKEN_REJECTED.saying(description),
        TelegramFault::ChatMoved { description, .. } => rows::CHAT_MIGRATED.saying(description),
        TelegramFault::ChatRefused { description } => rows::CHAT_REFUSED.saying(description),
        TelegramFault::BadRequest { description } => rows::TELEGRAM_REJECTED.saying(description),
        TelegramFault::TooLarge => rows::TELEGRAM_TOO_LARGE.describe(),
        TelegramFault::RetryAfter {
            description,
            seconds,
        } => rows::RATE_LIMITED.saying(description).after(*seconds),
        TelegramFault::Failed { description } => {
            rows::TELEGRAM_FAILED.saying_or(description.as_deref())
        }
        TelegramFault::Unreachable => rows::TELEGRAM_UNREACHABLE.describe(),
        TelegramFault::Stalled => rows::TELEGRAM_TIMEOUT.describe(),
        TelegramFault::OutcomeUnknown { timed_out } => Description {
            status: if *timed_out { 504 } else { 502 },
            ..rows::OUTCOME_UNKNOWN.describe()
        },
        TelegramFault::NoIds => rows::FILE_ID_MISSING.describe(),
    }
}

/// The same faults, for a download.
fn describe_download(fault: &TelegramFault) -> Description {
    match fault {
        TelegramFault::RetryAfter {
            description,
            seconds,
        } => rows::DOWNLOAD_RATE_LIMITED
            .saying(description)
            .after(*seconds),
        TelegramFault::Failed { description } => {
            rows::DOWNLOAD_FAILED.saying_or(description.as_deref())
        }
        TelegramFault::Unreachable => rows::DOWNLOAD_UNREACHABLE.describe(),
        TelegramFault::Stalled => rows::DOWNLOAD_TIMEOUT.describe(),
        fault => describe_telegram(fault),
    }
}

fn describe_idempotency(fault: ObjectFault) -> Description {
    match fault {
        ObjectFault::NotBound => rows::IDEMPOTENCY_UNAVAILABLE.describe(),
        _ => rows::IDEMPOTENCY_UNREACHABLE
            .describe()
            .after(BUSY_RETRY_AFTER_SECONDS),
    }
}

fn describe_outbox(fault: ObjectFault) -> Description {
    match fault {
        ObjectFault::NotBound => rows::OUTBOX_NOT_BOUND.describe(),
        _ => rows::OUTBOX_FAILED
            .describe()
            .after(BUSY_RETRY_AFTER_SECONDS),
    }
}

/// `50 MB`, as TeleStore writes it. Limits under 1 MB are in bytes.
pub(super) fn megabytes(bytes: u64) -> String {
    const MB: u64 = 1024 * 1024;
    match bytes {
        0..MB => format!("{bytes} bytes"),
        _ if bytes.is_multiple_of(MB) => format!("{} MB", bytes / MB),
        // Rounded down, so that a file of the stated size fits.
        _ => format!("{}.{:02} MB", bytes / MB, bytes % MB * 100 / MB),
    }
}
