//! Two ways to read a body, for comparing them: with the reader, from slices cut anywhere, and
//! naively, by searching the whole body again and again.
//!
//! The naive way keeps the caps on counts, and none of those on bytes: it is for bodies that are
//! shorter than a part's header block may be. The feature `testing` makes them public, for the fuzz
//! targets.

// A reader that breaks its own promises fails the test.
#![allow(clippy::missing_errors_doc, clippy::missing_panics_doc)]

use crate::multipart::form::{Fields, FilePart, FormReader, Step};
use crate::multipart::parser::{Event, MAX_PART_HEADERS, MAX_PARTS, Parser};
use crate::multipart::{Malformed, PartHead};

/// A part as a whole: what a caller that joins the pieces sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// What its headers say.
    pub head: PartHead,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// A form as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeForm {
    /// The file part and its bytes, if there is one.
    pub file: Option<(FilePart, Vec<u8>)>,
    /// The text fields.
    pub fields: Fields,
}

/// Pushes `slices` one after another and joins the events.
pub fn read_parts<'a>(
    boundary: &str,
    slices: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Whole>, Malformed> {
    let mut parser = Parser::new(boundary)?;
    let mut parts: Vec<Whole> = Vec::new();
    let mut open = false;
    for slice in slices {
        let mut cursor = 0;
        while let Some(event) = parser.next(slice, &mut cursor)? {
            match event {
                Event::Part(head) => {
                    assert!(!open, "a part begins inside another");
                    open = true;
                    parts.push(Whole {
                        head,
                        content: Vec::new(),
                    });
                }
                Event::Content(range) => {
                    assert!(open && !range.is_empty());
                    let part = parts.last_mut().expect("open part");
                    part.content.extend_from_slice(&slice[range]);
                }
                Event::Held(held) => {
                    assert!(open && !held.is_empty());
                    let bytes = parser.delimiter()[held].to_vec();
                    parts.last_mut().expect("open part").content.extend(bytes);
                }
                Event::PartEnd => {
                    assert!(open, "no part to end");
                    open = false;
                }
                Event::Closed => assert!(!open),
            }
        }
        assert_eq!(cursor, slice.len(), "the whole slice is used up");
    }
    parser.is_complete()?;
    Ok(parts)
}

/// Pushes `slices` one after another and joins the steps.
pub fn read_form<'a>(
    boundary: &str,
    slices: impl IntoIterator<Item = &'a [u8]>,
) -> Result<WholeForm, Malformed> {
    let mut reader = FormReader::new(boundary)?;
    let (mut file, mut open) = (None, false);
    for slice in slices {
        let mut cursor = 0;
        while let Some(step) = reader.next(slice, &mut cursor)? {
            let bytes = match step {
                Step::FileBegin(part) => {
                    assert!(file.is_none(), "a second file begins");
                    file = Some((part, Vec::new()));
                    open = true;
                    continue;
                }
                Step::FileEnd => {
                    assert!(open, "no file to end");
                    open = false;
                    continue;
                }
                Step::File(range) => &slice[range],
                Step::FileHeld(held) => reader.held(held),
            };
            assert!(open && !bytes.is_empty());
            file.as_mut().expect("a file").1.extend_from_slice(bytes);
        }
    }
    reader.is_complete()?;
    let fields = reader.fields().clone();
    Ok(WholeForm { file, fields })
}

/// The parts of a body, by the naive way.
pub fn naive_parts(boundary: &str, body: &[u8]) -> Result<Vec<Whole>, Malformed> {
    let naive = Naive::read(boundary, body);
    naive.end.map(|()| naive.parts)
}

/// The form that a body is, by the naive way.
pub fn naive_form(boundary: &str, body: &[u8]) -> Result<WholeForm, Malformed> {
    let naive = Naive::read(boundary, body);
    let mut form = WholeForm {
        file: None,
        fields: Fields::default(),
    };
    let whole = naive.parts.into_iter().map(|part| (part, true));
    for (part, is_whole) in whole.chain(naive.open.map(|part| (part, false))) {
        let Whole { head, content } = part;
        if head.filename.is_none() && head.name != "file" {
            if is_whole {
                set(&mut form.fields, &head.name, content)?;
            }
            continue;
        }
        if head.filename.as_deref() == Some("") && content.is_empty() {
            continue;
        }
        if form.file.is_some() {
            return Err(Malformed::SecondFile);
        }
        let part = FilePart {
            name: head.filename.filter(|name| !name.is_empty()),
            content_type: head.content_type,
        };
        form.file = Some((part, content));
    }
    naive.end.map(|()| form)
}

