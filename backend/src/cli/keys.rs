//! `keys create`, `list`, `revoke`, `rotate`

use clap::Subcommand;
use serde::Serialize;

use crate::{
    auth::api_key::DEFAULT_EXPIRES_DAYS,
    cli::{
        Answer, CommandError, entry,
        table::{or_dash, table},
        user_id,
    },
    keys::{self, KeyReply, NewKeyReply},
    store::Store,
    worker_hook::WorkerHook,
};

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key, and show it this once.
    Create {
        /// Whose key, by id or e-mail address.
        #[arg(long)]
        user: String,
        /// What the key is for.
        #[arg(long)]
        name: String,
        /// Days until it expires.
        #[arg(long, default_value_t = DEFAULT_EXPIRES_DAYS)]
        expires_days: i64,
    },
    /// List keys, oldest first.
    List {
        /// Of this user alone, by id or e-mail address.
        #[arg(long)]
        user: Option<String>,
    },
    /// Make a key useless for good.
    Revoke {
        /// The key's id.
        id: String,
    },
    /// Put a fresh key in the place of one, and show it this once.
    Rotate {
        /// The key's id.
        id: String,
    },
}

#[derive(Serialize)]
struct Row {
    user_id: String,
    #[serde(flatten)]
    key: KeyReply,
}

pub(super) async fn run(
    command: &Command,
    store: &Store,
    worker: &WorkerHook,
) -> Result<Answer, CommandError> {
    match command {
        Command::Create {
            user,
            name,
            expires_days,
        } => {
            let user = user_id(store, user).await?;
            let key = keys::make_key(store, &user, name, *expires_days, |id| {
                entry(Some(&user), "key.create", Some(id))
            })
            .await?;
            Ok(show(&key))
        }
        Command::List { user } => {
            let user = match user {
                Some(name) => Some(user_id(store, name).await?),
                None => None,
            };
            list(store, user.as_deref()).await
        }
        Command::Revoke { id } => {
            let owner = owner(store, id).await?;
            let entry = entry(Some(&owner), "key.revoke", Some(id));
            keys::revoke_key(store, &owner, id, &entry).await?;
            worker.credentials_changed(&owner);
            let json = serde_json::json!({ "id": id, "active": false });
            Ok(Answer::new(&json, format!("The key {id} is revoked.")))
        }
        Command::Rotate { id } => {
            let owner = owner(store, id).await?;
            let entry = entry(Some(&owner), "key.rotate", Some(id));
            let key = keys::rotate_key(store, &owner, id, &entry).await?;
            worker.credentials_changed(&owner);
            Ok(show(&key))
        }
    }
}

async fn list(store: &Store, user_id: Option<&str>) -> Result<Answer, CommandError> {
    let keys = store.keys(user_id).await?;
    let rows: Vec<Row> = keys
        .into_iter()
        .map(|key| Row {
            user_id: key.user_id.clone(),
            key: keys::describe(key),
        })
        .collect();
    let text = table(
        [
            "ID",
            "USER",
            "NAME",
            "KEY",
            "ACTIVE",
            "EXPIRES",
            "LAST USED",
            "REQUESTS",
        ],
        rows.iter().map(|Row { user_id, key }| {
            [
                key.id.clone(),
                user_id.clone(),
                key.name.clone(),
                format!("{}…", key.preview),
                if key.active { "yes" } else { "no" }.to_owned(),
                key.expires_at.clone(),
                or_dash(key.last_used_at.as_ref()),
                key.request_count.to_string(),
            ]
        }),
    );
    Ok(Answer::new(&rows, text))
}

fn show(key: &NewKeyReply) -> Answer {
    let text = format!(
        "{}\n\nThis is the key {} ({}), shown this once. It expires at {}.",
        key.key, key.about.id, key.about.name, key.about.expires_at
    );
    Answer::new(key, text)
}

async fn owner(store: &Store, id: &str) -> Result<String, CommandError> {
    store.owner_of_key(id).await?.ok_or_else(|| {
        CommandError::Refused(format!("there is no key {id}; `keys list` shows them"))
    })
}
