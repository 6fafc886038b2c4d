//! The browsers: requests that are made beforehand, and the connections that send them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use testkit::form::Form;
use testkit::http;
use testkit::wire::Wire;

use crate::content::{Content, File};
use crate::users;

/// Up to this size a request is one piece, and goes out in one write.
const ONE_PIECE_BYTES: usize = 256 * 1024;
/// Below this size a piece of a larger request is joined with the small ones beside it.
const SMALL_PIECE_BYTES: usize = 4 * 1024;
const CONTENT_TYPE: &str = "application/octet-stream";

/// An upload, ready to be sent any number of times.
#[derive(Clone)]
pub(crate) struct Request(Vec<Bytes>);

/// Where in a form the token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Before the file.
    TokenFirst,
    /// After the file.
    FileFirst,
}

impl Request {
    /// `PUT` of the file as it is.
    pub(crate) fn raw(content: &Content, file: File) -> Self {
        let request = http::Request::new("PUT", &format!("/upload/{}", file.name()))
            .bearer(&users::auth_token(file.user))
            .header("Content-Type", CONTENT_TYPE)
            .body(vec![content.of(file)]);
        Self::of(&request)
    }

    /// `POST` of a form.
    pub(crate) fn form(content: &Content, file: File, order: Order) -> Self {
        let token = users::auth_token(file.user);
        let with_file =
            |form: Form| form.file("file", &file.name(), CONTENT_TYPE, content.of(file));
        let form = match order {
            Order::TokenFirst => with_file(Form::new().field("authToken", &token)),
            Order::FileFirst => with_file(Form::new()).field("authToken", &token),
        };
        Self::of(&form.post().header("Origin", "https://app.example.org"))
    }

    /// What a worker would send for the file, straight to Telegram.
    pub(crate) fn document(content: &Content, file: File) -> Self {
        let name = file.name();
        let headers =
            format!("Content-Disposition: form-data; name=\"document\"; filename=\"{name}\"\r\n");
        let form = Form::new()
            .field("chat_id", &users::chat_id(file.user))
            .part(&headers, content.of(file));
        let bot_token = users::bot_token(file.user);
        Self::of(&form.post_to(&format!("/bot{bot_token}/sendDocument")))
    }

    /// Joins the small pieces, so that each goes out in a write that is worth it. A large one is not copied.
    fn of(request: &http::Request) -> Self {
        let pieces = request.wire();
        if pieces.iter().map(Bytes::len).sum::<usize>() <= ONE_PIECE_BYTES {
            return Self(vec![pieces.concat().into()]);
        }
        let is_small = |piece: &Bytes| piece.len() < SMALL_PIECE_BYTES;
        let runs = pieces.chunk_by(|a, b| is_small(a) && is_small(b));
        Self(
            runs.map(|run| match run {
                [piece] => piece.clone(),
                run => run.concat().into(),
            })
            .collect(),
        )
    }
}

/// Connections to a worker that were opened before the clock starts.
pub(crate) struct Connections(Vec<Wire>);

impl Connections {
    pub(crate) async fn open(address: SocketAddr, count: usize) -> Result<Self> {
        let mut wires = Vec::with_capacity(count);
        for _ in 0..count {
            wires.push(Wire::connect(address).await?);
        }
        Ok(Self(wires))
    }

    /// Sends all requests, each connection the next one as soon as it has its reply. Gives how long each
    /// took.
    ///
    /// # Errors
    /// Any reply but 200 with a message's id.
    pub(crate) async fn send_all(self, requests: Arc<[Request]>) -> Result<Vec<Duration>> {
        let next = Arc::new(AtomicUsize::new(0));
        let senders: Vec<_> = self
            .0
            .into_iter()
            .map(|wire| tokio::spawn(send_share(wire, Arc::clone(&requests), Arc::clone(&next))))
            .collect();
        let mut latencies = Vec::with_capacity(requests.len());
        for sender in senders {
            latencies.extend(sender.await??);
        }
        Ok(latencies)
    }
}

async fn send_share(
    mut wire: Wire,
    requests: Arc<[Request]>,
    next: Arc<AtomicUsize>,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while let Some(request) = requests.get(next.fetch_add(1, Relaxed)) {
        let began = Instant::now();
        let sent = send(&mut wire, request).await;
        expect_message(&mut wire).await.with_context(|| {
            let number = latencies.len() + 1;
            let after = began.elapsed();
            match sent {
                Ok(()) => format!("request {number} of a connection, {after:.1?} after its begin"),
                Err(error) => {
                    format!("request {number} of a connection could not be sent: {error}")
                }
            }
        })?;
        latencies.push(began.elapsed());
    }
    Ok(latencies)
}

async fn send(wire: &mut Wire, request: &Request) -> std::io::Result<()> {
    for piece in &request.0 {
        wire.write(piece).await?;
    }
    Ok(())
}

/// Reads a reply, which has to be that of an upload that went well.
async fn expect_message(wire: &mut Wire) -> Result<()> {
    let head = wire.head().await.context("no reply")?;
    let head = head.context("the connection was closed instead of a reply")?;
    let body = wire
        .whole_body(head.rest()?)
        .await
        .context("half a reply")?;
    let reply: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    // The worker's, or Telegram's own.
    let id = [&reply["messageId"], &reply["result"]["message_id"]];
    if head.status == 200 && id.iter().any(|id| id.as_u64().is_some_and(|id| id > 0)) {
        return Ok(());
    }
    bail!(
        "the reply is {}: {}",
        head.status,
        String::from_utf8_lossy(&body)
    );
}
