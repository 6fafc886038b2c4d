//! A delivery: one `sendDocument` whose body is being written.
//!
//! A [`Source`] pours the file into it. [`Delivery::commit`], which consumes the delivery, is the only
//! place that writes the closing boundary, and it does so only with a [`Permit`]. A delivery that is
//! dropped instead ends as a broken body, and Telegram stores nothing.

use std::ops::Range;

use crate::error::Error;
use crate::host::{Answer, Body as _, Call, CallFault, Chunk as _, Host, Method, Open, Sink as _};
use crate::multipart::envelope::{BOUNDARY_ENTROPY_BYTES, Envelope};
use crate::telegram::{self, ChatId};

use super::progress::{Deadline, Progress};
use super::transmit::{Broken, transmit, without_answer};

/// The name and the type of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileInfo {
    pub(super) name: String,
    pub(super) content_type: String,
}

/// Where a file's bytes come from.
pub(super) trait Source<H: Host> {
    /// Pours the whole file, and returns what is known about it at its end.
    ///
    /// # Errors
    /// Why the file is not complete. Then nothing is committed.
    fn pour(
        &mut self,
        delivery: &mut Delivery<'_, H>,
    ) -> impl Future<Output = Result<Poured, Broken>>;

    /// Whether the source can pour the same file again.
    fn can_pour_again(&self) -> bool {
        false
    }

    /// Whether the whole file is in WebAssembly's memory, so that one call can send it.
    fn is_in_memory(&self) -> bool {
        false
    }
}

/// What is known at the end of the file.
pub(super) struct Poured {
    pub(super) file: FileInfo,
    /// The caption, if the opening had none.
    pub(super) late_caption: Option<String>,
}

/// Permits the commit. Whoever records the outcome of an upload implements it.
pub(super) trait Permit {
    /// Asks for permission to write the closing boundary after this file of `size` bytes.
    ///
    /// # Errors
    /// Why the boundary must not be written.
    fn permit(&self, file_name: &str, size: u64) -> impl Future<Output = Result<(), Error>>;
}

/// A `sendDocument` request to make.
pub(super) struct Post<'a, H, P> {
    pub(super) host: &'a H,
    pub(super) permit: &'a P,
    /// The method's URL. It holds the bot's token.
    pub(super) url: String,
    pub(super) chat: &'a ChatId,
    pub(super) file: &'a FileInfo,
    /// `None` while it is unknown: then [`Poured::late_caption`] has it.
    pub(super) caption: Option<&'a str>,
    /// Bytes of the file, if known.
    pub(super) size: Option<u64>,
    /// Most bytes that the file may have.
    pub(super) limit: u64,
    pub(super) telegram_timeout_ms: u32,
    pub(super) deadline: Deadline,
}

/// The outcome of a body that was sent completely.
pub(super) struct Delivered {
    pub(super) file: FileInfo,
    /// Bytes, counted.
    pub(super) size: u64,
    pub(super) answer: Answer,
}

