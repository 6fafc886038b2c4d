//! Everything that can go wrong with a request, and the one place that says how it is told.

use crate::config::ConfigError;
use crate::credentials::BackendFault;
use crate::host::{CallFault, ObjectFault};
use crate::multipart::Malformed;
use crate::resumable::question::Refusal;
use crate::telegram::TelegramFault;

/// Seconds after which an upload that found no room may be tried again.
const BUSY_RETRY_AFTER_SECONDS: u32 = 5;
/// The same for a user whom the rate limit keeps out: the shorter of Cloudflare's two periods.
const RATE_LIMIT_RETRY_AFTER_SECONDS: u32 = 10;
/// The same for a backend that asked for patience without saying how much.
const BACKEND_RETRY_AFTER_SECONDS: u32 = 5;

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
    /// An upload resource does not do what it was asked.
    Upload(Refusal),
    /// An upload resource could not be asked.
    UploadObject(ObjectFault),
    /// A header field of a resumable upload can't be used.
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
    /// The body's checksum is another.
    ChecksumMismatch,
    /// A request of `TeleStore` v2's dialect lacks a field, or has a wrong one.
    ChunkField(&'static str),
    /// The user has as many unfinished uploads as one may have.
    TooManyUploads,
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

/// An error that the same request would meet again.
fn lasting(
    status: u16,
    code: &'static str,
    message: impl Into<String>,
    hint: &'static str,
) -> Description {
    Description {
        status,
        code,
        message: message.into(),
        retryable: false,
        retry_after: None,
        hint,
    }
}

/// An error that may be gone the next time.
fn passing(
    status: u16,
    code: &'static str,
    message: impl Into<String>,
    hint: &'static str,
) -> Description {
    Description {
        retryable: true,
        ..lasting(status, code, message, hint)
    }
}

impl Description {
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
        matches!(self, Self::Telegram { fault, .. } if fault.blames_credentials())
    }

    /// How the error is told.
    #[must_use]
    pub fn describe(&self) -> Description {
        match self {
            Self::NotFound => lasting(404, "not_found", "Not found", "Uploads go to POST /upload or PUT /upload/{fileName}."),
            Self::MethodNotAllowed { .. } => lasting(405, "method_not_allowed", "Method not allowed", "The Allow header lists the methods of this route."),
            Self::UnsupportedMediaType => lasting(415, "unsupported_media_type", "Unsupported media type", "Send multipart/form-data with a field named file, or the raw file to PUT /upload/{fileName}."),
            Self::Malformed(malformed) => describe_malformed(malformed),
            Self::FileName => lasting(400, "bad_file_name", "Malformed request: the file name is not percent-encoded UTF-8", "Encode the name with encodeURIComponent."),
            Self::NoFile => lasting(400, "no_file", "No file provided", "Append the file to the form as the field file."),
            Self::EmptyFile => lasting(400, "file_empty", "Bad Request: file must be non-empty", "Telegram stores no empty files. Choose a file with content."),
            Self::CaptionTooLong => lasting(400, "caption_too_long", "Bad Request: message caption is too long", "Shorten the caption to 1024 characters."),
            Self::TokenRequired => lasting(401, "token_required", "Auth token required", "Log in, and send the token as the field authToken or as Authorization: Bearer."),
            Self::TokenMalformed => lasting(401, "token_malformed", "Invalid token", "The token has characters that no token has. Log in again."),
            Self::TokensDiffer => lasting(400, "tokens_differ", "Malformed request: the Authorization header and the field authToken differ", "Send the token once."),
            Self::WrongUser => lasting(403, "wrong_user", "userId does not match the token", "Leave userId out, or log in as that user."),
            Self::TooLarge { limit } => lasting(413, "file_too_large", format!("File too large (max {})", megabytes(*limit)), "Choose a smaller file. A deployer can raise MAX_UPLOAD_BYTES with a self-hosted Bot API server."),
            Self::Busy => passing(503, "buffer_full", "Too many uploads are being buffered", "Try again shortly. Put authToken before the file, or send it as a header, and the upload needs no buffer.").after(BUSY_RETRY_AFTER_SECONDS),
            Self::TooLargeToBuffer { limit } => lasting(413, "too_large_to_buffer", format!("File too large (max {})", megabytes(*limit)), "That is the limit when the file comes before authToken. Put authToken before the file, or send it as a header."),
            Self::ClientGone => passing(400, "client_disconnected", "Malformed request: the body ended before its time", "Try again."),
            Self::Interrupted => passing(400, "upload_interrupted", "The upload was interrupted before its end", "The browser's connection broke, or the one to Telegram. Nothing was stored: try again."),
            Self::ClientStalled => passing(408, "client_stalled", "The upload stalled", "Check the connection, and try again."),
            Self::RateLimited => passing(429, "too_many_uploads", "Too many uploads", "This deployment limits how often a user may upload. Try again when retryAfter seconds are over.").after(RATE_LIMIT_RETRY_AFTER_SECONDS),
            Self::Revocations => passing(503, "revocations_failed", "The change could not be passed on", "This isolate knows of it; others may not. Send the hook again."),
            Self::TookTooLong => passing(408, "upload_timeout", "The upload took too long", "Try again on a faster connection. A deployer can raise UPLOAD_TIMEOUT_MS."),
            Self::Config(error) => lasting(500, "misconfigured", format!("The worker is misconfigured: {error}"), "Set it in wrangler.toml under [vars], or as a secret, and deploy again."),
            Self::Backend(fault) => describe_backend(fault),
            Self::Telegram { fault, with_fresh_credentials } => {
                let told = describe_telegram(fault);
                let blamed = fault.blames_credentials();
                Description { retryable: told.retryable || (blamed && !with_fresh_credentials), ..told }
            }
            Self::IdempotencyKey => lasting(400, "bad_idempotency_key", "Malformed request: Idempotency-Key is not 1 to 255 visible ASCII characters", "Send a new random key with each upload, such as crypto.randomUUID() gives, and the same one when it is repeated."),
            Self::IdempotencyInProgress { retry_after } => passing(409, "idempotency_in_progress", "An upload with this Idempotency-Key is under way", "Repeat it when retryAfter seconds are over: the reply is then that of the first one, or the key is free again.").after(*retry_after),
            Self::IdempotencyMismatch => lasting(422, "idempotency_mismatch", "This Idempotency-Key was used for another file", "Take a new key for each file: a repeat has to have the same name and size."),
            Self::Idempotency(fault) => describe_idempotency(*fault),
            Self::HooksOff => lasting(404, "hooks_off", "Not found: WEBHOOK_SECRET is not set", "Hooks are signed with the secret that worker and backend share. Set it with: wrangler secret put WEBHOOK_SECRET"),
            Self::SignatureRefused => lasting(403, "signature_refused", "The signature is missing, wrong, or more than five minutes old", "Sign webhook-id, webhook-timestamp and the body's very bytes with WEBHOOK_SECRET, as Standard Webhooks says."),
            Self::HookMalformed => lasting(400, "bad_hook", "The hook's body is not what is expected here", "Send JSON of at most 64 KB, such as {\"action\":\"list\"} or {\"action\":\"redrive\"}."),
            Self::Outbox(fault) => describe_outbox(*fault),
            Self::Upload(refusal) => describe_refusal(*refusal),
            Self::UploadObject(fault) => describe_upload_object(*fault),
            Self::UploadHeader { .. }
            | Self::UploadMediaType { .. }
            | Self::TusVersion
            | Self::ChecksumAlgorithm
            | Self::ChecksumMismatch
            | Self::ChunkField(_)
            | Self::TooManyUploads => self.describe_upload_request(),
        }
    }
}

