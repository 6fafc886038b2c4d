//! The upload events that the webhook accepted.

use crate::{
    store::{
        Store, StoreError,
        files::{self, NewFile},
        usage,
    },
    time::unix_now,
};

/// An upload event, and the file that it reports.
#[derive(Debug)]
pub(crate) struct NewEvent {
    /// The event's own id, which stays the same across retries.
    pub(crate) id: String,
    /// A JSON text.
    pub(crate) headers: String,
    /// A JSON text.
    pub(crate) body: String,
    pub(crate) user_id: String,
    pub(crate) file: NewFile,
}

impl Store {
    /// Stores an event, adds the file's row, and counts the upload, in one transaction. Says whether the event
    /// was new: one that came before changes nothing.
    ///
    /// The event of an unknown user is stored, and nothing else is done.
    pub(crate) async fn record_upload(&self, event: &NewEvent) -> Result<bool, StoreError> {
        let now = unix_now();
        let mut transaction = self.begin().await?;
        let is_new = sqlx::query(
            "INSERT INTO upload_events (id, headers, body, received_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(&event.id)
        .bind(&event.headers)
        .bind(&event.body)
        .bind(now)
        .execute(&mut *transaction)
        .await?
        .rows_affected()
            == 1;
        let user = sqlx::query_scalar::<_, i64>("SELECT 1 FROM users WHERE id = $1")
            .bind(&event.user_id)
            .fetch_optional(&mut *transaction)
            .await?;
        if is_new && user.is_some() {
            files::put(&mut transaction, &event.user_id, &event.file).await?;
            let bytes = event.file.size_bytes.unwrap_or(0);
            usage::count(&mut transaction, &event.id, &event.user_id, bytes, now).await?;
        }
        transaction.commit().await?;
        Ok(is_new)
    }

    /// Headers and body of every event, as JSON texts, in the order they came.
    pub(crate) async fn events(&self) -> Result<Vec<(String, String)>, StoreError> {
        Ok(
            sqlx::query_as("SELECT headers, body FROM upload_events ORDER BY sequence")
                .fetch_all(&self.read)
                .await?,
        )
    }

    /// Forgets every event. What was counted of them stays counted.
    pub(crate) async fn clear_events(&self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM upload_events")
            .execute(&self.write)
            .await?;
        Ok(())
    }
}
