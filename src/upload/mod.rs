//! The story of an upload, from the request to the receipt.
//!
//! ```text
//! raw       the body is the file         opening ── native pipe ────────────── closing
//! streamed  token known before the file  opening ── read, scan, write on ───── closing
//! buffered  file before its token        hold ── token ── opening ── file ──── closing
//! small     a small form                 read at once, then sent like a held one
//! ```
//!
//! A lane finds out who sends the file and what it is called, and makes it a [`Source`]. After that all
//! lanes are the same: [`Upload::send`] takes the idempotency key, or replays the reply that the key
//! stands for. It waits for the file's turn and lets the source pour into a delivery, whose `commit`
//! writes the closing boundary. Then [`Upload::conclude`] notifies the backend.

mod delivery;
mod incoming;
mod progress;
mod report;
mod request;
mod source;
mod target;
mod transmit;

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

use std::rc::Rc;

use futures_util::future::join;

use crate::config::Config;
use crate::credentials::{self, AuthToken, Credentials};
use crate::error::Error;
use crate::host::{Body as _, Host, UnixMillis};
use crate::http::RequestHead;
use crate::idempotency::{Attempt, EndedUpload, IdempotencyKey};
use crate::isolate::Shared;
use crate::multipart::form::{Fields, FilePart, FormReader, Step};
use crate::notify::{self, Notified};
use crate::telegram::{ChatId, MAX_CLOUD_DOWNLOAD_BYTES, Stored};
use crate::text::hex;
use crate::webhook::{Event, Message};

use delivery::{FileInfo, Permit, Post, Source, dry_run};
use incoming::{Incoming, Piece};
use progress::{Deadline, Progress};
pub use report::{Lane, Outcome, Receipt, Report};
pub use request::header_token;
use request::{Claims, caption, file_info};
use source::{Held, HeldFile, HeldPiece, RawBody, StreamedForm};
use target::Target;

/// Forms up to this `Content-Length`, in bytes, take the small lane.
const SMALL_FORM_BYTES: u64 = 256 * 1024;
/// What a form may have beside its file, in bytes: fields, headers, preamble and epilogue. A form
/// whose `Content-Length` is over the file limit by more than this is refused unread.
const MAX_FORM_OVERHEAD_BYTES: u64 = 4 * 1024 * 1024;
/// How often a held file is sent at most. Each try after the first needs a reason of its own.
const MAX_TRIES: u32 = 3;
const EVENT_ID_BYTES: usize = 16;

/// The body of an upload request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A form.
    Form {
        /// The boundary of the multipart body.
        boundary: String,
    },
    /// The file itself.
    Raw(RawFile),
}

/// What the URL says about a raw upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFile {
    /// The file's name; may be empty.
    pub name: String,
    /// The query's `caption`.
    pub caption: Option<String>,
    /// The query's `userId`.
    pub user_id: Option<String>,
}

/// Puts the request's file into the user's channel, and notifies the backend.
///
/// `request_id` is part of the reply, which is kept for a repeat of this upload.
///
/// # Errors
/// Why the file is not stored. Unless the error says otherwise, nothing was stored.
pub async fn upload<H: Host>(
    host: &H,
    shared: &Shared,
    head: &RequestHead,
    content: Content,
    body: &mut H::Body,
    request_id: &str,
    report: &mut Report,
) -> Result<Outcome, Error> {
    let claims = Claims::of(head)?;
    let key = idempotency_key(head)?;
    let lease_ms = shared.config.idempotency_policy.lease_ms;
    let attempt = Attempt::new(host, key, request_id, lease_ms);
    let mut upload = Upload {
        host,
        shared,
        report,
        claims: &claims,
        deadline: Deadline::after(shared.config.upload_timeout_ms, host.now()),
        attempt: &attempt,
    };
    let uploaded = async {
        match upload.receive(head, content, body).await {
            Ok(Sent::Stored(file)) => {
                Ok(Outcome::Uploaded(upload.conclude(file, request_id).await))
            }
            Ok(Sent::Before(reply)) => Ok(Outcome::Replayed(reply)),
            Err(error) => {
                attempt.failed(&error).await;
                Err(error)
            }
        }
    };
    attempt.hold(uploaded).await
}