impl Error {
    /// What is wrong with a request of a resumable upload.
    fn describe_upload_request(&self) -> Description {
        match self {
            Self::UploadHeader { name, problem } => lasting(
                400,
                "bad_upload_header",
                format!("Malformed request: the header {name} {problem}"),
                "The protocol that the request speaks says how the header is written.",
            ),
            Self::UploadMediaType { expected } => lasting(
                415,
                "unsupported_media_type",
                format!("Unsupported media type: the body of this request is {expected}"),
                "Set the Content-Type that the protocol asks for.",
            ),
            Self::TusVersion => lasting(
                412,
                "tus_version",
                "This version of tus is not supported",
                "Send Tus-Resumable: 1.0.0.",
            ),
            Self::ChecksumAlgorithm => lasting(
                400,
                "checksum_algorithm",
                "The checksum's algorithm is not supported",
                "Tus-Checksum-Algorithm, in the reply to OPTIONS, lists those that are.",
            ),
            Self::ChunkField(field) => lasting(
                400,
                "bad_chunk_field",
                format!("Malformed request: the field {field} is missing or can't be used"),
                "Send uploadId, chunkIndex, totalChunks, fileName and fileSize with each chunk.",
            ),
            Self::TooManyUploads => passing(
                429,
                "too_many_unfinished_uploads",
                "Too many unfinished uploads",
                "Finish or delete some of those that GET /files lists.",
            ),
            _ => passing(
                400,
                "digest_mismatch",
                "The checksum of the body is another",
                "Nothing of this request was stored. Send it again.",
            ),
        }
    }
}

