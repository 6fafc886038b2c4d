//! The emulator, as the backend asks Telegram: within the process.

use std::sync::Arc;

use async_trait::async_trait;
use backend::{
    BotApi, BotToken, BotUser, ChatInfo, OwnChannel, QrLogin, TelegramError, UserAccounts,
    UserSession,
};
use emulator::{BotApiError, BotRights, Telegram};

/// What made channels are called.
pub(crate) const CHANNEL_TITLE: &str = "TeleStore files";

/// The emulated Telegram.
pub(crate) struct Emulated(pub(crate) Arc<Telegram>);

impl Emulated {
    async fn bot_of(&self, token: &BotToken) -> Result<emulator::Bot, BotApiError> {
        let token = emulator::BotToken::parse(token.expose());
        let token = token.ok_or_else(BotApiError::not_found)?;
        self.0.get_me(&token).await
    }
}

#[async_trait]
impl BotApi for Emulated {
    async fn bot(&self, token: &BotToken) -> Result<BotUser, TelegramError> {
        let bot = self.bot_of(token).await.map_err(|error| refused(&error))?;
        Ok(BotUser {
            id: bot.id,
            username: bot.username,
        })
    }

    async fn chat(&self, token: &BotToken, chat_id: &str) -> Result<ChatInfo, TelegramError> {
        let bot = self.bot_of(token).await.map_err(|error| refused(&error))?;
        let chat = self
            .0
            .get_chat(&bot, chat_id)
            .await
            .map_err(|error| refused(&error))?;
        Ok(ChatInfo {
            id: chat.id,
            kind: chat.kind,
            title: Some(chat.title),
        })
    }

    async fn can_post(
        &self,
        token: &BotToken,
        _: &BotUser,
        chat_id: &str,
    ) -> Result<bool, TelegramError> {
        let bot = self.bot_of(token).await.map_err(|error| refused(&error))?;
        let rights = self.0.get_own_rights(&bot, chat_id).await;
        Ok(rights.map_err(|error| refused(&error))?.can_post())
    }
}

#[async_trait]
impl UserAccounts for Emulated {
    async fn send_code(
        &self,
        phone: &str,
        code: &str,
        expires_at: i64,
    ) -> Result<(), TelegramError> {
        self.0.phones().show_code(phone, code, expires_at);
        Ok(())
    }

    async fn begin_qr_login(&self, expires_at: i64) -> Result<QrLogin, TelegramError> {
        let link = self.0.phones().qr_link(expires_at);
        let (url, token_sha256) = link.map_err(failed)?;
        Ok(QrLogin { url, token_sha256 })
    }

    async fn is_confirmed(&self, token_sha256: &[u8]) -> Result<bool, TelegramError> {
        Ok(self.0.phones().was_scanned(token_sha256))
    }

    async fn log_in(&self) -> Result<UserSession, TelegramError> {
        let session = emulator::UserSession::log_in().map_err(failed)?;
        Ok(UserSession {
            api_id: session.api_id,
            api_hash: session.api_hash,
            session: session.session,
        })
    }

    async fn make_channel(&self) -> Result<OwnChannel, TelegramError> {
        Ok(OwnChannel {
            id: self.0.add_channel(CHANNEL_TITLE).await.map_err(failed)?,
            invite_link: emulator::invite_link().map_err(failed)?,
        })
    }

    async fn promote(&self, channel_id: i64, bot_id: i64) -> Result<(), TelegramError> {
        let promoted = self
            .0
            .set_rights(channel_id, bot_id, BotRights::Administrator)
            .await;
        promoted.map_err(failed)
    }
}

fn refused(error: &BotApiError) -> TelegramError {
    TelegramError::Refused(error.to_string())
}

fn failed(error: impl std::fmt::Display) -> TelegramError {
    tracing::error!(%error, "the emulated Telegram failed");
    TelegramError::Internal
}
