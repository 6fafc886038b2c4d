//! getFile, and the download of what it names.

use axum::{
    body::Body,
    http::header::{CONTENT_LENGTH, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use crate::{
    error::BotApiError,
    kind::Kind,
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

impl Telegram {
    /// getFile.
    pub(crate) async fn get_file(&self, bot: &Bot, file_id: &str) -> Result<Value, BotApiError> {
        let file_id = file_id.trim();
        if file_id.is_empty() {
            return Err(BotApiError::bad_request("file_id not specified"));
        }
        let stored = self.own_file(bot, file_id).await?;
        if stored.file.size_bytes > MAX_DOWNLOAD_BYTES {
            return Err(BotApiError::bad_request("file is too big"));
        }
        self.store
            .open_file_path(stored.sequence, unix_now() + PATH_TTL_SECONDS)
            .await?;
        Ok(json!({
            "file_id": stored.file.file_id,
            "file_unique_id": stored.file.file_unique_id,
            "file_size": stored.file.size_bytes,
            "file_path": file_path(&stored),
        }))
    }

    /// The content of the file whose path getFile gave out.
    pub(crate) async fn download(&self, token: &str, path: &str) -> Result<Response, BotApiError> {
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
        self.content(&stored).await
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
        let file = File::open(self.blobs.path(&stored.file.blob)).await?;
        let content = Body::from_stream(ReaderStream::with_capacity(file, CHUNK_BYTES));
        let headers = [
            (CONTENT_TYPE, "application/octet-stream".to_owned()),
            (CONTENT_LENGTH, stored.file.size_bytes.to_string()),
        ];
        Ok((headers, content).into_response())
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
