//! Plans, and how much of them was used.

use sqlx::{AnyConnection, FromRow, Row, any::AnyRow};

use crate::{
    store::{
        Store, StoreError,
        audit::{self, AuditEntry},
        row::row,
    },
    time::day_of,
};

/// The most bytes that a file, and all files of a day, count as. Sums of many days stay far below the end of
/// a BIGINT, and every JSON reader represents the number exactly.
pub(crate) const MAX_BYTES: i64 = 1 << 53;

row! {
    /// What a plan allows in a calendar month, UTC. `None`: without limit.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Plan {
        pub(crate) name: String,
        pub(crate) uploads_a_month: Option<i64>,
        pub(crate) bytes_a_month: Option<i64>,
    }
}

row! {
    /// Sums of uploads.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Used {
        pub(crate) uploads: i64,
        pub(crate) bytes: i64,
    }
}

impl Store {
    /// The user's plan, and what was used from the day `from` up to but not including `to`, both in
    /// days since 1970-01-01.
    pub(crate) async fn plan_and_use(
        &self,
        user_id: &str,
        from: i64,
        to: i64,
    ) -> Result<Option<(Plan, Used)>, StoreError> {
        // PostgreSQL's sums of BIGINT are NUMERIC.
        let row = sqlx::query(
            "SELECT plans.name, plans.uploads_a_month, plans.bytes_a_month, \
             CAST(COALESCE(SUM(usage_days.uploads), 0) AS BIGINT) AS uploads, \
             CAST(COALESCE(SUM(usage_days.bytes), 0) AS BIGINT) AS bytes \
             FROM users JOIN plans ON plans.name = users.plan \
             LEFT JOIN usage_days ON usage_days.user_id = users.id \
             AND usage_days.day >= $2 AND usage_days.day < $3 \
             WHERE users.id = $1 \
             GROUP BY plans.name, plans.uploads_a_month, plans.bytes_a_month",
        )
        .bind(user_id)
        .bind(from)
        .bind(to)
        .fetch_optional(&self.read)
        .await?;
        let read = |row: AnyRow| Ok((Plan::from_row(&row)?, Used::from_row(&row)?));
        row.map(read).transpose()
    }

    /// What the user has uploaded in total.
    pub(crate) async fn used(&self, user_id: &str) -> Result<Used, StoreError> {
        Ok(sqlx::query_as(
            "SELECT CAST(COALESCE(SUM(uploads), 0) AS BIGINT) AS uploads, \
             CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes FROM usage_days WHERE user_id = $1",
        )
        .bind(user_id)
        .fetch_one(&self.read)
        .await?)
    }

    /// The days from `from` on, in days since 1970-01-01, on which the user uploaded; oldest first.
    pub(crate) async fn used_days(
        &self,
        user_id: &str,
        from: i64,
    ) -> Result<Vec<(i64, Used)>, StoreError> {
        let days = sqlx::query(
            "SELECT day, uploads, bytes FROM usage_days \
             WHERE user_id = $1 AND day >= $2 ORDER BY day",
        )
        .bind(user_id)
        .bind(from)
        .fetch_all(&self.read)
        .await?;
        let day = |row: &AnyRow| Ok((row.try_get("day")?, Used::from_row(row)?));
        days.iter().map(day).collect()
    }

    /// The names of the plans.
    pub(crate) async fn plans(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT name FROM plans ORDER BY name")
            .fetch_all(&self.read)
            .await?)
    }

    /// Changes the user's plan; says whether both exist.
    pub(crate) async fn set_plan(
        &self,
        user_id: &str,
        plan: &str,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let set = sqlx::query(
            "UPDATE users SET plan = $1 \
             WHERE id = $2 AND EXISTS (SELECT 1 FROM plans WHERE name = $3)",
        )
        .bind(plan)
        .bind(user_id)
        .bind(plan)
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
}

/// Counts an upload at `now`, in Unix seconds, unless its event was counted before.
pub(super) async fn count(
    connection: &mut AnyConnection,
    webhook_id: &str,
    user_id: &str,
    bytes: i64,
    now: i64,
) -> Result<(), StoreError> {
    let bytes = bytes.clamp(0, MAX_BYTES);
    let counted = sqlx::query(
        "INSERT INTO usage_events (webhook_id, user_id, bytes, received_at) \
         VALUES ($1, $2, $3, $4) ON CONFLICT (webhook_id) DO NOTHING",
    )
    .bind(webhook_id)
    .bind(user_id)
    .bind(bytes)
    .bind(now)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if counted == 1 {
        // The sum stops at the maximum: SQLite would continue in floating point after the end of a BIGINT.
        sqlx::query(
            "INSERT INTO usage_days (user_id, day, uploads, bytes) VALUES ($1, $2, 1, $3) \
             ON CONFLICT (user_id, day) DO UPDATE SET uploads = usage_days.uploads + 1, \
             bytes = CASE WHEN usage_days.bytes > $4 - excluded.bytes THEN $4 \
             ELSE usage_days.bytes + excluded.bytes END",
        )
        .bind(user_id)
        .bind(day_of(now))
        .bind(bytes)
        .bind(MAX_BYTES)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
