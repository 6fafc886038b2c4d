//! The notification: telling the backend what was stored.

mod signature;

use std::rc::Rc;

use serde::Serialize;

use crate::config::Config;
use crate::host::{Call, Host, Method};
use crate::text::rfc3339;

pub use signature::WebhookSecret;

/// How long the reply waits for the backend's acknowledgement, in milliseconds.
const FIRST_TRY_TIMEOUT_MS: u32 = 3_000;
/// How long each later try may take.
const LATER_TRY_TIMEOUT_MS: u32 = 5_000;
/// Pauses before the later tries. With their timeouts they end within the 30 seconds that the
/// runtime grants to work behind a reply (developers.cloudflare.com, "ctx.waitUntil").
const LATER_TRY_PAUSES_MS: [u32; 3] = [1_000, 3_000, 7_000];
const MAX_ANSWER_BYTES: usize = 4 * 1024;

/// What happened, as `POST {BACKEND_URL}/api/webhook/upload` takes it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Unique per upload, and the same in every try: the receiver drops what it has seen.
    pub id: String,
    /// Whose upload it was.
    pub user_id: String,
    /// The file's true name.
    pub file_name: String,
    /// The message that holds it.
    pub message_id: i64,
    /// Telegram's id for it.
    pub file_id: String,
    /// Telegram's id for it that is the same for every bot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_unique_id: Option<String>,
    /// Bytes, counted.
    pub size: u64,
    /// Its type.
    pub mime_type: String,
    /// When Telegram had it (RFC 3339).
    pub uploaded_at: String,
}

/// Whether the backend knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Notified {
    /// It acknowledged the event.
    Ok,
    /// Not yet; more tries follow.
    Pending,
}

/// Tries once, within a bound that the reply can wait for, and leaves the rest to [`hand_over`].
pub async fn deliver<H: Host>(host: &H, config: &Rc<Config>, event: Event) -> Notified {
    let message = Message::new(&event);
    if message.send(host, config, FIRST_TRY_TIMEOUT_MS).await {
        return Notified::Ok;
    }
    hand_over(host, config, message);
    Notified::Pending
}

/// Takes over an event that the backend has not acknowledged: retries it behind the reply.
fn hand_over<H: Host>(host: &H, config: &Rc<Config>, message: Message) {
    let (host2, config) = (host.clone(), Rc::clone(config));
    host.defer(async move {
        for pause_ms in LATER_TRY_PAUSES_MS {
            host2.sleep(pause_ms).await;
            if message.send(&host2, &config, LATER_TRY_TIMEOUT_MS).await {
                return;
            }
        }
        let line = serde_json::json!({ "event": "notification_given_up", "webhookId": message.id });
        host2.log(&line.to_string());
    });
}

/// An event as it travels. The body is the same bytes in every try.
struct Message {
    id: String,
    body: Vec<u8>,
}

impl Message {
    fn new(event: &Event) -> Self {
        // Strings and numbers always serialise.
        Self {
            id: event.id.clone(),
            body: serde_json::to_vec(event).unwrap_or_default(),
        }
    }

    /// `true` when the backend acknowledged it: any 2xx (Standard Webhooks, "Delivery").
    async fn send<H: Host>(&self, host: &H, config: &Config, timeout_ms: u32) -> bool {
        let timestamp = host.now() / 1000;
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", self.id.clone()),
            ("webhook-timestamp", timestamp.to_string()),
        ];
        if let Some(secret) = &config.webhook_secret {
            headers.push((
                "webhook-signature",
                secret.sign(&self.id, timestamp, &self.body),
            ));
        }
        let call = Call {
            method: Method::Post,
            url: format!("{}/api/webhook/upload", config.backend_url),
            headers,
            body: self.body.clone(),
            last: Vec::new(),
            timeout_ms,
            max_answer_bytes: MAX_ANSWER_BYTES,
        };
        match host.call(call).await {
            Ok(answer) => (200..300).contains(&answer.status),
            Err(crate::host::CallFault::AnswerTooLong { status }) => (200..300).contains(&status),
            Err(_) => false,
        }
    }
}

impl Event {
    /// The time of an event in its wire form.
    #[must_use]
    pub fn time(ms: crate::host::UnixMillis) -> String {
        rfc3339(ms)
    }
}
