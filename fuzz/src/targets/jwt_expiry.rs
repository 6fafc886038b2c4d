//! The user's token, and the end of its life by its own word.
//!
//! An input that begins with `{` is the payload of a JWT, any other is a token as it stands.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use telestore_worker::credentials::AuthToken;

const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Runs the target.
pub fn run(data: &[u8]) {
    let text = if data.first() == Some(&b'{') {
        format!("h.{}.s", URL_SAFE_NO_PAD.encode(data))
    } else if let Ok(text) = std::str::from_utf8(data) {
        text.to_owned()
    } else {
        return;
    };
    let bare = text.trim_matches([' ', '\t']);
    let fits = (1..=MAX_TOKEN_BYTES).contains(&bare.len())
        && bare.bytes().all(|b| (b'!'..=b'~').contains(&b));
    let Some(token) = AuthToken::parse(&text) else {
        assert!(!fits, "{text:?}");
        return;
    };
    assert!(fits, "{text:?}");
    assert_eq!(token.bearer(), format!("Bearer {bare}"));
    assert_eq!(format!("{token:?}"), "AuthToken(…)");
    let payload = naive_payload(bare).unwrap_or_default();
    let Some(json) = super::json(&payload) else {
        return;
    };
    let expiry = json["exp"].as_f64().map(|seconds| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates"
        )]
        let ms = (seconds * 1000.0) as u64;
        ms
    });
    match token.expires_at() {
        Some(expires_at) => assert_eq!(Some(expires_at), expiry),
        None => assert!(expiry.is_none() || is_ambiguous(&payload), "{bare}"),
    }
}

/// The second of three segments, decoded.
fn naive_payload(token: &str) -> Option<Vec<u8>> {
    let segments: Vec<&str> = token.split('.').collect();
    let [_, payload, _] = segments[..] else {
        return None;
    };
    URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()
}

/// Whether one reader may find nothing where another does: it is not all UTF-8, or there may be two
/// of a name, of which the one takes neither and the other the last.
fn is_ambiguous(payload: &[u8]) -> bool {
    let names = payload.windows(3).filter(|name| name == b"exp").count();
    std::str::from_utf8(payload).is_err() || names > 1 || payload.contains(&b'\\')
}
