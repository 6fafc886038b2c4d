//! From a file id to a reply: where Telegram has the file, what of it is asked for, and the pump that
//! carries its bytes to the client.
//!
//! The bytes go natively from Telegram's answer into the reply. The first slice is opened before the
//! reply begins, so that what is wrong with the file is an error with a code; what goes wrong later
//! breaks the connection, so that a short body never looks whole.

use std::ops::Range;
use std::rc::Rc;

use futures_util::future::join;
use serde::Serialize;

use super::disposition::{content_disposition, content_type, told_name};
use super::known::{Content, FileKey, file_key};
use super::manifest::{MARKER, MAX_MANIFEST_BYTES, Manifest, ManifestFault};
use super::range::{Selection, Slice, content_range, is_range, select, slices};
use crate::credentials::{AuthToken, Credentials, Source, obtain};
use crate::error::Error;
use crate::host::{
    Call, CallFault, Download as _, Fetched, Host, Method, ReplySink as _, UnixMillis, within,
};
use crate::http::{Conditions, Reply, Served};
use crate::isolate::Shared;
use crate::telegram::{self, FileFault, FileId, RemoteFile, TelegramFault};

/// A manifest up to this size, in bytes, is read at once. Of a larger document the first bytes are
/// looked at before: it may be a user's own.
const MAX_UNPEEKED_BYTES: u64 = 64 * 1024;

/// What a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The file.
    pub id: FileId,
    /// Its name, in place of its own.
    pub name: Option<String>,
    /// Whether a browser is to show it.
    pub inline: bool,
    /// Whether a manifest is wanted as the document that it is.
    pub raw: bool,
    /// Whether the bytes are wanted, or the head alone.
    pub is_get: bool,
    /// What of it.
    pub conditions: Conditions,
}

/// Who asks.
#[derive(Debug)]
pub struct Caller<'a> {
    /// The user's token.
    pub token: &'a AuthToken,
    /// The user's id, if the request names one.
    pub user_id: Option<&'a str>,
    /// For the log.
    pub request_id: &'a str,
}

/// Answers with the file, or with the part of it that is asked for.
///
/// # Errors
/// Why not.
pub async fn download<H: Host>(
    host: &H,
    shared: &Shared,
    caller: &Caller<'_>,
    wanted: &Wanted,
) -> Result<Served<H::ReplyBody>, Error> {
    let served = with_bot(host, shared, caller, async |bot, log| {
        let file = bot.find(wanted).await?;
        let head = file.head(wanted)?;
        bot.answer(&file, head, log).await
    })
    .await;
    if let Err(error) = &served {
        LogLine::refused(caller, error).write(host, Ok(()));
    }
    served
}

/// Whether the file is there, for who wants nothing of it yet.
///
/// # Errors
/// Why it is not.
pub async fn exists<H: Host>(
    host: &H,
    shared: &Shared,
    caller: &Caller<'_>,
    id: &FileId,
) -> Result<(), Error> {
    with_bot(host, shared, caller, async |bot, _| {
        bot.locate(id).await.map(drop).map_err(Fault::from)
    })
    .await
}

/// Runs `ask` with the caller's bot, and once more with fresh credentials where Telegram blames
/// those of the cache.
async fn with_bot<H: Host, T>(
    host: &H,
    shared: &Shared,
    caller: &Caller<'_>,
    ask: impl AsyncFn(&Bot<H>, LogLine) -> Result<T, Fault>,
) -> Result<T, Error> {
    let began = host.now();
    let mut asked_before = false;
    loop {
        let (credentials, source) = obtain(host, shared, caller.token).await?;
        if caller.user_id.is_some_and(|id| id != credentials.user_id) {
            return Err(Error::WrongUser);
        }
        let bot = Bot {
            host: host.clone(),
            shared: shared.clone(),
            credentials: Rc::clone(&credentials),
        };
        let log = LogLine::new(caller, &credentials, source, began);
        let error = match ask(&bot, log).await {
            Ok(done) => return Ok(done),
            Err(fault) => fault.into_error(source == Source::Miss),
        };
        if error.blames_credentials() {
            let mut cache = shared.cache.borrow_mut();
            cache.drop_refused(&caller.token.hash(), &credentials);
            if source != Source::Miss && !asked_before {
                asked_before = true;
                continue;
            }
        }
        return Err(error);
    }
}

/// Why a file can't be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
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

