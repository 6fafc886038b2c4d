//! The audit log: who did what, and when. The database refuses to change or remove a row.

use sqlx::{Any, AssertSqlSafe, FromRow, Row, Transaction, any::AnyRow};

use crate::store::{
    Store, StoreError, batch,
    row::{Columns, row},
};

row! {
    /// An entry of the audit log. It never holds a secret.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct AuditEntry {
        /// Unix seconds.
        pub(crate) at: i64,
        /// How the caller proved who it is: `session`, `key:<id>`, `token:<label>`, `cli`; `password` at a
        /// login, `setup` for what the server makes itself, `unknown` for a token that is not good.
        pub(crate) actor: String,
        /// Whose things it is about.
        pub(crate) user_id: Option<String>,
        /// Like `key.create`.
        pub(crate) action: String,
        /// What was acted on, by its id.
        pub(crate) target: Option<String>,
        /// Where the request came from.
        pub(crate) address: Option<String>,
        /// The request's id, which stands in the log too.
        pub(crate) request_id: Option<String>,
        /// `ok`, or why not.
        pub(crate) result: String,
    }
}

/// A row of the audit log.
#[derive(Clone, Debug)]
pub(crate) struct AuditRow {
    pub(crate) sequence: i64,
    pub(crate) entry: AuditEntry,
}

impl Store {
    /// Adds entries in a transaction of their own.
    pub(crate) async fn add_audit_entries(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        add(&mut transaction, entries).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The newest `limit` rows, oldest first; of one user, if one is named.
    pub(crate) async fn audit_tail(
        &self,
        user_id: Option<&str>,
        limit: i64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        // Made of constants alone.
        let sql = AssertSqlSafe(format!(
            "SELECT sequence, {} FROM audit_log WHERE user_id = $1 OR $2 = 1 \
             ORDER BY sequence DESC LIMIT $3",
            AuditEntry::COLUMNS
        ));
        let mut rows: Vec<AuditRow> = sqlx::query_as(sql)
            .bind(user_id)
            .bind(i64::from(user_id.is_none()))
            .bind(limit)
            .fetch_all(&self.read)
            .await?;
        rows.reverse();
        Ok(rows)
    }
}

impl FromRow<'_, AnyRow> for AuditRow {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            sequence: row.try_get("sequence")?,
            entry: AuditEntry::from_row(row)?,
        })
    }
}

/// Adds entries in the transaction that makes the change.
pub(super) async fn add(
    transaction: &mut Transaction<'static, Any>,
    entries: &[AuditEntry],
) -> Result<(), StoreError> {
    for entries in entries.chunks(batch::ROWS) {
        let sql = format!(
            "INSERT INTO audit_log ({}) VALUES {}",
            AuditEntry::COLUMNS,
            batch::values(entries.len(), 8)
        );
        // Made of constants and numbered parameters alone.
        let mut insert = sqlx::query(AssertSqlSafe(sql));
        for entry in entries {
            insert = insert
                .bind(entry.at)
                .bind(&entry.actor)
                .bind(&entry.user_id)
                .bind(&entry.action)
                .bind(&entry.target)
                .bind(&entry.address)
                .bind(&entry.request_id)
                .bind(&entry.result);
        }
        insert.execute(&mut **transaction).await?;
    }
    Ok(())
}
