//! API keys: random, shown once, and stored as their SHA-256.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{
    secrets::{SecretsError, random},
    store::keys::{KeyHash, NewKey},
    time::unix_now,
};

/// What every key begins with. It distinguishes keys from other tokens, and lets scanners find a leaked
/// key.
const PREFIX: &str = "tsk_";
const RANDOM_BYTES: usize = 32;
/// Characters of a key that are shown in lists.
const PREVIEW_CHARACTERS: usize = 8;
pub(crate) const SECONDS_A_DAY: i64 = 24 * 3600;
/// Days until a key expires, unless the request names another number.
pub(crate) const DEFAULT_EXPIRES_DAYS: i64 = 90;
/// Ten years.
pub(crate) const MAX_EXPIRES_DAYS: i64 = 3650;
/// Longest name of a key.
pub(crate) const MAX_NAME_CHARACTERS: usize = 100;

/// A new key in the clear. Its `Debug` shows none of it.
pub(crate) struct ApiKeyText(String);

impl ApiKeyText {
    /// A new key.
    pub(crate) fn generate() -> Result<Self, SecretsError> {
        let random: [u8; RANDOM_BYTES] = random()?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// What the database stores of it.
    pub(crate) fn record(&self, id: String, name: String, lifetime_seconds: i64) -> NewKey {
        let now = unix_now();
        NewKey {
            id,
            name,
            hash: hash(&self.0),
            preview: self.0.chars().take(PREVIEW_CHARACTERS).collect(),
            created_at: now,
            expires_at: now.saturating_add(lifetime_seconds),
        }
    }
}

impl fmt::Debug for ApiKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyText")
    }
}

/// The hash of a token that looks like a key; `None` if it does not.
pub(crate) fn hash_of(token: &str) -> Option<KeyHash> {
    token.starts_with(PREFIX).then(|| hash(token))
}

fn hash(key: &str) -> KeyHash {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_random_and_its_record_tells_eight_characters() {
        let [one, other] = [
            ApiKeyText::generate().unwrap(),
            ApiKeyText::generate().unwrap(),
        ];
        assert_ne!(one.expose(), other.expose());
        assert_eq!(one.expose().len(), 47);
        let record = one.record("id".to_owned(), "name".to_owned(), 60);
        assert_eq!(Some(record.hash), hash_of(one.expose()));
        assert_eq!(record.preview, one.expose()[..8]);
        assert_eq!(record.expires_at, record.created_at + 60);
    }
}
