//! What the uploads of one user share: the pace of their chats, and the list of unfinished ones.
//!
//! | key | value |
//! |---|---|
//! | `pace/<chat>` | [`ChatPace`] |
//! | `upload/<object>` | [`Unfinished`] |
//! | `seal/<object>` | [`SealingKey`]: with it that upload's alarm deletes its messages |

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Context, DurableObject, Range, StorageFault, Transaction, ask, parse};
use crate::host::{Host, ObjectFault, UnixMillis};
use crate::resumable::pace::{ChatLimits, ChatPace, Turn};
use crate::resumable::seal::SealingKey;
use crate::resumable::unfinished::{Advance, MAX_UNFINISHED, Unfinished};
use crate::text::hex;

const ASK_TIMEOUT_MS: u32 = 5_000;
const PACE_PREFIX: &str = "pace/";
const UPLOAD_PREFIX: &str = "upload/";
const SEAL_PREFIX: &str = "seal/";

/// The object of one user.
pub struct UserUploads;

/// What it can be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// When may a part be sent to that chat?
    Turn {
        /// The chat's id.
        chat: String,
        /// What names the part.
        ticket: String,
    },
    /// What became of a part that had its turn.
    Report(Report),
    /// An upload begins. It is listed from now on.
    Begin {
        /// The name of its object.
        object: String,
        /// The entry.
        entry: Unfinished,
        /// The key to what the upload has sealed.
        key: SealingKey,
    },
    /// The unfinished uploads.
    List,
    /// An upload is not unfinished any more.
    Unlist(String),
    /// The key to what an upload has sealed.
    Key(String),
    /// An upload is forgotten, and with it its key.
    Forget(String),
}

/// What became of a part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The chat's id.
    pub chat: String,
    /// What names the part.
    pub ticket: String,
    /// It is in the chat, or may be.
    pub is_sent: bool,
    /// Seconds for which Telegram wants nothing.
    pub retry_after: Option<u32>,
    /// The upload's object, and how far the upload is now.
    pub advance: Option<(String, Advance)>,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done,
    /// When a part may be sent.
    Turn(Turn),
    /// The user has as many unfinished uploads as one may have.
    TooMany,
    /// The unfinished uploads, in no order.
    List(Vec<Unfinished>),
    /// The key, if it is known.
    Key(Option<SealingKey>),
}

/// Asks the object of a user.
///
/// # Errors
/// Why there is no answer.
pub async fn ask_user(
    host: &impl Host,
    user_id: &str,
    question: &Question,
) -> Result<Answer, ObjectFault> {
    let name = hex(&Sha256::digest(user_id));
    ask::<UserUploads>(host, &name, question, ASK_TIMEOUT_MS).await
}

impl DurableObject for UserUploads {
    type Question = Question;
    type Answer = Answer;
    const BINDING: &'static str = "USER_UPLOADS";

    async fn answer<H: Host, T: Transaction>(
        context: &Context<'_, H>,
        tx: &mut T,
        question: Question,
    ) -> Result<Answer, StorageFault> {
        let now = context.now();
        match question {
            Question::Turn { chat, ticket } => {
                let limits = ChatLimits::per_minute(context.config.chat_messages_per_minute);
                let key = format!("{PACE_PREFIX}{chat}");
                let mut pace = tx.read::<ChatPace>(&key).await?.unwrap_or_default();
                let turn = pace.ask(&ticket, limits, now);
                tx.write(&key, &pace).await?;
                return Ok(Answer::Turn(turn));
            }
            Question::Report(report) => note_report(tx, report, now).await?,
            Question::Begin { object, entry, key } => {
                return begin(tx, &object, &entry, &key, now).await;
            }
            Question::List => return Ok(Answer::List(unfinished(tx).await?)),
            Question::Unlist(object) => {
                tx.delete(&format!("{UPLOAD_PREFIX}{object}")).await?;
            }
            Question::Key(object) => {
                let key = tx.read(&format!("{SEAL_PREFIX}{object}")).await?;
                return Ok(Answer::Key(key));
            }
            Question::Forget(object) => forget(tx, &object).await?,
        }
        Ok(Answer::Done)
    }
}

async fn note_report(
    tx: &mut impl Transaction,
    report: Report,
    now: UnixMillis,
) -> Result<(), StorageFault> {
    let key = format!("{PACE_PREFIX}{}", report.chat);
    let mut pace = tx.read::<ChatPace>(&key).await?.unwrap_or_default();
    if report.is_sent {
        pace.sent(&report.ticket, now);
    } else {
        pace.unused(&report.ticket);
    }
    if let Some(seconds) = report.retry_after {
        pace.told_to_wait(seconds, now);
    }
    tx.write(&key, &pace).await?;
    if let Some((object, advance)) = report.advance {
        let key = format!("{UPLOAD_PREFIX}{object}");
        // One that is finished is not listed again.
        if let Some(mut entry) = tx.read::<Unfinished>(&key).await? {
            entry.advance(advance);
            tx.write(&key, &entry).await?;
        }
    }
    Ok(())
}

async fn begin(
    tx: &mut impl Transaction,
    object: &str,
    entry: &Unfinished,
    key: &SealingKey,
    now: UnixMillis,
) -> Result<Answer, StorageFault> {
    let listed = Range::first(UPLOAD_PREFIX, MAX_UNFINISHED + 1);
    let mut count = 0;
    for (key, value) in tx.list(listed).await? {
        let known: Unfinished = parse(&value)?;
        if known.is_forgotten(now) {
            // Its upload died before it was made, or could not say that it is over.
            let object = key.strip_prefix(UPLOAD_PREFIX).unwrap_or_default();
            forget(tx, object).await?;
        } else if known.is_listed(now) && known.id != entry.id {
            count += 1;
        }
    }
    if count >= MAX_UNFINISHED {
        return Ok(Answer::TooMany);
    }
    let seal_key = format!("{SEAL_PREFIX}{object}");
    // Two requests may begin the same upload: it has one key.
    let sealed_before = tx.read::<SealingKey>(&seal_key).await?;
    let key = sealed_before.unwrap_or_else(|| key.clone());
    tx.write(&seal_key, &key).await?;
    tx.write(&format!("{UPLOAD_PREFIX}{object}"), entry).await?;
    Ok(Answer::Key(Some(key)))
}

async fn unfinished(tx: &mut impl Transaction) -> Result<Vec<Unfinished>, StorageFault> {
    let listed = tx.list(Range::first(UPLOAD_PREFIX, MAX_UNFINISHED)).await?;
    listed.iter().map(|(_, value)| parse(value)).collect()
}

async fn forget(tx: &mut impl Transaction, object: &str) -> Result<(), StorageFault> {
    tx.delete(&format!("{UPLOAD_PREFIX}{object}")).await?;
    tx.delete(&format!("{SEAL_PREFIX}{object}")).await
}