impl<H: Host, P: Permit> Post<'_, H, P> {
    /// Sends the file while it is poured.
    ///
    /// # Errors
    /// Why the body is not complete, or has no answer.
    pub(super) async fn stream(self, source: &mut impl Source<H>) -> Result<Delivered, Error> {
        let (envelope, opening) = self.open();
        let length = self.size.map(|size| {
            // A file whose size is known has its caption in the opening.
            size + (opening.len() + envelope.closing(None).len()) as u64
        });
        let (sink, answer) = self.host.open(Open {
            url: self.url,
            content_type: envelope.content_type(),
            length,
            max_answer_bytes: telegram::MAX_ANSWER_BYTES,
        });
        let progress = Progress::new(self.host, self.telegram_timeout_ms, self.deadline);
        let outgoing = Outgoing::Streamed(sink);
        let delivery = Delivery::new(&progress, outgoing, Some(envelope), self.limit);
        let pump = delivery.fill(&opening, source, self.permit);
        let (committed, answer) = transmit(self.host, &progress, pump, answer).await?;
        Ok(Delivered {
            file: committed.file,
            size: committed.size,
            answer,
        })
    }

    /// Sends a small file in one call. With `in_one_piece`, the closing boundary goes out with the rest,
    /// at two thirds of the cost. Without it, the runtime gets the boundary after the rest. That
    /// distinguishes an unreachable Telegram from one that may have the file.
    ///
    /// # Errors
    /// Why the body is not complete, or has no answer.
    pub(super) async fn call(
        self,
        source: &mut impl Source<H>,
        in_one_piece: bool,
    ) -> Result<Delivered, Error> {
        let (envelope, opening) = self.open();
        let closing_bytes = envelope.closing(None).len();
        let size = usize::try_from(self.size.unwrap_or_default()).unwrap_or_default();
        let call = Call {
            method: Method::Post,
            url: self.url,
            headers: vec![("content-type", envelope.content_type())],
            body: Vec::with_capacity(opening.len() + size + closing_bytes),
            last: Vec::new(),
            timeout_ms: self
                .deadline
                .bound(self.telegram_timeout_ms, self.host.now())?,
            max_answer_bytes: telegram::MAX_ANSWER_BYTES,
        };
        let progress = Progress::new(self.host, self.telegram_timeout_ms, self.deadline);
        let outgoing = Outgoing::Gathered {
            host: self.host.clone(),
            call,
            in_one_piece,
        };
        let delivery = Delivery::new(&progress, outgoing, Some(envelope), self.limit);
        match delivery.fill(&opening, source, self.permit).await {
            Ok(Committed {
                file,
                size,
                answer: Some(answer),
            }) => Ok(Delivered {
                file,
                size,
                answer: answer.map_err(without_answer)?,
            }),
            Err(Broken::Request(error)) => Err(error),
            // Writing to memory does not fail, and a call always has an outcome.
            Ok(_) | Err(Broken::Sink | Broken::Pipe) => Err(Error::Interrupted),
        }
    }

    /// The framing, and the body before the file's bytes.
    fn open(&self) -> (Envelope, String) {
        let mut entropy = [0; BOUNDARY_ENTROPY_BYTES];
        self.host.fill_random(&mut entropy);
        let envelope = Envelope::new(entropy);
        let opening = envelope.opening(
            self.chat.as_str(),
            self.caption,
            &self.file.name,
            &self.file.content_type,
        );
        (envelope, opening)
    }
}

/// Reads a file to its end without sending it, and returns its name and its size in bytes.
///
/// # Errors
/// What is wrong with the request.
pub(super) async fn dry_run<H: Host>(
    progress: &Progress<'_, H>,
    limit: u64,
    source: &mut impl Source<H>,
) -> Result<(FileInfo, u64), Error> {
    let mut delivery = Delivery::new(progress, Outgoing::DryRun, None, limit);
    match progress.watch(source.pour(&mut delivery)).await? {
        Ok(poured) => Ok((poured.file, delivery.size)),
        Err(Broken::Request(error)) => Err(error),
        Err(Broken::Sink | Broken::Pipe) => Err(Error::Interrupted),
    }
}

/// A body that is being written.
pub(super) struct Delivery<'a, H: Host> {
    progress: &'a Progress<'a, H>,
    outgoing: Outgoing<H>,
    /// The framing; `None` for a dry run.
    envelope: Option<Envelope>,
    limit: u64,
    /// Bytes of the file so far.
    size: u64,
}

/// When a body is sent.
enum Outgoing<H: Host> {
    /// While it is poured.
    Streamed(H::Sink),
    /// At the commit.
    Gathered {
        host: H,
        call: Call,
        in_one_piece: bool,
    },
    /// Never.
    DryRun,
}

/// The outcome of a commit.
struct Committed {
    file: FileInfo,
    size: u64,
    /// The answer to a body that was gathered.
    answer: Option<Result<Answer, CallFault>>,
}

