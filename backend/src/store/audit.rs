//! The audit log: who did what, and when. The database refuses to change or remove a row.

use sqlx::{Any, AssertSqlSafe, Transaction};

use super::{Store, StoreError, batch};

/// What is written of an act. It never holds a secret.
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

/// A row of the audit log.
#[derive(Clone, Debug)]
pub(crate) struct AuditRow {
    pub(crate) sequence: i64,
    pub(crate) entry: AuditEntry,
}

type Columns = (
    i64,
    i64,
    String,
    Option<String>,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
);

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
        let mut rows: Vec<Columns> = sqlx::query_as(
            "SELECT sequence, at, actor, user_id, action, target, address, request_id, result \
             FROM audit_log WHERE user_id = $1 OR $2 = 1 ORDER BY sequence DESC LIMIT $3",
        )
        .bind(user_id)
        .bind(i64::from(user_id.is_none()))
        .bind(limit)
        .fetch_all(&self.read)
        .await?;
        rows.reverse();
        Ok(rows.into_iter().map(audit_row).collect())
    }
}

/// Adds entries in the transaction that does what they tell of.
pub(super) async fn add(
    transaction: &mut Transaction<'static, Any>,
    entries: &[AuditEntry],
) -> Result<(), StoreError> {
    for entries in entries.chunks(batch::ROWS) {
        let sql = format!(
            "INSERT INTO audit_log \
             (at, actor, user_id, action, target, address, request_id, result) VALUES {}",
            batch::values(entries.len(), 8)
        );
        // Made of numbered parameters alone.
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

fn audit_row(columns: Columns) -> AuditRow {
    let (sequence, at, actor, user_id, action, target, address, request_id, result) = columns;
    AuditRow {
        sequence,
        entry: AuditEntry {
            at,
            actor,
            user_id,
            action,
            target,
            address,
            request_id,
            result,
        },
    }
}