fn set(fields: &mut Fields, name: &str, value: Vec<u8>) -> Result<(), Malformed> {
    let (name, field) = match name {
        "authToken" => ("authToken", &mut fields.auth_token),
        "userId" => ("userId", &mut fields.user_id),
        "fileName" => ("fileName", &mut fields.file_name),
        "caption" => ("caption", &mut fields.caption),
        _ => return Ok(()),
    };
    let value = String::from_utf8(value).map_err(|_| Malformed::FieldNotUtf8(name))?;
    if field.as_ref().is_some_and(|known| *known != value) {
        return Err(Malformed::FieldTwice(name));
    }
    *field = Some(value);
    Ok(())
}

/// What the naive way has found when it can't go on.
struct Naive {
    parts: Vec<Whole>,
    /// A part whose end did not come, with what surely is its content.
    open: Option<Whole>,
    end: Result<(), Malformed>,
}

impl Naive {
    fn read(boundary: &str, body: &[u8]) -> Self {
        let mut naive = Self {
            parts: Vec::new(),
            open: None,
            end: Ok(()),
        };
        naive.end = naive.read_on(boundary, body);
        naive
    }

    fn read_on(&mut self, boundary: &str, body: &[u8]) -> Result<(), Malformed> {
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        let mut rest = [b"\r\n", body].concat();
        let preamble = find(&rest, &delimiter).ok_or(Malformed::Truncated)?;
        rest.drain(..preamble + delimiter.len());
        loop {
            if let Some(after) = rest.strip_prefix(b"--") {
                return naive_line_end(after, true).map(drop);
            }
            rest = naive_line_end(&rest, false)?;
            if self.parts.len() == MAX_PARTS {
                return Err(Malformed::TooManyParts);
            }
            let (block, after) = if rest.starts_with(b"\r\n") {
                (0, 2)
            } else {
                let at = find(&rest, b"\r\n\r\n").ok_or(Malformed::Truncated)?;
                (at, at + 4)
            };
            let head = naive_head(&rest[..block])?;
            rest.drain(..after);
            let dashed = &delimiter[2..];
            if rest.starts_with(dashed) || dashed.starts_with(&rest) {
                let is_empty_part = rest.starts_with(dashed);
                self.open = Some(Whole {
                    head,
                    content: Vec::new(),
                });
                return Err(if is_empty_part {
                    Malformed::EmptyPart
                } else {
                    Malformed::Truncated
                });
            }
            let Some(end) = find(&rest, &delimiter) else {
                let undecided = (1..delimiter.len()).rev();
                let undecided = undecided.filter(|&n| rest.ends_with(&delimiter[..n]));
                rest.truncate(rest.len() - undecided.max().unwrap_or_default());
                self.open = Some(Whole {
                    head,
                    content: rest,
                });
                return Err(Malformed::Truncated);
            };
            let content = rest[..end].to_vec();
            self.parts.push(Whole { head, content });
            rest.drain(..end + delimiter.len());
        }
    }
}

/// What follows the rest of a delimiter's line, which is blanks. The closing delimiter's line may end
/// with the body.
fn naive_line_end(rest: &[u8], is_closing: bool) -> Result<Vec<u8>, Malformed> {
    let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t'));
    match &rest[blanks.count()..] {
        [] | [b'\r'] if is_closing => Ok(Vec::new()),
        [b'\r', b'\n', after @ ..] => Ok(after.to_vec()),
        [] | [b'\r'] => Err(Malformed::Truncated),
        [b'-'] if rest == b"-" && !is_closing => Err(Malformed::Truncated),
        _ => Err(Malformed::Delimiter),
    }
}

