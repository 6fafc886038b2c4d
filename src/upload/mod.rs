//! The story of an upload, from the request to the receipt.
//!
//! ```text
//! raw       the body is the file         opening ── native pipe ────────────── closing
//! streamed  token known before the file  opening ── read, scan, write on ───── closing
//! buffered  file before its token        hold ── token ── opening ── file ──── closing
//! small     a small form                 read at once, then as one that was held
//! ```
//!
//! Each lane asks for credentials as soon as it knows the token, writes the closing boundary only
//! when nothing is wrong with the request, and ends in the same place: Telegram's answer. With an
//! idempotency key, a lane that knows the user takes the key, or turns into a repeat, and asks for
//! leave before the closing boundary.

mod held;
mod incoming;
mod patience;
mod repeat;
mod report;
mod target;
mod transmit;

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

use std::rc::Rc;

use futures_util::future::join;

use crate::config::Config;
use crate::credentials::{AuthToken, Credentials, Source, obtain};
use crate::error::Error;
use crate::host::{Body as _, Chunk as _, Host, Open, Sink as _};
use crate::http::RequestHead;
use crate::idempotency::{Attempt, IdempotencyKey};
use crate::isolate::Shared;
use crate::multipart::Malformed;
use crate::multipart::envelope::{BOUNDARY_ENTROPY_BYTES, Envelope, passable_content_type};
use crate::multipart::form::{Fields, FilePart, FormReader, Step};
use crate::notify::{self, Notified};
use crate::route::{RawFile, Route};
use crate::telegram::{self, ChatId, MAX_CAPTION_CHARS, MAX_CLOUD_DOWNLOAD_BYTES, Stored};
use crate::text::hex;
use crate::webhook::{Event, Message};

use held::{Held, HeldPiece};
use incoming::{Incoming, Piece};
use patience::{Deadline, Patience};
pub use report::{Lane, Outcome, Receipt, Report};
use transmit::{Transmission, transmit};

/// Forms up to this `Content-Length`, in bytes, take the small lane.
const SMALL_FORM_BYTES: u64 = 256 * 1024;
/// What a form may have beside its file, in bytes: fields, headers, preamble and epilogue. A form
/// whose `Content-Length` is over the file limit by more than this is refused unread.
const MAX_FORM_OVERHEAD_BYTES: u64 = 4 * 1024 * 1024;
/// The name of a file that has none.
const DEFAULT_FILE_NAME: &str = "file";
const EVENT_ID_BYTES: usize = 16;

/// Puts the request's file into the user's channel, and tells the backend.
///
/// `request_id` is part of the reply, which is kept for a repeat of this upload.
///
/// # Errors
/// Why not. Unless the error says otherwise, nothing was stored.
pub async fn upload<H: Host>(
    host: &H,
    shared: &Shared,
    head: &RequestHead,
    route: Route,
    body: &mut H::Body,
    request_id: &str,
    report: &mut Report,
) -> Result<Outcome, Error> {
    let header_token = header_token(head)?;
    let key = idempotency_key(head)?;
    let lease_ms = shared.config.idempotency_policy.lease_ms;
    let attempt = Attempt::new(host, key, request_id, lease_ms);
    let mut upload = Upload {
        host,
        shared,
        report,
        header_token,
        header_user_id: head.user_id.as_deref(),
        deadline: Deadline::after(shared.config.upload_timeout_ms, host.now()),
        attempt: &attempt,
    };
    let uploaded = async {
        match upload.send(head, route, body).await {
            Ok(sent) => Ok(Outcome::Uploaded(upload.conclude(sent, request_id).await)),
            Err(Stop::Replayed(reply)) => Ok(Outcome::Replayed(reply)),
            Err(Stop::Error(error)) => {
                attempt.failed(&error).await;
                Err(error)
            }
        }
    };
    attempt.hold(uploaded).await
}

/// The token in `Authorization: Bearer …`, if any. Other schemes are none of ours.
///
/// # Errors
/// [`Error::TokenMalformed`].
pub fn header_token(head: &RequestHead) -> Result<Option<AuthToken>, Error> {
    let Some((scheme, token)) = head
        .authorization
        .as_deref()
        .and_then(|value| value.trim().split_once(' '))
    else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    AuthToken::parse(token)
        .map(Some)
        .ok_or(Error::TokenMalformed)
}