/// The `Idempotency-Key`, if any.
fn idempotency_key(head: &RequestHead) -> Result<Option<IdempotencyKey>, Error> {
    let key = head.idempotency_key.as_deref();
    key.map(|text| IdempotencyKey::parse(text).ok_or(Error::IdempotencyKey))
        .transpose()
}

/// A running upload.
struct Upload<'a, H: Host> {
    host: &'a H,
    shared: &'a Shared,
    report: &'a mut Report,
    claims: &'a Claims<'a>,
    deadline: Deadline,
    attempt: &'a Attempt<'a, H>,
}

/// The outcome of sending a file.
enum Sent {
    /// Telegram has it.
    Stored(StoredFile),
    /// An earlier upload with the same idempotency key has stored it. This was the body of its reply.
    Before(String),
}

/// A file that Telegram has.
struct StoredFile {
    stored: Stored,
    credentials: Rc<Credentials>,
    /// The chat that holds it, if that is not the one in the credentials.
    migrated_to: Option<ChatId>,
    file: FileInfo,
    size: u64,
}

/// Who sends a file, and how to post it.
struct Addressed<'a> {
    token: &'a AuthToken,
    fields: &'a Fields,
    credentials: Rc<Credentials>,
    source: credentials::Source,
    file: &'a FileInfo,
    /// `None` while the form may still bring one.
    caption: Option<&'a str>,
    /// Bytes, if known.
    size: Option<u64>,
}

impl<H: Host> Permit for Attempt<'_, H> {
    async fn permit(&self, file_name: &str, size: u64) -> Result<(), Error> {
        self.commit(file_name, size).await
    }
}

