//! Reads a Bot API request: parameters from the query and the body, files onto the disk.
//!
//! The request is read to its end before anything is done with it. If it ends badly, nothing of it stays:
//! only the caller keeps a file, afterwards.

use axum::{
    body::Body,
    http::{
        HeaderMap, Method, Uri,
        header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    },
};
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::{
    blobs::{Blob, BlobStore, BlobWriter},
    error::BotApiError,
    file_name,
    multipart::{self, Event, MAX_HEADERS_BYTES, MultipartError},
    parameters::{MAX_PARAMETERS_BYTES, Parameters},
};

/// Longest body that the cloud server takes: 50 MB, everything included.
pub(crate) const MAX_BODY_BYTES: u64 = 50 << 20;

/// A request, read to its end.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pub(crate) parameters: Parameters,
    pub(crate) files: Vec<IncomingFile>,
}

/// A file of the request.
#[derive(Debug)]
pub(crate) struct IncomingFile {
    /// The form field that it came in.
    pub(crate) field: String,
    /// Its name, cleaned.
    pub(crate) name: String,
    pub(crate) content: Blob,
}

/// Reads the request. After a refusal the rest of the body is read too: otherwise a client that is still
/// sending would see a reset connection instead of the reply.
pub(crate) async fn read(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
    blobs: &BlobStore,
) -> Result<Incoming, BotApiError> {
    let mut body = LimitedBody { body, seen: 0 };
    let result = read_whole(method, uri, headers, &mut body, blobs).await;
    if result.is_err() {
        drain(body.body).await;
    }
    result
}

/// Reads a body and forgets it.
pub async fn drain(mut body: Body) {
    while let Some(Ok(_)) = body.frame().await {}
}

async fn read_whole(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &mut LimitedBody,
    blobs: &BlobStore,
) -> Result<Incoming, BotApiError> {
    if !matches!(*method, Method::GET | Method::POST) {
        return Err(BotApiError::not_implemented());
    }
    let headers_bytes = request_head_bytes(uri, headers);
    if headers_bytes > MAX_HEADERS_BYTES {
        return Err(BotApiError::headers_too_large());
    }
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|bytes| bytes > MAX_BODY_BYTES) {
        return Err(BotApiError::entity_too_large());
    }
    let mut incoming = Incoming::default();
    if let Some(query) = uri.query() {
        incoming.parameters.add_urlencoded(query.as_bytes())?;
    }
    // Neither Content-Length nor chunked: there is no body, whatever the other headers say.
    if body.body.is_end_stream() {
        return Ok(incoming);
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(BotApiError::unsupported_encoding());
    }
    let content_type = headers
        .get(CONTENT_TYPE)
        .map_or(&b""[..], axum::http::HeaderValue::as_bytes);
    let media_type = content_type.to_ascii_lowercase();
    let is = |name: &str| memchr::memmem::find(&media_type, name.as_bytes()).is_some();
    if is("multipart/form-data") {
        let boundary = multipart::boundary(content_type)?;
        let reader = multipart::Reader::new(boundary, headers_bytes);
        read_form(reader, body, blobs, &mut incoming).await?;
    } else if is("application/x-www-form-urlencoded") {
        let text = body.gather(MAX_PARAMETERS_BYTES).await?;
        incoming.parameters.add_urlencoded(&text)?;
    } else if is("application/json") {
        let text = body.gather(MAX_PARAMETERS_BYTES).await?;
        incoming.parameters.add_json(&text)?;
    } else {
        while body.chunk().await?.is_some() {}
    }
    Ok(incoming)
}

async fn read_form(
    mut reader: multipart::Reader,
    body: &mut LimitedBody,
    blobs: &BlobStore,
    incoming: &mut Incoming,
) -> Result<(), BotApiError> {
    let mut open: Option<(String, String, BlobWriter)> = None;
    while let Some(chunk) = body.chunk().await? {
        reader.push(&chunk);
        while let Some(event) = reader.next_event()? {
            match event {
                Event::Field {
                    value,
                    urlencoded: true,
                    ..
                } => incoming.parameters.add_urlencoded(&value)?,
                Event::Field { name, value, .. } => {
                    incoming.parameters.add_field(name, value.into())?;
                }
                Event::FileStart { name, filename } => {
                    let field = String::from_utf8_lossy(&name).into_owned();
                    open = Some((field, file_name::clean(&filename), blobs.writer()));
                }
                Event::FileData(data) => {
                    if let Some((_, _, writer)) = &mut open {
                        writer.write(data).await?;
                    }
                }
                Event::FileEnd => {
                    if let Some((field, name, writer)) = open.take() {
                        incoming.files.push(IncomingFile {
                            field,
                            name,
                            content: writer.finish().await?,
                        });
                    }
                }
            }
        }
    }
    Ok(reader.finish()?)
}

/// A body that is refused when it grows beyond [`MAX_BODY_BYTES`].
struct LimitedBody {
    body: Body,
    seen: u64,
}

impl LimitedBody {
    async fn chunk(&mut self) -> Result<Option<Bytes>, BotApiError> {
        while let Some(frame) = self.body.frame().await {
            // The client is gone; nobody reads this reply.
            let frame = frame.map_err(|_| {
                BotApiError::bad_request(&MultipartError::UnexpectedEnd.to_string())
            })?;
            if let Ok(data) = frame.into_data() {
                self.seen += data.len() as u64;
                if self.seen > MAX_BODY_BYTES {
                    return Err(BotApiError::entity_too_large());
                }
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    async fn gather(&mut self, max_bytes: usize) -> Result<Vec<u8>, BotApiError> {
        let mut text = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if text.len() + chunk.len() > max_bytes {
                return Err(BotApiError::too_many("too many parameters"));
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    }
}

/// The length of the request line and headers as they were on the wire, give or take the verb and
/// the version.
fn request_head_bytes(uri: &Uri, headers: &HeaderMap) -> usize {
    let uri = uri.path_and_query().map_or(0, |it| it.as_str().len());
    let fields: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    uri + fields
}

impl From<MultipartError> for BotApiError {
    fn from(error: MultipartError) -> Self {
        match error {
            MultipartError::HeadersTooLarge => Self::headers_too_large(),
            MultipartError::ValuesTooLarge | MultipartError::TooManyFiles => {
                Self::too_many(&error.to_string())
            }
            other => Self::bad_request(&other.to_string()),
        }
    }
}
