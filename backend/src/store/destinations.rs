//! Where a user's files go: the bot, the channel, and the user's own Telegram account.

use sqlx::{Any, Transaction};

use crate::{
    store::{
        Store, StoreError,
        audit::{self, AuditEntry},
        row::{row, select},
    },
    time::unix_now,
};

row! {
    /// A user's bot and channel, the token still sealed.
    #[derive(Clone, Debug)]
    pub(crate) struct Destination {
        pub(crate) id: String,
        /// What its user calls it; may be empty.
        pub(crate) label: String,
        pub(crate) bot_username: String,
        pub(crate) bot_token_sealed: Vec<u8>,
        pub(crate) channel_id: Option<String>,
        pub(crate) channel_title: Option<String>,
        /// Whether uploads go there that name no destination.
        pub(crate) preferred: bool,
        /// Unix seconds.
        pub(crate) created_at: i64,
    }
}

row! {
    /// A user's own Telegram account, its secrets still sealed.
    #[derive(Debug)]
    pub(crate) struct TelegramAccount {
        pub(crate) api_id: i64,
        pub(crate) api_hash_sealed: Vec<u8>,
        pub(crate) session_sealed: Vec<u8>,
        /// The channel that was made for the user, if the account was connected by a login.
        pub(crate) channel_id: Option<String>,
        pub(crate) invite_sealed: Option<Vec<u8>>,
    }
}

impl Store {
    /// The user's destinations, oldest first.
    pub(crate) async fn destinations(&self, user_id: &str) -> Result<Vec<Destination>, StoreError> {
        let sql = "FROM destinations WHERE user_id = $1 ORDER BY created_at, id";
        Ok(sqlx::query_as(select::<Destination>(sql))
            .bind(user_id)
            .fetch_all(&self.read)
            .await?)
    }

    /// One of the user's destinations.
    pub(crate) async fn destination(
        &self,
        user_id: &str,
        id: &str,
    ) -> Result<Option<Destination>, StoreError> {
        let sql = "FROM destinations WHERE user_id = $1 AND id = $2";
        Ok(sqlx::query_as(select::<Destination>(sql))
            .bind(user_id)
            .bind(id)
            .fetch_optional(&self.read)
            .await?)
    }

    /// The user's preferred destination, if a bot was set.
    pub(crate) async fn preferred_destination(
        &self,
        user_id: &str,
    ) -> Result<Option<Destination>, StoreError> {
        let sql = "FROM destinations WHERE user_id = $1 AND preferred = 1";
        Ok(sqlx::query_as(select::<Destination>(sql))
            .bind(user_id)
            .fetch_optional(&self.read)
            .await?)
    }

