//! The table of errors: one row for each code.

use super::Description;

/// One row. `code` is stable; the texts may be refined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The HTTP status.
    pub status: u16,
    /// Stable, in `snake_case`.
    pub code: &'static str,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// What frontends show, unless the error brings its own text: TeleStore's own words where it has
    /// them.
    pub error: &'static str,
    /// What the user or the deployer can do.
    pub hint: &'static str,
}

impl Row {
    pub(super) fn describe(&self) -> Description {
        self.saying(self.error)
    }

    /// The row with this text, if there is one, instead of its own.
    pub(super) fn saying_or(&self, error: Option<&str>) -> Description {
        self.saying(error.unwrap_or(self.error))
    }

    /// The row with this text instead of its own.
    pub(super) fn saying(&self, error: impl Into<String>) -> Description {
        Description {
            status: self.status,
            code: self.code,
            message: error.into(),
            retryable: self.retryable,
            retry_after: None,
            hint: self.hint,
        }
    }
}

pub(super) const NOT_FOUND: Row = Row {
    status: 404,
    code: "not_found",
    retryable: false,
    error: "Not found",
    hint: "Uploads go to POST /upload or PUT /upload/{fileName}.",
};

pub(super) const METHOD_NOT_ALLOWED: Row = Row {
    status: 405,
    code: "method_not_allowed",
    retryable: false,
    error: "Method not allowed",
    hint: "The Allow header lists the methods of this route.",
};

pub(super) const UNSUPPORTED_MEDIA_TYPE: Row = Row {
    status: 415,
    code: "unsupported_media_type",
    retryable: false,
    error: "Unsupported media type",
    hint: "Send multipart/form-data with a field named file, or the raw file to PUT \
        /upload/{fileName}.",
};

pub(super) const BAD_FILE_NAME: Row = Row {
    status: 400,
    code: "bad_file_name",
    retryable: false,
    error: "Malformed request: the file name is not percent-encoded UTF-8",
    hint: "Encode the name with encodeURIComponent.",
};

pub(super) const NO_FILE: Row = Row {
    status: 400,
    code: "no_file",
    retryable: false,
    error: "No file provided",
    hint: "Append the file to the form as the field file.",
};

pub(super) const FILE_EMPTY: Row = Row {
    status: 400,
    code: "file_empty",
    retryable: false,
    error: "Bad Request: file must be non-empty",
    hint: "Telegram stores no empty files. Choose a file with content.",
};

pub(super) const CAPTION_TOO_LONG: Row = Row {
    status: 400,
    code: "caption_too_long",
    retryable: false,
    error: "Bad Request: message caption is too long",
    hint: "Shorten the caption to 1024 characters.",
};

pub(super) const TOKEN_REQUIRED: Row = Row {
    status: 401,
    code: "token_required",
    retryable: false,
    error: "Auth token required",
    hint: "Log in, and send the token as the field authToken or as Authorization: Bearer.",
};

pub(super) const TOKEN_MALFORMED: Row = Row {
    status: 401,
    code: "token_malformed",
    retryable: false,
    error: "Invalid token",
    hint: "The token has characters that no token has. Log in again.",
};

pub(super) const TOKENS_DIFFER: Row = Row {
    status: 400,
    code: "tokens_differ",
    retryable: false,
    error: "Malformed request: the Authorization header and the field authToken differ",
    hint: "Send the token once.",
};

pub(super) const WRONG_USER: Row = Row {
    status: 403,
    code: "wrong_user",
    retryable: false,
    error: "userId does not match the token",
    hint: "Leave userId out, or log in as that user.",
};

pub(super) const FILE_TOO_LARGE: Row = Row {
    status: 413,
    code: "file_too_large",
    retryable: false,
    error: "File too large",
    hint: "Choose a smaller file. A deployer can raise MAX_UPLOAD_BYTES with a self-hosted Bot \
        API server.",
};

pub(super) const BUFFER_FULL: Row = Row {
    status: 503,
    code: "buffer_full",
    retryable: true,
    error: "Too many uploads are being buffered",
    hint: "Try again shortly. Put authToken before the file, or send it as a header, and the \
        upload needs no buffer.",
};

pub(super) const TOO_LARGE_TO_BUFFER: Row = Row {
    status: 413,
    code: "too_large_to_buffer",
    retryable: false,
    error: "File too large",
    hint: "That is the limit when the file comes before authToken. Put authToken before the \
        file, or send it as a header.",
};