impl Fault {
    fn into_error(self, with_fresh_credentials: bool) -> Error {
        match self {
            Self::File(FileFault::TooBig) => Error::TooLargeForBotApi,
            Self::File(FileFault::NotFound) => Error::FileNotFound,
            Self::File(FileFault::NotServed) => Error::FileNotServed,
            Self::File(FileFault::Telegram(fault)) => Error::Download {
                fault,
                with_fresh_credentials,
            },
            Self::Manifest(fault) => Error::Manifest(fault),
            Self::NotSatisfiable { size } => Error::RangeNotSatisfiable { size },
            Self::PreconditionFailed => Error::PreconditionFailed,
        }
    }
}

/// A file, as the client sees it.
struct File {
    id: FileId,
    remote: Rc<RemoteFile>,
    /// There is one for a large file.
    manifest: Option<Rc<Manifest>>,
}

/// A reply's head, and the bytes that go with it.
struct Head {
    reply: Reply,
    bytes: Option<Range<u64>>,
}

impl File {
    fn size(&self) -> u64 {
        self.manifest
            .as_ref()
            .map_or(self.remote.size, |manifest| manifest.size())
    }

    /// The slices that hold these bytes, each with the id of its part.
    fn slices(&self, bytes: Range<u64>) -> impl Iterator<Item = (FileId, Slice)> + use<> {
        let parts: Vec<(FileId, u64)> = match &self.manifest {
            Some(manifest) => {
                let parts = manifest.parts().iter();
                parts
                    .map(|part| (part.file_id.clone(), part.size))
                    .collect()
            }
            None => vec![(self.id.clone(), self.remote.size)],
        };
        let sizes: Vec<u64> = parts.iter().map(|(_, size)| *size).collect();
        slices(sizes, bytes).filter_map(move |slice| {
            let (id, _) = parts.get(slice.part)?;
            Some((id.clone(), slice))
        })
    }

    /// A file never changes: its id is its version. The id that is the same for every bot is of no use
    /// for fetching.
    fn etag(&self) -> String {
        let unique_id = self.remote.unique_id.as_deref().and_then(FileId::parse);
        let id = unique_id.as_ref().unwrap_or(&self.id);
        format!("\"{}\"", id.as_str())
    }

    fn head(&self, wanted: &Wanted) -> Result<Head, Fault> {
        let (size, etag) = (self.size(), self.etag());
        let (status, bytes) = match select(&wanted.conditions, wanted.is_get, &etag, size) {
            Selection::Whole => (200, 0..size),
            Selection::Bytes(bytes) => (206, bytes),
            Selection::NotModified => (304, 0..0),
            Selection::NotSatisfiable => return Err(Fault::NotSatisfiable { size }),
            Selection::PreconditionFailed => return Err(Fault::PreconditionFailed),
        };
        let mut headers = vec![
            ("etag", etag),
            ("accept-ranges", "bytes".to_owned()),
            // A cache that is shared keeps nothing, the browser's own asks each time, and nobody on
            // the way compresses: that would take the length away, and weaken the tag.
            (
                "cache-control",
                "private, no-cache, no-transform".to_owned(),
            ),
        ];
        if status != 304 {
            headers.extend(self.description(wanted));
            headers.push(("content-length", (bytes.end - bytes.start).to_string()));
        }
        if status == 206 {
            headers.push(("content-range", content_range(&bytes, size)));
        }
        Ok(Head {
            reply: Reply {
                status,
                headers,
                body: String::new(),
            },
            bytes: (wanted.is_get && status != 304).then_some(bytes),
        })
    }

    fn description(&self, wanted: &Wanted) -> [(&'static str, String); 6] {
        let manifest = self.manifest.as_ref();
        let own_name = manifest.map_or(self.remote.name(), |manifest| manifest.name());
        let name = told_name(wanted.name.as_deref().unwrap_or(own_name));
        let content_type = content_type(manifest.map(|manifest| manifest.mime_type()), &name);
        [
            (
                "content-disposition",
                content_disposition(&name, &content_type, wanted.inline),
            ),
            ("content-type", content_type),
            ("x-content-type-options", "nosniff".to_owned()),
            (
                "content-security-policy",
                "sandbox; default-src 'none'".to_owned(),
            ),
            ("referrer-policy", "no-referrer".to_owned()),
            // Pages of other origins may embed it: without the token or a link nobody gets it.
            ("cross-origin-resource-policy", "cross-origin".to_owned()),
        ]
    }
}

/// One user's bot.
struct Bot<H> {
    host: H,
    shared: Shared,
    credentials: Rc<Credentials>,
}

impl<H: Host> Bot<H> {
    fn key(&self, id: &FileId) -> FileKey {
        file_key(&self.credentials.bot_token, id)
    }

