//! What handlers are given, each the narrow piece of it that it names.

use std::sync::Arc;

use axum::extract::FromRef;

use crate::{
    auth::{caller::Authenticator, password::PasswordCost, token::Tokens},
    destinations::Destinations,
    limits::Limits,
    logins::Logins,
    signature::WebhookSecret,
    store::Store,
    telegram::Telegram,
    worker_hook::WorkerHook,
    write_behind::WriteBehind,
};

/// The state of the routes; cheap to clone.
#[derive(Clone, Debug, FromRef)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) write_behind: Arc<WriteBehind>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) accounts: Accounts,
    pub(crate) destinations: Destinations,
    pub(crate) logins: Logins,
    pub(crate) telegram: Telegram,
    pub(crate) worker: WorkerHook,
    pub(crate) expected_signature: ExpectedSignature,
    pub(crate) backend_url: BackendUrl,
    pub(crate) client: Arc<ClientSettings>,
}

/// What it takes to register and to log in.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    pub(crate) store: Store,
    pub(crate) limits: Arc<Limits>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) password_cost: PasswordCost,
}

/// The secret that webhooks are signed with; `None`: they may be unsigned.
#[derive(Clone, Debug)]
pub(crate) struct ExpectedSignature(pub(crate) Option<WebhookSecret>);

/// Where clients find this server, without a slash at the end.
#[derive(Clone, Debug)]
pub(crate) struct BackendUrl(pub(crate) Arc<str>);

/// What a frontend is told of the deployment.
#[derive(Debug)]
pub(crate) struct ClientSettings {
    /// Where clients upload to.
    pub(crate) worker_url: Option<String>,
    pub(crate) max_upload_bytes: u64,
}
