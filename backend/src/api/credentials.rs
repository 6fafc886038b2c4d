//! The credentials that a worker borrows for one user, and how they are kept.

use std::{fmt, sync::Arc};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    bot_check::{CheckedBot, CheckedChannel},
    error::{ApiError, Refusals},
    extract::{ApiQuery, Caller},
    quota::Quota,
};
use crate::{
    app::App,
    secrets::Place,
    store::{
        audit::AuditEntry,
        destinations::{Destination, TelegramAccount},
        sealed::{API_HASH, BOT_TOKEN, SESSION, SealedColumn},
        unix_now,
    },
};

/// How often a destination is set again that another request has changed meanwhile.
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

/// What a worker needs to upload for a user.
#[derive(Serialize, ToSchema)]
pub(super) struct Credentials {
    bot_token: String,
    channel_id: String,
    telegram_session: Option<String>,
    telegram_api_id: Option<i64>,
    telegram_api_hash: Option<String>,
    user_id: String,
    backend_url: String,
    source: Source,
    /// Which of the user's destinations this is; `null`: none of them.
    destination_id: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Choice {
    /// The id of one of the user's destinations; the preferred one if it is not said.
    destination: Option<String>,
}

/// Whose bot and channel these are.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// The user's own.
    User,
    /// The deployment's, since the user has none.
    Deployment,
}

/// A bot and a channel to lend.
pub(super) struct LendableBot {
    bot_token: String,
    channel_id: String,
    source: Source,
    destination_id: Option<String>,
}

/// Borrow a user's credentials
///
/// For a worker that uploads in the user's name: those of the destination that is named, else the
/// user's preferred ones, else the deployment's. Refused with 403 when nothing is left of the user's
/// plan in this month.
#[utoipa::path(
    get, path = "/worker/credentials", tag = "worker", security(("token" = [])), params(Choice),
    responses((status = 200, body = Credentials), Refusals)
)]
pub(super) async fn borrow(
    State(app): State<Arc<App>>,
    caller: Caller,
    ApiQuery(choice): ApiQuery<Choice>,
) -> Result<Json<Credentials>, ApiError> {
    let chosen = choice.destination.as_deref();
    let credentials = app.lend(&caller.user_id, chosen).await?;
    let target = credentials.destination_id.as_deref();
    app.write_behind
        .record(caller.entry("credentials.fetch", target));
    Ok(Json(credentials))
}

impl App {
    async fn lend(&self, user_id: &str, chosen: Option<&str>) -> Result<Credentials, ApiError> {
        Quota::of(&self.store, user_id).await?.check()?;
        self.credentials_of(user_id, chosen).await
    }

    async fn credentials_of(
        &self,
        user_id: &str,
        chosen: Option<&str>,
    ) -> Result<Credentials, ApiError> {
        let bot = match chosen {
            Some(id) => self.chosen_bot(user_id, id).await?,
            None => self.lendable_bot(user_id).await?,
        };
        let bot = bot.ok_or(ApiError::NotConfigured)?;
        let account = self.store.telegram_account_of(user_id).await?;
        let open = |column, sealed: &[u8]| self.key.open(place(column, user_id, ""), sealed);
        let (api_id, api_hash, session) = match account {
            Some(account) => (
                Some(account.api_id),
                Some(open(API_HASH, &account.api_hash_sealed)?),
                Some(open(SESSION, &account.session_sealed)?),
            ),
            None => (None, None, None),
        };
        Ok(Credentials {
            bot_token: bot.bot_token,
            channel_id: bot.channel_id,
            telegram_session: session,
            telegram_api_id: api_id,
            telegram_api_hash: api_hash,
            user_id: user_id.to_owned(),
            backend_url: self.base_url.clone(),
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
    pub(super) async fn lendable_bot(
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
        let place = place(BOT_TOKEN, user_id, &destination.id);
        Ok(self.key.open(place, &destination.bot_token_sealed)?)
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
            let destination = self.destination(user_id, id, bot, channel)?;
            let set = self
                .store
                .set_preferred_destination(user_id, &destination, entry)
                .await?;
            if set {
                self.credentials_changed(user_id);
                return Ok(());
            }
        }
        Err(ApiError::Conflict(
            "The settings are being changed by another request; try again".to_owned(),
        ))
    }

    /// A destination that is yet to be stored; the token is sealed for the row with this id.
    pub(super) fn destination(
        &self,
        user_id: &str,
        id: String,
        bot: &CheckedBot,
        channel: Option<&CheckedChannel>,
    ) -> Result<Destination, ApiError> {
        let place = place(BOT_TOKEN, user_id, &id);
        Ok(Destination {
            label: String::new(),
            bot_username: bot.user.username.clone(),
            bot_token_sealed: self.key.seal(place, bot.token.expose())?,
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
            api_hash_sealed: self.key.seal(place(API_HASH, user_id, ""), api_hash)?,
            session_sealed: self.key.seal(place(SESSION, user_id, ""), session)?,
            channel_id: None,
            invite_sealed: None,
        };
        self.store
            .set_telegram_account(user_id, &account, entry)
            .await?;
        Ok(())
    }
}

/// The place of a secret in a row of a user's.
pub(crate) fn place<'a>(column: SealedColumn, user_id: &'a str, row: &'a str) -> Place<'a> {
    Place {
        user_id,
        field: column.field,
        row: if column.by_row { row } else { "" },
    }
}
