//! Sending a file that is here as a whole, and sending it again where that may help.

use std::ops::Range;
use std::rc::Rc;

use crate::error::Error;
use crate::host::{Answer, Call, Host, Method, Sink as _};
use crate::multipart::form::{Fields, FilePart};
use crate::telegram::pace::MAX_WAIT_MS;
use crate::telegram::{self, TelegramFault};

use super::target::Target;
use super::transmit::{Broken, Transmission, Undone, after_commit, transmit};
use super::{FileInfo, Sent, Stop, Upload, caption, file_info};

/// How often a file that is held is sent at the most. Each try but the first has a reason of its own.
const MAX_TRIES: u32 = 3;

/// A file that is here as a whole.
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

impl<H: Host> Upload<'_, H> {
    /// The whole form is here, and can be sent again where nothing was stored and something has changed:
    /// there are fresh credentials for those that Telegram refused, the chat's new id is known, or the
    /// time that it asked for is over.
    pub(super) async fn send_held(
        &mut self,
        part: &FilePart,
        fields: &Fields,
        held: Held<'_, H::Chunk>,
        size: u64,
    ) -> Result<Sent, Stop> {
        let token = self.token(fields)?.ok_or(Error::TokenRequired)?;
        if size == 0 {
            return Err(Error::EmptyFile.into());
        }
        let file = file_info(part, fields);
        let caption = caption(fields, &file)?;
        let mut tries = 0;
        let mut known = None;
        loop {
            tries += 1;
            let (credentials, source) = match known.take() {
                Some(known) => known,
                None => self.credentials(&token, fields).await?,
            };
            if let Some(earlier) = self.attempt.begin(&credentials.user_id).await? {
                return Err(earlier.replay(&file.name, size).into());
            }
            let target = self.target(credentials, source);
            self.take_turn(&target, Some(size)).await?;
            let began = self.host.now();
            let result = self
                .send_once(&target, &file, &caption, &held, size)
                .await?;
            match self.answered(began, result, &token, &target, Some(size)) {
                Err(error) if tries < MAX_TRIES && may_do_better(&error, &target) => {
                    if !error.blames_credentials() {
                        known = Some((target.credentials, target.source));
                    }
                }
                answered => {
                    let ((), stored) = answered?;
                    return Ok(target.sent(stored, file, size));
                }
            }
        }
    }

    async fn send_once(
        &self,
        target: &Target,
        file: &FileInfo,
        caption: &str,
        held: &Held<'_, H::Chunk>,
        size: u64,
    ) -> Result<Result<((), Answer), Undone>, Error> {
        let envelope = self.envelope();
        let opening = envelope.opening(
            target.chat_id().as_str(),
            Some(caption),
            &file.name,
            &file.content_type,
        );
        let closing = envelope.closing(None);
        Ok(match held {
            Held::Bytes(content) => {
                self.attempt.commit(&file.name, size).await?;
                let now = self.host.now();
                // In two pieces the body tells a Telegram that is not there from one that may
                // have the file; in one it goes out at two thirds of the cost.
                let (closing, last) = if self.shared.telegram.is_likely(now) {
                    (closing.as_bytes(), Vec::new())
                } else {
                    (&[][..], closing.into_bytes())
                };
                let timeout_ms = self.config().telegram_timeout_ms;
                let call = Call {
                    method: Method::Post,
                    url: self.send_document_url(&target.credentials),
                    headers: vec![("content-type", envelope.content_type())],
                    body: [opening.as_bytes(), content, closing].concat(),
                    last,
                    timeout_ms: self.deadline.bound(timeout_ms, now)?,
                    max_answer_bytes: telegram::MAX_ANSWER_BYTES,
                };
                let answer = self.host.call(call).await;
                answer
                    .map(|answer| ((), answer))
                    .map_err(|fault| after_commit(fault).into())
            }
            Held::Pieces(pieces) => {
                let length = size + (opening.len() + closing.len()) as u64;
                let (sink, answer) = self.open(&target.credentials, &envelope, Some(length));
                let transmission = self.transmission();
                let leave = self.attempt.commit(&file.name, size);
                let pump = write_pieces(&transmission, sink, &opening, pieces, leave, &closing);
                transmit(&transmission, pump, answer).await
            }
        })
    }
}

/// Writes it all; the closing boundary with `leave`.
async fn write_pieces<H: Host>(
    transmission: &Transmission<'_, H>,
    mut sink: H::Sink,
    opening: &str,
    pieces: &[HeldPiece<H::Chunk>],
    leave: impl Future<Output = Result<(), Error>>,
    closing: &str,
) -> Result<(), Broken> {
    sink.write(opening.as_bytes()).await?;
    for piece in pieces {
        transmission.writes();
        match piece {
            HeldPiece::Range(chunk, range) => sink.write_range(chunk, range.clone()).await?,
            HeldPiece::Bytes(bytes) => sink.write(bytes).await?,
        }
    }
    transmission.writes();
    leave.await?;
    sink.write(closing.as_bytes()).await?;
    transmission.commits();
    sink.close().await?;
    Ok(())
}

/// Whether the same file may be taken when it is sent again: what the fault is about has changed, or
/// changes within the time that an upload waits.
fn may_do_better(error: &Error, target: &Target) -> bool {
    let Error::Telegram {
        fault,
        with_fresh_credentials,
    } = error
    else {
        return false;
    };
    match fault {
        TelegramFault::RetryAfter { seconds, .. } => u64::from(*seconds) * 1000 < MAX_WAIT_MS,
        // Followed once.
        TelegramFault::ChatMoved { .. } => target.migrated_to.is_none(),
        TelegramFault::ChatRefused { .. } if target.migrated_to.is_some() => false,
        fault => fault.blames_credentials() && !with_fresh_credentials,
    }
}
