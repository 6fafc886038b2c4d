//! Every column that holds a sealed secret, and which keys they are sealed under.

use sqlx::AssertSqlSafe;

use crate::{
    secrets::Place,
    store::{Store, StoreError, row::row},
    time::unix_now,
};

/// A column of sealed secrets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SealedColumn {
    table: &'static str,
    /// The table's primary key.
    key: &'static str,
    /// An expression for the id of the user that a secret is of; the server's own are of none.
    owner: &'static str,
    column: &'static str,
    /// The name that its secrets are sealed under. Changing it makes what is stored unreadable.
    field: &'static str,
    /// Whether its secrets are sealed for one row, and not for their user alone.
    by_row: bool,
}

/// The bot token of a destination.
pub(crate) const BOT_TOKEN: SealedColumn = SealedColumn {
    table: "destinations",
    key: "id",
    owner: "user_id",
    column: "bot_token_sealed",
    field: "bot_token",
    by_row: true,
};
/// The api_hash of a user's own Telegram account.
pub(crate) const API_HASH: SealedColumn = SealedColumn {
    table: "telegram_accounts",
    key: "user_id",
    owner: "user_id",
    column: "api_hash_sealed",
    field: "telegram_api_hash",
    by_row: false,
};
/// The session of a user's own Telegram account.
pub(crate) const SESSION: SealedColumn = SealedColumn {
    column: "session_sealed",
    field: "telegram_session",
    ..API_HASH
};
/// The invite to the channel that was made for a user.
pub(crate) const INVITE: SealedColumn = SealedColumn {
    column: "invite_sealed",
    field: "telegram_invite",
    ..API_HASH
};
/// The api_hash of a login to Telegram.
pub(crate) const LOGIN_API_HASH: SealedColumn = SealedColumn {
    table: "telegram_logins",
    key: "id",
    owner: "user_id",
    column: "api_hash_sealed",
    field: "login_api_hash",
    by_row: true,
};
/// The phone number of a login to Telegram.
pub(crate) const LOGIN_PHONE: SealedColumn = SealedColumn {
    column: "phone_sealed",
    field: "login_phone",
    ..LOGIN_API_HASH
};
/// The session of a login to Telegram that is under way.
pub(crate) const LOGIN_SESSION: SealedColumn = SealedColumn {
    column: "session_sealed",
    field: "login_session",
    ..LOGIN_API_HASH
};

/// A secret of the server's own.
pub(crate) const SERVER_SECRET: SealedColumn = SealedColumn {
    table: "server_secrets",
    key: "name",
    owner: "''",
    column: "value_sealed",
    field: "server_secret",
    by_row: true,
};

/// Every sealed column. One that is missing here would keep its old key at a rotation.
pub(crate) const COLUMNS: [SealedColumn; 8] = [
    BOT_TOKEN,
    API_HASH,
    SESSION,
    INVITE,
    LOGIN_API_HASH,
    LOGIN_PHONE,
    LOGIN_SESSION,
    SERVER_SECRET,
];

row! {
    /// A sealed secret and its place.
    #[derive(Debug)]
    pub(crate) struct SealedValue {
        pub(crate) row_key: String,
        pub(crate) user_id: String,
        pub(crate) sealed: Vec<u8>,
    }
}

impl SealedColumn {
    /// Where a secret of this column is, in a row of a user's.
    pub(crate) fn place<'a>(self, user_id: &'a str, row: &'a str) -> Place<'a> {
        Place {
            user_id,
            field: self.field,
            row: if self.by_row { row } else { "" },
        }
    }
}

impl Store {
    /// At most `limit` sealed secrets of a column, in the rows after `after`, in order.
    pub(crate) async fn sealed_values(
        &self,
        column: SealedColumn,
        after: &str,
        limit: i64,
    ) -> Result<Vec<SealedValue>, StoreError> {
        let SealedColumn {
            table,
            key,
            owner,
            column,
            ..
        } = column;
        let sql = format!(
            "SELECT {key} AS row_key, {owner} AS user_id, {column} AS sealed FROM {table} \
             WHERE {key} > $1 AND {column} IS NOT NULL ORDER BY {key} LIMIT $2"
        );
        // Made of the names above alone.
        Ok(sqlx::query_as(AssertSqlSafe(sql))
            .bind(after)
            .bind(limit)
            .fetch_all(&self.read)
            .await?)
    }

    /// Replaces each value by the resealed one, unless the stored value has changed. Returns how many were
    /// replaced.
    pub(crate) async fn reseal(
        &self,
        column: SealedColumn,
        values: &[(SealedValue, Vec<u8>)],
    ) -> Result<u64, StoreError> {
        let SealedColumn {
            table, key, column, ..
        } = column;
        let mut transaction = self.begin().await?;
        let mut resealed = 0;
        for (value, sealed) in values {
            let sql =
                format!("UPDATE {table} SET {column} = $1 WHERE {key} = $2 AND {column} = $3");
            resealed += sqlx::query(AssertSqlSafe(sql))
                .bind(sealed)
                .bind(&value.row_key)
                .bind(&value.sealed)
                .execute(&mut *transaction)
                .await?
                .rows_affected();
        }
        transaction.commit().await?;
        Ok(resealed)
    }

    /// A secret of the server's own, sealed.
    pub(crate) async fn server_secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT value_sealed FROM server_secrets WHERE name = $1")
                .bind(name)
                .fetch_optional(&self.read)
                .await?,
        )
    }

    /// Stores a secret of the server's own, unless there is one with this name.
    pub(crate) async fn add_server_secret(
        &self,
        name: &str,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO server_secrets (name, value_sealed) VALUES ($1, $2) \
             ON CONFLICT (name) DO NOTHING",
        )
        .bind(name)
        .bind(sealed)
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Records that secrets may be sealed under this key from now on.
    pub(crate) async fn use_seal_key(&self, id: &str, label: &str) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO seal_keys (id, label, first_used) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET label = excluded.label, retired_at = NULL",
        )
        .bind(id)
        .bind(label)
        .bind(unix_now())
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Records that nothing is sealed under another key than this one.
    pub(crate) async fn retire_other_seal_keys(&self, id: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE seal_keys SET retired_at = $1 WHERE id <> $2 AND retired_at IS NULL")
            .bind(unix_now())
            .bind(id)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Id and label of every key that something may be sealed under.
    pub(crate) async fn seal_keys(&self) -> Result<Vec<(String, String)>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT id, label FROM seal_keys WHERE retired_at IS NULL ORDER BY first_used, id",
        )
        .fetch_all(&self.read)
        .await?)
    }
}
