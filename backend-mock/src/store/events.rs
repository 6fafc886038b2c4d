//! The upload events that the webhook accepted.

use super::{Store, StoreError, unix_now};

impl Store {
    /// Keeps an event, unless one with this id is there; says whether it was new.
    ///
    /// `headers` and `body` are JSON texts.
    pub(crate) async fn add_event(
        &self,
        id: &str,
        headers: &str,
        body: &str,
    ) -> Result<bool, StoreError> {
        let added = sqlx::query(
            "INSERT INTO upload_events (id, headers, body, received_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(id)
        .bind(headers)
        .bind(body)
        .bind(unix_now())
        .execute(&self.write)
        .await?
        .rows_affected();
        Ok(added == 1)
    }

    /// Headers and body of every event, as JSON texts, in the order they came.
    pub(crate) async fn events(&self) -> Result<Vec<(String, String)>, StoreError> {
        Ok(
            sqlx::query_as("SELECT headers, body FROM upload_events ORDER BY sequence")
                .fetch_all(&self.read)
                .await?,
        )
    }

    /// Forgets every event.
    pub(crate) async fn clear_events(&self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM upload_events")
            .execute(&self.write)
            .await?;
        Ok(())
    }
}
