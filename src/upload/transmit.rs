//! Sending a body to Telegram while its answer may already be on the way.
//!
//! **The closing boundary is the commit point.** As long as it was not taken, whatever goes wrong
//! leaves nothing behind. From then on only Telegram's answer tells what became of the file, and when
//! there is none the outcome is unknown. [`Transmission`] keeps track of that point. It can, as a
//! write to workerd's streams ends when the runtime takes the bytes, which is before it sends them.
//! The closing boundary has a write of its own: the runtime takes it only when it is done with what
//! came before. For all but a small body that means that there is a connection; a small one may lie
//! in a buffer before there is, and the outcome then counts as unknown.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use crate::error::Error;
use crate::host::{
    Answer, CallFault, ClientGone, Host, PipeBroken, SinkClosed, UnixMillis, within,
};
use crate::multipart::Malformed;
use crate::telegram::TelegramFault;

use super::patience::{CLIENT_IDLE_MS, Deadline};

/// How slow a native pipe may be on the whole. Slower than any connection on which somebody would
/// upload a file that is large enough for it to matter.
const LEAST_PIPE_BYTES_PER_SECOND: u64 = 16 * 1024;
/// How long Telegram's words are waited for after it closed its side, and the end of the body after
/// Telegram said that all went well: both are on this machine already, if anywhere.
const AFTERMATH_MS: u32 = 2_000;

/// Why the body could not be sent.
#[derive(Debug)]
pub(super) enum Broken {
    /// Something is wrong with the incoming request.
    Request(Error),
    /// Telegram takes no more.
    Sink,
    /// One of the two is gone, and a native pipe can't tell which.
    Pipe,
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Request(error)
    }
}

impl From<Malformed> for Broken {
    fn from(malformed: Malformed) -> Self {
        Self::Request(malformed.into())
    }
}

impl From<ClientGone> for Broken {
    fn from(_: ClientGone) -> Self {
        Self::Request(Error::ClientGone)
    }
}

impl From<SinkClosed> for Broken {
    fn from(_: SinkClosed) -> Self {
        Self::Sink
    }
}

impl From<PipeBroken> for Broken {
    fn from(_: PipeBroken) -> Self {
        Self::Pipe
    }
}

/// For what a transmission waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Client,
    Telegram,
    /// A native pipe, which shows neither its progress nor for which of the two it waits. It has this
    /// long for the whole of it, in milliseconds.
    Pipe {
        deadline_ms: u32,
    },
}

/// Where a transmission is.
pub(super) struct Transmission<'a, H> {
    host: &'a H,
    telegram_timeout_ms: u32,
    deadline: Deadline,
    waiting: Cell<Waiting>,
    /// When it took its last step: one that takes none for long has stalled.
    stepped_at: Cell<UnixMillis>,
    committed: Cell<bool>,
}

impl<'a, H: Host> Transmission<'a, H> {
    pub(super) fn new(host: &'a H, telegram_timeout_ms: u32, deadline: Deadline) -> Self {
        Self {
            host,
            telegram_timeout_ms,
            deadline,
            waiting: Cell::new(Waiting::Telegram),
            stepped_at: Cell::new(host.now()),
            committed: Cell::new(false),
        }
    }

    /// To be said before a piece of the incoming body is read.
    pub(super) fn reads(&self) {
        self.step(Waiting::Client);
    }

    /// To be said before a piece is written.
    pub(super) fn writes(&self) {
        self.step(Waiting::Telegram);
    }

    /// To be said before so many bytes are piped natively.
    pub(super) fn pipes(&self, bytes: u64) {
        let seconds = bytes / LEAST_PIPE_BYTES_PER_SECOND;
        let deadline_ms = u32::try_from(seconds * 1000).unwrap_or(u32::MAX);
        self.step(Waiting::Pipe { deadline_ms });
    }

    /// To be said as soon as the closing boundary was taken.
    pub(super) fn commits(&self) {
        self.step(Waiting::Telegram);
        self.committed.set(true);
    }

    fn step(&self, waiting: Waiting) {
        self.waiting.set(waiting);
        self.stepped_at.set(self.host.now());
    }

    /// Ends when there was no step for as long as the one that is waited for may take, or when the whole
    /// has taken too long.
    async fn stalls(&self) -> Stall {
        loop {
            let waiting = self.waiting.get();
            let patience_ms = match waiting {
                Waiting::Telegram => self.telegram_timeout_ms,
                Waiting::Client => CLIENT_IDLE_MS,
                Waiting::Pipe { deadline_ms } => {
                    self.telegram_timeout_ms.saturating_add(deadline_ms)
                }
            };
            let now = self.host.now();
            let idle_ms = now.saturating_sub(self.stepped_at.get());
            let whole_ms = self.deadline.left_ms(now);
            let left_ms = u64::from(patience_ms).saturating_sub(idle_ms).min(whole_ms);
            if left_ms == 0 {
                return match waiting {
                    _ if whole_ms == 0 => Stall::Whole,
                    Waiting::Client => Stall::Client,
                    Waiting::Telegram | Waiting::Pipe { .. } => Stall::Telegram,
                };
            }
            // No longer than `patience_ms`, and so within its type. Never 0 either: it sleeps.
            self.host
                .sleep(u32::try_from(left_ms).unwrap_or(patience_ms))
                .await;
        }
    }

    /// The fault in an answer that came before the body's end, and is not a success.
    fn refusal(&self, answer: &Answer) -> TelegramFault {
        match crate::telegram::read_answer(answer) {
            // A gateway that gave up: without the closing boundary nothing can have been stored.
            Err(TelegramFault::OutcomeUnknown { .. }) if !self.committed.get() => {
                TelegramFault::Failed { description: None }
            }
            Err(fault) => fault,
            Ok(_) => TelegramFault::Failed { description: None },
        }
    }

