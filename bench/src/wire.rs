//! HTTP/1.1 over a connection, for both ends of it: whole heads, and bodies in slices of one buffer.
//!
//! Nothing is allocated for a body's bytes, so receiving 50 MB costs little beside the kernel's copy.

use std::io;
use std::ops::Range;

use memchr::{memchr, memmem};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Enough that a read takes all that the socket has, mostly.
const BUFFER_BYTES: usize = 512 * 1024;
/// Bodies that are read as a whole: JSON.
const MAX_WHOLE_BODY_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 64;

/// A connection, and what was read of it too early.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Box<[u8]>,
    unread: Range<usize>,
}

/// The head of a request or a response.
pub(crate) struct Head {
    /// Of a request; empty in a response.
    pub(crate) method: String,
    /// A request's target; empty in a response.
    pub(crate) target: String,
    /// Of a response; 0 in a request.
    pub(crate) status: u16,
    /// `Authorization`
    pub(crate) authorization: Option<String>,
    /// `Content-Type`
    pub(crate) content_type: Option<String>,
    /// How its body ends.
    pub(crate) framing: Framing,
}

/// Where a body stands (RFC 9112 section 6).
pub(crate) enum Framing {
    /// So many bytes are left.
    Length(u64),
    /// So many bytes of the chunk are left.
    Chunk(u64),
    /// Before a chunk's size; the first has no line end before it.
    ChunkSize {
        /// Whether it is the first.
        first: bool,
    },
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER_BYTES].into(),
            unread: 0..0,
        })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next head; `None` when the other side has closed the connection instead.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = memmem::find(self.unread(), b"\r\n\r\n") {
                let head = parse_head(&self.unread()[..end + 4])?;
                self.unread.start += end + 4;
                return Ok(Some(head));
            }
            if self.fill().await? == 0 {
                return if self.unread.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// The next slice of a body; `None` at its end.
    pub(crate) async fn body(&mut self, framing: &mut Framing) -> io::Result<Option<&[u8]>> {
        loop {
            match framing {
                Framing::Length(0) => return Ok(None),
                Framing::Chunk(0) => *framing = Framing::ChunkSize { first: false },
                Framing::Length(left) | Framing::Chunk(left) => {
                    let taken = self.take(*left).await?;
                    *left -= taken.len() as u64;
                    return Ok(Some(&self.buffer[taken]));
                }
                Framing::ChunkSize { first } => {
                    if !*first {
                        self.line().await?;
                    }
                    let line = self.line().await?;
                    match parse_chunk_size(&self.buffer[line])? {
                        // The line behind the last chunk; nobody here sends trailers.
                        0 => {
                            self.line().await?;
                            *framing = Framing::Length(0);
                        }
                        size => *framing = Framing::Chunk(size),
                    }
                }
            }
        }
    }

    /// A body as a whole.
    pub(crate) async fn whole_body(&mut self, mut framing: Framing) -> io::Result<Vec<u8>> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.body(&mut framing).await? {
            whole.extend_from_slice(bytes);
            if whole.len() > MAX_WHOLE_BODY_BYTES {
                return Err(io::Error::other("a body that should be short is long"));
            }
        }
        Ok(whole)
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.unread.clone()]
    }

    /// At most so many bytes, as they come.
    async fn take(&mut self, most: u64) -> io::Result<Range<usize>> {
        if self.unread.is_empty() && self.fill().await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let taken = self.unread.start..self.unread.end.min(self.unread.start.saturating_add(most));
        self.unread.start = taken.end;
        Ok(taken)
    }

    /// The next line without its end.
    async fn line(&mut self) -> io::Result<Range<usize>> {
        loop {
            if let Some(length) = memchr(b'\n', self.unread()) {
                let line = self.unread.start..self.unread.start + length.saturating_sub(1);
                self.unread.start += length + 1;
                return Ok(line);
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads more behind what is unread.
    async fn fill(&mut self) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.end == self.buffer.len() {
            if self.unread.start == 0 {
                return Err(io::Error::other("a head or a line is too long"));
            }
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        let read = self
            .stream
            .read(&mut self.buffer[self.unread.end..])
            .await?;
        self.unread.end += read;
        Ok(read)
    }
}

fn parse_head(bytes: &[u8]) -> io::Result<Head> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = Head {
        method: String::new(),
        target: String::new(),
        status: 0,
        authorization: None,
        content_type: None,
        framing: Framing::Length(0),
    };
    let headers: &[httparse::Header] = if bytes.starts_with(b"HTTP/") {
        let mut response = httparse::Response::new(&mut headers);
        response.parse(bytes).map_err(io::Error::other)?;
        head.status = response.code.unwrap_or_default();
        response.headers
    } else {
        let mut request = httparse::Request::new(&mut headers);
        request.parse(bytes).map_err(io::Error::other)?;
        request
            .method
            .unwrap_or_default()
            .clone_into(&mut head.method);
        request
            .path
            .unwrap_or_default()
            .clone_into(&mut head.target);
        request.headers
    };
    for header in headers {
        let value = std::str::from_utf8(header.value).map_err(io::Error::other)?;
        match header.name.to_ascii_lowercase().as_str() {
            "authorization" => head.authorization = Some(value.to_owned()),
            "content-type" => head.content_type = Some(value.to_owned()),
            "content-length" => {
                head.framing = Framing::Length(value.parse().map_err(io::Error::other)?);
            }
            "transfer-encoding" => head.framing = Framing::ChunkSize { first: true },
            _ => {}
        }
    }
    Ok(head)
}

fn parse_chunk_size(line: &[u8]) -> io::Result<u64> {
    std::str::from_utf8(line)
        .ok()
        .and_then(|line| u64::from_str_radix(line.split(';').next()?.trim(), 16).ok())
        .ok_or_else(|| io::Error::other("a chunk without a size"))
}
