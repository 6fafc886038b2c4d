//! The upload form: which part is the file, and the values of its fields.

use std::ops::Range;

use super::header::PartHead;
use super::malformed::Malformed;
use super::parser::{Event, Parser};

/// Most bytes of one field's value.
pub const MAX_FIELD_BYTES: usize = 64 * 1024;
/// Most bytes of all fields' values together, ignored ones included.
pub const MAX_FIELDS_BYTES: usize = 1024 * 1024;

/// The fields of an upload that the worker knows. `Debug` hides the token.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Fields {
    /// `authToken`: the user's token for the backend.
    pub auth_token: Option<String>,
    /// `userId`: must be the user of the token.
    pub user_id: Option<String>,
    /// `fileName`: takes precedence over the part's filename.
    pub file_name: Option<String>,
    /// `caption`: replaces `Uploaded: …`.
    pub caption: Option<String>,
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fields")
            .field("auth_token", &self.auth_token.as_ref().map(|_| "…"))
            .field("user_id", &self.user_id)
            .field("file_name", &self.file_name)
            .field("caption", &self.caption)
            .finish()
    }
}

impl Fields {
    /// The slot of a known field, and the field's name as a constant.
    fn slot(&mut self, name: &str) -> Option<(&'static str, &mut Option<String>)> {
        match name {
            "authToken" => Some(("authToken", &mut self.auth_token)),
            "userId" => Some(("userId", &mut self.user_id)),
            "fileName" => Some(("fileName", &mut self.file_name)),
            "caption" => Some(("caption", &mut self.caption)),
            _ => None,
        }
    }

    fn set(&mut self, name: &str, value: Vec<u8>) -> Result<(), Malformed> {
        let Some((name, slot)) = self.slot(name) else {
            return Ok(());
        };
        let value = String::from_utf8(value).map_err(|_| Malformed::FieldNotUtf8(name))?;
        match slot {
            Some(known) if *known != value => Err(Malformed::FieldTwice(name)),
            _ => {
                *slot = Some(value);
                Ok(())
            }
        }
    }
}

/// What the headers of the file's part say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePart {
    /// The part's `filename`, when it is not empty.
    pub name: Option<String>,
    /// The part's `Content-Type`.
    pub content_type: Option<String>,
}

/// A step of reading the form that the caller acts on.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The file begins.
    FileBegin(FilePart),
    /// Bytes of the file: this range of the pushed slice.
    File(Range<usize>),
    /// Bytes of the file from earlier slices: this range of [`FormReader::delimiter`].
    FileHeld(Range<usize>),
    /// The file is complete; fields may follow.
    FileEnd,
}

/// Reads an upload form from slices that are cut anywhere.
#[derive(Debug)]
pub struct FormReader {
    parser: Parser,
    fields: Fields,
    part: Part,
    /// The content that caused the last [`Step::FileBegin`], and that comes after it.
    queued: Option<Step>,
    file_seen: bool,
    /// Bytes of all fields' values so far.
    field_bytes: usize,
}

/// The current part.
#[derive(Debug)]
enum Part {
    /// None, or an empty file input: `filename=""` and no content.
    Nothing,
    /// `filename=""`: it is the file as soon as it has a byte of content.
    UnnamedFile(FilePart),
    File,
    Field {
        name: String,
        value: Vec<u8>,
    },
}

impl FormReader {
    /// A reader for the boundary that the `Content-Type` names.
    ///
    /// # Errors
    /// [`Malformed::Boundary`].
    pub fn new(boundary: &str) -> Result<Self, Malformed> {
        Ok(Self {
            parser: Parser::new(boundary)?,
            fields: Fields::default(),
            part: Part::Nothing,
            queued: None,
            file_seen: false,
            field_bytes: 0,
        })
    }

    /// The fields that are complete so far.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// `CRLF--boundary`, which ends the file.
    #[must_use]
    pub fn delimiter(&self) -> &[u8] {
        self.parser.delimiter()
    }

