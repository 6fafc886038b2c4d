//! Where a file's bytes come from: each lane is one of these sources.

use std::ops::Range;
use std::rc::Rc;

use crate::credentials::Credentials;
use crate::host::{Body as _, Chunk as _, Host};
use crate::multipart::form::FilePart;

use super::delivery::{Delivery, FileInfo, Poured, Source};
use super::incoming::{Incoming, Piece};
use super::request::{Claims, caption, file_info};
use super::transmit::Broken;

/// A body that is the file. With a length it is piped natively; without one, the limit can only be
/// kept by counting.
pub(super) struct RawBody<'a, H: Host> {
    pub(super) body: &'a mut H::Body,
    /// Bytes, by `Content-Length`.
    pub(super) length: Option<u64>,
    pub(super) file: FileInfo,
}

impl<H: Host> Source<H> for RawBody<'_, H> {
    async fn pour(&mut self, delivery: &mut Delivery<'_, H>) -> Result<Poured, Broken> {
        if let Some(length) = self.length {
            delivery.pipe(self.body, length).await?;
        } else {
            delivery.awaits_client();
            while let Some(chunk) = self.body.read().await? {
                delivery.write_range(&chunk, 0..chunk.len()).await?;
                self.body.recycle(chunk);
                delivery.awaits_client();
            }
        }
        Ok(Poured {
            file: self.file.clone(),
            late_caption: None,
        })
    }
}

/// A form whose token is known before its file: each piece is written on as it comes.
///
/// What the form may still say after the file goes last. The name in the part's header can't: if
/// `fileName` comes after the file, Telegram knows the file by its own name, and the caption, the reply
/// and the notification have the better one.
pub(super) struct StreamedForm<'a, H: Host> {
    pub(super) incoming: Incoming<'a, H::Body>,
    pub(super) part: FilePart,
    pub(super) claims: &'a Claims<'a>,
    pub(super) credentials: Rc<Credentials>,
    /// Whether the caption stood before the file, and so is in the opening.
    pub(super) has_early_caption: bool,
}

impl<H: Host> Source<H> for StreamedForm<'_, H> {
    async fn pour(&mut self, delivery: &mut Delivery<'_, H>) -> Result<Poured, Broken> {
        while let Some(piece) = self
            .incoming
            .next_piece(&|| delivery.awaits_client())
            .await?
        {
            match piece {
                Piece::Range(chunk, range) => delivery.write_range(&chunk, range).await?,
                Piece::Held(held) => delivery.write(self.incoming.held(held)).await?,
            }
        }
        let fields = self.incoming.fields();
        self.claims.token(fields)?;
        self.claims.check_user(&self.credentials, fields)?;
        let file = file_info(&self.part, fields);
        let late_caption = if self.has_early_caption {
            None
        } else {
            Some(caption(fields, &file)?)
        };
        Ok(Poured { file, late_caption })
    }
}

/// A file that is here as a whole, so that it can be sent again.
pub(super) struct HeldFile<'a, C> {
    pub(super) content: Held<'a, C>,
    pub(super) file: FileInfo,
}

/// Where a held file is.
pub(super) enum Held<'a, C> {
    /// In this program's memory.
    Bytes(&'a [u8]),
    /// In pieces, most of them elsewhere.
    Pieces(&'a [HeldPiece<C>]),
}

/// A piece of a file that is held until its token is known.
pub(super) enum HeldPiece<C> {
    Range(Rc<C>, Range<usize>),
    Bytes(Vec<u8>),
}

impl<H: Host> Source<H> for HeldFile<'_, H::Chunk> {
    async fn pour(&mut self, delivery: &mut Delivery<'_, H>) -> Result<Poured, Broken> {
        match self.content {
            Held::Bytes(bytes) => delivery.write(bytes).await?,
            Held::Pieces(pieces) => {
                for piece in pieces {
                    match piece {
                        HeldPiece::Range(chunk, range) => {
                            delivery.write_range(chunk, range.clone()).await?;
                        }
                        HeldPiece::Bytes(bytes) => delivery.write(bytes).await?,
                    }
                }
            }
        }
        Ok(Poured {
            file: self.file.clone(),
            late_caption: None,
        })
    }

    fn can_pour_again(&self) -> bool {
        true
    }

    fn is_in_memory(&self) -> bool {
        matches!(self.content, Held::Bytes(_))
    }
}
