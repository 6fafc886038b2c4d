//! The credentials that a worker borrows for one user, and how they are kept.

use std::{fmt, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    error::{ApiError, Refusals},
    extract::Caller,
    quota::Quota,
};
use crate::{
    app::App,
    secrets::Place,
    store::{
        audit::AuditEntry,
        destinations::{Destination, TelegramAccount},
        sealed::{API_HASH, BOT_TOKEN, SESSION, SealedColumn},
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
}

/// Borrow a user's credentials
///
/// For a worker that uploads in the user's name. Refused with 403 when nothing is left of the user's
/// plan in this month.
#[utoipa::path(
    get, path = "/worker/credentials", tag = "worker", security(("token" = [])),
    responses((status = 200, body = Credentials), Refusals)
)]
pub(super) async fn borrow(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<Credentials>, ApiError> {
    let credentials = app.lend(&caller.user_id).await?;
    app.write_behind
        .record(caller.entry("credentials.fetch", None));
    Ok(Json(credentials))
}

impl App {
    async fn lend(&self, user_id: &str) -> Result<Credentials, ApiError> {
        Quota::of(&self.store, user_id).await?.check()?;
        self.credentials_of(user_id).await
    }

    async fn credentials_of(&self, user_id: &str) -> Result<Credentials, ApiError> {
        let bot = self.lendable_bot(user_id).await?;
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
        })
    }

    /// The user's own bot and channel, else the deployment's, else none.
    pub(super) async fn lendable_bot(
        &self,
        user_id: &str,
    ) -> Result<Option<LendableBot>, ApiError> {
        let own = self.bot_and_channel(user_id).await?;
        if let Some((bot_token, Some(channel_id))) = own {
            return Ok(Some(LendableBot {
                bot_token,
                channel_id,
                source: Source::User,
            }));
        }
        Ok(self.deployment_bot.clone().map(|bot| LendableBot {
            bot_token: bot.bot_token,
            channel_id: bot.channel_id,
            source: Source::Deployment,
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
        let place = place(BOT_TOKEN, user_id, &destination.id);
        let bot_token = self.key.open(place, &destination.bot_token_sealed)?;
        Ok(Some((bot_token, destination.channel_id)))
    }

    /// Makes the bot and channel the user's preferred destination; the token is sealed.
    pub(crate) async fn set_bot_and_channel(
        &self,
        user_id: &str,
        bot_username: &str,
        bot_token: &str,
        channel_id: Option<&str>,
        entry: &AuditEntry,
    ) -> Result<(), ApiError> {
        for _ in 0..SET_ATTEMPTS {
            // A token is sealed for its row, so the row is chosen before it is written.
            let id = match self.store.preferred_destination(user_id).await? {
                Some(destination) => destination.id,
                None => uuid::Uuid::new_v4().to_string(),
            };
            let destination = Destination {
                bot_token_sealed: self.key.seal(place(BOT_TOKEN, user_id, &id), bot_token)?,
                channel_id: channel_id.map(str::to_owned),
                id,
            };
            let set = self
                .store
                .set_preferred_destination(user_id, &destination, bot_username, entry)
                .await?;
            if set {
                return Ok(());
            }
        }
        Err(ApiError::Conflict(
            "The settings are being changed by another request; try again".to_owned(),
        ))
    }

    /// Connects the user's own Telegram account; its secrets are sealed.
    pub(crate) async fn set_telegram_account(
        &self,
        user_id: &str,
        api_id: i64,
        api_hash: &str,
        session: &str,
    ) -> Result<(), ApiError> {
        let account = TelegramAccount {
            api_id,
            api_hash_sealed: self.key.seal(place(API_HASH, user_id, ""), api_hash)?,
            session_sealed: self.key.seal(place(SESSION, user_id, ""), session)?,
        };
        self.store.set_telegram_account(user_id, &account).await?;
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
