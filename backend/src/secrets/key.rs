//! One master key, and what a sealed value looks like.
//!
//! ```text
//! "TSK1"  key id    nonce      XChaCha20-Poly1305 ciphertext and tag
//! 4 bytes 8 bytes   24 bytes
//! ```
//! Associated data: the first twelve bytes, then user id, field and row, each ended by NUL. Values
//! of earlier releases are nonce and ciphertext alone, with user id and field as associated data;
//! they open still, and `rotate-key` gives them the form above.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::secrets::{SecretsError, random};

/// Length of a master key, in bytes.
pub(super) const KEY_BYTES: usize = 32;
/// Length of an `XChaCha20` nonce, in bytes: long enough to be drawn at random for every sealing.
const NONCE_BYTES: usize = 24;
/// Leads every sealed value; an earlier release's value begins so once in four billion.
const MAGIC: [u8; 4] = *b"TSK1";
const HEADER_BYTES: usize = MAGIC.len() + size_of::<KeyId>();

/// What names a key in a ciphertext. It is derived from the key, so that no two keys share one, and
/// tells nothing of it.
pub(super) type KeyId = [u8; 8];

/// A master key; every other key and every sealed value hangs on one.
pub(crate) struct MasterKey {
    bytes: [u8; KEY_BYTES],
    id: KeyId,
    /// Derived once: deriving costs more than opening.
    cipher: XChaCha20Poly1305,
}

/// A secret's place: sealed values do not open anywhere else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) field: &'a str,
    /// Of which row, where a user has several; else empty.
    pub(crate) row: &'a str,
}

/// A sealed value, taken apart.
pub(super) enum Sealed<'a> {
    /// Names its key.
    Named(KeyId, &'a [u8]),
    /// Of an earlier release: any key may be its own.
    Nameless,
}

impl MasterKey {
    pub(super) fn new(bytes: [u8; KEY_BYTES]) -> Self {
        let derived = derive(&bytes, "id");
        let mut id = KeyId::default();
        id.copy_from_slice(&derived[..size_of::<KeyId>()]);
        Self {
            cipher: XChaCha20Poly1305::new(&derive(&bytes, "seal").into()),
            bytes,
            id,
        }
    }

    /// A key from base64.
    pub(super) fn from_base64(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.trim()).ok()?;
        bytes.try_into().ok().map(Self::new)
    }

    /// A random key.
    pub(crate) fn generate() -> Result<Self, SecretsError> {
        random().map(Self::new)
    }

    /// The key itself, in base64.
    pub(super) fn expose(&self) -> String {
        STANDARD.encode(self.bytes)
    }

    pub(super) fn id(&self) -> KeyId {
        self.id
    }

    /// The id as text.
    pub(crate) fn id_text(&self) -> String {
        hex::encode(self.id)
    }

    /// Seals a secret for its place.
    pub(super) fn seal(&self, place: Place<'_>, secret: &str) -> Result<Vec<u8>, SecretsError> {
        let nonce: [u8; NONCE_BYTES] = random()?;
        let header = [MAGIC.as_slice(), &self.id].concat();
        let payload = Payload {
            msg: secret.as_bytes(),
            aad: &place.associated_data(&header),
        };
        let ciphertext = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SecretsError::DoesNotOpen)?;
        Ok([header.as_slice(), &nonce, &ciphertext].concat())
    }

    /// Opens what was sealed under this key for the same place.
    pub(super) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<String, SecretsError> {
        match take_apart(sealed) {
            Sealed::Named(id, body) if id == self.id => {
                let header = sealed.get(..HEADER_BYTES).unwrap_or_default();
                self.decrypt(body, &place.associated_data(header))
            }
            Sealed::Named(..) => Err(SecretsError::DoesNotOpen),
            Sealed::Nameless => self.decrypt(sealed, &place.earlier_associated_data()),
        }
    }

    fn decrypt(&self, body: &[u8], associated_data: &[u8]) -> Result<String, SecretsError> {
        let (nonce, ciphertext) = body
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(SecretsError::DoesNotOpen)?;
        let payload = Payload {
            msg: ciphertext,
            aad: associated_data,
        };
        let secret = self
            .cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| SecretsError::DoesNotOpen)?;
        String::from_utf8(secret).map_err(|_| SecretsError::DoesNotOpen)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

