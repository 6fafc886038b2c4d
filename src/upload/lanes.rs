//! The lanes: each finds out whose file it is and what it is called, and makes it a source.

use std::rc::Rc;

use crate::credentials::AuthToken;
use crate::error::Error;
use crate::host::{Body as _, Host};
use crate::http::RequestHead;
use crate::multipart::form::{Fields, FilePart, FormReader, Step};

use super::incoming::{Incoming, Piece};
use super::report::Lane;
use super::request::{caption, file_info};
use super::source::{Held, HeldFile, HeldPiece, RawBody, StreamedForm};
use super::{Addressed, Content, RawFile, Sent, Upload};

/// Forms up to this `Content-Length`, in bytes, take the small lane.
const SMALL_FORM_BYTES: u64 = 256 * 1024;
/// What a form may have beside its file, in bytes: fields, headers, preamble and epilogue. A form
/// whose `Content-Length` is over the file limit by more than this is refused unread.
const MAX_FORM_OVERHEAD_BYTES: u64 = 4 * 1024 * 1024;

impl<H: Host> Upload<'_, H> {
    /// Chooses the lane.
    pub(super) async fn receive(
        &mut self,
        head: &RequestHead,
        content: Content,
        body: &mut H::Body,
    ) -> Result<Sent, Error> {
        match content {
            Content::Raw(file) => self.raw(head, file, body).await,
            Content::Form { boundary } => {
                let most = self
                    .config()
                    .max_upload_bytes
                    .saturating_add(MAX_FORM_OVERHEAD_BYTES);
                match head.content_length {
                    Some(length) if length > most => Err(self.too_large()),
                    Some(length) if length <= SMALL_FORM_BYTES => self.small(&boundary, body).await,
                    length => self.form(&boundary, length, body).await,
                }
            }
        }
    }

    /// The body is the file. It is forwarded without being looked at.
    async fn raw(
        &mut self,
        head: &RequestHead,
        raw: RawFile,
        body: &mut H::Body,
    ) -> Result<Sent, Error> {
        self.report.lane = Some(Lane::Raw);
        let fields = Fields {
            user_id: raw.user_id,
            caption: raw.caption,
            ..Fields::default()
        };
        let token = self.claims.token(&fields)?.ok_or(Error::TokenRequired)?;
        self.check_size(head.content_length)?;
        let part = FilePart {
            name: Some(raw.name).filter(|name| !name.is_empty()),
            content_type: head.content_type.clone(),
        };
        let file = file_info(&part, &fields);
        let caption = caption(&fields, &file)?;
        let (credentials, source) = self.credentials(&token, &fields).await?;
        let addressed = Addressed {
            token: &token,
            fields: &fields,
            credentials,
            source,
            file: &file,
            caption: Some(&caption),
            size: head.content_length,
        };
        let body = RawBody {
            body,
            length: head.content_length,
            file: file.clone(),
        };
        self.send(addressed, body).await
    }

    /// A form whose token decides, when the file begins, whether it can be streamed.
    async fn form(
        &mut self,
        boundary: &str,
        length: Option<u64>,
        body: &mut H::Body,
    ) -> Result<Sent, Error> {
        let mut incoming = Incoming::new(body, boundary)?;
        let progress = self.progress();
        let part = progress
            .watch(incoming.find_file(&|| progress.awaits_client()))
            .await??;
        match self.claims.token(incoming.fields())? {
            Some(token) => self.streamed(token, part, incoming).await,
            None => self.buffered(length, part, incoming).await,
        }
    }

    /// The token is known, so each piece of the file is forwarded as it arrives.
    async fn streamed(
        &mut self,
        token: AuthToken,
        part: FilePart,
        incoming: Incoming<'_, H::Body>,
    ) -> Result<Sent, Error> {
        self.report.lane = Some(Lane::Streamed);
        let early = incoming.fields().clone();
        let (credentials, source) = self.credentials(&token, &early).await?;
        let file = file_info(&part, &early);
        let early_caption = match early.caption {
            Some(_) => Some(caption(&early, &file)?),
            None => None,
        };
        let form = StreamedForm::<H> {
            incoming,
            part,
            claims: self.claims,
            credentials: Rc::clone(&credentials),
            has_early_caption: early_caption.is_some(),
        };
        let addressed = Addressed {
            token: &token,
            fields: &early,
            credentials,
            source,
            file: &file,
            caption: early_caption.as_deref(),
            size: None,
        };
        self.send(addressed, form).await
    }

    /// The token comes after the file, so the file is held, within the isolate's budget.
    async fn buffered(
        &mut self,
        length: Option<u64>,
        part: FilePart,
        mut incoming: Incoming<'_, H::Body>,
    ) -> Result<Sent, Error> {
        self.report.lane = Some(Lane::Buffered);
        let budget = &self.shared.budget;
        // The announced length is not reserved: a slow client would keep others out with bytes that it
        // has not sent.
        let announced = length.unwrap_or_default();
        if !budget.has_room(announced) {
            return Err(self.no_room(announced));
        }
        let mut lease = budget.lease();
        let mut pieces = Vec::new();
        let mut size = 0;
        let progress = self.progress();
        let held = progress.watch(async {
            while let Some(piece) = incoming.next_piece(&|| progress.awaits_client()).await? {
                size += piece.len() as u64;
                self.check_limit(size)?;
                if !lease.cover(size) {
                    return Err(self.no_room(size));
                }
                pieces.push(match piece {
                    Piece::Range(chunk, range) => HeldPiece::Range(chunk, range),
                    Piece::Held(held) => HeldPiece::Bytes(incoming.held(held).to_vec()),
                });
            }
            Ok(())
        });
        held.await??;
        let fields = incoming.fields().clone();
        self.send_held(&part, &fields, Held::Pieces(&pieces), size)
            .await
    }

    /// The form is small. It is read at once, and then sent like a held one.
    async fn small(&mut self, boundary: &str, body: &mut H::Body) -> Result<Sent, Error> {
        self.report.lane = Some(Lane::Small);
        let whole = self.progress().watch(body.read_whole()).await?;
        let bytes = whole.map_err(|_| Error::ClientGone)?;
        let mut reader = FormReader::new(boundary)?;
        let (mut part, mut content, mut cursor) = (None, 0..0, 0);
        while let Some(step) = reader.next(&bytes, &mut cursor)? {
            match step {
                Step::FileBegin(found) => part = Some(found),
                Step::File(range) => content = range,
                // There is no earlier slice from which bytes could be held.
                Step::FileHeld(_) | Step::FileEnd => {}
            }
        }
        reader.is_complete()?;
        let part = part.ok_or(Error::NoFile)?;
        let content = bytes.get(content).unwrap_or_default();
        let size = content.len() as u64;
        self.check_limit(size)?;
        self.send_held(&part, reader.fields(), Held::Bytes(content), size)
            .await
    }

    /// Sends a file of which the worker has all bytes.
    async fn send_held(
        &mut self,
        part: &FilePart,
        fields: &Fields,
        content: Held<'_, H::Chunk>,
        size: u64,
    ) -> Result<Sent, Error> {
        let token = self.claims.token(fields)?.ok_or(Error::TokenRequired)?;
        self.check_size(Some(size))?;
        let file = file_info(part, fields);
        let caption = caption(fields, &file)?;
        let (credentials, source) = self.credentials(&token, fields).await?;
        let addressed = Addressed {
            token: &token,
            fields,
            credentials,
            source,
            file: &file,
            caption: Some(&caption),
            size: Some(size),
        };
        let held = HeldFile {
            content,
            file: file.clone(),
        };
        self.send(addressed, held).await
    }

    fn too_large(&self) -> Error {
        Error::TooLarge {
            limit: self.config().max_upload_bytes,
        }
    }

    fn check_limit(&self, size: u64) -> Result<(), Error> {
        if size > self.config().max_upload_bytes {
            return Err(self.too_large());
        }
        Ok(())
    }

    /// Checks that a file of this size can be stored, if the size is known.
    fn check_size(&self, size: Option<u64>) -> Result<(), Error> {
        match size {
            Some(0) => Err(Error::EmptyFile),
            Some(size) => self.check_limit(size),
            None => Ok(()),
        }
    }

    fn no_room(&self, bytes: u64) -> Error {
        let limit = self.shared.budget.limit();
        if bytes > limit {
            Error::TooLargeToBuffer { limit }
        } else {
            Error::Busy
        }
    }
}
