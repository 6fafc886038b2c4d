//! What a finished upload is: its notification and its receipt.

use std::collections::BTreeMap;

use serde::Serialize;

use super::manifest::Part;
use super::question::{Finished, State};
use crate::host::UnixMillis;
use crate::telegram::MAX_CLOUD_DOWNLOAD_BYTES;
use crate::webhook::{Event, Message};

/// The type of a file whose client named none.
const DEFAULT_MIME_TYPE: &str = "application/octet-stream";

/// A file whose parts are all there, and its manifest if it has more than one.
#[derive(Debug, Clone, Copy)]
pub struct Completion<'a> {
    owner: &'a str,
    state: &'a State,
    parts: &'a [Part],
    manifest: Option<&'a Part>,
    /// The one that has the file's ids: the manifest, or the only part.
    file: &'a Part,
}

/// Whose reply a receipt is, and how far its notification came.
#[derive(Debug, Clone, Copy)]
pub struct ReplyTo<'a> {
    /// The id of the request.
    pub request_id: &'a str,
    /// `ok`, or `pending`.
    pub notified: &'static str,
    /// Whether the cloud Bot API's limits hold.
    pub has_cloud_limits: bool,
}

impl<'a> Completion<'a> {
    /// `None` while the manifest is missing, or there are no parts.
    #[must_use]
    pub fn new(
        owner: &'a str,
        state: &'a State,
        parts: &'a [Part],
        manifest: Option<&'a Part>,
    ) -> Option<Self> {
        let file = match parts {
            [only] => only,
            _ => manifest?,
        };
        Some(Self {
            owner,
            state,
            parts,
            manifest: manifest.filter(|_| parts.len() > 1),
            file,
        })
    }

    fn mime_type(&self) -> &str {
        match self.state.file.mime_type.as_str() {
            "" => DEFAULT_MIME_TYPE,
            given => given,
        }
    }

    /// The digest of the whole file, where its only part has one.
    fn sha256(&self) -> Option<&str> {
        match self.parts {
            [only] => only.sha256.as_deref(),
            _ => None,
        }
    }