fn describe_refusal(refusal: Refusal) -> Description {
    match refusal {
        Refusal::NotFound => lasting(
            404,
            "upload_not_found",
            "There is no such upload",
            "Begin a new one.",
        ),
        Refusal::Gone => lasting(
            410,
            "upload_gone",
            "The upload has expired or was deleted",
            "Begin a new one.",
        ),
        Refusal::Foreign => lasting(
            403,
            "upload_foreign",
            "Another user began this upload",
            "Log in as that user, or begin a new upload.",
        ),
        Refusal::DestinationChanged => lasting(
            409,
            "destination_changed",
            "The bot or the channel is another than when the upload began",
            "The parts of one file stay in one channel. Begin a new upload.",
        ),
        Refusal::Offset { expected } => lasting(
            409,
            "offset_mismatch",
            format!("The upload's offset is {expected}"),
            "Go on at that offset.",
        ),
        Refusal::Locked { retry_after } => passing(
            409,
            "upload_locked",
            "Another request appends to this upload",
            "Try again when retryAfter seconds are over: if the other connection is dead, yours takes its place.",
        )
        .after(retry_after),
        Refusal::Overtaken => passing(
            409,
            "upload_overtaken",
            "Another request has taken over this upload",
            "Ask for the offset, and go on there.",
        ),
        refusal => describe_content_refusal(refusal),
    }
}

/// Refusals that are about what the upload consists of.
fn describe_content_refusal(refusal: Refusal) -> Description {
    match refusal {
        Refusal::Incomplete => lasting(
            400,
            "upload_incomplete",
            "Not all bytes of the upload are there",
            "Send what is missing.",
        ),
        Refusal::Empty => Error::EmptyFile.describe(),
        Refusal::LengthExceeded { length } => lasting(
            413,
            "length_exceeded",
            format!("The upload is longer than its {length} bytes"),
            "The length can't change. Begin a new upload.",
        ),
        Refusal::LengthDiffers => lasting(
            400,
            "length_mismatch",
            "The upload's length is another than what was said before",
            "Say the same length, or the same number of chunks, in each request.",
        ),
        Refusal::TooLarge { limit } => lasting(
            413,
            "file_too_large",
            format!("File too large (max {})", megabytes(limit)),
            "Choose a smaller file. A deployer can raise MAX_FILE_BYTES.",
        ),
        Refusal::TooManyParts => lasting(
            413,
            "too_many_parts",
            "The upload has as many parts as a file may have",
            "Each request makes a part at least. Begin a new upload, and send more bytes a request.",
        ),
        Refusal::NoSuchChunk => lasting(
            400,
            "no_such_chunk",
            "chunkIndex is not below totalChunks",
            "The first chunk has the index 0.",
        ),
        Refusal::ChunkStored => lasting(
            409,
            "chunk_stored",
            "The chunk is there already",
            "Go on with the next one.",
        ),
        Refusal::WrongShape => lasting(
            403,
            "wrong_upload_kind",
            "This upload takes no such bytes",
            "A final upload is put together from partial ones, and a chunked one from chunks.",
        ),
        // All others are described above.
        _ => lasting(
            409,
            "upload_complete",
            "All bytes of the upload are there",
            "Nothing is left to send.",
        ),
    }
}

