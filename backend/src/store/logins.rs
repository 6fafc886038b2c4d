//! Logins to users' Telegram accounts that are under way.

use crate::store::{
    Store, StoreError,
    audit::{self, AuditEntry},
    destinations::{self, TelegramAccount},
};

/// How long a login is kept, in seconds. Its client may ask for the result, and the limits an hour count
/// it.
const KEPT_SECONDS: i64 = 24 * 3600;

/// How a user proves to be the account's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginMethod {
    Qr,
    Code,
}

impl LoginMethod {
    fn name(self) -> &'static str {
        match self {
            Self::Qr => "qr",
            Self::Code => "code",
        }
    }
}

/// A login that is yet to be stored.
#[derive(Debug)]
pub(crate) struct NewLogin {
    pub(crate) id: String,
    pub(crate) method: LoginMethod,
    pub(crate) phone_sealed: Option<Vec<u8>>,
    pub(crate) challenge_sha256: [u8; 32],
    /// Unix seconds.
    pub(crate) created_at: i64,
    /// Unix seconds.
    pub(crate) expires_at: i64,
}

/// A login under way.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) id: String,
    pub(crate) stage: Stage,
    pub(crate) phone_sealed: Option<Vec<u8>>,
    pub(crate) challenge_sha256: Vec<u8>,
    /// Unix seconds.
    pub(crate) expires_at: i64,
}

/// How far a login is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// For the code, or for the phone that scans.
    Waiting,
    /// The account is connected.
    Done,
    /// Too many wrong codes.
    Failed,
    /// Nobody came in time, or another login was begun in its place.
    Expired,
}

/// The result of beginning a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    Yes,
    /// There were too many in the last hour. The oldest of them began then, in Unix seconds.
    TooMany {
        oldest_at: i64,
    },
}

impl Store {
    /// Begins a login in place of the user's earlier one of the method, unless the user began
    /// `limit` such in the hour before.
    pub(crate) async fn begin_login(
        &self,
        user_id: &str,
        login: &NewLogin,
        limit: i64,
    ) -> Result<Begun, StoreError> {
        let method = login.method.name();
        let mut transaction = self.begin().await?;
        destinations::lock_user(&mut transaction, user_id).await?;
        let (count, oldest_at): (i64, Option<i64>) = sqlx::query_as(
            "SELECT COUNT(*), MIN(created_at) FROM telegram_logins \
             WHERE user_id = $1 AND method = $2 AND created_at > $3",
        )
        .bind(user_id)
        .bind(method)
        .bind(login.created_at - 3600)
        .fetch_one(&mut *transaction)
        .await?;
        if let Some(oldest_at) = oldest_at
            && count >= limit
        {
            return Ok(Begun::TooMany { oldest_at });
        }
        sqlx::query("DELETE FROM telegram_logins WHERE user_id = $1 AND created_at < $2")
            .bind(user_id)
            .bind(login.created_at - KEPT_SECONDS)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "UPDATE telegram_logins SET state = 'expired' \
             WHERE user_id = $1 AND method = $2 AND state = 'waiting'",
        )
        .bind(user_id)
        .bind(method)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO telegram_logins (id, user_id, method, state, phone_sealed, \
             challenge_sha256, created_at, expires_at) \
             VALUES ($1, $2, $3, 'waiting', $4, $5, $6, $7)",
        )
        .bind(&login.id)
        .bind(user_id)
        .bind(method)
        .bind(&login.phone_sealed)
        .bind(login.challenge_sha256.as_slice())
        .bind(login.created_at)
        .bind(login.expires_at)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Begun::Yes)
    }

    /// One of the user's logins, as it is at `now`, in Unix seconds.
    pub(crate) async fn login(
        &self,
        user_id: &str,
        id: &str,
        method: LoginMethod,
        now: i64,
    ) -> Result<Option<Login>, StoreError> {
        Ok(
            sqlx::query_as::<_, (String, Option<Vec<u8>>, Vec<u8>, i64)>(
                "SELECT state, phone_sealed, challenge_sha256, expires_at FROM telegram_logins \
                 WHERE user_id = $1 AND id = $2 AND method = $3",
            )
            .bind(user_id)
            .bind(id)
            .bind(method.name())
            .fetch_optional(&self.read)
            .await?
            .map(
                |(state, phone_sealed, challenge_sha256, expires_at)| Login {
                    id: id.to_owned(),
                    stage: stage(&state, now < expires_at),
                    phone_sealed,
                    challenge_sha256,
                    expires_at,
                },
            ),
        )
    }

    /// Uses up one of `limit` attempts at a login that waits; returns how many are left. `None`: it no longer
    /// waits, or no attempt was left.
    ///
    /// Call it before comparing the code: of many concurrent answers, at most `limit` are compared.
    pub(crate) async fn take_attempt(
        &self,
        user_id: &str,
        id: &str,
        limit: i64,
    ) -> Result<Option<i64>, StoreError> {
        let attempts: Option<i64> = sqlx::query_scalar(
            "UPDATE telegram_logins SET attempts = attempts + 1 \
             WHERE user_id = $1 AND id = $2 AND state = 'waiting' AND attempts < $3 \
             RETURNING attempts",
        )
        .bind(user_id)
        .bind(id)
        .bind(limit)
        .fetch_optional(&self.write)
        .await?;
        Ok(attempts.map(|attempts| limit - attempts))
    }

    /// Gives up a login that waits.
    pub(crate) async fn fail_login(&self, user_id: &str, id: &str) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE telegram_logins SET state = 'failed' \
             WHERE user_id = $1 AND id = $2 AND state = 'waiting'",
        )
        .bind(user_id)
        .bind(id)
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Ends a login that waits with the account connected; says whether it waited.
    pub(crate) async fn finish_login(
        &self,
        user_id: &str,
        id: &str,
        account: &TelegramAccount,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let finished = sqlx::query(
            "UPDATE telegram_logins SET state = 'done' \
             WHERE user_id = $1 AND id = $2 AND state = 'waiting'",
        )
        .bind(user_id)
        .bind(id)
        .execute(&mut *transaction)
        .await?
        .rows_affected()
            == 1;
        if finished {
            destinations::set_account(&mut transaction, user_id, account).await?;
            audit::add(&mut transaction, std::slice::from_ref(entry)).await?;
            transaction.commit().await?;
        }
        Ok(finished)
    }
}

fn stage(state: &str, in_time: bool) -> Stage {
    match state {
        "waiting" if in_time => Stage::Waiting,
        "done" => Stage::Done,
        "failed" => Stage::Failed,
        _ => Stage::Expired,
    }
}
