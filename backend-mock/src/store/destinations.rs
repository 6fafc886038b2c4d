//! Where a user's files go: the bot, the channel, and the user's own Telegram account.

use super::{
    Store, StoreError,
    audit::{self, AuditEntry},
    unix_now,
};

/// A user's bot and channel, the token still sealed.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) id: String,
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
    /// The user's preferred destination, if a bot was set.
    pub(crate) async fn preferred_destination(
        &self,
        user_id: &str,
    ) -> Result<Option<Destination>, StoreError> {
        Ok(sqlx::query_as::<_, (String, Vec<u8>, Option<String>)>(
            "SELECT id, bot_token_sealed, channel_id FROM destinations \
             WHERE user_id = $1 AND preferred = 1",
        )
        .bind(user_id)
        .fetch_optional(&self.read)
        .await?
        .map(|(id, bot_token_sealed, channel_id)| Destination {
            id,
            bot_token_sealed,
            channel_id,
        }))
    }

    /// Sets the user's preferred destination: changes the one with this id, or adds it where the
    /// user has none preferred. Says whether it was set; not so if another one is preferred by now.
    pub(crate) async fn set_preferred_destination(
        &self,
        user_id: &str,
        destination: &Destination,
        bot_username: &str,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let set = sqlx::query(
            "INSERT INTO destinations \
             (id, user_id, bot_username, bot_token_sealed, channel_id, preferred, created_at) \
             VALUES ($1, $2, $3, $4, $5, 1, $6) \
             ON CONFLICT (user_id) WHERE preferred = 1 DO UPDATE SET \
             bot_username = excluded.bot_username, \
             bot_token_sealed = excluded.bot_token_sealed, channel_id = excluded.channel_id \
             WHERE destinations.id = excluded.id",
        )
        .bind(&destination.id)
        .bind(user_id)
        .bind(bot_username)
        .bind(&destination.bot_token_sealed)
        .bind(&destination.channel_id)
        .bind(unix_now())
        .execute(&mut *transaction)
        .await?
        .rows_affected()
            == 1;
        if set {
            audit::add(&mut transaction, std::slice::from_ref(entry)).await?;
        }
        transaction.commit().await?;
        Ok(set)
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
