//! Fetches files with one user's bot: where a file is, what it is, and its bytes.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use super::known::{Content, FileKey, KnownFiles, file_key};
use super::range::{Slice, is_range};
use crate::config::Config;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::host::{Call, CallFault, Download as _, Fetched, Host, Method, within};
use crate::resumable::manifest::{MARKER, MAX_MANIFEST_BYTES, Manifest, ManifestFault};
use crate::telegram::{self, FileFault, FileId, RemoteFile, TelegramFault};

/// A manifest up to this size, in bytes, is read at once. Of a larger document only the first bytes are
/// read at first, because it may be a user's own.
const MAX_UNPEEKED_BYTES: u64 = 64 * 1024;

/// Why a file cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    File(FileFault),
    Manifest(ManifestFault),
    NotSatisfiable { size: u64 },
    PreconditionFailed,
}

impl From<FileFault> for Fault {
    fn from(fault: FileFault) -> Self {
        Self::File(fault)
    }
}

impl From<TelegramFault> for Fault {
    fn from(fault: TelegramFault) -> Self {
        Self::File(FileFault::Telegram(fault))
    }
}

impl Fault {
    pub(super) fn into_error(self, with_fresh_credentials: bool) -> Error {
        match self {
            Self::File(FileFault::TooBig) => Error::TooLargeForBotApi,
            Self::File(FileFault::NotFound) => Error::FileNotFound,
            Self::File(FileFault::NotServed) => Error::FileNotServed,
            Self::File(FileFault::Telegram(fault)) => Error::Download {
                fault,
                with_fresh_credentials,
            },
            Self::Manifest(fault) => Error::Manifest {
                why: fault.as_str(),
            },
            Self::NotSatisfiable { size } => Error::RangeNotSatisfiable { size },
            Self::PreconditionFailed => Error::PreconditionFailed,
        }
    }
}

/// One user's bot.
pub(super) struct Bot<H> {
    pub(super) host: H,
    pub(super) config: Rc<Config>,
    pub(super) known: Rc<RefCell<KnownFiles>>,
    pub(super) credentials: Rc<Credentials>,
}

/// A slice that is about to be sent.
pub(super) struct Opened<H: Host> {
    pub(super) body: H::Download,
    /// The bytes of the body that belong to the slice, if these are not all of it.
    pub(super) cut: Option<Range<u64>>,
}

impl<H: Host> Bot<H> {
    fn key(&self, id: &FileId) -> FileKey {
        file_key(&self.credentials.bot_token, id)
    }

    /// Where Telegram has the file.
    pub(super) async fn locate(&self, id: &FileId) -> Result<Rc<RemoteFile>, FileFault> {
        let key = self.key(id);
        let known = self.known.borrow().get(&key, self.host.now());
        if let Some((file, _)) = known {
            return Ok(file);
        }
        let file = Rc::new(self.get_file(id).await?);
        let mut known = self.known.borrow_mut();
        known.put(key, Rc::clone(&file), self.host.now());
        Ok(file)
    }

    async fn get_file(&self, id: &FileId) -> Result<RemoteFile, FileFault> {
        let bot_token = &self.credentials.bot_token;
        let url = bot_token.method_url(&self.config.telegram_api_url, "getFile");
        let call = Call {
            method: Method::Get,
            url: format!("{url}?file_id={}", id.as_str()),
            headers: Vec::new(),
            body: Vec::new(),
            last: Vec::new(),
            timeout_ms: self.config.telegram_timeout_ms,
            max_answer_bytes: telegram::MAX_ANSWER_BYTES,
        };
        let answer = self.host.call(call).await;
        let answer = answer.map_err(|fault| FileFault::Telegram(unanswered(fault)))?;
        telegram::read_file(&answer, bot_token)
    }

    /// What the file's bytes are. `getFile` does not say whether a file is a manifest. So the first bytes
    /// of every document are read whose size and extension a manifest could have.
    ///
    /// A user's own document that is an exact manifest is served as the file that it describes.
    pub(super) async fn content(&self, id: &FileId, remote: &RemoteFile) -> Result<Content, Fault> {
        let key = self.key(id);
        let known = self.known.borrow().get(&key, self.host.now());
        if let Some((_, Some(content))) = known {
            return Ok(content);
        }
        let content = if may_be_manifest(remote) {
            self.inspect(id, remote).await?
        } else {
            Content::Plain
        };
        let mut known = self.known.borrow_mut();
        known.put_content(&key, content.clone());
        Ok(content)
    }

