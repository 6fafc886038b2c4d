//! Bot tokens.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{random::random, store::TokenHash};

const MAX_ID_DIGITS: usize = 17;
const SECRET_CHARACTERS: std::ops::RangeInclusive<usize> = 30..=60;
/// Random bytes in the secret of a new token: 36 characters.
const SECRET_BYTES: usize = 27;

/// A token of the form that Telegram gives out: `^[1-9]\d{0,16}:[A-Za-z0-9_-]{30,60}$`.
#[derive(Clone, PartialEq, Eq)]
pub struct BotToken(String);

impl BotToken {
    /// The text as a token, if it has the form of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.split_once(':')?;
        let id_is_good = (1..=MAX_ID_DIGITS).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_digit())
            && !id.starts_with('0');
        let secret_is_good = SECRET_CHARACTERS.contains(&secret.len())
            && secret
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        (id_is_good && secret_is_good).then(|| Self(text.to_owned()))
    }

    /// A new token for the bot with this id.
    pub(crate) fn generate(bot_id: i64) -> Result<Self, getrandom::Error> {
        let secret = URL_SAFE_NO_PAD.encode(random::<SECRET_BYTES>()?);
        Ok(Self(format!("{bot_id}:{secret}")))
    }

    /// What the emulator keeps instead of the token.
    pub(crate) fn hash(&self) -> TokenHash {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The token in the clear.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BotToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BotToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_form_that_telegram_gives_out_is_a_token() {
        let secret = "a".repeat(30);
        for good in [
            format!("1:{secret}"),
            format!("12345678901234567:{}", "_".repeat(60)),
            format!("9:{}-Z0", "b".repeat(27)),
        ] {
            assert!(BotToken::parse(&good).is_some(), "{good}");
        }
        for bad in [
            secret.clone(),
            format!(":{secret}"),
            format!("0:{secret}"),
            format!("01:{secret}"),
            format!("1a:{secret}"),
            format!("123456789012345678:{secret}"),
            format!("1:{}", "a".repeat(29)),
            format!("1:{}", "a".repeat(61)),
            format!("1:{}é", "a".repeat(29)),
            format!("1:{secret}/x"),
            String::new(),
        ] {
            assert!(BotToken::parse(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_generated_token_has_the_form_of_one_and_does_not_show() {
        let token = BotToken::generate(42).unwrap();
        assert_eq!(BotToken::parse(token.expose()), Some(token.clone()));
        assert!(!format!("{token:?}").contains("42"));
    }
}
