//! Finishing a file whose request died when all its bytes were there: the manifest, the notification,
//! the reply.
//!
//! A tus client that finds the offset at the end takes its upload for finished, and never comes again.

use super::{Bot, ask_self, bot_of, change, deliver};
use crate::host::{Answer as Answered, Call, CallFault, Host, Method};
use crate::multipart::envelope::{BOUNDARY_ENTROPY_BYTES, Envelope};
use crate::objects::user_uploads::{self, Report, ask_user};
use crate::objects::{Context, Storage, StorageFault};
use crate::resumable::completion::{Completion, ReplyTo};
use crate::resumable::manifest::{Manifest, Part};
use crate::resumable::naming::manifest_name;
use crate::resumable::pace::Turn;
use crate::resumable::question::{Answer, Ask, Piece, State, Work};
use crate::telegram::{FileId, MAX_ANSWER_BYTES, MAX_CAPTION_CHARS, TelegramFault, read_answer};
use crate::text::hex;

const EVENT_ID_BYTES: usize = 16;
const MANIFEST_TYPE: &str = "application/json";

/// Finishes the file. What does not go well now is tried again later.
pub(super) async fn finish<H: Host, S: Storage>(
    context: &Context<'_, H>,
    storage: &S,
    host: &H,
    bot: &Bot,
) -> Result<(), StorageFault> {
    let Answer::Work(work) = ask_self(context, storage, &bot.owner, Ask::Finish).await? else {
        return Ok(());
    };
    let Work { state, manifest } = *work;
    let parts = ledger(context, storage, &bot.owner).await?;
    let manifest = match manifest {
        None if parts.len() > 1 => {
            send_manifest(context, storage, host, bot, &state, &parts).await?
        }
        known => known,
    };
    let completion = Completion::new(&bot.owner, &state, &parts, manifest.as_ref());
    let Some(completion) = completion else {
        return change(storage, |resource| resource.not_finished(context.now())).await;
    };
    let request_id = hex(&context.random::<12>());
    let id = format!("msg_{}", hex(&context.random::<EVENT_ID_BYTES>()));
    let message = completion.message(id, context.now());
    let to = ReplyTo {
        request_id: &request_id,
        notified: "pending",
        has_cloud_limits: context.config.has_cloud_limits(),
    };
    let kept = Ask::Keep(completion.finished(to, Some(message.clone())));
    if let Answer::Refused(_) = ask_self(context, storage, &bot.owner, kept).await? {
        return Ok(());
    }
    // Should that fail, the list shows it until it expires.
    let unlist = user_uploads::Question::Unlist(bot.object.clone());
    let _ = ask_user(host, &bot.owner, &unlist).await;
    deliver(context, storage, host, &message).await
}

async fn ledger<H: Host, S: Storage>(
    context: &Context<'_, H>,
    storage: &S,
    owner: &str,
) -> Result<Vec<Part>, StorageFault> {
    let (mut parts, mut after) = (Vec::new(), None);
    loop {
        let Answer::Ledger(page) = ask_self(context, storage, owner, Ask::Ledger { after }).await?
        else {
            return Ok(parts);
        };
        let Some((last, _)) = page.last() else {
            return Ok(parts);
        };
        after = Some(*last);
        parts.extend(page.into_iter().map(|(_, part)| part));
    }
}

/// Sends the manifest. `None` when that did not go well, or has to wait.
async fn send_manifest<H: Host, S: Storage>(
    context: &Context<'_, H>,
    storage: &S,
    host: &H,
    bot: &Bot,
    state: &State,
    parts: &[Part],
) -> Result<Option<Part>, StorageFault> {
    let file = &state.file;
    let manifest = Manifest::new(file.name.clone(), file.mime_type.clone(), parts.to_vec());
    let (Ok(manifest), Some(token)) = (manifest, bot_of(host, bot).await?) else {
        return Ok(None);
    };
    let ticket = format!("{}/manifest", bot.object);
    let turn = user_uploads::Question::Turn {
        chat: bot.chat_id.clone(),
        ticket: ticket.clone(),
    };
    let turn = ask_user(host, &bot.owner, &turn).await;
    if !matches!(turn, Ok(user_uploads::Answer::Turn(Turn::Now))) {
        return Ok(None);
    }
    let leave = ask_self(context, storage, &bot.owner, Ask::Commit(Piece::Manifest)).await?;
    let Answer::Leave { serial } = leave else {
        return Ok(None);
    };
    let url = token.method_url(&context.config.telegram_api_url, "sendDocument");
    let call = call(context, url, bot, state, &manifest);
    let sent = outcome(host.call(call).await);
    let report = user_uploads::Question::Report(Report {
        chat: bot.chat_id.clone(),
        ticket,
        is_sent: !matches!(
            sent,
            Err(NotSent {
                is_unknown: false,
                ..
            })
        ),
        retry_after: sent
            .as_ref()
            .err()
            .and_then(|not_sent| not_sent.retry_after),
        advance: None,
    });
    // An unanswered report keeps the turn for a while.
    let _ = ask_user(host, &bot.owner, &report).await;
    let (ask, part) = match sent {
        Ok(part) => (
            Ask::Store {
                serial,
                part: part.clone(),
            },
            Some(part),
        ),
        Err(NotSent { is_unknown, .. }) => (Ask::Fail { serial, is_unknown }, None),
    };
    ask_self(context, storage, &bot.owner, ask).await?;
    Ok(part)
}

fn call<H: Host>(
    context: &Context<'_, H>,
    url: String,
    bot: &Bot,
    state: &State,
    manifest: &Manifest,
) -> Call {
    let name = &state.file.name;
    let caption = state.file.caption.clone();
    let caption = caption.unwrap_or_else(|| {
        let usual = format!("Uploaded: {name}");
        usual.chars().take(MAX_CAPTION_CHARS).collect()
    });
    let envelope = Envelope::new(context.random::<BOUNDARY_ENTROPY_BYTES>());
    let document = manifest_name(name);
    let mut body = envelope.opening(&bot.chat_id, Some(&caption), &document, MANIFEST_TYPE);
    body.push_str(&manifest.to_json());
    Call {
        method: Method::Post,
        url,
        headers: vec![("content-type", envelope.content_type())],
        body: body.into_bytes(),
        last: envelope.closing(None).into_bytes(),
        timeout_ms: context.config.telegram_timeout_ms,
        max_answer_bytes: MAX_ANSWER_BYTES,
    }
}

/// A message that is not there, or nobody knows.
struct NotSent {
    is_unknown: bool,
    retry_after: Option<u32>,
}

fn outcome(answered: Result<Answered, CallFault>) -> Result<Part, NotSent> {
    let not_sent = |is_unknown, retry_after| NotSent {
        is_unknown,
        retry_after,
    };
    let answer = match answered {
        Ok(answer) => answer,
        Err(CallFault::Unsent) => return Err(not_sent(false, None)),
        Err(_) => return Err(not_sent(true, None)),
    };
    match read_answer(&answer) {
        Ok(stored) => Ok(Part {
            message_id: stored.message_id,
            file_id: FileId::parse(&stored.file_id).ok_or(not_sent(true, None))?,
            file_unique_id: stored.file_unique_id,
            size: 0,
            sha256: None,
        }),
        Err(TelegramFault::RetryAfter { seconds, .. }) => Err(not_sent(false, Some(seconds))),
        Err(TelegramFault::OutcomeUnknown { .. } | TelegramFault::NoIds) => {
            Err(not_sent(true, None))
        }
        Err(_) => Err(not_sent(false, None)),
    }
}
