//! The master key, and sealing of secrets at rest under it.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;

/// Length of the master key, in bytes.
const KEY_BYTES: usize = 32;
/// Length of an `XChaCha20` nonce, in bytes: long enough to be drawn at random for every sealing.
const NONCE_BYTES: usize = 24;

/// Why there is no master key, or a sealed value does not open.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// `ENCRYPTION_KEY` is not base64 of 32 bytes.
    #[error("ENCRYPTION_KEY must be 32 bytes in base64")]
    MalformedKey,
    /// The key file does not hold base64 of 32 bytes.
    #[error("{} must hold 32 bytes in base64", .0.display())]
    MalformedKeyFile(PathBuf),
    /// The key file cannot be read or made.
    #[error("{}: {source}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no randomness to give.
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
    /// The value was sealed under another key, for another user or field, or was altered.
    #[error("a sealed value does not open: is this the key it was sealed under?")]
    DoesNotOpen,
}

/// The master key; every other key and every sealed value hangs on it.
pub(crate) struct MasterKey([u8; KEY_BYTES]);

/// A secret's place: sealed values do not open anywhere else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) field: &'a str,
}

impl MasterKey {
    /// A key from base64, as in `ENCRYPTION_KEY`.
    pub(crate) fn from_base64(text: &str) -> Result<Self, SecretsError> {
        decode(text).ok_or(SecretsError::MalformedKey)
    }

    /// A key for this process alone.
    pub(crate) fn generate() -> Result<Self, SecretsError> {
        random().map(Self)
    }

    /// The key in the file; makes the file, readable by its owner alone, if it is not there.
    pub(crate) fn from_file(path: &Path) -> Result<Self, SecretsError> {
        let failed = |source| SecretsError::KeyFile {
            path: path.to_owned(),
            source,
        };
        match fs::read_to_string(path) {
            Ok(text) => {
                decode(&text).ok_or_else(|| SecretsError::MalformedKeyFile(path.to_owned()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate()?;
                write_private(path, &STANDARD.encode(key.0)).map_err(failed)?;
                Ok(key)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// A key for one purpose, that tells nothing of the master key (RFC 5869).
    pub(crate) fn derive(&self, purpose: &str) -> [u8; KEY_BYTES] {
        let mut key = [0; KEY_BYTES];
        Hkdf::<Sha256>::new(None, &self.0)
            .expand(purpose.as_bytes(), &mut key)
            .expect("32 bytes are within HKDF's limit of 255 blocks");
        key
    }

    /// Seals a secret for its place: nonce, then XChaCha20-Poly1305 ciphertext.
    pub(crate) fn seal(&self, place: Place<'_>, secret: &str) -> Result<Vec<u8>, SecretsError> {
        let nonce: [u8; NONCE_BYTES] = random()?;
        let ciphertext = self
            .cipher()
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: secret.as_bytes(),
                    aad: &place.associated_data(),
                },
            )
            .map_err(|_| SecretsError::DoesNotOpen)?;
        Ok([nonce.as_slice(), &ciphertext].concat())
    }

    /// Opens what [`MasterKey::seal`] sealed for the same place.
    pub(crate) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<String, SecretsError> {
        let (nonce, ciphertext) = sealed
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(SecretsError::DoesNotOpen)?;
        let secret = self
            .cipher()
            .decrypt(
                &XNonce::from(*nonce),
                Payload {
                    msg: ciphertext,
                    aad: &place.associated_data(),
                },
            )
            .map_err(|_| SecretsError::DoesNotOpen)?;
        String::from_utf8(secret).map_err(|_| SecretsError::DoesNotOpen)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.derive("seal").into())
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

impl Place<'_> {
    // NUL is in neither, so that no two places share their bytes.
    fn associated_data(self) -> Vec<u8> {
        [self.user_id.as_bytes(), b"\0", self.field.as_bytes()].concat()
    }
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], SecretsError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(SecretsError::Randomness)?;
    Ok(bytes)
}

fn decode(text: &str) -> Option<MasterKey> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    bytes.try_into().ok().map(MasterKey)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    // A key that is lost in a power failure takes every sealed value with it.
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = Place {
        user_id: "user-1",
        field: "bot_token",
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
        ] {
            assert!(key.open(place, &sealed).is_err());
        }
        assert!(MasterKey::generate().unwrap().open(PLACE, &sealed).is_err());
        assert!(key.open(PLACE, &sealed[..10]).is_err());
        sealed[NONCE_BYTES] ^= 1;
        assert!(key.open(PLACE, &sealed).is_err());
    }

    #[test]
    fn a_key_must_be_32_bytes_of_base64() {
        assert!(MasterKey::from_base64(&STANDARD.encode([7; 32])).is_ok());
        assert!(MasterKey::from_base64(&STANDARD.encode([7; 31])).is_err());
        assert!(MasterKey::from_base64("not base64").is_err());
    }
}
