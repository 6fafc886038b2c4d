//! Links: URLs that return a file without a header, for `<img>`, `<video>` and mails.
//!
//! A link is `/l/<sealed>`. It seals the user's token, the file and the end of the link's life with
//! AES-256-GCM (NIST SP 800-38D) under a key derived from `LINK_SECRET`. Nothing is stored. A link is
//! handled like a request with the token itself, so it ends with the token, with its own life, or with
//! the secret.
//!
//! `sealed` is the unpadded URL-safe base64 of a version byte, a nonce of 12 bytes, and the ciphertext
//! with its tag.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::config::LinkSecret;
use crate::credentials::AuthToken;
use crate::error::Error;
use crate::host::{Host, UnixMillis};
use crate::json::Object;
use crate::telegram::FileId;

/// Longest life of a link, in seconds: a week.
pub const MAX_LIFE_SECONDS: u64 = 604_800;
/// The default life of a link, in seconds.
const USUAL_LIFE_SECONDS: u64 = 3600;
/// Most bytes of a name in a link.
const MAX_NAME_BYTES: usize = 1024;
/// Most characters of a sealed link. A token has up to 8 KiB.
const MAX_SEALED_CHARS: usize = 16 * 1024;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
/// Binds the key and the seal to this purpose.
const PURPOSE: &[u8] = b"telestore-link/1";

/// What a link contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The token of the file's user.
    pub token: AuthToken,
    /// The file.
    pub file_id: FileId,
    /// When the link expires.
    pub expires_at: UnixMillis,
    /// A name to use instead of the file's own.
    pub name: Option<String>,
    /// Whether a browser should show the file.
    pub inline: bool,
}

/// The body of a request for a link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkRequest {
    /// Seconds.
    expires_in: u64,
    name: Option<String>,
    inline: bool,
}

impl LinkRequest {
    /// Reads `{"expiresIn","name"?,"inline"?}`. An empty body asks for the default life.
    ///
    /// # Errors
    /// [`Error::LinkRequest`].
    pub fn read(body: &[u8]) -> Result<Self, Error> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields {
            expires_in: Option<u64>,
            name: Option<String>,
            inline: Option<bool>,
        }
        let fields = if body.is_empty() {
            Fields::default()
        } else {
            let Object(fields) = serde_json::from_slice(body).map_err(|_| Error::LinkRequest)?;
            fields
        };
        let request = Self {
            expires_in: fields.expires_in.unwrap_or(USUAL_LIFE_SECONDS),
            name: fields.name.filter(|name| !name.is_empty()),
            inline: fields.inline.unwrap_or_default(),
        };
        let name_fits = request
            .name
            .as_ref()
            .is_none_or(|name| name.len() <= MAX_NAME_BYTES);
        if (1..=MAX_LIFE_SECONDS).contains(&request.expires_in) && name_fits {
            Ok(request)
        } else {
            Err(Error::LinkRequest)
        }
    }

    /// The link to this file. It does not outlive the token, if the token says when it expires.
    #[must_use]
    pub fn link(self, token: AuthToken, file_id: FileId, now: UnixMillis) -> Link {
        let asked = now.saturating_add(self.expires_in.saturating_mul(1000));
        let token_ends = token.expires_at().unwrap_or(UnixMillis::MAX);
        Link {
            token,
            file_id,
            expires_at: asked.min(token_ends),
            name: self.name,
            inline: self.inline,
        }
    }
}

/// What is sealed. The names are short because the URL is long.
#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(rename = "t")]
    token: String,
    #[serde(rename = "f")]
    file_id: FileId,
    #[serde(rename = "e")]
    expires_at: UnixMillis,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(rename = "i", default)]
    inline: bool,
}

/// Seals a link. Returns the text after `/l/`.
#[must_use]
pub fn seal<H: Host>(host: &H, secret: &LinkSecret, link: &Link) -> String {
    let mut nonce = [0; NONCE_BYTES];
    host.fill_random(&mut nonce);
    let sealed = Sealed {
        token: link.token.reveal().to_owned(),
        file_id: link.file_id.clone(),
        expires_at: link.expires_at,
        name: link.name.clone(),
        inline: link.inline,
    };
    // Strings and numbers always serialise, and a text of this length is always sealed.
    let json = serde_json::to_vec(&sealed).unwrap_or_default();
    let payload = Payload {
        msg: &json,
        aad: PURPOSE,
    };
    let ciphertext = cipher(secret)
        .and_then(|cipher| cipher.encrypt(&Nonce::from(nonce), payload).ok())
        .unwrap_or_default();
    URL_SAFE_NO_PAD.encode([&[VERSION], &nonce[..], &ciphertext].concat())
}

