//! What the deletion of messages needs later, sealed.
//!
//! An upload that expires has its messages deleted by an alarm, long after the last request with a
//! token. The bot's token that this needs lies with the upload, encrypted with AES-256-GCM (NIST SP
//! 800-38D); the key lies in the user's object. Whoever reads one object has nothing. Both go when
//! the upload does. No setting is needed for it.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::telegram::BotToken;
use crate::text::hex;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce. A key seals few messages, so that random ones don't meet.
pub const NONCE_BYTES: usize = 12;

/// A bot's token, encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    nonce: String,
    ciphertext: String,
}

/// The key of one upload. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealingKey(String);

/// What tells one token of a bot from another, and from which no token can be had: the first half of
/// its SHA-256.
#[must_use]
pub fn token_mark(bot: &BotToken) -> String {
    let hash = Sha256::digest(bot.expose());
    hex(hash.get(..16).unwrap_or_default())
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(…)")
    }
}

impl SealingKey {
    /// A key of random bytes.
    #[must_use]
    pub fn new(entropy: [u8; KEY_BYTES]) -> Self {
        Self(BASE64.encode(entropy))
    }

    fn cipher(&self) -> Option<Aes256Gcm> {
        let bytes: [u8; KEY_BYTES] = BASE64.decode(&self.0).ok()?.try_into().ok()?;
        Some(Aes256Gcm::new(&Key::<Aes256Gcm>::from(bytes)))
    }

    /// Seals a token for the upload of that object. `None` for a key that is none.
    #[must_use]
    pub fn seal(&self, nonce: [u8; NONCE_BYTES], object: &str, bot: &BotToken) -> Option<Sealed> {
        let payload = Payload {
            msg: bot.expose().as_bytes(),
            aad: object.as_bytes(),
        };
        let ciphertext = self.cipher()?.encrypt(&Nonce::from(nonce), payload).ok()?;
        Some(Sealed {
            nonce: BASE64.encode(nonce),
            ciphertext: BASE64.encode(ciphertext),
        })
    }

    /// Opens what [`SealingKey::seal`] made for the same object. `None` when it is anything else.
    #[must_use]
    pub fn open(&self, object: &str, sealed: &Sealed) -> Option<BotToken> {
        let nonce: [u8; NONCE_BYTES] = BASE64.decode(&sealed.nonce).ok()?.try_into().ok()?;
        let ciphertext = BASE64.decode(&sealed.ciphertext).ok()?;
        let payload = Payload {
            msg: &ciphertext,
            aad: object.as_bytes(),
        };
        let opened = self.cipher()?.decrypt(&Nonce::from(nonce), payload).ok()?;
        BotToken::parse(std::str::from_utf8(&opened).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bot() -> BotToken {
        BotToken::parse(&format!("12345:{}", "A".repeat(35))).expect("a token")
    }

    #[test]
    fn a_token_comes_back_with_its_key_and_for_its_upload_alone() {
        let key = SealingKey::new([7; KEY_BYTES]);
        let sealed = key.seal([1; NONCE_BYTES], "up_1", &bot()).expect("sealed");
        assert_eq!(key.open("up_1", &sealed), Some(bot()));
        assert_eq!(key.open("up_2", &sealed), None);
        assert_eq!(SealingKey::new([8; KEY_BYTES]).open("up_1", &sealed), None);
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let key = SealingKey::new([7; KEY_BYTES]);
        let sealed = key.seal([1; NONCE_BYTES], "up_1", &bot()).expect("sealed");
        for at in 0..sealed.ciphertext.len() {
            let mut changed = sealed.clone();
            let was = changed.ciphertext.remove(at);
            changed
                .ciphertext
                .insert(at, if was == 'A' { 'B' } else { 'A' });
            assert_eq!(key.open("up_1", &changed), None, "{at}");
        }
    }

    #[test]
    fn neither_half_shows_the_token() {
        let key = SealingKey::new([7; KEY_BYTES]);
        let sealed = key.seal([1; NONCE_BYTES], "up_1", &bot()).expect("sealed");
        let both = format!(
            "{sealed:?} {}",
            serde_json::to_string(&sealed).expect("JSON")
        );
        assert!(!both.contains("AAAAA"));
        assert_eq!(format!("{key:?}"), "SealingKey(…)");
    }
}
