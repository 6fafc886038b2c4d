//! The manifest of a large file: a JSON document in the channel, after the file's last part.
//!
//! `{"type":"telestore-manifest/1","name","size","mimeType","parts":[{"messageId","fileId","fileUniqueId","size","sha256"}]}`
//!
//! The manifest's own `file_id` is the file's id. A manifest that comes back from Telegram is hostile
//! input: any user can upload a document that looks like one. So it is checked completely before a byte
//! is served. Two things need no check. A part that is itself a manifest is served as plain bytes, so
//! nothing nests. And Telegram refuses a part that belongs to another bot, because every part is fetched
//! with the user's own bot.

use serde::{Deserialize, Serialize};

use crate::json::Object;
use crate::telegram::FileId;

/// Most bytes of a manifest, enough for [`MAX_PARTS`] parts.
pub const MAX_MANIFEST_BYTES: u64 = 8 * 1024 * 1024;
/// Most parts of a file: 195 GiB of parts of 20 MiB.
pub const MAX_PARTS: usize = 10_000;
/// The beginning of every manifest that the worker writes, whatever its version.
pub const MARKER: &[u8] = br#"{"type":"telestore-manifest/"#;

const TYPE: &str = "telestore-manifest/1";
/// Most bytes of a file: 2^53 - 1, the largest integer that JSON numbers hold exactly in JavaScript.
const MAX_FILE_BYTES: u64 = (1 << 53) - 1;
/// Most bytes of a name. A file system takes 255 of them.
pub(super) const MAX_NAME_BYTES: usize = 4096;

/// One Telegram message with one document: a section of a large file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// The message that holds it.
    pub message_id: i64,
    /// The id with which the user's bot fetches it.
    pub file_id: FileId,
    /// The id that is the same for every bot.
    pub file_unique_id: Option<String>,
    /// Bytes; never 0.
    pub size: u64,
    /// SHA-256 of its bytes, in lower-case hexadecimal.
    pub sha256: Option<String>,
}

/// What is known about a large file. Its sizes always add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    name: String,
    mime_type: String,
    size: u64,
    parts: Vec<Part>,
}

/// Why a document is not a valid manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestFault {
    /// It is not the JSON of a manifest.
    Malformed,
    /// Its version is unknown.
    Version,
    /// It has no parts, or more than [`MAX_PARTS`].
    PartCount,
    /// A part is empty, or the file is too large.
    PartSize,
    /// The sizes of the parts do not add up to the size of the file.
    Sum,
    /// A message id or a digest is invalid.
    PartField,
    /// The name is too long.
    Name,
    /// A part has another size at Telegram than in the manifest.
    PartChanged,
}

impl ManifestFault {
    /// What is wrong, continuing "The manifest of this file cannot be used: ".
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "it is not the JSON of a manifest",
            Self::Version => "its version is unknown",
            Self::PartCount => "it has no parts, or too many",
            Self::PartSize => "a part is empty, or the file is too large",
            Self::Sum => "the sizes of the parts do not add up to the file's",
            Self::PartField => "a part has an invalid message id or digest",
            Self::Name => "the name is too long",
            Self::PartChanged => "a part has another size than the manifest says",
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    r#type: &'static str,
    name: &'a str,
    size: u64,
    mime_type: &'a str,
    parts: &'a [Part],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    r#type: String,
    name: String,
    size: u64,
    mime_type: String,
    parts: Vec<Object<Part>>,
}