/// Opens a sealed link.
///
/// # Errors
/// [`Error::LinkInvalid`] if it was not sealed under this secret, or [`Error::LinkExpired`].
pub fn unseal(secret: &LinkSecret, text: &str, now: UnixMillis) -> Result<Link, Error> {
    let link = opened(secret, text).ok_or(Error::LinkInvalid)?;
    if now < link.expires_at {
        Ok(link)
    } else {
        Err(Error::LinkExpired)
    }
}

fn opened(secret: &LinkSecret, text: &str) -> Option<Link> {
    if text.len() > MAX_SEALED_CHARS {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (&[VERSION], rest) = bytes.split_first_chunk::<1>()? else {
        return None;
    };
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>()?;
    let payload = Payload {
        msg: ciphertext,
        aad: PURPOSE,
    };
    let json = cipher(secret)?
        .decrypt(&Nonce::from(*nonce), payload)
        .ok()?;
    let Object(sealed): Object<Sealed> = serde_json::from_slice(&json).ok()?;
    Some(Link {
        token: AuthToken::parse(&sealed.token)?,
        file_id: sealed.file_id,
        expires_at: sealed.expires_at,
        name: sealed.name,
        inline: sealed.inline,
    })
}

/// The key is a hash of the secret. HMAC accepts secrets of any length, so this never fails.
fn cipher(secret: &LinkSecret) -> Option<Aes256Gcm> {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(PURPOSE);
    Aes256Gcm::new_from_slice(&mac.finalize().into_bytes()).ok()
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::TestHost;

    fn secret(text: &str) -> LinkSecret {
        LinkSecret::parse(text).expect("a secret")
    }

    fn ours() -> LinkSecret {
        secret("0123456789abcdef0123456789abcdef")
    }

    fn link() -> Link {
        Link {
            token: AuthToken::parse("user-token-1").expect("a token"),
            file_id: FileId::parse("BQACAgI").expect("an id"),
            expires_at: 5000,
            name: Some("日本.png".to_owned()),
            inline: true,
        }
    }

    #[test]
    fn a_link_opens_until_its_end() {
        let sealed = seal(&TestHost::default(), &ours(), &link());
        assert_eq!(unseal(&ours(), &sealed, 4999), Ok(link()));
        assert_eq!(unseal(&ours(), &sealed, 5000), Err(Error::LinkExpired));
    }

    #[test]
    fn a_link_tells_nothing_and_never_twice_the_same() {
        let host = TestHost::default();
        let (one, other) = (seal(&host, &ours(), &link()), seal(&host, &ours(), &link()));
        assert_ne!(one, other);
        let bytes = URL_SAFE_NO_PAD.decode(&one).expect("base64");
        assert!(!bytes.windows(10).any(|part| part == b"user-token"));
        assert!(
            one.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        );
    }

    #[test]
    fn another_secret_or_a_changed_byte_opens_nothing() {
        let sealed = seal(&TestHost::default(), &ours(), &link());
        let other = secret("0123456789abcdef0123456789abcdeg");
        assert_eq!(unseal(&other, &sealed, 0), Err(Error::LinkInvalid));
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).expect("base64");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let text = URL_SAFE_NO_PAD.encode(&changed);
            assert_eq!(unseal(&ours(), &text, 0), Err(Error::LinkInvalid), "{at}");
            let text = URL_SAFE_NO_PAD.encode(&bytes[..at]);
            assert_eq!(unseal(&ours(), &text, 0), Err(Error::LinkInvalid), "{at}");
        }
    }

    #[test]
    fn a_request_for_a_link_is_checked() {
        for (body, expires_in) in [
            ("", Some(3600)),
            ("{}", Some(3600)),
            (
                r#"{"expiresIn":604800,"name":"a","inline":true}"#,
                Some(604_800),
            ),
            (r#"{"expiresIn":604801}"#, None),
            (r#"{"expiresIn":0}"#, None),
            (r#"{"expiresIn":-1}"#, None),
            (r#"{"expiresIn":"60"}"#, None),
            (r#"{"inline":"yes"}"#, None),
            ("[60]", None),
            ("x", None),
        ] {
            let read = LinkRequest::read(body.as_bytes());
            assert_eq!(
                read.ok().map(|request| request.expires_in),
                expires_in,
                "{body}"
            );
        }
        let long = format!(r#"{{"name":"{}"}}"#, "n".repeat(2000));
        assert_eq!(LinkRequest::read(long.as_bytes()), Err(Error::LinkRequest));
    }

    #[test]
    fn a_link_ends_with_its_token() {
        let claims = URL_SAFE_NO_PAD.encode(br#"{"exp":60}"#);
        let token = AuthToken::parse(&format!("a.{claims}.c")).expect("a token");
        let id = FileId::parse("BQACAgI").expect("an id");
        let link = LinkRequest::read(b"")
            .expect("a request")
            .link(token, id, 1000);
        assert_eq!(link.expires_at, 60_000);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[A-Za-z0-9_-]{0,200}") {
            prop_assert_eq!(unseal(&ours(), &text, 0), Err(Error::LinkInvalid));
        }
    }
}
