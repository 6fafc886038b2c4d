//! An HTTP/1.1 client over a bare socket: it sends exactly the bytes it is told to, cut where it is
//! told to, and reads what comes back.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// After this a test has hung. Far above what anything here takes on a slow machine.
pub(crate) const HUNG: Duration = Duration::from_secs(40);
/// Bytes of one chunk of a chunked body.
const CHUNK_BYTES: usize = 64 * 1024;

/// How a request says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `Content-Length`, and truly that.
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
pub(crate) struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<Bytes>,
    pub framing: Framing,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            framing: Framing::Bare,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: Vec<Bytes>) -> Self {
        self.body = body;
        self.framing = Framing::Length;
        self
    }

    pub(crate) fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    pub(crate) fn body_bytes(&self) -> u64 {
        self.body.iter().map(|piece| piece.len() as u64).sum()
    }

    /// The body cut to its first `bytes`.
    pub(crate) fn truncated(mut self, bytes: usize) -> Self {
        let mut left = bytes;
        for piece in &mut self.body {
            piece.truncate(left);
            left -= piece.len();
        }
        self
    }

    pub(crate) fn head(&self) -> Bytes {
        let mut head = vec![format!("{} {} HTTP/1.1", self.method, self.target)];
        head.push("Host: worker".to_owned());
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
    pub(crate) fn framed_body(&self) -> Vec<Bytes> {
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

    fn wire(&self) -> Vec<Bytes> {
        let mut wire = vec![self.head()];
        wire.extend(self.framed_body());
        if self.framing == Framing::Chunked {
            wire.push(Bytes::from_static(b"0\r\n\r\n"));
        }
        wire
    }

    /// Sends it whole, and reads the reply, which may come before the whole is sent.
    pub(crate) async fn send(&self, to: SocketAddr) -> io::Result<Reply> {
        let mut connection = Connection::open(to).await?;
        connection
            .send_all(&self.wire(), self.method == "HEAD")
            .await
    }
}

/// A connection for one request.
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) async fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    pub(crate) async fn write(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        for piece in pieces {
            self.0.write_all(piece).await?;
        }
        Ok(())
    }

    async fn send_all(&mut self, pieces: &[Bytes], is_head: bool) -> io::Result<Reply> {
        let (mut reader, mut writer) = self.0.split();
        let writing = async {
            for piece in pieces {
                // A server that has answered may have closed: its reply says why.
                if writer.write_all(piece).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            reply = timeout(HUNG, read_reply(&mut reader, is_head)) => reply?,
            () = writing => unreachable!(),
        }
    }

    /// Sends a FIN: nothing more comes from here.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }

    /// Closes with a RST, as a client does whose process dies with data under way.
    pub(crate) fn reset(self) {
        self.0.set_zero_linger().expect("SO_LINGER");
    }

    pub(crate) async fn reply(&mut self) -> io::Result<Reply> {
        timeout(HUNG, read_reply(&mut self.0, false)).await?
    }
}

/// A reply.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body's JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// Everything of it.
    pub(crate) fn text(&self) -> String {
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

async fn read_reply(stream: &mut (impl AsyncRead + Unpin), is_head: bool) -> io::Result<Reply> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            break at;
        }
        more(stream, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut rest = bytes.split_off(head_end + 4);
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| io::Error::other(format!("not HTTP: {head:?}")))?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut reply = Reply {
        status,
        headers,
        body: Vec::new(),
    };
    if is_head || status == 204 {
        return Ok(reply);
    }
    if let Some(length) = reply.header("content-length") {
        let length: usize = length.parse().map_err(io::Error::other)?;
        while rest.len() < length {
            more(stream, &mut rest).await?;
        }
        rest.truncate(length);
        reply.body = rest;
    } else if reply.header("transfer-encoding").is_some() {
        reply.body = read_chunks(stream, rest).await?;
    } else {
        stream.read_to_end(&mut rest).await?;
        reply.body = rest;
    }
    Ok(reply)
}

async fn read_chunks(
    stream: &mut (impl AsyncRead + Unpin),
    mut rest: Vec<u8>,
) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = loop {
            if let Some(at) = find(&rest, b"\r\n") {
                break at;
            }
            more(stream, &mut rest).await?;
        };
        let size = std::str::from_utf8(&rest[..line_end]).map_err(io::Error::other)?;
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        let end = line_end + 2 + size + 2;
        while rest.len() < end {
            more(stream, &mut rest).await?;
        }
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&rest[line_end + 2..end - 2]);
        rest.drain(..end);
    }
}

async fn more(stream: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> io::Result<()> {
    if stream.read_buf(bytes).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

/// Percent-encodes all that is not unreserved, as `encodeURIComponent` nearly does.
pub(crate) fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