pub(super) const CLIENT_DISCONNECTED: Row = Row {
    status: 400,
    code: "client_disconnected",
    retryable: true,
    error: "Malformed request: the connection ended before the body did",
    hint: "Try again.",
};

pub(super) const UPLOAD_INTERRUPTED: Row = Row {
    status: 400,
    code: "upload_interrupted",
    retryable: true,
    error: "The upload was interrupted",
    hint: "The browser's connection broke, or the one to Telegram. Nothing was stored: try \
        again.",
};

pub(super) const CLIENT_STALLED: Row = Row {
    status: 408,
    code: "client_stalled",
    retryable: true,
    error: "The upload stalled",
    hint: "Check the connection, and try again.",
};

pub(super) const TOO_MANY_UPLOADS: Row = Row {
    status: 429,
    code: "too_many_uploads",
    retryable: true,
    error: "Too many uploads",
    hint: "This deployment limits how often a user may upload. Try again after retryAfter seconds.",
};

pub(super) const REVOCATIONS_FAILED: Row = Row {
    status: 503,
    code: "revocations_failed",
    retryable: true,
    error: "The change may not have reached every isolate",
    hint: "This isolate has forgotten the credentials; others may not have. Send the hook again.",
};

pub(super) const UPLOAD_TIMEOUT: Row = Row {
    status: 408,
    code: "upload_timeout",
    retryable: true,
    error: "The upload took too long",
    hint: "Try again on a faster connection. A deployer can raise UPLOAD_TIMEOUT_MS.",
};

pub(super) const MISCONFIGURED: Row = Row {
    status: 500,
    code: "misconfigured",
    retryable: false,
    error: "The worker is misconfigured",
    hint: "Set it in wrangler.toml under [vars], or as a secret, and deploy again.",
};

pub(super) const BAD_IDEMPOTENCY_KEY: Row = Row {
    status: 400,
    code: "bad_idempotency_key",
    retryable: false,
    error: "Malformed request: Idempotency-Key is not 1 to 255 visible ASCII characters",
    hint: "Send a new random key with each file, for example from crypto.randomUUID(), and the \
        same key when you repeat the upload.",
};

pub(super) const IDEMPOTENCY_IN_PROGRESS: Row = Row {
    status: 409,
    code: "idempotency_in_progress",
    retryable: true,
    error: "An upload with this Idempotency-Key is running",
    hint: "Try again after retryAfter seconds: you get the reply of the first upload, or the key \
        is free again.",
};

pub(super) const IDEMPOTENCY_MISMATCH: Row = Row {
    status: 422,
    code: "idempotency_mismatch",
    retryable: false,
    error: "This Idempotency-Key was used for another file",
    hint: "Use a new key for each file. A repeat must have the same name and size.",
};

pub(super) const HOOKS_OFF: Row = Row {
    status: 404,
    code: "hooks_off",
    retryable: false,
    error: "Not found: WEBHOOK_SECRET is not set",
    hint: "Hooks are signed with the secret that worker and backend share. Set it with: \
        wrangler secret put WEBHOOK_SECRET",
};

pub(super) const SIGNATURE_REFUSED: Row = Row {
    status: 403,
    code: "signature_refused",
    retryable: false,
    error: "The signature is missing, wrong, or more than five minutes old",
    hint: "Sign webhook-id, webhook-timestamp and the exact bytes of the body with WEBHOOK_SECRET, \
        as Standard Webhooks describes.",
};

pub(super) const BAD_HOOK: Row = Row {
    status: 400,
    code: "bad_hook",
    retryable: false,
    error: "The hook's body is not the expected JSON",
    hint: "Send JSON of at most 64 KB, such as {\"action\":\"list\"} or \
        {\"action\":\"redrive\"}.",
};

pub(super) const SECOND_FILE: Row = Row {
    status: 400,
    code: "second_file",
    retryable: false,
    error: "Malformed request",
    hint: "Send one file per request.",
};

pub(super) const FIELD_TOO_LARGE: Row = Row {
    status: 400,
    code: "field_too_large",
    retryable: false,
    error: "Malformed request",
    hint: "Send large content as the file, not as a field.",
};

