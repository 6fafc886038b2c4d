//! The durable object of one upload resource.
//!
//! | key | value |
//! |---|---|
//! | `upload` | [`Resource`] |
//! | `part/<place>` | [`Part`], with its [`Place`] |
//! | `orphan/<serial>` | [`Orphan`] |

mod finish;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

use serde_json::json;

use super::user::hand_over;
use super::user_uploads::{self, ask_user};
use super::{Context, DurableObject, Range, Storage, StorageFault, Transaction, ask, parse};
use crate::config::Config;
use crate::host::{Call, Host, Method, ObjectFault};
use crate::resumable::Due;
use crate::resumable::manifest::Part;
use crate::resumable::naming::Place;
use crate::resumable::question::{Answer, Ask, Question};
use crate::resumable::resource::{Orphan, Resource, UploadPolicy, Write, decide};
use crate::resumable::seal::Sealed;
use crate::telegram::{BotToken, MAX_ANSWER_BYTES, read_result};
use crate::webhook::Message;

const ASK_TIMEOUT_MS: u32 = 5_000;
const UPLOAD_KEY: &str = "upload";
const PART_PREFIX: &str = "part/";
const ORPHAN_PREFIX: &str = "orphan/";
/// Parts in one answer: 250 KB or so.
const PARTS_A_PAGE: usize = 1_000;
/// Messages that one call deletes (Bot API, `deleteMessages`).
const MESSAGES_A_CALL: usize = 100;
/// Calls of one alarm. The next one goes on at once: a wake has 50 subrequests on the free plan
/// (developers.cloudflare.com, "Workers limits").
const CALLS_A_WAKE: usize = 20;

/// The object of one upload.
pub struct UploadRecord;

/// Asks the object of that name.
///
/// # Errors
/// Why there is no answer.
pub async fn ask_upload(
    host: &impl Host,
    object: &str,
    question: &Question,
) -> Result<Answer, ObjectFault> {
    ask::<UploadRecord>(host, object, question, ASK_TIMEOUT_MS).await
}

impl DurableObject for UploadRecord {
    type Question = Question;
    type Answer = Answer;
    const BINDING: &'static str = "UPLOADS";

    async fn answer<H: Host, T: Transaction>(
        context: &Context<'_, H>,
        tx: &mut T,
        question: Question,
    ) -> Result<Answer, StorageFault> {
        let before = tx.read::<Resource>(UPLOAD_KEY).await?;
        let orphan = match question.serial() {
            Some(serial) => tx.read(&orphan_key(serial)).await?,
            None => None,
        };
        let alarm_before = before.as_ref().map(Resource::alarm_at);
        let policy = UploadPolicy::of(context.config);
        let turn = decide(before, orphan, question, context.now(), &policy);
        if turn.forgets {
            forget_ledger(tx).await?;
        }
        write(tx, turn.writes).await?;
        save(tx, turn.resource.as_ref(), alarm_before).await?;
        match turn.page_after {
            Some(after) => Ok(Answer::Ledger(page(tx, after).await?)),
            None => Ok(turn.answer),
        }
    }

    async fn wake<H: Host, S: Storage>(
        context: &Context<'_, H>,
        storage: &S,
        host: &H,
    ) -> Result<(), StorageFault> {
        for _ in 0..CALLS_A_WAKE {
            let due = storage.turn(async |tx| due(context, tx).await).await?;
            match due {
                None => return Ok(()),
                Some(Work::Forget { owner, object }) => {
                    let forget = user_uploads::Question::Forget(object);
                    let told = ask_user(host, &owner, &forget).await;
                    told.map_err(|_| StorageFault)?;
                    return storage.turn(async |tx| tx.clear().await).await;
                }
                Some(Work::Deliver(message)) => {
                    deliver(context, storage, host, &message).await?;
                }
                Some(Work::Finish(bot)) => finish::finish(context, storage, host, &bot).await?,
                Some(Work::Delete(deletion)) => delete(context, storage, host, *deletion).await?,
            }
        }
        let now = context.now();
        storage.turn(async |tx| tx.set_alarm(now).await).await
    }
}

fn orphan_key(serial: u32) -> String {
    format!("{ORPHAN_PREFIX}{serial:010}")
}

