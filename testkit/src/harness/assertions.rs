//! What every upload, reply and notification has to be.

use backend_mock::Provisioned;
use serde_json::Value;

use super::Harness;
use crate::{http::Reply, upload::File};

impl Harness {
    /// Nothing is in any channel, and nobody was told of anything.
    pub async fn assert_nothing_stored(&self, why: &str) {
        assert_eq!(self.messages().await, Vec::<Value>::new(), "{why}");
        assert_eq!(self.count("notifications").await, 0, "{why}");
    }

    /// The upload went well, and everybody says the same of it: the reply, the channel, the
    /// notification. Gives the message.
    pub async fn assert_stored(&self, user: &Provisioned, file: &File, reply: &Reply) -> Value {
        let (told, message) = self.assert_in_channel(user, file, reply).await;
        assert_eq!(told["notified"], "ok");
        let notification = self.notification_of(&told).await;
        assert_notification(&notification, user, &told);
        message
    }

    /// The same without the notification.
    pub async fn assert_in_channel(
        &self,
        user: &Provisioned,
        file: &File,
        reply: &Reply,
    ) -> (Value, Value) {
        assert_eq!(reply.status, 200, "{}", reply.text());
        let told = reply.json();
        assert_eq!(told["success"], true);
        assert_eq!(told["fileName"], file.name.as_str());
        assert_eq!(told["size"], file.content.len());
        assert_eq!(told["kind"], "document");
        assert_eq!(
            told["requestId"],
            reply.header("x-request-id").expect("x-request-id")
        );
        let message_id = told["messageId"].as_i64().expect("a number");
        assert_ne!(message_id, 0);
        assert_cors(reply);
        let timing = reply.header("server-timing").expect("server-timing");
        for metric in ["credentials;desc=", "telegram;dur=", "notify;dur="] {
            assert!(timing.contains(metric), "{timing}");
        }
        let messages = self.messages().await;
        let message = messages
            .into_iter()
            .find(|message| {
                message["message_id"] == message_id
                    && message["chat_id"].to_string().trim_matches('"') == user.channel_id
            })
            .expect("the message is in the user's channel");
        assert_eq!(message["file_id"], told["fileId"]);
        assert_eq!(message["size"], file.content.len());
        assert_eq!(message["sha256"], file.sha256());
        (told, message)
    }

    /// The notification about the upload that this reply tells of.
    pub async fn notification_of(&self, told: &Value) -> Value {
        let mut about: Vec<Value> = self
            .notifications()
            .await
            .into_iter()
            .filter(|notification| notification["body"]["fileId"] == told["fileId"])
            .collect();
        assert_eq!(about.len(), 1, "one notification");
        about.remove(0)
    }
}

/// The notification says what the reply says.
pub fn assert_notification(notification: &Value, user: &Provisioned, told: &Value) {
    let (headers, body) = (&notification["headers"], &notification["body"]);
    assert_eq!(body["userId"], user.user_id.as_str());
    for same in [
        "fileName",
        "messageId",
        "fileId",
        "fileUniqueId",
        "size",
        "mimeType",
    ] {
        assert_eq!(body[same], told[same], "{same}");
        assert!(!body[same].is_null(), "{same}");
    }
    assert_eq!(headers["webhook-id"], body["id"]);
    let id = body["id"].as_str().expect("an id");
    assert!(id.len() >= 16, "{id}");
    let uploaded_at = body["uploadedAt"].as_str().expect("a time");
    assert!(is_rfc3339(uploaded_at), "{uploaded_at}");
    let timestamp = headers["webhook-timestamp"].as_str().expect("a timestamp");
    assert!(timestamp.parse::<u64>().is_ok(), "{timestamp}");
}

/// `2026-01-02T03:04:05.678Z`
fn is_rfc3339(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    shape == "0000-00-00T00:00:00.000Z"
}

/// Any page may read the reply, and what it exposes.
pub fn assert_cors(reply: &Reply) {
    assert_eq!(
        reply.header("access-control-allow-origin"),
        Some("*"),
        "{}",
        reply.text()
    );
    let exposed = reply
        .header("access-control-expose-headers")
        .expect("exposed headers")
        .to_ascii_lowercase();
    for name in ["retry-after", "server-timing", "x-request-id"] {
        assert!(exposed.contains(name), "{exposed}");
    }
}

/// The reply tells an error in full. Gives its body.
#[allow(clippy::must_use_candidate, reason = "most tests need the check alone")]
pub fn assert_error(reply: &Reply, status: u16, code: &str) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text());
    let told = reply.json();
    assert_eq!(told["code"], code, "{}", reply.text());
    assert_eq!(told["success"], false);
    for text in ["error", "hint"] {
        assert!(
            told[text].as_str().is_some_and(|text| !text.is_empty()),
            "{text}: {told}"
        );
    }
    assert!(told["retryable"].is_boolean(), "{told}");
    assert_eq!(
        told["requestId"],
        reply.header("x-request-id").expect("x-request-id")
    );
    assert_eq!(
        told["retryAfter"]
            .as_u64()
            .map(|seconds| seconds.to_string())
            .as_deref(),
        reply.header("retry-after"),
        "{}",
        reply.text()
    );
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("allow").is_some(), status == 405);
    assert_eq!(
        reply
            .header("www-authenticate")
            .is_some_and(|value| value.starts_with("Bearer")),
        status == 401
    );
    assert_cors(reply);
    told
}
