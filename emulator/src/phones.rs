//! The phones of Telegram's users: the login codes that they show and the QR codes that they scan. In
//! memory only. Telegram's own clients log in over MTProto; the emulator has none of it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{random::random, store::unix_now};

/// What the link in a QR code begins with (<https://core.telegram.org/api/qr-login>).
const QR_LINK: &str = "tg://login?token=";
/// A link to a private channel (<https://core.telegram.org/api/links#chat-invite-links>).
const INVITE_LINK: &str = "https://t.me/+";
const TOKEN_BYTES: usize = 32;
const SESSION_BYTES: usize = 192;
const API_HASH_BYTES: usize = 16;
const INVITE_BYTES: usize = 12;

/// SHA-256 of the token in a QR code.
pub type QrTokenHash = [u8; 32];

/// The phones of Telegram's users.
#[derive(Default)]
pub struct Phones(
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
pub struct UserSession {
    /// The id of the application that logged in.
    pub api_id: i64,
    /// The secret of that application.
    pub api_hash: String,
    /// The session itself, as clients keep it.
    pub session: String,
}

impl Phones {
    /// Shows a code on a phone until `expires_at`, in Unix seconds.
    pub fn show_code(&self, phone: &str, code: &str, expires_at: i64) {
        let shown = Code {
            code: code.to_owned(),
            expires_at,
        };
        self.current().codes.insert(phone.to_owned(), shown);
    }

    /// Makes the link for a QR code that is good until `expires_at`, in Unix seconds. Returns it with
    /// the hash of its token.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn qr_link(&self, expires_at: i64) -> Result<(String, QrTokenHash), getrandom::Error> {
        let token: [u8; TOKEN_BYTES] = random()?;
        let hash = Sha256::digest(token).into();
        let shown = QrCode {
            expires_at,
            scanned: false,
        };
        self.current().qr_codes.insert(hash, shown);
        Ok((format!("{QR_LINK}{}", URL_SAFE_NO_PAD.encode(token)), hash))
    }

    /// Whether a phone has scanned the QR code with this token.
    #[must_use]
    pub fn was_scanned(&self, token: &[u8]) -> bool {
        let shown = self.current();
        shown.qr_codes.get(token).is_some_and(|it| it.scanned)
    }

    /// What a phone does: scans the QR code of a link, and confirms. Says whether the link is good.
    pub fn scan(&self, link: &str) -> bool {
        let token = link.strip_prefix(QR_LINK);
        let Some(Ok(token)) = token.map(|token| URL_SAFE_NO_PAD.decode(token)) else {
            return false;
        };
        let hash: QrTokenHash = Sha256::digest(token).into();
        let mut shown = self.current();
        let Some(code) = shown.qr_codes.get_mut(&hash) else {
            return false;
        };
        code.scanned = true;
        true
    }

    /// Phone number and code of every code that is still good, by number.
    #[must_use]
    pub fn codes(&self) -> Vec<(String, String)> {
        let shown = self.current();
        let codes = shown.codes.iter();
        let mut codes: Vec<_> = codes
            .map(|(phone, code)| (phone.clone(), code.code.clone()))
            .collect();
        codes.sort();
        codes
    }

    /// What is shown now. Codes that have expired are forgotten.
    fn current(&self) -> MutexGuard<'_, Shown> {
        let now = unix_now();
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.codes.retain(|_, code| now < code.expires_at);
        shown.qr_codes.retain(|_, code| now < code.expires_at);
        shown
    }
}

impl UserSession {
    /// Logs in, as an application of the emulated Telegram's own.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn log_in() -> Result<Self, getrandom::Error> {
        let api_hash: [u8; API_HASH_BYTES] = random()?;
        let session: [u8; SESSION_BYTES] = random()?;
        Ok(Self {
            api_id: 1,
            api_hash: hex::encode(api_hash),
            // Telethon's string sessions begin with their version.
            session: format!("1{}", URL_SAFE_NO_PAD.encode(session)),
        })
    }
}

impl fmt::Debug for UserSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserSession")
    }
}

/// A link that lets people into a private channel.
///
/// # Errors
/// When the system has no randomness.
pub fn invite_link() -> Result<String, getrandom::Error> {
    let invite: [u8; INVITE_BYTES] = random()?;
    Ok(format!("{INVITE_LINK}{}", URL_SAFE_NO_PAD.encode(invite)))
}

impl fmt::Debug for Phones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phones")
    }
}
