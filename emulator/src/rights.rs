//! What a bot may do in a channel.

use crate::error::BotApiError;

/// A bot's standing in a channel (<https://core.telegram.org/bots/api#chatmember>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BotRights {
    /// The channel is the bot's.
    Creator,
    /// An administrator that may post.
    #[default]
    Administrator,
    /// An administrator that may not post.
    AdministratorNoPost,
    /// A reader.
    Member,
    /// No longer there.
    Left,
    /// Thrown out.
    Kicked,
}

impl BotRights {
    /// The name that is stored.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Creator => "creator",
            Self::Administrator => "administrator",
            Self::AdministratorNoPost => "administrator_no_post",
            Self::Member => "member",
            Self::Left => "left",
            Self::Kicked => "kicked",
        }
    }

    /// The rights stored under a name; a bot that never was there has left.
    pub(crate) fn from_name(name: Option<&str>) -> Self {
        [
            Self::Creator,
            Self::Administrator,
            Self::AdministratorNoPost,
            Self::Member,
            Self::Kicked,
        ]
        .into_iter()
        .find(|rights| Some(rights.name()) == name)
        .unwrap_or(Self::Left)
    }

    /// `status` of the `ChatMember`.
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::AdministratorNoPost => "administrator",
            other => other.name(),
        }
    }

    /// Whether the bot may post into the channel.
    #[must_use]
    pub fn can_post(self) -> bool {
        matches!(self, Self::Creator | Self::Administrator)
    }

    /// Refuses a bot that cannot see the channel.
    pub(crate) fn require_access(self) -> Result<(), BotApiError> {
        match self {
            Self::Left => Err(BotApiError::forbidden(
                "bot is not a member of the channel chat",
            )),
            Self::Kicked => Err(BotApiError::forbidden(
                "bot was kicked from the channel chat",
            )),
            _ => Ok(()),
        }
    }

    /// Refuses a bot that cannot post into the channel.
    pub(crate) fn require_post(self) -> Result<(), BotApiError> {
        self.require_access()?;
        if self.can_post() {
            return Ok(());
        }
        Err(BotApiError::bad_request(
            "need administrator rights in the channel chat",
        ))
    }
}
