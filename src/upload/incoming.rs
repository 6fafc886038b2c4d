//! A form that is read from the browser piece by piece.

use std::ops::Range;
use std::rc::Rc;

use crate::error::Error;
use crate::host::{Body, Chunk};
use crate::multipart::form::{Fields, FilePart, FormReader, Step};

/// How many bytes of a chunk are copied at once for the reader. It needs few: headers and fields are
/// small, and it reads only the ends of a file.
const WINDOW_BYTES: usize = 8 * 1024;

/// An incoming form that is being read.
pub(super) struct Incoming<'a, B: Body> {
    body: &'a mut B,
    reader: FormReader,
    needle: <B::Chunk as Chunk>::Needle,
    chunk: Option<Rc<B::Chunk>>,
    /// How much of the chunk was read.
    offset: usize,
    /// The bytes at `offset` that the reader has to see itself. One allocation serves the whole body.
    window: Vec<u8>,
    /// How much of the window was read.
    cursor: usize,
}

/// A piece of the file.
pub(super) enum Piece<C> {
    /// This range of a chunk.
    Range(Rc<C>, Range<usize>),
    /// This range of the form's delimiter, which turned out to be content.
    Held(Range<usize>),
}

impl<C> Piece<C> {
    /// Bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Range(_, range) => range.len(),
            Self::Held(held) => held.len(),
        }
    }
}

impl<'a, B: Body> Incoming<'a, B> {
    pub(super) fn new(body: &'a mut B, boundary: &str) -> Result<Self, Error> {
        let reader = FormReader::new(boundary)?;
        Ok(Self {
            body,
            needle: B::Chunk::needle(reader.delimiter()),
            reader,
            chunk: None,
            offset: 0,
            window: Vec::new(),
            cursor: 0,
        })
    }

    /// The fields that have arrived so far.
    pub(super) fn fields(&self) -> &Fields {
        self.reader.fields()
    }

    /// The bytes of a [`Piece::Held`].
    pub(super) fn held(&self, held: Range<usize>) -> &[u8] {
        self.reader.held(held)
    }

    /// Reads until the file begins. Calls `before_read` each time before it waits for the client.
    ///
    /// # Errors
    /// [`Error::NoFile`] if the form ends without a file.
    pub(super) async fn find_file(&mut self, before_read: &impl Fn()) -> Result<FilePart, Error> {
        while let Some(step) = self.next(before_read).await? {
            if let Step::FileBegin(part) = step {
                return Ok(part);
            }
        }
        self.reader.is_complete()?;
        Err(Error::NoFile)
    }

    /// The next piece of the file; `None` when the whole form has been read. Calls `before_read` each
    /// time before it waits for the client.
    pub(super) async fn next_piece(
        &mut self,
        before_read: &impl Fn(),
    ) -> Result<Option<Piece<B::Chunk>>, Error> {
        loop {
            match self.next(before_read).await? {
                Some(Step::File(range)) => {
                    if let Some(chunk) = &self.chunk {
                        return Ok(Some(Piece::Range(Rc::clone(chunk), range)));
                    }
                }
                Some(Step::FileHeld(held)) => return Ok(Some(Piece::Held(held))),
                Some(Step::FileBegin(_) | Step::FileEnd) => {}
                None => {
                    self.reader.is_complete()?;
                    return Ok(None);
                }
            }
        }
    }

    async fn next(&mut self, before_read: &impl Fn()) -> Result<Option<Step>, Error> {
        loop {
            if let Some(chunk) = self.chunk.take() {
                if let Some(step) = self.next_in(&chunk)? {
                    self.chunk = Some(chunk);
                    return Ok(Some(step));
                }
                // If nobody else holds the chunk, its buffer is reused.
                if let Ok(chunk) = Rc::try_unwrap(chunk) {
                    self.body.recycle(chunk);
                }
            }
            before_read();
            let Some(chunk) = self.body.read().await.map_err(|_| Error::ClientGone)? else {
                return Ok(None);
            };
            self.leave_window();
            self.offset = 0;
            self.chunk = Some(Rc::new(chunk));
        }
    }

