//! What the core asks of the runtime that it runs in: clock, randomness, timers, network, streams.
//!
//! The bytes of a file are opaque here. A [`Chunk`] may be a buffer that lives outside this
//! program's memory. The core has it searched where it is ([`Chunk::find`]), copies the few bytes
//! that it has to read itself ([`Chunk::copy_into`]), and hands on *ranges* of the chunk, which
//! nobody copies back.

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

/// A request whose body is held whole.
pub struct Call {
    /// The method.
    pub method: Method,
    /// The URL. It may hold a bot's token: it goes into no log and no error.
    pub url: String,
    /// Headers; names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty means none.
    pub body: Vec<u8>,
    /// The end of the body, kept back until what is before it went out; empty means that there is
    /// none. Without it the receiver must take the request for broken.
    pub last: Vec<u8>,
    /// Milliseconds until the whole answer has to be there.
    pub timeout_ms: u32,
    /// Most bytes of the answer's body that are read.
    pub max_answer_bytes: usize,
}

/// An answer, read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The value of `Retry-After`, as it came.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// `Retry-After` in seconds (RFC 9110 section 10.2.3); its date form is not used by those we ask.
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
    /// The same, or time ran out, before [`Call::last`] was handed over.
    Unsent,
    /// The answer's body is longer than was asked for. Its status is known.
    AnswerTooLong {
        /// The HTTP status.
        status: u16,
    },
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

/// The body ended before its time: the client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientGone;

/// The other side takes no more bytes: its connection is closed, or it was never there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkClosed;

/// A native pipe stopped before its end: one of its two sides broke, and it can't tell which.
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
    /// The answer to a POST whose body is written piece by piece. Dropped, it ends that request.
    type Answer: Future<Output = Result<Answer, CallFault>>;

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
    /// Sends a request whose body is held whole, and reads the answer. Redirects are not followed.
    fn call(&self, call: Call) -> impl Future<Output = Result<Answer, CallFault>>;
    /// Begins a POST whose body is written piece by piece. The answer goes its own way beside it; it
    /// has no timeout but the caller's.
    fn open(&self, open: Open) -> (Self::Sink, Self::Answer);
    /// Asks a durable object, and returns its reply.
    fn ask(
        &self,
        object: Object<'_>,
        question: String,
        timeout_ms: u32,
    ) -> impl Future<Output = Result<ObjectReply, ObjectFault>>;
    /// Whether the deployment's rate limit lets this user upload now; it does when there is none.
    fn admits(&self, user_id: &str) -> impl Future<Output = bool>;
}

/// A POST whose body is written piece by piece.
pub struct Open {
    /// The URL, of which the same holds as of [`Call::url`].
    pub url: String,
    /// `Content-Type`.
    pub content_type: String,
    /// Bytes of the whole body if that is known: then it is sent with a `Content-Length`, and the
    /// runtime itself fails a body that ends short.
    pub length: Option<u64>,
    /// Most bytes of the answer's body that are read.
    pub max_answer_bytes: usize,
}

/// A piece of an incoming body; never empty.
#[allow(clippy::len_without_is_empty)]
pub trait Chunk {
    /// A delimiter, prepared for being searched for.
    type Needle;
    /// Prepares a delimiter. It has two bytes or more, the first of which is its only CR.
    fn needle(delimiter: &[u8]) -> Self::Needle;
    /// Where the delimiter begins, at `from` or behind it: whole, or cut off by the chunk's end. The
    /// chunk's length when it does so nowhere.
    fn find(&self, needle: &Self::Needle, from: usize) -> usize;
    /// Makes `bytes` the bytes of this range.
    fn copy_into(&self, range: Range<usize>, bytes: &mut Vec<u8>);
    /// How many bytes it has.
    fn len(&self) -> usize;
}

/// An incoming body.
pub trait Body {
    /// A piece of it.
    type Chunk: Chunk;
    /// The next piece; `None` at the end. All but the last fill their buffer: a piece costs a turn of
    /// the event loop however small it is, and one that is kept takes its buffer's room.
    fn read(&mut self) -> impl Future<Output = Result<Option<Self::Chunk>, ClientGone>>;
    /// Gives back the buffer of a chunk that nobody needs any more, for the next read.
    fn recycle(&mut self, chunk: Self::Chunk);
    /// The whole body at once; for small ones.
    fn read_whole(&mut self) -> impl Future<Output = Result<Vec<u8>, ClientGone>>;
    /// Reads what is left, up to so many bytes, and throws it away.
    fn drain(&mut self, most_bytes: u64) -> impl Future<Output = ()>;
}

/// An outgoing body. Dropped or aborted before [`Sink::close`], it ends as a broken one, so that the
/// receiver can't take it for whole.
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
    /// Ends the body well.
    fn close(self) -> impl Future<Output = Result<(), SinkClosed>>;
}

/// The output of `future`, if it comes within that many milliseconds.
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
