//! How a backend is to run.

use std::path::PathBuf;

use crate::{
    auth::{password::PasswordCost, static_tokens::StaticTokens},
    destinations::DeploymentBot,
    limits::RequestLimits,
    signature::WebhookSecret,
    store::{Database, StoreError, sqlite_url},
};

/// The worker's own default: 50 MB less 16 KB for the form around the file.
const DEFAULT_MAX_UPLOAD_BYTES: u64 = 52_412_416;

/// Where the data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// In memory; gone at the end.
    Memory,
    /// In this SQLite file, with the encryption key in `<file>.key` unless one is given.
    File(PathBuf),
}

impl From<&str> for Data {
    fn from(text: &str) -> Self {
        match text {
            ":memory:" => Self::Memory,
            path => Self::File(path.into()),
        }
    }
}

/// How a backend is to run.
#[derive(Clone)]
pub struct Options {
    /// Where the data is.
    pub data: Data,
    /// A PostgreSQL server (`postgres://…`) in place of the SQLite file. The encryption key stays beside
    /// the file.
    pub database_url: Option<String>,
    /// Base64 of the 32 bytes that secrets are sealed under, or a list `label:base64,label:base64`:
    /// the first seals, all open.
    pub encryption_key: Option<String>,
    /// A file with such a list, in place of `<file>.key`; read again when a key is added to it.
    pub encryption_key_file: Option<PathBuf>,
    /// The secret of access tokens. Without one, it is made at the first start and kept sealed in the
    /// database.
    pub jwt_secret: Option<String>,
    /// The secret that webhooks must be signed with.
    pub webhook_secret: Option<WebhookSecret>,
    /// How costly password hashes are.
    pub password_cost: PasswordCost,
    /// The Bot API that settings are checked with, for whoever hands in Telegram.
    pub telegram_api_url: Option<String>,
    /// Tokens of the deployment, each of which stands for a user of its own.
    pub api_tokens: StaticTokens,
    /// The bot and channel of users that have none of their own.
    pub deployment_bot: Option<DeploymentBot>,
    /// How many requests are taken.
    pub request_limits: RequestLimits,
    /// Whether a proxy in front adds the client's address to `X-Forwarded-For`.
    pub trust_forwarded_for: bool,
    /// Where clients upload to. With a `webhook_secret`, the worker there is told when credentials
    /// have changed.
    pub worker_url: Option<String>,
    /// The largest upload that the worker takes, in bytes.
    pub max_upload_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data: Data::File("data/telestore.sqlite3".into()),
            database_url: None,
            encryption_key: None,
            encryption_key_file: None,
            jwt_secret: None,
            webhook_secret: None,
            password_cost: PasswordCost::default(),
            telegram_api_url: None,
            api_tokens: StaticTokens::default(),
            deployment_bot: None,
            request_limits: RequestLimits::default(),
            trust_forwarded_for: false,
            worker_url: None,
            max_upload_bytes: DEFAULT_MAX_UPLOAD_BYTES,
        }
    }
}

impl Options {
    /// The URL of the database, unless it is in memory or a file that is not there yet.
    ///
    /// # Errors
    /// When this build cannot open such a database.
    pub fn existing_database(&self) -> Result<Option<String>, StoreError> {
        match (&self.database_url, &self.data) {
            (Some(url), _) => Database::from_url(url).map(|_| Some(url.clone())),
            (None, Data::File(path)) if path.exists() => sqlite_url(path).map(Some),
            (None, _) => Ok(None),
        }
    }
}
