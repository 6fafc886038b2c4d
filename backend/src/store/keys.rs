//! API keys. The key itself is nowhere: its SHA-256 is.

use sqlx::{Any, AssertSqlSafe, Transaction};

use crate::{
    store::{
        Store, StoreError,
        audit::{self, AuditEntry},
        batch,
        row::{row, select},
    },
    time::unix_now,
};

/// SHA-256 of an API key.
pub(crate) type KeyHash = [u8; 32];

/// A new key, as the database stores it.
#[derive(Clone, Debug)]
pub(crate) struct NewKey {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) hash: KeyHash,
    pub(crate) preview: String,
    /// Unix seconds.
    pub(crate) created_at: i64,
    /// Unix seconds.
    pub(crate) expires_at: i64,
}

row! {
    /// An API key as its owner may see it. Times are Unix seconds.
    #[derive(Clone, Debug)]
    pub(crate) struct ApiKey {
        pub(crate) id: String,
        pub(crate) user_id: String,
        pub(crate) name: String,
        pub(crate) preview: String,
        pub(crate) created_at: i64,
        pub(crate) expires_at: i64,
        pub(crate) revoked_at: Option<i64>,
        pub(crate) last_used_at: Option<i64>,
        pub(crate) request_count: i64,
    }
}

impl ApiKey {
    /// Whether the key is valid at `now`, in Unix seconds.
    pub(crate) fn is_active(&self, now: i64) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// How often a key was used since the last write.
#[derive(Clone, Debug)]
pub(crate) struct KeyUse {
    pub(crate) key_id: String,
    pub(crate) requests: i64,
    /// Unix seconds.
    pub(crate) last_at: i64,
}

impl Store {
    /// The id and the user of the key, if it is valid at `now`, in Unix seconds.
    pub(crate) async fn live_key(
        &self,
        hash: &KeyHash,
        now: i64,
    ) -> Result<Option<(String, String)>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT id, user_id FROM api_keys \
             WHERE key_sha256 = $1 AND revoked_at IS NULL AND expires_at > $2",
        )
        .bind(hash.as_slice())
        .bind(now)
        .fetch_optional(&self.read)
        .await?)
    }

    /// The user's keys, oldest first; every user's, if none is named.
    pub(crate) async fn keys(&self, user_id: Option<&str>) -> Result<Vec<ApiKey>, StoreError> {
        let sql = "FROM api_keys WHERE user_id = $1 OR $2 = 1 ORDER BY created_at, id";
        Ok(sqlx::query_as(select::<ApiKey>(sql))
            .bind(user_id)
            .bind(i64::from(user_id.is_none()))
            .fetch_all(&self.read)
            .await?)
    }

    /// One of the user's keys.
    pub(crate) async fn key(&self, user_id: &str, id: &str) -> Result<Option<ApiKey>, StoreError> {
        let sql = "FROM api_keys WHERE user_id = $1 AND id = $2";
        Ok(sqlx::query_as(select::<ApiKey>(sql))
            .bind(user_id)
            .bind(id)
            .fetch_optional(&self.read)
            .await?)
    }

    /// The user that a key belongs to.
    pub(crate) async fn owner_of_key(&self, id: &str) -> Result<Option<String>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT user_id FROM api_keys WHERE id = $1")
                .bind(id)
                .fetch_optional(&self.read)
                .await?,
        )
    }

    /// Adds a key.
    pub(crate) async fn add_key(
        &self,
        user_id: &str,
        key: &NewKey,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        insert(&mut transaction, user_id, key).await?;
        audit::add(&mut transaction, std::slice::from_ref(entry)).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Revokes a key; says whether it was active.
    pub(crate) async fn revoke_key(
        &self,
        user_id: &str,
        id: &str,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let revoked = sqlx::query(
            "UPDATE api_keys SET revoked_at = $1 \
             WHERE user_id = $2 AND id = $3 AND revoked_at IS NULL",
        )
        .bind(unix_now())
        .bind(user_id)
        .bind(id)
        .execute(&mut *transaction)
        .await?
        .rows_affected()
            == 1;
        if revoked {
            audit::add(&mut transaction, std::slice::from_ref(entry)).await?;
        }
        transaction.commit().await?;
        Ok(revoked)
    }

    /// Replaces a key that is not revoked; the old one becomes invalid. Says whether there was one.
    pub(crate) async fn replace_key(
        &self,
        user_id: &str,
        key: &NewKey,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let replaced = sqlx::query(
            "UPDATE api_keys SET key_sha256 = $1, preview = $2, created_at = $3, expires_at = $4, \
             last_used_at = NULL, request_count = 0 \
             WHERE user_id = $5 AND id = $6 AND revoked_at IS NULL",
        )
        .bind(key.hash.as_slice())
        .bind(&key.preview)
        .bind(key.created_at)
        .bind(key.expires_at)
        .bind(user_id)
        .bind(&key.id)
        .execute(&mut *transaction)
        .await?
        .rows_affected()
            == 1;
        if replaced {
            audit::add(&mut transaction, std::slice::from_ref(entry)).await?;
        }
        transaction.commit().await?;
        Ok(replaced)
    }

    /// Adds to the keys' counts of use. No key may be in `uses` twice.
    pub(crate) async fn count_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for uses in uses.chunks(batch::ROWS) {
            let sql = format!(
                "WITH used (id, requests, last_at) AS (VALUES {}) UPDATE api_keys SET \
                 request_count = api_keys.request_count + used.requests, \
                 last_used_at = used.last_at FROM used WHERE api_keys.id = used.id",
                batch::values(uses.len(), 3)
            );
            // Made of numbered parameters alone.
            let mut update = sqlx::query(AssertSqlSafe(sql));
            for key in uses {
                update = update
                    .bind(&key.key_id)
                    .bind(key.requests)
                    .bind(key.last_at);
            }
            update.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

pub(super) async fn insert(
    transaction: &mut Transaction<'static, Any>,
    user_id: &str,
    key: &NewKey,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO api_keys (id, user_id, name, key_sha256, preview, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&key.id)
    .bind(user_id)
    .bind(&key.name)
    .bind(key.hash.as_slice())
    .bind(&key.preview)
    .bind(key.created_at)
    .bind(key.expires_at)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
