//! Makes users that are ready to upload: with a token, a bot, and a channel.

use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    backend::{
        api_key::{ApiKeyText, DEFAULT_EXPIRES_DAYS, SECONDS_A_DAY},
        bot_api::BotUser,
        bot_check::{CheckedBot, CheckedChannel},
        credentials::place,
        error::ApiError,
        extract::token_user_id,
    },
    secrets::{SecretsError, random},
    store::{
        audit::AuditEntry,
        bulk::WholeUser,
        destinations::{Destination, TelegramAccount},
        sealed::{API_HASH, BOT_TOKEN, SESSION},
        telegram::Bot,
        unix_now,
        users::User,
    },
    telegram::{BotRights, token::BotToken},
};

const DEMO_EMAIL: &str = "demo@example.com";
/// Life of the token that a made user gets, in seconds: 30 days, so that a demo left running goes
/// on working.
const TOKEN_TTL_SECONDS: i64 = 30 * 24 * 3600;

/// The plan of made users: a test or a demo is not to run out.
const PLAN: &str = "enterprise";
const CHANNEL_TITLE: &str = "TeleStore files";

/// A user that is ready to upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Provisioned {
    /// The user's id.
    pub user_id: String,
    /// A token for the backend.
    pub auth_token: String,
    /// The token of the user's bot.
    pub bot_token: String,
    /// The channel that the bot posts into, like `-1001234567890`.
    pub channel_id: String,
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

/// How a user is to be made.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setup {
    /// Whether the bot and the channel are entered in the user's settings.
    pub configured: bool,
    /// The bot's standing in the channel.
    pub bot_rights: BotRights,
    /// Life of the user's token, in seconds; one that is negative has run out.
    pub token_ttl_seconds: i64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            configured: true,
            bot_rights: BotRights::default(),
            token_ttl_seconds: TOKEN_TTL_SECONDS,
        }
    }
}

impl App {
    /// Makes the users that tokens of the deployment stand for, where they are not there yet.
    pub(crate) async fn add_token_users(&self) -> Result<(), ApiError> {
        for label in self.static_tokens.labels() {
            let user = User {
                id: token_user_id(label),
                // No address that can be registered: it has no domain.
                ..User::new(&token_user_id(label), label, PLAN)
            };
            self.store.add_user(&user).await?;
        }
        Ok(())
    }

    /// The demo user: made once, and the same ever after but for the token.
    pub(crate) async fn demo(&self) -> Result<Provisioned, ApiError> {
        let Some((user_id, _)) = self.store.login_of(DEMO_EMAIL).await? else {
            return self.make(DEMO_EMAIL, "Demo", &Setup::default()).await;
        };
        match self.bot_and_channel(&user_id).await? {
            Some((bot_token, Some(channel_id))) => Ok(Provisioned {
                auth_token: self.tokens.issue(&user_id, TOKEN_TTL_SECONDS)?,
                user_id,
                bot_token,
                channel_id,
            }),
            // The process that made the user was stopped before it came to the bot.
            _ => self.replace_bot(&user_id).await,
        }
    }

    /// Makes another user.
    pub(crate) async fn add_user(&self, setup: &Setup) -> Result<Provisioned, ApiError> {
        let email = format!("user-{}@example.com", uuid::Uuid::new_v4().simple());
        self.make(&email, "Test user", setup).await
    }

    /// Makes many users in one transaction, each with so many keys.
    pub(crate) async fn add_crowd(
        &self,
        users: usize,
        keys_each: usize,
    ) -> Result<Vec<CrowdUser>, ApiError> {
        let mut crowd = Vec::with_capacity(users);
        let mut rows = Vec::with_capacity(users);
        for _ in 0..users {
            let (user, row) = self.crowd_user(keys_each)?;
            crowd.push(user);
            rows.push(row);
        }
        self.store.add_whole_users(&rows).await?;
        Ok(crowd)
    }

