//! Counts of requests that arrived, whatever became of them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::{Value, json};

/// The counts since the start or the last reset.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    credentials: AtomicU64,
    send_document: AtomicU64,
    notifications: AtomicU64,
}

impl Stats {
    pub(crate) fn count_credentials(&self) {
        self.credentials.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_send_document(&self) {
        self.send_document.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_notification(&self) {
        self.notifications.fetch_add(1, Relaxed);
    }

    pub(crate) fn reset(&self) {
        for count in [&self.credentials, &self.send_document, &self.notifications] {
            count.store(0, Relaxed);
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "credentials": self.credentials.load(Relaxed),
            "send_document": self.send_document.load(Relaxed),
            "notifications": self.notifications.load(Relaxed),
        })
    }
}
