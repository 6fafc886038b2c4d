//! Where a user's files go: bots, channels and the user's own Telegram account, with every secret sealed.

use std::{fmt, sync::Arc};

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    bot_check::{CheckedBot, CheckedChannel},
    error::ApiError,
    secrets::KeyRing,
    store::{
        Store,
        audit::AuditEntry,
        destinations::{Destination, TelegramAccount},
        sealed::{API_HASH, BOT_TOKEN, SESSION, SealedColumn},
    },
    time::unix_now,
    worker_hook::WorkerHook,
};

/// How many times a destination is set when other requests keep changing it.
const SET_ATTEMPTS: u32 = 3;

/// The bot and the channel of the deployment, for users that have none of their own. Its `Debug`
/// shows no token.
#[derive(Clone)]
pub struct DeploymentBot {
    /// `TELEGRAM_BOT_TOKEN`.
    pub bot_token: String,
    /// `TELEGRAM_CHANNEL_ID`.
    pub channel_id: String,
}

impl fmt::Debug for DeploymentBot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.channel_id)
    }
}

/// Reads and changes users' destinations.
#[derive(Clone, Debug)]
pub(crate) struct Destinations {
    pub(crate) store: Store,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) worker: WorkerHook,
    /// Serves users that have no bot of their own.
    pub(crate) deployment_bot: Option<DeploymentBot>,
}

/// A bot, a channel, and the user's own Telegram account.
pub(crate) struct LentCredentials {
    pub(crate) bot_token: String,
    pub(crate) channel_id: String,
    pub(crate) telegram_session: Option<String>,
    pub(crate) telegram_api_id: Option<i64>,
    pub(crate) telegram_api_hash: Option<String>,
    pub(crate) source: Source,
    pub(crate) destination_id: Option<String>,
}

/// Whose bot and channel these are.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// The user's own.
    User,
    /// The deployment's, since the user has none.
    Deployment,
}

/// A bot and a channel to lend.
pub(crate) struct LendableBot {
    bot_token: String,
    channel_id: String,
    source: Source,
    destination_id: Option<String>,
}

impl Destinations {
    /// What a worker needs to upload for the user: to the destination that is named, else to the
    /// preferred one.
    pub(crate) async fn credentials_of(
        &self,
        user_id: &str,
        chosen: Option<&str>,
    ) -> Result<LentCredentials, ApiError> {
        let bot = match chosen {
            Some(id) => self.chosen_bot(user_id, id).await?,
            None => self.lendable_bot(user_id).await?,
        };
        let bot = bot.ok_or(ApiError::NotConfigured)?;
        let account = self.store.telegram_account_of(user_id).await?;
        let open =
            |column: SealedColumn, sealed: &[u8]| self.keys.open(column.place(user_id, ""), sealed);
        let (api_id, api_hash, session) = match account {
            Some(account) => (
                Some(account.api_id),
                Some(open(API_HASH, &account.api_hash_sealed)?),
                Some(open(SESSION, &account.session_sealed)?),
            ),
            None => (None, None, None),
        };
        Ok(LentCredentials {
            bot_token: bot.bot_token,
            channel_id: bot.channel_id,
            telegram_session: session,
            telegram_api_id: api_id,
            telegram_api_hash: api_hash,
            source: bot.source,
            destination_id: bot.destination_id,
        })
    }

    /// The bot and channel of one of the user's destinations; `None` if it has no channel yet.
    async fn chosen_bot(&self, user_id: &str, id: &str) -> Result<Option<LendableBot>, ApiError> {
        let destination = self.store.destination(user_id, id).await?;
        let destination = destination.ok_or(ApiError::NoDestination)?;
        self.lendable(user_id, destination)
    }