    fn crowd_user(&self, keys_each: usize) -> Result<(CrowdUser, WholeUser), ApiError> {
        let email = format!("user-{}@example.com", uuid::Uuid::new_v4().simple());
        let user = User::new(&email, "One of many", PLAN);
        let id = user.id.as_str();
        let bot_id = random_number(1_000_000_000, 8_000_000_000)?;
        let channel = random_number(1_000_000_000, 4_000_000_000)?;
        let destination_id = uuid::Uuid::new_v4().to_string();
        let bot_token = BotToken::generate(bot_id)?;
        let bot_place = place(BOT_TOKEN, id, &destination_id);
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
            auth_token: self.tokens.issue(id, TOKEN_TTL_SECONDS)?,
            api_keys: keys.iter().map(|key| key.expose().to_owned()).collect(),
        };
        let row = WholeUser {
            destination: Destination {
                bot_token_sealed: self.key.seal(bot_place, bot_token.expose())?,
                channel_id: Some(format!("-100{channel}")),
                id: destination_id,
                label: String::new(),
                bot_username: format!("telestore_{bot_id}_bot"),
                channel_title: None,
                preferred: true,
                created_at: unix_now(),
            },
            account: TelegramAccount {
                api_id: 123_456,
                api_hash_sealed: self.key.seal(place(API_HASH, id, ""), &secret)?,
                session_sealed: self.key.seal(place(SESSION, id, ""), &secret)?,
                channel_id: None,
                invite_sealed: None,
            },
            keys: keys.iter().map(record).collect(),
            user,
        };
        Ok((crowd_user, row))
    }

    /// Gives the user another bot in the same channel; the one before is revoked.
    pub(crate) async fn replace_bot(&self, user_id: &str) -> Result<Provisioned, ApiError> {
        let (old_token, channel_id) = self.bot_and_channel(user_id).await?.unzip();
        if let Some(token) = old_token.as_deref().and_then(BotToken::parse) {
            self.store.revoke_bot(&token.hash()).await?;
        }
        let channel_id = match channel_id.flatten().and_then(|id| id.parse().ok()) {
            Some(channel_id) => channel_id,
            None => self.make_channel().await?,
        };
        self.equip(user_id, channel_id, &Setup::default()).await
    }

    async fn make(&self, email: &str, name: &str, setup: &Setup) -> Result<Provisioned, ApiError> {
        let user = User::new(email, name, PLAN);
        if !self.store.add_user(&user).await? {
            return Err(ApiError::Refused("Email already registered".to_owned()));
        }
        // Not the bot's, and no business of a worker's: there to show that it holds on to neither.
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let session = format!("session-{secret}");
        let connected = entry(&user.id, "telegram.connect");
        self.set_telegram_account(&user.id, 123_456, &secret, &session, &connected)
            .await?;
        let channel_id = self.make_channel().await?;
        self.equip(&user.id, channel_id, setup).await
    }

    async fn equip(
        &self,
        user_id: &str,
        channel_id: i64,
        setup: &Setup,
    ) -> Result<Provisioned, ApiError> {
        let (bot, bot_token) = self.make_bot().await?;
        self.store
            .set_member(channel_id, bot.id, setup.bot_rights.name())
            .await?;
        let bot = CheckedBot {
            token: bot_token,
            user: BotUser {
                id: bot.id,
                username: bot.username,
            },
        };
        let channel = CheckedChannel {
            id: channel_id.to_string(),
            title: Some(CHANNEL_TITLE.to_owned()),
        };
        if setup.configured {
            let entry = entry(user_id, "credentials.set");
            self.set_preferred(user_id, &bot, Some(&channel), &entry)
                .await?;
        }
        Ok(Provisioned {
            user_id: user_id.to_owned(),
            auth_token: self.tokens.issue(user_id, setup.token_ttl_seconds)?,
            bot_token: bot.token.expose().to_owned(),
            channel_id: channel.id,
        })
    }

    async fn make_bot(&self) -> Result<(Bot, BotToken), ApiError> {
        let id = random_number(1_000_000_000, 8_000_000_000)?;
        let token = BotToken::generate(id)?;
        let bot = Bot {
            id,
            username: format!("telestore_{id}_bot"),
            first_name: "TeleStore".to_owned(),
        };
        self.store.add_bot(&bot, &token.hash()).await?;
        Ok((bot, token))
    }

    /// Makes a channel of the emulated Telegram; returns its id.
    pub(crate) async fn make_channel(&self) -> Result<i64, ApiError> {
        // Bot API ids of channels: -100, then the channel's own number.
        let id = -1_000_000_000_000 - random_number(1_000_000_000, 4_000_000_000)?;
        self.store.add_channel(id, CHANNEL_TITLE).await?;
        Ok(id)
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

/// A number from `from` up to but not including `to`.
fn random_number(from: u32, to: u64) -> Result<i64, SecretsError> {
    let from = u64::from(from);
    let number = from + u64::from_le_bytes(random()?) % (to - from);
    Ok(i64::try_from(number).unwrap_or(i64::MAX))
}
