//! What is on the worker's disk, and that no secret is there or anywhere else.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::PoisonError,
};

use aho_corasick::AhoCorasick;
use serde_json::Value;

use super::Harness;

/// Found in the account-level secrets that the emulated backend gives out with every bot. The worker
/// must not even read them.
const ACCOUNT_SECRET: &str = "session-";
/// What workerd, or the worker's panic hook, writes when the worker itself is broken.
const SIGNS_OF_BREAKAGE: [&str; 5] = [
    "panicked at",
    "code had hung",
    "unreachable executed",
    "RuntimeError",
    "Uncaught",
];

impl Harness {
    /// From now on this must be in no log line, reply or notification.
    pub fn keep_secret(&self, secret: &str) {
        self.secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(secret.to_owned());
    }

    /// The files in which the Durable Objects keep what they have.
    #[must_use]
    pub fn files_of_objects(&self) -> Vec<String> {
        // workerd's own list of alarms is there from the beginning.
        files_under(&self.worker.disk())
            .iter()
            .map(|path| path.display().to_string())
            .filter(|name| !name.contains("metadata.sqlite"))
            .collect()
    }

    /// Whether this is somewhere in what the Durable Objects keep.
    #[must_use]
    pub fn objects_hold(&self, text: &str) -> bool {
        let holds = |file: &PathBuf| {
            let bytes = fs::read(file).unwrap_or_default();
            memchr::memmem::find(&bytes, text.as_bytes()).is_some()
        };
        files_under(&self.worker.disk()).iter().any(holds)
    }

    /// Ends the test: no secret went out, and nothing broke.
    pub async fn finish(mut self) {
        self.finished = true;
        let notifications = Value::from(self.notifications().await).to_string();
        self.worker.kill();
        let log = self.log();
        let replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut secrets = self
            .secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let in_objects = AhoCorasick::new(&secrets).expect("secrets");
        secrets.push(ACCOUNT_SECRET.to_owned());
        let in_texts = AhoCorasick::new(&secrets).expect("secrets");
        for (place, text) in [
            ("log", &log),
            ("reply", &*replies),
            ("notification", &notifications),
        ] {
            let line = text.lines().find(|line| in_texts.is_match(line));
            assert_eq!(line, None, "a {place} holds a secret");
        }
        for file in files_under(&self.worker.disk()) {
            let bytes = fs::read(&file).unwrap_or_default();
            let holds = in_objects.is_match(&bytes);
            assert!(!holds, "a Durable Object holds a secret");
        }
        for sign in SIGNS_OF_BREAKAGE {
            let line = log.lines().find(|line| line.contains(sign));
            assert_eq!(line, None, "the worker broke");
        }
    }
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.append(&mut files_under(&path));
        } else {
            files.push(path);
        }
    }
    files
}
