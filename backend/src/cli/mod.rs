//! The command line beside the server: it works on the database while the server runs.

use clap::Subcommand;
use serde::Serialize;
use serde_json::Value;

mod audit;
mod keys;
mod rotate_key;
mod table;
mod users;

use crate::{
    error::ApiError,
    open::{self, OpenError},
    options::{Data, Options},
    secrets::SecretsError,
    store::{Store, StoreError, audit::AuditEntry},
    time::unix_now,
    worker_hook::WorkerHook,
};

/// What is to be done in place of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// API keys of users.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Users.
    #[command(subcommand)]
    Users(users::Command),
    /// The audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Seal every secret anew under a new key, while servers run.
    ///
    /// Where keys come from a file (`<PATH>.key` or ENCRYPTION_KEY_FILE), a new one is made and put first
    /// in it, and running servers learn it within two seconds. With ENCRYPTION_KEY, put the new key
    /// first in it, restart every server with that, and then run this with the same. The old keys can
    /// be taken out afterwards.
    RotateKey(rotate_key::Arguments),
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The database or the keys cannot be opened.
    #[error(transparent)]
    Start(#[from] OpenError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret could not be handled.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// What was asked for is not possible; the text says why.
    #[error("{0}")]
    Refused(String),
}

impl From<ApiError> for CommandError {
    fn from(error: ApiError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Does a command on the data of a server with these options.
///
/// Returns what is to be printed: JSON if `json` is set, else a table for people.
///
/// # Errors
/// When the data cannot be opened, or what was asked for is not possible.
pub async fn run(command: &Command, options: &Options, json: bool) -> Result<String, CommandError> {
    if let (None, Data::File(path)) = (&options.database_url, &options.data)
        && !path.exists()
    {
        let path = path.display();
        return Err(CommandError::Refused(format!(
            "there is no database at {path}: `--data` says where it is"
        )));
    }
    let store = open::open_store(options).await?;
    let answer = match command {
        Command::Keys(command) => {
            let secret = options.webhook_secret.as_ref();
            let worker = WorkerHook::new(options.worker_url.as_deref(), secret);
            let worker = worker.map_err(OpenError::from)?;
            let answer = keys::run(command, &store, &worker).await?;
            worker.finish().await;
            answer
        }
        Command::Users(command) => users::run(command, &store).await?,
        Command::Audit(command) => audit::run(command, &store).await?,
        Command::RotateKey(arguments) => {
            let ring = open::open_keys(options)?;
            rotate_key::run(arguments, &store, &ring).await?
        }
    };
    store.close().await;
    Ok(if json {
        answer.json.to_string()
    } else {
        answer.text
    })
}

/// The same thing for scripts and for people.
struct Answer {
    json: Value,
    text: String,
}

impl Answer {
    fn new(json: &impl Serialize, text: String) -> Self {
        Self {
            json: serde_json::to_value(json).unwrap_or_default(),
            text,
        }
    }
}

/// An audit entry: somebody at the command line did this.
fn entry(user_id: Option<&str>, action: &str, target: Option<&str>) -> AuditEntry {
    AuditEntry {
        at: unix_now(),
        actor: "cli".to_owned(),
        user_id: user_id.map(str::to_owned),
        action: action.to_owned(),
        target: target.map(str::to_owned),
        address: None,
        request_id: None,
        result: "ok".to_owned(),
    }
}

/// The id of the user that is named by id or e-mail address.
async fn user_id(store: &Store, name: &str) -> Result<String, CommandError> {
    if store.user_exists(name).await? {
        return Ok(name.to_owned());
    }
    match store.login_of(&name.trim().to_lowercase()).await? {
        Some((id, _)) => Ok(id),
        None => Err(CommandError::Refused(format!(
            "there is no user {name}; `users list` shows them"
        ))),
    }
}
