//! What the emulated Telegram remembers: bots, channels, members, messages, files.

use sqlx::{Any, Transaction};

use super::{Store, StoreError, unix_now};

/// SHA-256 of a bot token.
pub(crate) type TokenHash = [u8; 32];

/// A bot that can be logged in to.
#[derive(Clone, Debug)]
pub(crate) struct Bot {
    pub(crate) id: i64,
    pub(crate) username: String,
    pub(crate) first_name: String,
}

/// A chat; all that the emulator makes are channels.
#[derive(Clone, Debug)]
pub(crate) struct Chat {
    pub(crate) id: i64,
    pub(crate) kind: String,
    pub(crate) title: String,
}

/// A file that was sent in a message.
#[derive(Clone, Debug)]
pub(crate) struct StoredFile {
    pub(crate) sequence: i64,
    pub(crate) file: NewTelegramFile,
    /// Until when its download path works, in Unix seconds.
    pub(crate) path_expires_at: Option<i64>,
}

/// What is known of a file before it is in a message.
#[derive(Clone, Debug)]
pub(crate) struct NewTelegramFile {
    pub(crate) file_id: String,
    pub(crate) file_unique_id: String,
    pub(crate) bot_id: i64,
    pub(crate) kind: String,
    pub(crate) file_name: String,
    pub(crate) mime_type: String,
    pub(crate) size_bytes: i64,
    /// Lower-case hexadecimal.
    pub(crate) sha256: String,
    /// Name of the content in the files folder.
    pub(crate) blob: String,
}

/// What a message carries, file apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct MessageContent {
    pub(crate) text: Option<String>,
    pub(crate) caption: Option<String>,
    /// The request's parameters, as a JSON text.
    pub(crate) parameters: String,
}

/// A message that was just posted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posted {
    pub(crate) message_id: i64,
    /// Unix seconds.
    pub(crate) date: i64,
}

/// A message as the test control lists it.
#[derive(Debug)]
pub(crate) struct MessageRow {
    pub(crate) chat_id: i64,
    pub(crate) message_id: i64,
    pub(crate) bot_id: i64,
    pub(crate) text: Option<String>,
    pub(crate) caption: Option<String>,
    pub(crate) parameters: String,
    pub(crate) file: Option<MessageFile>,
}

/// The file of a listed message.
#[derive(Debug)]
pub(crate) struct MessageFile {
    pub(crate) file_id: String,
    pub(crate) file_name: String,
    pub(crate) size_bytes: i64,
    pub(crate) sha256: String,
}

/// The file of a message to be posted.
#[derive(Debug)]
pub(crate) enum Attachment {
    /// None: a text message.
    Nothing,
    /// A file that just came in.
    New(NewTelegramFile),
    /// A file that is here already, by its row.
    Known(i64),
}

type MessageColumns = (
    i64,
    i64,
    i64,
    Option<String>,
    Option<String>,
    String,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<String>,
);

type FileColumns = (
    i64,
    String,
    String,
    i64,
    String,
    String,
    String,
    i64,
    String,
    String,
    Option<i64>,
);

