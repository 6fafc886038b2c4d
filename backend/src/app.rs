//! What every handler has at hand.

use crate::{
    api::{
        credentials::DeploymentBot, password::PasswordCost, signature::WebhookSecret,
        static_tokens::StaticTokens, token::Tokens,
    },
    credentials_hook::CredentialsHook,
    limits::Limits,
    secrets::KeyRing,
    store::Store,
    telegram::Telegram,
    write_behind::WriteBehind,
};

/// The parts of the server, each behind its own name.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) write_behind: WriteBehind,
    pub(crate) key: KeyRing,
    pub(crate) tokens: Tokens,
    pub(crate) static_tokens: StaticTokens,
    pub(crate) limits: Limits,
    pub(crate) password_cost: PasswordCost,
    /// `None`: webhooks are taken unsigned.
    pub(crate) webhook_secret: Option<WebhookSecret>,
    /// Serves users that have no bot of their own.
    pub(crate) deployment_bot: Option<DeploymentBot>,
    pub(crate) telegram: Telegram,
    /// `None`: no worker is told that credentials have changed.
    pub(crate) credentials_hook: Option<CredentialsHook>,
    /// Where this server is, without a slash at the end.
    pub(crate) base_url: String,
    /// Where clients upload to.
    pub(crate) worker_url: Option<String>,
    pub(crate) max_upload_bytes: u64,
    /// Whether a proxy in front says where requests come from.
    pub(crate) trust_forwarded_for: bool,
}

impl App {
    /// To be called when a change to a user's bot, channel or keys is stored. Waits for nothing.
    pub(crate) fn credentials_changed(&self, user_id: &str) {
        if let Some(hook) = &self.credentials_hook {
            hook.changed(user_id);
        }
    }
}
