//! The user's token. It is checked and hashed, and never stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::host::UnixMillis;
use crate::json::Object;

/// Most bytes of a token. Servers refuse headers much longer than this.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A token that is checked, so that it can be sent as `Authorization: Bearer`. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthToken(String);

/// SHA-256 of a token: the key under which its credentials are cached.
pub type TokenHash = [u8; 32];

impl AuthToken {
    /// Checks a token: 1 to 8192 visible ASCII characters, after trimming blanks around it.
    ///
    /// Other characters could end or split the header that carries it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t']);
        let fits = !text.is_empty() && text.len() <= MAX_TOKEN_BYTES;
        (fits && text.bytes().all(|b| b.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    /// The value of the `Authorization` header.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// The token itself, for being sealed.
    #[must_use]
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The key in the cache.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// When the token says that it expires: the `exp` of a JWT (RFC 7519 section 4.1.4).
    ///
    /// The signature is not checked. It need not be, because the claim can only shorten a cache entry.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixMillis> {
        #[derive(serde::Deserialize)]
        struct Claims {
            exp: f64,
        }
        let mut segments = self.0.split('.');
        let (_, payload, _, None) = (
            segments.next()?,
            segments.next()?,
            segments.next()?,
            segments.next(),
        ) else {
            return None;
        };
        let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
        let Object(claims): Object<Claims> = serde_json::from_slice(&json).ok()?;
        // `as` saturates for floats, so neither a huge nor a negative claim can wrap.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some((claims.exp * 1000.0) as UnixMillis)
    }
}

impl std::fmt::Debug for AuthToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthToken(…)")
    }
}
