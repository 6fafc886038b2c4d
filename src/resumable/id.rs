//! Names of upload resources.

use crate::text::hex;

/// Random bytes in an id: 128 bits can't be guessed.
pub const ENTROPY_BYTES: usize = 16;
const PREFIX: &str = "up_";
/// Most bytes of an id that a client chose.
const MAX_CHOSEN_BYTES: usize = 128;

/// The id of an upload resource that this worker made: `up_` and 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadId(String);

impl UploadId {
    /// An id of random bytes.
    #[must_use]
    pub fn new(entropy: [u8; ENTROPY_BYTES]) -> Self {
        Self(format!("{PREFIX}{}", hex(&entropy)))
    }

    /// Reads an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let fits = digits.len() == 2 * ENTROPY_BYTES
            && digits
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        fits.then(|| Self(text.to_owned()))
    }

    /// As it stands in a URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the durable object that keeps the upload.
    #[must_use]
    pub fn object_name(&self) -> String {
        self.0.clone()
    }
}

/// The id of an upload in `TeleStore` v2's dialect, whose clients choose it themselves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChosenId(String);

impl ChosenId {
    /// Checks an id: 1 to 128 letters, digits, `_`, `-` and `.`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=MAX_CHOSEN_BYTES).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        fits.then(|| Self(text.to_owned()))
    }

    /// As it stands in a URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the durable object that keeps the upload. It is never that of an [`UploadId`].
    #[must_use]
    pub fn object_name(&self) -> String {
        format!("v2/{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_128_random_bits_and_is_read_back() {
        let id = UploadId::new([0xab; ENTROPY_BYTES]);
        assert_eq!(id.as_str(), "up_abababababababababababababababab");
        assert_eq!(UploadId::parse(id.as_str()), Some(id));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "up_",
            "up_ab",
            "up_ABABABABABABABABABABABABABABABAB",
            "ab_abababababababababababababababab",
            "up_abababababababababababababababa/",
        ] {
            assert_eq!(UploadId::parse(text), None, "{text}");
        }
        for text in ["", "a/b", "a b", "é", &"a".repeat(129)] {
            assert_eq!(ChosenId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_chosen_id_names_no_object_of_an_id_made_here() {
        let made = UploadId::new([1; ENTROPY_BYTES]);
        let chosen = ChosenId::parse(made.as_str()).expect("an id");
        assert_ne!(chosen.object_name(), made.object_name());
    }
}
