//! The master keys that are open at once: the first seals, all open.
//!
//! A ring from `ENCRYPTION_KEY` never changes. A ring from a file is read again every second, and at once
//! when a value names an unknown key. So `rotate-key` can add a key while servers run.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use crate::secrets::{
    MasterKey, Place, SecretsError,
    key::{KeyId, Sealed, take_apart},
};

/// The master keys.
pub(crate) struct KeyRing {
    // A std lock: it is held to clone an Arc or to put one in, never across an await.
    keys: RwLock<Arc<Vec<LabelledKey>>>,
    /// `None`: the ring never changes.
    file: Option<PathBuf>,
}

/// A key and what people call it.
#[derive(Debug)]
pub(crate) struct LabelledKey {
    pub(crate) label: String,
    pub(crate) key: MasterKey,
}

impl KeyRing {
    /// The keys in a text like that of `ENCRYPTION_KEY`.
    pub(crate) fn from_text(text: &str) -> Result<Self, SecretsError> {
        let keys = parse(text).ok_or(SecretsError::MalformedKey)?;
        Ok(Self::new(keys, None))
    }

    /// One key, for this process alone.
    pub(crate) fn generate() -> Result<Self, SecretsError> {
        Ok(Self::new(vec![labelled(MasterKey::generate()?)], None))
    }

