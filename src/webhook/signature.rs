//! Standard Webhooks signatures (standardwebhooks.com, version 1, symmetric).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::host::UnixMillis;

/// How far a timestamp may be from now, in seconds: what was overheard cannot be sent again later
/// (Standard Webhooks, "Verifying webhook authenticity").
const TOLERANCE_SECONDS: u64 = 5 * 60;

/// What a request says to prove that it comes from somebody who has the secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signature {
    /// `webhook-id`
    pub id: String,
    /// `webhook-timestamp`, in seconds
    pub timestamp: String,
    /// `webhook-signature`: several may stand there, blanks between them, while a secret is replaced.
    pub signatures: String,
}

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
        let Some(mac) = self.mac(id, timestamp, body) else {
            return String::new();
        };
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// Whether the signature is this message's, and of about `now`. It compares in constant time.
    #[must_use]
    pub fn verifies(&self, signature: &Signature, body: &[u8], now: UnixMillis) -> bool {
        let Ok(timestamp) = signature.timestamp.parse::<u64>() else {
            return false;
        };
        timestamp.abs_diff(now / 1000) <= TOLERANCE_SECONDS
            && signature
                .signatures
                .split_ascii_whitespace()
                .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok())
                .any(|tag| {
                    self.mac(&signature.id, timestamp, body)
                        .is_some_and(|mac| mac.verify_slice(&tag).is_ok())
                })
    }

    /// HMAC takes keys of any length: there always is one.
    fn mac(&self, id: &str, timestamp: u64, body: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(mac)
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

    const NOW: UnixMillis = 1_614_265_330_000;

    fn published() -> (WebhookSecret, Signature) {
        let secret =
            WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("secret");
        let signature = Signature {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            timestamp: "1614265330".to_owned(),
            signatures: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned(),
        };
        (secret, signature)
    }

    const BODY: &[u8] = b"{\"test\": 2432232314}";

    #[test]
    fn the_published_signature_is_verified_also_beside_others() {
        let (secret, mut signature) = published();
        assert!(secret.verifies(&signature, BODY, NOW));
        signature.signatures = format!("v1a,AAAA v1,AAAA v1,!! {}", signature.signatures);
        assert!(secret.verifies(&signature, BODY, NOW));
    }

    #[test]
    fn another_body_id_time_or_secret_is_refused() {
        let (secret, signature) = published();
        assert!(!secret.verifies(&signature, b"{}", NOW));
        let other = Signature {
            id: "msg_1".to_owned(),
            ..signature.clone()
        };
        assert!(!secret.verifies(&other, BODY, NOW));
        let other = Signature {
            timestamp: "1614265331".to_owned(),
            ..signature.clone()
        };
        assert!(!secret.verifies(&other, BODY, NOW));
        for signatures in [
            "",
            "v1,",
            "v1",
            "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ] {
            let other = Signature {
                signatures: signatures.to_owned(),
                ..signature.clone()
            };
            assert!(!secret.verifies(&other, BODY, NOW), "{signatures:?}");
        }
        let stranger = WebhookSecret(vec![7; 24]);
        assert!(!stranger.verifies(&signature, BODY, NOW));
    }

    #[test]
    fn a_signature_holds_for_five_minutes_either_way() {
        let (secret, signature) = published();
        assert!(secret.verifies(&signature, BODY, NOW + 300_999));
        assert!(!secret.verifies(&signature, BODY, NOW + 301_000));
        assert!(secret.verifies(&signature, BODY, NOW - 300_000));
        assert!(!secret.verifies(&signature, BODY, NOW - 301_000));
        let timeless = Signature {
            timestamp: "-1".to_owned(),
            ..signature
        };
        assert!(!secret.verifies(&timeless, BODY, NOW));
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
