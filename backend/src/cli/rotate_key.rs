//! `rotate-key`: seals every secret anew under the first key, while servers run.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::{
    cli::{Answer, CommandError, entry},
    secrets::KeyRing,
    store::{
        Store,
        sealed::{COLUMNS, SealedColumn},
    },
    time::{rfc3339, unix_now},
    write_behind,
};

/// Secrets that are read, and written in one transaction: others write in between.
const BATCH_ROWS: i64 = 100;
/// Passes over every secret, before a server is suspected not to know the new key.
const MAX_PASSES: u32 = 20;
/// How long running servers may take to read a file that has changed: they look every second.
const LEARNING: Duration = Duration::from_secs(2 * write_behind::INTERVAL.as_secs());

/// How to rotate.
#[derive(Args, Debug)]
pub struct Arguments {
    /// What people call the new key; default: the time.
    #[arg(long)]
    label: Option<String>,
}

pub(super) async fn run(
    arguments: &Arguments,
    store: &Store,
    ring: &KeyRing,
) -> Result<Answer, CommandError> {
    if ring.is_from_file() {
        let label = arguments.label.clone();
        let label = label.unwrap_or_else(|| rfc3339(unix_now()).replace(':', ""));
        let good = label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if label.is_empty() || !good {
            return Err(CommandError::Refused(
                "a label has letters, digits, `-`, `_` and `.`".to_owned(),
            ));
        }
        ring.add_key(&label)?;
    }
    let keys = ring.keys();
    let (id, label) = keys
        .first()
        .map(|key| (key.key.id_text(), key.label.clone()))
        .unwrap_or_default();
    store.use_seal_key(&id, &label).await?;
    let resealed = reseal_all(store, ring).await?;
    store.retire_other_seal_keys(&id).await?;
    store
        .add_audit_entries(&[entry(None, "secrets.rotate_key", Some(&id))])
        .await?;
    let json = json!({ "key": id, "label": label, "resealed": resealed });
    let text = format!(
        "{resealed} secrets are sealed anew; all are under the key {label}. \
         The other keys open nothing any more and can be taken out."
    );
    Ok(Answer::new(&json, text))
}

/// Seals every secret anew that is not under the first key, again and again until there is none;
/// returns how many.
async fn reseal_all(store: &Store, ring: &KeyRing) -> Result<u64, CommandError> {
    let mut resealed = 0;
    for _ in 0..MAX_PASSES {
        // A server may have sealed a value under an old key before it learned the new one, and written it
        // after the previous pass.
        tokio::time::sleep(LEARNING).await;
        let mut pass = Pass::default();
        for column in COLUMNS {
            pass.over(store, ring, column).await?;
        }
        resealed += pass.resealed;
        if pass.found == 0 {
            return Ok(resealed);
        }
    }
    Err(CommandError::Refused(
        "a server goes on sealing secrets under an old key: start every server anew with the new key \
         first, then run this again. Until then, take no key out"
            .to_owned(),
    ))
}

/// One look at every secret.
#[derive(Default)]
struct Pass {
    /// How many secrets were under another key.
    found: u64,
    /// How many of them were sealed anew. A server may have changed the others in between.
    resealed: u64,
}

impl Pass {
    async fn over(
        &mut self,
        store: &Store,
        ring: &KeyRing,
        column: SealedColumn,
    ) -> Result<(), CommandError> {
        let mut after = String::new();
        loop {
            let values = store.sealed_values(column, &after, BATCH_ROWS).await?;
            let Some(last) = values.last() else {
                return Ok(());
            };
            after.clone_from(&last.row_key);
            let mut batch = Vec::new();
            for value in values {
                if !ring.is_current(&value.sealed) {
                    let place = column.place(&value.user_id, &value.row_key);
                    let sealed = ring.seal(place, &ring.open(place, &value.sealed)?)?;
                    batch.push((value, sealed));
                }
            }
            if !batch.is_empty() {
                self.found += u64::try_from(batch.len()).unwrap_or(u64::MAX);
                // The next pass looks at values that a server has changed in between.
                self.resealed += store.reseal(column, &batch).await?;
            }
        }
    }
}
