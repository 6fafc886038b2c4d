//! `GET /check`: would an upload with this token succeed? Each thing that it depends on is `ok`, or has
//! the code and the hint that an upload would get. So a frontend knows before the first byte.

use futures_util::future::join3;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::Request;
use crate::credentials::{AuthToken, Credentials, Found, Source};
use crate::error::Error;
use crate::host::{Call, Host, Method};
use crate::http::Reply;
use crate::isolate::Shared;
use crate::telegram::{self, ChatId, TelegramFault};
use crate::upload::header_token;

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    status: Status,
    checks: Checks,
    #[serde(rename = "requestId")]
    request_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// An upload can use it.
    Ok,
    /// An upload would fail because of it.
    Failed,
    /// It depends on something that failed, so it could not be checked.
    Unknown,
}

#[derive(Debug, Serialize)]
struct Checks {
    /// The backend answers.
    backend: Check,
    /// There are credentials for this token, possibly stale ones.
    credentials: Check,
    /// Telegram knows the bot.
    bot: Check,
    /// The bot sees the chat.
    channel: Check,
    /// The bot may post there.
    post: Check,
}

/// One thing that an upload depends on.
#[derive(Debug, Serialize)]
struct Check {
    status: Status,
    /// Where credentials came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
    #[serde(flatten)]
    problem: Option<Problem>,
}

#[derive(Debug, Serialize)]
struct Problem {
    error: String,
    code: &'static str,
    hint: &'static str,
    retryable: bool,
    #[serde(rename = "retryAfter", skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
}

impl Check {
    fn of(status: Status) -> Self {
        Self {
            status,
            source: None,
            problem: None,
        }
    }

    fn failed(error: impl Into<Error>) -> Self {
        let told = error.into().describe();
        Self {
            problem: Some(Problem {
                error: told.message,
                code: told.code,
                hint: told.hint,
                retryable: told.retryable,
                retry_after: told.retry_after,
            }),
            ..Self::of(Status::Failed)
        }
    }

    fn from_telegram<T>(result: &Result<T, TelegramFault>) -> Self {
        match result {
            Ok(_) => Self::of(Status::Ok),
            Err(fault) => Self::failed(Error::Telegram {
                fault: fault.clone(),
                with_fresh_credentials: true,
            }),
        }
    }
}

/// Answers with what it finds.
///
/// # Errors
/// [`Error::TokenRequired`], [`Error::RateLimited`], and whatever else is wrong with the request
/// itself.
pub(super) async fn serve<H: Host>(request: &Request<'_, H>) -> Result<Reply, Error> {
    let (host, shared) = (request.host, request.shared()?);
    let token = header_token(request.head)?.ok_or(Error::TokenRequired)?;
    let known = shared.credentials.obtain(host, &token).await;
    if let Ok((credentials, _)) = &known
        && !host.admits(&credentials.user_id).await
    {
        return Err(Error::RateLimited);
    }
    let findings = check(host, shared, &token, known, request.id).await;
    Ok(Reply::json(200, &findings))
}

async fn check<H: Host>(
    host: &H,
    shared: &Shared,
    token: &AuthToken,
    known: Found,
    request_id: &str,
) -> Findings {
    let (backend, found) = ask_backend(host, shared, token, known).await;
    let checks = match found {
        Ok((credentials, source)) => {
            let [bot, channel, post] = ask_telegram(host, shared, &credentials).await;
            let credentials = Check {
                source: Some(source.as_str()),
                ..Check::of(Status::Ok)
            };
            Checks {
                backend,
                credentials,
                bot,
                channel,
                post,
            }
        }
        Err(fault) => {
            let unknown = || Check::of(Status::Unknown);
            let credentials = if fault.is_outage() {
                unknown()
            } else {
                Check::failed(fault)
            };
            Checks {
                backend,
                credentials,
                bot: unknown(),
                channel: unknown(),
                post: unknown(),
            }
        }
    };
    // An upload succeeds with stale credentials, too.
    let needed = [
        &checks.credentials,
        &checks.bot,
        &checks.channel,
        &checks.post,
    ];
    let all_well = needed.iter().all(|check| check.status == Status::Ok);
    Findings {
        status: if all_well { Status::Ok } else { Status::Failed },
        checks,
        request_id: request_id.to_owned(),
    }
}

