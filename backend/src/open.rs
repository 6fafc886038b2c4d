//! Opens what a backend keeps: the database and the keys.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    http_client::HttpClientError,
    options::{Data, Options},
    secrets::{KeyRing, SecretsError, random},
    store::{
        Database, Store, StoreError,
        sealed::{COLUMNS, SERVER_SECRET},
    },
};

/// The name of the secret of access tokens among the server's own.
const TOKEN_SECRET: &str = "jwt";

/// Why a backend did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data's folder cannot be made or read.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no encryption key.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// There is no HTTP client for the Bot API or for the worker.
    #[error(transparent)]
    Client(#[from] HttpClientError),
}

/// Opens the database.
pub(crate) async fn open_store(options: &Options) -> Result<Store, OpenError> {
    let database = match (&options.database_url, &options.data) {
        (Some(url), _) => Database::from_url(url)?,
        (None, Data::Memory) => Database::Memory,
        (None, Data::File(path)) => {
            make_folder_of(path)?;
            Database::File(path.clone())
        }
    };
    Ok(Store::open(&database).await?)
}

/// Opens the keys; makes one if none is given and none exists.
pub(crate) fn open_keys(options: &Options) -> Result<KeyRing, OpenError> {
    let given = (&options.encryption_key, &options.encryption_key_file);
    Ok(match (given, &options.data) {
        ((Some(text), _), _) => KeyRing::from_text(text)?,
        ((None, Some(path)), _) => KeyRing::from_file(path)?,
        ((None, None), Data::Memory) => KeyRing::generate()?,
        ((None, None), Data::File(path)) => {
            make_folder_of(path)?;
            KeyRing::from_file(&beside(path, ".key"))?
        }
    })
}

/// Refuses keys that do not open what the database holds, and records the key that seals from now on.
pub(crate) async fn check_keys(store: &Store, ring: &KeyRing) -> Result<(), OpenError> {
    let noted = store.seal_keys().await?;
    let keys = ring.keys();
    let missing = noted
        .iter()
        .find(|(id, _)| keys.iter().all(|key| key.key.id_text() != *id));
    if let Some((_, label)) = missing {
        return Err(SecretsError::MissingKey(label.clone()).into());
    }
    if noted.is_empty() {
        // A database of an earlier release has no record of its keys.
        for column in COLUMNS {
            for value in store.sealed_values(column, "", 1).await? {
                ring.open(column.place(&value.user_id, &value.row_key), &value.sealed)?;
            }
        }
    }
    if let Some(first) = keys.first() {
        store
            .use_seal_key(&first.key.id_text(), &first.label)
            .await?;
    }
    Ok(())
}

/// The secret of access tokens if none is given. It is stored in the database and not derived from a key, so
/// that removing a key logs nobody out.
pub(crate) async fn token_secret(store: &Store, ring: &KeyRing) -> Result<String, OpenError> {
    let place = SERVER_SECRET.place("", TOKEN_SECRET);
    if let Some(sealed) = store.server_secret(TOKEN_SECRET).await? {
        return Ok(ring.open(place, &sealed)?);
    }
    let secret = STANDARD.encode(random::<32>()?);
    store
        .add_server_secret(TOKEN_SECRET, &ring.seal(place, &secret)?)
        .await?;
    // Another server may have been first.
    let sealed = store.server_secret(TOKEN_SECRET).await?;
    Ok(ring.open(place, &sealed.unwrap_or_default())?)
}

fn make_folder_of(path: &Path) -> Result<(), OpenError> {
    match path.parent() {
        Some(parent) => std::fs::create_dir_all(parent).map_err(folder(parent)),
        None => Ok(()),
    }
}

fn folder(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Folder { path, source }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
