//! An emulator of Telegram's Bot API, as far as uploads need it: `/bot<token>/<method>` and
//! `/file/bot<token>/<path>`. Users log in to it as well, though not over MTProto.
//!
//! It answers as the official server does, limits and wording included, so that a client that works
//! against it works against `api.telegram.org`. Three differences: a compressed body is refused, a
//! channel is known by its number only, and the entities of Markdown captions are not parsed.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json,
    extract::Request,
    http::{Method, Uri},
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    blobs::BlobStore,
    store::{
        Store,
        telegram::{Bot, Chat},
    },
};

mod accounts;
mod download;
mod error;
mod file_name;
pub(crate) mod intake;
mod kind;
mod multipart;
mod parameters;
mod post;
mod rates;
mod rights;
pub(crate) mod token;

pub(crate) use error::BotApiError;
pub use rights::BotRights;
use token::BotToken;

use self::{
    accounts::Phones,
    intake::Incoming,
    rates::{Rates, Verdict},
};

/// The emulated Telegram.
#[derive(Debug)]
pub(crate) struct Telegram {
    store: Store,
    blobs: Arc<BlobStore>,
    /// `None`: bots may post as fast as they can.
    ///
    /// A std mutex: it is held for one decision and never across an await.
    rates: Option<Mutex<Rates>>,
    started: Instant,
    phones: Phones,
}

/// What a path asks for. Its `Debug` shows no token.
pub(crate) enum Target {
    /// `/bot<token>/<method>`.
    Method { token: String, method: String },
    /// `/file/bot<token>/<path>`.
    File { token: String, path: String },
}

impl Target {
    /// The target of a request; `None` if its path is none of the Bot API.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let path = percent_decode_str(uri.path()).decode_utf8().ok()?;
        if let Some(rest) = path.strip_prefix("/file/bot") {
            let (token, path) = rest.split_once('/')?;
            return Some(Self::File {
                token: token.to_owned(),
                path: path.to_owned(),
            });
        }
        let (token, method) = path.strip_prefix("/bot")?.split_once('/')?;
        Some(Self::Method {
            token: token.to_owned(),
            // The server does not mind the case of a method.
            method: method.to_ascii_lowercase(),
        })
    }

    /// Whether this is a sendDocument call.
    pub(crate) fn is_send_document(&self) -> bool {
        matches!(self, Self::Method { method, .. } if method == "senddocument")
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method { method, .. } => f.write_str(method),
            Self::File { path, .. } => f.write_str(path),
        }
    }
}

impl Telegram {
    /// The emulator over its part of the store.
    pub(crate) fn new(store: Store, blobs: BlobStore, rate_limits: bool) -> Self {
        Self {
            store,
            blobs: Arc::new(blobs),
            rates: rate_limits.then(Mutex::default),
            started: Instant::now(),
            phones: Phones::default(),
        }
    }

    /// The folder of file contents.
    pub(crate) fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// Answers a request of the Bot API.
    pub(crate) async fn answer(&self, target: &Target, request: Request) -> Response {
        match target {
            Target::Method { token, method } => match self.call(token, method, request).await {
                Ok(result) => Json(json!({ "ok": true, "result": result })).into_response(),
                Err(error) => error.into_response(),
            },
            Target::File { token, path } => {
                let get = request.method() == Method::GET;
                intake::drain(request.into_body()).await;
                if !get {
                    return BotApiError::not_implemented().into_response();
                }
                match self.download(token, path).await {
                    Ok(response) => response,
                    Err(error) => error.into_response(),
                }
            }
        }
    }

    /// getMe.
    pub(crate) async fn get_me(&self, token: &BotToken) -> Result<Bot, BotApiError> {
        self.store
            .bot_by_token(&token.hash())
            .await?
            .ok_or_else(BotApiError::unauthorized)
    }

    /// getChat.
    pub(crate) async fn get_chat(&self, bot: &Bot, chat_id: &str) -> Result<Chat, BotApiError> {
        let (chat, rights) = self.chat_and_rights(bot, chat_id).await?;
        rights.require_access()?;
        Ok(chat)
    }

    /// getChatMember of the bot itself.
    pub(crate) async fn get_own_rights(
        &self,
        bot: &Bot,
        chat_id: &str,
    ) -> Result<BotRights, BotApiError> {
        let (_, rights) = self.chat_and_rights(bot, chat_id).await?;
        rights.require_access()?;
        Ok(rights)
    }

