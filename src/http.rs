//! Requests and replies as the core sees them: the head of a request, and CORS, headers and JSON of
//! a reply.

use serde::Serialize;
use serde_json::json;

use crate::config::AllowedOrigins;
use crate::error::Error;
use crate::webhook::Signature;

/// The headers of a request for a file that decide what of it is sent (RFC 9110 sections 13 and 14).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `Range`.
    pub range: Option<String>,
    /// `If-Range`.
    pub if_range: Option<String>,
    /// `If-Match`.
    pub if_match: Option<String>,
    /// `If-None-Match`.
    pub if_none_match: Option<String>,
}

/// The head of a request.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    /// In upper case.
    pub method: String,
    /// Scheme and authority of the URL: `https://files.example.org`.
    pub site: String,
    /// The path of the URL, percent-encoded as it came.
    pub path: String,
    /// The query of the URL, without `?`.
    pub query: String,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Length`. The HTTP layer holds the client to it.
    pub content_length: Option<u64>,
    /// `Authorization`.
    pub authorization: Option<String>,
    /// `X-User-Id`.
    pub user_id: Option<String>,
    /// `Origin`.
    pub origin: Option<String>,
    /// `Access-Control-Request-Headers`.
    pub requested_headers: Option<String>,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// The signature of a hook. For other requests it is not read.
    pub signature: Option<Signature>,
    /// What of a file is wanted; of requests for other things it is not read.
    pub conditions: Conditions,
    /// What resumable uploads say in their headers; of other requests it is not even read.
    pub upload: UploadHeaders,
}

/// The header fields of resumable uploads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UploadHeaders {
    /// `Accept`.
    pub accept: Option<String>,
    /// `Content-Digest`.
    pub content_digest: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Tus-Resumable`.
    pub tus_resumable: Option<String>,
    /// `Upload-Checksum`.
    pub checksum: Option<String>,
    /// `Upload-Complete`.
    pub complete: Option<String>,
    /// `Upload-Concat`.
    pub concat: Option<String>,
    /// `Upload-Defer-Length`.
    pub defer_length: Option<String>,
    /// `Upload-Draft-Interop-Version`.
    pub interop_version: Option<String>,
    /// `Upload-Length`.
    pub length: Option<String>,
    /// `Upload-Metadata`.
    pub metadata: Option<String>,
    /// `Upload-Offset`.
    pub offset: Option<String>,
    /// `X-HTTP-Method-Override`.
    pub method_override: Option<String>,
}

/// A reply, whose body may be a stream.
#[derive(Debug)]
pub struct Served<S> {
    /// The reply.
    pub reply: Reply,
    /// The body, in place of the reply's own.
    pub stream: Option<S>,
}

impl<S> From<Reply> for Served<S> {
    fn from(reply: Reply) -> Self {
        Self {
            reply,
            stream: None,
        }
    }
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers, CORS among them.
    pub headers: Vec<(&'static str, String)>,
    /// The body; JSON unless empty.
    pub body: String,
}

impl Reply {
    /// A reply with this JSON.
    #[must_use]
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        // Strings and numbers always serialise.
        Self::json_text(status, serde_json::to_string(body).unwrap_or_default())
    }

    /// A reply with JSON that is already text.
    #[must_use]
    pub fn json_text(status: u16, body: String) -> Self {
        Self {
            status,
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("cache-control", "no-store".to_owned()),
            ],
            body,
        }
    }

    /// The reply to a repeated upload, with the body of the first reply.
    #[must_use]
    pub fn replayed(body: String) -> Self {
        let mut reply = Self::json_text(200, body);
        reply
            .headers
            .push(("idempotency-replayed", "true".to_owned()));
        reply
    }

    /// The reply for an error.
    #[must_use]
    pub fn error(error: &Error, request_id: &str) -> Self {
        let told = error.describe();
        let mut body = json!({
            "success": false,
            "error": told.message,
            "code": told.code,
            "retryable": told.retryable,
            "hint": told.hint,
            "requestId": request_id,
        });
        if let (Some(seconds), Some(fields)) = (told.retry_after, body.as_object_mut()) {
            fields.insert("retryAfter".to_owned(), seconds.into());
        }
        let mut reply = Self::json(told.status, &body);
        if let Some(seconds) = told.retry_after {
            reply.headers.push(("retry-after", seconds.to_string()));
        }
        match error {
            Error::MethodNotAllowed { allow } => reply.headers.push(("allow", (*allow).to_owned())),
            // RFC 9110 section 15.5.17.
            Error::RangeNotSatisfiable { size } => reply
                .headers
                .push(("content-range", format!("bytes */{size}"))),
            // RFC 6750 section 3: a request without a token gets the bare challenge.
            Error::TokenRequired => reply
                .headers
                .push(("www-authenticate", "Bearer".to_owned())),
            _ if told.status == 401 => reply.headers.push((
                "www-authenticate",
                "Bearer error=\"invalid_token\"".to_owned(),
            )),
            _ => {}
        }
        reply
    }

    /// The answer to a CORS preflight (Fetch standard, "CORS-preflight request").
    #[must_use]
    pub fn preflight(head: &RequestHead) -> Self {
        const USUAL_HEADERS: &str = "authorization, content-type, x-user-id, x-requested-with, \
            idempotency-key, tus-resumable, upload-checksum, upload-complete, upload-concat, \
            upload-defer-length, upload-draft-interop-version, upload-length, upload-metadata, \
            upload-offset, x-http-method-override";
        // Frontends send headers of their own. Any name is allowed, because the worker ignores them.
        let requested = head
            .requested_headers
            .as_deref()
            .filter(|names| names.bytes().all(|b| (b' '..=b'~').contains(&b)));
        Self {
            status: 204,
            headers: vec![
                (
                    "access-control-allow-methods",
                    "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".to_owned(),
                ),
                (
                    "access-control-allow-headers",
                    requested
                        .filter(|names| !names.is_empty())
                        .unwrap_or(USUAL_HEADERS)
                        .to_owned(),
                ),
                ("access-control-max-age", "86400".to_owned()),
            ],
            body: String::new(),
        }
    }

    /// Adds the headers that let a page read the reply. `origins` is `None` when a setting is wrong:
    /// then every page may read the error.
    #[must_use]
    pub fn with_cors(mut self, origins: Option<&AllowedOrigins>, origin: Option<&str>) -> Self {
        const EXPOSED: &str = "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, \
            ETag, Idempotency-Replayed, Location, Retry-After, Server-Timing, \
            Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, \
            Upload-Complete, Upload-Concat, Upload-Defer-Length, Upload-Expires, Upload-Length, \
            Upload-Limit, Upload-Metadata, Upload-Offset, X-File-Id, X-Message-Id, X-Request-Id";
        let allowed = match origins {
            None | Some(AllowedOrigins::Any) => Some("*".to_owned()),
            Some(AllowedOrigins::Listed(listed)) => {
                self.headers.push(("vary", "Origin".to_owned()));
                origin
                    .filter(|origin| listed.iter().any(|known| known == origin))
                    .map(ToOwned::to_owned)
            }
        };
        if let Some(allowed) = allowed {
            self.headers.push(("access-control-allow-origin", allowed));
            self.headers
                .push(("access-control-expose-headers", EXPOSED.to_owned()));
        }
        self
    }
}
