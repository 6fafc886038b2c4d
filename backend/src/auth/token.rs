//! Access tokens: JWT under HS256, with `sub` and `exp` (RFC 7519).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use signature::{Signer, Verifier};

use crate::{error::ApiError, time::unix_now};

/// Makes and checks access tokens.
pub(crate) struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

#[derive(Debug, Deserialize, Serialize)]
struct Claims {
    sub: String,
    exp: i64,
}

impl Tokens {
    /// Tokens under this secret.
    pub(crate) fn new(secret: &[u8]) -> Self {
        // Fails when it is installed already, which is fine.
        let _ = HS256.install_default();
        let mut validation = Validation::new(Algorithm::HS256);
        // One clock makes and checks them.
        validation.leeway = 0;
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
        }
    }

    /// A token of the user that expires in `ttl_seconds`.
    pub(crate) fn issue(&self, user_id: &str, ttl_seconds: i64) -> Result<String, ApiError> {
        let claims = Claims {
            sub: user_id.to_owned(),
            exp: unix_now().saturating_add(ttl_seconds).max(0),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding).map_err(
            |error| {
                tracing::error!(%error, "a token could not be signed");
                ApiError::Internal
            },
        )
    }

    /// The id of the user that a token was issued to.
    pub(crate) fn verify(&self, token: &str) -> Result<String, ApiError> {
        jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map(|token| token.claims.sub)
            .map_err(|_| ApiError::InvalidToken)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// HS256 only: a token that names another algorithm has no verifier.
static HS256: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        let key = HmacSha256::new(*algorithm, key.as_bytes())?;
        Ok(Box::new(key))
    },
    verifier_factory: |algorithm, key| {
        let key = HmacSha256::new(*algorithm, key.try_get_as_bytes()?)?;
        Ok(Box::new(key))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct HmacSha256(Hmac<Sha256>);

impl HmacSha256 {
    fn new(algorithm: Algorithm, secret: &[u8]) -> Result<Self, Error> {
        if algorithm != Algorithm::HS256 {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        Hmac::new_from_slice(secret)
            .map(Self)
            .map_err(|_| ErrorKind::InvalidKeyFormat.into())
    }
}

impl Signer<Vec<u8>> for HmacSha256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self
            .0
            .clone()
            .chain_update(message)
            .finalize()
            .into_bytes()
            .to_vec())
    }
}

impl Verifier<Vec<u8>> for HmacSha256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.0
            .clone()
            .chain_update(message)
            .verify_slice(signature)
            .map_err(signature::Error::from_source)
    }
}

impl JwtSigner for HmacSha256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for HmacSha256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;

    /// The token of RFC 7515, appendix A.1, which expired in 2011.
    const RFC_7515_TOKEN: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
        .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
        .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    #[test]
    fn a_token_names_its_user_until_it_runs_out() {
        let tokens = Tokens::new(b"secret");
        let token = tokens.issue("user-1", 60).unwrap();
        assert_eq!(tokens.verify(&token).unwrap(), "user-1");
        let expired = tokens.issue("user-1", -1).unwrap();
        assert!(tokens.verify(&expired).is_err());
    }

    #[test]
    fn a_token_of_another_secret_is_invalid() {
        let token = Tokens::new(b"other").issue("user-1", 60).unwrap();
        assert!(Tokens::new(b"secret").verify(&token).is_err());
    }

    #[test]
    fn a_token_without_signature_is_invalid() {
        // {"alg":"none"}.{"sub":"user-1","exp":9999999999}.
        let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyLTEiLCJleHAiOjk5OTk5OTk5OTl9.";
        let tokens = Tokens::new(b"secret");
        assert!(tokens.verify(token).is_err());
        for token in ["", ".", "..", "a.b.c", "é"] {
            assert!(tokens.verify(token).is_err(), "{token}");
        }
    }

    #[test]
    fn the_signature_is_that_of_the_rfc() {
        let key = [
            3, 35, 53, 75, 43, 15, 165, 188, 131, 126, 6, 101, 119, 123, 166, 143, 90, 179, 40,
            230, 240, 84, 201, 40, 169, 15, 132, 178, 210, 80, 46, 191, 211, 251, 90, 146, 210, 6,
            71, 239, 150, 138, 180, 195, 119, 98, 61, 34, 61, 46, 33, 114, 5, 46, 79, 8, 192, 205,
            154, 245, 103, 208, 128, 163,
        ];
        let (message, expected) = RFC_7515_TOKEN.rsplit_once('.').unwrap();
        let signer = HmacSha256::new(Algorithm::HS256, &key).unwrap();
        let signature = signer.sign(message.as_bytes());
        assert_eq!(URL_SAFE_NO_PAD.encode(signature), expected);
    }
}
