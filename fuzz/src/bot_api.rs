//! The official Bot API server's reader of a form, in the plainest words (tdlib, `HttpReader`).

use crate::bytes::{find, percent_decode, split_once};

/// A part as the server sees it.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: Vec<u8>,
    pub(crate) filename: Option<Vec<u8>>,
    pub(crate) value: Vec<u8>,
}

/// The parts of a body that came to its closing boundary; `None` for any other, which the server
/// refuses.
pub(crate) fn read(boundary: &str, body: &[u8]) -> Option<Vec<Part>> {
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let (_, mut rest) = split_once(body, &delimiter[2..])?;
    let mut parts = Vec::new();
    loop {
        let (head, after) = split_once(rest.strip_prefix(b"\r\n")?, b"\r\n\r\n")?;
        let (value, after) = split_once(after, &delimiter)?;
        parts.push(part(head, value)?);
        if after.starts_with(b"--") {
            return Some(parts);
        }
        rest = after;
    }
}

/// The first value of that name: of two the server takes the first.
pub(crate) fn value<'a>(parts: &'a [Part], name: &str) -> Option<&'a [u8]> {
    let part = parts.iter().find(|part| part.name == name.as_bytes())?;
    Some(&part.value)
}

fn part(head: &[u8], value: &[u8]) -> Option<Part> {
    let mut part = Part {
        name: Vec::new(),
        filename: None,
        value: value.to_vec(),
    };
    let mut lines = head;
    while !lines.is_empty() {
        let (line, rest) = split_once(lines, b"\r\n").unwrap_or((lines, b""));
        lines = rest;
        let (name, text) = split_once(line, b":")?;
        if text.contains(&b'\r') {
            return None;
        }
        if name.eq_ignore_ascii_case(b"content-disposition") {
            let parameters = text.trim_ascii().strip_prefix(b"form-data;")?;
            disposition(parameters, &mut part)?;
        }
    }
    Some(part)
}

fn disposition(mut text: &[u8], part: &mut Part) -> Option<()> {
    while let Some((key, after)) = split_once(text, b"=") {
        let quoted = after.strip_prefix(b"\"")?;
        let mut value = Vec::new();
        let mut at = 0;
        while *quoted.get(at)? != b'"' {
            // A backslash makes whatever follows it stand for itself.
            at += usize::from(quoted[at] == b'\\');
            value.push(*quoted.get(at)?);
            at += 1;
        }
        match key.trim_ascii() {
            b"name" => part.name = percent_decode(&value),
            b"filename" => part.filename = Some(percent_decode(&value)),
            _ => {}
        }
        let after = &quoted[at + 1..];
        text = match find(after, b";") {
            Some(0) => &after[1..],
            Some(_) => return None,
            None => after,
        };
    }
    Some(())
}
