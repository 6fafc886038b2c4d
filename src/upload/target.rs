//! Where a file goes: the chat, when it may go there, and what Telegram says of it.

use std::rc::Rc;

use crate::credentials::{AuthToken, Credentials, Source};
use crate::error::Error;
use crate::host::{Answer, Host, UnixMillis};
use crate::telegram::pace::Turn;
use crate::telegram::{self, ChatId, Stored, TelegramFault};

use super::transmit::Undone;
use super::{FileInfo, Sent, Upload};

/// Where a file goes.
pub(super) struct Target {
    pub(super) credentials: Rc<Credentials>,
    pub(super) source: Source,
    /// Where the credentials' chat is now, if it has moved.
    pub(super) migrated_to: Option<ChatId>,
}

impl Target {
    pub(super) fn chat_id(&self) -> &ChatId {
        self.migrated_to
            .as_ref()
            .unwrap_or(&self.credentials.chat_id)
    }

    pub(super) fn sent(self, stored: Stored, file: FileInfo, size: u64) -> Sent {
        Sent {
            stored,
            credentials: self.credentials,
            migrated_to: self.migrated_to,
            file,
            size,
        }
    }
}

impl<H: Host> Upload<'_, H> {
    pub(super) fn target(&self, credentials: Rc<Credentials>, source: Source) -> Target {
        let migrations = self.shared.migrations.borrow();
        Target {
            migrated_to: migrations.of(&credentials.chat_id).cloned(),
            credentials,
            source,
        }
    }

    /// Waits until it is this upload's turn, where Telegram has asked for patience.
    ///
    /// # Errors
    /// The 429 that Telegram would answer, when that is too long to wait.
    pub(super) async fn take_turn(&self, target: &Target, size: Option<u64>) -> Result<(), Error> {
        let bot = &target.credentials.bot_token;
        let now = self.host.now();
        let turn = self
            .shared
            .pacer
            .borrow_mut()
            .take_turn(bot, target.chat_id(), size, now);
        match turn {
            Turn::Now => Ok(()),
            Turn::After { ms } => {
                let ms = u32::try_from(ms).unwrap_or(u32::MAX);
                self.host.sleep(self.deadline.bound(ms, now)?).await;
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

    /// What Telegram's answer means. What it says of the credentials, the chat and its own patience is
    /// kept for the uploads to come.
    pub(super) fn answered<T>(
        &mut self,
        began: UnixMillis,
        result: Result<(T, Answer), Undone>,
        token: &AuthToken,
        target: &Target,
        size: Option<u64>,
    ) -> Result<(T, Stored), Error> {
        let now = self.host.now();
        self.report.telegram_ms = Some(now.saturating_sub(began));
        match &result {
            Ok(_) => self.shared.telegram.heard(now),
            Err(Undone::Telegram(_)) => self.shared.telegram.lost(),
            Err(Undone::Request(_)) => {}
        }
        let fault = match result {
            Ok((sent, answer)) => match telegram::read_answer(&answer) {
                Ok(stored) => return Ok((sent, stored)),
                Err(fault) => fault,
            },
            Err(Undone::Telegram(fault)) => fault,
            Err(Undone::Request(error)) => return Err(error),
        };
        let credentials = &target.credentials;
        match &fault {
            TelegramFault::RetryAfter { seconds, .. } => {
                self.shared.pacer.borrow_mut().told_to_wait(
                    &credentials.bot_token,
                    target.chat_id(),
                    size,
                    *seconds,
                    now,
                );
            }
            TelegramFault::ChatMoved { to, .. } => {
                let from = credentials.chat_id.clone();
                self.shared.migrations.borrow_mut().note(from, *to);
            }
            TelegramFault::ChatRefused { .. } if target.migrated_to.is_some() => {
                let from = &credentials.chat_id;
                self.shared.migrations.borrow_mut().forget(from);
            }
            fault if fault.blames_credentials() => {
                self.shared
                    .cache
                    .borrow_mut()
                    .drop_refused(&token.hash(), credentials);
            }
            _ => {}
        }
        Err(Error::Telegram {
            fault,
            with_fresh_credentials: target.source == Source::Miss,
        })
    }
}
