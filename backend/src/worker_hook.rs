//! Tells the worker when a user's bot, channel or key has changed, so that it forgets what it borrowed
//! and asks again: `POST {worker}/hooks/credentials` with `{"user_id":"…"}`, signed as Standard Webhooks.
//!
//! It is told after the change is stored, and nobody waits for it. A worker that cannot be told goes
//! on with what it has until that has run out, or Telegram refuses it.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use serde_json::json;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{http::client::http_client, signature::WebhookSecret, time::unix_now};

/// How long the worker may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses before the worker is told again that did not take it.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(25),
];
/// How long those at hand may take at the end.
const GRACE: Duration = Duration::from_secs(5);

/// Tells the worker, if there is one.
#[derive(Clone)]
pub(crate) struct WorkerHook {
    /// `None`: nobody is told.
    worker: Option<Arc<Worker>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Worker {
    url: String,
    secret: WebhookSecret,
    client: Client,
}

/// Why the worker has not taken it.
#[derive(Debug, thiserror::Error)]
enum NotTold {
    #[error("{0}")]
    NoAnswer(reqwest::Error),
    #[error("it answered {0}")]
    Refused(StatusCode),
}

impl WorkerHook {
    /// The hook of the worker at this URL. Without the URL or the secret nobody is told.
    pub(crate) fn new(
        worker_url: Option<&str>,
        secret: Option<&WebhookSecret>,
    ) -> Result<Self, reqwest::Error> {
        let worker = match worker_url.zip(secret) {
            Some((url, secret)) => Some(Arc::new(Worker {
                url: format!("{}/hooks/credentials", url.trim_end_matches('/')),
                secret: secret.clone(),
                client: http_client(TIMEOUT)?,
            })),
            None => None,
        };
        Ok(Self {
            worker,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Begins to tell the worker that a user's bot, channel or key has changed. It is to be called after
    /// the change is stored, and waits for nothing.
    pub(crate) fn credentials_changed(&self, user_id: &str) {
        let Some(worker) = self.worker.clone() else {
            return;
        };
        let stop = self.stop.clone();
        let user_id = user_id.to_owned();
        self.tasks.spawn(async move {
            let finished = stop.run_until_cancelled(worker.tell(&user_id)).await;
            if finished.is_none() {
                tracing::warn!(user_id, "the worker is not told of changed credentials");
            }
        });
    }

    /// Waits until all is told, for a few seconds; gives up what is not.
    pub(crate) async fn finish(&self) {
        self.tasks.close();
        if tokio::time::timeout(GRACE, self.tasks.wait())
            .await
            .is_err()
        {
            self.stop.cancel();
            self.tasks.wait().await;
        }
    }
}

impl Worker {
    /// Tells it, and tells it again if need be.
    async fn tell(&self, user_id: &str) {
        // The same at every attempt, so that the worker can know one that comes twice.
        let id = format!("msg_{}", uuid::Uuid::new_v4().simple());
        let body = json!({ "user_id": user_id }).to_string();
        let mut pauses = PAUSES.iter();
        loop {
            let error = match self.post(&id, &body).await {
                Ok(()) => return,
                Err(error) => error,
            };
            let Some(pause) = pauses.next().filter(|_| error.may_pass()) else {
                tracing::warn!(user_id, %error, "the worker is not told of changed credentials");
                return;
            };
            tracing::debug!(user_id, %error, "the worker will be told again");
            tokio::time::sleep(*pause).await;
        }
    }

    async fn post(&self, id: &str, body: &str) -> Result<(), NotTold> {
        let timestamp = unix_now().to_string();
        let signature = self.secret.sign(id, &timestamp, body.as_bytes());
        let answer = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body.to_owned())
            .send()
            .await
            .map_err(NotTold::NoAnswer)?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(NotTold::Refused(answer.status()))
        }
    }
}

impl NotTold {
    /// Whether it may be otherwise a little later.
    fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Refused(status) => {
                status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status)
            }
        }
    }
}

impl fmt::Debug for WorkerHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.worker.as_ref().map(|worker| &worker.url);
        f.debug_tuple("WorkerHook").field(&url).finish()
    }
}
