//! Where a user's files go: the bot, the channel, and the user's own Telegram account.

use super::{Store, StoreError, unix_now};

/// A user's bot and channel, the token still sealed.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) bot_token_sealed: Vec<u8>,
    pub(crate) channel_id: Option<String>,
}

/// A user's own Telegram account, its secrets still sealed.
#[derive(Debug)]
pub(crate) struct TelegramAccount {
    pub(crate) api_id: i64,
    pub(crate) api_hash_sealed: Vec<u8>,
    pub(crate) session_sealed: Vec<u8>,
}

impl Store {
    /// The user's destination, if a bot was set.
    pub(crate) async fn destination_of(
        &self,
        user_id: &str,
    ) -> Result<Option<Destination>, StoreError> {
        Ok(sqlx::query_as::<_, (Vec<u8>, Option<String>)>(
            "SELECT bot_token_sealed, channel_id FROM destinations WHERE user_id = $1",
        )
        .bind(user_id)
        .fetch_optional(&self.read)
        .await?
        .map(|(bot_token_sealed, channel_id)| Destination {
            bot_token_sealed,
            channel_id,
        }))
    }

    /// Sets the user's destination in place of the one before.
    pub(crate) async fn set_destination(
        &self,
        user_id: &str,
        bot_username: &str,
        bot_token_sealed: &[u8],
        channel_id: Option<&str>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO destinations \
             (id, user_id, bot_username, bot_token_sealed, channel_id, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (user_id) DO UPDATE SET bot_username = excluded.bot_username, \
             bot_token_sealed = excluded.bot_token_sealed, channel_id = excluded.channel_id",
        )
        .bind(uuid::Uuid::new_v4().to_string())
        .bind(user_id)
        .bind(bot_username)
        .bind(bot_token_sealed)
        .bind(channel_id)
        .bind(unix_now())
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// The user's own Telegram account, if one was connected.
    pub(crate) async fn telegram_account_of(
        &self,
        user_id: &str,
    ) -> Result<Option<TelegramAccount>, StoreError> {
        Ok(sqlx::query_as::<_, (i64, Vec<u8>, Vec<u8>)>(
            "SELECT api_id, api_hash_sealed, session_sealed \
             FROM telegram_accounts WHERE user_id = $1",
        )
        .bind(user_id)
        .fetch_optional(&self.read)
        .await?
        .map(
            |(api_id, api_hash_sealed, session_sealed)| TelegramAccount {
                api_id,
                api_hash_sealed,
                session_sealed,
            },
        ))
    }

    /// Connects the user's own Telegram account.
    pub(crate) async fn set_telegram_account(
        &self,
        user_id: &str,
        account: &TelegramAccount,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO telegram_accounts (user_id, api_id, api_hash_sealed, session_sealed) \
             VALUES ($1, $2, $3, $4) \
             ON CONFLICT (user_id) DO UPDATE SET api_id = excluded.api_id, \
             api_hash_sealed = excluded.api_hash_sealed, session_sealed = excluded.session_sealed",
        )
        .bind(user_id)
        .bind(account.api_id)
        .bind(&account.api_hash_sealed)
        .bind(&account.session_sealed)
        .execute(&self.write)
        .await?;
        Ok(())
    }
}