    async fn find(&self, wanted: &Wanted) -> Result<File, Fault> {
        let remote = self.locate(&wanted.id).await?;
        let content = if wanted.raw {
            Content::Plain
        } else {
            self.content(&wanted.id, &remote).await?
        };
        Ok(File {
            id: wanted.id.clone(),
            remote,
            manifest: match content {
                Content::Plain => None,
                Content::Manifest(manifest) => Some(manifest),
            },
        })
    }

    /// Where Telegram has the file.
    async fn locate(&self, id: &FileId) -> Result<Rc<RemoteFile>, FileFault> {
        let key = self.key(id);
        let known = self.shared.files.borrow().get(&key, self.host.now());
        if let Some((file, _)) = known {
            return Ok(file);
        }
        let file = Rc::new(self.get_file(id).await?);
        let mut files = self.shared.files.borrow_mut();
        files.put(key, Rc::clone(&file), self.host.now());
        Ok(file)
    }

    async fn get_file(&self, id: &FileId) -> Result<RemoteFile, FileFault> {
        let config = &self.shared.config;
        let bot_token = &self.credentials.bot_token;
        let url = bot_token.method_url(&config.telegram_api_url, "getFile");
        let call = Call {
            method: Method::Get,
            url: format!("{url}?file_id={}", id.as_str()),
            headers: Vec::new(),
            body: Vec::new(),
            last: Vec::new(),
            timeout_ms: config.telegram_timeout_ms,
            max_answer_bytes: telegram::MAX_ANSWER_BYTES,
        };
        let answer = self.host.call(call).await;
        let answer = answer.map_err(|fault| FileFault::Telegram(unanswered(fault)))?;
        telegram::read_file(&answer, bot_token)
    }

    /// What the file's bytes are. `getFile` does not say whether a file is a manifest, so what can be
    /// one is looked at: a document of a manifest's size, and of its extension, if it has any.
    ///
    /// A user's own document that is a manifest word by word is served as the file that it describes.
    async fn content(&self, id: &FileId, remote: &RemoteFile) -> Result<Content, Fault> {
        let key = self.key(id);
        let known = self.shared.files.borrow().get(&key, self.host.now());
        if let Some((_, Some(content))) = known {
            return Ok(content);
        }
        let content = if may_be_manifest(remote) {
            self.inspect(id, remote).await?
        } else {
            Content::Plain
        };
        let mut files = self.shared.files.borrow_mut();
        files.put_content(&key, content.clone());
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
        let timeout_ms = self.shared.config.telegram_timeout_ms;
        let read = within(&self.host, timeout_ms, fetched.body.read_up_to(most)).await;
        read.unwrap_or(Err(CallFault::Timeout))
            .map_err(|fault| FileFault::Telegram(unanswered(fault)))
    }