    /// The user's own bot and channel, else the deployment's, else none.
    pub(crate) async fn lendable_bot(
        &self,
        user_id: &str,
    ) -> Result<Option<LendableBot>, ApiError> {
        if let Some(destination) = self.store.preferred_destination(user_id).await?
            && let Some(own) = self.lendable(user_id, destination)?
        {
            return Ok(Some(own));
        }
        Ok(self.deployment_bot.clone().map(|bot| LendableBot {
            bot_token: bot.bot_token,
            channel_id: bot.channel_id,
            source: Source::Deployment,
            destination_id: None,
        }))
    }

    fn lendable(
        &self,
        user_id: &str,
        destination: Destination,
    ) -> Result<Option<LendableBot>, ApiError> {
        let bot_token = self.open_bot_token(user_id, &destination)?;
        Ok(destination.channel_id.map(|channel_id| LendableBot {
            bot_token,
            channel_id,
            source: Source::User,
            destination_id: Some(destination.id),
        }))
    }

    /// The token and the channel of the user's preferred destination, if a bot was set.
    pub(crate) async fn bot_and_channel(
        &self,
        user_id: &str,
    ) -> Result<Option<(String, Option<String>)>, ApiError> {
        let Some(destination) = self.store.preferred_destination(user_id).await? else {
            return Ok(None);
        };
        let bot_token = self.open_bot_token(user_id, &destination)?;
        Ok(Some((bot_token, destination.channel_id)))
    }

    /// The token of a destination of the user's, in the clear.
    pub(crate) fn open_bot_token(
        &self,
        user_id: &str,
        destination: &Destination,
    ) -> Result<String, ApiError> {
        let place = BOT_TOKEN.place(user_id, &destination.id);
        Ok(self.keys.open(place, &destination.bot_token_sealed)?)
    }

    /// Makes the bot and channel the user's preferred destination; the token is sealed.
    pub(crate) async fn set_preferred(
        &self,
        user_id: &str,
        bot: &CheckedBot,
        channel: Option<&CheckedChannel>,
        entry: &AuditEntry,
    ) -> Result<(), ApiError> {
        for _ in 0..SET_ATTEMPTS {
            // A token is sealed for its row, so the row is chosen before it is written.
            let id = match self.store.preferred_destination(user_id).await? {
                Some(destination) => destination.id,
                None => uuid::Uuid::now_v7().to_string(),
            };
            let destination = self.new_row(user_id, id, bot, channel)?;
            let set = self
                .store
                .set_preferred_destination(user_id, &destination, entry)
                .await?;
            if set {
                self.worker.credentials_changed(user_id);
                return Ok(());
            }
        }
        Err(ApiError::Conflict(
            "The settings are being changed by another request; try again".to_owned(),
        ))
    }

    /// A destination that is yet to be stored; the token is sealed for the row with this id.
    pub(crate) fn new_row(
        &self,
        user_id: &str,
        id: String,
        bot: &CheckedBot,
        channel: Option<&CheckedChannel>,
    ) -> Result<Destination, ApiError> {
        let place = BOT_TOKEN.place(user_id, &id);
        Ok(Destination {
            label: String::new(),
            bot_username: bot.user.username.clone(),
            bot_token_sealed: self.keys.seal(place, bot.token.expose())?,
            channel_id: channel.map(|channel| channel.id.clone()),
            channel_title: channel.and_then(|channel| channel.title.clone()),
            preferred: true,
            created_at: unix_now(),
            id,
        })
    }

    /// Connects the user's own Telegram account; its secrets are sealed.
    pub(crate) async fn set_telegram_account(
        &self,
        user_id: &str,
        api_id: i64,
        api_hash: &str,
        session: &str,
        entry: &AuditEntry,
    ) -> Result<(), ApiError> {
        let account = TelegramAccount {
            api_id,
            api_hash_sealed: self.keys.seal(API_HASH.place(user_id, ""), api_hash)?,
            session_sealed: self.keys.seal(SESSION.place(user_id, ""), session)?,
            channel_id: None,
            invite_sealed: None,
        };
        self.store
            .set_telegram_account(user_id, &account, entry)
            .await?;
        Ok(())
    }
}