    /// The notification. `id` is the event's.
    #[must_use]
    pub fn message(&self, id: String, now: UnixMillis) -> Message {
        #[derive(Serialize)]
        struct UploadEvent<'a> {
            #[serde(flatten)]
            event: Event,
            #[serde(skip_serializing_if = "Option::is_none")]
            manifest: Option<bool>,
            #[serde(skip_serializing_if = "Option::is_none")]
            parts: Option<&'a [Part]>,
            #[serde(skip_serializing_if = "Option::is_none")]
            sha256: Option<&'a str>,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            metadata: &'a BTreeMap<String, String>,
        }
        let event = UploadEvent {
            event: Event {
                id: id.clone(),
                user_id: self.owner.to_owned(),
                file_name: self.state.file.name.clone(),
                message_id: self.file.message_id,
                file_id: self.file.file_id.as_str().to_owned(),
                file_unique_id: self.file.file_unique_id.clone(),
                size: self.state.offset,
                mime_type: self.mime_type().to_owned(),
                uploaded_at: now,
            },
            manifest: self.manifest.map(|_| true),
            parts: self.manifest.map(|_| self.parts),
            sha256: self.sha256(),
            metadata: &self.state.file.metadata,
        };
        Message {
            id,
            // Strings and numbers always serialise.
            body: serde_json::to_string(&event).unwrap_or_default(),
        }
    }

    /// The receipt: the reply's body.
    #[must_use]
    pub fn receipt(&self, to: ReplyTo<'_>) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Receipt<'a> {
            success: bool,
            message_id: i64,
            file_id: &'a str,
            file_unique_id: Option<&'a str>,
            file_name: &'a str,
            size: u64,
            mime_type: &'a str,
            kind: &'static str,
            downloadable: bool,
            notified: &'static str,
            parts: usize,
            #[serde(skip_serializing_if = "Option::is_none")]
            sha256: Option<&'a str>,
            request_id: &'a str,
        }
        let fits = |part: &Part| part.size <= MAX_CLOUD_DOWNLOAD_BYTES;
        let receipt = Receipt {
            success: true,
            message_id: self.file.message_id,
            file_id: self.file.file_id.as_str(),
            file_unique_id: self.file.file_unique_id.as_deref(),
            file_name: &self.state.file.name,
            size: self.state.offset,
            mime_type: self.mime_type(),
            kind: "document",
            downloadable: !to.has_cloud_limits || self.parts.iter().all(fits),
            notified: to.notified,
            parts: self.parts.len(),
            sha256: self.sha256(),
            request_id: to.request_id,
        };
        // Strings and numbers always serialise.
        serde_json::to_string(&receipt).unwrap_or_default()
    }

    /// What the upload resource keeps. `undelivered` is the notification, until somebody has it.
    #[must_use]
    pub fn finished(&self, to: ReplyTo<'_>, undelivered: Option<Message>) -> Finished {
        Finished {
            reply: self.receipt(to),
            file_id: self.file.file_id.as_str().to_owned(),
            message_id: self.file.message_id,
            undelivered,
        }
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::resumable::tests::state_of;
    use crate::telegram::FileId;

    fn part(message_id: i64, size: u64, sha256: Option<&str>) -> Part {
        Part {
            message_id,
            file_id: FileId::parse(&format!("BQAC{message_id}")).expect("an id"),
            file_unique_id: Some(format!("AgAD{message_id}")),
            size,
            sha256: sha256.map(str::to_owned),
        }
    }

    fn to(notified: &'static str) -> ReplyTo<'static> {
        ReplyTo {
            request_id: "r1",
            notified,
            has_cloud_limits: true,
        }
    }

    fn event(completion: &Completion<'_>) -> Value {
        let message = completion.message("msg_1".to_owned(), 0);
        assert_eq!(message.id, "msg_1");
        serde_json::from_str(&message.body).expect("JSON")
    }

    #[test]
    fn a_large_file_is_known_by_its_manifest_and_names_its_parts() {
        let mut state = state_of("a.iso", 30);
        state.file.metadata = BTreeMap::from([("album".to_owned(), "x".to_owned())]);
        let (parts, manifest) = ([part(7, 20, None), part(8, 10, None)], part(9, 0, None));
        assert!(Completion::new("u1", &state, &parts, None).is_none());
        let completion = Completion::new("u1", &state, &parts, Some(&manifest)).expect("complete");
        assert_eq!(
            event(&completion),
            json!({
                "id": "msg_1", "userId": "u1", "fileName": "a.iso", "messageId": 9, "fileId": "BQAC9",
                "fileUniqueId": "AgAD9", "size": 30, "mimeType": "application/octet-stream",
                "uploadedAt": "1970-01-01T00:00:00.000Z", "manifest": true,
                "parts": [
                    {"messageId": 7, "fileId": "BQAC7", "fileUniqueId": "AgAD7", "size": 20, "sha256": null},
                    {"messageId": 8, "fileId": "BQAC8", "fileUniqueId": "AgAD8", "size": 10, "sha256": null},
                ],
                "metadata": {"album": "x"},
            })
        );
        assert_eq!(
            completion.receipt(to("ok")),
            concat!(
                r#"{"success":true,"messageId":9,"fileId":"BQAC9","fileUniqueId":"AgAD9","fileName":"a.iso","#,
                r#""size":30,"mimeType":"application/octet-stream","kind":"document","downloadable":true,"#,
                r#""notified":"ok","parts":2,"requestId":"r1"}"#
            )
        );
    }

    #[test]
    fn a_file_of_one_part_is_that_part() {
        let mut state = state_of("a.pdf", 20);
        state.file.mime_type = "application/pdf".to_owned();
        let digest = "ab".repeat(32);
        let parts = [part(7, 20, Some(&digest))];
        let completion = Completion::new("u1", &state, &parts, None).expect("complete");
        let told = event(&completion);
        assert_eq!(
            (&told["fileId"], &told["sha256"]),
            (&json!("BQAC7"), &json!(digest))
        );
        assert!(told.get("parts").is_none() && told.get("manifest").is_none());
        assert!(told.get("metadata").is_none());
        let kept = completion.finished(to("pending"), None);
        assert_eq!((kept.file_id.as_str(), kept.message_id), ("BQAC7", 7));
        let receipt: Value = serde_json::from_str(&kept.reply).expect("JSON");
        assert_eq!(
            (&receipt["parts"], &receipt["mimeType"]),
            (&json!(1), &json!("application/pdf"))
        );
    }

    #[test]
    fn a_part_that_no_bot_can_fetch_back_makes_the_file_not_downloadable() {
        let state = state_of("a", MAX_CLOUD_DOWNLOAD_BYTES + 1);
        let parts = [part(7, MAX_CLOUD_DOWNLOAD_BYTES + 1, None)];
        let completion = Completion::new("u1", &state, &parts, None).expect("complete");
        assert!(
            completion
                .receipt(to("ok"))
                .contains(r#""downloadable":false"#)
        );
        let local = ReplyTo {
            has_cloud_limits: false,
            ..to("ok")
        };
        assert!(completion.receipt(local).contains(r#""downloadable":true"#));
    }
}