pub(super) const BODY_TRUNCATED: Row = Row {
    status: 400,
    code: "body_truncated",
    retryable: true,
    error: "Malformed request",
    hint: "Try again.",
};

pub(super) const MALFORMED_FORM: Row = Row {
    status: 400,
    code: "malformed_form",
    retryable: false,
    error: "Malformed request",
    hint: "Let the browser build the request: pass FormData as the body, and do not set \
        Content-Type.",
};

pub(super) const NOT_CONFIGURED: Row = Row {
    status: 400,
    code: "not_configured",
    retryable: false,
    error: "Failed to fetch credentials: Telegram is not configured",
    hint: "Connect Telegram and add a bot token in the settings.",
};

pub(super) const TOKEN_REFUSED: Row = Row {
    status: 401,
    code: "token_refused",
    retryable: false,
    error: "Invalid token",
    hint: "Log in again.",
};

pub(super) const FORBIDDEN: Row = Row {
    status: 403,
    code: "forbidden",
    retryable: false,
    error: "Failed to fetch credentials: 403",
    hint: "The backend does not let this account upload. Its message says why.",
};

pub(super) const BACKEND_NOT_FOUND: Row = Row {
    status: 502,
    code: "backend_not_found",
    retryable: false,
    error: "Failed to fetch credentials: 404",
    hint: "Check that BACKEND_URL names the TeleStore backend, without /api.",
};

pub(super) const BACKEND_BUSY: Row = Row {
    status: 503,
    code: "backend_busy",
    retryable: true,
    error: "Failed to fetch credentials: the backend is busy",
    hint: "Try again shortly.",
};

pub(super) const BACKEND_FAILED: Row = Row {
    status: 502,
    code: "backend_failed",
    retryable: true,
    error: "Failed to fetch credentials: the backend failed",
    hint: "Try again shortly. If it continues, look at the backend's log.",
};

pub(super) const BACKEND_TIMEOUT: Row = Row {
    status: 504,
    code: "backend_timeout",
    retryable: true,
    error: "Failed to fetch credentials: the backend did not answer in time",
    hint: "Try again shortly. If it continues, check that the backend is up.",
};

pub(super) const BACKEND_UNREACHABLE: Row = Row {
    status: 502,
    code: "backend_unreachable",
    retryable: true,
    error: "Failed to fetch credentials: the backend is unreachable",
    hint: "Try again shortly. If it continues, check BACKEND_URL and that the backend is up.",
};

pub(super) const BACKEND_INVALID_REPLY: Row = Row {
    status: 502,
    code: "backend_invalid_reply",
    retryable: false,
    error: "Failed to fetch credentials: the backend's answer cannot be used",
    hint: "Check that BACKEND_URL names the TeleStore backend, and its version.",
};

pub(super) const BOT_TOKEN_REJECTED: Row = Row {
    status: 502,
    code: "bot_token_rejected",
    retryable: false,
    error: "Telegram upload failed",
    hint: "Telegram does not accept the bot's token any more. Set a new token in the settings.",
};

pub(super) const CHAT_MIGRATED: Row = Row {
    status: 502,
    code: "chat_migrated",
    retryable: true,
    error: "Telegram upload failed",
    hint: "The chat has a new id, and the worker knows it now: try again. Store the new id in the \
        settings.",
};

pub(super) const CHAT_REFUSED: Row = Row {
    status: 502,
    code: "chat_refused",
    retryable: false,
    error: "Telegram upload failed",
    hint: "Add the bot to the channel as an administrator that can post messages, then try again.",
};

pub(super) const TELEGRAM_REJECTED: Row = Row {
    status: 400,
    code: "telegram_rejected",
    retryable: false,
    error: "Telegram upload failed",
    hint: "Telegram's message says why.",
};

pub(super) const TELEGRAM_TOO_LARGE: Row = Row {
    status: 413,
    code: "telegram_too_large",
    retryable: false,
    error: "Request Entity Too Large",
    hint: "Choose a smaller file: this Bot API server does not take one of this size.",
};

pub(super) const RATE_LIMITED: Row = Row {
    status: 429,
    code: "rate_limited",
    retryable: true,
    error: "Too Many Requests",
    hint: "Telegram limits how fast a bot may post. Try again after retryAfter seconds.",
};

pub(super) const TELEGRAM_FAILED: Row = Row {
    status: 502,
    code: "telegram_failed",
    retryable: true,
    error: "Telegram upload failed",
    hint: "Telegram has a problem. Try again shortly.",
};

