//! Structured field values (RFC 9651), as far as resumable uploads need them. What can't be read is
//! none: the drafts that use them say that such a field is ignored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A Boolean item (section 3.3.6).
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match item(text)? {
        "?1" => Some(true),
        "?0" => Some(false),
        _ => None,
    }
}

/// An Integer item that is not negative (section 3.3.1): at most 15 digits.
#[must_use]
pub fn integer(text: &str) -> Option<u64> {
    let digits = item(text)?;
    let fits = (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| digits.parse().ok()).flatten()
}

/// The Byte Sequence (section 3.3.5) of a key in a Dictionary (section 3.2).
#[must_use]
pub fn byte_sequence(dictionary: &str, key: &str) -> Option<Vec<u8>> {
    let encoded = item(member(dictionary, key)?)?
        .strip_prefix(':')?
        .strip_suffix(':')?;
    BASE64.decode(encoded).ok()
}

/// The value of a key in a Dictionary, as it came. The last one counts (section 4.2.2).
#[must_use]
pub fn member<'a>(dictionary: &'a str, key: &str) -> Option<&'a str> {
    let mut members = dictionary.split(',').rev();
    members.find_map(|member| {
        let (name, value) = member.trim_matches([' ', '\t']).split_once('=')?;
        (name == key).then_some(value)
    })
}

/// Whether a Dictionary has this key, with a value or without one.
#[must_use]
pub fn has_key(dictionary: &str, key: &str) -> bool {
    dictionary.split(',').any(|member| {
        let name = member.split(['=', ';']).next().unwrap_or_default();
        name.trim_matches([' ', '\t']) == key
    })
}

/// The bare item, without its parameters (section 3.1.2), which are of no use to us.
fn item(text: &str) -> Option<&str> {
    let text = text.trim_matches(' ');
    let (bare, parameters) = text.split_once(';').unwrap_or((text, "a"));
    let is_parameter = |text: &str| {
        let key = text.trim_start_matches(' ').split('=').next();
        let key = key.unwrap_or_default().as_bytes();
        let first_fits = key
            .first()
            .is_some_and(|b| b.is_ascii_lowercase() || *b == b'*');
        let fits = |b: &u8| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.' | b'*')
        };
        first_fits && key.iter().all(fits)
    };
    parameters.split(';').all(is_parameter).then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_and_integers_are_read_and_everything_else_is_ignored() {
        for (text, value) in [
            ("?1", Some(true)),
            (" ?0 ", Some(false)),
            ("?1;a=1;b", Some(true)),
            ("1", None),
            ("true", None),
            ("?2", None),
            ("?1;", None),
            ("?1, ?0", None),
            ("", None),
        ] {
            assert_eq!(boolean(text), value, "{text:?}");
        }
        for (text, value) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("999999999999999", Some(999_999_999_999_999)),
            ("1000000000000000", None),
            ("-1", None),
            ("1.0", None),
            ("\"1\"", None),
            ("8;x", Some(8)),
            ("1 2", None),
        ] {
            assert_eq!(integer(text), value, "{text:?}");
        }
    }

    #[test]
    fn a_digest_is_read_from_its_dictionary() {
        let both = "md5=:AAAA:, sha-256=:AQID:;a=1";
        assert_eq!(byte_sequence(both, "sha-256"), Some(vec![1, 2, 3]));
        // The last one counts (section 4.2.2).
        assert_eq!(byte_sequence("a=:AQID:,a=:BAUG:", "a"), Some(vec![4, 5, 6]));
        for text in ["", "a", "a=AQID", "a=:!:", "a=\"AQID\"", "b=:AQID:"] {
            assert_eq!(byte_sequence(text, "a"), None, "{text}");
        }
    }
}