/// The `Idempotency-Key`, if any.
fn idempotency_key(head: &RequestHead) -> Result<Option<IdempotencyKey>, Error> {
    let key = head.idempotency_key.as_deref();
    key.map(|text| IdempotencyKey::parse(text).ok_or(Error::IdempotencyKey))
        .transpose()
}

/// One upload under way.
struct Upload<'a, H: Host> {
    host: &'a H,
    shared: &'a Shared,
    report: &'a mut Report,
    header_token: Option<AuthToken>,
    header_user_id: Option<&'a str>,
    deadline: Deadline,
    attempt: &'a Attempt<'a, H>,
}

/// Why a lane ends before Telegram has the file.
enum Stop {
    /// Something is wrong.
    Error(Error),
    /// It is a repeat. This was the reply's body.
    Replayed(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Self {
        Self::Error(malformed.into())
    }
}

impl From<Result<String, Error>> for Stop {
    fn from(retold: Result<String, Error>) -> Self {
        retold.map_or_else(Self::Error, Self::Replayed)
    }
}

/// What the file is called and what it is.
#[derive(Debug, Clone)]
struct FileInfo {
    name: String,
    content_type: String,
}

/// A file that Telegram has.
struct Sent {
    stored: Stored,
    credentials: Rc<Credentials>,
    /// Where it is, if that is not the chat that the credentials name.
    migrated_to: Option<ChatId>,
    file: FileInfo,
    size: u64,
}

impl<'a, H: Host> Upload<'a, H> {
    async fn send(
        &mut self,
        head: &RequestHead,
        route: Route,
        body: &mut H::Body,
    ) -> Result<Sent, Stop> {
        match route {
            Route::Raw(file) => self.raw(head, file, body).await,
            Route::Form { boundary } => {
                let most = self
                    .config()
                    .max_upload_bytes
                    .saturating_add(MAX_FORM_OVERHEAD_BYTES);
                match head.content_length {
                    Some(length) if length > most => Err(self.too_large().into()),
                    Some(length) if length <= SMALL_FORM_BYTES => self.small(&boundary, body).await,
                    length => self.form(&boundary, length, body).await,
                }
            }
            Route::Preflight | Route::Health | Route::Check | Route::Hook(_) => {
                Err(Error::NotFound.into())
            }
        }
    }

    /// The body is the file: it goes on without being looked at.
    async fn raw(
        &mut self,
        head: &RequestHead,
        raw: RawFile,
        body: &mut H::Body,
    ) -> Result<Sent, Stop> {
        self.report.lane = Some(Lane::Raw);
        let fields = Fields {
            user_id: raw.user_id,
            caption: raw.caption,
            ..Fields::default()
        };
        let token = self.token(&fields)?.ok_or(Error::TokenRequired)?;
        match head.content_length {
            Some(0) => return Err(Error::EmptyFile.into()),
            Some(length) if length > self.config().max_upload_bytes => {
                return Err(self.too_large().into());
            }
            _ => {}
        }
        let part = FilePart {
            name: Some(raw.name).filter(|name| !name.is_empty()),
            content_type: head.content_type.clone(),
        };
        let file = file_info(&part, &fields);
        let caption = caption(&fields, &file)?;
        let (credentials, source) = self.credentials(&token, &fields).await?;
        if let Some(earlier) = self.attempt.begin(&credentials.user_id).await? {
            let length = head.content_length;
            return Err(self.repeat_raw(earlier, &file, length, body).await.into());
        }
        let target = self.target(credentials, source);
        self.take_turn(&target, head.content_length).await?;
        let envelope = self.envelope();
        let opening = envelope.opening(
            target.chat_id().as_str(),
            Some(&caption),
            &file.name,
            &file.content_type,
        );
        let closing = envelope.closing(None);
        let length = head
            .content_length
            .map(|length| length + (opening.len() + closing.len()) as u64);
        let (mut sink, answer) = self.open(&target.credentials, &envelope, length);
        let transmission = self.transmission();
        let (limit, too_large) = (self.config().max_upload_bytes, self.too_large());
        let attempt = self.attempt;
        let pump = async {
            sink.write(opening.as_bytes()).await?;
            let size = if let Some(length) = head.content_length {
                transmission.pipes(length);
                sink.pipe(body).await?;
                length
            } else {
                // Without a length the limit can only be kept by counting.
                let mut size = 0;
                transmission.reads();
                while let Some(chunk) = body.read().await? {
                    let bytes = chunk.len();
                    size += bytes as u64;
                    if size > limit {
                        return Err(too_large.into());
                    }
                    transmission.writes();
                    sink.write_range(&chunk, 0..bytes).await?;
                    body.recycle(chunk);
                    transmission.reads();
                }
                if size == 0 {
                    return Err(Error::EmptyFile.into());
                }
                size
            };
            transmission.writes();
            attempt.commit(&file.name, size).await?;
            sink.write(closing.as_bytes()).await?;
            transmission.commits();
            sink.close().await?;
            Ok(size)
        };
        let began = self.host.now();
        let result = transmit(&transmission, pump, answer).await;
        let (size, stored) = self.answered(began, result, &token, &target, head.content_length)?;
        Ok(target.sent(stored, file, size))
    }

