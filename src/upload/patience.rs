//! How long an upload waits for its client, and how long it may take on the whole.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::error::Error;
use crate::host::{Host, UnixMillis};

/// How long a client may take to fill a buffer, in milliseconds.
pub(super) const CLIENT_IDLE_MS: u32 = 120_000;

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

    /// Milliseconds that are left.
    pub(super) fn left_ms(self, now: UnixMillis) -> u64 {
        self.at.saturating_sub(now)
    }

    /// The time for a step that may take `ms`, or what is left of the whole.
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

/// Waiting for a client that is to send something.
pub(super) struct Patience<'a, H> {
    host: &'a H,
    deadline: Deadline,
    /// When the client's last bytes came.
    stepped_at: Cell<UnixMillis>,
}

impl<'a, H: Host> Patience<'a, H> {
    pub(super) fn new(host: &'a H, deadline: Deadline) -> Self {
        Self {
            host,
            deadline,
            stepped_at: Cell::new(host.now()),
        }
    }

    /// To be said when the client has sent something.
    pub(super) fn step(&self) {
        self.stepped_at.set(self.host.now());
    }

    /// The output of `future`, which takes steps.
    ///
    /// # Errors
    /// The client sends nothing any more, or the whole has taken too long.
    pub(super) async fn of<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        let mut future = pin!(future);
        let mut end = pin!(self.end());
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            end.as_mut().poll(cx).map(Err)
        })
        .await
    }

    async fn end(&self) -> Error {
        loop {
            let now = self.host.now();
            let idle_ms = now.saturating_sub(self.stepped_at.get());
            let patience_ms = u64::from(CLIENT_IDLE_MS).saturating_sub(idle_ms);
            let left_ms = self.deadline.left_ms(now);
            match patience_ms.min(left_ms) {
                0 if left_ms == 0 => return Error::TookTooLong,
                0 => return Error::ClientStalled,
                // No longer than `CLIENT_IDLE_MS`, and so within the type.
                ms => {
                    let ms = u32::try_from(ms).unwrap_or(CLIENT_IDLE_MS);
                    self.host.sleep(ms).await;
                }
            }
        }
    }
}
