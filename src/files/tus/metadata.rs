//! `Upload-Metadata` (tus 1.0.0, "Creation"): pairs of a key and a Base64 value, separated by commas.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::error::Error;
use crate::file_name::first_name;
use crate::resumable::question::FileDescription;
use crate::telegram::MAX_CAPTION_CHARS;

/// Most bytes of keys and values that are kept for the notification.
const MAX_KEPT_BYTES: usize = 4 * 1024;
const NAME: &str = "Upload-Metadata";
/// Clients pad, and some don't.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the metadata says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) file: FileDescription,
    pub(super) destination: Option<String>,
}

fn malformed(problem: &'static str) -> Error {
    Error::UploadHeader {
        name: NAME,
        problem,
    }
}

/// Reads the header field.
///
/// # Errors
/// [`Error::UploadHeader`], and [`Error::CaptionTooLong`].
pub(super) fn read(text: &str) -> Result<Metadata, Error> {
    let mut pairs = pairs(text)?;
    let mut take = |names: [&str; 2]| {
        let found = names.map(|name| pairs.remove(name).filter(|value| !value.is_empty()));
        found.into_iter().flatten().next()
    };
    let name = first_name(take(["filename", "name"]).as_deref());
    let mime_type = take(["filetype", "type"]).unwrap_or_default();
    let caption = take(["caption", "caption"]);
    let destination = take(["destination", "destination"]);
    let is_too_long = |text: &String| text.chars().count() > MAX_CAPTION_CHARS;
    if caption.as_ref().is_some_and(is_too_long) {
        return Err(Error::CaptionTooLong);
    }
    let kept: usize = pairs
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if kept > MAX_KEPT_BYTES {
        return Err(malformed("has over 4 KiB besides name, type and caption"));
    }
    Ok(Metadata {
        file: FileDescription {
            name,
            mime_type,
            caption,
            metadata: pairs,
        },
        destination,
    })
}

fn pairs(text: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut pairs = BTreeMap::new();
    if text.trim().is_empty() {
        return Ok(pairs);
    }
    for pair in text.split(',') {
        let pair = pair.trim_matches(' ');
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(malformed("has a key that is empty or not ASCII"));
        }
        let bytes = BASE64
            .decode(value)
            .map_err(|_| malformed("has a value that is not Base64"))?;
        let value =
            String::from_utf8(bytes).map_err(|_| malformed("has a value that is not UTF-8"))?;
        if pairs.insert(key.to_owned(), value).is_some() {
            return Err(malformed("has a key twice"));
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> &'static str {
        match read(text) {
            Err(Error::UploadHeader { problem, .. }) => problem,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn the_known_keys_describe_the_file_and_the_others_are_kept() {
        // Uppy's and tus-js-client's, and a key without a value.
        let text = concat!(
            "relativePath bnVsbA==,name w6kucGRm,type YXBwbGljYXRpb24vcGRm,filename w6kucGRm,",
            "filetype YXBwbGljYXRpb24vcGRm,caption aGk=,destination d29yaw,is_confidential"
        );
        let metadata = read(text).expect("metadata");
        assert_eq!(metadata.file.name, "é.pdf");
        assert_eq!(metadata.file.mime_type, "application/pdf");
        assert_eq!(metadata.file.caption.as_deref(), Some("hi"));
        assert_eq!(metadata.destination.as_deref(), Some("work"));
        let kept: Vec<_> = metadata.file.metadata.into_iter().collect();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            kept,
            [pair("is_confidential", ""), pair("relativePath", "null")]
        );
    }

    #[test]
    fn a_name_is_kept_without_its_path() {
        // /home/ann/a.dat
        let metadata = read("filename L2hvbWUvYW5uL2EuZGF0").expect("metadata");
        assert_eq!(metadata.file.name, "a.dat");
    }

    #[test]
    fn filename_goes_before_name_and_an_empty_field_says_nothing() {
        let metadata = read("name Yg==,filename YQ==").expect("metadata");
        assert_eq!(metadata.file.name, "a");
        assert_eq!(
            read("filename ,name Yg==").expect("metadata").file.name,
            "b"
        );
        let nothing = read("").expect("metadata").file;
        let nameless = FileDescription {
            name: "file".to_owned(),
            ..FileDescription::default()
        };
        assert_eq!(nothing, nameless);
    }

    #[test]
    fn malformed_metadata_is_refused() {
        assert_eq!(problem("filename a!b"), "has a value that is not Base64");
        assert_eq!(
            problem("filename YQ== Yg=="),
            "has a value that is not Base64"
        );
        assert_eq!(problem("filename /w=="), "has a value that is not UTF-8");
        assert_eq!(problem("a YQ==,a Yg=="), "has a key twice");
        for text in [",", "a YQ==,", " ,a", "\u{e9} YQ=="] {
            assert_eq!(problem(text), "has a key that is empty or not ASCII");
        }
        let long = format!("a {}", "QUFB".repeat(1366));
        assert!(problem(&long).contains("4 KiB"));
        let caption = format!("caption {}", "QUFB".repeat(342));
        assert_eq!(read(&caption), Err(Error::CaptionTooLong));
    }
}
