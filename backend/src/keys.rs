//! API keys of a user: made, replaced, revoked. The routes and the command line share this.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    auth::api_key::{ApiKeyText, MAX_EXPIRES_DAYS, MAX_NAME_CHARACTERS, SECONDS_A_DAY},
    error::ApiError,
    store::{
        Store,
        audit::AuditEntry,
        keys::{ApiKey, NewKey},
    },
    time::{rfc3339, unix_now},
};

/// An API key, without the key.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyReply {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The key's first eight characters.
    pub(crate) preview: String,
    pub(crate) active: bool,
    pub(crate) created_at: String,
    pub(crate) expires_at: String,
    pub(crate) last_used_at: Option<String>,
    pub(crate) request_count: i64,
}

/// An API key that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewKeyReply {
    #[serde(flatten)]
    pub(crate) about: KeyReply,
    /// The key. It is shown this once.
    pub(crate) key: String,
}

/// Gives the user another key; `entry` makes the audit entry for the key's id.
pub(crate) async fn make_key(
    store: &Store,
    user_id: &str,
    name: &str,
    expires_days: i64,
    entry: impl FnOnce(&str) -> AuditEntry,
) -> Result<NewKeyReply, ApiError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARACTERS {
        return Err(ApiError::Unprocessable(
            "name: must have 1 to 100 characters".to_owned(),
        ));
    }
    if !(1..=MAX_EXPIRES_DAYS).contains(&expires_days) {
        return Err(ApiError::Unprocessable(
            "expires_days: must be 1 to 3650".to_owned(),
        ));
    }
    let key = ApiKeyText::generate()?;
    let id = uuid::Uuid::new_v4().to_string();
    let record = key.record(id, name.to_owned(), expires_days * SECONDS_A_DAY);
    let entry = entry(&record.id);
    store.add_key(user_id, &record, &entry).await?;
    Ok(fresh(record, &key))
}

/// Makes one of the user's keys useless for good.
pub(crate) async fn revoke_key(
    store: &Store,
    user_id: &str,
    id: &str,
    entry: &AuditEntry,
) -> Result<(), ApiError> {
    if store.revoke_key(user_id, id, entry).await? {
        return Ok(());
    }
    // Revoked before is revoked: a client that missed the answer may ask again.
    match store.key(user_id, id).await? {
        Some(_) => Ok(()),
        None => Err(ApiError::NotFound),
    }
}

/// Puts a fresh key in the place of one of the user's.
pub(crate) async fn rotate_key(
    store: &Store,
    user_id: &str,
    id: &str,
    entry: &AuditEntry,
) -> Result<NewKeyReply, ApiError> {
    let old = store.key(user_id, id).await?;
    let old = old.ok_or(ApiError::NotFound)?;
    let key = ApiKeyText::generate()?;
    let record = key.record(old.id, old.name, old.expires_at - old.created_at);
    if !store.replace_key(user_id, &record, entry).await? {
        return Err(ApiError::Conflict(
            "This key was revoked; make another one".to_owned(),
        ));
    }
    Ok(fresh(record, &key))
}

fn fresh(record: NewKey, key: &ApiKeyText) -> NewKeyReply {
    NewKeyReply {
        about: KeyReply {
            id: record.id,
            name: record.name,
            preview: record.preview,
            active: true,
            created_at: rfc3339(record.created_at),
            expires_at: rfc3339(record.expires_at),
            last_used_at: None,
            request_count: 0,
        },
        key: key.expose().to_owned(),
    }
}

/// A key as its owner may see it.
pub(crate) fn describe(key: ApiKey) -> KeyReply {
    KeyReply {
        active: key.is_active(unix_now()),
        id: key.id,
        name: key.name,
        preview: key.preview,
        created_at: rfc3339(key.created_at),
        expires_at: rfc3339(key.expires_at),
        last_used_at: key.last_used_at.map(rfc3339),
        request_count: key.request_count,
    }
}
