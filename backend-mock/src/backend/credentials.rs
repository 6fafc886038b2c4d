//! The credentials that a worker borrows for one user, and how they are kept.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{error::ApiError, extract::Caller};
use crate::{
    app::App,
    secrets::{Place, SecretsError},
    store::destinations::TelegramAccount,
};

/// Names under which secrets are sealed. Changing one makes what is stored unreadable.
const BOT_TOKEN: &str = "bot_token";
const API_HASH: &str = "telegram_api_hash";
const SESSION: &str = "telegram_session";

/// `GET /api/worker/credentials`
pub(super) async fn borrow(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    let user_id = &caller.user_id;
    let (bot_token, channel_id) = app
        .bot_and_channel(user_id)
        .await?
        .ok_or(ApiError::NotConfigured)?;
    let channel_id = channel_id.ok_or(ApiError::NotConfigured)?;
    let account = app.store.telegram_account_of(user_id).await?;
    let open = |field, sealed: &[u8]| app.key.open(Place { user_id, field }, sealed);
    let (api_id, api_hash, session) = match account {
        Some(account) => (
            Some(account.api_id),
            Some(open(API_HASH, &account.api_hash_sealed)?),
            Some(open(SESSION, &account.session_sealed)?),
        ),
        None => (None, None, None),
    };
    Ok(Json(json!({
        "bot_token": bot_token,
        "channel_id": channel_id,
        "telegram_session": session,
        "telegram_api_id": api_id,
        "telegram_api_hash": api_hash,
        "user_id": user_id,
        "backend_url": app.base_url,
    })))
}

impl App {
    /// The user's bot token and channel, if a bot was set.
    pub(crate) async fn bot_and_channel(
        &self,
        user_id: &str,
    ) -> Result<Option<(String, Option<String>)>, ApiError> {
        let Some(destination) = self.store.destination_of(user_id).await? else {
            return Ok(None);
        };
        let place = Place {
            user_id,
            field: BOT_TOKEN,
        };
        let bot_token = self.key.open(place, &destination.bot_token_sealed)?;
        Ok(Some((bot_token, destination.channel_id)))
    }

    /// Makes the bot and channel the user's destination; the token is sealed.
    pub(crate) async fn set_bot_and_channel(
        &self,
        user_id: &str,
        bot_username: &str,
        bot_token: &str,
        channel_id: Option<&str>,
    ) -> Result<(), ApiError> {
        let place = Place {
            user_id,
            field: BOT_TOKEN,
        };
        let sealed = self.key.seal(place, bot_token)?;
        self.store
            .set_destination(user_id, bot_username, &sealed, channel_id)
            .await?;
        Ok(())
    }

    /// Connects the user's own Telegram account; its secrets are sealed.
    pub(crate) async fn set_telegram_account(
        &self,
        user_id: &str,
        api_id: i64,
        api_hash: &str,
        session: &str,
    ) -> Result<(), ApiError> {
        let seal = |field, secret| -> Result<Vec<u8>, SecretsError> {
            self.key.seal(Place { user_id, field }, secret)
        };
        let account = TelegramAccount {
            api_id,
            api_hash_sealed: seal(API_HASH, api_hash)?,
            session_sealed: seal(SESSION, session)?,
        };
        self.store.set_telegram_account(user_id, &account).await?;
        Ok(())
    }
}
