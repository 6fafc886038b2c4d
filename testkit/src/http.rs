//! An HTTP/1.1 client over a bare socket: it sends exactly the bytes it is told to, cut where it is
//! told to, and reads what comes back.

use std::{io, net::SocketAddr};

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWriteExt as _},
    time::timeout,
};

use crate::{
    wait::HUNG,
    wire::{Head, Reader, Rest, Wire, header},
};

/// Bytes of one chunk of a chunked body.
const CHUNK_BYTES: usize = 64 * 1024;
/// The `Host` of every request.
const HOST: &str = "worker.example.org";
/// RFC 3986 section 2.3: all but the unreserved characters is escaped, as `encodeURIComponent` nearly does.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// How a request says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length` of what the body has.
    Length,
    /// `Content-Length` of this, whatever the body has.
    Claimed(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Neither.
    Bare,
}

/// A request, of which nothing is made up but `Host` and the framing.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The target: path and query.
    pub target: String,
    /// The headers, `Host` and the framing's aside.
    pub headers: Vec<(String, String)>,
    /// The body, in pieces.
    pub body: Vec<Bytes>,
    /// How the body ends.
    pub framing: Framing,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            framing: Framing::Bare,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an `Authorization` with this token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Sets the body, with a `Content-Length`.
    #[must_use]
    pub fn body(mut self, body: Vec<Bytes>) -> Self {
        self.body = body;
        self.framing = Framing::Length;
        self
    }

    /// Sets how the body ends.
    #[must_use]
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// How many bytes the body has.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.body.iter().map(|piece| piece.len() as u64).sum()
    }

    /// The request with the first `bytes` of its body alone.
    #[must_use]
    pub fn truncated(mut self, bytes: usize) -> Self {
        let mut left = bytes;
        for piece in &mut self.body {
            piece.truncate(left);
            left -= piece.len();
        }
        self
    }

    /// The head as it travels.
    #[must_use]
    pub fn head(&self) -> Bytes {
        let mut head = vec![format!("{} {} HTTP/1.1", self.method, self.target)];
        head.push(format!("Host: {HOST}"));
        for (name, value) in &self.headers {
            head.push(format!("{name}: {value}"));
        }
        match self.framing {
            Framing::Length => head.push(format!("Content-Length: {}", self.body_bytes())),
            Framing::Claimed(length) => head.push(format!("Content-Length: {length}")),
            Framing::Chunked => head.push("Transfer-Encoding: chunked".to_owned()),
            Framing::Bare => {}
        }
        (head.join("\r\n") + "\r\n\r\n").into()
    }

    /// The body as it travels, without what ends a chunked one.
    #[must_use]
    pub fn framed_body(&self) -> Vec<Bytes> {
        if self.framing != Framing::Chunked {
            return self.body.clone();
        }
        let mut wire = Vec::new();
        for piece in &self.body {
            let mut rest = piece.clone();
            while !rest.is_empty() {
                let chunk = rest.split_to(rest.len().min(CHUNK_BYTES));
                wire.push(format!("{:x}\r\n", chunk.len()).into());
                wire.push(chunk);
                wire.push(Bytes::from_static(b"\r\n"));
            }
        }
        wire
    }

    /// The whole request as it travels.
    #[must_use]
    pub fn wire(&self) -> Vec<Bytes> {
        let mut wire = vec![self.head()];
        wire.extend(self.framed_body());
        if self.framing == Framing::Chunked {
            wire.push(Bytes::from_static(b"0\r\n\r\n"));
        }
        wire
    }

    /// Sends it whole, and reads the reply, which may come before the whole is sent.
    ///
    /// # Errors
    /// When there is no whole reply; see [`Connection::exchange`].
    pub async fn send(&self, to: SocketAddr) -> io::Result<Reply> {
        let mut connection = Connection::open(to).await?;
        connection
            .send_all(&self.wire(), self.method == "HEAD")
            .await
    }
}

/// A connection for one request.
pub struct Connection(Wire);

impl Connection {
    /// Opens a connection.
    ///
    /// # Errors
    /// When nobody accepts it.
    pub async fn open(to: SocketAddr) -> io::Result<Self> {
        Wire::connect(to).await.map(Self)
    }

    /// Sends these pieces.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn write(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        for piece in pieces {
            self.0.write(piece).await?;
        }
        Ok(())
    }

    /// Sends these pieces while it reads the reply, which may come before they are all sent.
    ///
    /// # Errors
    /// `UnexpectedEof` when the connection is closed instead of a reply, and `InvalidData` within one.
    pub async fn exchange(&mut self, pieces: &[Bytes]) -> io::Result<Reply> {
        self.send_all(pieces, false).await
    }

    async fn send_all(&mut self, pieces: &[Bytes], is_head: bool) -> io::Result<Reply> {
        let (mut reading, mut writing) = self.0.stream.split();
        let sent = async {
            for piece in pieces {
                // A server that has answered may have closed: its reply says why.
                if writing.write_all(piece).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let reply = read_reply(&mut reading, &mut self.0.reader, is_head);
        tokio::select! {
            reply = timeout(HUNG, reply) => reply?,
            () = sent => unreachable!(),
        }
    }

    /// Sends a FIN: nothing more comes from here.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.0.finish().await
    }

    /// Closes with a RST, as the system does for a client that dies with data under way.
    pub fn reset(self) {
        self.0.reset();
    }

    /// Reads the reply.
    ///
    /// # Errors
    /// When there is no whole reply.
    pub async fn reply(&mut self) -> io::Result<Reply> {
        let reply = read_reply(&mut self.0.stream, &mut self.0.reader, false);
        timeout(HUNG, reply).await?
    }
}

async fn read_reply(
    stream: &mut (impl AsyncRead + Unpin),
    reader: &mut Reader,
    is_head: bool,
) -> io::Result<Reply> {
    let head = reader.head(stream).await?;
    let head = head.ok_or(io::ErrorKind::UnexpectedEof)?;
    let rest = if is_head {
        Rest::Length(0)
    } else {
        head.rest()?
    };
    let Head {
        status, headers, ..
    } = head;
    let body = reader
        .whole_body(stream, rest)
        .await
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Reply {
        status,
        headers,
        body,
    })
}

/// A reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first value of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body's JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// Everything of it.
    #[must_use]
    pub fn text(&self) -> String {
        let headers: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        format!(
            "{}\n{}\n\n{}\n",
            self.status,
            headers.join("\n"),
            String::from_utf8_lossy(&self.body)
        )
    }
}

/// Escapes all that is not unreserved.
#[must_use]
pub fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}