    /// Whether the next bytes are the file until the delimiter. A caller that finds the delimiter by
    /// itself need not push the bytes before it.
    #[must_use]
    pub fn is_inside_file(&self) -> bool {
        matches!(self.part, Part::File) && self.queued.is_none() && self.parser.is_inside_content()
    }

    /// The bytes of a [`Step::FileHeld`].
    #[must_use]
    pub fn held(&self, held: Range<usize>) -> &[u8] {
        self.parser.delimiter().get(held).unwrap_or_default()
    }

    /// Reads `slice` from `cursor` until the next step, and advances `cursor`. Returns `None` when the
    /// slice is used up.
    ///
    /// # Errors
    /// What is wrong with the form.
    pub fn next(&mut self, slice: &[u8], cursor: &mut usize) -> Result<Option<Step>, Malformed> {
        if let Some(step) = self.queued.take() {
            return Ok(Some(step));
        }
        while let Some(event) = self.parser.next(slice, cursor)? {
            let step = match event {
                Event::Part(head) => self.begin_part(head)?,
                Event::Content(range) => {
                    if let Part::Field { .. } = self.part {
                        self.grow_field(slice.get(range).unwrap_or_default())?;
                        None
                    } else {
                        self.file_content(Step::File(range))?
                    }
                }
                Event::Held(held) => {
                    if let Part::Field { .. } = self.part {
                        let bytes = self.held(held).to_vec();
                        self.grow_field(&bytes)?;
                        None
                    } else {
                        self.file_content(Step::FileHeld(held))?
                    }
                }
                Event::PartEnd => self.end_part()?,
                Event::Closed => None,
            };
            if step.is_some() {
                return Ok(step);
            }
        }
        Ok(None)
    }

    /// Checks that the form is complete, after the end of the input.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] unless the closing delimiter was read.
    pub fn is_complete(&self) -> Result<(), Malformed> {
        self.parser.is_complete()
    }

    /// A part is the file when its name is `file`, or when it has a filename: `FilePond` sends the
    /// name `filepond`.
    fn begin_part(&mut self, head: PartHead) -> Result<Option<Step>, Malformed> {
        let PartHead {
            name,
            filename,
            content_type,
        } = head;
        let unnamed = filename.as_deref() == Some("");
        if filename.is_none() && name != "file" {
            self.part = Part::Field {
                name,
                value: Vec::new(),
            };
            return Ok(None);
        }
        let file = FilePart {
            name: filename.filter(|name| !name.is_empty()),
            content_type,
        };
        if unnamed {
            self.part = Part::UnnamedFile(file);
            return Ok(None);
        }
        self.begin_file(file).map(Some)
    }

    fn begin_file(&mut self, file: FilePart) -> Result<Step, Malformed> {
        if self.file_seen {
            return Err(Malformed::SecondFile);
        }
        self.file_seen = true;
        self.part = Part::File;
        Ok(Step::FileBegin(file))
    }

    fn file_content(&mut self, content: Step) -> Result<Option<Step>, Malformed> {
        match std::mem::replace(&mut self.part, Part::Nothing) {
            Part::UnnamedFile(file) => {
                self.queued = Some(content);
                self.begin_file(file).map(Some)
            }
            part => {
                self.part = part;
                Ok(Some(content))
            }
        }
    }

    fn grow_field(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let Part::Field { name, value } = &mut self.part else {
            return Ok(());
        };
        if value.len() + bytes.len() > MAX_FIELD_BYTES {
            return Err(Malformed::FieldTooLong(std::mem::take(name)));
        }
        self.field_bytes += bytes.len();
        if self.field_bytes > MAX_FIELDS_BYTES {
            return Err(Malformed::FieldsTooLong);
        }
        value.extend_from_slice(bytes);
        Ok(())
    }

    fn end_part(&mut self) -> Result<Option<Step>, Malformed> {
        match std::mem::replace(&mut self.part, Part::Nothing) {
            Part::File => Ok(Some(Step::FileEnd)),
            Part::Field { name, value } => self.fields.set(&name, value).map(|()| None),
            Part::UnnamedFile(_) | Part::Nothing => Ok(None),
        }
    }
}
