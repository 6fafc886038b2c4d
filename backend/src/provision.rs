//! What the program around a backend may do without a request: make users that are ready to upload, and
//! read what the webhook took.

use crate::{
    auth::{
        api_key::{ApiKeyText, DEFAULT_EXPIRES_DAYS, SECONDS_A_DAY},
        caller::token_user_id,
    },
    backend::Backend,
    bot_check::{CheckedBot, CheckedChannel},
    error::ApiError,
    secrets::SecretsError,
    store::{
        StoreError,
        audit::AuditEntry,
        bulk::WholeUser,
        destinations::{Destination, TelegramAccount},
        sealed::{API_HASH, BOT_TOKEN, SESSION},
        users::User,
    },
    telegram::{BotToken, BotUser, UserSession},
    time::unix_now,
};

/// The plan of made users: a test or a demo does not run out.
const PLAN: &str = "enterprise";

/// A user could not be made or read. Why is in the log: it may tell of secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user cannot be made or read; the log says why")]
pub struct ProvisionError;

impl From<ApiError> for ProvisionError {
    fn from(error: ApiError) -> Self {
        tracing::error!(%error, "a user cannot be made or read");
        Self
    }
}

/// A bot and the channel that it posts into.
#[derive(Clone, Debug)]
pub struct BotInChannel {
    /// The bot's token.
    pub token: BotToken,
    /// Who the bot is.
    pub bot: BotUser,
    /// The channel's id, like `-1001234567890`.
    pub channel_id: String,
    /// What the channel is called.
    pub channel_title: Option<String>,
}

/// A user of a crowd: with credentials that Telegram does not know.
#[derive(Clone, Debug)]
pub struct CrowdUser {
    /// The user's id.
    pub user_id: String,
    /// A token for the backend.
    pub auth_token: String,
    /// API keys.
    pub api_keys: Vec<String>,
}

/// A user of a crowd that is to be made.
#[derive(Debug)]
pub struct NewCrowdUser {
    /// The token of the user's bot.
    pub bot_token: BotToken,
    /// The bot's name.
    pub bot_username: String,
    /// The channel that the bot posts into.
    pub channel_id: String,
}

