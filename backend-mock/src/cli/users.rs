//! `users list`

use clap::Subcommand;
use serde::Serialize;

use super::{Answer, CommandError, table::table};
use crate::{store::Store, time::rfc3339};

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List every user, oldest first.
    List,
}

#[derive(Serialize)]
struct Row {
    id: String,
    email: String,
    name: String,
    plan: String,
    created_at: String,
}

pub(super) async fn run(command: &Command, store: &Store) -> Result<Answer, CommandError> {
    match command {
        Command::List => {
            let users = store.users().await?;
            let rows: Vec<Row> = users
                .into_iter()
                .map(|user| Row {
                    id: user.id,
                    email: user.email,
                    name: user.name,
                    plan: user.plan,
                    created_at: rfc3339(user.created_at),
                })
                .collect();
            let text = table(
                ["ID", "EMAIL", "NAME", "PLAN", "CREATED"],
                rows.iter().map(|row| {
                    [&row.id, &row.email, &row.name, &row.plan, &row.created_at].map(Clone::clone)
                }),
            );
            Ok(Answer::new(&rows, text))
        }
    }
}