    /// Adds a destination, unless the user has `limit` of them. It becomes preferred if it says so, or if
    /// no other is. Returns it as it is stored.
    pub(crate) async fn add_destination(
        &self,
        user_id: &str,
        mut destination: Destination,
        limit: i64,
        entry: &AuditEntry,
    ) -> Result<Option<Destination>, StoreError> {
        let mut transaction = self.begin().await?;
        lock_user(&mut transaction, user_id).await?;
        let (count, preferred): (i64, i64) = sqlx::query_as(
            "SELECT COUNT(*), CAST(COALESCE(SUM(preferred), 0) AS BIGINT) \
             FROM destinations WHERE user_id = $1",
        )
        .bind(user_id)
        .fetch_one(&mut *transaction)
        .await?;
        if count >= limit {
            return Ok(None);
        }
        destination.preferred |= preferred == 0;
        if destination.preferred {
            prefer_none(&mut transaction, user_id).await?;
        }
        sqlx::query(
            "INSERT INTO destinations (id, user_id, label, bot_username, bot_token_sealed, \
             channel_id, channel_title, preferred, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&destination.id)
        .bind(user_id)
        .bind(&destination.label)
        .bind(&destination.bot_username)
        .bind(&destination.bot_token_sealed)
        .bind(&destination.channel_id)
        .bind(&destination.channel_title)
        .bind(i64::from(destination.preferred))
        .bind(destination.created_at)
        .execute(&mut *transaction)
        .await?;
        audit::add(&mut transaction, std::slice::from_ref(entry)).await?;
        transaction.commit().await?;
        Ok(Some(destination))
    }

    /// Sets the user's preferred destination: changes the one with this id and keeps its label, or adds it
    /// if the user has none preferred. Says whether it was set: it is not if another one has become
    /// preferred.
    pub(crate) async fn set_preferred_destination(
        &self,
        user_id: &str,
        destination: &Destination,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        lock_user(&mut transaction, user_id).await?;
        let set = sqlx::query(
            "INSERT INTO destinations (id, user_id, label, bot_username, bot_token_sealed, \
             channel_id, channel_title, preferred, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8) \
             ON CONFLICT (user_id) WHERE preferred = 1 DO UPDATE SET \
             bot_username = excluded.bot_username, \
             bot_token_sealed = excluded.bot_token_sealed, channel_id = excluded.channel_id, \
             channel_title = excluded.channel_title \
             WHERE destinations.id = excluded.id",
        )
        .bind(&destination.id)
        .bind(user_id)
        .bind(&destination.label)
        .bind(&destination.bot_username)
        .bind(&destination.bot_token_sealed)
        .bind(&destination.channel_id)
        .bind(&destination.channel_title)
        .bind(destination.created_at)
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

    /// Makes one of the user's destinations the preferred one; says whether there is one with this id.
    pub(crate) async fn prefer_destination(
        &self,
        user_id: &str,
        id: &str,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        lock_user(&mut transaction, user_id).await?;
        prefer_none(&mut transaction, user_id).await?;
        let preferred =
            sqlx::query("UPDATE destinations SET preferred = 1 WHERE user_id = $1 AND id = $2")
                .bind(user_id)
                .bind(id)
                .execute(&mut *transaction)
                .await?
                .rows_affected()
                == 1;
        if preferred {
            audit::add(&mut transaction, std::slice::from_ref(entry)).await?;
            transaction.commit().await?;
        }
        Ok(preferred)
    }

    /// Removes one of the user's destinations; says whether there was one. If it was the preferred one,
    /// the oldest of the others becomes preferred.
    pub(crate) async fn remove_destination(
        &self,
        user_id: &str,
        id: &str,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        lock_user(&mut transaction, user_id).await?;
        let removed = sqlx::query("DELETE FROM destinations WHERE user_id = $1 AND id = $2")
            .bind(user_id)
            .bind(id)
            .execute(&mut *transaction)
            .await?
            .rows_affected()
            == 1;
        if removed {
            sqlx::query(
                "UPDATE destinations SET preferred = 1 WHERE id = \
                 (SELECT id FROM destinations WHERE user_id = $1 ORDER BY created_at, id LIMIT 1) \
                 AND NOT EXISTS (SELECT 1 FROM destinations WHERE user_id = $1 AND preferred = 1)",
            )
            .bind(user_id)
            .execute(&mut *transaction)
            .await?;
            audit::add(&mut transaction, std::slice::from_ref(entry)).await?;
            transaction.commit().await?;
        }
        Ok(removed)
    }

    /// The user's own Telegram account, if one was connected.
    pub(crate) async fn telegram_account_of(
        &self,
        user_id: &str,
    ) -> Result<Option<TelegramAccount>, StoreError> {
        let sql = "FROM telegram_accounts WHERE user_id = $1";
        Ok(sqlx::query_as(select::<TelegramAccount>(sql))
            .bind(user_id)
            .fetch_optional(&self.read)
            .await?)
    }

    /// Connects the user's own Telegram account.
    pub(crate) async fn set_telegram_account(
        &self,
        user_id: &str,
        account: &TelegramAccount,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        set_account(&mut transaction, user_id, account).await?;
        audit::add(&mut transaction, std::slice::from_ref(entry)).await?;
        transaction.commit().await?;
        Ok(())
    }
}

pub(super) async fn set_account(
    transaction: &mut Transaction<'static, Any>,
    user_id: &str,
    account: &TelegramAccount,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO telegram_accounts (user_id, api_id, api_hash_sealed, session_sealed, \
         channel_id, invite_sealed, connected_at) VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (user_id) DO UPDATE SET api_id = excluded.api_id, \
         api_hash_sealed = excluded.api_hash_sealed, session_sealed = excluded.session_sealed, \
         channel_id = excluded.channel_id, invite_sealed = excluded.invite_sealed, \
         connected_at = excluded.connected_at",
    )
    .bind(user_id)
    .bind(account.api_id)
    .bind(&account.api_hash_sealed)
    .bind(&account.session_sealed)
    .bind(&account.channel_id)
    .bind(&account.invite_sealed)
    .bind(unix_now())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Locks the user's destinations and logins for a change that depends on all of them: PostgreSQL cannot lock
/// rows that do not exist yet.
pub(super) async fn lock_user(
    transaction: &mut Transaction<'static, Any>,
    user_id: &str,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE users SET name = name WHERE id = $1")
        .bind(user_id)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn prefer_none(
    transaction: &mut Transaction<'static, Any>,
    user_id: &str,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE destinations SET preferred = 0 WHERE user_id = $1 AND preferred = 1")
        .bind(user_id)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
