//! The rows of files that a user uploaded.

use sqlx::{AnyConnection, AssertSqlSafe, FromRow, Row, any::AnyRow};

use crate::{
    store::{
        Store, StoreError,
        row::{Columns, row},
    },
    time::unix_now,
};

row! {
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
}

/// A row of the files table.
#[derive(Debug)]
pub(crate) struct FileRow {
    pub(crate) id: String,
    pub(crate) file: NewFile,
    /// Unix seconds.
    pub(crate) created_at: i64,
}

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
        // Made of constants alone.
        let sql = AssertSqlSafe(format!(
            "SELECT id, {}, created_at FROM files WHERE user_id = $1 \
             ORDER BY created_at DESC, message_id DESC, id LIMIT $2 OFFSET $3",
            NewFile::COLUMNS
        ));
        Ok(sqlx::query_as(sql)
            .bind(user_id)
            .bind(limit)
            .bind(offset)
            .fetch_all(&self.read)
            .await?)
    }
}

impl FromRow<'_, AnyRow> for FileRow {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            file: NewFile::from_row(row)?,
            created_at: row.try_get("created_at")?,
        })
    }
}

/// Makes the file's row, or adds to it what it lacks.
pub(super) async fn put(
    connection: &mut AnyConnection,
    user_id: &str,
    file: &NewFile,
) -> Result<FileRow, StoreError> {
    // Made of constants alone.
    let sql = AssertSqlSafe(format!(
        "INSERT INTO files (id, user_id, created_at, {columns}) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (user_id, file_id) DO UPDATE SET \
         file_unique_id = COALESCE(files.file_unique_id, excluded.file_unique_id), \
         size_bytes = COALESCE(files.size_bytes, excluded.size_bytes), \
         mime_type = COALESCE(files.mime_type, excluded.mime_type) \
         RETURNING id, {columns}, created_at",
        columns = NewFile::COLUMNS
    ));
    Ok(sqlx::query_as(sql)
        .bind(uuid::Uuid::new_v4().to_string())
        .bind(user_id)
        .bind(unix_now())
        .bind(&file.file_name)
        .bind(file.message_id)
        .bind(&file.file_id)
        .bind(&file.file_unique_id)
        .bind(file.size_bytes)
        .bind(&file.mime_type)
        .fetch_one(connection)
        .await?)
}
