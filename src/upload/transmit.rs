//! Sends a body to Telegram while the answer may already be on its way.
//!
//! **The closing boundary is the commit point.** Until the runtime has taken it, any failure leaves
//! nothing stored. After that, only Telegram's answer says what happened to the file; without an answer
//! the outcome is unknown. [`Progress`] tracks that point. It can, because a write to workerd's streams
//! ends when the runtime takes the bytes, which is before it sends them. The closing boundary has a
//! write of its own, so the runtime takes it only after everything before it. Except for a small body,
//! this means that there is a connection. A small body may lie in a buffer before there is one; its
//! outcome then counts as unknown.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};

use futures_util::future::FutureExt as _;
use futures_util::select_biased;

use crate::error::Error;
use crate::host::{Answer, CallFault, ClientGone, Host, PipeBroken, SinkClosed, within};
use crate::multipart::Malformed;
use crate::telegram::{TelegramFault, read_answer};

use super::progress::Progress;

/// How long to wait for Telegram's answer after it closed the connection, and for the end of the body
/// after Telegram reported success. If either exists, it is already on this machine.
const AFTERMATH_MS: u32 = 2_000;

/// Why the body could not be sent.
#[derive(Debug)]
pub(super) enum Broken {
    /// Something is wrong with the incoming request.
    Request(Error),
    /// Telegram accepts no more bytes.
    Sink,
    /// The client or Telegram is gone. A native pipe does not show which.
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

/// Drives `pump`, which writes the body, and `answer` concurrently, and returns both results.
///
/// Both must be good: a 200 alone does not prove that the body was complete.
///
/// # Errors
/// [`Error::Telegram`] if Telegram is the reason, otherwise what is wrong with the request.
pub(super) async fn transmit<H: Host, T>(
    host: &H,
    progress: &Progress<'_, H>,
    pump: impl Future<Output = Result<T, Broken>>,
    answer: impl Future<Output = Result<Answer, CallFault>>,
) -> Result<(T, Answer), Error> {
    let mut pump = pin!(pump.fuse());
    let mut answer = pin!(answer.fuse());
    let mut stalled = pin!(progress.stalled().fuse());
    select_biased! {
        pumped = pump => match pumped {
            Ok(sent) => {
                // The wait for the answer begins where the last write ended.
                progress.awaits_telegram();
                select_biased! {
                    answered = answer => Ok((sent, answered.map_err(without_answer)?)),
                    error = stalled => Err(error),
                }
            }
            Err(broken) => Err(after_break(host, progress, broken, answer).await),
        },
        answered = answer => after_answer(host, progress, answered, pump).await,
        error = stalled => Err(error),
    }
}

/// What it means that the body could not be sent.
async fn after_break<H: Host>(
    host: &H,
    progress: &Progress<'_, H>,
    broken: Broken,
    answer: impl Future<Output = Result<Answer, CallFault>> + Unpin,
) -> Error {
    match broken {
        Broken::Request(error) => error,
        Broken::Sink => match within(host, AFTERMATH_MS, answer).await {
            // Telegram refused the request before its end, and closed the connection.
            Some(Ok(answer)) if !is_success(&answer) => refusal(progress, &answer).into(),
            _ => lost(progress).into(),
        },
        // If Telegram is certainly gone, workerd fails the request before the pipe. Otherwise either
        // side may be: the errors themselves are the same.
        Broken::Pipe => match now_or_later(host, answer).await {
            (_, Some(Ok(answer))) if !is_success(&answer) => refusal(progress, &answer).into(),
            (true, _) => lost(progress).into(),
            (false, _) => Error::Interrupted,
        },
    }
}

/// The outcome of an answer that came before the end of the body.
async fn after_answer<H: Host, T>(
    host: &H,
    progress: &Progress<'_, H>,
    answered: Result<Answer, CallFault>,
    pump: impl Future<Output = Result<T, Broken>>,
) -> Result<(T, Answer), Error> {
    match answered {
        Ok(answer) if is_success(&answer) => match within(host, AFTERMATH_MS, pump).await {
            Some(Ok(sent)) => Ok((sent, answer)),
            Some(Err(Broken::Request(error))) if !progress.is_committed() => Err(error),
            _ => Err(TelegramFault::OutcomeUnknown { timed_out: false }.into()),
        },
        Ok(answer) => Err(refusal(progress, &answer).into()),
        Err(_) => Err(lost(progress).into()),
    }
}

/// The fault in an answer that came before the end of the body and is not a success.
fn refusal<H: Host>(progress: &Progress<'_, H>, answer: &Answer) -> TelegramFault {
    match read_answer(answer) {
        // A gateway gave up. Without the closing boundary nothing can have been stored.
        Err(TelegramFault::OutcomeUnknown { .. }) if !progress.is_committed() => {
            TelegramFault::Failed { description: None }
        }
        Err(fault) => fault,
        Ok(_) => TelegramFault::Failed { description: None },
    }
}

/// What a broken connection to Telegram means at this point.
fn lost<H: Host>(progress: &Progress<'_, H>) -> TelegramFault {
    if progress.is_committed() {
        TelegramFault::OutcomeUnknown { timed_out: false }
    } else {
        TelegramFault::Unreachable
    }
}

/// The fault of a request whose whole body was handed over and that got no answer that can be read.
pub(super) fn without_answer(fault: CallFault) -> TelegramFault {
    match fault {
        CallFault::Unsent => TelegramFault::Unreachable,
        CallFault::Timeout => TelegramFault::OutcomeUnknown { timed_out: true },
        CallFault::Network => TelegramFault::OutcomeUnknown { timed_out: false },
        CallFault::AnswerTooLong { status } => TelegramFault::from_foreign_status(status)
            .unwrap_or(TelegramFault::Failed { description: None }),
    }
}

fn is_success(answer: &Answer) -> bool {
    (200..300).contains(&answer.status)
}

/// The output of `future` within [`AFTERMATH_MS`], and whether it was ready at once.
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
