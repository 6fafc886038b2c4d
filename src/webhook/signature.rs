//! Standard Webhooks signatures (standardwebhooks.com, version 1, symmetric).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::config::WebhookSecret;
use crate::host::UnixMillis;

/// How far a timestamp may be from now, in seconds. It prevents replays (Standard Webhooks, "Verifying
/// webhook authenticity").
const TOLERANCE_SECONDS: u64 = 5 * 60;

/// The headers that prove that the sender of a request has the secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signature {
    /// `webhook-id`
    pub id: String,
    /// `webhook-timestamp`, in seconds
    pub timestamp: String,
    /// `webhook-signature`: one or more, separated by spaces, so that a secret can be replaced.
    pub signatures: String,
}

impl WebhookSecret {
    /// The value of `webhook-signature` for this message. The timestamp is in seconds.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let Some(mac) = self.mac(id, timestamp, body) else {
            return String::new();
        };
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// Whether the signature is valid for this message, and its timestamp is close to `now`. Compares in
    /// constant time.
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

    /// HMAC accepts keys of any length, so this never fails.
    fn mac(&self, id: &str, timestamp: u64, body: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key()).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(mac)
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
        let stranger =
            WebhookSecret::parse("whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH").expect("secret");
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
