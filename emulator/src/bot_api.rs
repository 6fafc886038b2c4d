//! The Bot API: `/bot<token>/<method>` and `/file/bot<token>/<path>`.

use std::{fmt, sync::Arc};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{Method, Uri, header::RANGE, request::Parts},
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::{
    download::FileServer,
    error::BotApiError,
    intake::{self, Incoming},
    rights::BotRights,
    store::Bot,
    telegram::{Telegram, describe_chat},
    token::BotToken,
};

/// What a path asks for. Its `Debug` shows no token.
pub enum Target {
    /// `/bot<token>/<method>`.
    Method {
        /// The bot's token, as it was sent.
        token: String,
        /// In lower case.
        method: String,
    },
    /// `/file/bot<token>/<path>`.
    File {
        /// The bot's token, as it was sent.
        token: String,
        /// What getFile gave out.
        path: String,
    },
}

impl Target {
    /// The target of a request; `None` if its path is none of the Bot API.
    #[must_use]
    pub fn of(uri: &Uri) -> Option<Self> {
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

    /// Whether this is a getFile call.
    #[must_use]
    pub fn is_get_file(&self) -> bool {
        matches!(self, Self::Method { method, .. } if method == "getfile")
    }

    /// Whether this is a download.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// Whether this is a sendDocument call.
    #[must_use]
    pub fn is_send_document(&self) -> bool {
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

/// The Bot API as a router, to be served as it is or as another router's fallback: its paths begin in
/// the middle of a segment, which no route can.
pub fn router(telegram: Arc<Telegram>) -> Router {
    Router::new().fallback(serve).with_state(telegram)
}

async fn serve(State(telegram): State<Arc<Telegram>>, request: Request) -> Response {
    match Target::of(request.uri()) {
        Some(target) => telegram.answer(&target, request).await,
        None => BotApiError::not_found().into_response(),
    }
}

impl Telegram {
    /// Answers a request of the Bot API.
    pub async fn answer(&self, target: &Target, request: Request) -> Response {
        match target {
            Target::Method { token, method } => match self.call(token, method, request).await {
                Ok(result) => Json(json!({ "ok": true, "result": result })).into_response(),
                Err(error) => error.into_response(),
            },
            Target::File { token, path } => {
                let (head, body) = request.into_parts();
                intake::drain(body).await;
                if head.method != Method::GET {
                    return BotApiError::not_implemented().into_response();
                }
                let range = head
                    .headers
                    .get(RANGE)
                    .and_then(|range| range.to_str().ok());
                match self.download(token, path, range, &server_of(&head)).await {
                    Ok(response) => response,
                    Err(error) => error.into_response(),
                }
            }
        }
    }

    async fn call(
        &self,
        token: &str,
        method: &str,
        request: Request,
    ) -> Result<Value, BotApiError> {
        let (head, body) = request.into_parts();
        // The real server checks the token after it has read the request.
        let incoming =
            intake::read(&head.method, &head.uri, &head.headers, body, &self.blobs).await?;
        let token = BotToken::parse(token).ok_or_else(BotApiError::not_found)?;
        let bot = self.get_me(&token).await?;
        let parameters = &incoming.parameters;
        let server = server_of(&head);
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
            "getfile" => {
                self.get_file(&bot, parameters.get("file_id"), &server)
                    .await
            }
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
}

fn server_of(head: &Parts) -> FileServer {
    head.extensions.get().cloned().unwrap_or_default()
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
