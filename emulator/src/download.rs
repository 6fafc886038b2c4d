//! getFile, and the download of what it names.

use std::{
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    http::{
        StatusCode,
        header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _, ReadBuf},
};
use tokio_util::io::ReaderStream;

use crate::{
    error::BotApiError,
    kind::Kind,
    range::{Asked, asked},
    store::{Bot, StoredFile, unix_now},
    telegram::Telegram,
    token::BotToken,
};

/// Largest file that a bot can fetch back from the cloud server, in bytes.
const MAX_DOWNLOAD_BYTES: i64 = 20 << 20;
/// How long a path that getFile gave out works, in seconds.
const PATH_TTL_SECONDS: i64 = 3600;
/// Bytes read from the disk at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// How the file server behaves towards one request: an extension of the request, where a test wants it
/// to differ from Telegram's.
#[derive(Clone, Debug)]
pub struct FileServer {
    /// Whether `Range` is heeded. Telegram's server does.
    pub takes_range: bool,
    /// The connection breaks after so many bytes of a body.
    pub cut_after_bytes: Option<u64>,
    /// How long a path works that this getFile gives out, in seconds.
    pub path_ttl_seconds: i64,
}

impl Default for FileServer {
    fn default() -> Self {
        Self {
            takes_range: true,
            cut_after_bytes: None,
            path_ttl_seconds: PATH_TTL_SECONDS,
        }
    }
}

impl Telegram {
    /// getFile.
    pub(crate) async fn get_file(
        &self,
        bot: &Bot,
        file_id: &str,
        server: &FileServer,
    ) -> Result<Value, BotApiError> {
        let file_id = file_id.trim();
        if file_id.is_empty() {
            return Err(BotApiError::bad_request("file_id not specified"));
        }
        let stored = self.own_file(bot, file_id).await?;
        if stored.file.size_bytes > MAX_DOWNLOAD_BYTES {
            return Err(BotApiError::bad_request("file is too big"));
        }
        self.store
            .open_file_path(stored.sequence, unix_now() + server.path_ttl_seconds)
            .await?;
        Ok(json!({
            "file_id": stored.file.file_id,
            "file_unique_id": stored.file.file_unique_id,
            "file_size": stored.file.size_bytes,
            "file_path": file_path(&stored),
        }))
    }

    /// The content of the file whose path getFile gave out.
    pub(crate) async fn download(
        &self,
        token: &str,
        path: &str,
        range: Option<&str>,
        server: &FileServer,
    ) -> Result<Response, BotApiError> {
        let token = BotToken::parse(token).ok_or_else(BotApiError::not_found)?;
        let bot = self.get_me(&token).await?;
        let stored = match sequence_in(path) {
            Some(sequence) => self.store.file(sequence).await?,
            None => None,
        };
        let stored = stored
            .filter(|stored| {
                stored.file.bot_id == bot.id
                    && stored.path_expires_at.is_some_and(|at| at > unix_now())
                    && file_path(stored) == path
            })
            .ok_or_else(BotApiError::not_found)?;
        let size = u64::try_from(stored.file.size_bytes).unwrap_or_default();
        let (status, bytes) = match range.filter(|_| server.takes_range) {
            None => (StatusCode::OK, 0..size),
            Some(range) => match asked(range, size) {
                Asked::Whole => (StatusCode::OK, 0..size),
                Asked::Bytes(bytes) => (StatusCode::PARTIAL_CONTENT, bytes),
                Asked::Beyond => {
                    let size = [(CONTENT_RANGE, format!("bytes */{size}"))];
                    return Ok((StatusCode::RANGE_NOT_SATISFIABLE, size).into_response());
                }
            },
        };
        let content = self.bytes(&stored, &bytes, server.cut_after_bytes).await?;
        let headers = [
            (CONTENT_TYPE, "application/octet-stream".to_owned()),
            (CONTENT_LENGTH, (bytes.end - bytes.start).to_string()),
        ];
        let mut response = (status, headers, content).into_response();
        if status == StatusCode::PARTIAL_CONTENT {
            let header = format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1);
            if let Ok(header) = header.parse() {
                response.headers_mut().insert(CONTENT_RANGE, header);
            }
        }
        if server.takes_range {
            let bytes = "bytes".parse().ok();
            response
                .headers_mut()
                .extend(bytes.map(|bytes| (ACCEPT_RANGES, bytes)));
        }
        Ok(response)
    }

    /// These bytes of a file as a body, which breaks after `cut_after` of them.
    async fn bytes(
        &self,
        stored: &StoredFile,
        bytes: &Range<u64>,
        cut_after: Option<u64>,
    ) -> io::Result<Body> {
        let mut file = File::open(self.blobs.path(&stored.file.blob)).await?;
        file.seek(io::SeekFrom::Start(bytes.start)).await?;
        let length = bytes.end - bytes.start;
        Ok(match cut_after {
            Some(cut_after) if cut_after < length => body(file.take(cut_after).chain(Broken)),
            _ => body(file.take(length)),
        })
    }

    /// A file that this bot sent.
    pub(crate) async fn own_file(
        &self,
        bot: &Bot,
        file_id: &str,
    ) -> Result<StoredFile, BotApiError> {
        self.store
            .file_by_id(file_id)
            .await?
            .filter(|stored| stored.file.bot_id == bot.id)
            .ok_or_else(|| {
                BotApiError::bad_request("wrong file_id or the file is temporarily unavailable")
            })
    }

    /// A reply with the content of the file that has this `file_id`; `None` if there is no such file.
    ///
    /// # Errors
    /// When the database or the folder of file contents fails.
    pub async fn content_of(&self, file_id: &str) -> Result<Option<Response>, BotApiError> {
        match self.store.file_by_id(file_id).await? {
            Some(stored) => self.content(&stored).await.map(Some),
            None => Ok(None),
        }
    }

    /// A reply with a stored file's content.
    async fn content(&self, stored: &StoredFile) -> Result<Response, BotApiError> {
        let content = body(File::open(self.blobs.path(&stored.file.blob)).await?);
        let headers = [
            (CONTENT_TYPE, "application/octet-stream".to_owned()),
            (CONTENT_LENGTH, stored.file.size_bytes.to_string()),
        ];
        Ok((headers, content).into_response())
    }
}

fn body(content: impl AsyncRead + Send + 'static) -> Body {
    Body::from_stream(ReaderStream::with_capacity(content, CHUNK_BYTES))
}

/// Where a connection breaks: hyper closes it when a body fails.
struct Broken;

impl AsyncRead for Broken {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

/// The path that getFile gives out: folder, number, and the extension of the file's name where it
/// can stand in a URL as it is.
fn file_path(stored: &StoredFile) -> String {
    let folder = Kind::from_name(&stored.file.kind).folder();
    let extension = stored
        .file
        .file_name
        .rsplit_once('.')
        .map(|(_, extension)| extension)
        .filter(|extension| extension.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .map_or(String::new(), |extension| format!(".{extension}"));
    format!("{folder}/file_{}{extension}", stored.sequence)
}

fn sequence_in(path: &str) -> Option<i64> {
    let (_, name) = path.split_once("/file_")?;
    name.split('.').next()?.parse().ok()
}