fn describe_upload_object(fault: ObjectFault) -> Description {
    match fault {
        ObjectFault::NotBound => lasting(
            501,
            "resumable_unavailable",
            "This worker has no resumable uploads",
            "Upload without them. A deployer can bind the Durable Object classes as wrangler.toml does.",
        ),
        _ => passing(
            503,
            "upload_unavailable",
            "The upload's record could not be reached",
            "Try again shortly. What was acknowledged is kept.",
        )
        .after(BUSY_RETRY_AFTER_SECONDS),
    }
}

fn describe_malformed(malformed: &Malformed) -> Description {
    let message = format!("Malformed request: {malformed}");
    match malformed {
        Malformed::SecondFile => lasting(400, "second_file", message, "Send one file a request."),
        Malformed::FieldTooLong(_) | Malformed::FieldsTooLong => lasting(
            400,
            "field_too_large",
            message,
            "Send large content as the file, not as a field.",
        ),
        Malformed::Truncated => passing(400, "body_truncated", message, "Try again."),
        _ => lasting(
            400,
            "malformed_form",
            message,
            "Let the browser build the request: pass FormData as the body, and set no Content-Type.",
        ),
    }
}

fn describe_backend(fault: &BackendFault) -> Description {
    let failed = |why: &str| format!("Failed to fetch credentials: {why}");
    match fault {
        BackendFault::Refused {
            status: 400,
            detail,
        } => lasting(
            400,
            "not_configured",
            detail
                .clone()
                .unwrap_or_else(|| failed("Telegram is not configured")),
            "Connect Telegram and add a bot token in the settings.",
        ),
        BackendFault::Refused {
            status: 401,
            detail,
        } => lasting(
            401,
            "token_refused",
            detail.clone().unwrap_or_else(|| "Invalid token".to_owned()),
            "Log in again.",
        ),
        BackendFault::Refused {
            status: 403,
            detail,
        } => lasting(
            403,
            "forbidden",
            detail.clone().unwrap_or_else(|| failed("403")),
            "The backend does not let this account upload. Its message says why.",
        ),
        BackendFault::Refused { status, detail } => lasting(
            502,
            "backend_not_found",
            failed(&detail.clone().unwrap_or_else(|| status.to_string())),
            "Check that BACKEND_URL names the TeleStore backend, without /api.",
        ),
        BackendFault::Busy { retry_after } => passing(
            503,
            "backend_busy",
            failed("the backend is busy"),
            "Try again shortly.",
        )
        .after(retry_after.unwrap_or(BACKEND_RETRY_AFTER_SECONDS)),
        BackendFault::Failed { status, detail } => passing(
            502,
            "backend_failed",
            failed(&detail.clone().unwrap_or_else(|| status.to_string())),
            "Try again shortly. If it lasts, look at the backend's log.",
        ),
        BackendFault::Call(CallFault::Timeout) => passing(
            504,
            "backend_timeout",
            failed("the backend did not answer in time"),
            "Try again shortly. If it lasts, check that the backend is up.",
        ),
        BackendFault::Call(_) => passing(
            502,
            "backend_unreachable",
            failed("the backend is unreachable"),
            "Try again shortly. If it lasts, check BACKEND_URL and that the backend is up.",
        ),
        BackendFault::Unusable(why) => lasting(
            502,
            "backend_invalid_reply",
            failed(why),
            "Check that BACKEND_URL names the TeleStore backend, and its version.",
        ),
    }
}

