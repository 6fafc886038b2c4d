//! Many users at once, whole.

use crate::store::{
    Store, StoreError,
    destinations::{Destination, TelegramAccount},
    keys::{self, NewKey},
    users::{self, User},
};

/// A user with all that credentials are made of.
#[derive(Debug)]
pub(crate) struct WholeUser {
    pub(crate) user: User,
    pub(crate) destination: Destination,
    pub(crate) account: TelegramAccount,
    pub(crate) keys: Vec<NewKey>,
}

impl Store {
    /// Adds users that are new, in one transaction.
    pub(crate) async fn add_whole_users(&self, all: &[WholeUser]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for whole in all {
            let user_id = &whole.user.id;
            users::insert(&mut transaction, &whole.user, None).await?;
            sqlx::query(
                "INSERT INTO destinations \
                 (id, user_id, bot_username, bot_token_sealed, channel_id, preferred, created_at) \
                 VALUES ($1, $2, $3, $4, $5, 1, $6)",
            )
            .bind(&whole.destination.id)
            .bind(user_id)
            .bind(&whole.destination.bot_username)
            .bind(&whole.destination.bot_token_sealed)
            .bind(&whole.destination.channel_id)
            .bind(whole.user.created_at)
            .execute(&mut *transaction)
            .await?;
            sqlx::query(
                "INSERT INTO telegram_accounts (user_id, api_id, api_hash_sealed, session_sealed) \
                 VALUES ($1, $2, $3, $4)",
            )
            .bind(user_id)
            .bind(whole.account.api_id)
            .bind(&whole.account.api_hash_sealed)
            .bind(&whole.account.session_sealed)
            .execute(&mut *transaction)
            .await?;
            for key in &whole.keys {
                keys::insert(&mut transaction, user_id, key).await?;
            }
        }
        transaction.commit().await?;
        Ok(())
    }
}
