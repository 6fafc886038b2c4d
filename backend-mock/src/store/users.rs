//! The users table.

use super::{Store, StoreError, unix_now};

/// A user as others may see one: without the password hash.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) name: String,
    /// Unix seconds.
    pub(crate) created_at: i64,
}

impl Store {
    /// Adds a user; `None` if the e-mail address is taken.
    pub(crate) async fn add_user(
        &self,
        email: &str,
        name: &str,
        password_hash: Option<&str>,
    ) -> Result<Option<User>, StoreError> {
        let user = User {
            id: uuid::Uuid::new_v4().to_string(),
            email: email.to_owned(),
            name: name.to_owned(),
            created_at: unix_now(),
        };
        let added = sqlx::query(
            "INSERT INTO users (id, email, name, password_hash, created_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (email) DO NOTHING",
        )
        .bind(&user.id)
        .bind(&user.email)
        .bind(&user.name)
        .bind(password_hash)
        .bind(user.created_at)
        .execute(&self.write)
        .await?
        .rows_affected();
        Ok((added == 1).then_some(user))
    }

    /// Whether there is a user with this id.
    pub(crate) async fn user_exists(&self, id: &str) -> Result<bool, StoreError> {
        Ok(
            sqlx::query_scalar::<_, i64>("SELECT 1 FROM users WHERE id = $1")
                .bind(id)
                .fetch_optional(&self.read)
                .await?
                .is_some(),
        )
    }

    /// The id and password hash behind an e-mail address.
    pub(crate) async fn login_of(
        &self,
        email: &str,
    ) -> Result<Option<(String, Option<String>)>, StoreError> {
        Ok(
            sqlx::query_as("SELECT id, password_hash FROM users WHERE email = $1")
                .bind(email)
                .fetch_optional(&self.read)
                .await?,
        )
    }
}