    async fn call(
        &self,
        token: &str,
        method: &str,
        request: Request,
    ) -> Result<Value, BotApiError> {
        let (head, body) = request.into_parts();
        // The server knows the token only after it has read the request.
        let incoming =
            intake::read(&head.method, &head.uri, &head.headers, body, &self.blobs).await?;
        let token = BotToken::parse(token).ok_or_else(BotApiError::not_found)?;
        let bot = self.get_me(&token).await?;
        let parameters = &incoming.parameters;
        match method {
            "getme" => Ok(describe_bot(&bot)),
            "getchat" => {
                let chat = self.get_chat(&bot, parameters.get("chat_id")).await?;
                Ok(describe_chat(&chat))
            }
            "getchatmember" => self.get_chat_member(&bot, &incoming).await,
            "senddocument" => self.send_document(&bot, incoming).await,
            "sendmessage" => self.send_message(&bot, &incoming).await,
            "deletemessage" => self.delete_message(&bot, &incoming).await,
            "getfile" => self.get_file(&bot, parameters.get("file_id")).await,
            _ => Err(BotApiError::method_not_found()),
        }
    }

    async fn get_chat_member(&self, bot: &Bot, incoming: &Incoming) -> Result<Value, BotApiError> {
        let parameters = &incoming.parameters;
        let rights = self.get_own_rights(bot, parameters.get("chat_id")).await?;
        let user_id = parameters.get("user_id").trim();
        if user_id.is_empty() {
            return Err(BotApiError::bad_request("invalid user_id specified"));
        }
        if user_id != bot.id.to_string() {
            return Err(BotApiError::bad_request("user not found"));
        }
        let mut member = json!({ "user": describe_sender(bot), "status": rights.status() });
        match rights {
            BotRights::Creator => member["is_anonymous"] = json!(false),
            BotRights::Administrator | BotRights::AdministratorNoPost => {
                member["can_post_messages"] = json!(rights.can_post());
                member["can_delete_messages"] = json!(true);
                member["can_be_edited"] = json!(false);
            }
            _ => {}
        }
        Ok(member)
    }

    async fn chat_and_rights(
        &self,
        bot: &Bot,
        chat_id: &str,
    ) -> Result<(Chat, BotRights), BotApiError> {
        let chat_id = chat_id.trim();
        if chat_id.is_empty() {
            return Err(BotApiError::bad_request("chat_id is empty"));
        }
        let not_found = || BotApiError::bad_request("chat not found");
        let chat_id: i64 = chat_id.parse().map_err(|_| not_found())?;
        let chat = self.store.chat(chat_id).await?.ok_or_else(not_found)?;
        let rights = self.store.member(chat_id, bot.id).await?;
        Ok((chat, BotRights::from_name(rights.as_deref())))
    }

    /// Waits or refuses as the rate rules want it.
    async fn pace(
        &self,
        bot: &Bot,
        chat: &Chat,
        file_bytes: Option<u64>,
    ) -> Result<(), BotApiError> {
        let Some(rates) = &self.rates else {
            return Ok(());
        };
        let now = self.started.elapsed();
        let verdict = rates
            .lock()
            // The numbers are good after every statement that changes them.
            .unwrap_or_else(PoisonError::into_inner)
            .admit(now, bot.id, chat.id, file_bytes);
        match verdict {
            Verdict::Post {
                delay: Duration::ZERO,
            } => Ok(()),
            Verdict::Post { delay } => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
            Verdict::Refuse {
                retry_after_seconds,
            } => Err(BotApiError::too_many_requests(retry_after_seconds)),
        }
    }
}

/// The `User` that a message or a membership names.
fn describe_sender(bot: &Bot) -> Value {
    json!({
        "id": bot.id,
        "is_bot": true,
        "first_name": bot.first_name,
        "username": bot.username,
    })
}

/// The `User` that getMe answers.
fn describe_bot(bot: &Bot) -> Value {
    let mut user = describe_sender(bot);
    user["can_join_groups"] = json!(true);
    user["can_read_all_group_messages"] = json!(false);
    user["supports_inline_queries"] = json!(false);
    user
}

fn describe_chat(chat: &Chat) -> Value {
    json!({ "id": chat.id, "title": chat.title, "type": chat.kind })
}
