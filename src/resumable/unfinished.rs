//! The unfinished uploads of one user, so that another device can go on with them.

use serde::{Deserialize, Serialize};

use crate::host::UnixMillis;

/// Most unfinished uploads of one user.
pub const MAX_UNFINISHED: usize = 1_000;
/// How long an entry outlives its upload's time. Its upload is asked for no longer.
const KEPT_MS: u64 = 3 * 86_400_000;

/// An upload in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// Its id.
    pub id: String,
    /// The path of its URL.
    pub url: String,
    /// The file's name.
    pub name: String,
    /// Bytes, if they are known yet.
    pub size: Option<u64>,
    /// Bytes that Telegram has acknowledged.
    pub offset: u64,
    /// When it began.
    pub created_at: UnixMillis,
    /// When it ends, if nothing more comes.
    pub expires_at: UnixMillis,
}

/// How far an upload is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advance {
    /// Bytes that Telegram has acknowledged.
    pub offset: u64,
    /// Bytes, if they are known yet.
    pub size: Option<u64>,
    /// When it ends.
    pub expires_at: UnixMillis,
}

impl Unfinished {
    /// Notes how far it is. What comes late changes nothing.
    pub fn advance(&mut self, to: Advance) {
        self.offset = self.offset.max(to.offset);
        self.size = self.size.or(to.size);
        self.expires_at = self.expires_at.max(to.expires_at);
    }

    /// Whether it is listed.
    #[must_use]
    pub fn is_listed(&self, now: UnixMillis) -> bool {
        now < self.expires_at
    }

    /// Whether nobody needs it any more.
    #[must_use]
    pub fn is_forgotten(&self, now: UnixMillis) -> bool {
        now >= self.expires_at + KEPT_MS
    }
}

/// What `GET /files` replies. `at` writes a time as the reply has it.
#[must_use]
pub fn list_json(
    mut uploads: Vec<Unfinished>,
    now: UnixMillis,
    at: impl Fn(UnixMillis) -> String,
) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry {
        id: String,
        url: String,
        name: String,
        size: Option<u64>,
        offset: u64,
        expires_at: String,
    }
    #[derive(Serialize)]
    struct List {
        uploads: Vec<Entry>,
    }
    uploads.retain(|upload| upload.is_listed(now));
    uploads.sort_by_key(|upload| std::cmp::Reverse(upload.created_at));
    let uploads = uploads.into_iter().map(|upload| Entry {
        id: upload.id,
        url: upload.url,
        name: upload.name,
        size: upload.size,
        offset: upload.offset,
        expires_at: at(upload.expires_at),
    });
    let list = List {
        uploads: uploads.collect(),
    };
    // Strings and numbers always serialise.
    serde_json::to_string(&list).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::rfc3339;

    fn upload(id: &str, created_at: UnixMillis) -> Unfinished {
        Unfinished {
            id: id.to_owned(),
            url: format!("/files/{id}"),
            name: "a.iso".to_owned(),
            size: None,
            offset: 0,
            created_at,
            expires_at: created_at + 1000,
        }
    }

    #[test]
    fn the_list_has_what_is_unfinished_the_newest_first() {
        let mut second = upload("up_2", 2000);
        second.advance(Advance {
            offset: 5,
            size: Some(9),
            expires_at: 4000,
        });
        let uploads = vec![upload("up_0", 1000), upload("up_1", 1900), second];
        assert_eq!(
            list_json(uploads, 2000, rfc3339),
            concat!(
                r#"{"uploads":[{"id":"up_2","url":"/files/up_2","name":"a.iso","size":9,"offset":5,"expiresAt":"1970-01-01T00:00:04.000Z"},"#,
                r#"{"id":"up_1","url":"/files/up_1","name":"a.iso","size":null,"offset":0,"expiresAt":"1970-01-01T00:00:02.900Z"}]}"#
            )
        );
    }

    #[test]
    fn what_comes_late_takes_nothing_back() {
        let mut entry = upload("up_1", 1000);
        let advance = |offset, expires_at| Advance {
            offset,
            size: Some(100),
            expires_at,
        };
        entry.advance(advance(50, 9000));
        entry.advance(advance(20, 5000));
        assert_eq!((entry.offset, entry.expires_at), (50, 9000));
    }
}
