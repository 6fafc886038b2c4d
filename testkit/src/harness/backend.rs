//! What backend-mock is told to do, and what it has seen.

use backend_mock::{Provisioned, Setup};
use bytes::Bytes;
use serde_json::Value;

use super::Harness;
use crate::http::{Reply, Request};

impl Harness {
    /// The URL of the backend and Telegram.
    #[must_use]
    pub fn backend_url(&self) -> String {
        format!("http://{}", self.backend_address)
    }

    /// Adds a user with a bot and a channel of its own.
    pub async fn add_user(&self) -> Provisioned {
        self.add_user_with(&Setup::default()).await
    }

    /// Adds a user with this setup.
    pub async fn add_user_with(&self, setup: &Setup) -> Provisioned {
        let backend = self.backend.as_ref().expect("running");
        let user = backend.add_user(setup).await.expect("a user");
        self.keep_secret(&user.auth_token);
        self.keep_secret(&user.bot_token);
        user
    }

    /// Gives a user another bot in the same channel; the one before is revoked.
    pub async fn replace_bot(&self, user: &Provisioned) -> Provisioned {
        let path = format!("/_control/users/{}/bot", user.user_id);
        let reply = self.control_post(&path, "").await;
        let text = |name: &str| reply[name].as_str().expect(name).to_owned();
        let renewed = Provisioned {
            user_id: text("user_id"),
            auth_token: text("auth_token"),
            bot_token: text("bot_token"),
            channel_id: text("channel_id"),
        };
        self.keep_secret(&renewed.auth_token);
        self.keep_secret(&renewed.bot_token);
        renewed
    }

    /// Revokes a user's bot.
    pub async fn revoke_bot(&self, user: &Provisioned) {
        let path = format!("/_control/bots/{}/revoke", user.bot_token);
        self.control_post(&path, "").await;
    }

    /// Puts these faults in force, in place of those before.
    pub async fn faults(&self, faults: Value) {
        self.control_post("/_control/faults", &faults.to_string())
            .await;
    }

    /// Forgets messages, notifications, counts and faults.
    pub async fn reset(&self) {
        self.control_post("/_control/reset", "").await;
    }

    /// The messages in all channels.
    pub async fn messages(&self) -> Vec<Value> {
        self.control_list("/_control/messages").await
    }

    /// The notifications that the backend has accepted.
    pub async fn notifications(&self) -> Vec<Value> {
        self.control_list("/_control/notifications").await
    }

    /// How many requests arrived: `credentials`, `send_document`, `notifications`.
    pub async fn count(&self, what: &str) -> u64 {
        let stats = self
            .control(&Request::new("GET", "/_control/stats"))
            .await
            .json();
        stats[what].as_u64().expect("a count")
    }

    /// The bytes that Telegram keeps.
    pub async fn stored_file(&self, file_id: &str) -> Vec<u8> {
        self.control(&Request::new("GET", &format!("/_control/files/{file_id}")))
            .await
            .body
    }

    async fn control(&self, request: &Request) -> Reply {
        let reply = request
            .send(self.backend_address)
            .await
            .expect("the control answers");
        assert!(reply.status < 300, "{}", reply.text());
        reply
    }

    async fn control_post(&self, path: &str, body: &str) -> Value {
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.control(&Request::new("POST", path).body(vec![body]))
            .await
            .json()
    }

    async fn control_list(&self, path: &str) -> Vec<Value> {
        match self.control(&Request::new("GET", path)).await.json() {
            Value::Array(list) => list,
            other => panic!("{other}"),
        }
    }
}
