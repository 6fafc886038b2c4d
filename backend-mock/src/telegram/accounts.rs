//! Logging in to a user's own account, which Telegram's clients do over MTProto: what the phone shows
//! and scans, in memory alone.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{BotRights, Telegram};
use crate::{
    blobs::hexadecimal,
    secrets::{SecretsError, random},
    store::{StoreError, unix_now},
};

/// What the link in a QR code begins with (<https://core.telegram.org/api/qr-login>).
const QR_LINK: &str = "tg://login?token=";
/// A link to a private channel (<https://core.telegram.org/api/links#chat-invite-links>).
const INVITE_LINK: &str = "https://t.me/+";
const TOKEN_BYTES: usize = 32;
const SESSION_BYTES: usize = 192;
const API_HASH_BYTES: usize = 16;
const INVITE_BYTES: usize = 12;
/// Codes have five digits.
const CODES: u32 = 100_000;

/// SHA-256 of the token in a QR code.
pub(crate) type QrTokenHash = [u8; 32];

/// The phones of the emulated Telegram's users.
#[derive(Default)]
pub(super) struct Phones(
    // A std mutex: it is held for a lookup, never across an await.
    Mutex<Shown>,
);

#[derive(Default)]
struct Shown {
    /// By phone number.
    codes: HashMap<String, Code>,
    qr_codes: HashMap<QrTokenHash, QrCode>,
}

struct Code {
    code: String,
    /// Unix seconds.
    expires_at: i64,
}

struct QrCode {
    /// Unix seconds.
    expires_at: i64,
    scanned: bool,
}

/// What a login gives: who holds it is logged in.
pub(crate) struct UserSession {
    pub(crate) api_id: i64,
    pub(crate) api_hash: String,
    pub(crate) session: String,
}

impl Telegram {
    /// A code that is yet to be sent.
    pub(crate) fn new_code() -> Result<String, SecretsError> {
        Ok(format!("{:05}", u32::from_le_bytes(random()?) % CODES))
    }

    /// Sends a code to a phone, which shows it until `expires_at`, in Unix seconds.
    pub(crate) fn send_code(&self, phone: &str, code: String, expires_at: i64) {
        let shown = Code { code, expires_at };
        self.phones.current().codes.insert(phone.to_owned(), shown);
    }

    /// Makes the link for a QR code, and returns it with the hash of its token.
    pub(crate) fn qr_link(&self, expires_at: i64) -> Result<(String, QrTokenHash), SecretsError> {
        let token: [u8; TOKEN_BYTES] = random()?;
        let hash = Sha256::digest(token).into();
        let shown = QrCode {
            expires_at,
            scanned: false,
        };
        self.phones.current().qr_codes.insert(hash, shown);
        Ok((format!("{QR_LINK}{}", URL_SAFE_NO_PAD.encode(token)), hash))
    }

    /// Whether a phone has scanned the QR code with this token.
    pub(crate) fn was_scanned(&self, token: &[u8]) -> bool {
        let shown = self.phones.current();
        shown.qr_codes.get(token).is_some_and(|it| it.scanned)
    }

    /// What a phone does: scans the QR code of a link, and confirms. Says whether the link is good.
    pub(crate) fn scan(&self, link: &str) -> bool {
        let token = link.strip_prefix(QR_LINK);
        let Some(Ok(token)) = token.map(|token| URL_SAFE_NO_PAD.decode(token)) else {
            return false;
        };
        let hash: QrTokenHash = Sha256::digest(token).into();
        let mut shown = self.phones.current();
        let Some(code) = shown.qr_codes.get_mut(&hash) else {
            return false;
        };
        code.scanned = true;
        true
    }

    /// Phone number and code of every message with a code that is good still.
    pub(crate) fn sent_codes(&self) -> Vec<(String, String)> {
        let shown = self.phones.current();
        let codes = shown.codes.iter();
        let mut codes: Vec<_> = codes
            .map(|(phone, code)| (phone.clone(), code.code.clone()))
            .collect();
        codes.sort();
        codes
    }

    /// Logs in, as an application of the emulated Telegram's own.
    pub(crate) fn log_in() -> Result<UserSession, SecretsError> {
        let api_hash: [u8; API_HASH_BYTES] = random()?;
        let session: [u8; SESSION_BYTES] = random()?;
        Ok(UserSession {
            api_id: 1,
            api_hash: hexadecimal(&api_hash),
            // Telethon's string sessions begin with their version.
            session: format!("1{}", URL_SAFE_NO_PAD.encode(session)),
        })
    }

    /// Makes a bot an administrator of a channel, as the channel's owner may.
    pub(crate) async fn promote(&self, channel_id: i64, bot_id: i64) -> Result<(), StoreError> {
        let rights = BotRights::Administrator.name();
        self.store.set_member(channel_id, bot_id, rights).await
    }

    /// A link that lets people into a private channel.
    pub(crate) fn invite_link() -> Result<String, SecretsError> {
        let invite: [u8; INVITE_BYTES] = random()?;
        Ok(format!("{INVITE_LINK}{}", URL_SAFE_NO_PAD.encode(invite)))
    }
}

impl Phones {
    /// What is shown now; what has run out is forgotten.
    fn current(&self) -> MutexGuard<'_, Shown> {
        let now = unix_now();
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.codes.retain(|_, code| now < code.expires_at);
        shown.qr_codes.retain(|_, code| now < code.expires_at);
        shown
    }
}

impl fmt::Debug for Phones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phones")
    }
}