async fn write(tx: &mut impl Transaction, writes: Vec<Write>) -> Result<(), StorageFault> {
    for write in writes {
        match write {
            Write::Part(place, part) => {
                let key = format!("{PART_PREFIX}{}", place.key());
                tx.write(&key, &(place, part)).await?;
            }
            Write::Orphan(serial, orphan) => tx.write(&orphan_key(serial), &orphan).await?,
            Write::NoOrphan(serial) => tx.delete(&orphan_key(serial)).await?,
        }
    }
    Ok(())
}

async fn save(
    tx: &mut impl Transaction,
    resource: Option<&Resource>,
    alarm_before: Option<u64>,
) -> Result<(), StorageFault> {
    let Some(resource) = resource else {
        return tx.delete(UPLOAD_KEY).await;
    };
    tx.write(UPLOAD_KEY, resource).await?;
    let alarm_at = resource.alarm_at();
    if alarm_before == Some(alarm_at) {
        return Ok(());
    }
    tx.set_alarm(alarm_at).await
}

async fn page(
    tx: &mut impl Transaction,
    after: Option<Place>,
) -> Result<Vec<(Place, Part)>, StorageFault> {
    let after = after.map(|place| format!("{PART_PREFIX}{}", place.key()));
    let range = Range {
        prefix: PART_PREFIX,
        after: after.as_deref(),
        limit: PARTS_A_PAGE,
    };
    let listed = tx.list(range).await?;
    listed.iter().map(|(_, value)| parse(value)).collect()
}

async fn forget_ledger(tx: &mut impl Transaction) -> Result<(), StorageFault> {
    for prefix in [PART_PREFIX, ORPHAN_PREFIX] {
        for (key, _) in tx.list(Range::first(prefix, usize::MAX)).await? {
            tx.delete(&key).await?;
        }
    }
    Ok(())
}

/// What the alarm has to do outside of a turn.
enum Work {
    Forget { owner: String, object: String },
    Deliver(Message),
    Finish(Bot),
    Delete(Box<Deletion>),
}

/// Whose upload it is, and with what its messages can be reached.
struct Bot {
    owner: String,
    object: String,
    chat_id: String,
    sealed: Sealed,
}

/// Messages that are to be deleted.
struct Deletion {
    bot: Bot,
    /// Each with its key in the ledger.
    messages: Vec<(String, i64)>,
    unless_complete: Vec<String>,
}

async fn due<H: Host>(
    context: &Context<'_, H>,
    tx: &mut impl Transaction,
) -> Result<Option<Work>, StorageFault> {
    let Some(mut resource) = tx.read::<Resource>(UPLOAD_KEY).await? else {
        return Ok(None);
    };
    let now = context.now();
    let policy = UploadPolicy::of(context.config);
    let (due, writes) = resource.wake(now, &policy);
    write(tx, writes).await?;
    let bot = Bot {
        owner: resource.owner().to_owned(),
        object: resource.object().to_owned(),
        chat_id: resource.destination().chat_id.clone(),
        sealed: resource.sealed().clone(),
    };
    let work = match due {
        Due::At(_) => None,
        Due::Finish => Some(Work::Finish(bot)),
        Due::Forget => Some(Work::Forget {
            owner: bot.owner,
            object: bot.object,
        }),
        Due::Deliver(message) => Some(Work::Deliver(message)),
        Due::Delete {
            parts,
            unless_complete,
        } => {
            let messages = messages_to_delete(tx, parts).await?;
            if messages.is_empty() {
                resource.deleted(now);
                None
            } else {
                Some(Work::Delete(Box::new(Deletion {
                    bot,
                    messages,
                    unless_complete,
                })))
            }
        }
    };
    save(tx, Some(&resource), None).await?;
    Ok(work)
}

/// The next messages that go: known orphans first.
async fn messages_to_delete(
    tx: &mut impl Transaction,
    parts: bool,
) -> Result<Vec<(String, i64)>, StorageFault> {
    let mut messages = Vec::new();
    for (key, value) in tx.list(Range::first(ORPHAN_PREFIX, usize::MAX)).await? {
        let orphan: Orphan = parse(&value)?;
        messages.extend(orphan.message_id.map(|id| (key, id)));
    }
    messages.truncate(MESSAGES_A_CALL);
    let room = MESSAGES_A_CALL - messages.len();
    if parts && room > 0 {
        for (key, value) in tx.list(Range::first(PART_PREFIX, room)).await? {
            let (_, part): (Place, Part) = parse(&value)?;
            messages.push((key, part.message_id));
        }
    }
    Ok(messages)
}