    /// A form of which the token decides, when the file begins, whether it can be streamed.
    async fn form(
        &mut self,
        boundary: &str,
        length: Option<u64>,
        body: &mut H::Body,
    ) -> Result<Sent, Stop> {
        let mut incoming = Incoming::new(body, boundary)?;
        let patience = self.patience();
        let part = patience
            .of(incoming.find_file(&|| patience.step()))
            .await??;
        match self.token(incoming.fields())? {
            Some(token) => self.streamed(token, part, incoming).await,
            None => self.buffered(length, part, incoming).await,
        }
    }

    /// The token is known: each piece of the file is written on as it comes.
    async fn streamed(
        &mut self,
        token: AuthToken,
        part: FilePart,
        mut incoming: Incoming<'_, H::Body>,
    ) -> Result<Sent, Stop> {
        self.report.lane = Some(Lane::Streamed);
        let early = incoming.fields().clone();
        let (credentials, source) = self.credentials(&token, &early).await?;
        if let Some(earlier) = self.attempt.begin(&credentials.user_id).await? {
            let repeat = self.repeat_form(earlier, &credentials, &part, incoming);
            return Err(repeat.await.into());
        }
        let file = file_info(&part, &early);
        // What the form may still say goes last. The name in the part's header can't: if `fileName`
        // comes behind the file, Telegram knows the file by its own name, and caption, reply and
        // notification have the better one.
        let early_caption = match early.caption {
            Some(_) => Some(caption(&early, &file)?),
            None => None,
        };
        let target = self.target(credentials, source);
        self.take_turn(&target, None).await?;
        let envelope = self.envelope();
        let opening = envelope.opening(
            target.chat_id().as_str(),
            early_caption.as_deref(),
            &file.name,
            &file.content_type,
        );
        let (mut sink, answer) = self.open(&target.credentials, &envelope, None);
        let transmission = self.transmission();
        let (limit, too_large) = (self.config().max_upload_bytes, self.too_large());
        let this = &*self;
        let pump = async {
            sink.write(opening.as_bytes()).await?;
            let mut size = 0;
            while let Some(piece) = incoming.next_piece(&|| transmission.reads()).await? {
                size += piece.len() as u64;
                if size > limit {
                    return Err(too_large.into());
                }
                transmission.writes();
                match piece {
                    Piece::Range(chunk, range) => sink.write_range(&chunk, range).await?,
                    Piece::Held(held) => sink.write(incoming.held(held)).await?,
                }
            }
            let fields = incoming.fields();
            if size == 0 {
                return Err(Error::EmptyFile.into());
            }
            this.token(fields)?;
            this.check_user(&target.credentials, fields)?;
            let file = file_info(&part, fields);
            let late_caption = match early_caption {
                Some(_) => None,
                None => Some(caption(fields, &file)?),
            };
            let closing = envelope.closing(late_caption.as_deref());
            transmission.writes();
            this.attempt.commit(&file.name, size).await?;
            sink.write(closing.as_bytes()).await?;
            transmission.commits();
            sink.close().await?;
            Ok((size, file))
        };
        let began = self.host.now();
        let result = transmit(&transmission, pump, answer).await;
        let ((size, file), stored) = self.answered(began, result, &token, &target, None)?;
        Ok(target.sent(stored, file, size))
    }

