//! An upload that came before with the same idempotency key: its file is read, and nothing is sent.

use crate::credentials::Credentials;
use crate::error::Error;
use crate::host::{Body as _, Chunk as _, Host};
use crate::idempotency::EndedUpload;
use crate::multipart::form::FilePart;

use super::incoming::Incoming;
use super::{FileInfo, Upload, file_info};

impl<H: Host> Upload<'_, H> {
    /// Reads a raw file through that came before, and sends nothing. A file whose length tells that it
    /// is another one is not read.
    pub(super) async fn repeat_raw(
        &self,
        earlier: EndedUpload,
        file: &FileInfo,
        length: Option<u64>,
        body: &mut H::Body,
    ) -> Result<String, Error> {
        if let Some(length) = length {
            let reply = earlier.replay(&file.name, length)?;
            body.drain(length).await;
            return Ok(reply);
        }
        let patience = self.patience();
        let size = patience.of(async {
            let mut size = 0;
            while let Some(chunk) = body.read().await.map_err(|_| Error::ClientGone)? {
                patience.step();
                size += chunk.len() as u64;
                if size > self.config().max_upload_bytes {
                    return Err(self.too_large());
                }
                body.recycle(chunk);
            }
            Ok(size)
        });
        earlier.replay(&file.name, size.await??)
    }

    /// Reads a form through whose file came before, and sends nothing.
    pub(super) async fn repeat_form(
        &self,
        earlier: EndedUpload,
        credentials: &Credentials,
        part: &FilePart,
        mut incoming: Incoming<'_, H::Body>,
    ) -> Result<String, Error> {
        let patience = self.patience();
        let size = patience.of(async {
            let mut size = 0;
            while let Some(piece) = incoming.next_piece(&|| patience.step()).await? {
                size += piece.len() as u64;
                if size > self.config().max_upload_bytes {
                    return Err(self.too_large());
                }
            }
            Ok(size)
        });
        let size = size.await??;
        let fields = incoming.fields();
        self.token(fields)?;
        self.check_user(credentials, fields)?;
        earlier.replay(&file_info(part, fields).name, size)
    }
}