/// A header block without its empty line.
fn naive_head(mut block: &[u8]) -> Result<PartHead, Malformed> {
    let (mut disposition, mut content_type, mut count) = (None, None, 0);
    while !block.is_empty() {
        let end = find(block, b"\r\n").unwrap_or(block.len());
        let line = &block[..end];
        block = block.get(end + 2..).unwrap_or_default();
        count += 1;
        if count > MAX_PART_HEADERS {
            return Err(Malformed::TooManyHeaders);
        }
        let colon = find(line, b":").ok_or(Malformed::Header)?;
        let value = line[colon + 1..].trim_ascii();
        if !is_token(&line[..colon]) || value.iter().any(|b| b"\r\n\0".contains(b)) {
            return Err(Malformed::Header);
        }
        match line[..colon].to_ascii_lowercase().as_slice() {
            b"content-disposition" if disposition.is_none() => disposition = Some(value),
            b"content-type" if content_type.is_none() => content_type = Some(value),
            _ => {}
        }
    }
    let disposition = disposition.ok_or(Malformed::NoName)?;
    let semicolon = find(disposition, b";").ok_or(Malformed::NoName)?;
    let kind = disposition[..semicolon].trim_ascii();
    if !kind.eq_ignore_ascii_case(b"form-data") {
        return Err(Malformed::NoName);
    }
    let parameters = naive_parameters(&disposition[semicolon..]);
    let text = |wanted: &str| {
        let (_, value) = parameters.iter().find(|(name, _)| name == wanted)?;
        let mut text = String::from_utf8_lossy(value).into_owned();
        for (escape, plain) in [
            ("%22", "\""),
            ("%0D", "\r"),
            ("%0d", "\r"),
            ("%0A", "\n"),
            ("%0a", "\n"),
        ] {
            text = text.replace(escape, plain);
        }
        Some(text)
    };
    Ok(PartHead {
        name: text("name").ok_or(Malformed::NoName)?,
        filename: text("filename"),
        content_type: content_type.map(|value| String::from_utf8_lossy(value).into_owned()),
    })
}

/// The boundary that a `Content-Type` names, by the naive way.
pub fn naive_boundary(content_type: &str) -> Result<String, Malformed> {
    let semicolon = content_type.find(';').unwrap_or(content_type.len());
    naive_parameters(&content_type.as_bytes()[semicolon..])
        .into_iter()
        .find(|(name, _)| name == "boundary")
        .map(|(_, value)| String::from_utf8_lossy(&value).into_owned())
        .ok_or(Malformed::NoBoundary)
}

/// All of `; a=b; c="d"`, names in lower case.
fn naive_parameters(text: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut parameters = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if b"; \t".contains(&text[at]) {
            at += 1;
            continue;
        }
        let end = |from: usize, ends: &[u8]| {
            (from..text.len())
                .find(|&at| ends.contains(&text[at]))
                .unwrap_or(text.len())
        };
        let name_end = end(at, b"=;");
        if text.get(name_end) != Some(&b'=') {
            at = name_end;
            continue;
        }
        let name = String::from_utf8_lossy(text[at..name_end].trim_ascii()).to_ascii_lowercase();
        at = name_end + 1;
        while text.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        let value = if text.get(at) == Some(&b'"') {
            at += 1;
            let mut value = Vec::new();
            loop {
                let escapes = text.get(at) == Some(&b'\\')
                    && match text.get(at + 1) {
                        Some(b'\\') => true,
                        Some(b'"') => !naive_ends_value(&text[at + 2..]),
                        _ => false,
                    };
                at += usize::from(escapes);
                match text.get(at) {
                    Some(b'"') if !escapes => {
                        at += 1;
                        break;
                    }
                    Some(&byte) => value.push(byte),
                    None => break,
                }
                at += 1;
            }
            value
        } else {
            let value = text[at..end(at, b";")].trim_ascii().to_vec();
            at = end(at, b";");
            value
        };
        parameters.push((name, value));
    }
    parameters
}

/// Whether what follows a quote makes it the closing one: nothing, or the next parameter.
fn naive_ends_value(after: &[u8]) -> bool {
    match after.trim_ascii_start() {
        [] => true,
        [b';', next @ ..] => {
            find(next, b"=").is_some_and(|equals| is_token(next[..equals].trim_ascii_start()))
        }
        _ => false,
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    let is_special = |b: &u8| b"!#$%&'*+-.^_`|~".contains(b);
    !text.is_empty()
        && text
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || is_special(b))
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memchr_iter(needle[0], bytes).find(|&at| bytes[at..].starts_with(needle))
}
