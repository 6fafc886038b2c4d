//! The users table.

use sqlx::{Any, Transaction};

use crate::{
    store::{
        Store, StoreError,
        audit::{self, AuditEntry},
        keys::{self, NewKey},
        row::{row, select},
    },
    time::unix_now,
};

row! {
    /// A user as others may see one: without the password hash.
    #[derive(Clone, Debug)]
    pub(crate) struct User {
        pub(crate) id: String,
        pub(crate) email: String,
        pub(crate) name: String,
        pub(crate) plan: String,
        /// Unix seconds.
        pub(crate) created_at: i64,
    }
}

impl User {
    /// A user that is yet to be added.
    pub(crate) fn new(email: &str, name: &str, plan: &str) -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            email: email.to_owned(),
            name: name.to_owned(),
            plan: plan.to_owned(),
            created_at: unix_now(),
        }
    }
}

impl Store {
    /// Adds a user; says whether id and e-mail address were free.
    pub(crate) async fn add_user(&self, user: &User) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let added = insert(&mut transaction, user, None).await?;
        transaction.commit().await?;
        Ok(added)
    }

    /// Adds a user with a password and a first API key, or neither; says whether the e-mail address
    /// was free.
    pub(crate) async fn register(
        &self,
        user: &User,
        password_hash: &str,
        key: &NewKey,
        entries: &[AuditEntry],
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        if !insert(&mut transaction, user, Some(password_hash)).await? {
            return Ok(false);
        }
        keys::insert(&mut transaction, &user.id, key).await?;
        audit::add(&mut transaction, entries).await?;
        transaction.commit().await?;
        Ok(true)
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

    /// The user with this id.
    pub(crate) async fn user(&self, id: &str) -> Result<Option<User>, StoreError> {
        Ok(sqlx::query_as(select::<User>("FROM users WHERE id = $1"))
            .bind(id)
            .fetch_optional(&self.read)
            .await?)
    }

    /// Every user, oldest first.
    pub(crate) async fn users(&self) -> Result<Vec<User>, StoreError> {
        let sql = select::<User>("FROM users ORDER BY created_at, id");
        Ok(sqlx::query_as(sql).fetch_all(&self.read).await?)
    }

    /// The id and the password hash of the user with this e-mail address.
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

pub(super) async fn insert(
    transaction: &mut Transaction<'static, Any>,
    user: &User,
    password_hash: Option<&str>,
) -> Result<bool, StoreError> {
    let added = sqlx::query(
        "INSERT INTO users (id, email, name, password_hash, plan, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(&user.id)
    .bind(&user.email)
    .bind(&user.name)
    .bind(password_hash)
    .bind(&user.plan)
    .bind(user.created_at)
    .execute(&mut **transaction)
    .await?
    .rows_affected();
    Ok(added == 1)
}
