//! The embedded database: what the backend and the emulated Telegram know.
//!
//! One file in WAL mode. `synchronous = FULL`, so that a write that was answered survives a power
//! failure: the worker tells its user "stored" on the strength of our reply.
//!
//! Writes go through one connection and reads through others. SQLite has one writer at a time
//! anyway, and queueing for it here costs nothing, while two connections that both upgrade from
//! reading to writing make one of them fail with `SQLITE_BUSY`.
//!
//! Queries are written in the dialect that SQLite and PostgreSQL share (`$1`, `ON CONFLICT`,
//! `RETURNING`).

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{
    SqlSafeStr, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub(crate) mod destinations;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod telegram;
pub(crate) mod users;

/// Connections for reading. Lookups are short; more would only contend for the same cores.
const READ_CONNECTIONS: u32 = 4;
/// How long a connection waits for another process that holds the write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// What went wrong below the queries. The text is for the log, never for a client.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or failed a query.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("migrating the database: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// A handle on the database; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    read: SqlitePool,
    write: SqlitePool,
}

impl Store {
    /// Opens the database file, making it if it is not there, and brings its schema up to date.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = connect_options().filename(path).create_if_missing(true);
        let write = one_connection().connect_with(options.clone()).await?;
        migrator().run(&write).await?;
        let read = SqlitePoolOptions::new()
            .max_connections(READ_CONNECTIONS)
            .connect_with(options)
            .await?;
        Ok(Self { read, write })
    }

    /// Opens an empty database in memory.
    pub(crate) async fn in_memory() -> Result<Self, StoreError> {
        // The database lives as long as its one connection.
        let write = one_connection()
            .connect_with(connect_options().in_memory(true))
            .await?;
        migrator().run(&write).await?;
        Ok(Self {
            read: write.clone(),
            write,
        })
    }

    /// Closes every connection, which also folds the write-ahead log into the file.
    pub(crate) async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

fn connect_options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
}

fn one_connection() -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// The schema's history. A step that was released is never edited: add another.
fn migrator() -> Migrator {
    let steps = [
        (
            1,
            "accounts",
            include_str!("../../migrations/0001_accounts.sql"),
        ),
        (
            2,
            "telegram",
            include_str!("../../migrations/0002_telegram.sql"),
        ),
    ];
    Migrator::with_migrations(
        steps
            .into_iter()
            .map(|(version, name, sql)| {
                Migration::new(
                    version,
                    name.into(),
                    MigrationType::Simple,
                    sql.into_sql_str(),
                    false,
                )
            })
            .collect(),
    )
}

/// The time, in Unix seconds.
pub(crate) fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
}
