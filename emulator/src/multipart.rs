//! A reader of `multipart/form-data` that is strict where Telegram's server is, and lax where that
//! is lax (tdlib, `HttpReader::parse_multipart_form_data`).
//!
//! It does no I/O: bytes are pushed in, events are pulled out. What it does that RFC 7578 does not
//! ask for, since clients must live with it:
//! - `form-data`, `name` and `filename` are matched case-sensitively; header names are not.
//! - `filename*` (RFC 8187) is unknown: a part with that alone is a text field.
//! - Values lose their backslash escapes and are then percent-decoded.
//! - Lines end in CRLF only.
//! - A delimiter is recognised by its prefix: what follows the boundary up to the end of the line
//!   belongs to the part's headers.
//! - A form without its closing delimiter was cut short, and nothing in it counts.

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;
use percent_encoding::percent_decode;

/// Longest boundary, in bytes (RFC 2046, 5.1.1).
const MAX_BOUNDARY_BYTES: usize = 70;
/// Headers of the request and of all its parts, together, in bytes.
pub(crate) const MAX_HEADERS_BYTES: usize = 256 << 10;
/// Files in one form.
const MAX_FILES: usize = 50;
/// Text values of one form, together, in bytes.
const MAX_VALUES_BYTES: usize = 1 << 20;

/// What a form is made of, in the order it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A part without a filename, whole.
    Field {
        name: Vec<u8>,
        value: Bytes,
        /// Whether the value holds parameters of its own, by its Content-Type.
        urlencoded: bool,
    },
    /// A part with a filename begins.
    FileStart { name: Vec<u8>, filename: Vec<u8> },
    /// The next bytes of that file.
    FileData(Bytes),
    /// That file is whole.
    FileEnd,
}

/// Why a form is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MultipartError {
    /// The Content-Type names no boundary.
    #[error("boundary not found")]
    NoBoundary,
    /// The boundary is empty or beyond 70 bytes.
    #[error("boundary too big or empty")]
    BadBoundary,
    /// A part has no headers.
    #[error("headers in multipart/form-data are empty")]
    NoHeaders,
    /// A part's headers are not lines of `name: value`.
    #[error("can't parse form data headers")]
    BadHeaders,
    /// A part's Content-Disposition does not begin with `form-data;`.
    #[error("expected form-data content disposition")]
    NotFormData,
    /// A part's Content-Disposition ends within quotes.
    #[error("unclosed quoted string in Content-Disposition header")]
    UnclosedQuote,
    /// A part's Content-Disposition goes on after a quoted value without a semicolon.
    #[error("expected ';' in Content-Disposition header")]
    NoSemicolon,
    /// A part has no name.
    #[error("field name in multipart/form-data not found")]
    NoName,
    /// The headers are beyond 256 KiB.
    #[error("total headers size exceeded")]
    HeadersTooLarge,
    /// The text values are beyond 1 MiB.
    #[error("too many parameters in form data")]
    ValuesTooLarge,
    /// There are more than 50 files.
    #[error("too many files attached")]
    TooManyFiles,
    /// The form ended before its closing delimiter.
    #[error("unexpected end of request content")]
    UnexpectedEnd,
}

/// The boundary that a Content-Type names.
pub(crate) fn boundary(content_type: &[u8]) -> Result<&[u8], MultipartError> {
    let lowercased = content_type.to_ascii_lowercase();
    let key = memchr::memmem::find(&lowercased, b"boundary").ok_or(MultipartError::NoBoundary)?;
    let after_key = content_type.get(key..).unwrap_or_default();
    let equals = memchr::memchr(b'=', after_key).ok_or(MultipartError::NoBoundary)?;
    let value = after_key.get(equals + 1..).unwrap_or_default();
    let value = value.split(|&byte| byte == b';').next().unwrap_or(value);
    let value = match value {
        [b'"', inner @ .., b'"'] => inner,
        bare => bare,
    };
    if value.is_empty() || value.len() > MAX_BOUNDARY_BYTES {
        return Err(MultipartError::BadBoundary);
    }
    Ok(value)
}