impl Manifest {
    /// The manifest of a file with these parts, in order.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn new(name: String, mime_type: String, parts: Vec<Part>) -> Result<Self, ManifestFault> {
        if name.len() > MAX_NAME_BYTES {
            return Err(ManifestFault::Name);
        }
        if parts.is_empty() || parts.len() > MAX_PARTS {
            return Err(ManifestFault::PartCount);
        }
        if parts.iter().any(|part| !has_good_fields(part)) {
            return Err(ManifestFault::PartField);
        }
        let size = parts.iter().try_fold(0_u64, |sum, part| {
            let sum = sum.checked_add(part.size)?;
            (part.size > 0 && sum <= MAX_FILE_BYTES).then_some(sum)
        });
        Ok(Self {
            name,
            mime_type,
            size: size.ok_or(ManifestFault::PartSize)?,
            parts,
        })
    }

    /// Reads a document that begins with [`MARKER`].
    ///
    /// # Errors
    /// Why it is not a valid manifest.
    pub fn read(json: &[u8]) -> Result<Self, ManifestFault> {
        let Object(read): Object<Read> =
            serde_json::from_slice(json).map_err(|_| ManifestFault::Malformed)?;
        if read.r#type != TYPE {
            return Err(ManifestFault::Version);
        }
        let parts = read.parts.into_iter().map(|Object(part)| part).collect();
        let manifest = Self::new(read.name, read.mime_type, parts)?;
        if manifest.size == read.size {
            Ok(manifest)
        } else {
            Err(ManifestFault::Sum)
        }
    }

    /// The document. It begins with [`MARKER`].
    #[must_use]
    pub fn to_json(&self) -> String {
        let written = Written {
            r#type: TYPE,
            name: &self.name,
            size: self.size,
            mime_type: &self.mime_type,
            parts: &self.parts,
        };
        // Strings and numbers always serialise.
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// The file's name, as the client gave it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's type, as the client gave it. It is not checked to be a valid header.
    #[must_use]
    pub fn mime_type(&self) -> &str {
        &self.mime_type
    }

    /// Bytes of the file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The parts in order, at least one.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

fn has_good_fields(part: &Part) -> bool {
    let is_digest = |text: &String| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    part.message_id > 0 && part.sha256.as_ref().is_none_or(is_digest)
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn part(message_id: i64, size: u64) -> Part {
        Part {
            message_id,
            file_id: FileId::parse(&format!("BQACAgIAAx{message_id}")).expect("an id"),
            file_unique_id: Some(format!("AgAD{message_id}")),
            size,
            sha256: Some("ab".repeat(32)),
        }
    }

    fn good() -> Value {
        let parts = vec![part(7, 10), part(8, 5)];
        let manifest = Manifest::new("a b.bin".to_owned(), "text/plain".to_owned(), parts);
        serde_json::from_str(&manifest.expect("a manifest").to_json()).expect("JSON")
    }

    fn fault_of(change: impl FnOnce(&mut Value)) -> ManifestFault {
        let mut document = good();
        change(&mut document);
        Manifest::read(document.to_string().as_bytes()).expect_err("a fault")
    }

    #[test]
    fn the_document_is_the_contracts() {
        assert_eq!(
            good(),
            json!({
                "type": "telestore-manifest/1",
                "name": "a b.bin",
                "size": 15,
                "mimeType": "text/plain",
                "parts": [
                    {"messageId": 7, "fileId": "BQACAgIAAx7", "fileUniqueId": "AgAD7", "size": 10,
                     "sha256": "ab".repeat(32)},
                    {"messageId": 8, "fileId": "BQACAgIAAx8", "fileUniqueId": "AgAD8", "size": 5,
                     "sha256": "ab".repeat(32)},
                ],
            })
        );
    }

    #[test]
    fn a_forged_manifest_is_refused() {
        use ManifestFault::{Malformed, Name, PartCount, PartField, PartSize, Sum, Version};
        assert_eq!(fault_of(|m| m["size"] = json!(16)), Sum);
        assert_eq!(fault_of(|m| m["size"] = json!(-1)), Malformed);
        assert_eq!(fault_of(|m| m["size"] = json!(15.5)), Malformed);
        assert_eq!(fault_of(|m| m["parts"] = json!([])), PartCount);
        assert_eq!(fault_of(|m| m["parts"][0]["size"] = json!(0)), PartSize);
        let huge = json!(1_u64 << 53);
        assert_eq!(fault_of(|m| m["parts"][0]["size"] = huge), PartSize);
        let most = json!(u64::MAX);
        assert_eq!(fault_of(|m| m["parts"][1]["size"] = most), PartSize);
        assert_eq!(
            fault_of(|m| m["type"] = json!("telestore-manifest/2")),
            Version
        );
        assert_eq!(
            fault_of(|m| m["parts"][0]["messageId"] = json!(0)),
            PartField
        );
        assert_eq!(
            fault_of(|m| m["parts"][0]["sha256"] = json!("xy")),
            PartField
        );
        for id in ["", "a/../b", "a?b", "é", &"x".repeat(300)] {
            assert_eq!(fault_of(|m| m["parts"][0]["fileId"] = json!(id)), Malformed);
        }
        assert_eq!(
            fault_of(|m| m["parts"][0] = json!([1, "x", "y", 2, null])),
            Malformed
        );
        assert_eq!(fault_of(|m| m["name"] = json!("n".repeat(5000))), Name);
        let many: Vec<Value> = (0..=MAX_PARTS)
            .map(|_| good()["parts"][0].clone())
            .collect();
        assert_eq!(fault_of(|m| m["parts"] = many.into()), PartCount);
        assert_eq!(fault_of(|m| *m = json!([])), Malformed);
    }

    #[test]
    fn the_largest_manifest_fits_the_limit() {
        let parts = (0..MAX_PARTS).map(|_| Part {
            message_id: i64::MAX,
            file_id: FileId::parse(&"x".repeat(256)).expect("an id"),
            file_unique_id: Some("u".repeat(64)),
            size: 2_000_000_000,
            sha256: Some("ab".repeat(32)),
        });
        let manifest = Manifest::new("n".repeat(4096), "a/b".to_owned(), parts.collect());
        let bytes = manifest.expect("a manifest").to_json().len() as u64;
        assert!(bytes <= MAX_MANIFEST_BYTES, "{bytes}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            name in "\\PC{0,40}",
            mime_type in "\\PC{0,20}",
            sizes in prop::collection::vec(1_u64..u64::from(u32::MAX), 1..20),
        ) {
            let parts: Vec<Part> = (1..).zip(&sizes).map(|(id, size)| part(id, *size)).collect();
            let manifest = Manifest::new(name, mime_type, parts).expect("a manifest");
            let json = manifest.to_json();
            prop_assert!(json.as_bytes().starts_with(MARKER));
            prop_assert_eq!(manifest.size(), sizes.iter().sum::<u64>());
            prop_assert_eq!(Manifest::read(json.as_bytes()), Ok(manifest));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let document = [MARKER, &tail].concat();
            let _ = Manifest::read(&document);
        }
    }
}
