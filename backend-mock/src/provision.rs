//! Makes users that are ready to upload: with a token, a bot, and a channel.

use backend::{
    Backend, BotInChannel, BotToken, BotUser, CrowdUser, NewCrowdUser, ProvisionError, UserSession,
};
use emulator::{BotApiError, BotRights, Telegram};
use serde::{Deserialize, Serialize};

use crate::telegram::CHANNEL_TITLE;

const DEMO_EMAIL: &str = "demo@example.com";
/// Life of the token that a made user gets, in seconds: 30 days, so that a demo left running goes
/// on working.
const TOKEN_TTL_SECONDS: i64 = 30 * 24 * 3600;

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

/// How a user is to be made.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setup {
    /// Whether the bot and the channel are entered in the user's settings.
    pub configured: bool,
    /// The bot's standing in the channel.
    pub bot_rights: BotRights,
    /// Life of the user's token, in seconds; a negative one has expired.
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

/// The backend and the emulated Telegram, in both of which a user is made.
#[derive(Clone, Copy)]
pub(crate) struct Provisioner<'a> {
    pub(crate) backend: &'a Backend,
    pub(crate) telegram: &'a Telegram,
}

impl Provisioner<'_> {
    /// The demo user: made once, and the same at every start but for the token.
    pub(crate) async fn demo(self) -> Result<Provisioned, ProvisionError> {
        let Some(user_id) = self.backend.user_by_email(DEMO_EMAIL).await? else {
            return self.make(DEMO_EMAIL, "Demo", &Setup::default()).await;
        };
        match self.backend.bot_and_channel(&user_id).await? {
            Some((bot_token, Some(channel_id))) => Ok(Provisioned {
                auth_token: self.backend.issue_token(&user_id, TOKEN_TTL_SECONDS)?,
                user_id,
                bot_token,
                channel_id,
            }),
            // The process that made the user was stopped before it came to the bot.
            _ => self.replace_bot(&user_id).await,
        }
    }

    /// Makes another user.
    pub(crate) async fn add_user(self, setup: &Setup) -> Result<Provisioned, ProvisionError> {
        let email = format!("user-{}@example.com", uuid::Uuid::new_v4().simple());
        self.make(&email, "Test user", setup).await
    }

    /// Gives the user another bot in the same channel; the one before is revoked.
    pub(crate) async fn replace_bot(self, user_id: &str) -> Result<Provisioned, ProvisionError> {
        let before = self.backend.bot_and_channel(user_id).await?;
        let (old_token, channel_id) = before.unzip();
        if let Some(token) = old_token.as_deref().and_then(emulator::BotToken::parse) {
            self.telegram.revoke_bot(&token).await.map_err(failed)?;
        }
        let channel_id = match channel_id.flatten().and_then(|id| id.parse().ok()) {
            Some(channel_id) => channel_id,
            None => self.add_channel().await?,
        };
        self.equip(user_id, channel_id, &Setup::default()).await
    }

    async fn make(
        self,
        email: &str,
        name: &str,
        setup: &Setup,
    ) -> Result<Provisioned, ProvisionError> {
        let user_id = self.backend.add_user(email, name).await?;
        let user_id = user_id.ok_or_else(|| failed("the e-mail address is taken"))?;
        // Not the bot's, and no business of a worker's: there to show that it holds on to neither.
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let session = UserSession {
            api_id: 123_456,
            session: format!("session-{secret}"),
            api_hash: secret,
        };
        self.backend.connect_account(&user_id, &session).await?;
        let channel_id = self.add_channel().await?;
        self.equip(&user_id, channel_id, setup).await
    }

    async fn add_channel(self) -> Result<i64, ProvisionError> {
        self.telegram
            .add_channel(CHANNEL_TITLE)
            .await
            .map_err(failed)
    }

    async fn equip(
        self,
        user_id: &str,
        channel_id: i64,
        setup: &Setup,
    ) -> Result<Provisioned, ProvisionError> {
        let made: Result<_, BotApiError> = async {
            let (bot, token) = self.telegram.add_bot().await?;
            self.telegram
                .set_rights(channel_id, bot.id, setup.bot_rights)
                .await?;
            Ok((bot, token))
        }
        .await;
        let (bot, token) = made.map_err(failed)?;
        let bot = BotInChannel {
            token: BotToken::parse(token.expose()).ok_or_else(|| failed("not a bot token"))?,
            bot: BotUser {
                id: bot.id,
                username: bot.username,
            },
            channel_id: channel_id.to_string(),
            channel_title: Some(CHANNEL_TITLE.to_owned()),
        };
        if setup.configured {
            self.backend.set_bot(user_id, &bot).await?;
        }
        Ok(Provisioned {
            user_id: user_id.to_owned(),
            auth_token: self.backend.issue_token(user_id, setup.token_ttl_seconds)?,
            bot_token: bot.token.expose().to_owned(),
            channel_id: bot.channel_id,
        })
    }
}

/// Makes many users in one transaction, each with so many API keys and with credentials that Telegram does
/// not know: for measuring with a full database.
pub(crate) async fn add_crowd(
    backend: &Backend,
    users: usize,
    keys_each: usize,
) -> Result<Vec<CrowdUser>, ProvisionError> {
    let users: Option<Vec<_>> = (0..users).map(crowd_user).collect();
    let users = users.ok_or_else(|| failed("not a bot token"))?;
    backend.add_crowd(&users, keys_each).await
}

fn crowd_user(number: usize) -> Option<NewCrowdUser> {
    let bot_id = 1_000_000_000 + number;
    let secret = uuid::Uuid::new_v4().simple();
    Some(NewCrowdUser {
        bot_token: BotToken::parse(&format!("{bot_id}:{secret}"))?,
        bot_username: format!("telestore_{bot_id}_bot"),
        channel_id: format!("-100{bot_id}"),
    })
}

fn failed(error: impl std::fmt::Display) -> ProvisionError {
    tracing::error!(%error, "a user cannot be made");
    ProvisionError
}
