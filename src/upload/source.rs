//! Where a file's bytes come from. Each lane is one of these sources.

use std::ops::Range;
use std::rc::Rc;

use crate::credentials::Credentials;
use crate::host::{Body as _, Chunk as _, Host};
use crate::multipart::form::FilePart;

use super::delivery::{Delivery, FileInfo, Poured, Source};
use super::incoming::{Incoming, Piece};
use super::request::{Claims, caption, file_info};
use super::transmit::Broken;

/// A body that is the file. If its length is known, it is piped natively. Otherwise its bytes are
/// counted, to enforce the limit.
pub(super) struct RawBody<'a, H: Host> {
    pub(super) body: &'a mut H::Body,
    /// `Content-Length`, in bytes.
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

/// A form whose token is known before its file, so that each piece is forwarded as it arrives.
///
/// A caption that comes after the file is written after the file. The name cannot be: if `fileName` comes
/// after the file, Telegram knows the file by the name in its part's header, and the caption, the reply
/// and the notification have the name from `fileName`.
pub(super) struct StreamedForm<'a, H: Host> {
    pub(super) incoming: Incoming<'a, H::Body>,
    pub(super) part: FilePart,
    pub(super) claims: &'a Claims<'a>,
    pub(super) credentials: Rc<Credentials>,
    /// Whether the caption came before the file, so that the opening has it.
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

/// A file of which the worker has all bytes, so that it can be sent again.
pub(super) struct HeldFile<'a, C> {
    pub(super) content: Held<'a, C>,
    pub(super) file: FileInfo,
}

/// Where a held file is.
pub(super) enum Held<'a, C> {
    /// In WebAssembly's memory.
    Bytes(&'a [u8]),
    /// In pieces, most of them in the runtime's memory.
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
