//! What the core asks of the runtime: clock, randomness, timers, network, streams.
//!
//! The bytes of a file are opaque here. A [`Chunk`] may be a buffer outside this program's memory. The
//! core searches it where it is ([`Chunk::find`]), copies only the few bytes that it has to read itself
//! ([`Chunk::copy_into`]), and forwards *ranges* of the chunk, which are never copied back.

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::pin;
use std::task::Poll;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type UnixMillis = u64;

/// The method of an outgoing [`Call`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
}

/// A request whose whole body is in memory.
pub struct Call {
    /// The method.
    pub method: Method,
    /// The URL. It may contain a bot's token, so it must not appear in a log or an error.
    pub url: String,
    /// Headers; names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty means none.
    pub body: Vec<u8>,
    /// The end of the body, which is written only after the runtime has taken what comes before it. Empty
    /// means that there is none. Without it, the receiver must treat the request as incomplete.
    pub last: Vec<u8>,
    /// Milliseconds within which the whole answer must arrive.
    pub timeout_ms: u32,
    /// Most bytes of the answer's body that are read.
    pub max_answer_bytes: usize,
}

/// An answer with its whole body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The value of `Retry-After`, as received.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// `Retry-After` in seconds (RFC 9110 section 10.2.3). Neither Telegram nor the backend uses its date
    /// form.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        self.retry_after.as_deref()?.trim().parse().ok()
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFault {
    /// Time ran out.
    Timeout,
    /// The connection was refused, reset, or ended early.
    Network,
    /// The connection failed or time ran out before [`Call::last`] was written.
    Unsent,
    /// The answer's body is longer than `max_answer_bytes`.
    AnswerTooLong {
        /// The HTTP status.
        status: u16,
    },
}