async fn delete<H: Host, S: Storage>(
    context: &Context<'_, H>,
    storage: &S,
    host: &H,
    deletion: Deletion,
) -> Result<(), StorageFault> {
    for object in &deletion.unless_complete {
        if is_complete(host, object).await? {
            return change(storage, Resource::give_parts_away).await;
        }
    }
    let bot = bot_of(host, &deletion.bot).await?;
    let is_deleted = match bot {
        Some(bot) => delete_messages(host, context.config, &bot, &deletion).await,
        None => false,
    };
    let now = context.now();
    if !is_deleted {
        let count = deletion.messages.len();
        return change(storage, |resource| {
            if !resource.not_deleted(now) {
                let line = json!({ "event": "messages_not_deleted", "count": count });
                context.log(&line.to_string());
            }
        })
        .await;
    }
    storage
        .turn(async |tx| {
            for (key, _) in &deletion.messages {
                tx.delete(key).await?;
            }
            Ok(())
        })
        .await
}

/// The bot's token. `None` when it is not to be had any more.
async fn bot_of<H: Host>(host: &H, bot: &Bot) -> Result<Option<BotToken>, StorageFault> {
    let key = user_uploads::Question::Key(bot.object.clone());
    let answer = ask_user(host, &bot.owner, &key).await;
    let Ok(user_uploads::Answer::Key(key)) = answer else {
        return Err(StorageFault);
    };
    Ok(key.and_then(|key| key.open(&bot.object, &bot.sealed)))
}

/// Asks this very object, as its alarm.
async fn ask_self<H: Host, S: Storage>(
    context: &Context<'_, H>,
    storage: &S,
    owner: &str,
    ask: Ask,
) -> Result<Answer, StorageFault> {
    let question = Question {
        request: "alarm".to_owned(),
        user: Some(owner.to_owned()),
        ask,
    };
    let turn = storage.turn(async |tx| UploadRecord::answer(context, tx, question).await);
    turn.await
}

/// Whether a final upload has the parts for good. One that nobody knows any more was finished, or was
/// never made: then what it might have stays.
async fn is_complete<H: Host>(host: &H, object: &str) -> Result<bool, StorageFault> {
    let question = Question {
        request: "alarm".to_owned(),
        user: None,
        ask: Ask::Look,
    };
    match ask_upload(host, object, &question).await {
        Ok(Answer::State(state)) => Ok(state.is_complete),
        Ok(Answer::Refused(crate::resumable::question::Refusal::Gone)) => Ok(false),
        Ok(_) => Ok(true),
        Err(_) => Err(StorageFault),
    }
}

/// Deletes messages (Bot API, `deleteMessages`): those that are not there are passed over.
async fn delete_messages<H: Host>(
    host: &H,
    config: &Config,
    bot: &BotToken,
    deletion: &Deletion,
) -> bool {
    let ids: Vec<i64> = deletion.messages.iter().map(|(_, id)| *id).collect();
    let body = json!({ "chat_id": deletion.bot.chat_id, "message_ids": ids });
    let call = Call {
        method: Method::Post,
        url: bot.method_url(&config.telegram_api_url, "deleteMessages"),
        headers: vec![("content-type", "application/json".to_owned())],
        body: body.to_string().into_bytes(),
        last: Vec::new(),
        timeout_ms: config.telegram_timeout_ms,
        max_answer_bytes: MAX_ANSWER_BYTES,
    };
    match host.call(call).await {
        Ok(answer) => read_result::<bool>(&answer) == Ok(true),
        Err(_) => false,
    }
}

async fn deliver<H: Host, S: Storage>(
    context: &Context<'_, H>,
    storage: &S,
    host: &H,
    message: &Message,
) -> Result<(), StorageFault> {
    let is_delivered = hand_over(context, host, message).await;
    let now = context.now();
    change(storage, |resource| resource.handed_over(is_delivered, now)).await
}

/// Changes the resource, if it is still there.
async fn change<S: Storage>(
    storage: &S,
    change: impl FnOnce(&mut Resource),
) -> Result<(), StorageFault> {
    storage
        .turn(async |tx| {
            let Some(mut resource) = tx.read::<Resource>(UPLOAD_KEY).await? else {
                return Ok(());
            };
            change(&mut resource);
            save(tx, Some(&resource), None).await
        })
        .await
}