impl Backend {
    /// Makes a user; returns its id, or `None` if the e-mail address is taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_user(
        &self,
        email: &str,
        name: &str,
    ) -> Result<Option<String>, ProvisionError> {
        let user = User::new(email, name, PLAN);
        let added = self.app.store.add_user(&user).await;
        let added = added.map_err(ApiError::from)?;
        Ok(added.then_some(user.id))
    }

    /// The id of the user with this e-mail address.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<String>, ProvisionError> {
        let login = self.app.store.login_of(email).await;
        Ok(login.map_err(ApiError::from)?.map(|(user_id, _)| user_id))
    }

    /// Whether there is a user with this id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_user(&self, user_id: &str) -> Result<bool, ProvisionError> {
        let exists = self.app.store.user_exists(user_id).await;
        Ok(exists.map_err(ApiError::from)?)
    }

    /// An access token of the user's. Its life is in seconds; with a negative one it has expired.
    ///
    /// # Errors
    /// When the token cannot be signed.
    pub fn issue_token(&self, user_id: &str, ttl_seconds: i64) -> Result<String, ProvisionError> {
        Ok(self.app.accounts.tokens.issue(user_id, ttl_seconds)?)
    }

    /// Connects a Telegram account to the user.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn connect_account(
        &self,
        user_id: &str,
        session: &UserSession,
    ) -> Result<(), ProvisionError> {
        let entry = entry(user_id, "telegram.connect");
        let UserSession {
            api_id,
            api_hash,
            session,
        } = session;
        self.app
            .destinations
            .set_telegram_account(user_id, *api_id, api_hash, session, &entry)
            .await?;
        Ok(())
    }

    /// Sets the user's bot and channel, as the settings do, without asking Telegram.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_bot(&self, user_id: &str, bot: &BotInChannel) -> Result<(), ProvisionError> {
        let channel = CheckedChannel {
            id: bot.channel_id.clone(),
            title: bot.channel_title.clone(),
        };
        let bot = CheckedBot {
            token: bot.token.clone(),
            user: bot.bot.clone(),
        };
        let entry = entry(user_id, "credentials.set");
        self.app
            .destinations
            .set_preferred(user_id, &bot, Some(&channel), &entry)
            .await?;
        Ok(())
    }

    /// The token of the user's bot, and the channel, if they are set.
    ///
    /// # Errors
    /// When the database fails, or the token does not open.
    pub async fn bot_and_channel(
        &self,
        user_id: &str,
    ) -> Result<Option<(String, Option<String>)>, ProvisionError> {
        Ok(self.app.destinations.bot_and_channel(user_id).await?)
    }

    /// Makes many users in one transaction, each with so many API keys.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_crowd(
        &self,
        users: &[NewCrowdUser],
        keys_each: usize,
    ) -> Result<Vec<CrowdUser>, ProvisionError> {
        let mut crowd = Vec::with_capacity(users.len());
        let mut rows = Vec::with_capacity(users.len());
        for user in users {
            let (user, row) = self.crowd_user(user, keys_each)?;
            crowd.push(user);
            rows.push(row);
        }
        let added = self.app.store.add_whole_users(&rows).await;
        added.map_err(ApiError::from)?;
        Ok(crowd)
    }

    /// Headers and body of every upload event that the webhook took, as JSON texts, in the order they
    /// came.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn upload_events(&self) -> Result<Vec<(String, String)>, ProvisionError> {
        Ok(self.app.store.events().await.map_err(ApiError::from)?)
    }

    /// Forgets every upload event. What was counted of them stays counted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn clear_upload_events(&self) -> Result<(), ProvisionError> {
        let cleared = self.app.store.clear_events().await;
        Ok(cleared.map_err(ApiError::from)?)
    }

    /// Makes the users that tokens of the deployment stand for, where they are not there yet.
    pub(crate) async fn add_token_users(&self) -> Result<(), StoreError> {
        for label in self.app.authenticator.static_tokens.labels() {
            let user = User {
                id: token_user_id(label),
                // No address that can be registered: it has no domain.
                ..User::new(&token_user_id(label), label, PLAN)
            };
            self.app.store.add_user(&user).await?;
        }
        Ok(())
    }

    fn crowd_user(
        &self,
        new: &NewCrowdUser,
        keys_each: usize,
    ) -> Result<(CrowdUser, WholeUser), ApiError> {
        let email = format!("user-{}@example.com", uuid::Uuid::new_v4().simple());
        let user = User::new(&email, "One of many", PLAN);
        let id = user.id.as_str();
        let destination_id = uuid::Uuid::new_v4().to_string();
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let keys = (0..keys_each)
            .map(|_| ApiKeyText::generate())
            .collect::<Result<Vec<_>, _>>()?;
        let record = |key: &ApiKeyText| {
            let key_id = uuid::Uuid::new_v4().to_string();
            key.record(
                key_id,
                "crowd".to_owned(),
                DEFAULT_EXPIRES_DAYS * SECONDS_A_DAY,
            )
        };
        let crowd_user = CrowdUser {
            user_id: id.to_owned(),
            auth_token: self
                .app
                .accounts
                .tokens
                .issue(id, DEFAULT_EXPIRES_DAYS * SECONDS_A_DAY)?,
            api_keys: keys.iter().map(|key| key.expose().to_owned()).collect(),
        };
        let bot_place = BOT_TOKEN.place(id, &destination_id);
        let row = WholeUser {
            destination: Destination {
                bot_token_sealed: self
                    .app
                    .destinations
                    .keys
                    .seal(bot_place, new.bot_token.expose())?,
                channel_id: Some(new.channel_id.clone()),
                id: destination_id,
                label: String::new(),
                bot_username: new.bot_username.clone(),
                channel_title: None,
                preferred: true,
                created_at: unix_now(),
            },
            account: self.crowd_account(id, &secret)?,
            keys: keys.iter().map(record).collect(),
            user,
        };
        Ok((crowd_user, row))
    }

    fn crowd_account(&self, user_id: &str, secret: &str) -> Result<TelegramAccount, SecretsError> {
        Ok(TelegramAccount {
            api_id: 123_456,
            api_hash_sealed: self
                .app
                .destinations
                .keys
                .seal(API_HASH.place(user_id, ""), secret)?,
            session_sealed: self
                .app
                .destinations
                .keys
                .seal(SESSION.place(user_id, ""), secret)?,
            channel_id: None,
            invite_sealed: None,
        })
    }
}

fn entry(user_id: &str, action: &str) -> AuditEntry {
    AuditEntry {
        at: unix_now(),
        actor: "setup".to_owned(),
        user_id: Some(user_id.to_owned()),
        action: action.to_owned(),
        target: None,
        address: None,
        request_id: None,
        result: "ok".to_owned(),
    }
}
