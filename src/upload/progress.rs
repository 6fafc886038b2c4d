//! What an upload waits for, since when, and how long it may take.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;

use futures_util::future::{Either, select};

use crate::error::Error;
use crate::host::{Host, UnixMillis};
use crate::telegram::TelegramFault;

/// How long a client may take to fill a buffer, in milliseconds.
const CLIENT_IDLE_MS: u32 = 120_000;
/// The least average rate of a native pipe. A connection on which somebody uploads a file that is
/// large enough for this to matter is faster.
const LEAST_PIPE_BYTES_PER_SECOND: u64 = 16 * 1024;

/// When an upload has to be over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: UnixMillis,
}

impl Deadline {
    pub(super) fn after(ms: u32, now: UnixMillis) -> Self {
        Self {
            at: now.saturating_add(ms.into()),
        }
    }

    /// The milliseconds that are left.
    fn left_ms(self, now: UnixMillis) -> u64 {
        self.at.saturating_sub(now)
    }

    /// The time for a step that may take `ms`, or what is left in total.
    ///
    /// # Errors
    /// [`Error::TookTooLong`] when nothing is left.
    pub(super) fn bound(self, ms: u32, now: UnixMillis) -> Result<u32, Error> {
        match u32::try_from(self.left_ms(now)) {
            Ok(0) => Err(Error::TookTooLong),
            left => Ok(left.map_or(ms, |left| left.min(ms))),
        }
    }
}

/// What an upload waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Client,
    Telegram,
    /// A native pipe, which shows neither its progress nor which of the two it waits for. It has this
    /// many milliseconds in total.
    Pipe {
        deadline_ms: u32,
    },
}

/// The progress of one upload. An upload without progress for too long has stalled.
pub(super) struct Progress<'a, H> {
    host: &'a H,
    telegram_timeout_ms: u32,
    deadline: Deadline,
    waiting: Cell<Waiting>,
    last_step_at: Cell<UnixMillis>,
    is_committed: Cell<bool>,
}

impl<'a, H: Host> Progress<'a, H> {
    /// The progress of an upload that begins by waiting for its client.
    pub(super) fn new(host: &'a H, telegram_timeout_ms: u32, deadline: Deadline) -> Self {
        Self {
            host,
            telegram_timeout_ms,
            deadline,
            waiting: Cell::new(Waiting::Client),
            last_step_at: Cell::new(host.now()),
            is_committed: Cell::new(false),
        }
    }

    /// Call this before a piece of the incoming body is read.
    pub(super) fn awaits_client(&self) {
        self.step(Waiting::Client);
    }

    /// Call this before a piece is written.
    pub(super) fn awaits_telegram(&self) {
        self.step(Waiting::Telegram);
    }

    /// Call this before `bytes` bytes are piped natively.
    pub(super) fn awaits_pipe(&self, bytes: u64) {
        let seconds = bytes / LEAST_PIPE_BYTES_PER_SECOND;
        let deadline_ms = u32::try_from(seconds.saturating_mul(1000)).unwrap_or(u32::MAX);
        self.step(Waiting::Pipe { deadline_ms });
    }

    /// Call this as soon as the runtime has taken the closing boundary.
    pub(super) fn commits(&self) {
        self.step(Waiting::Telegram);
        self.is_committed.set(true);
    }

    /// Whether the runtime has taken the closing boundary.
    pub(super) fn is_committed(&self) -> bool {
        self.is_committed.get()
    }

    fn step(&self, waiting: Waiting) {
        self.waiting.set(waiting);
        self.last_step_at.set(self.host.now());
    }

    /// The output of `future`, unless it stalls.
    ///
    /// # Errors
    /// The error of [`Self::stalled`].
    pub(super) async fn watch<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        match select(pin!(future), pin!(self.stalled())).await {
            Either::Left((output, _)) => Ok(output),
            Either::Right((error, _)) => Err(error),
        }
    }

    /// Ends when the client, Telegram or the pipe has made no step within its time limit, or when the
    /// upload has taken too long in total. Returns what that means for the file.
    pub(super) async fn stalled(&self) -> Error {
        loop {
            let waiting = self.waiting.get();
            let limit_ms = match waiting {
                Waiting::Telegram => self.telegram_timeout_ms,
                Waiting::Client => CLIENT_IDLE_MS,
                Waiting::Pipe { deadline_ms } => {
                    self.telegram_timeout_ms.saturating_add(deadline_ms)
                }
            };
            let now = self.host.now();
            let idle_ms = now.saturating_sub(self.last_step_at.get());
            let total_ms = self.deadline.left_ms(now);
            let left_ms = u64::from(limit_ms).saturating_sub(idle_ms).min(total_ms);
            if left_ms == 0 {
                return match waiting {
                    _ if self.is_committed() => {
                        TelegramFault::OutcomeUnknown { timed_out: true }.into()
                    }
                    _ if total_ms == 0 => Error::TookTooLong,
                    Waiting::Client => Error::ClientStalled,
                    Waiting::Telegram | Waiting::Pipe { .. } => TelegramFault::Stalled.into(),
                };
            }
            // At most `limit_ms`, so it fits the type. Never 0: time has to pass.
            let sleep_ms = u32::try_from(left_ms).unwrap_or(limit_ms);
            self.host.sleep(sleep_ms).await;
        }
    }
}
