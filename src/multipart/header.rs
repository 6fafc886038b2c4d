//! The header block of a part, and the `Content-Type` of the whole body.

use percent_encoding::percent_decode_str;

use super::malformed::Malformed;
use super::parser::MAX_PART_HEADERS;

/// The headers of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartHead {
    /// The `name` of its `Content-Disposition`.
    pub name: String,
    /// The `filename`, which may be empty. `filename*` is ignored: RFC 7578 section 4.2 forbids it.
    pub filename: Option<String>,
    /// The `Content-Type` as it came.
    pub content_type: Option<String>,
}

/// The boundary in a `Content-Type: multipart/form-data` header.
///
/// # Errors
/// [`Malformed::NoBoundary`] when there is none.
pub fn boundary_of(content_type: &str) -> Result<String, Malformed> {
    let parameters = content_type.split_once(';').map_or("", |(_, rest)| rest);
    parameter(parameters.as_bytes(), b"boundary")
        .map(|value| String::from_utf8_lossy(&value).into_owned())
        .ok_or(Malformed::NoBoundary)
}

/// The file name in the `Content-Disposition` of a request that is no form (RFC 6266 section 4.3):
/// `filename*` goes before `filename`. `None` when there is none, or it is not UTF-8.
#[must_use]
pub fn file_name_of(disposition: &str) -> Option<String> {
    let (_, parameters) = disposition.split_once(';')?;
    let parameters = parameters.as_bytes();
    // RFC 8187 section 3.2: charset, language and percent-encoded value, separated by quotes.
    let extended = parameter(parameters, b"filename*").and_then(|value| {
        let text = String::from_utf8(value).ok()?;
        let (charset, rest) = text.split_once('\'')?;
        let (_, encoded) = rest.split_once('\'')?;
        let is_utf8 = charset.eq_ignore_ascii_case("utf-8");
        is_utf8.then(|| percent_decode_str(encoded).collect())
    });
    let name = extended.or_else(|| parameter(parameters, b"filename"))?;
    String::from_utf8(name).ok().filter(|name| !name.is_empty())
}

/// Reads a header block without its empty line.
pub(super) fn parse_part_head(block: &[u8]) -> Result<PartHead, Malformed> {
    let mut disposition = None;
    let mut content_type = None;
    let mut count = 0;
    let text = block.strip_suffix(b"\r\n").unwrap_or(block);
    for line in lines(text) {
        count += 1;
        if count > MAX_PART_HEADERS {
            return Err(Malformed::TooManyHeaders);
        }
        let colon = memchr::memchr(b':', line).ok_or(Malformed::Header)?;
        let (name, value) = line.split_at_checked(colon).ok_or(Malformed::Header)?;
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
        let is_token = !name.is_empty() && name.iter().all(|&b| is_token_byte(b));
        if !is_token || value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Err(Malformed::Header);
        }
        if name.eq_ignore_ascii_case(b"content-disposition") {
            disposition.get_or_insert(value);
        } else if name.eq_ignore_ascii_case(b"content-type") {
            content_type.get_or_insert(value);
        }
    }
    let disposition = disposition.ok_or(Malformed::NoName)?;
    let semicolon = memchr::memchr(b';', disposition).ok_or(Malformed::NoName)?;
    let (kind, parameters) = disposition
        .split_at_checked(semicolon)
        .ok_or(Malformed::NoName)?;
    if !kind.trim_ascii().eq_ignore_ascii_case(b"form-data") {
        return Err(Malformed::NoName);
    }
    let text = |value: Vec<u8>| String::from_utf8_lossy(&undo_percent(value)).into_owned();
    Ok(PartHead {
        name: parameter(parameters, b"name")
            .map(text)
            .ok_or(Malformed::NoName)?,
        filename: parameter(parameters, b"filename").map(text),
        content_type: content_type.map(|value| String::from_utf8_lossy(value).into_owned()),
    })
}

fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = (!block.is_empty()).then_some(block);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = memchr::memmem::find(line, b"\r\n");
        rest = end.and_then(|at| line.get(at + 2..));
        line.get(..end.unwrap_or(line.len()))
    })
}

/// The first parameter with this name in `; a=b; c="d"`.
fn parameter(mut rest: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
    loop {
        while let Some(after) = rest
            .strip_prefix(b";")
            .or_else(|| rest.strip_prefix(b" "))
            .or_else(|| rest.strip_prefix(b"\t"))
        {
            rest = after;
        }
        let equals = rest.iter().position(|&b| b == b'=' || b == b';')?;
        let (name, after) = rest.split_at_checked(equals)?;
        let Some(after) = after.strip_prefix(b"=") else {
            rest = after;
            continue;
        };
        let after = after.trim_ascii_start();
        let (value, after) = if let Some(quoted) = after.strip_prefix(b"\"") {
            quoted_value(quoted)
        } else {
            let end = memchr::memchr(b';', after).unwrap_or(after.len());
            let (value, after) = after.split_at_checked(end)?;
            (value.trim_ascii().to_vec(), after)
        };
        if name.trim_ascii().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after;
    }
}

/// Reads until the closing quote. Returns the value, and the bytes after it.
///
/// Clients differ. Browsers write a quote as `%22` and a backslash as itself (WHATWG HTML, "multipart
/// form data"). Others escape both with a backslash (RFC 822 quoted-pair). So a backslash escapes a
/// quote or a backslash, and stands for itself before any other byte. A backslash before the quote
/// that ends the value is the last character of the value.
fn quoted_value(quoted: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    loop {
        match rest {
            [b'\\', b'"', after @ ..] if !ends_value(after) => {
                value.push(b'"');
                rest = after;
            }
            [b'\\', b'\\', after @ ..] => {
                value.push(b'\\');
                rest = after;
            }
            [b'"', after @ ..] => return (value, after),
            [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [] => return (value, rest),
        }
    }
}

/// Whether the quote before `after` can be the one that closes a value.
fn ends_value(after: &[u8]) -> bool {
    let after = after.trim_ascii_start();
    after.is_empty()
        || after.strip_prefix(b";").is_some_and(|next| {
            let next = next.trim_ascii_start();
            let name = next.iter().take_while(|&&b| is_token_byte(b)).count();
            name > 0 && next.get(name) == Some(&b'=')
        })
}

/// Undoes the three escapes that browsers write into names (WHATWG HTML, "multipart form data").
fn undo_percent(value: Vec<u8>) -> Vec<u8> {
    if memchr::memchr(b'%', &value).is_none() {
        return value;
    }
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value.as_slice();
    while let [first, after @ ..] = rest {
        let (byte, next) = match rest {
            [b'%', b'2', b'2', next @ ..] => (b'"', next),
            [b'%', b'0', b'D' | b'd', next @ ..] => (b'\r', next),
            [b'%', b'0', b'A' | b'a', next @ ..] => (b'\n', next),
            _ => (*first, after),
        };
        plain.push(byte);
        rest = next;
    }
    plain
}

/// A `tchar` (RFC 9110 section 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
