//! Telegram's Bot API: checked identifiers, `sendDocument`'s replies, and what its errors mean.

mod fault;
mod get_file;
pub mod pace;
mod reply;
pub mod rights;

#[cfg(test)]
mod tests;

use sha2::{Digest as _, Sha256};

pub use fault::TelegramFault;
pub use get_file::{FileFault, FileId, RemoteFile, read_file};
pub use reply::{Stored, read_answer, read_result};

/// Most bytes of an answer that are read. A message with a document is about 1 KiB.
pub const MAX_ANSWER_BYTES: usize = 128 * 1024;
/// The largest file that a bot can fetch back from the cloud Bot API (Bot API, `getFile`: 20 MB).
pub const MAX_CLOUD_DOWNLOAD_BYTES: u64 = 20 * 1024 * 1024;
/// Most characters of a caption (Bot API, `sendDocument`).
pub const MAX_CAPTION_CHARS: usize = 1024;

/// A bot's token, checked because it goes into URLs. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct BotToken(String);

impl BotToken {
    /// Checks a token against `^[1-9]\d{0,16}:[A-Za-z0-9_-]{30,60}$`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.split_once(':')?;
        let id_fits = (1..=17).contains(&id.len())
            && !id.starts_with('0')
            && id.bytes().all(|b| b.is_ascii_digit());
        let secret_fits = (30..=60).contains(&secret.len())
            && secret
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        (id_fits && secret_fits).then(|| Self(text.to_owned()))
    }

    /// The bot's id, which is the part before the colon. It is not secret.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// The token itself, to be encrypted.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the token: a key for what is remembered of the bot.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The URL of one of the bot's methods. It holds the token.
    #[must_use]
    pub fn method_url(&self, api_url: &str, method: &str) -> String {
        format!("{api_url}/bot{}/{method}", self.0)
    }
}

impl std::fmt::Debug for BotToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BotToken(…)")
    }
}

/// A chat's id (`-1001234567890`) or `@name`, checked because it goes into a multipart field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChatId(String);

impl ChatId {
    /// Checks an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let number = text.strip_prefix('-').unwrap_or(text);
        let is_number =
            (1..=19).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        let is_name = text.strip_prefix('@').is_some_and(|name| {
            (1..=64).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        });
        (is_number || is_name).then(|| Self(text.to_owned()))
    }

    /// The id as Telegram reads it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