/// The reader's state: bytes that came in and are not yet events, and where in the form they are.
#[derive(Debug)]
pub(crate) struct Reader {
    /// CRLF, two hyphens, the boundary.
    delimiter: Finder<'static>,
    input: BytesMut,
    /// How much of `input` is known not to begin what is looked for.
    scanned: usize,
    stage: Stage,
    headers_bytes: usize,
    values_bytes: usize,
    files: usize,
}

#[derive(Debug)]
enum Stage {
    /// Before the first delimiter.
    Preamble,
    /// Between a delimiter and the empty line.
    Headers,
    /// In a part without a filename.
    Value { name: Vec<u8>, urlencoded: bool },
    /// In a part with a filename.
    File,
    /// Right after a delimiter: is it the closing one?
    AfterDelimiter,
    /// After the closing delimiter.
    Epilogue,
}

impl Reader {
    /// A reader for the boundary; `headers_bytes` is what the request's own headers take of the
    /// limit on headers.
    pub(crate) fn new(boundary: &[u8], headers_bytes: usize) -> Self {
        let delimiter = [b"\r\n--", boundary].concat();
        Self {
            delimiter: Finder::new(&delimiter).into_owned(),
            input: BytesMut::new(),
            scanned: 0,
            stage: Stage::Preamble,
            headers_bytes,
            values_bytes: 0,
            files: 0,
        }
    }

