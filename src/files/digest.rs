//! Digest fields (RFC 9530): what a request says of its body, and what it wants to be told.
//!
//! A body has no content coding here, and an upload is not partial: `Content-Digest` and
//! `Repr-Digest` mean the same. Algorithms other than `sha-256` are ignored, as the RFC allows
//! (section 2). A `sha-256` that is no digest is refused: the client believes that it is checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::structured;
use crate::error::Error;
use crate::text::hex;

/// A SHA-256.
pub type Sha256Digest = [u8; 32];

const KEY: &str = "sha-256";

/// The digest that the body must have, if the request names one.
///
/// # Errors
/// [`Error::Digest`] when one is malformed, or the two differ.
pub fn expected(
    content_digest: Option<&str>,
    repr_digest: Option<&str>,
) -> Result<Option<Sha256Digest>, Error> {
    let content = content_digest.map(sha256_in).transpose()?.flatten();
    let repr = repr_digest.map(sha256_in).transpose()?.flatten();
    match (content, repr) {
        (Some(content), Some(repr)) if content != repr => Err(Error::Digest),
        (content, repr) => Ok(content.or(repr)),
    }
}

fn sha256_in(field: &str) -> Result<Option<Sha256Digest>, Error> {
    if !structured::has_key(field, KEY) {
        return Ok(None);
    }
    structured::byte_sequence(field, KEY)
        .and_then(|bytes| bytes.try_into().ok())
        .map(Some)
        .ok_or(Error::Digest)
}

/// The digest in a form's field `sha256`: hexadecimal.
///
/// # Errors
/// [`Error::Digest`]
pub fn from_hex(text: &str) -> Result<Sha256Digest, Error> {
    let text = text.trim();
    let is_digit = |b: u8| b.is_ascii_hexdigit();
    if text.len() != 64 || !text.bytes().all(is_digit) {
        return Err(Error::Digest);
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        let value = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default();
        let pair = pair.iter().fold(0, |byte, digit| byte * 16 + value(*digit));
        *byte = u8::try_from(pair).unwrap_or_default();
    }
    Ok(digest)
}

/// Whether `Want-Repr-Digest` asks for SHA-256: with a preference from 1 to 10 (section 4).
#[must_use]
pub fn is_wanted(want_repr_digest: Option<&str>) -> bool {
    want_repr_digest
        .and_then(|field| structured::member(field, KEY))
        .and_then(structured::integer)
        .is_some_and(|preference| (1..=10).contains(&preference))
}

/// The value of `Repr-Digest` or `Content-Digest` for this digest.
#[must_use]
pub fn field(digest: &Sha256Digest) -> String {
    format!("{KEY}=:{}:", BASE64.encode(digest))
}

/// The digest as a receipt and a manifest have it.
#[must_use]
pub fn to_hex(digest: &Sha256Digest) -> String {
    hex(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `{"hello": "world"}` and a line feed (RFC 9530 appendix D).
    const FIELD: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    const HEX: &str = "44aff4ab2d7c3250525675a08f0cfa9591168cffe51791c5f5bbc417c15a6c38";

    #[test]
    fn the_rfcs_digest_is_read_and_written() {
        let digest = from_hex(HEX).expect("a digest");
        assert_eq!(expected(Some(FIELD), None), Ok(Some(digest)));
        assert_eq!(expected(None, Some(FIELD)), Ok(Some(digest)));
        assert_eq!(expected(Some(FIELD), Some(FIELD)), Ok(Some(digest)));
        assert_eq!(
            (field(&digest).as_str(), to_hex(&digest).as_str()),
            (FIELD, HEX)
        );
        assert_eq!(from_hex(&format!(" {} ", HEX.to_uppercase())), Ok(digest));
    }

    #[test]
    fn another_algorithm_is_ignored_and_a_digest_that_is_none_refused() {
        for (text, digest) in [
            ("", Ok(None)),
            ("md5=:AAAA:", Ok(None)),
            ("unixsum=7, sha=:x:", Ok(None)),
            ("sha-256=:AAAA:", Err(Error::Digest)),
            ("sha-256=44aff4ab", Err(Error::Digest)),
            ("sha-256", Err(Error::Digest)),
            ("md5=:AAAA:, sha-256=::", Err(Error::Digest)),
        ] {
            assert_eq!(expected(Some(text), None), digest, "{text}");
        }
        let other = field(&[7; 32]);
        assert_eq!(expected(Some(FIELD), Some(&other)), Err(Error::Digest));
        for text in ["", "zz", &HEX[1..], &format!("{}z", &HEX[1..])] {
            assert_eq!(from_hex(text), Err(Error::Digest), "{text}");
        }
    }

    #[test]
    fn a_digest_is_wanted_with_a_preference() {
        for (text, wanted) in [
            ("sha-256=1", true),
            ("sha-512=3, sha-256=10, unixsum=0", true),
            ("sha-256=0", false),
            ("sha-256=11", false),
            ("sha-256", false),
            ("sha-512=1", false),
            ("", false),
        ] {
            assert_eq!(is_wanted(Some(text)), wanted, "{text}");
        }
        assert!(!is_wanted(None));
    }
}
