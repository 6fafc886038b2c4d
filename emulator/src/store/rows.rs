//! What the tables hold, as the rest of the emulator sees it.

use sqlx::{FromRow, Row, sqlite::SqliteRow};

/// SHA-256 of a bot token.
pub(crate) type TokenHash = [u8; 32];

/// A bot that can be logged in to.
#[derive(Clone, Debug)]
pub struct Bot {
    /// The bot's number.
    pub id: i64,
    /// Without `@`.
    pub username: String,
    /// What people see.
    pub first_name: String,
}

/// A chat; all that the emulator makes are channels.
#[derive(Clone, Debug)]
pub struct Chat {
    /// Like -1001234567890.
    pub id: i64,
    /// `channel`.
    pub kind: String,
    /// What people see.
    pub title: String,
}

/// A file that was sent in a message.
#[derive(Clone, Debug)]
pub(crate) struct StoredFile {
    pub(crate) sequence: i64,
    pub(crate) file: NewFile,
    /// Until when its download path works, in Unix seconds.
    pub(crate) path_expires_at: Option<i64>,
}

/// What is known of a file before it is in a message.
#[derive(Clone, Debug)]
pub(crate) struct NewFile {
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
pub struct MessageRow {
    /// The chat that it is in.
    pub chat_id: i64,
    /// Its number in the chat, counted from 1.
    pub message_id: i64,
    /// The bot that sent it.
    pub bot_id: i64,
    /// The text of a message without a file.
    pub text: Option<String>,
    /// The text under a file.
    pub caption: Option<String>,
    /// The request's parameters, as a JSON text.
    pub parameters: String,
    /// The file that it carries.
    pub file: Option<MessageFile>,
}

/// The file of a listed message.
#[derive(Debug)]
pub struct MessageFile {
    /// What the bot knows it by.
    pub file_id: String,
    /// Its name, cleaned.
    pub file_name: String,
    /// Its size.
    pub size_bytes: i64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// The file of a message to be posted.
#[derive(Debug)]
pub(crate) enum Attachment {
    /// None: a text message.
    Nothing,
    /// A file that just came in.
    New(NewFile),
    /// A file that is here already, by its row.
    Known(i64),
}

// By hand: `sqlx`'s derive would compile its core a second time, for the compiler.

impl FromRow<'_, SqliteRow> for Bot {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            username: row.try_get("username")?,
            first_name: row.try_get("first_name")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for Chat {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            title: row.try_get("title")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for StoredFile {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            sequence: row.try_get("sequence")?,
            file: NewFile {
                file_id: row.try_get("file_id")?,
                file_unique_id: row.try_get("file_unique_id")?,
                bot_id: row.try_get("bot_id")?,
                kind: row.try_get("kind")?,
                file_name: row.try_get("file_name")?,
                mime_type: row.try_get("mime_type")?,
                size_bytes: row.try_get("size_bytes")?,
                sha256: row.try_get("sha256")?,
                blob: row.try_get("blob")?,
            },
            path_expires_at: row.try_get("path_expires_at")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for MessageRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let file_id: Option<String> = row.try_get("file_id")?;
        let file = file_id.map(|file_id| -> sqlx::Result<_> {
            Ok(MessageFile {
                file_id,
                file_name: row.try_get("file_name")?,
                size_bytes: row.try_get("size_bytes")?,
                sha256: row.try_get("sha256")?,
            })
        });
        Ok(Self {
            chat_id: row.try_get("chat_id")?,
            message_id: row.try_get("message_id")?,
            bot_id: row.try_get("bot_id")?,
            text: row.try_get("text")?,
            caption: row.try_get("caption")?,
            parameters: row.try_get("parameters")?,
            file: file.transpose()?,
        })
    }
}
