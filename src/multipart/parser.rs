//! A push parser for `multipart/form-data` bodies (RFC 7578, RFC 2046 section 5.1).
//!
//! The parser is sans-IO. The caller pushes slices that are cut anywhere, and gets events that name
//! *ranges* of the slice, so no byte of a file is copied through the parser. The parser keeps no
//! content either: bytes at the end of a slice that may begin a delimiter equal a prefix of the
//! delimiter, so [`Event::Held`] gives only a range of it.
//!
//! Parsing takes time linear in the input. This relies on one fact: the only CR of a delimiter is its
//! first byte (no boundary has one), so a failed match never hides the start of another.
//!
//! The parser is strict where leniency would let two readers disagree about where a file ends: lines
//! end in CRLF, a delimiter must be followed by blanks and CRLF, or by `--` and then by blanks and CRLF or
//! the end, and no content begins with `--boundary`.

use std::ops::Range;

use memchr::memmem::Finder;

use super::header::{PartHead, is_token_byte, parse_part_head};
use super::malformed::Malformed;

/// Most bytes of a boundary (RFC 2046 section 5.1.1).
pub const MAX_BOUNDARY_BYTES: usize = 70;
/// Most bytes of one part's header block.
pub const MAX_PART_HEADER_BYTES: usize = 16 * 1024;
/// Most header lines of one part.
pub const MAX_PART_HEADERS: usize = 32;
/// Most parts of one body.
pub const MAX_PARTS: usize = 100;
/// Most bytes before the first delimiter, and again after the last.
pub const MAX_PADDING_BYTES: usize = 64 * 1024;

/// What the next bytes mean.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A part begins; its header block is complete.
    Part(PartHead),
    /// Content of the current part: this range of the pushed slice.
    Content(Range<usize>),
    /// Content of the current part from slices pushed earlier: this range of [`Parser::delimiter`].
    Held(Range<usize>),
    /// The current part is complete.
    PartEnd,
    /// The closing delimiter was read. Only padding and an epilogue may follow, which are ignored.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Preamble,
    Content,
    /// After `CRLF--boundary`: `--` makes it the closing delimiter, blanks and CRLF an inner one.
    DelimiterTail(Tail),
    Header,
    /// After `CRLF--boundary--`: blanks, and then CRLF or the end.
    ClosingTail(Tail),
    Epilogue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    Start,
    Dash,
    Blank,
    Cr,
}

/// The parser's state between two slices.
#[derive(Debug)]
pub struct Parser {
    stage: Stage,
    /// `CRLF--boundary`, with its searcher.
    finder: Finder<'static>,
    /// How many bytes of the delimiter the input so far ends with.
    matched: usize,
    /// How many of these come before the part's content: the CRLF that ends the header block.
    matched_before: usize,
    /// The delimiter was found right after content that was just reported.
    part_end_due: bool,
    header: Vec<u8>,
    parts: usize,
    /// Bytes of preamble, of epilogue, or of blanks after a delimiter.
    padding: usize,
}

impl Parser {
    /// A parser for the boundary that the `Content-Type` names.
    ///
    /// # Errors
    /// [`Malformed::Boundary`] when it is empty, too long, or has a byte that is in neither the `bchars`
    /// of RFC 2046 section 5.1.1 nor the `tchar` of RFC 9110 section 5.6.2. Apps send `*****`.
    pub fn new(boundary: &str) -> Result<Self, Malformed> {
        let bytes = boundary.as_bytes();
        let allowed = |b: &u8| is_token_byte(*b) || b"(),/:=? ".contains(b);
        if bytes.is_empty()
            || bytes.len() > MAX_BOUNDARY_BYTES
            || !bytes.iter().all(allowed)
            || bytes.last() == Some(&b' ')
        {
            return Err(Malformed::Boundary);
        }
        let delimiter = [b"\r\n--", bytes].concat();
        Ok(Self {
            stage: Stage::Preamble,
            finder: Finder::new(&delimiter).into_owned(),
            // The first delimiter may open the body: its CRLF counts as already seen.
            matched: 2,
            matched_before: 0,
            part_end_due: false,
            header: Vec::new(),
            parts: 0,
            padding: 0,
        })
    }

    /// The bytes between two parts: `CRLF--boundary`.
    #[must_use]
    pub fn delimiter(&self) -> &[u8] {
        self.finder.needle()
    }

