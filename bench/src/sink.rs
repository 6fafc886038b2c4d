//! The other side of the worker: backend and Telegram on one port of the loopback interface.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::wire::{Head, Wire};
use tokio::net::{TcpListener, TcpStream};

use crate::content::Content;
use crate::document::Document;
use crate::users;

/// A running sink.
pub(crate) struct Sink {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

/// What arrived, since the sink was started.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// Documents that were whole.
    pub(crate) documents: u64,
    /// The bytes of their files.
    pub(crate) file_bytes: u64,
    /// Requests for credentials.
    pub(crate) credentials: u64,
    /// Notifications about uploads.
    pub(crate) notifications: u64,
}

struct State {
    content: Content,
    documents: AtomicU64,
    file_bytes: AtomicU64,
    credentials: AtomicU64,
    notifications: AtomicU64,
    /// The first thing that was wrong.
    failure: Mutex<Option<String>>,
}

impl Sink {
    /// Starts to serve.
    pub(crate) async fn start(content: Content) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            content,
            documents: AtomicU64::default(),
            file_bytes: AtomicU64::default(),
            credentials: AtomicU64::default(),
            notifications: AtomicU64::default(),
            failure: Mutex::default(),
        });
        tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state })
    }

    /// What arrived so far.
    pub(crate) fn arrived(&self) -> Arrived {
        Arrived {
            documents: self.state.documents.load(Relaxed),
            file_bytes: self.state.file_bytes.load(Relaxed),
            credentials: self.state.credentials.load(Relaxed),
            notifications: self.state.notifications.load(Relaxed),
        }
    }

    /// The first thing that was wrong, if any.
    pub(crate) fn failure(&self) -> Option<String> {
        let failure = self.state.failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Arrived {
    /// What came after `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            documents: self.documents - before.documents,
            file_bytes: self.file_bytes - before.file_bytes,
            credentials: self.credentials - before.credentials,
            notifications: self.notifications - before.notifications,
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &state).await {
                state.note(&error);
            }
        });
    }
}

async fn serve(stream: TcpStream, state: &State) -> Result<()> {
    let mut wire = Wire::new(stream)?;
    while let Some(head) = wire.head().await.context("a request's head")? {
        let answer = answer(&mut wire, head, state).await;
        let (status, body) = match &answer {
            Ok(body) => ("200 OK", body.as_str()),
            Err(_) => (
                "400 Bad Request",
                "{\"ok\":false,\"error_code\":400,\"description\":\"Bad Request\"}",
            ),
        };
        let reply = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        wire.write(reply.as_bytes()).await?;
        // After a body that was not read to its end there is no next head.
        answer?;
    }
    Ok(())
}

async fn answer(wire: &mut Wire, head: Head, state: &State) -> Result<String> {
    match (head.method.as_str(), head.target.as_str()) {
        ("GET", "/api/worker/credentials") => {
            state.credentials.fetch_add(1, Relaxed);
            let user = head
                .header("authorization")
                .and_then(|value| users::of_auth_token(value.strip_prefix("Bearer ")?))
                .context("a request for credentials without a user's token")?;
            Ok(credentials(user))
        }
        ("POST", "/api/webhook/upload") => {
            let body = wire.whole_body(head.rest()?).await?;
            let event: serde_json::Value =
                serde_json::from_slice(&body).context("a notification")?;
            let named = event["messageId"].is_u64() && event["fileId"].is_string();
            anyhow::ensure!(named, "a notification without ids: {event}");
            state.notifications.fetch_add(1, Relaxed);
            Ok("{\"success\":true}".to_owned())
        }
        ("POST", target) => {
            let user = target
                .strip_prefix("/bot")
                .and_then(|rest| users::of_bot_token(rest.strip_suffix("/sendDocument")?))
                .with_context(|| format!("a request to {target}"))?;
            send_document(wire, &head, user, state).await
        }
        (method, target) => anyhow::bail!("a request that nobody should make: {method} {target}"),
    }
}

async fn send_document(wire: &mut Wire, head: &Head, user: u64, state: &State) -> Result<String> {
    let content_type = head.header("content-type").unwrap_or_default();
    let mut rest = head.rest()?;
    let mut document =
        Document::new(&state.content, user, content_type).map_err(anyhow::Error::msg)?;
    while let Some(bytes) = wire.body(&mut rest).await.context("a document")? {
        document.push(bytes).map_err(anyhow::Error::msg)?;
    }
    let file = document.finish().map_err(anyhow::Error::msg)?;
    let number = state.documents.fetch_add(1, Relaxed) + 1;
    state.file_bytes.fetch_add(file.size as u64, Relaxed);
    Ok(json!({
        "ok": true,
        "result": {
            "message_id": number,
            "date": 1_700_000_000,
            "chat": { "id": -100, "title": "Files", "type": "channel" },
            "document": {
                "file_id": format!("BQACAgIAAxkDAAI{number:048}"),
                "file_unique_id": format!("AgAD{number:011}"),
                "file_name": file.name(),
                "mime_type": "application/octet-stream",
                "file_size": file.size,
            },
        },
    })
    .to_string())
}

/// With the secrets that a real backend also hands out.
fn credentials(user: u64) -> String {
    json!({
        "bot_token": users::bot_token(user),
        "channel_id": users::chat_id(user),
        "telegram_session": "1BVtsOK8Bu".repeat(32),
        "telegram_api_id": 12_345_678,
        "telegram_api_hash": "0123456789abcdef0123456789abcdef",
        "user_id": user.to_string(),
        "backend_url": "https://backend.example.org",
    })
    .to_string()
}

impl State {
    fn note(&self, error: &anyhow::Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| format!("{error:#}"));
    }
}
