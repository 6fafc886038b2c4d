//! The database: what the backend knows.
//!
//! A SQLite file, or PostgreSQL. The queries are the same, in the dialect that both share (`$1`,
//! `ON CONFLICT`, `RETURNING`); only [`engine`] knows which database it is. They go through sqlx's `Any`,
//! which reads TEXT, BIGINT and BLOB, and NULL, but neither SQLite's BOOLEAN nor PostgreSQL's NUMERIC: no
//! query selects the former, and sums are cast.

use sqlx::{Any, AnyPool, Transaction};

mod batch;
mod clear;
mod engine;
mod row;

pub(crate) mod audit;
pub(crate) mod bulk;
pub(crate) mod destinations;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod keys;
pub(crate) mod logins;
pub(crate) mod sealed;
pub(crate) mod usage;
pub(crate) mod users;

#[cfg(test)]
mod tests;

use engine::Engine;
pub(crate) use engine::{Database, sqlite_url};

/// The database failed. The text is for the log, never for a client.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or failed a query.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("migrating the database: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// `DATABASE_URL` names PostgreSQL, which this build leaves out.
    #[error("DATABASE_URL names PostgreSQL: build this program with the feature `postgres`")]
    NoPostgres,
    /// `DATABASE_URL` names no database that this program knows.
    #[error("DATABASE_URL must begin with postgres:// or postgresql://")]
    UnknownDatabase,
}

impl StoreError {
    /// Whether the database refused a text with a NUL in it, as PostgreSQL does.
    pub(crate) fn is_nul_in_text(&self) -> bool {
        // SQLSTATE character_not_in_repertoire.
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.code().as_deref() == Some("22021"))
    }
}

/// A handle on the database; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    engine: Engine,
    read: AnyPool,
    write: AnyPool,
}

impl Store {
    /// Opens the database, creates a file that does not exist, and brings the schema up to date.
    pub(crate) async fn open(database: &Database) -> Result<Self, StoreError> {
        engine::open(database).await
    }

    /// Fails unless the database answers.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Closes every connection, which for SQLite also folds the write-ahead log into the file.
    pub(crate) async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    /// A transaction that writes.
    async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        Ok(self.write.begin_with(self.engine.begin()).await?)
    }
}
