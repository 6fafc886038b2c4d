//! A form that is read from the browser piece by piece.

use std::ops::Range;
use std::rc::Rc;

use crate::error::Error;
use crate::host::{Body, Chunk as _};
use crate::multipart::form::{Fields, FilePart, FormReader, Step};

/// An incoming form, and where its reading stands.
pub(super) struct Incoming<'a, B: Body> {
    body: &'a mut B,
    reader: FormReader,
    chunk: Option<Rc<B::Chunk>>,
    /// The chunk's bytes, here to be looked at. One allocation serves the whole body.
    bytes: Vec<u8>,
    cursor: usize,
}

/// A piece of the file.
pub(super) enum Piece<C> {
    /// This range of a chunk.
    Range(Rc<C>, Range<usize>),
    /// The first bytes of the form's delimiter, which turned out to be content.
    Held(usize),
}

impl<'a, B: Body> Incoming<'a, B> {
    pub(super) fn new(body: &'a mut B, boundary: &str) -> Result<Self, Error> {
        Ok(Self {
            body,
            reader: FormReader::new(boundary)?,
            chunk: None,
            bytes: Vec::new(),
            cursor: 0,
        })
    }

    /// The fields that came so far.
    pub(super) fn fields(&self) -> &Fields {
        self.reader.fields()
    }

    /// The bytes of a [`Piece::Held`].
    pub(super) fn held(&self, held: usize) -> &[u8] {
        self.reader.held(held)
    }

    /// Reads up to the file.
    ///
    /// # Errors
    /// [`Error::NoFile`] when the form ends without one.
    pub(super) async fn find_file(&mut self) -> Result<FilePart, Error> {
        while let Some(step) = self.next(&|| ()).await? {
            if let Step::FileBegin(part) = step {
                return Ok(part);
            }
        }
        self.reader.is_complete()?;
        Err(Error::NoFile)
    }

    /// The next piece of the file; `None` when the whole form has been read. Before the client is
    /// waited for, `before_read` is called.
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
                if let Some(step) = self.reader.next(&self.bytes, &mut self.cursor)? {
                    self.chunk = Some(chunk);
                    return Ok(Some(step));
                }
                // Whoever still holds the chunk keeps it; otherwise its buffer serves again.
                if let Ok(chunk) = Rc::try_unwrap(chunk) {
                    self.body.recycle(chunk);
                }
            }
            before_read();
            let Some(chunk) = self.body.read().await.map_err(|_| Error::ClientGone)? else {
                return Ok(None);
            };
            chunk.copy_into(&mut self.bytes);
            self.cursor = 0;
            self.chunk = Some(Rc::new(chunk));
        }
    }
}