/// Asks the backend even if the cache has an answer, to find out whether it can be reached.
async fn ask_backend<H: Host>(
    host: &H,
    shared: &Shared,
    token: &AuthToken,
    known: Found,
) -> (Check, Found) {
    let asked = match &known {
        Ok((_, Source::Hit)) => shared.credentials.fetch(host, token).await,
        other => other.clone(),
    };
    let backend = match &asked {
        // They are stale because the backend failed just now, or a moment ago.
        Ok((_, Source::Stale)) => {
            let fault = shared.credentials.last_fault();
            fault.map_or_else(|| Check::of(Status::Unknown), Check::failed)
        }
        Err(fault) if !fault.is_refusal() => Check::failed(fault.clone()),
        _ => Check::of(Status::Ok),
    };
    // Reports the source that an upload would have used, if its credentials are still valid.
    let found = match (known, asked) {
        (Ok((_, Source::Hit)), Ok((credentials, Source::Miss))) => Ok((credentials, Source::Hit)),
        (_, asked) => asked,
    };
    (backend, found)
}

/// Checks the bot, the chat and the right to post, with three concurrent requests.
async fn ask_telegram<H: Host>(host: &H, shared: &Shared, credentials: &Credentials) -> [Check; 3] {
    let migrated_to = shared.migrations.borrow().of(&credentials.chat_id).cloned();
    let chat = migrated_to.as_ref().unwrap_or(&credentials.chat_id);
    let ask = |method, query| ask(host, shared, credentials, method, query);
    let (me, found, member) = join3(
        ask("getMe", String::new()),
        ask("getChat", chat_query(chat)),
        ask(
            "getChatMember",
            format!(
                "{}&user_id={}",
                chat_query(chat),
                credentials.bot_token.id()
            ),
        ),
    )
    .await;
    let may_post = match (&found, member) {
        (Ok(chat), Ok(member)) => telegram::rights::may_post(chat, &member),
        (_, member) => member.map(drop),
    };
    let bot = Check::from_telegram(&me);
    // With a dead token, the other two answers say nothing about the chat.
    if bot.status != Status::Ok {
        let unknown = || Check::of(Status::Unknown);
        return [bot, unknown(), unknown()];
    }
    let channel = Check::from_telegram(&found);
    let post = match channel.status {
        Status::Ok => Check::from_telegram(&may_post),
        _ => Check::of(Status::Unknown),
    };
    [bot, channel, post]
}

async fn ask<H: Host>(
    host: &H,
    shared: &Shared,
    credentials: &Credentials,
    method: &'static str,
    query: String,
) -> Result<serde_json::Value, TelegramFault> {
    let url = credentials
        .bot_token
        .method_url(&shared.config.telegram_api_url, method);
    let call = Call {
        method: Method::Get,
        url: format!("{url}{query}"),
        headers: Vec::new(),
        body: Vec::new(),
        last: Vec::new(),
        timeout_ms: shared.config.telegram_timeout_ms,
        max_answer_bytes: telegram::MAX_ANSWER_BYTES,
    };
    // These methods store nothing, so a missing answer only means that Telegram is unreachable.
    let answer = host
        .call(call)
        .await
        .map_err(|_| TelegramFault::Unreachable)?;
    match telegram::read_result(&answer) {
        Err(TelegramFault::OutcomeUnknown { .. }) => {
            Err(TelegramFault::Failed { description: None })
        }
        result => result,
    }
}

fn chat_query(chat: &ChatId) -> String {
    format!(
        "?chat_id={}",
        utf8_percent_encode(chat.as_str(), NON_ALPHANUMERIC)
    )
}
