//! Tells the worker when a user's bot, channel or key has changed, so that the worker drops its cached
//! credentials: `POST {worker}/hooks/credentials` with `{"user_id":"…"}`, signed as Standard Webhooks.
//!
//! The request is sent after the change is stored, and no client waits for it. A worker that cannot be
//! reached keeps using its cached credentials until they expire or Telegram refuses them.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use serde_json::json;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    http_client::{HttpClientError, http_client},
    signature::WebhookSecret,
    time::unix_now,
};

/// How long the worker may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses before each further attempt.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(25),
];
/// How long a shutdown waits for attempts that are under way.
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

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
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
    ) -> Result<Self, HttpClientError> {
        let worker = match worker_url.zip(secret) {
            Some((url, secret)) => Some(Arc::new(Worker {
                url: format!("{}/hooks/credentials", url.trim_end_matches('/')),
                secret: secret.clone(),
                client: http_client(url, TIMEOUT)?,
            })),
            None => None,
        };
        Ok(Self {
            worker,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Starts telling the worker that a user's bot, channel or key has changed. Call it after the change
    /// is stored. It returns at once.
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

    /// Waits a few seconds for the attempts that are under way, then gives them up.
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
    /// Tells the worker, with several attempts.
    async fn tell(&self, user_id: &str) {
        // The same for each attempt, so that the worker recognises a repetition.
        let id = format!("msg_{}", uuid::Uuid::new_v4().simple());
        let body = json!({ "user_id": user_id }).to_string();
        let mut pauses = PAUSES.iter();
        loop {
            let error = match self.post(&id, &body).await {
                Ok(()) => return,
                Err(error) => error,
            };
            let Some(pause) = pauses.next().filter(|_| error.is_transient()) else {
                tracing::warn!(user_id, %error, "the worker is not told of changed credentials");
                return;
            };
            tracing::debug!(user_id, %error, "the worker did not take it; another attempt follows");
            tokio::time::sleep(*pause).await;
        }
    }

    async fn post(&self, id: &str, body: &str) -> Result<(), AttemptError> {
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
            .map_err(AttemptError::NoAnswer)?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(AttemptError::Refused(answer.status()))
        }
    }
}

impl AttemptError {
    /// Whether another attempt may succeed.
    fn is_transient(&self) -> bool {
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
