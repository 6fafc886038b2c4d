//! Removes all data of a user.

use crate::store::{
    Store, StoreError,
    audit::{self, AuditEntry},
};

/// What is removed, in an order that satisfies every reference. Each takes the user's id.
const REMOVALS: [&str; 7] = [
    // The events as they came, before the rows that tell whose they are.
    "DELETE FROM upload_events WHERE id IN \
     (SELECT webhook_id FROM usage_events WHERE user_id = $1)",
    "DELETE FROM usage_events WHERE user_id = $1",
    "DELETE FROM files WHERE user_id = $1",
    "DELETE FROM telegram_logins WHERE user_id = $1",
    "DELETE FROM telegram_accounts WHERE user_id = $1",
    "DELETE FROM destinations WHERE user_id = $1",
    "DELETE FROM api_keys WHERE user_id = $1",
];

impl Store {
    /// Removes keys, destinations, Telegram account, logins, files and usage of a user. The account itself and
    /// the audit log stay. So do the sums of usage since the day `sums_from`, in days since 1970-01-01:
    /// removing all data must not renew a used-up quota.
    pub(crate) async fn clear_user(
        &self,
        user_id: &str,
        sums_from: i64,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for removal in REMOVALS {
            sqlx::query(removal)
                .bind(user_id)
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("DELETE FROM usage_days WHERE user_id = $1 AND day < $2")
            .bind(user_id)
            .bind(sums_from)
            .execute(&mut *transaction)
            .await?;
        audit::add(&mut transaction, std::slice::from_ref(entry)).await?;
        transaction.commit().await?;
        Ok(())
    }
}
