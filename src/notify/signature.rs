//! Standard Webhooks signatures (standardwebhooks.com, version 1, symmetric).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The key of the signatures, 24 to 64 bytes. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

impl WebhookSecret {
    /// Reads `whsec_` + base64.
    ///
    /// # Errors
    /// What is wrong with it, continuing "`WEBHOOK_SECRET` …".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "is not whsec_ followed by the base64 of 24 to 64 bytes";
        let key = text
            .strip_prefix("whsec_")
            .and_then(|base64| STANDARD.decode(base64).ok())
            .ok_or(SHAPE)?;
        if (24..=64).contains(&key.len()) {
            Ok(Self(key))
        } else {
            Err(SHAPE)
        }
    }

    /// The value of `webhook-signature` for this message. The timestamp is in seconds.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        // HMAC takes keys of any length: the constructor has no way to fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return String::new();
        };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_test_vector_comes_out() {
        let secret =
            WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("secret");
        let signature = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            b"{\"test\": 2432232314}",
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_of_the_wrong_shape_or_length_is_refused() {
        for text in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_MfKQ",
            "whsec_not base64!",
        ] {
            assert!(WebhookSecret::parse(text).is_err(), "{text:?}");
        }
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        assert!(WebhookSecret::parse(&long).is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret =
            WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("secret");
        assert_eq!(format!("{secret:?}"), "WebhookSecret(…)");
    }
}