    /// Takes the next bytes of the body.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.stage, Stage::Epilogue) {
            self.input.extend_from_slice(bytes);
        }
    }

    /// The next event; `None` when more bytes are needed.
    pub(crate) fn next_event(&mut self) -> Result<Option<Event>, MultipartError> {
        loop {
            let event = match &self.stage {
                Stage::Preamble => {
                    // The first delimiter needs no line break before it.
                    let opening = self.delimiter.needle().get(2..).unwrap_or_default();
                    let Some(at) = memchr::memmem::find(&self.input, opening) else {
                        let keep = opening.len() - 1;
                        self.discard(self.input.len().saturating_sub(keep));
                        return Ok(None);
                    };
                    self.discard(at + opening.len());
                    self.stage = Stage::Headers;
                    None
                }
                Stage::Headers => {
                    let Some(headers) = self.take_headers()? else {
                        return Ok(None);
                    };
                    self.begin_part(&headers)?
                }
                Stage::Value { .. } => {
                    let Some(value) = self.take_value()? else {
                        return Ok(None);
                    };
                    match std::mem::replace(&mut self.stage, Stage::AfterDelimiter) {
                        Stage::Value { name, urlencoded } => Some(Event::Field {
                            name,
                            value,
                            urlencoded,
                        }),
                        _ => None,
                    }
                }
                Stage::File => match self.take_file_data() {
                    Some(event) => Some(event),
                    None => return Ok(None),
                },
                Stage::AfterDelimiter => {
                    let Some(two) = self.input.get(..2) else {
                        return Ok(None);
                    };
                    if two == b"--" {
                        self.input.clear();
                        self.stage = Stage::Epilogue;
                    } else {
                        self.stage = Stage::Headers;
                    }
                    None
                }
                Stage::Epilogue => return Ok(None),
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// Says whether the body may end here: only after the closing delimiter.
    pub(crate) fn finish(&self) -> Result<(), MultipartError> {
        match self.stage {
            Stage::Epilogue => Ok(()),
            _ => Err(MultipartError::UnexpectedEnd),
        }
    }

    /// The header lines of a part, without the line break before and the empty line after them.
    fn take_headers(&mut self) -> Result<Option<Bytes>, MultipartError> {
        const END: &[u8] = b"\r\n\r\n";
        let unseen = self.input.get(self.scanned..).unwrap_or_default();
        let found = memchr::memmem::find(unseen, END).map(|at| self.scanned + at);
        let length = found.unwrap_or(self.input.len());
        if self.headers_bytes + length > MAX_HEADERS_BYTES {
            return Err(MultipartError::HeadersTooLarge);
        }
        let Some(end) = found else {
            self.scanned = self.input.len().saturating_sub(END.len() - 1);
            return Ok(None);
        };
        if end == 0 {
            return Err(MultipartError::NoHeaders);
        }
        self.headers_bytes += end;
        let mut headers = self.input.split_to(end + END.len()).freeze();
        headers.truncate(end + 2);
        self.scanned = 0;
        // The line break after the boundary, or whatever stands in its place.
        Ok(Some(headers.slice(2..)))
    }

    /// Enters the part that the headers describe.
    fn begin_part(&mut self, headers: &[u8]) -> Result<Option<Event>, MultipartError> {
        let head = PartHead::parse(headers)?;
        if head.name.is_empty() {
            return Err(MultipartError::NoName);
        }
        let Some(filename) = head.filename else {
            self.stage = Stage::Value {
                name: head.name,
                urlencoded: head.urlencoded,
            };
            return Ok(None);
        };
        if self.files == MAX_FILES {
            return Err(MultipartError::TooManyFiles);
        }
        self.files += 1;
        self.stage = Stage::File;
        Ok(Some(Event::FileStart {
            name: head.name,
            filename,
        }))
    }

    fn take_value(&mut self) -> Result<Option<Bytes>, MultipartError> {
        let found = self.find_delimiter();
        let length = found.unwrap_or(self.scanned);
        if self.values_bytes + length > MAX_VALUES_BYTES {
            return Err(MultipartError::ValuesTooLarge);
        }
        let Some(at) = found else {
            return Ok(None);
        };
        self.values_bytes += at;
        let value = self.input.split_to(at).freeze();
        self.discard(self.delimiter.needle().len());
        Ok(Some(value))
    }

    /// The next data of the file, or its end; `None` when more bytes are needed.
    fn take_file_data(&mut self) -> Option<Event> {
        let found = self.find_delimiter();
        // What `find_delimiter` has ruled out cannot be part of a delimiter: it is content.
        let content = found.unwrap_or(self.scanned);
        if content > 0 {
            let data = self.input.split_to(content).freeze();
            self.scanned = 0;
            return Some(Event::FileData(data));
        }
        found?;
        self.discard(self.delimiter.needle().len());
        self.stage = Stage::AfterDelimiter;
        Some(Event::FileEnd)
    }

    /// Where the delimiter begins. If it is not there, `scanned` is moved to the first place where
    /// one could begin that is not in whole.
    fn find_delimiter(&mut self) -> Option<usize> {
        let unseen = self.input.get(self.scanned..).unwrap_or_default();
        if let Some(at) = self.delimiter.find(unseen) {
            return Some(self.scanned + at);
        }
        let needle = self.delimiter.needle();
        let tail_bytes = unseen.len().min(needle.len() - 1);
        let tail = unseen.get(unseen.len() - tail_bytes..).unwrap_or_default();
        let partial = memchr::memchr_iter(b'\r', tail)
            .find_map(|at| tail.get(at..).filter(|rest| needle.starts_with(rest)))
            .map_or(0, <[u8]>::len);
        self.scanned = self.input.len() - partial;
        None
    }

    fn discard(&mut self, bytes: usize) {
        drop(self.input.split_to(bytes.min(self.input.len())));
        self.scanned = 0;
    }
}

/// What a part's headers say.
#[derive(Debug, Default)]
struct PartHead {
    name: Vec<u8>,
    filename: Option<Vec<u8>>,
    urlencoded: bool,
}

impl PartHead {
    /// Reads header lines, each ended by CRLF; a line that begins with white space goes on with
    /// the one before.
    fn parse(mut lines: &[u8]) -> Result<Self, MultipartError> {
        let mut head = Self::default();
        while !lines.is_empty() {
            let colon = memchr::memchr(b':', lines).ok_or(MultipartError::BadHeaders)?;
            let (name, rest) = lines.split_at(colon);
            let rest = rest.get(1..).unwrap_or_default();
            let end = header_end(rest)?;
            let (value, rest) = rest.split_at(end);
            lines = rest.get(2..).unwrap_or_default();

            let name = name.trim_ascii().to_ascii_lowercase();
            let value = value.trim_ascii();
            if name == b"content-disposition" {
                head.parse_disposition(value)?;
            } else if name == b"content-type" {
                head.urlencoded = value.starts_with(b"application/x-www-form-urlencoded");
            }
        }
        Ok(head)
    }

    fn parse_disposition(&mut self, value: &[u8]) -> Result<(), MultipartError> {
        let mut rest = value
            .strip_prefix(b"form-data;")
            .ok_or(MultipartError::NotFormData)?;
        while let Some(equals) = memchr::memchr(b'=', rest) {
            let (key, after) = rest.split_at(equals);
            let (value, after) = parameter_value(after.get(1..).unwrap_or_default())?;
            rest = after;
            let value: Vec<u8> = percent_decode(&value).collect();
            match key.trim_ascii() {
                b"name" => self.name = value,
                b"filename" => self.filename = Some(value),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Where a header's value ends: at the first CRLF that no folded line follows.
fn header_end(text: &[u8]) -> Result<usize, MultipartError> {
    for at in memchr::memchr_iter(b'\r', text) {
        if text.get(at + 1) != Some(&b'\n') {
            return Err(MultipartError::BadHeaders);
        }
        if !matches!(text.get(at + 2), Some(b' ' | b'\t')) {
            return Ok(at);
        }
    }
    Err(MultipartError::BadHeaders)
}

/// A parameter's value, and what follows its semicolon.
fn parameter_value(text: &[u8]) -> Result<(Vec<u8>, &[u8]), MultipartError> {
    let text = text.trim_ascii_start();
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = memchr::memchr(b';', text).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Ok((
            value.trim_ascii().to_vec(),
            rest.get(1..).unwrap_or_default(),
        ));
    };
    let mut value = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter().enumerate();
    loop {
        match bytes.next().ok_or(MultipartError::UnclosedQuote)? {
            (_, b'\\') => {
                let (_, &escaped) = bytes.next().ok_or(MultipartError::UnclosedQuote)?;
                value.push(escaped);
            }
            (at, b'"') => {
                let rest = quoted.get(at + 1..).unwrap_or_default().trim_ascii_start();
                return match rest {
                    [] => Ok((value, rest)),
                    [b';', rest @ ..] => Ok((value, rest)),
                    _ => Err(MultipartError::NoSemicolon),
                };
            }
            (_, &byte) => value.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part's name, filename and content.
    type Part = (String, Option<String>, Vec<u8>);

    const FORM: &[u8] = b"preamble\r\n--AaB\r\n\
        content-disposition: form-data; name=\"chat_id\"\r\n\r\n\
        -100\r\n--AaB\r\n\
        Content-Type: text/plain\r\n\
        Content-Disposition: form-data; name=\"document\"; filename=\"a.txt\"\r\n\r\n\
        line\r\n--Aa\r\n-\r\r\n--A\r\n\r\n--AaB\r\n\
        Content-Disposition: form-data; name=e; filename=\"\"\r\n\r\n\
        \r\n--AaB--\r\nepilogue\r\n--AaB\r\n";

    fn form_parts() -> Vec<Part> {
        let part = |name: &str, filename: Option<&str>, content: &[u8]| {
            (
                name.to_owned(),
                filename.map(str::to_owned),
                content.to_vec(),
            )
        };
        vec![
            part("chat_id", None, b"-100"),
            part("document", Some("a.txt"), b"line\r\n--Aa\r\n-\r\r\n--A\r\n"),
            part("e", Some(""), b""),
        ]
    }

    /// Pushes the chunks in turn and gathers the parts.
    fn read(chunks: &[&[u8]]) -> Result<Vec<Part>, MultipartError> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let mut reader = Reader::new(b"AaB", 0);
        let mut parts = Vec::new();
        for chunk in chunks {
            reader.push(chunk);
            while let Some(event) = reader.next_event()? {
                match event {
                    Event::Field { name, value, .. } => {
                        parts.push((text(name), None, value.to_vec()));
                    }
                    Event::FileStart { name, filename } => {
                        parts.push((text(name), Some(text(filename)), Vec::new()));
                    }
                    Event::FileData(data) => {
                        parts.last_mut().unwrap().2.extend_from_slice(&data);
                    }
                    Event::FileEnd => {}
                }
            }
        }
        reader.finish()?;
        Ok(parts)
    }

    fn one_part(headers: &str) -> Result<Part, MultipartError> {
        let form = format!("--AaB\r\n{headers}\r\n\r\nx\r\n--AaB--\r\n");
        Ok(read(&[form.as_bytes()])?.remove(0))
    }

    #[test]
    fn a_form_reads_the_same_at_every_split_point() {
        for at in 0..=FORM.len() {
            let (head, tail) = FORM.split_at(at);
            assert_eq!(read(&[head, tail]).unwrap(), form_parts(), "{at}");
        }
    }

    #[test]
    fn a_form_reads_the_same_in_chunks_of_every_size() {
        for size in 1..=FORM.len() {
            let chunks: Vec<&[u8]> = FORM.chunks(size).collect();
            assert_eq!(read(&chunks).unwrap(), form_parts(), "{size}");
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let closing = memchr::memmem::find(FORM, b"--AaB--").unwrap() + "--AaB--".len();
        for length in 0..closing {
            let result = read(&[&FORM[..length]]);
            assert_eq!(result, Err(MultipartError::UnexpectedEnd), "{length}");
        }
        assert!(read(&[&FORM[..closing]]).is_ok());
    }

    #[test]
    fn lines_that_end_in_lf_only_are_refused() {
        let form: Vec<u8> = FORM.iter().copied().filter(|&byte| byte != b'\r').collect();
        assert_eq!(read(&[&form]), Err(MultipartError::UnexpectedEnd));
    }

    #[test]
    fn a_delimiter_is_recognised_by_its_prefix() {
        let form = b"--AaBxyz\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--AaB--";
        // The rest of the line runs into the first header's name, which nothing knows any more.
        assert_eq!(read(&[form]), Err(MultipartError::NoName));
        let form = b"--AaB\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--AaBxyz";
        assert_eq!(read(&[form]), Err(MultipartError::UnexpectedEnd));
        let form = b"--AaB\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--AaB--xyz";
        assert_eq!(read(&[form]).unwrap().len(), 1);
    }

    #[test]
    fn values_lose_their_escapes() {
        for (header, filename) in [
            (r#"filename="a\"b.txt""#, r#"a"b.txt"#),
            (r#"filename="a\\b.txt""#, r"a\b.txt"),
            (r#"filename="100%25.txt""#, "100%.txt"),
            (r#"filename="%22q%22%0D%0A.txt""#, "\"q\"\r\n.txt"),
            (r#"filename="semi;colon=.txt""#, "semi;colon=.txt"),
            (r#"filename="%zz.txt""#, "%zz.txt"),
            ("filename=bare.txt", "bare.txt"),
            ("filename=\"имя.txt\" ; x=y", "имя.txt"),
        ] {
            let headers = format!("Content-Disposition: form-data; name=\"f\"; {header}");
            assert_eq!(one_part(&headers).unwrap().1.as_deref(), Some(filename));
        }
    }

    #[test]
    fn an_extended_filename_alone_makes_a_text_field() {
        let part = one_part("Content-Disposition: form-data; name=f; filename*=UTF-8''a.txt");
        assert_eq!(part.unwrap(), ("f".to_owned(), None, b"x".to_vec()));
    }

    #[test]
    fn header_names_match_in_any_case_and_keywords_do_not() {
        for (headers, expected) in [
            ("CONTENT-DISPOSITION: form-data; name=f", Ok(None)),
            (
                "Content-Disposition: form-data; name=f; FileName=a",
                Ok(None),
            ),
            (
                "Content-Disposition: Form-Data; name=f",
                Err(MultipartError::NotFormData),
            ),
            (
                "Content-Disposition: form-data; Name=f",
                Err(MultipartError::NoName),
            ),
            ("X-Other: form-data; name=f", Err(MultipartError::NoName)),
            (
                "Content-Disposition: form-data; name=\"f",
                Err(MultipartError::UnclosedQuote),
            ),
            (
                "Content-Disposition: form-data; name=\"f\" filename=\"a\"",
                Err(MultipartError::NoSemicolon),
            ),
            ("no header at all", Err(MultipartError::BadHeaders)),
            ("Content-Disposition: form-data;\r\n name=f", Ok(None)),
        ] {
            assert_eq!(one_part(headers).map(|part| part.1), expected, "{headers}");
        }
    }

    #[test]
    fn a_part_without_headers_is_refused() {
        let form = b"--AaB\r\n\r\nx\r\n--AaB--";
        assert_eq!(read(&[form]), Err(MultipartError::NoHeaders));
    }

    #[test]
    fn text_values_beyond_one_mebibyte_are_refused() {
        let part = |bytes: usize| {
            let value = "v".repeat(bytes);
            format!("--AaB\r\nContent-Disposition: form-data; name=a\r\n\r\n{value}\r\n")
        };
        let form = |first, second| format!("{}{}--AaB--", part(first), part(second));
        let half = MAX_VALUES_BYTES / 2;
        assert!(read(&[form(half, half).as_bytes()]).is_ok());
        assert_eq!(
            read(&[form(half, half + 1).as_bytes()]),
            Err(MultipartError::ValuesTooLarge)
        );
        // Refused as soon as it is known, not when the value ends.
        assert_eq!(
            read(&[part(MAX_VALUES_BYTES + 100).as_bytes()]),
            Err(MultipartError::ValuesTooLarge)
        );
    }

    #[test]
    fn headers_beyond_the_limit_are_refused() {
        let padding = "p".repeat(MAX_HEADERS_BYTES);
        assert_eq!(
            read(&[format!("--AaB\r\nX: {padding}").as_bytes()]),
            Err(MultipartError::HeadersTooLarge)
        );
    }

    #[test]
    fn fifty_files_are_taken_and_one_more_is_refused() {
        let form = |files| {
            let part = "--AaB\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n1\r\n";
            format!("{}--AaB--", part.repeat(files))
        };
        assert_eq!(read(&[form(50).as_bytes()]).unwrap().len(), 50);
        assert_eq!(
            read(&[form(51).as_bytes()]),
            Err(MultipartError::TooManyFiles)
        );
    }

    #[test]
    fn a_boundary_is_read_from_the_content_type() {
        let long = "b".repeat(71);
        for (content_type, expected) in [
            ("multipart/form-data; boundary=AaB", Ok("AaB")),
            ("multipart/form-data; Boundary=\"AaB\"; x=y", Ok("AaB")),
            ("multipart/form-data", Err(MultipartError::NoBoundary)),
            (
                "multipart/form-data; boundary",
                Err(MultipartError::NoBoundary),
            ),
            (
                "multipart/form-data; boundary=",
                Err(MultipartError::BadBoundary),
            ),
            (
                &format!("multipart/form-data; boundary={long}"),
                Err(MultipartError::BadBoundary),
            ),
            (
                &format!("multipart/form-data; boundary={}", &long[1..]),
                Ok(&long[1..]),
            ),
        ] {
            assert_eq!(
                boundary(content_type.as_bytes()),
                expected.map(str::as_bytes),
                "{content_type}"
            );
        }
    }
}