impl Place<'_> {
    // NUL is in none of the three, so that no two places share their bytes.
    fn associated_data(self, header: &[u8]) -> Vec<u8> {
        let mut bytes = header.to_vec();
        for part in [self.user_id, self.field, self.row] {
            bytes.extend_from_slice(part.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    fn earlier_associated_data(self) -> Vec<u8> {
        [self.user_id.as_bytes(), b"\0", self.field.as_bytes()].concat()
    }
}

/// Tells which key a sealed value names.
pub(super) fn take_apart(sealed: &[u8]) -> Sealed<'_> {
    let named = || {
        let rest = sealed.strip_prefix(MAGIC.as_slice())?;
        rest.split_first_chunk()
    };
    match named() {
        Some((id, body)) => Sealed::Named(*id, body),
        None => Sealed::Nameless,
    }
}

/// A key for one purpose, that tells nothing of the master key (RFC 5869).
fn derive(key: &[u8; KEY_BYTES], purpose: &str) -> [u8; KEY_BYTES] {
    let mut derived = [0; KEY_BYTES];
    Hkdf::<Sha256>::new(None, key)
        .expand(purpose.as_bytes(), &mut derived)
        .expect("32 bytes are within HKDF's limit of 255 blocks");
    derived
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = Place {
        user_id: "user-1",
        field: "bot_token",
        row: "row-1",
    };

    #[test]
    fn a_sealed_secret_opens_in_its_place() {
        let key = MasterKey::generate().unwrap();
        let sealed = key.seal(PLACE, "123:secret").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(key.open(PLACE, &sealed).unwrap(), "123:secret");
    }

    #[test]
    fn a_sealed_secret_opens_nowhere_else() {
        let key = MasterKey::generate().unwrap();
        let mut sealed = key.seal(PLACE, "123:secret").unwrap();
        for place in [
            Place {
                user_id: "user-2",
                ..PLACE
            },
            Place {
                field: "session",
                ..PLACE
            },
            Place {
                row: "row-2",
                ..PLACE
            },
        ] {
            assert!(key.open(place, &sealed).is_err());
        }
        assert!(MasterKey::generate().unwrap().open(PLACE, &sealed).is_err());
        assert!(key.open(PLACE, &sealed[..10]).is_err());
        for byte in [0, MAGIC.len(), HEADER_BYTES, HEADER_BYTES + NONCE_BYTES] {
            sealed[byte] ^= 1;
            assert!(key.open(PLACE, &sealed).is_err(), "{byte}");
            sealed[byte] ^= 1;
        }
        assert!(key.open(PLACE, &sealed).is_ok());
    }

    #[test]
    fn a_value_of_an_earlier_release_opens() {
        // Nonce and ciphertext as 0.1.0 wrote them: key of 7s, nonce of 9s.
        let key = MasterKey::new([7; KEY_BYTES]);
        let nonce = [9; NONCE_BYTES];
        let payload = Payload {
            msg: b"123:secret".as_slice(),
            aad: b"user-1\0bot_token",
        };
        let cipher = XChaCha20Poly1305::new(&derive(&[7; KEY_BYTES], "seal").into());
        let ciphertext = cipher.encrypt(&XNonce::from(nonce), payload).unwrap();
        let sealed = [nonce.as_slice(), &ciphertext].concat();
        assert_eq!(key.open(PLACE, &sealed).unwrap(), "123:secret");
        let other_user = Place {
            user_id: "user-2",
            ..PLACE
        };
        assert!(key.open(other_user, &sealed).is_err());
    }

    #[test]
    fn a_key_must_be_32_bytes_of_base64() {
        assert!(MasterKey::from_base64(&STANDARD.encode([7; 32])).is_some());
        assert!(MasterKey::from_base64(&STANDARD.encode([7; 31])).is_none());
        assert!(MasterKey::from_base64("not base64").is_none());
    }
}