    /// The next step in this chunk; `None` when it is used up.
    fn next_in(&mut self, chunk: &B::Chunk) -> Result<Option<Step>, Error> {
        loop {
            match self.reader.next(&self.window, &mut self.cursor)? {
                Some(Step::File(range)) => {
                    let range = self.offset + range.start..self.offset + range.end;
                    return Ok(Some(Step::File(range)));
                }
                None => self.leave_window(),
                step => return Ok(step),
            }
            if self.reader.is_inside_file() {
                let begin = self.offset;
                self.offset = chunk.find(&self.needle, begin);
                if self.offset > begin {
                    return Ok(Some(Step::File(begin..self.offset)));
                }
            }
            if self.offset == chunk.len() {
                return Ok(None);
            }
            let end = chunk.len().min(self.offset + WINDOW_BYTES);
            chunk.copy_into(self.offset..end, &mut self.window);
        }
    }

    /// Continues in the chunk after the part of the window that was read.
    fn leave_window(&mut self) {
        self.offset += std::mem::take(&mut self.cursor);
        self.window.clear();
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::testing::{End, TestBody, TestHost};

    const BOUNDARY: &str = "-b";
    /// Contains many beginnings of the delimiter.
    const NEARLY: &[u8] = b"\r\n---a\r\r\n--\r\n--\0";

    fn form(file_head: &str, content: &[u8]) -> Vec<u8> {
        let token = "---b\r\nContent-Disposition: form-data; name=\"authToken\"\r\n\r\nt\r\n";
        let head = format!("---b\r\nContent-Disposition: form-data; {file_head}\r\n\r\n");
        let user =
            "\r\n---b\r\nContent-Disposition: form-data; name=\"userId\"\r\n\r\nu\r\n---b--\r\n";
        [token.as_bytes(), head.as_bytes(), content, user.as_bytes()].concat()
    }

    /// The file as it is read when the form arrives in pieces of this size.
    fn file_of(form: &[u8], piece: usize) -> Vec<u8> {
        let mut body = TestBody::new(form, piece, End::Good);
        let mut incoming = Incoming::new(&mut body, BOUNDARY).expect("a boundary");
        let mut file = Vec::new();
        TestHost::default().run(async {
            incoming.find_file(&|| ()).await.expect("a file");
            assert_eq!(incoming.fields().auth_token.as_deref(), Some("t"));
            while let Some(piece) = incoming.next_piece(&|| ()).await.expect("a form") {
                match piece {
                    Piece::Range(chunk, range) => {
                        let mut bytes = Vec::new();
                        chunk.copy_into(range, &mut bytes);
                        file.extend(bytes);
                    }
                    Piece::Held(held) => file.extend(incoming.held(held)),
                }
            }
        });
        assert_eq!(incoming.fields().user_id.as_deref(), Some("u"));
        file
    }

    #[test]
    fn a_file_comes_out_as_it_went_in_wherever_it_is_cut() {
        let content = [NEARLY, b"\r", NEARLY].concat();
        for head in [
            "name=\"file\"; filename=\"a\"",
            "name=\"file\"; filename=\"\"",
        ] {
            let form = form(head, &content);
            for piece in 1..=form.len() {
                assert_eq!(file_of(&form, piece), content, "{head}, pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_file_of_many_windows_comes_out_as_it_went_in() {
        let content = NEARLY.repeat(3 * WINDOW_BYTES / NEARLY.len());
        let form = form("name=\"file\"; filename=\"a\"", &content);
        for piece in [WINDOW_BYTES - 1, WINDOW_BYTES, WINDOW_BYTES + 1, form.len()] {
            assert_eq!(file_of(&form, piece), content, "pieces of {piece}");
        }
    }
}