pub(super) const TELEGRAM_UNREACHABLE: Row = Row {
    status: 502,
    code: "telegram_unreachable",
    retryable: true,
    error: "Telegram upload failed",
    hint: "Telegram could not be reached. Try again shortly.",
};

pub(super) const TELEGRAM_TIMEOUT: Row = Row {
    status: 504,
    code: "telegram_timeout",
    retryable: true,
    error: "Telegram upload failed",
    hint: "Telegram stopped accepting the file. Try again shortly.",
};

pub(super) const OUTCOME_UNKNOWN: Row = Row {
    status: 502,
    code: "outcome_unknown",
    retryable: false,
    error: "The file may have been stored: look into the channel before you upload it again",
    hint: "The whole file was sent, and Telegram did not say whether it stored it. Upload it again \
        only if the channel does not have it.",
};

pub(super) const FILE_ID_MISSING: Row = Row {
    status: 502,
    code: "file_id_missing",
    retryable: false,
    error: "Failed to get file_id from Telegram response",
    hint: "The file is in the channel, but Telegram's answer has no ids. Do not upload it again.",
};

pub(super) const IDEMPOTENCY_UNAVAILABLE: Row = Row {
    status: 501,
    code: "idempotency_unavailable",
    retryable: false,
    error: "This worker does not support Idempotency-Key",
    hint: "Leave the header out. A deployer can bind the Durable Object class UserRecord as \
        USER_RECORDS, as wrangler.toml does.",
};

pub(super) const IDEMPOTENCY_UNREACHABLE: Row = Row {
    status: 503,
    code: "idempotency_unavailable",
    retryable: true,
    error: "The record of this Idempotency-Key could not be reached",
    hint: "Nothing was stored. Try again shortly, with the same key.",
};

pub(super) const OUTBOX_NOT_BOUND: Row = Row {
    status: 501,
    code: "outbox_not_bound",
    retryable: false,
    error: "This worker has no outbox",
    hint: "Bind the Durable Object class Outbox as OUTBOX, as wrangler.toml does, and deploy \
        again.",
};

pub(super) const OUTBOX_FAILED: Row = Row {
    status: 503,
    code: "outbox_failed",
    retryable: true,
    error: "The outbox did not answer",
    hint: "Try again shortly.",
};

pub(super) const DOWNLOAD_RATE_LIMITED: Row = Row {
    status: 429,
    code: "rate_limited",
    retryable: true,
    error: "Too Many Requests",
    hint: "Telegram limits how often a bot may ask. Try again after retryAfter seconds.",
};

pub(super) const DOWNLOAD_FAILED: Row = Row {
    status: 502,
    code: "telegram_failed",
    retryable: true,
    error: "Telegram download failed",
    hint: "Telegram has a problem. Try again shortly.",
};

pub(super) const DOWNLOAD_UNREACHABLE: Row = Row {
    status: 502,
    code: "telegram_unreachable",
    retryable: true,
    error: "Telegram download failed",
    hint: "Telegram could not be reached. Try again shortly.",
};

pub(super) const DOWNLOAD_TIMEOUT: Row = Row {
    status: 504,
    code: "telegram_timeout",
    retryable: true,
    error: "Telegram download failed",
    hint: "Telegram did not answer in time. Try again shortly.",
};

pub(super) const FILE_NOT_FOUND: Row = Row {
    status: 404,
    code: "file_not_found",
    retryable: false,
    error: "File not found",
    hint: "Use the fileId from the upload's reply. Only the user whose bot sent the file can get \
        it.",
};

pub(super) const TOO_LARGE_FOR_BOT_API: Row = Row {
    status: 413,
    code: "too_large_for_bot_api",
    retryable: false,
    error: "Bad Request: file is too big",
    hint: "Telegram's own Bot API gives back no file over 20 MB. Upload it in parts, with a \
        resumable upload, or use a self-hosted Bot API server.",
};

pub(super) const FILE_NOT_SERVED: Row = Row {
    status: 502,
    code: "file_not_served",
    retryable: false,
    error: "The Bot API server names a file that is not served",
    hint: "A self-hosted Bot API server needs a web server beside it that serves its working \
        directory under /file/bot<token>/.",
};

