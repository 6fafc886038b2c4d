//! What the isolate remembers about files: where Telegram has them, and the manifests of large ones.
//!
//! Isolates deliberately do not share this. Each asks for itself, which costs one `getFile` per file,
//! isolate and hour.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use crate::host::UnixMillis;
use crate::resumable::manifest::Manifest;
use crate::telegram::{BotToken, FileId, RemoteFile};

/// How long a path is used, in milliseconds. It is valid for at least an hour (Bot API, `getFile`).
const TTL_MS: UnixMillis = 50 * 60 * 1000;
/// The most that is kept. A file counts as one, and a manifest as one more for each of its parts. One
/// takes about 300 bytes.
const MAX_WEIGHT: usize = 20_000;

/// What a file's bytes are.
#[derive(Debug, Clone)]
pub enum Content {
    /// The file itself.
    Plain,
    /// The manifest of a large file.
    Manifest(Rc<Manifest>),
}

/// The key of a file: a hash of the bot's token and the file's id. Only a request with the token finds
/// the entry, and the token itself is not stored.
pub type FileKey = [u8; 32];

/// The key of a file.
#[must_use]
pub fn file_key(token: &BotToken, id: &FileId) -> FileKey {
    let mut hash = Sha256::new();
    hash.update(token.hash());
    hash.update(id.as_str());
    hash.finalize().into()
}

/// What is remembered about files.
#[derive(Debug, Default)]
pub struct KnownFiles {
    entries: HashMap<FileKey, Entry>,
    /// The keys, the first to expire first.
    by_age: BTreeSet<(UnixMillis, FileKey)>,
    weight: usize,
}

#[derive(Debug)]
struct Entry {
    file: Rc<RemoteFile>,
    /// `None` until a request has read the first bytes.
    content: Option<Content>,
    expires_at: UnixMillis,
}

impl Entry {
    fn weight(&self) -> usize {
        match &self.content {
            Some(Content::Manifest(manifest)) => 1 + manifest.parts().len(),
            Some(Content::Plain) | None => 1,
        }
    }
}

impl KnownFiles {
    /// Where the file is, and what it is, if that is known.
    #[must_use]
    pub fn get(&self, key: &FileKey, now: UnixMillis) -> Option<(Rc<RemoteFile>, Option<Content>)> {
        let entry = self.entries.get(key)?;
        (now < entry.expires_at).then(|| (Rc::clone(&entry.file), entry.content.clone()))
    }

    /// Remembers a file whose path Telegram has just returned. Keeps what is known about its bytes.
    pub fn put(&mut self, key: FileKey, file: Rc<RemoteFile>, now: UnixMillis) {
        let content = self.remove(&key).and_then(|entry| entry.content);
        let expires_at = now + TTL_MS;
        let entry = Entry {
            file,
            content,
            expires_at,
        };
        self.insert(key, entry);
    }

    /// Remembers what the bytes of a file are.
    pub fn put_content(&mut self, key: &FileKey, content: Content) {
        if let Some(mut entry) = self.remove(key) {
            entry.content = Some(content);
            self.insert(*key, entry);
        }
    }

    /// Forgets where the file is.
    pub fn forget(&mut self, key: &FileKey) {
        self.remove(key);
    }

    fn remove(&mut self, key: &FileKey) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.by_age.remove(&(entry.expires_at, *key));
        self.weight -= entry.weight();
        Some(entry)
    }

    /// Makes room. The oldest are removed first, because they expire first.
    fn insert(&mut self, key: FileKey, entry: Entry) {
        let weight = entry.weight();
        while self.weight + weight > MAX_WEIGHT
            && let Some((_, oldest)) = self.by_age.first().copied()
        {
            self.remove(&oldest);
        }
        self.weight += weight;
        self.by_age.insert((entry.expires_at, key));
        self.entries.insert(key, entry);
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::host::Answer;
    use crate::resumable::manifest::Part;
    use crate::telegram::read_file;

    fn token(secret: char) -> BotToken {
        BotToken::parse(&format!("1:{}", secret.to_string().repeat(35))).expect("a token")
    }

    fn file() -> Rc<RemoteFile> {
        let body = br#"{"ok":true,"result":{"file_path":"documents/file_1","file_size":9}}"#;
        let answer = Answer {
            status: 200,
            retry_after: None,
            body: body.to_vec(),
        };
        Rc::new(read_file(&answer, &token('a')).expect("a file"))
    }

    fn key(number: usize) -> FileKey {
        file_key(
            &token('a'),
            &FileId::parse(&format!("f{number}")).expect("an id"),
        )
    }

    fn manifest(parts: usize) -> Content {
        let part = Part {
            message_id: 1,
            file_id: FileId::parse("p").expect("an id"),
            file_unique_id: None,
            size: 1,
            sha256: None,
        };
        let manifest = Manifest::new(String::new(), String::new(), vec![part; parts]);
        Content::Manifest(Rc::new(manifest.expect("a manifest")))
    }

    #[test]
    fn a_path_is_used_for_less_than_its_hour() {
        let mut known = KnownFiles::default();
        known.put(key(1), file(), 1000);
        assert!(known.get(&key(1), 1000 + TTL_MS - 1).is_some());
        assert!(known.get(&key(1), 1000 + TTL_MS).is_none());
        known.put(key(1), file(), 2000 + TTL_MS);
        assert!(known.get(&key(1), 2000 + TTL_MS).is_some());
        known.forget(&key(1));
        assert!(known.get(&key(1), 2000 + TTL_MS).is_none());
    }

    #[test]
    fn a_file_of_another_token_is_unknown() {
        let id = FileId::parse("f1").expect("an id");
        let mut known = KnownFiles::default();
        known.put(file_key(&token('a'), &id), file(), 0);
        assert!(known.get(&file_key(&token('b'), &id), 0).is_none());
    }

    #[test]
    fn a_new_path_leaves_the_content_known() {
        let mut known = KnownFiles::default();
        known.put(key(1), file(), 0);
        known.put_content(&key(1), manifest(3));
        known.put(key(1), file(), 1);
        let (_, content) = known.get(&key(1), 1).expect("known");
        assert!(matches!(content, Some(Content::Manifest(_))));
    }

    #[test]
    fn the_oldest_make_room_and_the_weight_is_kept() {
        let mut known = KnownFiles::default();
        for number in 0..MAX_WEIGHT + 10 {
            known.put(key(number), file(), number as UnixMillis);
        }
        assert_eq!(known.weight, MAX_WEIGHT);
        assert!(known.get(&key(9), 0).is_none());
        assert!(known.get(&key(10), 0).is_some());
        known.put_content(&key(MAX_WEIGHT), manifest(9999));
        assert_eq!(known.weight, MAX_WEIGHT);
        assert_eq!(known.entries.len(), MAX_WEIGHT - 9999);
        assert_eq!(known.by_age.len(), known.entries.len());
        let weight: usize = known.entries.values().map(Entry::weight).sum();
        assert_eq!(known.weight, weight);
    }
}
