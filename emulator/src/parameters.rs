//! The parameters of a Bot API request: from the query, then from the body; the first one wins.

use std::collections::BTreeMap;

use percent_encoding::percent_decode;
use serde_json::Value;

use crate::error::BotApiError;

/// All that is not a file, together, in bytes (tdlib, `HttpReader::MAX_TOTAL_PARAMETERS_LENGTH`).
pub(crate) const MAX_PARAMETERS_BYTES: usize = 1 << 20;

/// The parameters seen so far.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    values: BTreeMap<String, String>,
    total_bytes: usize,
}

impl Parameters {
    /// Takes `name=value&…`, as in a query or an `application/x-www-form-urlencoded` body.
    pub(crate) fn add_urlencoded(&mut self, text: &[u8]) -> Result<(), BotApiError> {
        self.count(text.len())?;
        for pair in text.split(|&byte| byte == b'&').filter(|it| !it.is_empty()) {
            let mut halves = pair.splitn(2, |&byte| byte == b'=');
            let name = decode(halves.next().unwrap_or_default());
            let value = decode(halves.next().unwrap_or_default());
            self.insert(name, value)?;
        }
        Ok(())
    }

    /// Takes an `application/json` body. A body that is no JSON object counts as empty: the server
    /// then refuses the method for want of its parameters.
    pub(crate) fn add_json(&mut self, text: &[u8]) -> Result<(), BotApiError> {
        self.count(text.len())?;
        if let Ok(Value::Object(fields)) = serde_json::from_slice(text) {
            for (name, value) in fields {
                let value = match value {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                self.insert(name.into_bytes(), value.into_bytes())?;
            }
        }
        Ok(())
    }

    /// Takes a text field of a form.
    pub(crate) fn add_field(&mut self, name: Vec<u8>, value: Vec<u8>) -> Result<(), BotApiError> {
        self.count(value.len())?;
        self.insert(name, value)
    }

    /// The parameter's value; the empty string if it was not sent, which means the same.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// The parameter as the server reads a boolean.
    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(
            self.get(name).trim().to_ascii_lowercase().as_str(),
            "true" | "yes" | "1"
        )
    }

    /// All parameters, as a JSON object.
    pub(crate) fn to_json(&self) -> String {
        Value::from_iter(self.values.clone()).to_string()
    }

    fn count(&mut self, bytes: usize) -> Result<(), BotApiError> {
        self.total_bytes += bytes;
        if self.total_bytes > MAX_PARAMETERS_BYTES {
            return Err(BotApiError::too_many("too many parameters"));
        }
        Ok(())
    }

    fn insert(&mut self, name: Vec<u8>, value: Vec<u8>) -> Result<(), BotApiError> {
        let (Ok(name), Ok(value)) = (String::from_utf8(name), String::from_utf8(value)) else {
            return Err(BotApiError::bad_request("strings must be encoded in UTF-8"));
        };
        self.values.entry(name).or_insert(value);
        Ok(())
    }
}

fn decode(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text
        .iter()
        .map(|&byte| if byte == b'+' { b' ' } else { byte })
        .collect();
    percent_decode(&spaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_duplicates_wins() {
        let mut parameters = Parameters::default();
        parameters.add_urlencoded(b"chat_id=1&chat_id=2").unwrap();
        parameters.add_json(br#"{"chat_id":3,"n":4}"#).unwrap();
        parameters.add_field(b"n".to_vec(), b"5".to_vec()).unwrap();
        assert_eq!(parameters.get("chat_id"), "1");
        assert_eq!(parameters.get("n"), "4");
    }

    #[test]
    fn urlencoded_text_is_decoded() {
        let mut parameters = Parameters::default();
        parameters
            .add_urlencoded(b"a=b+c%21&&d=%zz&%65=1=2&f")
            .unwrap();
        assert_eq!(
            parameters.to_json(),
            r#"{"a":"b c!","d":"%zz","e":"1=2","f":""}"#
        );
    }

    #[test]
    fn what_is_no_json_object_counts_as_empty() {
        for text in [&b"not json"[..], b"[1]", b"", b"{\"a\":1"] {
            let mut parameters = Parameters::default();
            parameters.add_json(text).unwrap();
            assert_eq!(parameters.to_json(), "{}");
        }
    }

    #[test]
    fn parameters_beyond_one_mebibyte_together_are_refused() {
        let mut parameters = Parameters::default();
        let half = vec![b'x'; MAX_PARAMETERS_BYTES / 2];
        parameters.add_field(b"a".to_vec(), half.clone()).unwrap();
        parameters.add_field(b"b".to_vec(), half).unwrap();
        assert!(parameters.add_field(b"c".to_vec(), b"x".to_vec()).is_err());
    }

    #[test]
    fn text_that_is_not_utf_8_is_refused() {
        let mut parameters = Parameters::default();
        assert!(parameters.add_urlencoded(b"a=%ff").is_err());
    }
}