impl<'a, H: Host> Delivery<'a, H> {
    fn new(
        progress: &'a Progress<'a, H>,
        outgoing: Outgoing<H>,
        envelope: Option<Envelope>,
        limit: u64,
    ) -> Self {
        Self {
            progress,
            outgoing,
            envelope,
            limit,
            size: 0,
        }
    }

    /// Call this before a piece of the client's body is read.
    pub(super) fn awaits_client(&self) {
        self.progress.awaits_client();
    }

    /// Writes these bytes of the file.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.count(bytes.len() as u64)?;
        self.put(bytes).await
    }

    /// Writes this range of a chunk as bytes of the file.
    pub(super) async fn write_range(
        &mut self,
        chunk: &H::Chunk,
        range: Range<usize>,
    ) -> Result<(), Broken> {
        self.count(range.len() as u64)?;
        self.progress.awaits_telegram();
        match &mut self.outgoing {
            Outgoing::Streamed(sink) => sink.write_range(chunk, range).await?,
            Outgoing::Gathered { call, .. } => {
                let mut bytes = Vec::new();
                chunk.copy_into(range, &mut bytes);
                call.body.extend_from_slice(&bytes);
            }
            Outgoing::DryRun => {}
        }
        Ok(())
    }

    /// Writes a whole incoming body, `length` bytes of the file, without looking at it.
    pub(super) async fn pipe(&mut self, body: &mut H::Body, length: u64) -> Result<(), Broken> {
        self.count(length)?;
        self.progress.awaits_pipe(length);
        match &mut self.outgoing {
            Outgoing::Streamed(sink) => sink.pipe(body).await?,
            Outgoing::Gathered { call, .. } => call.body.extend(body.read_whole().await?),
            Outgoing::DryRun => body.drain(length).await,
        }
        Ok(())
    }

    fn count(&mut self, bytes: u64) -> Result<(), Error> {
        self.size = self.size.saturating_add(bytes);
        if self.size > self.limit {
            return Err(Error::TooLarge { limit: self.limit });
        }
        Ok(())
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.progress.awaits_telegram();
        match &mut self.outgoing {
            Outgoing::Streamed(sink) => sink.write(bytes).await?,
            Outgoing::Gathered { call, .. } => call.body.extend_from_slice(bytes),
            Outgoing::DryRun => {}
        }
        Ok(())
    }

    /// Writes the whole body, from the opening to the commit.
    async fn fill(
        mut self,
        opening: &str,
        source: &mut impl Source<H>,
        permit: &impl Permit,
    ) -> Result<Committed, Broken> {
        self.put(opening.as_bytes()).await?;
        let poured = source.pour(&mut self).await?;
        self.commit(poured, permit).await
    }

    /// The commit point: asks for permission, writes the closing boundary and ends the body.
    async fn commit(self, poured: Poured, permit: &impl Permit) -> Result<Committed, Broken> {
        let Poured { file, late_caption } = poured;
        let size = self.size;
        if size == 0 {
            return Err(Error::EmptyFile.into());
        }
        self.progress.awaits_telegram();
        permit.permit(&file.name, size).await?;
        let closing = self
            .envelope
            .map(|envelope| envelope.closing(late_caption.as_deref()))
            .unwrap_or_default();
        let answer = match self.outgoing {
            Outgoing::Streamed(mut sink) => {
                sink.write(closing.as_bytes()).await?;
                self.progress.commits();
                sink.close().await?;
                None
            }
            Outgoing::Gathered {
                host,
                mut call,
                in_one_piece,
            } => {
                if in_one_piece {
                    call.body.extend_from_slice(closing.as_bytes());
                } else {
                    call.last = closing.into_bytes();
                }
                Some(host.call(call).await)
            }
            Outgoing::DryRun => None,
        };
        Ok(Committed { file, size, answer })
    }
}
