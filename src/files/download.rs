//! From a file id to a reply: where Telegram has the file, which bytes the request wants, and the pump
//! that sends them to the client.
//!
//! The bytes flow natively from Telegram's answer into the reply. The first slice is opened before the
//! reply begins, so that a problem with the file is an error with a code. A later problem breaks the
//! connection, so that a short body never looks complete.

use std::ops::Range;
use std::rc::Rc;

use futures_util::future::join;
use serde::Serialize;

use super::FileStore;
use super::bot::{Bot, Fault, Opened};
use super::disposition::{content_disposition, content_type, told_name};
use super::known::Content;
use super::range::{Selection, Slice, content_range, select, slices};
use crate::credentials::{AuthToken, Credentials, Source};
use crate::error::Error;
use crate::host::{Host, ReplySink as _, UnixMillis};
use crate::http::{Conditions, Reply, Served};
use crate::resumable::manifest::Manifest;
use crate::telegram::{FileId, RemoteFile, TelegramFault};

/// What a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The file.
    pub id: FileId,
    /// A name to use instead of the file's own.
    pub name: Option<String>,
    /// Whether a browser should show it.
    pub inline: bool,
    /// Whether to send a manifest itself instead of the file that it describes.
    pub raw: bool,
    /// Whether the bytes are wanted, or only the head.
    pub is_get: bool,
    /// Which bytes, and under which conditions.
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

impl FileStore {
    /// Answers with the file, or with the requested range of it.
    ///
    /// # Errors
    /// Why the file cannot be sent.
    pub async fn download<H: Host>(
        &self,
        host: &H,
        caller: &Caller<'_>,
        wanted: &Wanted,
    ) -> Result<Served<H::ReplyBody>, Error> {
        let served = self
            .with_bot(host, caller, async |bot, log| {
                let file = find(bot, wanted).await?;
                let head = file.head(wanted)?;
                answer(bot, &file, head, log).await
            })
            .await;
        if let Err(error) = &served {
            LogLine::refused(caller, error).write(host, true);
        }
        served
    }

    /// Checks that the file exists, without sending it.
    ///
    /// # Errors
    /// Why it cannot be found.
    pub async fn find<H: Host>(
        &self,
        host: &H,
        caller: &Caller<'_>,
        id: &FileId,
    ) -> Result<(), Error> {
        self.with_bot(host, caller, async |bot, _| {
            bot.locate(id).await.map(drop).map_err(Fault::from)
        })
        .await
    }

    /// Runs `ask` with the caller's bot. If Telegram refuses cached credentials, runs it once more with
    /// fresh ones.
    async fn with_bot<H: Host, T>(
        &self,
        host: &H,
        caller: &Caller<'_>,
        ask: impl AsyncFn(&Bot<H>, LogLine) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        let began = host.now();
        let mut asked_before = false;
        loop {
            let (credentials, source) = self.credentials.obtain(host, caller.token).await?;
            if caller.user_id.is_some_and(|id| id != credentials.user_id) {
                return Err(Error::WrongUser);
            }
            let bot = Bot {
                host: host.clone(),
                config: Rc::clone(&self.config),
                known: Rc::clone(&self.known),
                credentials: Rc::clone(&credentials),
            };
            let log = LogLine::new(caller, &credentials, source, began);
            let error = match ask(&bot, log).await {
                Ok(done) => return Ok(done),
                Err(fault) => fault.into_error(source == Source::Miss),
            };
            if error.blames_credentials() {
                self.credentials.drop_refused(caller.token, &credentials);
                if source != Source::Miss && !asked_before {
                    asked_before = true;
                    continue;
                }
            }
            return Err(error);
        }
    }
}

/// A file, as the client sees it.
struct File {
    id: FileId,
    remote: Rc<RemoteFile>,
    /// The manifest of a large file.
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

    /// A file never changes, so its id is its version. The id that is the same for every bot cannot be
    /// used to fetch the file.
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
            // Shared caches store nothing, and the browser's cache revalidates each time. Nobody on
            // the way may compress: that would remove the length and weaken the tag.
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
            // Pages of other origins may embed it: only those with the token or a link get it.
            ("cross-origin-resource-policy", "cross-origin".to_owned()),
        ]
    }
}

async fn find<H: Host>(bot: &Bot<H>, wanted: &Wanted) -> Result<File, Fault> {
    let remote = bot.locate(&wanted.id).await?;
    let content = if wanted.raw {
        Content::Plain
    } else {
        bot.content(&wanted.id, &remote).await?
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

/// Begins the reply. The pump sends the bytes after it.
async fn answer<H: Host>(
    bot: &Bot<H>,
    file: &File,
    head: Head,
    mut log: LogLine,
) -> Result<Served<H::ReplyBody>, Fault> {
    let Head { reply, bytes } = head;
    log.status = reply.status;
    let Some(bytes) = bytes else {
        log.write(&bot.host, true);
        return Ok(reply.into());
    };
    log.bytes = bytes.end - bytes.start;
    let mut slices = file.slices(bytes);
    let Some((id, slice)) = slices.next() else {
        // Telegram stores no empty files.
        return Err(TelegramFault::Failed { description: None }.into());
    };
    let first = bot.open(&id, &slice).await?;
    let (sink, body) = bot.host.reply_stream(log.bytes);
    let bot = Bot {
        host: bot.host.clone(),
        config: Rc::clone(&bot.config),
        known: Rc::clone(&bot.known),
        credentials: Rc::clone(&bot.credentials),
    };
    let host = bot.host.clone();
    host.defer(async move {
        let pumped = pump(&bot, first, slices, sink).await;
        log.write(&bot.host, pumped.is_ok());
    });
    Ok(Served {
        reply,
        stream: Some(body),
    })
}

/// Sends slice after slice to the client. Dropping the sink breaks the connection.
async fn pump<H: Host>(
    bot: &Bot<H>,
    mut opened: Opened<H>,
    mut slices: impl Iterator<Item = (FileId, Slice)>,
    mut sink: H::ReplySink,
) -> Result<(), Interrupted> {
    loop {
        let next = slices.next();
        // Locates the next part while this one is being sent.
        let look_ahead = async {
            if let Some((id, _)) = &next {
                let _ = bot.locate(id).await;
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
        opened = bot.open(&id, &slice).await.map_err(|_| Interrupted)?;
    }
}

/// The client or Telegram went away.
struct Interrupted;

/// The line that a download writes to the log. It contains no file name, file id or link.
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
        let description = error.describe();
        Self {
            event: "download",
            request_id: caller.request_id.to_owned(),
            status: description.status,
            code: Some(description.code),
            bytes: 0,
            user_id: None,
            credentials: None,
            ms: None,
            began: None,
        }
    }

    fn write<H: Host>(mut self, host: &H, is_whole: bool) {
        if !is_whole {
            self.code = Some("download_interrupted");
        }
        self.ms = self.began.map(|began| host.now().saturating_sub(began));
        // Strings and numbers always serialise.
        host.log(&serde_json::to_string(&self).unwrap_or_default());
    }
}
