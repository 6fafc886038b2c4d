//! Telegram for unit tests: it knows no bot, and phones that show every code.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;

use super::{
    BotApi, BotToken, BotUser, ChatInfo, OwnChannel, QrLogin, Telegram, TelegramError,
    UserAccounts, UserSession,
};

/// What the phones show and have scanned.
#[derive(Default)]
pub(crate) struct Phones {
    codes: Mutex<Vec<String>>,
    scanned: Mutex<HashSet<Vec<u8>>>,
}

impl Phones {
    /// The newest code.
    pub(crate) fn code(&self) -> String {
        self.codes.lock().unwrap().last().unwrap().clone()
    }

    /// Scans the QR code with this token.
    pub(crate) fn scan(&self, token_sha256: [u8; 32]) {
        self.scanned.lock().unwrap().insert(token_sha256.into());
    }
}

/// The hash of the token in every QR code.
pub(crate) const QR_TOKEN_SHA256: [u8; 32] = [7; 32];

/// Telegram, and the phones of its users.
pub(crate) fn telegram() -> (Telegram, Arc<Phones>) {
    let phones = Arc::new(Phones::default());
    let telegram = Telegram {
        bot_api: Arc::new(NoBots),
        accounts: Some(Arc::<Phones>::clone(&phones)),
    };
    (telegram, phones)
}

struct NoBots;

#[async_trait]
impl BotApi for NoBots {
    async fn bot(&self, _: &BotToken) -> Result<BotUser, TelegramError> {
        Err(TelegramError::Refused("Unauthorized".to_owned()))
    }

    async fn chat(&self, _: &BotToken, _: &str) -> Result<ChatInfo, TelegramError> {
        Err(TelegramError::Refused("Unauthorized".to_owned()))
    }

    async fn can_post(&self, _: &BotToken, _: &BotUser, _: &str) -> Result<bool, TelegramError> {
        Err(TelegramError::Refused("Unauthorized".to_owned()))
    }
}

#[async_trait]
impl UserAccounts for Phones {
    async fn send_code(&self, _: &str, code: &str, _: i64) -> Result<(), TelegramError> {
        self.codes.lock().unwrap().push(code.to_owned());
        Ok(())
    }

    async fn begin_qr_login(&self, _: i64) -> Result<QrLogin, TelegramError> {
        Ok(QrLogin {
            url: "tg://login?token=x".to_owned(),
            token_sha256: QR_TOKEN_SHA256,
        })
    }

    async fn is_confirmed(&self, token_sha256: &[u8]) -> Result<bool, TelegramError> {
        Ok(self.scanned.lock().unwrap().contains(token_sha256))
    }

    async fn log_in(&self) -> Result<UserSession, TelegramError> {
        Ok(UserSession {
            api_id: 1,
            api_hash: "hash".to_owned(),
            session: "session".to_owned(),
        })
    }

    async fn make_channel(&self) -> Result<OwnChannel, TelegramError> {
        Ok(OwnChannel {
            id: -1_001,
            invite_link: "https://t.me/+x".to_owned(),
        })
    }

    async fn promote(&self, _: i64, _: i64) -> Result<(), TelegramError> {
        Ok(())
    }
}