    /// What a broken connection to Telegram means at this point.
    fn lost(&self) -> TelegramFault {
        if self.committed.get() {
            TelegramFault::OutcomeUnknown { timed_out: false }
        } else {
            TelegramFault::Unreachable
        }
    }
}

/// Who took too long.
enum Stall {
    Client,
    Telegram,
    /// Nobody in particular: it is the upload that did.
    Whole,
}

/// Why nothing came of a transmission.
#[derive(Debug)]
pub(super) enum Undone {
    Request(Error),
    Telegram(TelegramFault),
}

impl From<TelegramFault> for Undone {
    fn from(fault: TelegramFault) -> Self {
        Self::Telegram(fault)
    }
}

enum First<T> {
    Pump(Result<T, Broken>),
    Answer(Result<Answer, CallFault>),
    Stalled(Stall),
}

/// Drives `pump`, which writes the body, and `answer` side by side, and gives both results.
///
/// Both must be good: a 200 alone does not prove that the body was whole.
pub(super) async fn transmit<H: Host, T>(
    transmission: &Transmission<'_, H>,
    pump: impl Future<Output = Result<T, Broken>>,
    answer: impl Future<Output = Result<Answer, CallFault>>,
) -> Result<(T, Answer), Undone> {
    let host = transmission.host;
    let mut pump = pin!(pump);
    let mut answer = pin!(answer);
    let mut stalls = pin!(transmission.stalls());
    let first = poll_fn(|cx| {
        if let Poll::Ready(result) = pump.as_mut().poll(cx) {
            return Poll::Ready(First::Pump(result));
        }
        if let Poll::Ready(result) = answer.as_mut().poll(cx) {
            return Poll::Ready(First::Answer(result));
        }
        stalls.as_mut().poll(cx).map(First::Stalled)
    })
    .await;
    match first {
        First::Pump(Ok(sent)) => {
            // The wait for the answer begins where the last write ended.
            transmission.writes();
            let answered = poll_fn(|cx| {
                if let Poll::Ready(result) = answer.as_mut().poll(cx) {
                    return Poll::Ready(Some(result));
                }
                stalls.as_mut().poll(cx).map(|_| None)
            });
            match answered.await {
                Some(Ok(answer)) => Ok((sent, answer)),
                Some(Err(fault)) => Err(after_commit(fault).into()),
                None => Err(TelegramFault::OutcomeUnknown { timed_out: true }.into()),
            }
        }
        First::Pump(Err(Broken::Request(error))) => Err(Undone::Request(error)),
        First::Pump(Err(Broken::Sink)) => match within(host, AFTERMATH_MS, answer).await {
            // Telegram closed its side with words: it did not like the request.
            Some(Ok(answer)) if !is_success(&answer) => Err(transmission.refusal(&answer).into()),
            _ => Err(transmission.lost().into()),
        },
        // workerd fails the request before the pipe when Telegram is surely gone. Otherwise it can
        // be either: the errors themselves are the same.
        First::Pump(Err(Broken::Pipe)) => match now_or_later(host, answer).await {
            (_, Some(Ok(answer))) if !is_success(&answer) => {
                Err(transmission.refusal(&answer).into())
            }
            (true, _) => Err(transmission.lost().into()),
            (false, _) => Err(Undone::Request(Error::Interrupted)),
        },
        First::Answer(Ok(answer)) if is_success(&answer) => {
            match within(host, AFTERMATH_MS, pump).await {
                Some(Ok(sent)) => Ok((sent, answer)),
                Some(Err(Broken::Request(error))) if !transmission.committed.get() => {
                    Err(Undone::Request(error))
                }
                _ => Err(TelegramFault::OutcomeUnknown { timed_out: false }.into()),
            }
        }
        First::Answer(Ok(answer)) => Err(transmission.refusal(&answer).into()),
        First::Answer(Err(_)) => Err(transmission.lost().into()),
        First::Stalled(_) if transmission.committed.get() => {
            Err(TelegramFault::OutcomeUnknown { timed_out: true }.into())
        }
        First::Stalled(Stall::Client) => Err(Undone::Request(Error::ClientStalled)),
        First::Stalled(Stall::Telegram) => Err(TelegramFault::Stalled.into()),
        First::Stalled(Stall::Whole) => Err(Undone::Request(Error::TookTooLong)),
    }
}

/// What it means that a request whose body was handed over got no answer.
pub(super) fn after_commit(fault: CallFault) -> TelegramFault {
    match fault {
        CallFault::Unsent => TelegramFault::Unreachable,
        CallFault::Timeout => TelegramFault::OutcomeUnknown { timed_out: true },
        CallFault::Network | CallFault::AnswerTooLong { status: 200..=299 } => {
            TelegramFault::OutcomeUnknown { timed_out: false }
        }
        CallFault::AnswerTooLong { .. } => TelegramFault::Failed { description: None },
    }
}

fn is_success(answer: &Answer) -> bool {
    (200..300).contains(&answer.status)
}

/// What comes of `future` within [`AFTERMATH_MS`], and whether it was there at once.
async fn now_or_later<H: Host, F: Future + Unpin>(
    host: &H,
    mut future: F,
) -> (bool, Option<F::Output>) {
    let mut at_once = true;
    let output = within(
        host,
        AFTERMATH_MS,
        poll_fn(|cx| {
            let polled = Pin::new(&mut future).poll(cx);
            at_once &= polled.is_ready();
            polled
        }),
    )
    .await;
    (at_once, output)
}