impl<'a, H: Host> Upload<'a, H> {
    /// Chooses the lane.
    async fn receive(
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

    /// Sends a file, unless an earlier upload with the same key has. A held file is sent again if nothing
    /// was stored and something has changed: there are fresh credentials instead of those that Telegram
    /// refused, the chat's new id is known, or the time that Telegram asked to wait has passed.
    async fn send(
        &mut self,
        mut to: Addressed<'_>,
        mut source: impl Source<H>,
    ) -> Result<Sent, Error> {
        if let Some(earlier) = self.attempt.begin(&to.credentials.user_id).await? {
            let reply = self.replay(earlier, &to, source).await?;
            return Ok(Sent::Before(reply));
        }
        let mut tries = 1;
        loop {
            let target = Target::new(self.shared, to.credentials.clone(), to.source, to.size);
            target
                .take_turn(self.host, self.shared, self.deadline)
                .await?;
            match self.deliver(&to, &target, &mut source).await {
                Err(error)
                    if source.can_pour_again()
                        && tries < MAX_TRIES
                        && target.may_succeed_after(&error) =>
                {
                    tries += 1;
                    if error.blames_credentials() {
                        (to.credentials, to.source) = self.credentials(to.token, to.fields).await?;
                    }
                }
                delivered => return delivered.map(Sent::Stored),
            }
        }
    }

    /// Reads the file of a repeat without sending it, and returns the reply to the earlier upload. If its
    /// length shows that it is another file, it is not read.
    async fn replay(
        &self,
        earlier: EndedUpload,
        to: &Addressed<'_>,
        mut source: impl Source<H>,
    ) -> Result<String, Error> {
        if let Some(size) = to.size {
            earlier.check(&to.file.name, size)?;
        }
        let progress = self.progress();
        let limit = self.config().max_upload_bytes;
        let (file, size) = dry_run(&progress, limit, &mut source).await?;
        earlier.replay(&file.name, size)
    }

    /// Sends the file once.
    async fn deliver(
        &mut self,
        to: &Addressed<'_>,
        target: &Target,
        source: &mut impl Source<H>,
    ) -> Result<StoredFile, Error> {
        let config = self.config();
        let began = self.host.now();
        let post = Post {
            host: self.host,
            permit: self.attempt,
            url: target
                .credentials
                .bot_token
                .method_url(&config.telegram_api_url, "sendDocument"),
            chat: target.chat_id(),
            file: to.file,
            caption: to.caption,
            size: to.size,
            limit: config.max_upload_bytes,
            telegram_timeout_ms: config.telegram_timeout_ms,
            deadline: self.deadline,
        };
        let delivered = if source.is_in_memory() {
            let is_likely_there = self.shared.telegram.is_likely(began);
            post.call(source, is_likely_there).await
        } else {
            post.stream(source).await
        };
        let now = self.host.now();
        self.report.telegram_ms = Some(now.saturating_sub(began));
        let (delivered, stored) = target.learn(self.shared, to.token, delivered, now)?;
        Ok(StoredFile {
            stored,
            credentials: Rc::clone(&target.credentials),
            migrated_to: target.migrated_to.clone(),
            file: delivered.file,
            size: delivered.size,
        })
    }

    /// Notifies the backend, and writes the receipt.
    async fn conclude(&mut self, sent: StoredFile, request_id: &str) -> Receipt {
        let began = self.host.now();
        let downloadable =
            sent.size <= MAX_CLOUD_DOWNLOAD_BYTES || !self.config().has_cloud_limits();
        let message = Message::new(&self.event(&sent, began));
        let mut receipt = Receipt::new(sent, downloadable);
        let attempt = self.attempt;
        // At the same time: until the outcome is recorded, a repeat gets `outcome_unknown`.
        let recorded = attempt.stored(|| receipt.to_json(request_id), &message);
        let notified = notify::deliver(self.host, &self.shared.config, &message);
        let ((), notified) = join(recorded, notified).await;
        self.report.notify_ms = Some(self.host.now().saturating_sub(began));
        receipt.notified = notified;
        let reply = || receipt.to_json(request_id);
        let undelivered = (notified == Notified::Retrying).then_some(&message);
        attempt.replied(reply, undelivered).await;
        receipt
    }

    fn event(&self, sent: &StoredFile, now: UnixMillis) -> Event {
        let mut id = [0; EVENT_ID_BYTES];
        self.host.fill_random(&mut id);
        Event {
            id: format!("msg_{}", hex(&id)),
            user_id: sent.credentials.user_id.clone(),
            file_name: sent.file.name.clone(),
            message_id: sent.stored.message_id,
            file_id: sent.stored.file_id.clone(),
            file_unique_id: sent.stored.file_unique_id.clone(),
            size: sent.size,
            mime_type: sent.mime_type().to_owned(),
            uploaded_at: now,
        }
    }

    fn config(&self) -> &'a Config {
        &self.shared.config
    }

    fn progress(&self) -> Progress<'a, H> {
        Progress::new(self.host, self.config().telegram_timeout_ms, self.deadline)
    }

    /// The credentials that the token earns, if its user is the one that the request names.
    async fn credentials(
        &mut self,
        token: &AuthToken,
        fields: &Fields,
    ) -> Result<(Rc<Credentials>, credentials::Source), Error> {
        let began = self.host.now();
        let result = self.shared.credentials.obtain(self.host, token).await;
        self.report.credentials_ms = Some(self.host.now().saturating_sub(began));
        let (credentials, source) = result?;
        self.report.source = Some(source);
        self.claims.check_user(&credentials, fields)?;
        if !self.host.admits(&credentials.user_id).await {
            return Err(Error::RateLimited);
        }
        Ok((credentials, source))
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

impl StoredFile {
    /// The file's type, according to Telegram or else to the browser.
    fn mime_type(&self) -> &str {
        self.stored
            .mime_type
            .as_deref()
            .unwrap_or(&self.file.content_type)
    }
}