    /// Whether the next bytes are content until the delimiter. The caller may leave out any number of
    /// such bytes.
    #[must_use]
    pub fn is_inside_content(&self) -> bool {
        self.stage == Stage::Content && self.matched == 0 && !self.part_end_due
    }

    /// Reads `slice` from `cursor` until the next event, and advances `cursor`.
    ///
    /// `None` means that the slice is used up: call again with the next one and a cursor of 0.
    ///
    /// # Errors
    /// What is wrong with the body. The parser must not be used afterwards.
    pub fn next(&mut self, slice: &[u8], cursor: &mut usize) -> Result<Option<Event>, Malformed> {
        if self.part_end_due {
            self.part_end_due = false;
            return Ok(Some(Event::PartEnd));
        }
        loop {
            let Some(rest) = slice.get(*cursor..).filter(|rest| !rest.is_empty()) else {
                return Ok(None);
            };
            match self.stage {
                Stage::Preamble => self.preamble(rest, cursor)?,
                Stage::Content => {
                    if let Some(event) = self.content(rest, cursor)? {
                        return Ok(Some(event));
                    }
                }
                Stage::DelimiterTail(tail) => {
                    let byte = rest.first().copied().unwrap_or_default();
                    *cursor += 1;
                    if self.delimiter_tail(tail, byte)? {
                        return Ok(Some(Event::Closed));
                    }
                }
                Stage::Header => {
                    if let Some(head) = self.header(rest, cursor)? {
                        return Ok(Some(Event::Part(head)));
                    }
                }
                Stage::ClosingTail(tail) => {
                    let byte = rest.first().copied().unwrap_or_default();
                    *cursor += 1;
                    self.closing_tail(tail, byte)?;
                }
                Stage::Epilogue => {
                    *cursor = slice.len();
                    self.pad(rest.len(), Malformed::Epilogue)?;
                }
            }
        }
    }

    /// Checks that the body is complete, after the end of the input.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] unless the closing delimiter was read.
    pub fn is_complete(&self) -> Result<(), Malformed> {
        match self.stage {
            // The line break after the closing delimiter is not part of it, and may be cut off anywhere.
            Stage::ClosingTail(_) | Stage::Epilogue => Ok(()),
            _ => Err(Malformed::Truncated),
        }
    }

    fn preamble(&mut self, rest: &[u8], cursor: &mut usize) -> Result<(), Malformed> {
        match self.scan(rest) {
            Scan::Found { before, after } => {
                self.pad(before, Malformed::Preamble)?;
                self.padding = 0;
                *cursor += after;
                self.stage = Stage::DelimiterTail(Tail::Start);
            }
            Scan::Released { held } => self.pad(held, Malformed::Preamble)?,
            Scan::Unfinished { before } => {
                self.pad(before, Malformed::Preamble)?;
                *cursor += rest.len();
            }
        }
        Ok(())
    }

    fn content(&mut self, rest: &[u8], cursor: &mut usize) -> Result<Option<Event>, Malformed> {
        let start = *cursor;
        Ok(match self.scan(rest) {
            Scan::Found { .. } if self.matched_before > 0 => return Err(Malformed::EmptyPart),
            Scan::Found { before, after } => {
                *cursor += after;
                self.stage = Stage::DelimiterTail(Tail::Start);
                if before == 0 {
                    return Ok(Some(Event::PartEnd));
                }
                self.part_end_due = true;
                Some(Event::Content(start..start + before))
            }
            Scan::Released { held } => {
                let content = std::mem::take(&mut self.matched_before)..held;
                (!content.is_empty()).then_some(Event::Held(content))
            }
            Scan::Unfinished { before } => {
                *cursor += rest.len();
                (before > 0).then(|| Event::Content(start..start + before))
            }
        })
    }

    /// Looks for the delimiter in `rest`. The bytes before `rest` ended with `matched` bytes of it.
    fn scan(&mut self, rest: &[u8]) -> Scan {
        let delimiter = self.finder.needle();
        if self.matched > 0 {
            let wanted = delimiter.get(self.matched..).unwrap_or_default();
            let same = wanted.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if same == wanted.len() {
                self.matched = 0;
                return Scan::Found {
                    before: 0,
                    after: same,
                };
            }
            if same == rest.len() {
                self.matched += same;
                return Scan::Unfinished { before: 0 };
            }
            return Scan::Released {
                held: std::mem::take(&mut self.matched),
            };
        }
        if let Some(at) = self.finder.find(rest) {
            return Scan::Found {
                before: at,
                after: at + delimiter.len(),
            };
        }
        let tail = rest.len().saturating_sub(delimiter.len() - 1);
        let before = memchr::memrchr(b'\r', rest.get(tail..).unwrap_or_default())
            .map(|at| tail + at)
            .filter(|&at| rest.get(at..).is_some_and(|end| delimiter.starts_with(end)))
            .unwrap_or(rest.len());
        self.matched = rest.len() - before;
        Scan::Unfinished { before }
    }