impl Store {
    /// Adds a bot.
    pub(crate) async fn add_bot(&self, bot: &Bot, token: &TokenHash) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO telegram_bots (id, token_sha256, username, first_name) \
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
        Ok(sqlx::query_as::<_, (i64, String, String)>(
            "SELECT id, username, first_name FROM telegram_bots \
             WHERE token_sha256 = $1 AND NOT revoked",
        )
        .bind(token.as_slice())
        .fetch_optional(&self.read)
        .await?
        .map(|(id, username, first_name)| Bot {
            id,
            username,
            first_name,
        }))
    }

    /// Makes a token useless; says whether it was in use.
    pub(crate) async fn revoke_bot(&self, token: &TokenHash) -> Result<bool, StoreError> {
        let revoked = sqlx::query(
            "UPDATE telegram_bots SET revoked = TRUE WHERE token_sha256 = $1 AND NOT revoked",
        )
        .bind(token.as_slice())
        .execute(&self.write)
        .await?
        .rows_affected();
        Ok(revoked == 1)
    }

    /// Adds a channel.
    pub(crate) async fn add_channel(&self, id: i64, title: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO telegram_chats (id, kind, title) VALUES ($1, 'channel', $2)")
            .bind(id)
            .bind(title)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// The chat with this id.
    pub(crate) async fn chat(&self, id: i64) -> Result<Option<Chat>, StoreError> {
        Ok(sqlx::query_as::<_, (i64, String, String)>(
            "SELECT id, kind, title FROM telegram_chats WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(&self.read)
        .await?
        .map(|(id, kind, title)| Chat { id, kind, title }))
    }

    /// Sets what a bot may do in a chat.
    pub(crate) async fn set_member(
        &self,
        chat_id: i64,
        bot_id: i64,
        rights: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO telegram_members (chat_id, bot_id, rights) VALUES ($1, $2, $3) \
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
        Ok(sqlx::query_scalar(
            "SELECT rights FROM telegram_members WHERE chat_id = $1 AND bot_id = $2",
        )
        .bind(chat_id)
        .bind(bot_id)
        .fetch_optional(&self.read)
        .await?)
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
            "UPDATE telegram_chats SET last_message_id = last_message_id + 1 \
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
            "INSERT INTO telegram_messages \
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
        let deleted =
            sqlx::query("DELETE FROM telegram_messages WHERE chat_id = $1 AND message_id = $2")
                .bind(chat_id)
                .bind(message_id)
                .execute(&self.write)
                .await?
                .rows_affected();
        Ok(deleted == 1)
    }

    /// Every message, oldest first.
    pub(crate) async fn messages(&self) -> Result<Vec<MessageRow>, StoreError> {
        let rows: Vec<MessageColumns> = sqlx::query_as(
            "SELECT m.chat_id, m.message_id, m.bot_id, m.text, m.caption, m.parameters, \
             f.file_id, f.file_name, f.size_bytes, f.sha256 \
             FROM telegram_messages m LEFT JOIN telegram_files f ON f.sequence = m.file \
             ORDER BY m.date, m.chat_id, m.message_id",
        )
        .fetch_all(&self.read)
        .await?;
        Ok(rows.into_iter().map(message_row).collect())
    }

    /// The file in row `sequence`.
    pub(crate) async fn telegram_file(
        &self,
        sequence: i64,
    ) -> Result<Option<StoredFile>, StoreError> {
        Ok(sqlx::query_as::<_, FileColumns>(
            "SELECT sequence, file_id, file_unique_id, bot_id, kind, file_name, mime_type, \
             size_bytes, sha256, blob, path_expires_at FROM telegram_files WHERE sequence = $1",
        )
        .bind(sequence)
        .fetch_optional(&self.read)
        .await?
        .map(stored_file))
    }

    /// The file with this `file_id`.
    pub(crate) async fn telegram_file_by_id(
        &self,
        file_id: &str,
    ) -> Result<Option<StoredFile>, StoreError> {
        Ok(sqlx::query_as::<_, FileColumns>(
            "SELECT sequence, file_id, file_unique_id, bot_id, kind, file_name, mime_type, \
             size_bytes, sha256, blob, path_expires_at FROM telegram_files WHERE file_id = $1",
        )
        .bind(file_id)
        .fetch_optional(&self.read)
        .await?
        .map(stored_file))
    }

    /// Lets a file's download path work until `until`, in Unix seconds.
    pub(crate) async fn open_file_path(&self, sequence: i64, until: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE telegram_files SET path_expires_at = $1 WHERE sequence = $2")
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
        sqlx::query("DELETE FROM telegram_messages")
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM telegram_files")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

async fn insert_file(
    transaction: &mut Transaction<'_, Any>,
    file: &NewTelegramFile,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "INSERT INTO telegram_files (file_id, file_unique_id, bot_id, kind, file_name, mime_type, \
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

fn message_row(columns: MessageColumns) -> MessageRow {
    let (
        chat_id,
        message_id,
        bot_id,
        text,
        caption,
        parameters,
        file_id,
        file_name,
        size_bytes,
        sha256,
    ) = columns;
    let file = match (file_id, file_name, size_bytes, sha256) {
        (Some(file_id), Some(file_name), Some(size_bytes), Some(sha256)) => Some(MessageFile {
            file_id,
            file_name,
            size_bytes,
            sha256,
        }),
        _ => None,
    };
    MessageRow {
        chat_id,
        message_id,
        bot_id,
        text,
        caption,
        parameters,
        file,
    }
}

fn stored_file(columns: FileColumns) -> StoredFile {
    let (
        sequence,
        file_id,
        file_unique_id,
        bot_id,
        kind,
        file_name,
        mime_type,
        size_bytes,
        sha256,
        blob,
        path_expires_at,
    ) = columns;
    StoredFile {
        sequence,
        file: NewTelegramFile {
            file_id,
            file_unique_id,
            bot_id,
            kind,
            file_name,
            mime_type,
            size_bytes,
            sha256,
            blob,
        },
        path_expires_at,
    }
}
