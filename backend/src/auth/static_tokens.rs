//! Tokens of the deployment, for small teams: `API_TOKENS=admin:…,analyst:…`.
//!
//! Each stands for a user of its own, `token:<label>`, which is made at the start and has no special rights.
//! A deployment that removes a token from the list keeps the user and its files.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

/// The tokens, each with its label.
#[derive(Clone, Default)]
pub struct StaticTokens(Vec<StaticToken>);

#[derive(Clone)]
struct StaticToken {
    label: String,
    sha256: [u8; 32],
}

/// The text is no list of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "API_TOKENS must be a list like `admin:<token>,analyst:<token>`, or of tokens alone, with labels \
     of letters, digits, `-` and `_`, each once"
)]
pub struct MalformedTokens;

impl std::str::FromStr for StaticTokens {
    type Err = MalformedTokens;

    fn from_str(text: &str) -> Result<Self, MalformedTokens> {
        let mut tokens: Vec<StaticToken> = Vec::new();
        let entries = text.split(',').map(str::trim);
        for (index, entry) in entries.filter(|entry| !entry.is_empty()).enumerate() {
            let (label, token) = match entry.split_once(':') {
                Some((label, token)) => (label.trim().to_owned(), token.trim()),
                None => ((index + 1).to_string(), entry),
            };
            let good_label = !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            if !good_label || token.is_empty() || tokens.iter().any(|it| it.label == label) {
                return Err(MalformedTokens);
            }
            tokens.push(StaticToken {
                label,
                sha256: Sha256::digest(token).into(),
            });
        }
        Ok(Self(tokens))
    }
}

impl StaticTokens {
    /// The label of a token; `None` if it is none of these.
    ///
    /// It compares every digest, each in constant time: the timing reveals neither which token was close nor
    /// how close it was.
    pub(crate) fn label_of(&self, token: &str) -> Option<&str> {
        if self.0.is_empty() {
            return None;
        }
        let sha256: [u8; 32] = Sha256::digest(token).into();
        let mut found = u64::MAX;
        for (index, known) in (0..).zip(&self.0) {
            found.conditional_assign(&index, known.sha256.ct_eq(&sha256));
        }
        let found = usize::try_from(found).ok()?;
        self.0.get(found).map(|token| token.label.as_str())
    }

    /// The labels, in the order of the list.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|token| token.label.as_str())
    }
}

impl fmt::Debug for StaticTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.labels()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_label_or_its_number() {
        let tokens: StaticTokens = "admin:one, two ,x-1:three".parse().unwrap();
        for (token, label) in [("one", "admin"), ("two", "2"), ("three", "x-1")] {
            assert_eq!(tokens.label_of(token), Some(label));
        }
        for token in ["", "on", "onee", "admin:one", "four"] {
            assert_eq!(tokens.label_of(token), None, "{token}");
        }
        assert_eq!(StaticTokens::default().label_of(""), None);
        assert_eq!(format!("{tokens:?}"), r#"["admin", "2", "x-1"]"#);
    }

    #[test]
    fn a_list_with_a_label_twice_or_without_a_token_is_refused() {
        for text in ["a:1,a:2", "a:", ":1", "a b:1", "2:x,y"] {
            assert!(text.parse::<StaticTokens>().is_err(), "{text}");
        }
        assert!("".parse::<StaticTokens>().unwrap().0.is_empty());
    }
}
