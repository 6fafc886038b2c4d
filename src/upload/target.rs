//! Where a file goes: the chat, when it may go there, and what Telegram's answer means for later files.

use std::rc::Rc;

use crate::credentials::{AuthToken, Credentials, Source};
use crate::error::Error;
use crate::host::{Host, UnixMillis};
use crate::isolate::Shared;
use crate::telegram::pace::{MAX_WAIT_MS, Turn};
use crate::telegram::{self, ChatId, Stored, TelegramFault};

use super::delivery::Delivered;
use super::progress::Deadline;

/// Where a file goes.
pub(super) struct Target {
    pub(super) credentials: Rc<Credentials>,
    source: Source,
    /// The new id of the chat in the credentials, if it has migrated.
    pub(super) migrated_to: Option<ChatId>,
    /// Bytes of the file, if known: Telegram spaces files of the same size.
    size: Option<u64>,
}

impl Target {
    /// The target of these credentials.
    pub(super) fn new(
        shared: &Shared,
        credentials: Rc<Credentials>,
        source: Source,
        size: Option<u64>,
    ) -> Self {
        let migrations = shared.migrations.borrow();
        Self {
            migrated_to: migrations.of(&credentials.chat_id).cloned(),
            credentials,
            source,
            size,
        }
    }

    pub(super) fn chat_id(&self) -> &ChatId {
        self.migrated_to
            .as_ref()
            .unwrap_or(&self.credentials.chat_id)
    }

    /// Waits for this file's turn, if Telegram has asked to wait.
    ///
    /// # Errors
    /// The 429 that Telegram would answer, if the wait would be too long.
    pub(super) async fn take_turn<H: Host>(
        &self,
        host: &H,
        shared: &Shared,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let bot = &self.credentials.bot_token;
        let now = host.now();
        let turn = shared
            .pacer
            .borrow_mut()
            .take_turn(bot, self.chat_id(), self.size, now);
        match turn {
            Turn::Now => Ok(()),
            Turn::After { ms } => {
                let ms = u32::try_from(ms).unwrap_or(u32::MAX);
                host.sleep(deadline.bound(ms, now)?).await;
                Ok(())
            }
            Turn::Full { retry_after } => Err(Error::Telegram {
                fault: TelegramFault::RetryAfter {
                    description: format!("Too Many Requests: retry after {retry_after}"),
                    seconds: retry_after,
                },
                with_fresh_credentials: true,
            }),
        }
    }

    /// The outcome of sending the file there. What Telegram says about the credentials, the chat and its
    /// pace is remembered for later uploads.
    ///
    /// # Errors
    /// Why the file is not stored, or why that is unknown.
    pub(super) fn learn(
        &self,
        shared: &Shared,
        token: &AuthToken,
        delivered: Result<Delivered, Error>,
        now: UnixMillis,
    ) -> Result<(Delivered, Stored), Error> {
        match &delivered {
            Ok(_) => shared.telegram.heard(now),
            Err(Error::Telegram { .. }) => shared.telegram.lost(),
            Err(_) => {}
        }
        let fault = match delivered {
            Ok(delivered) => match telegram::read_answer(&delivered.answer) {
                Ok(stored) => return Ok((delivered, stored)),
                Err(fault) => fault,
            },
            Err(Error::Telegram { fault, .. }) => fault,
            Err(error) => return Err(error),
        };
        self.remember(shared, token, &fault, now);
        Err(Error::Telegram {
            fault,
            with_fresh_credentials: self.source == Source::Miss,
        })
    }

    fn remember(&self, shared: &Shared, token: &AuthToken, fault: &TelegramFault, now: UnixMillis) {
        let credentials = &self.credentials;
        match fault {
            TelegramFault::RetryAfter { seconds, .. } => {
                shared.pacer.borrow_mut().asked_to_wait(
                    &credentials.bot_token,
                    self.chat_id(),
                    self.size,
                    *seconds,
                    now,
                );
            }
            TelegramFault::ChatMoved { to, .. } => {
                let from = credentials.chat_id.clone();
                shared.migrations.borrow_mut().note(from, *to);
            }
            TelegramFault::ChatRefused { .. } if self.migrated_to.is_some() => {
                let from = &credentials.chat_id;
                shared.migrations.borrow_mut().forget(from);
            }
            fault if fault.blames_credentials() => {
                shared.credentials.drop_refused(token, credentials);
            }
            _ => {}
        }
    }

    /// Whether sending the same file again may succeed: the reason for the fault has changed, or will
    /// change within the time that an upload waits.
    pub(super) fn may_succeed_after(&self, error: &Error) -> bool {
        let Error::Telegram {
            fault,
            with_fresh_credentials,
        } = error
        else {
            return false;
        };
        match fault {
            TelegramFault::RetryAfter { seconds, .. } => u64::from(*seconds) * 1000 < MAX_WAIT_MS,
            // A migration is followed once.
            TelegramFault::ChatMoved { .. } => self.migrated_to.is_none(),
            TelegramFault::ChatRefused { .. } if self.migrated_to.is_some() => false,
            fault => fault.blames_credentials() && !with_fresh_credentials,
        }
    }
}