    /// Asks for a file's bytes. A path may end before its time: then it is asked for once more.
    async fn fetch(
        &self,
        id: &FileId,
        range: Option<Range<u64>>,
    ) -> Result<(Rc<RemoteFile>, Fetched<H::Download>), FileFault> {
        let remote = self.locate(id).await?;
        match self.fetch_once(&remote, range.clone()).await {
            Err(FileFault::NotServed) => {
                self.shared.files.borrow_mut().forget(&self.key(id));
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
        let config = &self.shared.config;
        let url = remote.url(&config.telegram_api_url, &self.credentials.bot_token);
        let fetching = self.host.fetch(url, range);
        let fetched = within(&self.host, config.telegram_timeout_ms, fetching)
            .await
            .unwrap_or(Err(CallFault::Timeout))
            .map_err(|fault| FileFault::Telegram(unanswered(fault)))?;
        match fetched.status {
            200 | 206 => Ok(fetched),
            // A dead token looks like this as well: `getFile` tells.
            401 | 403 | 404 | 410 => Err(FileFault::NotServed),
            429 => Err(FileFault::Telegram(TelegramFault::too_many_requests(
                fetched.retry_after.as_deref(),
            ))),
            _ => Err(FileFault::Telegram(failed())),
        }
    }

    /// Asks for a slice of a part.
    async fn open(&self, id: &FileId, slice: Slice) -> Result<Opened<H>, Fault> {
        let range = (!slice.is_whole()).then(|| slice.range.clone());
        let (remote, fetched) = self.fetch(id, range).await?;
        if remote.size != slice.part_bytes {
            return Err(Fault::Manifest(ManifestFault::PartChanged));
        }
        let is_just_that = match fetched.status {
            206 => {
                let said = fetched.content_range.as_deref().unwrap_or_default();
                if !is_range(said, &slice.range) {
                    return Err(FileFault::Telegram(failed()).into());
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
            // Without the length a part that ends early would look like a whole one.
            Some(0..slice.len())
        };
        Ok(Opened {
            body: fetched.body,
            cut,
        })
    }

    /// Begins the reply, and leaves the pump to carry the bytes after it.
    async fn answer(
        &self,
        file: &File,
        head: Head,
        mut log: LogLine,
    ) -> Result<Served<H::ReplyBody>, Fault> {
        let Head { reply, bytes } = head;
        log.status = reply.status;
        let Some(bytes) = bytes else {
            log.write(&self.host, Ok(()));
            return Ok(reply.into());
        };
        log.bytes = bytes.end - bytes.start;
        let mut slices = file.slices(bytes);
        let Some((id, slice)) = slices.next() else {
            return Err(FileFault::Telegram(failed()).into());
        };
        let first = self.open(&id, slice).await?;
        let (sink, body) = self.host.reply_stream(log.bytes);
        let bot = Self {
            host: self.host.clone(),
            shared: self.shared.clone(),
            credentials: Rc::clone(&self.credentials),
        };
        self.host.defer(async move {
            let pumped = bot.pump(first, slices, sink).await;
            log.write(&bot.host, pumped);
        });
        Ok(Served {
            reply,
            stream: Some(body),
        })
    }

    /// Carries slice after slice to the client. A sink that is dropped breaks the connection.
    async fn pump(
        &self,
        mut opened: Opened<H>,
        mut slices: impl Iterator<Item = (FileId, Slice)>,
        mut sink: H::ReplySink,
    ) -> Result<(), Interrupted> {
        loop {
            let next = slices.next();
            // Where the next part is, is asked while this one flows.
            let look_ahead = async {
                if let Some((id, _)) = &next {
                    let _ = self.locate(id).await;
                }
            };
            let piping = async {
                match opened.cut {
                    None => sink.pipe(opened.body).await,
                    Some(range) => sink.pipe_range(opened.body, range).await,
                }
            };
            let (piped, ()) = join(piping, look_ahead).await;
            piped.map_err(|_| Interrupted)?;
            let Some((id, slice)) = next else {
                return sink.close().await.map_err(|_| Interrupted);
            };
            opened = self.open(&id, slice).await.map_err(|_| Interrupted)?;
        }
    }
}

/// A slice that is about to flow.
struct Opened<H: Host> {
    body: H::Download,
    /// The bytes of the body that belong to the slice, where those are not all of it.
    cut: Option<Range<u64>>,
}

/// The client went away, or Telegram did.
struct Interrupted;

/// Whether a file can be a manifest by what `getFile` says. The path keeps the extension of the
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

/// The one line that a download writes to the log. It holds no file's name, id or link.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogLine {
    event: &'static str,
    request_id: String,
    status: u16,
    code: Option<&'static str>,
    bytes: u64,
    user_id: Option<String>,
    credentials: Option<&'static str>,
    ms: Option<u64>,
    #[serde(skip)]
    began: Option<UnixMillis>,
}

impl LogLine {
    fn new(
        caller: &Caller<'_>,
        credentials: &Credentials,
        source: Source,
        began: UnixMillis,
    ) -> Self {
        Self {
            event: "download",
            request_id: caller.request_id.to_owned(),
            status: 0,
            code: None,
            bytes: 0,
            user_id: Some(credentials.user_id.clone()),
            credentials: Some(source.as_str()),
            ms: None,
            began: Some(began),
        }
    }

    fn refused(caller: &Caller<'_>, error: &Error) -> Self {
        let told = error.describe();
        Self {
            event: "download",
            request_id: caller.request_id.to_owned(),
            status: told.status,
            code: Some(told.code),
            bytes: 0,
            user_id: None,
            credentials: None,
            ms: None,
            began: None,
        }
    }

    fn write<H: Host>(mut self, host: &H, pumped: Result<(), Interrupted>) {
        if pumped.is_err() {
            self.code = Some("download_interrupted");
        }
        self.ms = self.began.map(|began| host.now().saturating_sub(began));
        // Strings and numbers always serialise.
        host.log(&serde_json::to_string(&self).unwrap_or_default());
    }
}
