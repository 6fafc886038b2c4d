//! Sending a body to Telegram while its answer may already be on the way.
//!
//! **The closing boundary is the commit point.** Before it is written, whatever goes wrong leaves
//! nothing behind. From then on only Telegram's answer tells what became of the file, and when there
//! is none the outcome is unknown. [`Transmission`] keeps track of that point.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::error::Error;
use crate::host::{Answer, CallFault, ClientGone, Host, SinkClosed, within};
use crate::multipart::Malformed;
use crate::telegram::TelegramFault;

/// How long a client may send nothing, in milliseconds.
const CLIENT_IDLE_MS: u32 = 60_000;
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

/// For what a transmission waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Client,
    Telegram,
    /// A native pipe: for which of the two can't be told from here.
    Either,
}

/// Where a transmission is.
#[derive(Debug)]
pub(super) struct Transmission {
    waiting: Cell<Waiting>,
    /// Steps so far: a transmission that takes no step for long has stalled.
    steps: Cell<u64>,
    committed: Cell<bool>,
}

impl Transmission {
    pub(super) fn new() -> Self {
        Self {
            waiting: Cell::new(Waiting::Telegram),
            steps: Cell::new(0),
            committed: Cell::new(false),
        }
    }

    pub(super) fn reads(&self) {
        self.step(Waiting::Client);
    }

    pub(super) fn writes(&self) {
        self.step(Waiting::Telegram);
    }

    pub(super) fn pipes(&self) {
        self.step(Waiting::Either);
    }

    /// To be said before the closing boundary is written.
    pub(super) fn commits(&self) {
        self.step(Waiting::Telegram);
        self.committed.set(true);
    }

    fn step(&self, waiting: Waiting) {
        self.waiting.set(waiting);
        self.steps.set(self.steps.get() + 1);
    }

    /// Ends when there was no step for as long as the one that is waited for may take.
    async fn stalls<H: Host>(&self, host: &H, telegram_timeout_ms: u32) -> Waiting {
        loop {
            let (waiting, steps) = (self.waiting.get(), self.steps.get());
            host.sleep(if waiting == Waiting::Telegram {
                telegram_timeout_ms
            } else {
                CLIENT_IDLE_MS
            })
            .await;
            if self.steps.get() == steps && waiting != Waiting::Either {
                return waiting;
            }
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
    Stalled(Waiting),
}

/// Drives `pump`, which writes the body, and `answer` side by side, and gives both results.
///
/// Both must be good: a 200 alone does not prove that the body was whole.
pub(super) async fn transmit<H: Host, T>(
    host: &H,
    telegram_timeout_ms: u32,
    transmission: &Transmission,
    pump: impl Future<Output = Result<T, Broken>>,
    answer: impl Future<Output = Result<Answer, CallFault>>,
) -> Result<(T, Answer), Undone> {
    let mut pump = pin!(pump);
    let mut answer = pin!(answer);
    let mut stalls = pin!(transmission.stalls(host, telegram_timeout_ms));
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
        First::Pump(Ok(sent)) => match within(host, telegram_timeout_ms, answer).await {
            Some(Ok(answer)) => Ok((sent, answer)),
            Some(Err(fault)) => Err(after_commit(fault).into()),
            None => Err(TelegramFault::OutcomeUnknown { timed_out: true }.into()),
        },
        First::Pump(Err(Broken::Request(error))) => Err(Undone::Request(error)),
        First::Pump(Err(Broken::Sink)) => match within(host, AFTERMATH_MS, answer).await {
            // Telegram closed its side with words: it did not like the request.
            Some(Ok(answer)) if !is_success(&answer) => Err(transmission.refusal(&answer).into()),
            _ => Err(transmission.lost().into()),
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
        First::Stalled(Waiting::Client) => Err(Undone::Request(Error::ClientStalled)),
        First::Stalled(_) if transmission.committed.get() => {
            Err(TelegramFault::OutcomeUnknown { timed_out: true }.into())
        }
        First::Stalled(_) => Err(TelegramFault::Stalled.into()),
    }
}

/// What it means that a request whose body was handed over whole got no answer.
fn after_commit(fault: CallFault) -> TelegramFault {
    match fault {
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
