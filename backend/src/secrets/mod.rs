//! The master keys, and sealing of secrets at rest under them.

use std::{io, path::PathBuf};

mod key;
mod ring;

pub(crate) use key::{MasterKey, Place};
pub(crate) use ring::KeyRing;

/// Why there is no master key, or a sealed value does not open.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// `ENCRYPTION_KEY` is not base64 of 32 bytes, nor a list of such.
    #[error(
        "ENCRYPTION_KEY must be 32 bytes in base64, or a list of them like `2026:…,2025:…`; \
         `openssl rand -base64 32` makes one"
    )]
    MalformedKey,
    /// The key file does not hold base64 of 32 bytes, nor a list of such.
    #[error("{} must hold 32 bytes in base64, or a list of them like `2026:…,2025:…`", .0.display())]
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
    /// The value was sealed under another key, for another place, or was altered.
    #[error("a sealed value does not open: is this the key it was sealed under?")]
    DoesNotOpen,
    /// The database holds values under a key that is not given.
    #[error(
        "the database holds secrets sealed under the key `{0}`, which ENCRYPTION_KEY does not have: \
         add it after the new one, then run `rotate-key`"
    )]
    MissingKey(String),
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], SecretsError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(SecretsError::Randomness)?;
    Ok(bytes)
}
