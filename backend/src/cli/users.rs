//! `users list`, `set-plan`

use clap::Subcommand;
use serde::Serialize;

use crate::{
    cli::{Answer, CommandError, entry, table::table, user_id},
    store::Store,
    time::rfc3339,
};

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List every user, oldest first.
    List,
    /// Give a user another plan, from the next request on.
    SetPlan {
        /// Whose plan, by id or e-mail address.
        user: String,
        /// The plan's name.
        plan: String,
    },
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
        Command::SetPlan { user, plan } => {
            let id = user_id(store, user).await?;
            let entry = entry(Some(&id), "plan.set", Some(plan));
            if !store.set_plan(&id, plan, &entry).await? {
                let plans = store.plans().await?.join(", ");
                return Err(CommandError::Refused(format!(
                    "there is no plan {plan}; there are {plans}"
                )));
            }
            let json = serde_json::json!({ "id": id, "plan": plan });
            Ok(Answer::new(&json, format!("{user} has the plan {plan}.")))
        }
    }
}