pub(super) const MANIFEST_INVALID: Row = Row {
    status: 502,
    code: "manifest_invalid",
    retryable: false,
    error: "The manifest of this file cannot be used",
    hint: "Add ?raw=1 to get the document itself.",
};

pub(super) const RANGE_NOT_SATISFIABLE: Row = Row {
    status: 416,
    code: "range_not_satisfiable",
    retryable: false,
    error: "The file has no such bytes",
    hint: "Ask for a range that begins within the file.",
};

pub(super) const PRECONDITION_FAILED: Row = Row {
    status: 412,
    code: "precondition_failed",
    retryable: false,
    error: "The file is not the version that If-Match names",
    hint: "Leave If-Match out, or send the file's ETag.",
};

pub(super) const LINKS_NOT_CONFIGURED: Row = Row {
    status: 501,
    code: "links_not_configured",
    retryable: false,
    error: "This worker does not make links",
    hint: "Set a secret of 32 characters or more with: wrangler secret put LINK_SECRET",
};

pub(super) const BAD_LINK_REQUEST: Row = Row {
    status: 400,
    code: "bad_link_request",
    retryable: false,
    error: "Malformed request: the body is not a request for a link",
    hint: "Send JSON such as {\"expiresIn\":3600}, in seconds, at most 604800. The fields name \
        and inline are optional.",
};

pub(super) const LINK_INVALID: Row = Row {
    status: 403,
    code: "link_invalid",
    retryable: false,
    error: "The link is not valid",
    hint: "Copy the whole link. Links end when the deployer changes LINK_SECRET.",
};

pub(super) const LINK_EXPIRED: Row = Row {
    status: 403,
    code: "link_expired",
    retryable: false,
    error: "The link has expired",
    hint: "Ask for a new link.",
};

pub(super) const UPLOAD_NOT_FOUND: Row = Row {
    status: 404,
    code: "upload_not_found",
    retryable: false,
    error: "There is no such upload",
    hint: "Begin a new one.",
};

pub(super) const UPLOAD_GONE: Row = Row {
    status: 410,
    code: "upload_gone",
    retryable: false,
    error: "The upload has expired or was deleted",
    hint: "Begin a new one.",
};

pub(super) const UPLOAD_FOREIGN: Row = Row {
    status: 403,
    code: "upload_foreign",
    retryable: false,
    error: "Another user began this upload",
    hint: "Log in as that user, or begin a new upload.",
};

pub(super) const DESTINATION_CHANGED: Row = Row {
    status: 409,
    code: "destination_changed",
    retryable: false,
    error: "The bot or the channel has changed since the upload began",
    hint: "The parts of one file stay in one channel. Begin a new upload.",
};

pub(super) const OFFSET_MISMATCH: Row = Row {
    status: 409,
    code: "offset_mismatch",
    retryable: false,
    error: "The offset does not match the upload's offset",
    hint: "Continue at the upload's own offset, which Upload-Offset names.",
};

pub(super) const UPLOAD_LOCKED: Row = Row {
    status: 409,
    code: "upload_locked",
    retryable: true,
    error: "Another request is appending to this upload",
    hint: "Try again after retryAfter seconds. If the other connection is dead, yours takes its place.",
};

pub(super) const UPLOAD_OVERTAKEN: Row = Row {
    status: 409,
    code: "upload_overtaken",
    retryable: true,
    error: "Another request has taken over this upload",
    hint: "Ask for the offset, and continue there.",
};

pub(super) const UPLOAD_COMPLETE: Row = Row {
    status: 409,
    code: "upload_complete",
    retryable: false,
    error: "The upload is complete",
    hint: "There is nothing left to send.",
};

pub(super) const UPLOAD_INCOMPLETE: Row = Row {
    status: 400,
    code: "upload_incomplete",
    retryable: false,
    error: "The upload is not complete",
    hint: "Send the missing bytes.",
};

pub(super) const FILE_NAME_TOO_LONG: Row = Row {
    status: 400,
    code: "file_name_too_long",
    retryable: false,
    error: "The file's name is too long",
    hint: "Shorten it to 4096 bytes. Most file systems take 255.",
};

pub(super) const LENGTH_EXCEEDED: Row = Row {
    status: 413,
    code: "length_exceeded",
    retryable: false,
    error: "The upload is longer than its announced length",
    hint: "The length cannot change. Begin a new upload.",
};

