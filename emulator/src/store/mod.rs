//! What the emulated Telegram remembers: bots, channels, members, messages, files. One SQLite file, or
//! memory.
//!
//! Writes go through one connection and reads through others: SQLite has one writer at a time, and two
//! connections that both upgrade from reading to writing make one of them fail with `SQLITE_BUSY`.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{
    AssertSqlSafe, SqlSafeStr, Sqlite, SqlitePool, Transaction,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

mod rows;

pub(crate) use rows::{Attachment, MessageContent, NewFile, Posted, StoredFile, TokenHash};
pub use rows::{Bot, Chat, MessageFile, MessageRow};

/// Connections for reading. Lookups are short; more would only contend for the same cores.
const READ_CONNECTIONS: u32 = 4;
/// How long a request waits for a connection before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a statement waits for another process that holds the write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The columns of a [`StoredFile`].
const FILE_COLUMNS: &str = "sequence, file_id, file_unique_id, bot_id, kind, file_name, mime_type, \
     size_bytes, sha256, blob, path_expires_at";

/// The database failed. The text is for the log, never for a client.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A query failed.
    #[error("the emulator's database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("migrating the emulator's database: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    /// In memory, gone at the end.
    Memory,
    /// This file.
    File(PathBuf),
}

/// A handle on the database; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    read: SqlitePool,
    write: SqlitePool,
}

impl Store {
    /// Opens the database, making it if it is not there, and brings its schema up to date.
    pub(crate) async fn open(database: &Database) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let store = match database {
            Database::Memory => {
                // The database ends with its one connection.
                let only = pool(1).connect_with(options.in_memory(true)).await?;
                Self {
                    read: only.clone(),
                    write: only,
                }
            }
            Database::File(path) => {
                // FULL: a message that was acknowledged survives a power failure, as Telegram's do.
                let options = options
                    .filename(path)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full);
                Self {
                    write: pool(1).connect_with(options.clone()).await?,
                    read: pool(READ_CONNECTIONS).connect_with(options).await?,
                }
            }
        };
        migrator().run(&store.write).await?;
        Ok(store)
    }

    /// Closes every connection, which also folds the write-ahead log into the file.
    pub(crate) async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    /// A transaction that writes. It takes the write lock as it begins.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Adds a bot.
    pub(crate) async fn add_bot(&self, bot: &Bot, token: &TokenHash) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO bots (id, token_sha256, username, first_name) \
             VALUES ($1, $2, $3, $4)",
        )
        .bind(bot.id)
        .bind(token.as_slice())
        .bind(&bot.username)
        .bind(&bot.first_name)
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// The bot with this token, unless the token was revoked.
    pub(crate) async fn bot_by_token(&self, token: &TokenHash) -> Result<Option<Bot>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT id, username, first_name FROM bots WHERE token_sha256 = $1 AND NOT revoked",
        )
        .bind(token.as_slice())
        .fetch_optional(&self.read)
        .await?)
    }

    /// Makes a token useless; says whether it was in use.
    pub(crate) async fn revoke_bot(&self, token: &TokenHash) -> Result<bool, StoreError> {
        let revoked =
            sqlx::query("UPDATE bots SET revoked = TRUE WHERE token_sha256 = $1 AND NOT revoked")
                .bind(token.as_slice())
                .execute(&self.write)
                .await?
                .rows_affected();
        Ok(revoked == 1)
    }

    /// Adds a channel.
    pub(crate) async fn add_channel(&self, id: i64, title: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO chats (id, kind, title) VALUES ($1, 'channel', $2)")
            .bind(id)
            .bind(title)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// The chat with this id.
    pub(crate) async fn chat(&self, id: i64) -> Result<Option<Chat>, StoreError> {
        Ok(
            sqlx::query_as("SELECT id, kind, title FROM chats WHERE id = $1")
                .bind(id)
                .fetch_optional(&self.read)
                .await?,
        )
    }

    /// Sets what a bot may do in a chat.
    pub(crate) async fn set_member(
        &self,
        chat_id: i64,
        bot_id: i64,
        rights: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO members (chat_id, bot_id, rights) VALUES ($1, $2, $3) \
             ON CONFLICT (chat_id, bot_id) DO UPDATE SET rights = excluded.rights",
        )
        .bind(chat_id)
        .bind(bot_id)
        .bind(rights)
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// What a bot may do in a chat; `None` if it never was a member.
    pub(crate) async fn member(
        &self,
        chat_id: i64,
        bot_id: i64,
    ) -> Result<Option<String>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT rights FROM members WHERE chat_id = $1 AND bot_id = $2")
                .bind(chat_id)
                .bind(bot_id)
                .fetch_optional(&self.read)
                .await?,
        )
    }

    /// Posts a message into a chat under the chat's next message id, counted from 1.
    pub(crate) async fn post_message(
        &self,
        chat_id: i64,
        bot_id: i64,
        content: &MessageContent,
        attachment: &Attachment,
    ) -> Result<Posted, StoreError> {
        let date = unix_now();
        let mut transaction = self.begin().await?;
        let message_id: i64 = sqlx::query_scalar(
            "UPDATE chats SET last_message_id = last_message_id + 1 \
             WHERE id = $1 RETURNING last_message_id",
        )
        .bind(chat_id)
        .fetch_one(&mut *transaction)
        .await?;
        let file = match attachment {
            Attachment::Nothing => None,
            Attachment::Known(sequence) => Some(*sequence),
            Attachment::New(file) => Some(insert_file(&mut transaction, file).await?),
        };
        sqlx::query(
            "INSERT INTO messages \
             (chat_id, message_id, bot_id, date, file, text, caption, parameters) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(chat_id)
        .bind(message_id)
        .bind(bot_id)
        .bind(date)
        .bind(file)
        .bind(&content.text)
        .bind(&content.caption)
        .bind(&content.parameters)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Posted { message_id, date })
    }

    /// Deletes a message; says whether there was one. Its file stays known by its `file_id`.
    pub(crate) async fn delete_message(
        &self,
        chat_id: i64,
        message_id: i64,
    ) -> Result<bool, StoreError> {
        let deleted = sqlx::query("DELETE FROM messages WHERE chat_id = $1 AND message_id = $2")
            .bind(chat_id)
            .bind(message_id)
            .execute(&self.write)
            .await?
            .rows_affected();
        Ok(deleted == 1)
    }

    /// Every message, oldest first.
    pub(crate) async fn messages(&self) -> Result<Vec<MessageRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT m.chat_id, m.message_id, m.bot_id, m.text, m.caption, m.parameters, \
             f.file_id, f.file_name, f.size_bytes, f.sha256 \
             FROM messages m LEFT JOIN files f ON f.sequence = m.file \
             ORDER BY m.date, m.chat_id, m.message_id",
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// The file in row `sequence`.
    pub(crate) async fn file(&self, sequence: i64) -> Result<Option<StoredFile>, StoreError> {
        let sql = format!("SELECT {FILE_COLUMNS} FROM files WHERE sequence = $1");
        // Made of the constant above alone.
        Ok(sqlx::query_as(AssertSqlSafe(sql))
            .bind(sequence)
            .fetch_optional(&self.read)
            .await?)
    }

    /// The file with this `file_id`.
    pub(crate) async fn file_by_id(&self, file_id: &str) -> Result<Option<StoredFile>, StoreError> {
        let sql = format!("SELECT {FILE_COLUMNS} FROM files WHERE file_id = $1");
        // Made of the constant above alone.
        Ok(sqlx::query_as(AssertSqlSafe(sql))
            .bind(file_id)
            .fetch_optional(&self.read)
            .await?)
    }

    /// Lets a file's download path work until `until`, in Unix seconds.
    pub(crate) async fn open_file_path(&self, sequence: i64, until: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE files SET path_expires_at = $1 WHERE sequence = $2")
            .bind(until)
            .bind(sequence)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Forgets every message and file. Message ids go on from where they were, as Telegram never
    /// gives one out twice.
    pub(crate) async fn clear_messages(&self) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM messages")
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM files")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

async fn insert_file(
    transaction: &mut Transaction<'_, Sqlite>,
    file: &NewFile,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "INSERT INTO files (file_id, file_unique_id, bot_id, kind, file_name, mime_type, \
         size_bytes, sha256, blob) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING sequence",
    )
    .bind(&file.file_id)
    .bind(&file.file_unique_id)
    .bind(file.bot_id)
    .bind(&file.kind)
    .bind(&file.file_name)
    .bind(&file.mime_type)
    .bind(file.size_bytes)
    .bind(&file.sha256)
    .bind(&file.blob)
    .fetch_one(&mut **transaction)
    .await?)
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        // A file does not hang up: a ping before each query would only cost time.
        .test_before_acquire(false)
}

