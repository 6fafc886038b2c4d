//! Plans, and how much of them was used.

use super::{Store, StoreError};

/// What a plan allows in a calendar month, UTC. `None`: without limit.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) uploads: Option<i64>,
    pub(crate) bytes: Option<i64>,
}

/// Sums of uploads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) uploads: i64,
    pub(crate) bytes: i64,
}

impl Store {
    /// The user's plan.
    pub(crate) async fn plan_of(&self, user_id: &str) -> Result<Option<Plan>, StoreError> {
        Ok(sqlx::query_as::<_, (Option<i64>, Option<i64>)>(
            "SELECT plans.uploads_a_month, plans.bytes_a_month \
             FROM users JOIN plans ON plans.name = users.plan WHERE users.id = $1",
        )
        .bind(user_id)
        .fetch_optional(&self.read)
        .await?
        .map(|(uploads, bytes)| Plan { uploads, bytes }))
    }

    /// What the user uploaded from the day `from` up to but not including `to`, both in days since
    /// 1970-01-01.
    pub(crate) async fn used(&self, user_id: &str, from: i64, to: i64) -> Result<Used, StoreError> {
        // PostgreSQL's sums of BIGINT are NUMERIC.
        let (uploads, bytes) = sqlx::query_as(
            "SELECT CAST(COALESCE(SUM(uploads), 0) AS BIGINT), \
             CAST(COALESCE(SUM(bytes), 0) AS BIGINT) \
             FROM usage_days WHERE user_id = $1 AND day >= $2 AND day < $3",
        )
        .bind(user_id)
        .bind(from)
        .bind(to)
        .fetch_one(&self.read)
        .await?;
        Ok(Used { uploads, bytes })
    }
}
