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
mod lanes;
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
use crate::host::{Host, UnixMillis};
use crate::http::RequestHead;
use crate::idempotency::{Attempt, EndedUpload, IdempotencyKey};
use crate::isolate::Shared;
use crate::multipart::form::Fields;
use crate::notify::{self, Notified};
use crate::telegram::{ChatId, MAX_CLOUD_DOWNLOAD_BYTES, Stored};
use crate::text::hex;
use crate::webhook::{Event, Message};

use delivery::{FileInfo, Permit, Post, Source, dry_run};
use progress::{Deadline, Progress};
pub use report::{Lane, Outcome, Receipt, Report};
use request::Claims;
pub use request::header_token;
use target::Target;

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
