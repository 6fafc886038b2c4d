//! `audit tail`

use clap::Subcommand;
use serde::Serialize;

use crate::{
    cli::{
        Answer, CommandError,
        table::{or_dash, table},
        user_id,
    },
    store::{Store, audit::AuditRow},
    time::rfc3339,
};

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the newest entries, oldest first.
    Tail {
        /// How many.
        #[arg(short = 'n', long, default_value_t = 20)]
        lines: u32,
        /// Of this user alone, by id or e-mail address.
        #[arg(long)]
        user: Option<String>,
    },
}

#[derive(Serialize)]
struct Row {
    sequence: i64,
    at: String,
    actor: String,
    user_id: Option<String>,
    action: String,
    target: Option<String>,
    address: Option<String>,
    request_id: Option<String>,
    result: String,
}

pub(super) async fn run(command: &Command, store: &Store) -> Result<Answer, CommandError> {
    match command {
        Command::Tail { lines, user } => {
            let user = match user {
                Some(name) => Some(user_id(store, name).await?),
                None => None,
            };
            let rows = store.audit_tail(user.as_deref(), (*lines).into()).await?;
            let rows: Vec<Row> = rows.into_iter().map(row).collect();
            let text = table(
                [
                    "AT", "ACTOR", "USER", "ACTION", "TARGET", "FROM", "REQUEST", "RESULT",
                ],
                rows.iter().map(|row| {
                    [
                        row.at.clone(),
                        row.actor.clone(),
                        or_dash(row.user_id.as_ref()),
                        row.action.clone(),
                        or_dash(row.target.as_ref()),
                        or_dash(row.address.as_ref()),
                        or_dash(row.request_id.as_ref()),
                        row.result.clone(),
                    ]
                }),
            );
            Ok(Answer::new(&rows, text))
        }
    }
}

fn row(AuditRow { sequence, entry }: AuditRow) -> Row {
    Row {
        sequence,
        at: rfc3339(entry.at),
        actor: entry.actor,
        user_id: entry.user_id,
        action: entry.action,
        target: entry.target,
        address: entry.address,
        request_id: entry.request_id,
        result: entry.result,
    }
}
