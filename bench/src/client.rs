//! The browsers: requests that are made beforehand, and the connections that send them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use tokio::net::TcpStream;

use crate::content::{Content, File};
use crate::users;
use crate::wire::Wire;

/// As a browser writes it.
const BOUNDARY: &str = "----WebKitFormBoundaryX7vK2pQw9TzR4mLs";
/// Up to this size a request is one piece, and goes out in one write.
const ONE_PIECE_BYTES: usize = 256 * 1024;

/// An upload, ready to be sent any number of times.
#[derive(Clone)]
pub(crate) struct Request(Vec<Bytes>);

/// Where in a form the token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Before the file.
    TokenFirst,
    /// Behind the file.
    FileFirst,
}

impl Request {
    /// `PUT` of the file as it is.
    pub(crate) fn raw(content: &Content, file: File) -> Self {
        let head = format!(
            "PUT /upload/{} HTTP/1.1\r\nHost: worker.example.org\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
            file.name(),
            users::auth_token(file.user),
            file.size
        );
        Self::of_pieces([head.into(), content.of(file)])
    }

    /// `POST` of a form.
    pub(crate) fn form(content: &Content, file: File, order: Order) -> Self {
        let token = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"authToken\"\r\n\r\n{}\r\n",
            users::auth_token(file.user)
        );
        let part = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            file.name()
        );
        let (before, behind) = match order {
            Order::TokenFirst => (token + &part, format!("\r\n--{BOUNDARY}--\r\n")),
            Order::FileFirst => (part, format!("\r\n{token}--{BOUNDARY}--\r\n")),
        };
        let head = format!(
            "POST /upload HTTP/1.1\r\nHost: worker.example.org\r\nOrigin: https://app.example.org\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n\r\n",
            before.len() + file.size + behind.len()
        );
        Self::of_pieces([(head + &before).into(), content.of(file), behind.into()])
    }

    /// What a worker would send for the file, straight to Telegram.
    pub(crate) fn document(content: &Content, file: File) -> Self {
        let before = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"chat_id\"\r\n\r\n{}\r\n--{BOUNDARY}\r\n\
             Content-Disposition: form-data; name=\"document\"; filename=\"{}\"\r\n\r\n",
            users::chat_id(file.user),
            file.name()
        );
        let behind = format!("\r\n--{BOUNDARY}--\r\n");
        let head = format!(
            "POST /bot{}/sendDocument HTTP/1.1\r\nHost: api.example.org\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n\r\n",
            users::bot_token(file.user),
            before.len() + file.size + behind.len()
        );
        Self::of_pieces([(head + &before).into(), content.of(file), behind.into()])
    }

    fn of_pieces<const N: usize>(pieces: [Bytes; N]) -> Self {
        if pieces.iter().map(Bytes::len).sum::<usize>() > ONE_PIECE_BYTES {
            Self(pieces.into())
        } else {
            Self(vec![pieces.concat().into()])
        }
    }
}

/// Connections to a worker that were opened before the clock starts.
pub(crate) struct Connections(Vec<Wire>);

impl Connections {
    pub(crate) async fn open(address: SocketAddr, count: usize) -> Result<Self> {
        let mut wires = Vec::with_capacity(count);
        for _ in 0..count {
            wires.push(Wire::new(TcpStream::connect(address).await?)?);
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
        .whole_body(head.framing)
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