    /// The keys in the file; makes the file, readable by its owner alone, if it is not there.
    pub(crate) fn from_file(path: &Path) -> Result<Self, SecretsError> {
        let keys = match read(path) {
            Err(SecretsError::KeyFile { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                let keys = vec![labelled(MasterKey::generate()?)];
                write_private(path, &text_of(&keys)).map_err(failed(path))?;
                keys
            }
            keys => keys?,
        };
        Ok(Self::new(keys, Some(path.to_owned())))
    }

    fn new(keys: Vec<LabelledKey>, file: Option<PathBuf>) -> Self {
        Self {
            keys: RwLock::new(Arc::new(keys)),
            file,
        }
    }

    /// The keys, the one that seals first. There is always one.
    pub(crate) fn keys(&self) -> Arc<Vec<LabelledKey>> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the ring is read from a file, and can so be added to while servers run.
    pub(crate) fn is_from_file(&self) -> bool {
        self.file.is_some()
    }

    /// Seals a secret for its place.
    pub(crate) fn seal(&self, place: Place<'_>, secret: &str) -> Result<Vec<u8>, SecretsError> {
        let keys = self.keys();
        let first = keys.first().ok_or(SecretsError::DoesNotOpen)?;
        first.key.seal(place, secret)
    }

    /// Opens what was sealed for the same place under any of the keys.
    pub(crate) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<String, SecretsError> {
        match take_apart(sealed) {
            Sealed::Named(id, _) => {
                if !self.has(id) {
                    self.reload()?;
                }
                self.try_all(place, sealed)
            }
            Sealed::Nameless => self.try_all(place, sealed),
        }
    }

    /// Whether the value is sealed under the first key already.
    pub(crate) fn is_current(&self, sealed: &[u8]) -> bool {
        let keys = self.keys();
        let first = keys.first().map(|key| key.key.id());
        matches!(take_apart(sealed), Sealed::Named(id, _) if Some(id) == first)
    }

    /// Reads the file again, if the ring comes from one.
    pub(crate) fn reload(&self) -> Result<(), SecretsError> {
        if let Some(path) = &self.file {
            let keys = Arc::new(read(path)?);
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        }
        Ok(())
    }

    /// Puts a new key first in the file and in this ring; the others open still.
    pub(crate) fn add_key(&self, label: &str) -> Result<(), SecretsError> {
        let Some(path) = &self.file else {
            return Ok(());
        };
        let mut keys = vec![LabelledKey {
            label: label.to_owned(),
            key: MasterKey::generate()?,
        }];
        keys.extend(read(path)?);
        replace_private(path, &text_of(&keys)).map_err(failed(path))?;
        self.reload()
    }

    fn has(&self, id: KeyId) -> bool {
        self.keys().iter().any(|key| key.key.id() == id)
    }

    fn try_all(&self, place: Place<'_>, sealed: &[u8]) -> Result<String, SecretsError> {
        self.keys()
            .iter()
            .find_map(|key| key.key.open(place, sealed).ok())
            .ok_or(SecretsError::DoesNotOpen)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")
    }
}

/// Keys, one a line or separated by commas: `label:base64`, or base64 alone.
fn parse(text: &str) -> Option<Vec<LabelledKey>> {
    let entries = text.split([',', '\n']).map(str::trim);
    let keys: Option<Vec<_>> = entries
        .filter(|entry| !entry.is_empty())
        .map(|entry| match entry.split_once(':') {
            Some((label, key)) => Some(LabelledKey {
                label: label.trim().to_owned(),
                key: MasterKey::from_base64(key)?,
            }),
            None => MasterKey::from_base64(entry).map(labelled),
        })
        .collect();
    keys.filter(|keys| !keys.is_empty())
}

/// A key under its id, for want of a better label.
fn labelled(key: MasterKey) -> LabelledKey {
    LabelledKey {
        label: key.id_text(),
        key,
    }
}

fn text_of(keys: &[LabelledKey]) -> String {
    let lines: Vec<_> = keys
        .iter()
        .map(|key| format!("{}:{}", key.label, key.key.expose()))
        .collect();
    lines.join("\n") + "\n"
}

fn read(path: &Path) -> Result<Vec<LabelledKey>, SecretsError> {
    let text = fs::read_to_string(path).map_err(failed(path))?;
    parse(&text).ok_or_else(|| SecretsError::MalformedKeyFile(path.to_owned()))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> SecretsError {
    let path = path.to_owned();
    move |source| SecretsError::KeyFile { path, source }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    // A key that is lost in a power failure takes every sealed value with it.
    file.sync_all()?;
    sync_folder_of(path)
}

/// Readers see the old text or the new one, and never a part.
fn replace_private(path: &Path, text: &str) -> io::Result<()> {
    let mut next = path.as_os_str().to_owned();
    next.push(".next");
    let next = PathBuf::from(next);
    if let Err(error) = fs::remove_file(&next)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    write_private(&next, text)?;
    fs::rename(&next, path)?;
    sync_folder_of(path)
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) && !folder.as_os_str().is_empty() => {
            File::open(folder)?.sync_all()
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = Place {
        user_id: "user-1",
        field: "bot_token",
        row: "",
    };
    const OLD: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    const NEW: &str = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=";

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = KeyRing::from_text(OLD).unwrap();
        let both = KeyRing::from_text(&format!("new:{NEW},old:{OLD}")).unwrap();
        let new = KeyRing::from_text(NEW).unwrap();
        let sealed = old.seal(PLACE, "secret").unwrap();
        assert_eq!(both.open(PLACE, &sealed).unwrap(), "secret");
        assert!(!both.is_current(&sealed));
        assert!(new.open(PLACE, &sealed).is_err());
        let resealed = both.seal(PLACE, "secret").unwrap();
        assert!(both.is_current(&resealed));
        assert_eq!(new.open(PLACE, &resealed).unwrap(), "secret");
        assert!(old.open(PLACE, &resealed).is_err());
    }

    #[test]
    fn a_ring_learns_a_key_that_was_added_to_its_file() {
        let folder = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("key");
        let serving = KeyRing::from_file(&path).unwrap();
        let before = serving.seal(PLACE, "before").unwrap();
        let rotating = KeyRing::from_file(&path).unwrap();
        rotating.add_key("2026").unwrap();
        let after = rotating.seal(PLACE, "after").unwrap();
        assert_eq!(serving.open(PLACE, &after).unwrap(), "after");
        assert_eq!(serving.open(PLACE, &before).unwrap(), "before");
        assert!(serving.is_current(&after));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_ring_is_one_key_or_a_list() {
        for text in [
            OLD.to_owned(),
            format!("{NEW},{OLD}"),
            format!("a:{NEW}\nb:{OLD}\n"),
        ] {
            assert!(KeyRing::from_text(&text).is_ok(), "{text}");
        }
        for text in ["", "short", ",", "a:", &format!("{OLD},short")] {
            assert!(KeyRing::from_text(text).is_err(), "{text}");
        }
    }
}