    async fn inspect(&self, id: &FileId, remote: &RemoteFile) -> Result<Content, Fault> {
        let marker_bytes = MARKER.len() as u64;
        if remote.size > MAX_UNPEEKED_BYTES && self.read(id, 0..marker_bytes).await? != MARKER {
            return Ok(Content::Plain);
        }
        let document = self.read(id, 0..remote.size).await?;
        if !document.starts_with(MARKER) {
            return Ok(Content::Plain);
        }
        let manifest = Manifest::read(&document).map_err(Fault::Manifest)?;
        Ok(Content::Manifest(Rc::new(manifest)))
    }

    /// Reads the first bytes of a file.
    async fn read(&self, id: &FileId, bytes: Range<u64>) -> Result<Vec<u8>, FileFault> {
        let most = usize::try_from(bytes.end).unwrap_or(usize::MAX);
        let (_, fetched) = self.fetch(id, Some(bytes)).await?;
        let timeout_ms = self.config.telegram_timeout_ms;
        let read = within(&self.host, timeout_ms, fetched.body.read_up_to(most)).await;
        read.unwrap_or(Err(CallFault::Timeout))
            .map_err(|fault| FileFault::Telegram(unanswered(fault)))
    }

    /// Asks for a slice of a part.
    pub(super) async fn open(&self, id: &FileId, slice: &Slice) -> Result<Opened<H>, Fault> {
        let range = (!slice.is_whole()).then(|| slice.range.clone());
        let (remote, fetched) = self.fetch(id, range).await?;
        if remote.size != slice.part_bytes {
            return Err(Fault::Manifest(ManifestFault::PartChanged));
        }
        let is_just_that = match fetched.status {
            206 => {
                let said = fetched.content_range.as_deref().unwrap_or_default();
                if !is_range(said, &slice.range) {
                    return Err(failed().into());
                }
                true
            }
            _ => slice.is_whole(),
        };
        let cut = if !is_just_that {
            // The server ignores ranges: this is the whole part.
            Some(slice.range.clone())
        } else if fetched.content_length == Some(slice.len()) {
            None
        } else {
            // Without the length, a truncated part would look complete.
            Some(0..slice.len())
        };
        Ok(Opened {
            body: fetched.body,
            cut,
        })
    }

    /// Requests a file's bytes. If its path has expired early, asks for a new path once.
    async fn fetch(
        &self,
        id: &FileId,
        range: Option<Range<u64>>,
    ) -> Result<(Rc<RemoteFile>, Fetched<H::Download>), FileFault> {
        let remote = self.locate(id).await?;
        match self.fetch_once(&remote, range.clone()).await {
            Err(FileFault::NotServed) => {
                self.known.borrow_mut().forget(&self.key(id));
                let remote = self.locate(id).await?;
                let fetched = self.fetch_once(&remote, range).await?;
                Ok((remote, fetched))
            }
            fetched => Ok((remote, fetched?)),
        }
    }

    async fn fetch_once(
        &self,
        remote: &RemoteFile,
        range: Option<Range<u64>>,
    ) -> Result<Fetched<H::Download>, FileFault> {
        let url = remote.url(&self.config.telegram_api_url, &self.credentials.bot_token);
        let fetching = self.host.fetch(url, range);
        let fetched = within(&self.host, self.config.telegram_timeout_ms, fetching)
            .await
            .unwrap_or(Err(CallFault::Timeout))
            .map_err(|fault| FileFault::Telegram(unanswered(fault)))?;
        match fetched.status {
            200 | 206 => Ok(fetched),
            // A dead token has the same status. `getFile` shows which it is.
            401 | 403 | 404 | 410 => Err(FileFault::NotServed),
            429 => {
                let seconds = fetched
                    .retry_after
                    .and_then(|text| text.trim().parse().ok());
                let fault = TelegramFault::too_many_requests(seconds);
                Err(FileFault::Telegram(fault))
            }
            _ => Err(FileFault::Telegram(failed())),
        }
    }
}

/// Whether a file can be a manifest, according to `getFile`. The path keeps the extension of the
/// document's name.
fn may_be_manifest(remote: &RemoteFile) -> bool {
    let has_extension = match remote.name().rsplit_once('.') {
        Some((_, extension)) => extension.eq_ignore_ascii_case("json"),
        None => true,
    };
    has_extension && (MARKER.len() as u64..=MAX_MANIFEST_BYTES).contains(&remote.size)
}

fn unanswered(fault: CallFault) -> TelegramFault {
    match fault {
        CallFault::Timeout => TelegramFault::Stalled,
        CallFault::Network | CallFault::Unsent | CallFault::AnswerTooLong { .. } => {
            TelegramFault::Unreachable
        }
    }
}

fn failed() -> TelegramFault {
    TelegramFault::Failed { description: None }
}
