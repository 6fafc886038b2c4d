//! Hooks: requests that the backend signs.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use testkit::{harness::Settings, http::Request};

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Worker and backend with a secret that both know.
pub(crate) fn signed() -> Settings {
    Settings::default()
        .set("WEBHOOK_SECRET", SECRET)
        .backend_webhook_secret(SECRET)
}

/// The time in seconds.
pub(crate) fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

/// A hook, signed with that secret at that time.
pub(crate) fn hook(path: &str, secret: &str, timestamp: u64, body: &str) -> Request {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_"));
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.expect("base64")).expect("a key");
    mac.update(format!("msg_1.{timestamp}.{body}").as_bytes());
    let tag = STANDARD.encode(mac.finalize().into_bytes());
    Request::new("POST", path)
        .header("webhook-id", "msg_1")
        .header("webhook-timestamp", &timestamp.to_string())
        .header("webhook-signature", &format!("v1,{tag}"))
        .body(vec![Bytes::copy_from_slice(body.as_bytes())])
}
