//! The rows of files that a user uploaded.

use sqlx::AnyConnection;

use super::{Store, StoreError, unix_now};

/// What is known of an upload when its row is made.
#[derive(Debug)]
pub(crate) struct NewFile {
    pub(crate) file_name: String,
    pub(crate) message_id: i64,
    pub(crate) file_id: String,
    pub(crate) file_unique_id: Option<String>,
    pub(crate) size_bytes: Option<i64>,
    pub(crate) mime_type: Option<String>,
}

/// A row of the files table.
#[derive(Debug)]
pub(crate) struct FileRow {
    pub(crate) id: String,
    pub(crate) file: NewFile,
    /// Unix seconds.
    pub(crate) created_at: i64,
}

type Columns = (
    String,
    String,
    i64,
    String,
    Option<String>,
    Option<i64>,
    Option<String>,
    i64,
);

impl Store {
    /// Records an upload of the user. The same `file_id` again is the same row: the browser and
    /// the worker both report an upload.
    pub(crate) async fn add_file(
        &self,
        user_id: &str,
        file: &NewFile,
    ) -> Result<FileRow, StoreError> {
        put(&mut *self.write.acquire().await?, user_id, file).await
    }

    /// The user's files, newest first.
    pub(crate) async fn files_of(
        &self,
        user_id: &str,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<FileRow>, StoreError> {
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT id, file_name, message_id, file_id, file_unique_id, size_bytes, mime_type, \
             created_at FROM files WHERE user_id = $1 \
             ORDER BY created_at DESC, message_id DESC, id LIMIT $2 OFFSET $3",
        )
        .bind(user_id)
        .bind(limit)
        .bind(offset)
        .fetch_all(&self.read)
        .await?;
        Ok(rows.into_iter().map(file_row).collect())
    }
}

/// Makes the file's row, or adds to it what it lacks.
pub(super) async fn put(
    connection: &mut AnyConnection,
    user_id: &str,
    file: &NewFile,
) -> Result<FileRow, StoreError> {
    let row: Columns = sqlx::query_as(
        "INSERT INTO files (id, user_id, file_name, message_id, file_id, file_unique_id, \
         size_bytes, mime_type, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (user_id, file_id) DO UPDATE SET \
         file_unique_id = COALESCE(files.file_unique_id, excluded.file_unique_id), \
         size_bytes = COALESCE(files.size_bytes, excluded.size_bytes), \
         mime_type = COALESCE(files.mime_type, excluded.mime_type) \
         RETURNING id, file_name, message_id, file_id, file_unique_id, size_bytes, mime_type, \
         created_at",
    )
    .bind(uuid::Uuid::new_v4().to_string())
    .bind(user_id)
    .bind(&file.file_name)
    .bind(file.message_id)
    .bind(&file.file_id)
    .bind(&file.file_unique_id)
    .bind(file.size_bytes)
    .bind(&file.mime_type)
    .bind(unix_now())
    .fetch_one(connection)
    .await?;
    Ok(file_row(row))
}

fn file_row(columns: Columns) -> FileRow {
    let (id, file_name, message_id, file_id, file_unique_id, size_bytes, mime_type, created_at) =
        columns;
    FileRow {
        id,
        file: NewFile {
            file_name,
            message_id,
            file_id,
            file_unique_id,
            size_bytes,
            mime_type,
        },
        created_at,
    }
}