fn describe_telegram(fault: &TelegramFault) -> Description {
    const FAILED: &str = "Telegram upload failed";
    match fault {
        TelegramFault::TokenDead { description } => lasting(
            502,
            "bot_token_rejected",
            description,
            "Telegram does not know the bot's token any more. Set a new token in the settings.",
        ),
        TelegramFault::ChatMoved { description, .. } => passing(
            502,
            "chat_migrated",
            description,
            "The chat has a new id, which is known now: try again. Set it in the settings, too.",
        ),
        TelegramFault::ChatRefused { description } => lasting(
            502,
            "chat_refused",
            description,
            "Add the bot to the channel as an administrator that may post, then try again.",
        ),
        TelegramFault::BadRequest { description } => lasting(
            400,
            "telegram_rejected",
            description,
            "Telegram's message says what it does not like.",
        ),
        TelegramFault::TooLarge => lasting(
            413,
            "telegram_too_large",
            "Request Entity Too Large",
            "Choose a smaller file: this Bot API server does not take one of this size.",
        ),
        TelegramFault::RetryAfter {
            description,
            seconds,
        } => passing(
            429,
            "rate_limited",
            description,
            "Telegram limits how fast a bot may post. Try again when retryAfter seconds are over.",
        )
        .after(*seconds),
        TelegramFault::Failed { description } => passing(
            502,
            "telegram_failed",
            description.as_deref().unwrap_or(FAILED),
            "Telegram has trouble. Try again shortly.",
        ),
        TelegramFault::Unreachable => passing(
            502,
            "telegram_unreachable",
            FAILED,
            "Telegram could not be reached. Try again shortly.",
        ),
        TelegramFault::Stalled => passing(
            504,
            "telegram_timeout",
            FAILED,
            "Telegram stopped taking the file. Try again shortly.",
        ),
        TelegramFault::OutcomeUnknown { timed_out } => lasting(
            if *timed_out { 504 } else { 502 },
            "outcome_unknown",
            FAILED,
            "The file was sent whole, and Telegram did not say what became of it. Look into the channel before trying again.",
        ),
        TelegramFault::NoIds => lasting(
            502,
            "file_id_missing",
            "Failed to get file_id from Telegram response",
            "The file is in the channel, but Telegram gave no ids to find it by. Do not upload it again.",
        ),
    }
}

fn describe_idempotency(fault: ObjectFault) -> Description {
    match fault {
        ObjectFault::NotBound => lasting(
            501,
            "idempotency_unavailable",
            "This worker does not know Idempotency-Key",
            "Leave the header out. A deployer can bind the Durable Object class UserRecord as USER_RECORDS, as wrangler.toml does.",
        ),
        _ => passing(
            503,
            "idempotency_unavailable",
            "The record of this Idempotency-Key could not be reached",
            "Nothing was stored. Try again shortly, with the same key.",
        )
        .after(BUSY_RETRY_AFTER_SECONDS),
    }
}

fn describe_outbox(fault: ObjectFault) -> Description {
    match fault {
        ObjectFault::NotBound => lasting(
            501,
            "outbox_not_bound",
            "This worker has no outbox",
            "Bind the Durable Object class Outbox as OUTBOX, as wrangler.toml does, and deploy again.",
        ),
        _ => passing(
            503,
            "outbox_failed",
            "The outbox did not answer",
            "Try again shortly.",
        )
        .after(BUSY_RETRY_AFTER_SECONDS),
    }
}

/// `50 MB`, as TeleStore writes it; smaller limits in bytes.
fn megabytes(bytes: u64) -> String {
    const MB: u64 = 1024 * 1024;
    match bytes {
        0..MB => format!("{bytes} bytes"),
        _ if bytes.is_multiple_of(MB) => format!("{} MB", bytes / MB),
        // Rounded down, so that a file of the size that is named does fit.
        _ => format!("{}.{:02} MB", bytes / MB, bytes % MB * 100 / MB),
    }
}