pub(super) const LENGTH_MISMATCH: Row = Row {
    status: 400,
    code: "length_mismatch",
    retryable: false,
    error: "The length differs from the upload's announced length",
    hint: "Send the same length, or the same number of chunks, in each request.",
};

pub(super) const UPLOAD_TOO_LARGE: Row = Row {
    status: 413,
    code: "file_too_large",
    retryable: false,
    error: "File too large",
    hint: "Choose a smaller file. A deployer can raise MAX_FILE_BYTES.",
};

pub(super) const TOO_MANY_PARTS: Row = Row {
    status: 413,
    code: "too_many_parts",
    retryable: false,
    error: "The upload has reached the largest number of parts",
    hint: "Each request makes at least one part. Begin a new upload, and send more bytes in each request.",
};

pub(super) const NO_SUCH_CHUNK: Row = Row {
    status: 400,
    code: "no_such_chunk",
    retryable: false,
    error: "chunkIndex is not below totalChunks",
    hint: "The first chunk has the index 0.",
};

pub(super) const CHUNK_STORED: Row = Row {
    status: 409,
    code: "chunk_stored",
    retryable: false,
    error: "The chunk is already stored",
    hint: "Continue with the next one.",
};

pub(super) const WRONG_UPLOAD_KIND: Row = Row {
    status: 403,
    code: "wrong_upload_kind",
    retryable: false,
    error: "This upload does not accept these bytes",
    hint: "A final upload consists of partial ones, and a chunked one of chunks.",
};

pub(super) const RESUMABLE_UNAVAILABLE: Row = Row {
    status: 501,
    code: "resumable_unavailable",
    retryable: false,
    error: "This worker does not support resumable uploads",
    hint: "Upload without them. A deployer can bind the Durable Object classes as wrangler.toml does.",
};

pub(super) const UPLOAD_UNAVAILABLE: Row = Row {
    status: 503,
    code: "upload_unavailable",
    retryable: true,
    error: "The upload's record could not be reached",
    hint: "Try again shortly. What was acknowledged is kept.",
};

pub(super) const BAD_UPLOAD_HEADER: Row = Row {
    status: 400,
    code: "bad_upload_header",
    retryable: false,
    error: "Malformed request: a header cannot be used",
    hint: "The protocol that the request speaks defines how the header is written.",
};

pub(super) const UPLOAD_MEDIA_TYPE: Row = Row {
    status: 415,
    code: "unsupported_media_type",
    retryable: false,
    error: "Unsupported media type",
    hint: "Set the Content-Type that the protocol requires.",
};

pub(super) const TUS_VERSION: Row = Row {
    status: 412,
    code: "tus_version",
    retryable: false,
    error: "This version of tus is not supported",
    hint: "Send Tus-Resumable: 1.0.0.",
};

pub(super) const CHECKSUM_ALGORITHM: Row = Row {
    status: 400,
    code: "checksum_algorithm",
    retryable: false,
    error: "The checksum's algorithm is not supported",
    hint: "Tus-Checksum-Algorithm, in the reply to OPTIONS, lists those that are.",
};

pub(super) const BAD_DIGEST: Row = Row {
    status: 400,
    code: "bad_digest",
    retryable: false,
    error: "Malformed request: a digest is no SHA-256",
    hint: "Send sha-256=:…: with the Base64 of the digest as Content-Digest or Repr-Digest, or its \
        hexadecimal as the form's field sha256.",
};

pub(super) const DIGEST_MISMATCH: Row = Row {
    status: 400,
    code: "digest_mismatch",
    retryable: true,
    error: "The digest does not match the body",
    hint: "Nothing of this request was stored. Send it again.",
};

pub(super) const BAD_CHUNK_FIELD: Row = Row {
    status: 400,
    code: "bad_chunk_field",
    retryable: false,
    error: "Malformed request: a field cannot be used",
    hint: "Send uploadId, chunkIndex, totalChunks, fileName and fileSize with each chunk.",
};

pub(super) const TOO_MANY_UNFINISHED_UPLOADS: Row = Row {
    status: 429,
    code: "too_many_unfinished_uploads",
    retryable: true,
    error: "Too many unfinished uploads",
    hint: "Finish or delete some of those that GET /files lists.",
};

