//! What every handler has at hand.

use crate::{
    backend::{password::PasswordCost, signature::WebhookSecret, token::Tokens},
    control::Control,
    secrets::MasterKey,
    store::Store,
    telegram::Telegram,
};

/// The parts of the server, each behind its own name.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) key: MasterKey,
    pub(crate) tokens: Tokens,
    pub(crate) password_cost: PasswordCost,
    /// `None`: webhooks are taken unsigned.
    pub(crate) webhook_secret: Option<WebhookSecret>,
    pub(crate) telegram: Telegram,
    pub(crate) control: Control,
    /// Where this server is, without a slash at the end.
    pub(crate) base_url: String,
}
