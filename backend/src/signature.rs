//! Signatures of webhooks (Standard Webhooks,
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use std::fmt;

use axum::http::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// How far a timestamp may be from now, in seconds: an intercepted webhook cannot be replayed later.
const TOLERANCE_SECONDS: u64 = 300;

/// The secret that the worker and the backend share.
#[derive(Clone)]
pub struct WebhookSecret(Vec<u8>);

/// The text is no webhook secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is `whsec_` and 24 to 64 bytes in base64")]
pub struct MalformedSecret;

impl std::str::FromStr for WebhookSecret {
    type Err = MalformedSecret;

    fn from_str(text: &str) -> Result<Self, MalformedSecret> {
        text.strip_prefix(PREFIX)
            .and_then(|text| STANDARD.decode(text).ok())
            .filter(|secret| SECRET_BYTES.contains(&secret.len()))
            .map(Self)
            .ok_or(MalformedSecret)
    }
}

impl WebhookSecret {
    /// Whether the headers sign the body, at `now` in Unix seconds.
    pub(crate) fn verifies(&self, headers: &HeaderMap, body: &[u8], now: i64) -> bool {
        let header = |name| headers.get(name)?.to_str().ok();
        let (Some(id), Some(timestamp), Some(signatures)) = (
            header("webhook-id"),
            header("webhook-timestamp"),
            header("webhook-signature"),
        ) else {
            return false;
        };
        let in_time = timestamp
            .parse::<i64>()
            .is_ok_and(|at| at.abs_diff(now) <= TOLERANCE_SECONDS);
        // There may be several while a secret is being replaced.
        in_time
            && signatures
                .split(' ')
                .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
                .any(|signature| self.signs(id, timestamp, body, &signature))
    }

    /// The header `webhook-signature` of a message.
    pub(crate) fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let signature = self.mac(id, timestamp, body).finalize().into_bytes();
        format!("v1,{}", STANDARD.encode(signature))
    }

    // Compares in constant time.
    fn signs(&self, id: &str, timestamp: &str, body: &[u8], signature: &[u8]) -> bool {
        self.mac(id, timestamp, body)
            .verify_slice(signature)
            .is_ok()
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        Hmac::<Sha256>::new_from_slice(&self.0)
            .expect("HMAC takes keys of any length")
            .chain_update(id)
            .chain_update(".")
            .chain_update(timestamp)
            .chain_update(".")
            .chain_update(body)
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const NOW: i64 = 1_614_265_330;

    fn headers(signature: &str) -> HeaderMap {
        [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", signature),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
    }

    fn secret() -> WebhookSecret {
        SECRET.parse().unwrap()
    }

    #[test]
    fn the_test_vector_of_the_standard_verifies() {
        assert!(secret().verifies(&headers(SIGNATURE), BODY, NOW));
        let several = format!("v1,AAAA v1a,xyz {SIGNATURE}");
        assert!(secret().verifies(&headers(&several), BODY, NOW));
    }

    #[test]
    fn a_message_is_signed_as_the_test_vector_of_the_standard() {
        let signature = secret().sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", BODY);
        assert_eq!(signature, SIGNATURE);
    }

    #[test]
    fn an_altered_message_does_not_verify() {
        assert!(!secret().verifies(&headers(SIGNATURE), b"{}", NOW));
        assert!(!secret().verifies(&headers("v1,AAAA"), BODY, NOW));
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            let mut headers = headers(SIGNATURE);
            headers.remove(name);
            assert!(!secret().verifies(&headers, BODY, NOW), "{name}");
        }
    }

    #[test]
    fn a_message_from_another_time_does_not_verify() {
        assert!(secret().verifies(&headers(SIGNATURE), BODY, NOW + 300));
        assert!(!secret().verifies(&headers(SIGNATURE), BODY, NOW + 301));
        assert!(!secret().verifies(&headers(SIGNATURE), BODY, NOW - 301));
    }

    #[test]
    fn a_secret_has_a_prefix_and_24_to_64_bytes() {
        for bytes in [24, 64] {
            let text = format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
            assert!(text.parse::<WebhookSecret>().is_ok());
        }
        for text in [
            STANDARD.encode([7; 24]),
            format!("whsec_{}", STANDARD.encode([7; 23])),
            format!("whsec_{}", STANDARD.encode([7; 65])),
            "whsec_???".to_owned(),
        ] {
            assert!(text.parse::<WebhookSecret>().is_err(), "{text}");
        }
    }
}
