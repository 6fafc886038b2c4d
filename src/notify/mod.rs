//! The notification: telling the backend what was stored.

mod message;
pub mod outbox;
mod signature;

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

use std::rc::Rc;

use serde::Serialize;
use serde_json::json;

use crate::config::Config;
use crate::host::{Host, ObjectFault};
use crate::text::rfc3339;

pub use message::{Message, Undelivered};
pub use signature::{Signature, WebhookSecret};

/// How long the reply waits for the backend's acknowledgement, in milliseconds.
const FIRST_TRY_TIMEOUT_MS: u32 = 3_000;
/// How long each later try behind the reply may take.
const LATER_TRY_TIMEOUT_MS: u32 = 5_000;
/// Pauses before the later tries behind the reply. With their timeouts they end within the 30 seconds
/// that the runtime grants to such work (developers.cloudflare.com, "ctx.waitUntil").
const LATER_TRY_PAUSES_MS: [u32; 3] = [1_000, 3_000, 7_000];

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
    /// Not yet: the event is in the outbox.
    Pending,
    /// Not yet, and the outbox did not take the event: this isolate tries on for a while.
    #[serde(rename = "pending")]
    Retrying,
}

/// Tries once, within a bound that the reply can wait for, and leaves the rest to the outbox. The
/// message is safe there when this ends, unless it says [`Notified::Retrying`].
pub async fn deliver<H: Host>(host: &H, config: &Rc<Config>, message: &Message) -> Notified {
    let tried = message.send(host, config, FIRST_TRY_TIMEOUT_MS).await;
    if tried.is_ok() {
        return Notified::Ok;
    }
    match outbox::add(host, message).await {
        Ok(()) => Notified::Pending,
        Err(fault) => {
            retry_behind_the_reply(host, config, message.clone(), fault);
            Notified::Retrying
        }
    }
}

/// Takes over a message whose upload died before it could deliver it. `false` when neither the outbox
/// nor the backend took it.
pub async fn hand_over<H: Host>(host: &H, config: &Config, message: &Message) -> bool {
    outbox::add(host, message).await.is_ok()
        || message
            .send(host, config, LATER_TRY_TIMEOUT_MS)
            .await
            .is_ok()
}

/// Takes over a message that the outbox did not take, as well as it goes without.
fn retry_behind_the_reply<H: Host>(
    host: &H,
    config: &Rc<Config>,
    message: Message,
    fault: ObjectFault,
) {
    let log = |host: &H, event: &str, id: &str| {
        host.log(&json!({ "event": event, "webhookId": id }).to_string());
    };
    let without = match fault {
        ObjectFault::NotBound => "outbox_not_bound",
        _ => "outbox_failed",
    };
    log(host, without, &message.id);
    let (host2, config) = (host.clone(), Rc::clone(config));
    host.defer(async move {
        for pause_ms in LATER_TRY_PAUSES_MS {
            host2.sleep(pause_ms).await;
            let tried = message.send(&host2, &config, LATER_TRY_TIMEOUT_MS).await;
            if tried.is_ok() {
                return;
            }
        }
        log(&host2, "notification_given_up", &message.id);
    });
}

impl Event {
    /// The time of an event in its wire form.
    #[must_use]
    pub fn time(ms: crate::host::UnixMillis) -> String {
        rfc3339(ms)
    }
}