/// An answer whose body has not been read.
pub struct Fetched<D> {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Length`. The runtime fails a body that is shorter.
    pub content_length: Option<u64>,
    /// `Content-Range`, as received.
    pub content_range: Option<String>,
    /// `Retry-After`, as received.
    pub retry_after: Option<String>,
    /// The body.
    pub body: D,
}

/// A durable object, by its class and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object<'a> {
    /// The binding of its class.
    pub binding: &'static str,
    /// Its name: there is one object for each.
    pub name: &'a str,
}

/// What a durable object replied: an answer with status 200, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectReply {
    /// 200; 400 for a question that can't be read; 500 when the object could not answer it.
    pub status: u16,
    /// JSON.
    pub body: String,
}

/// Why a durable object did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectFault {
    /// This deployment has no binding for it.
    NotBound,
    /// It can't read the question: another version of the worker asked. It did nothing.
    Unreadable,
    /// Its storage failed, or its settings are wrong. It did nothing.
    Failed,
    /// It could not be reached, took too long, or its answer can't be read. It may have done what it
    /// was asked.
    NoAnswer,
}

/// The connection ended before the body did: the client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientGone;

/// The other side accepts no more bytes: the connection is closed, or was never made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkClosed;

/// A pipe stopped before its end: one of its two sides broke. It does not show which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipeBroken;

/// The runtime.
pub trait Host: Clone + 'static {
    /// A piece of an incoming body.
    type Chunk: Chunk;
    /// An incoming body.
    type Body: Body<Chunk = Self::Chunk>;
    /// An outgoing body.
    type Sink: Sink<Chunk = Self::Chunk, Body = Self::Body>;
    /// The answer to a POST whose body is written piece by piece. Dropping it aborts the request.
    type Answer: Future<Output = Result<Answer, CallFault>>;
    /// The body of an answer that is not read yet.
    type Download: Download;
    /// Where the body of a streamed reply is written.
    type ReplySink: ReplySink<Download = Self::Download>;
    /// The body of a streamed reply, as the client reads it.
    type ReplyBody: 'static;
    /// A digest that is being computed.
    type Digester: Digester<Chunk = Self::Chunk, Body = Self::Body>;

    /// The time of day.
    fn now(&self) -> UnixMillis;
    /// Fills `bytes` from a cryptographically secure source.
    fn fill_random(&self, bytes: &mut [u8]);
    /// Ends after that many milliseconds.
    fn sleep(&self, ms: u32) -> impl Future<Output = ()>;
    /// Runs a task that the reply does not wait for.
    fn defer(&self, task: impl Future<Output = ()> + 'static);
    /// Writes one line to the log.
    fn log(&self, line: &str);
    /// Sends a request whose whole body is in memory, and reads the answer. Redirects are not followed.
    fn call(&self, call: Call) -> impl Future<Output = Result<Answer, CallFault>>;
    /// Begins a GET for these bytes, or for all, and returns the answer as soon as its head has arrived.
    /// Redirects are not followed, and the bytes are not compressed. As with [`Call::url`], the URL may
    /// contain a bot's token. It has no timeout of its own. Dropping it aborts the request.
    fn fetch(
        &self,
        url: String,
        range: Option<Range<u64>>,
    ) -> impl Future<Output = Result<Fetched<Self::Download>, CallFault>>;
    /// Makes the body of a streamed reply of `length` bytes. It can only be written after the reply has
    /// been sent: nobody reads it earlier.
    fn reply_stream(&self, length: u64) -> (Self::ReplySink, Self::ReplyBody);
    /// Begins a digest.
    fn digester(&self, algorithm: DigestAlgorithm) -> Self::Digester;
    /// Begins a POST whose body is written piece by piece. The answer is a separate future. It has no
    /// timeout of its own.
    fn open(&self, open: Open) -> (Self::Sink, Self::Answer);
    /// Asks a durable object, and returns its reply.
    fn ask(
        &self,
        object: Object<'_>,
        question: String,
        timeout_ms: u32,
    ) -> impl Future<Output = Result<ObjectReply, ObjectFault>>;
    /// Whether the deployment's rate limit admits this user now. Without a limit it admits everybody.
    fn admits(&self, user_id: &str) -> impl Future<Output = bool>;
}

/// A POST whose body is written piece by piece.
pub struct Open {
    /// The URL. As with [`Call::url`], it may contain a bot's token.
    pub url: String,
    /// `Content-Type`.
    pub content_type: String,
    /// Bytes of the whole body, if known. It is then sent with a `Content-Length`, and the runtime itself
    /// fails a body that is too short.
    pub length: Option<u64>,
    /// Most bytes of the answer's body that are read.
    pub max_answer_bytes: usize,
}

/// A piece of an incoming body. It is never empty.
#[allow(clippy::len_without_is_empty)]
pub trait Chunk {
    /// A delimiter that is prepared for searching.
    type Needle;
    /// Prepares a delimiter. It has two bytes or more, and its only CR is the first byte.
    fn needle(delimiter: &[u8]) -> Self::Needle;
    /// Where the delimiter begins, at `from` or later: whole, or cut off by the end of the chunk. The
    /// length of the chunk if it does not occur.
    fn find(&self, needle: &Self::Needle, from: usize) -> usize;
    /// Replaces the content of `bytes` with this range.
    fn copy_into(&self, range: Range<usize>, bytes: &mut Vec<u8>);
    /// The number of bytes.
    fn len(&self) -> usize;
}

/// An incoming body.
pub trait Body {
    /// A piece of it.
    type Chunk: Chunk;
    /// The next piece; `None` at the end. All but the last fill their buffer, because each piece costs a
    /// turn of the event loop however small it is, and a held piece keeps its whole buffer.
    fn read(&mut self) -> impl Future<Output = Result<Option<Self::Chunk>, ClientGone>>;
    /// Returns the buffer of a chunk that is no longer needed, for the next read.
    fn recycle(&mut self, chunk: Self::Chunk);
    /// The whole body at once, for small bodies.
    fn read_whole(&mut self) -> impl Future<Output = Result<Vec<u8>, ClientGone>>;
    /// Reads the rest of the body, at most `most_bytes`, and discards it.
    fn drain(&mut self, most_bytes: u64) -> impl Future<Output = ()>;
}

/// An outgoing body. If it is dropped before [`Sink::close`], it ends as a broken body, so that the
/// receiver does not take it for complete.
pub trait Sink {
    /// A piece of an incoming body.
    type Chunk;
    /// A whole incoming body.
    type Body;
    /// Writes these bytes.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), SinkClosed>>;
    /// Writes this range of a chunk.
    fn write_range(
        &mut self,
        chunk: &Self::Chunk,
        range: Range<usize>,
    ) -> impl Future<Output = Result<(), SinkClosed>>;
    /// Writes a whole incoming body without looking at it.
    fn pipe(&mut self, body: &mut Self::Body) -> impl Future<Output = Result<(), PipeBroken>>;
    /// Ends the body successfully.
    fn close(self) -> impl Future<Output = Result<(), SinkClosed>>;
}

/// The body of an answer that has not been read. Dropping it aborts the request.
pub trait Download: 'static {
    /// Reads at most `most_bytes` bytes, and discards the rest.
    fn read_up_to(self, most_bytes: usize) -> impl Future<Output = Result<Vec<u8>, CallFault>>;
}

/// The writable end of a streamed reply. If it is dropped before [`ReplySink::close`], or closed before
/// all bytes were written, it ends as a broken body, so that the client does not take it for complete.
pub trait ReplySink: 'static {
    /// A body that can be piped into it.
    type Download;
    /// Writes a whole body without looking at it.
    fn pipe(&mut self, body: Self::Download) -> impl Future<Output = Result<(), PipeBroken>>;
    /// Writes only these bytes of a body. If the body ends before them, the pipe is broken.
    fn pipe_range(
        &mut self,
        body: Self::Download,
        range: Range<u64>,
    ) -> impl Future<Output = Result<(), PipeBroken>>;
    /// Ends the body successfully.
    fn close(self) -> impl Future<Output = Result<(), SinkClosed>>;
}

/// How a digest is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// MD5
    Md5,
    /// SHA-1
    Sha1,
    /// SHA-256
    Sha256,
}

impl DigestAlgorithm {
    /// Every algorithm, by the name that tus gives it.
    pub const ALL: [(&'static str, Self); 3] = [
        ("sha1", Self::Sha1),
        ("sha256", Self::Sha256),
        ("md5", Self::Md5),
    ];

    /// Bytes of a digest.
    #[must_use]
    pub fn digest_bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// The digest cannot be computed: the runtime failed, or the watched body did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestFault;

/// A digest that is being computed. It gets the same bytes as a [`Sink`], so that the result is known
/// before the closing boundary is written.
pub trait Digester {
    /// A piece of an incoming body.
    type Chunk;
    /// A whole incoming body.
    type Body;
    /// Adds these bytes.
    fn update(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), DigestFault>>;
    /// Adds this range of a chunk, which can be recycled afterwards.
    fn update_range(
        &mut self,
        chunk: &Self::Chunk,
        range: Range<usize>,
    ) -> impl Future<Output = Result<(), DigestFault>>;
    /// Adds all of a body that nobody has read from, while [`Sink::pipe`] sends it.
    fn watch(&mut self, body: &mut Self::Body);
    /// The digest of everything that was added.
    fn finish(self) -> impl Future<Output = Result<Vec<u8>, DigestFault>>;
}

/// The output of `future`, if it is ready within `ms` milliseconds.
pub async fn within<H: Host, F: Future>(host: &H, ms: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut sleep = pin!(host.sleep(ms));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        sleep.as_mut().poll(cx).map(|()| None)
    })
    .await
}
