//! What the backend asks of Telegram. Whoever builds a server hands it in: the Bot API over HTTP, or an
//! emulator.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use serde::Deserialize;

const MAX_ID_DIGITS: usize = 17;
const SECRET_CHARACTERS: std::ops::RangeInclusive<usize> = 30..=60;

#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod http;

/// Telegram, as a backend is given it.
#[derive(Clone)]
pub struct Telegram {
    /// What settings are checked with.
    pub bot_api: Arc<dyn BotApi>,
    /// Where users log in; `None`: nowhere.
    pub accounts: Option<Arc<dyn UserAccounts>>,
}

/// A token of the form that Telegram gives out: `^[1-9]\d{0,16}:[A-Za-z0-9_-]{30,60}$`. Its `Debug`
/// shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct BotToken(String);

/// A bot, as getMe describes it.
#[derive(Clone, Debug, Deserialize)]
pub struct BotUser {
    /// The bot's number.
    pub id: i64,
    /// The bot's name, without `@`.
    pub username: String,
}

/// A chat, as getChat describes it.
#[derive(Clone, Debug, Deserialize)]
pub struct ChatInfo {
    /// The chat's number.
    pub id: i64,
    /// `channel`, `supergroup`, `group` or `private`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Channels and groups have one.
    pub title: Option<String>,
}

/// Why Telegram did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum TelegramError {
    /// Telegram refused; this is its description.
    #[error("{0}")]
    Refused(String),
    /// There was no answer; the reason is in the log.
    #[error("Telegram cannot be reached")]
    Unreachable,
    /// The emulator failed; the reason is in the log.
    #[error("internal error")]
    Internal,
}

/// The Bot API, as far as settings are checked with it.
#[async_trait]
pub trait BotApi: Send + Sync {
    /// getMe: the bot that has a token.
    async fn bot(&self, token: &BotToken) -> Result<BotUser, TelegramError>;

    /// getChat.
    async fn chat(&self, token: &BotToken, chat_id: &str) -> Result<ChatInfo, TelegramError>;

    /// getChatMember of the bot itself: whether it may post into the channel.
    async fn can_post(
        &self,
        token: &BotToken,
        bot: &BotUser,
        chat_id: &str,
    ) -> Result<bool, TelegramError>;
}

/// What only a user of Telegram can do, and no bot. A server without it cannot log users in.
#[async_trait]
pub trait UserAccounts: Send + Sync {
    /// Sends a login code to a phone. The code is good until `expires_at`, in Unix seconds.
    async fn send_code(
        &self,
        phone: &str,
        code: &str,
        expires_at: i64,
    ) -> Result<(), TelegramError>;

    /// Begins a login by QR code, good until `expires_at`, in Unix seconds.
    async fn begin_qr_login(&self, expires_at: i64) -> Result<QrLogin, TelegramError>;

    /// Whether a phone has scanned the QR code and confirmed the login.
    async fn is_confirmed(&self, token_sha256: &[u8]) -> Result<bool, TelegramError>;

    /// Logs the user in.
    async fn log_in(&self) -> Result<UserSession, TelegramError>;

    /// Makes a private channel of the user's, with a link that lets people in.
    async fn make_channel(&self) -> Result<OwnChannel, TelegramError>;

    /// Makes a bot an administrator of a channel of the user's.
    async fn promote(&self, channel_id: i64, bot_id: i64) -> Result<(), TelegramError>;
}

/// A login by QR code that has begun.
pub struct QrLogin {
    /// What the QR code says: `tg://login?token=…`.
    pub url: String,
    /// SHA-256 of the token in it.
    pub token_sha256: [u8; 32],
}

/// A session of a user's own account: whoever holds it is logged in.
pub struct UserSession {
    /// The id of the application that logged in.
    pub api_id: i64,
    /// The secret of that application.
    pub api_hash: String,
    /// The session itself.
    pub session: String,
}

/// A channel that was made for a user.
pub struct OwnChannel {
    /// The channel's id, like `-1001234567890`.
    pub id: i64,
    /// A link that lets people in.
    pub invite_link: String,
}

impl fmt::Debug for Telegram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Telegram")
    }
}

impl BotToken {
    /// The text as a token, if it has the form of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.split_once(':')?;
        let id_is_good = (1..=MAX_ID_DIGITS).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_digit())
            && !id.starts_with('0');
        let secret_is_good = SECRET_CHARACTERS.contains(&secret.len())
            && secret
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        (id_is_good && secret_is_good).then(|| Self(text.to_owned()))
    }

    /// The token in the clear.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BotToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BotToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_form_that_telegram_gives_out_is_a_token() {
        let secret = "a".repeat(30);
        for good in [
            format!("1:{secret}"),
            format!("12345678901234567:{}", "_".repeat(60)),
            format!("9:{}-Z0", "b".repeat(27)),
        ] {
            let token = BotToken::parse(&good).expect(&good);
            assert_eq!(token.expose(), good);
            assert!(!format!("{token:?}").contains(':'));
        }
        for bad in [
            secret.clone(),
            format!(":{secret}"),
            format!("0:{secret}"),
            format!("01:{secret}"),
            format!("1a:{secret}"),
            format!("123456789012345678:{secret}"),
            format!("1:{}", "a".repeat(29)),
            format!("1:{}", "a".repeat(61)),
            format!("1:{}é", "a".repeat(29)),
            format!("1:{secret}/x"),
            String::new(),
        ] {
            assert!(BotToken::parse(&bad).is_none(), "{bad}");
        }
    }
}
