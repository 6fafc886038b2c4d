//! The emulated Telegram itself: what its people and bots have made, and who may do what where.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    blobs::BlobStore,
    error::BotApiError,
    phones::Phones,
    random::random,
    rates::{Rates, Verdict},
    rights::BotRights,
    store::{Bot, Chat, Database, MessageRow, Store, StoreError},
    token::BotToken,
};

/// Where the data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// In memory, and file contents in a temporary folder; gone at the end.
    Memory,
    /// The database in this SQLite file, and file contents in a folder.
    File {
        /// The database.
        database: PathBuf,
        /// The folder of file contents.
        files: PathBuf,
    },
}

/// Why the emulator did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder of file contents cannot be made or read.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The emulated Telegram.
#[derive(Debug)]
pub struct Telegram {
    pub(crate) store: Store,
    pub(crate) blobs: Arc<BlobStore>,
    /// `None`: bots may post as fast as they can.
    ///
    /// A std mutex: it is held for one decision and never across an await.
    rates: Option<Mutex<Rates>>,
    started: Instant,
    phones: Phones,
}

impl Telegram {
    /// Opens the emulator's data, making it if it is not there. `rate_limits` holds bots to Telegram's
    /// own.
    ///
    /// # Errors
    /// When the database or the folder of file contents cannot be used.
    pub async fn open(data: &Data, rate_limits: bool) -> Result<Self, OpenError> {
        let (database, blobs) = match data {
            Data::Memory => {
                let blobs = BlobStore::temporary().map_err(folder(&std::env::temp_dir()))?;
                (Database::Memory, blobs)
            }
            Data::File { database, files } => {
                let blobs = BlobStore::open(files.clone()).map_err(folder(files))?;
                (Database::File(database.clone()), blobs)
            }
        };
        Ok(Self {
            store: Store::open(&database).await?,
            blobs: Arc::new(blobs),
            rates: rate_limits.then(Mutex::default),
            started: Instant::now(),
            phones: Phones::default(),
        })
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// The phones of Telegram's users.
    pub fn phones(&self) -> &Phones {
        &self.phones
    }

    /// Makes a bot, as BotFather does; returns it with its token.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_bot(&self) -> Result<(Bot, BotToken), BotApiError> {
        let id = random_number(1_000_000_000, 8_000_000_000)?;
        let token = BotToken::generate(id)?;
        let bot = Bot {
            id,
            username: format!("telestore_{id}_bot"),
            first_name: "TeleStore".to_owned(),
        };
        self.store.add_bot(&bot, &token.hash()).await?;
        Ok((bot, token))
    }

    /// Makes a token useless; says whether it was in use.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_bot(&self, token: &BotToken) -> Result<bool, BotApiError> {
        Ok(self.store.revoke_bot(&token.hash()).await?)
    }

    /// Makes a channel; returns its id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_channel(&self, title: &str) -> Result<i64, BotApiError> {
        // Bot API ids of channels: -100, then the channel's own number.
        let id = -1_000_000_000_000 - random_number(1_000_000_000, 4_000_000_000)?;
        self.store.add_channel(id, title).await?;
        Ok(id)
    }

    /// Sets what a bot may do in a channel, as the channel's owner can.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_rights(
        &self,
        channel_id: i64,
        bot_id: i64,
        rights: BotRights,
    ) -> Result<(), BotApiError> {
        Ok(self
            .store
            .set_member(channel_id, bot_id, rights.name())
            .await?)
    }

    /// Every message, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn messages(&self) -> Result<Vec<MessageRow>, BotApiError> {
        Ok(self.store.messages().await?)
    }

    /// Forgets every message and file. Bots and channels stay, and message ids go on from where they
    /// were, as Telegram never gives one out twice.
    ///
    /// # Errors
    /// When the database or the folder of file contents fails.
    pub async fn clear(&self) -> Result<(), BotApiError> {
        self.store.clear_messages().await?;
        Ok(self.blobs.clear().await?)
    }

    /// getMe.
    ///
    /// # Errors
    /// 401: no bot has the token.
    pub async fn get_me(&self, token: &BotToken) -> Result<Bot, BotApiError> {
        self.store
            .bot_by_token(&token.hash())
            .await?
            .ok_or_else(BotApiError::unauthorized)
    }

    /// getChat.
    ///
    /// # Errors
    /// 400: there is no such chat; 403: the bot is not in it.
    pub async fn get_chat(&self, bot: &Bot, chat_id: &str) -> Result<Chat, BotApiError> {
        let (chat, rights) = self.chat_and_rights(bot, chat_id).await?;
        rights.require_access()?;
        Ok(chat)
    }

    /// getChatMember of the bot itself.
    ///
    /// # Errors
    /// 400: there is no such chat; 403: the bot is not in it.
    pub async fn get_own_rights(&self, bot: &Bot, chat_id: &str) -> Result<BotRights, BotApiError> {
        let (_, rights) = self.chat_and_rights(bot, chat_id).await?;
        rights.require_access()?;
        Ok(rights)
    }

    pub(crate) async fn chat_and_rights(
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

    /// Waits or refuses, as the rate limits say.
    pub(crate) async fn pace(
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

pub(crate) fn describe_chat(chat: &Chat) -> Value {
    json!({ "id": chat.id, "title": chat.title, "type": chat.kind })
}

fn folder(path: &Path) -> impl FnOnce(std::io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Folder { path, source }
}

/// A number from `from` up to but not including `to`.
fn random_number(from: u64, to: u64) -> Result<i64, getrandom::Error> {
    let number = from + u64::from_le_bytes(random()?) % (to - from);
    Ok(i64::try_from(number).unwrap_or(i64::MAX))
}