/// The schema's history. A step that was released is never edited: add another.
fn migrator() -> Migrator {
    let first = include_str!("../../migrations/0001_telegram.sql");
    Migrator::with_migrations(vec![Migration::new(
        1,
        "telegram".into(),
        MigrationType::Simple,
        first.into_sql_str(),
        false,
    )])
}

/// The time, in Unix seconds.
pub(crate) fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_numbered_and_files_are_kept() {
        let store = Store::open(&Database::Memory).await.unwrap();
        let bot = Bot {
            id: 1,
            username: "b".to_owned(),
            first_name: "B".to_owned(),
        };
        store.add_bot(&bot, &[7; 32]).await.unwrap();
        assert!(store.bot_by_token(&[8; 32]).await.unwrap().is_none());
        assert_eq!(store.bot_by_token(&[7; 32]).await.unwrap().unwrap().id, 1);
        store.add_channel(-100, "c").await.unwrap();
        for rights in ["administrator", "left"] {
            store.set_member(-100, 1, rights).await.unwrap();
        }
        let member = store.member(-100, 1).await.unwrap();
        assert_eq!(member.as_deref(), Some("left"));
        let file = NewFile {
            file_id: "F".to_owned(),
            file_unique_id: "U".to_owned(),
            bot_id: 1,
            kind: "document".to_owned(),
            file_name: "a".to_owned(),
            mime_type: "text/plain".to_owned(),
            size_bytes: 5,
            sha256: "00".to_owned(),
            blob: "b".to_owned(),
        };
        let content = MessageContent {
            parameters: "{}".to_owned(),
            ..MessageContent::default()
        };
        for (number, attachment) in [(1, Attachment::New(file)), (2, Attachment::Nothing)] {
            let posted = store.post_message(-100, 1, &content, &attachment).await;
            assert_eq!(posted.unwrap().message_id, number);
        }
        let stored = store.file_by_id("F").await.unwrap().unwrap();
        store.open_file_path(stored.sequence, 9).await.unwrap();
        let stored = store.file(stored.sequence).await.unwrap().unwrap();
        assert_eq!(stored.path_expires_at, Some(9));
        assert_eq!(store.messages().await.unwrap().len(), 2);
        assert!(store.delete_message(-100, 1).await.unwrap());
        store.clear_messages().await.unwrap();
        assert!(store.revoke_bot(&[7; 32]).await.unwrap());
        assert!(store.bot_by_token(&[7; 32]).await.unwrap().is_none());
        store.close().await;
    }
}
