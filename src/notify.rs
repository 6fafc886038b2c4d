//! Notifies the backend of stored files.

use std::rc::Rc;

use serde::Serialize;
use serde_json::json;

use crate::config::Config;
use crate::host::{Host, ObjectFault};
use crate::objects::outbox;
use crate::webhook::Message;

/// How long the reply waits for the backend's acknowledgement, in milliseconds.
const FIRST_TRY_TIMEOUT_MS: u32 = 3_000;
/// How long each later try may take, after the reply.
const LATER_TRY_TIMEOUT_MS: u32 = 5_000;
/// Pauses before the later tries. With their timeouts they end within the 30 seconds that the runtime
/// grants to work after the reply (developers.cloudflare.com, "ctx.waitUntil").
const LATER_TRY_PAUSES_MS: [u32; 3] = [1_000, 3_000, 7_000];

/// Whether the backend has been notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Notified {
    /// It acknowledged the event.
    Ok,
    /// Not yet: the event is in the outbox.
    Pending,
    /// Not yet, and the outbox did not take the event: this isolate keeps trying for a while.
    #[serde(rename = "pending")]
    Retrying,
}

/// Tries once, within a time that the reply can wait for, and leaves the rest to the outbox. The
/// message is safe there when this ends, unless it returns [`Notified::Retrying`].
pub async fn deliver<H: Host>(host: &H, config: &Rc<Config>, message: &Message) -> Notified {
    let tried = message.send(host, config, FIRST_TRY_TIMEOUT_MS).await;
    if tried.is_ok() {
        return Notified::Ok;
    }
    match outbox::add(host, message).await {
        Ok(()) => Notified::Pending,
        Err(fault) => {
            retry_after_the_reply(host, config, message.clone(), fault);
            Notified::Retrying
        }
    }
}

/// Tries to deliver a message that the outbox did not take.
fn retry_after_the_reply<H: Host>(
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