    /// Takes one byte after a delimiter. Returns `true` when that was the closing delimiter.
    fn delimiter_tail(&mut self, tail: Tail, byte: u8) -> Result<bool, Malformed> {
        let next = match (tail, byte) {
            (Tail::Dash, b'-') => {
                self.stage = Stage::ClosingTail(Tail::Start);
                self.padding = 0;
                return Ok(true);
            }
            (Tail::Cr, b'\n') => {
                if self.parts == MAX_PARTS {
                    return Err(Malformed::TooManyParts);
                }
                self.parts += 1;
                self.header.clear();
                self.padding = 0;
                self.stage = Stage::Header;
                return Ok(false);
            }
            (Tail::Start, b'-') => Tail::Dash,
            (Tail::Start | Tail::Blank, b'\r') => Tail::Cr,
            (Tail::Start | Tail::Blank, b' ' | b'\t') => {
                self.pad(1, Malformed::Delimiter)?;
                Tail::Blank
            }
            _ => return Err(Malformed::Delimiter),
        };
        self.stage = Stage::DelimiterTail(next);
        Ok(false)
    }

    /// Takes one byte after the closing delimiter.
    fn closing_tail(&mut self, tail: Tail, byte: u8) -> Result<(), Malformed> {
        self.stage = match (tail, byte) {
            (Tail::Cr, b'\n') => {
                self.padding = 0;
                Stage::Epilogue
            }
            (Tail::Start | Tail::Blank, b'\r') => Stage::ClosingTail(Tail::Cr),
            (Tail::Start | Tail::Blank, b' ' | b'\t') => {
                self.pad(1, Malformed::Delimiter)?;
                Stage::ClosingTail(Tail::Blank)
            }
            _ => return Err(Malformed::Delimiter),
        };
        Ok(())
    }

    /// Collects the header block, which ends at an empty line.
    fn header(&mut self, rest: &[u8], cursor: &mut usize) -> Result<Option<PartHead>, Malformed> {
        let known = self.header.len();
        let room = (MAX_PART_HEADER_BYTES + END_OF_HEADERS.len()).saturating_sub(known);
        let taken = rest.get(..room.min(rest.len())).unwrap_or_default();
        self.header.extend_from_slice(taken);
        let end = if self.header.starts_with(b"\r\n") {
            Some((0, 2))
        } else {
            let from = known.saturating_sub(END_OF_HEADERS.len() - 1);
            memchr::memmem::find(self.header.get(from..).unwrap_or_default(), END_OF_HEADERS)
                .map(|at| (from + at, from + at + END_OF_HEADERS.len()))
        };
        let Some((block, after)) = end else {
            *cursor += taken.len();
            if self.header.len() >= MAX_PART_HEADER_BYTES + END_OF_HEADERS.len() {
                return Err(Malformed::HeaderTooLong);
            }
            return Ok(None);
        };
        *cursor += after.saturating_sub(known);
        self.stage = Stage::Content;
        // The CRLF that ends the header block may begin a delimiter (RFC 2046 section 5.1.1): the part
        // is then empty, and what looks like its content is framing.
        self.matched = 2;
        self.matched_before = 2;
        parse_part_head(self.header.get(..block).unwrap_or_default()).map(Some)
    }

    fn pad(&mut self, bytes: usize, too_long: Malformed) -> Result<(), Malformed> {
        self.padding += bytes;
        if self.padding > MAX_PADDING_BYTES {
            Err(too_long)
        } else {
            Ok(())
        }
    }
}

const END_OF_HEADERS: &[u8] = b"\r\n\r\n";

enum Scan {
    /// The delimiter begins after `before` bytes and ends at `after`.
    Found { before: usize, after: usize },
    /// The bytes held from an earlier slice are content after all.
    Released { held: usize },
    /// No delimiter yet. The first `before` bytes are not part of one.
    Unfinished { before: usize },
}
