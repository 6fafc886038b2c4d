//! The durable object of one idempotency key.

use super::record::Record;
use crate::config::Config;
use crate::host::{Host, Storage, StorageFault, rows};
use crate::notify;

/// Answers an attempt, within the durable object.
///
/// # Errors
/// [`StorageFault`], also for what is no question.
pub async fn answer<H: Host, S: Storage>(
    host: &H,
    config: &Config,
    storage: &S,
    question: &str,
) -> Result<String, StorageFault> {
    let question = serde_json::from_str(question).map_err(|_| StorageFault)?;
    let before = load(storage)?;
    let alarm_before = before.as_ref().map(Record::alarm_at);
    let (after, answer) = Record::decide(before, question, host.now(), config.idempotency_policy);
    save(storage, after.as_ref())?;
    let alarm = after.as_ref().map(Record::alarm_at);
    // A record that is gone leaves its alarm, by which the object is forgotten.
    if let Some(at) = alarm.filter(|_| alarm != alarm_before) {
        storage.set_alarm(at).await?;
    }
    serde_json::to_string(&answer).map_err(|_| StorageFault)
}

/// Does what is due, within the durable object: tells the backend of an upload that died before it
/// could, and in the end forgets the key.
///
/// # Errors
/// [`StorageFault`]; the runtime then wakes the object again.
pub async fn wake<H: Host, S: Storage>(
    host: &H,
    config: &Config,
    storage: &S,
) -> Result<(), StorageFault> {
    let now = host.now();
    let Some(record) = load(storage)?.filter(|record| !record.is_over(now)) else {
        return storage.clear().await;
    };
    if let Some(message) = record.left_behind(now) {
        let delivered = notify::hand_over(host, config, message).await;
        // Somebody may have asked meanwhile.
        if let Some(record) = load(storage)? {
            let record = record.handed_over(delivered, host.now());
            save(storage, Some(&record))?;
            return storage.set_alarm(record.alarm_at()).await;
        }
    }
    storage.set_alarm(record.alarm_at()).await
}

fn load(storage: &impl Storage) -> Result<Option<Record>, StorageFault> {
    storage.sql(
        "CREATE TABLE IF NOT EXISTS record (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), json TEXT NOT NULL)",
        &[],
    )?;
    let found = storage.sql("SELECT json FROM record", &[])?;
    let found = rows::<(String,)>(&found)?.pop();
    found
        .map(|(json,)| serde_json::from_str(&json).map_err(|_| StorageFault))
        .transpose()
}

fn save(storage: &impl Storage, record: Option<&Record>) -> Result<(), StorageFault> {
    let Some(record) = record else {
        return storage.sql("DELETE FROM record", &[]).map(drop);
    };
    let json = serde_json::to_string(record).map_err(|_| StorageFault)?;
    let statement =
        "INSERT INTO record VALUES (1, ?) ON CONFLICT DO UPDATE SET json = excluded.json";
    storage.sql(statement, &[json.into()]).map(drop)
}