/// Every row.
pub const ALL: &[Row] = &[
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    UNSUPPORTED_MEDIA_TYPE,
    BAD_FILE_NAME,
    NO_FILE,
    FILE_EMPTY,
    CAPTION_TOO_LONG,
    TOKEN_REQUIRED,
    TOKEN_MALFORMED,
    TOKENS_DIFFER,
    WRONG_USER,
    FILE_TOO_LARGE,
    BUFFER_FULL,
    TOO_LARGE_TO_BUFFER,
    CLIENT_DISCONNECTED,
    UPLOAD_INTERRUPTED,
    CLIENT_STALLED,
    TOO_MANY_UPLOADS,
    REVOCATIONS_FAILED,
    UPLOAD_TIMEOUT,
    MISCONFIGURED,
    BAD_IDEMPOTENCY_KEY,
    IDEMPOTENCY_IN_PROGRESS,
    IDEMPOTENCY_MISMATCH,
    HOOKS_OFF,
    SIGNATURE_REFUSED,
    BAD_HOOK,
    SECOND_FILE,
    FIELD_TOO_LARGE,
    BODY_TRUNCATED,
    MALFORMED_FORM,
    NOT_CONFIGURED,
    TOKEN_REFUSED,
    FORBIDDEN,
    BACKEND_NOT_FOUND,
    BACKEND_BUSY,
    BACKEND_FAILED,
    BACKEND_TIMEOUT,
    BACKEND_UNREACHABLE,
    BACKEND_INVALID_REPLY,
    BOT_TOKEN_REJECTED,
    CHAT_MIGRATED,
    CHAT_REFUSED,
    TELEGRAM_REJECTED,
    TELEGRAM_TOO_LARGE,
    RATE_LIMITED,
    TELEGRAM_FAILED,
    TELEGRAM_UNREACHABLE,
    TELEGRAM_TIMEOUT,
    OUTCOME_UNKNOWN,
    FILE_ID_MISSING,
    IDEMPOTENCY_UNAVAILABLE,
    IDEMPOTENCY_UNREACHABLE,
    OUTBOX_NOT_BOUND,
    OUTBOX_FAILED,
    DOWNLOAD_RATE_LIMITED,
    DOWNLOAD_FAILED,
    DOWNLOAD_UNREACHABLE,
    DOWNLOAD_TIMEOUT,
    FILE_NOT_FOUND,
    TOO_LARGE_FOR_BOT_API,
    FILE_NOT_SERVED,
    MANIFEST_INVALID,
    RANGE_NOT_SATISFIABLE,
    PRECONDITION_FAILED,
    LINKS_NOT_CONFIGURED,
    BAD_LINK_REQUEST,
    LINK_INVALID,
    LINK_EXPIRED,
    UPLOAD_NOT_FOUND,
    UPLOAD_GONE,
    UPLOAD_FOREIGN,
    DESTINATION_CHANGED,
    OFFSET_MISMATCH,
    UPLOAD_LOCKED,
    UPLOAD_OVERTAKEN,
    UPLOAD_COMPLETE,
    UPLOAD_INCOMPLETE,
    FILE_NAME_TOO_LONG,
    LENGTH_EXCEEDED,
    LENGTH_MISMATCH,
    UPLOAD_TOO_LARGE,
    TOO_MANY_PARTS,
    NO_SUCH_CHUNK,
    CHUNK_STORED,
    WRONG_UPLOAD_KIND,
    RESUMABLE_UNAVAILABLE,
    UPLOAD_UNAVAILABLE,
    BAD_UPLOAD_HEADER,
    UPLOAD_MEDIA_TYPE,
    TUS_VERSION,
    CHECKSUM_ALGORITHM,
    BAD_DIGEST,
    DIGEST_MISMATCH,
    BAD_CHUNK_FIELD,
    TOO_MANY_UNFINISHED_UPLOADS,
];

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_row_says_what_happened_and_what_to_do() {
        for row in ALL {
            assert!(!row.error.is_empty() && !row.hint.is_empty(), "{row:?}");
            assert!(
                row.hint.ends_with(['.', 'S', 'T']),
                "{}: {}",
                row.code,
                row.hint
            );
            let is_snake = |b: u8| b.is_ascii_lowercase() || b == b'_';
            assert!(row.code.bytes().all(is_snake), "{}", row.code);
            assert!((400..600).contains(&row.status), "{}", row.code);
        }
    }
}