    /// The token comes after the file: its pieces are held, within the isolate's budget.
    async fn buffered(
        &mut self,
        length: Option<u64>,
        part: FilePart,
        mut incoming: Incoming<'_, H::Body>,
    ) -> Result<Sent, Stop> {
        self.report.lane = Some(Lane::Buffered);
        let limit = self.config().max_upload_bytes;
        let budget = &self.shared.budget;
        let no_room = |bytes: u64| {
            if bytes > budget.limit() {
                Error::TooLargeToBuffer {
                    limit: budget.limit(),
                }
            } else {
                Error::Busy
            }
        };
        // What is on its way is not reserved, or a client that sends slowly would keep others out with
        // bytes that it has not sent.
        let announced = length.unwrap_or_default();
        if !budget.has_room(announced) {
            return Err(no_room(announced).into());
        }
        let mut lease = budget.lease();
        let mut pieces = Vec::new();
        let mut size = 0;
        let patience = self.patience();
        let too_large = self.too_large();
        let held = patience.of(async {
            while let Some(piece) = incoming.next_piece(&|| patience.step()).await? {
                size += piece.len() as u64;
                if size > limit {
                    return Err(too_large);
                }
                if !lease.cover(size) {
                    return Err(no_room(size));
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

    /// The form is small: it is read at once, and then sent like one that was held.
    async fn small(&mut self, boundary: &str, body: &mut H::Body) -> Result<Sent, Stop> {
        self.report.lane = Some(Lane::Small);
        let whole = self.patience().of(body.read_whole()).await?;
        let bytes = whole.map_err(|_| Error::ClientGone)?;
        let mut reader = FormReader::new(boundary)?;
        let (mut part, mut content, mut cursor) = (None, 0..0, 0);
        while let Some(step) = reader.next(&bytes, &mut cursor)? {
            match step {
                Step::FileBegin(found) => part = Some(found),
                Step::File(range) => content = range,
                // Nothing can be held from before the only slice.
                Step::FileHeld(_) | Step::FileEnd => {}
            }
        }
        reader.is_complete()?;
        let part = part.ok_or(Error::NoFile)?;
        let size = content.len() as u64;
        if size > self.config().max_upload_bytes {
            return Err(self.too_large().into());
        }
        let content = bytes.get(content).unwrap_or_default();
        self.send_held(&part, reader.fields(), Held::Bytes(content), size)
            .await
    }

    /// Tells the backend, and writes the receipt.
    async fn conclude(&mut self, sent: Sent, request_id: &str) -> Receipt {
        let Sent {
            stored,
            credentials,
            migrated_to,
            file,
            size,
        } = sent;
        let mut id = [0; EVENT_ID_BYTES];
        self.host.fill_random(&mut id);
        let mime_type = stored.mime_type.unwrap_or(file.content_type);
        let began = self.host.now();
        let event = Event {
            id: format!("msg_{}", hex(&id)),
            user_id: credentials.user_id.clone(),
            file_name: file.name.clone(),
            message_id: stored.message_id,
            file_id: stored.file_id.clone(),
            file_unique_id: stored.file_unique_id.clone(),
            size,
            mime_type: mime_type.clone(),
            uploaded_at: Event::time(began),
        };
        let mut receipt = Receipt {
            message_id: stored.message_id,
            file_id: stored.file_id,
            file_unique_id: stored.file_unique_id,
            file_name: file.name,
            size,
            mime_type,
            kind: stored.kind,
            downloadable: size <= MAX_CLOUD_DOWNLOAD_BYTES || !self.config().has_cloud_limits(),
            notified: Notified::Pending,
            migrated_to_chat_id: migrated_to.map(|chat| chat.as_str().to_owned()),
            user_id: credentials.user_id.clone(),
        };
        let message = Message::new(&event);
        let attempt = self.attempt;
        // At once: until then a repeat would be told that nobody knows what became of the file.
        let stored = attempt.stored(|| receipt.to_json(request_id), &message);
        let told = notify::deliver(self.host, &self.shared.config, &message);
        let ((), notified) = join(stored, told).await;
        self.report.notify_ms = Some(self.host.now().saturating_sub(began));
        receipt.notified = notified;
        let reply = || receipt.to_json(request_id);
        let undelivered = (notified == Notified::Retrying).then_some(&message);
        attempt.replied(reply, undelivered).await;
        receipt
    }

    fn config(&self) -> &Config {
        &self.shared.config
    }

    fn too_large(&self) -> Error {
        Error::TooLarge {
            limit: self.config().max_upload_bytes,
        }
    }

    /// The token as far as it is known: from the header, the form, or both if they agree.
    fn token(&self, fields: &Fields) -> Result<Option<AuthToken>, Error> {
        let given = fields
            .auth_token
            .as_deref()
            .map(str::trim)
            .filter(|token| !token.is_empty());
        let form_token = given
            .map(|token| AuthToken::parse(token).ok_or(Error::TokenMalformed))
            .transpose()?;
        match (&self.header_token, form_token) {
            (Some(header), Some(form)) if *header != form => Err(Error::TokensDiffer),
            (header, form) => Ok(form.or_else(|| header.clone())),
        }
    }

    /// The credentials that the token earns, if whoever the client says it is agrees.
    async fn credentials(
        &mut self,
        token: &AuthToken,
        fields: &Fields,
    ) -> Result<(Rc<Credentials>, Source), Error> {
        let began = self.host.now();
        let result = obtain(self.host, self.shared, token).await;
        self.report.credentials_ms = Some(self.host.now().saturating_sub(began));
        let (credentials, source) = result?;
        self.report.source = Some(source);
        self.check_user(&credentials, fields)?;
        if !self.host.admits(&credentials.user_id).await {
            return Err(Error::RateLimited);
        }
        Ok((credentials, source))
    }

    fn check_user(&self, credentials: &Credentials, fields: &Fields) -> Result<(), Error> {
        let claimed = [self.header_user_id, fields.user_id.as_deref()];
        let differs =
            |user_id: &str| !user_id.trim().is_empty() && user_id.trim() != credentials.user_id;
        if claimed.into_iter().flatten().any(differs) {
            Err(Error::WrongUser)
        } else {
            Ok(())
        }
    }

    fn transmission(&self) -> Transmission<'a, H> {
        Transmission::new(self.host, self.config().telegram_timeout_ms, self.deadline)
    }

    fn patience(&self) -> Patience<'a, H> {
        Patience::new(self.host, self.deadline)
    }

    fn envelope(&self) -> Envelope {
        let mut entropy = [0; BOUNDARY_ENTROPY_BYTES];
        self.host.fill_random(&mut entropy);
        Envelope::new(entropy)
    }

    fn send_document_url(&self, credentials: &Credentials) -> String {
        credentials
            .bot_token
            .method_url(&self.config().telegram_api_url, "sendDocument")
    }

    fn open(
        &self,
        credentials: &Credentials,
        envelope: &Envelope,
        length: Option<u64>,
    ) -> (H::Sink, H::Answer) {
        self.host.open(Open {
            url: self.send_document_url(credentials),
            content_type: envelope.content_type(),
            length,
            max_answer_bytes: telegram::MAX_ANSWER_BYTES,
        })
    }
}

impl<C> Piece<C> {
    fn len(&self) -> usize {
        match self {
            Self::Range(_, range) => range.len(),
            Self::Held(held) => *held,
        }
    }
}

fn file_info(part: &FilePart, fields: &Fields) -> FileInfo {
    let given = fields
        .file_name
        .as_deref()
        .filter(|name| !name.trim().is_empty());
    FileInfo {
        name: given
            .or(part.name.as_deref())
            .unwrap_or(DEFAULT_FILE_NAME)
            .to_owned(),
        content_type: passable_content_type(part.content_type.as_deref()).to_owned(),
    }
}

/// The caption: the given one, or `TeleStore`'s own, cut to what Telegram takes.
fn caption(fields: &Fields, file: &FileInfo) -> Result<String, Error> {
    match &fields.caption {
        Some(caption) if caption.chars().count() > MAX_CAPTION_CHARS => Err(Error::CaptionTooLong),
        Some(caption) => Ok(caption.clone()),
        None => Ok(format!("Uploaded: {}", file.name)
            .chars()
            .take(MAX_CAPTION_CHARS)
            .collect()),
    }
}
