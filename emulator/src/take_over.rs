//! Data of an earlier release, which kept the emulator's tables in the backend's database.

use sqlx::{
    AnyConnection, AssertSqlSafe, Connection, Row, Sqlite, Transaction,
    any::{AnyRow, install_default_drivers},
};

use crate::{
    store::{Store, StoreError},
    telegram::Telegram,
};

/// A table of the earlier release, and the one that takes its rows.
struct Table {
    from: &'static str,
    to: &'static str,
    columns: &'static [Column],
}

/// A column: its name, and how a value of it travels.
type Column = (&'static str, Kind);

#[derive(Clone, Copy)]
enum Kind {
    Integer,
    /// `Any` cannot read a BOOLEAN of SQLite: it is selected as 0 or 1.
    Boolean,
    Text,
    Blob,
}

use Kind::{Blob, Boolean, Integer, Text};

/// Every table, each after those that it refers to.
const TABLES: [Table; 5] = [
    Table {
        from: "telegram_bots",
        to: "bots",
        columns: &[
            ("id", Integer),
            ("token_sha256", Blob),
            ("username", Text),
            ("first_name", Text),
            ("revoked", Boolean),
        ],
    },
    Table {
        from: "telegram_chats",
        to: "chats",
        columns: &[
            ("id", Integer),
            ("kind", Text),
            ("title", Text),
            ("last_message_id", Integer),
        ],
    },
    Table {
        from: "telegram_members",
        to: "members",
        columns: &[("chat_id", Integer), ("bot_id", Integer), ("rights", Text)],
    },
    Table {
        from: "telegram_files",
        to: "files",
        columns: &[
            ("sequence", Integer),
            ("file_id", Text),
            ("file_unique_id", Text),
            ("bot_id", Integer),
            ("kind", Text),
            ("file_name", Text),
            ("mime_type", Text),
            ("size_bytes", Integer),
            ("sha256", Text),
            ("blob", Text),
            ("path_expires_at", Integer),
        ],
    },
    Table {
        from: "telegram_messages",
        to: "messages",
        columns: &[
            ("chat_id", Integer),
            ("message_id", Integer),
            ("bot_id", Integer),
            ("date", Integer),
            ("file", Integer),
            ("text", Text),
            ("caption", Text),
            ("parameters", Text),
        ],
    },
];

impl Telegram {
    /// Moves the tables of an earlier release from the database at `url` into the emulator's own. Does
    /// nothing where there are none.
    ///
    /// Everything is copied in one transaction, and dropped there only once that is on the disk. A
    /// process that is killed in between copies the same rows again, which changes nothing.
    ///
    /// # Errors
    /// When one of the databases fails.
    pub async fn take_over(&self, url: &str) -> Result<(), StoreError> {
        install_default_drivers();
        let mut old = AnyConnection::connect(url).await?;
        let moved = move_tables(&mut old, &self.store).await;
        old.close().await?;
        moved
    }
}

async fn move_tables(old: &mut AnyConnection, store: &Store) -> Result<(), StoreError> {
    if !is_there(old, &TABLES[0]).await {
        return Ok(());
    }
    let mut new = store.begin().await?;
    let mut rows = 0;
    for table in &TABLES {
        rows += copy(old, &mut new, table).await?;
    }
    new.commit().await?;
    let mut dropping = old.begin().await?;
    for table in TABLES.iter().rev() {
        let drop = AssertSqlSafe(format!("DROP TABLE {}", table.from));
        sqlx::query(drop).execute(&mut *dropping).await?;
    }
    dropping.commit().await?;
    if rows > 0 {
        tracing::info!(rows, "the emulator's data has moved into its own database");
    }
    Ok(())
}

/// Whether the table is there. SQLite and PostgreSQL list their tables in different places.
async fn is_there(old: &mut AnyConnection, table: &Table) -> bool {
    let select = AssertSqlSafe(format!("SELECT 1 FROM {} WHERE 1 = 0", table.from));
    sqlx::query(select).execute(old).await.is_ok()
}

async fn copy(
    old: &mut AnyConnection,
    new: &mut Transaction<'static, Sqlite>,
    table: &Table,
) -> Result<u64, StoreError> {
    let selected: Vec<String> = table.columns.iter().map(selected).collect();
    let select = format!("SELECT {} FROM {}", selected.join(", "), table.from);
    // Made of the names above alone, as is the next.
    let rows = sqlx::query(AssertSqlSafe(select)).fetch_all(old).await?;
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let parameters: Vec<String> = (1..=names.len()).map(|at| format!("${at}")).collect();
    let insert = format!(
        "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING",
        table.to,
        names.join(", "),
        parameters.join(", ")
    );
    let mut copied = 0;
    for row in rows {
        copied += insert_row(new, &insert, &row, table.columns).await?;
    }
    Ok(copied)
}

fn selected((name, kind): &Column) -> String {
    match kind {
        Boolean => format!("CAST(CASE WHEN {name} THEN 1 ELSE 0 END AS BIGINT) AS {name}"),
        Integer | Text | Blob => (*name).to_owned(),
    }
}

async fn insert_row(
    new: &mut Transaction<'static, Sqlite>,
    insert: &str,
    row: &AnyRow,
    columns: &[Column],
) -> Result<u64, StoreError> {
    let mut query = sqlx::query(AssertSqlSafe(insert.to_owned()));
    for (name, kind) in columns {
        query = match kind {
            Integer => query.bind(row.try_get::<Option<i64>, _>(*name)?),
            Boolean => query.bind(row.try_get::<i64, _>(*name)? == 1),
            Text => query.bind(row.try_get::<Option<String>, _>(*name)?),
            Blob => query.bind(row.try_get::<Vec<u8>, _>(*name)?),
        };
    }
    Ok(query.execute(&mut **new).await?.rows_affected())
}
