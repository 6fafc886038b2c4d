//! HTTP/1.1 on a connection (RFC 9112), for both ends of it: whole heads, and bodies in slices of one buffer.
//!
//! Nothing is allocated for a body's bytes, so receiving 50 MB costs little beside the kernel's copy.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use memchr::{memchr, memmem};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Enough that a read mostly takes all that the socket has.
const BUFFER_BYTES: usize = 512 * 1024;
const MAX_HEADERS: usize = 64;

/// A connection.
pub struct Wire {
    pub(crate) stream: TcpStream,
    pub(crate) reader: Reader,
}

/// What was read of a connection, and not yet used.
pub(crate) struct Reader {
    buffer: Box<[u8]>,
    unread: Range<usize>,
}

/// The head of a request or a response.
#[derive(Clone, Debug)]
pub struct Head {
    /// Of a request; empty in a response.
    pub method: String,
    /// A request's target; empty in a response.
    pub target: String,
    /// Of a response; 0 in a request.
    pub status: u16,
    /// Names as they came, and values without the blanks around them.
    pub headers: Vec<(String, String)>,
}

/// What is left of a body (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// So many bytes.
    Length(u64),
    /// So many bytes of this chunk, and the chunks after it.
    Chunk(u64),
    /// A chunk's size, and all that follows. The first size has no line end before it.
    ChunkSize {
        /// Whether it is the first.
        first: bool,
    },
    /// All that comes until the connection is closed.
    UntilClose,
}

impl Wire {
    /// Takes over a connection.
    ///
    /// # Errors
    /// When the socket does not take `TCP_NODELAY`.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            reader: Reader::new(),
        })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// When nobody accepts it.
    pub async fn connect(to: SocketAddr) -> io::Result<Self> {
        Self::new(TcpStream::connect(to).await?)
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads the next head; `None` when the other side has closed the connection instead.
    ///
    /// # Errors
    /// When the connection is broken, and for what is no head.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        self.reader.head(&mut self.stream).await
    }

    /// Reads the next slice of a body; `None` at its end.
    ///
    /// # Errors
    /// When the connection is broken, or closed too early.
    pub async fn body(&mut self, rest: &mut Rest) -> io::Result<Option<&[u8]>> {
        self.reader.body(&mut self.stream, rest).await
    }

    /// Reads a body as a whole.
    ///
    /// # Errors
    /// As [`Self::body`].
    pub async fn whole_body(&mut self, rest: Rest) -> io::Result<Vec<u8>> {
        self.reader.whole_body(&mut self.stream, rest).await
    }

    /// Sends a FIN: nothing more comes from here.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Closes with a RST, as the system does for a process that dies with data under way.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("SO_LINGER");
    }
}

impl Reader {
    fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER_BYTES].into(),
            unread: 0..0,
        }
    }

    pub(crate) async fn head(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = memmem::find(self.unread(), b"\r\n\r\n") {
                let head = Head::parse(&self.unread()[..end + 4])?;
                self.unread.start += end + 4;
                return Ok(Some(head));
            }
            if self.fill(stream).await? == 0 {
                return if self.unread.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    pub(crate) async fn body(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        rest: &mut Rest,
    ) -> io::Result<Option<&[u8]>> {
        loop {
            match rest {
                Rest::Length(0) => return Ok(None),
                Rest::Chunk(0) => *rest = Rest::ChunkSize { first: false },
                Rest::Length(left) | Rest::Chunk(left) => {
                    let taken = self.take(stream, *left).await?;
                    if taken.is_empty() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    *left -= taken.len() as u64;
                    return Ok(Some(&self.buffer[taken]));
                }
                Rest::ChunkSize { first } => {
                    if !*first {
                        self.line(stream).await?;
                    }
                    let line = self.line(stream).await?;
                    match parse_chunk_size(&self.buffer[line])? {
                        // The line after the last chunk; nobody here sends trailers.
                        0 => {
                            self.line(stream).await?;
                            *rest = Rest::Length(0);
                        }
                        size => *rest = Rest::Chunk(size),
                    }
                }
                Rest::UntilClose => {
                    let taken = self.take(stream, u64::MAX).await?;
                    return Ok((!taken.is_empty()).then(|| &self.buffer[taken]));
                }
            }
        }
    }

    pub(crate) async fn whole_body(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        mut rest: Rest,
    ) -> io::Result<Vec<u8>> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.body(stream, &mut rest).await? {
            whole.extend_from_slice(bytes);
        }
        Ok(whole)
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.unread.clone()]
    }

    /// At most so many bytes, as they come; none when the connection is closed.
    async fn take(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        most: u64,
    ) -> io::Result<Range<usize>> {
        if self.unread.is_empty() {
            self.fill(stream).await?;
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let taken = self.unread.start..self.unread.end.min(self.unread.start.saturating_add(most));
        self.unread.start = taken.end;
        Ok(taken)
    }

    /// The next line without its end.
    async fn line(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Range<usize>> {
        loop {
            if let Some(length) = memchr(b'\n', self.unread()) {
                let line = self.unread.start..self.unread.start + length.saturating_sub(1);
                self.unread.start += length + 1;
                return Ok(line);
            }
            if self.fill(stream).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads more after what is unread.
    async fn fill(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.end == self.buffer.len() {
            if self.unread.start == 0 {
                return Err(io::Error::other("a head or a line is too long"));
            }
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        let read = stream.read(&mut self.buffer[self.unread.end..]).await?;
        self.unread.end += read;
        Ok(read)
    }
}

impl Head {
    /// The first value of that name, whatever the case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body that follows.
    ///
    /// # Errors
    /// For a `Content-Length` that is no number.
    pub fn rest(&self) -> io::Result<Rest> {
        if self.header("transfer-encoding").is_some() {
            return Ok(Rest::ChunkSize { first: true });
        }
        match self.header("content-length") {
            Some(length) => length.parse().map(Rest::Length).map_err(io::Error::other),
            // Of responses, these have no body (RFC 9112 section 6.3), and of requests all that say nothing.
            None if matches!(self.status, 0 | 100..=199 | 204 | 304) => Ok(Rest::Length(0)),
            None => Ok(Rest::UntilClose),
        }
    }

    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = Self {
            method: String::new(),
            target: String::new(),
            status: 0,
            headers: Vec::new(),
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
        head.headers = headers
            .iter()
            .map(|header| {
                let value = String::from_utf8_lossy(header.value).into_owned();
                (header.name.to_owned(), value)
            })
            .collect();
        Ok(head)
    }
}

/// The first value of that name, whatever the case.
pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

fn parse_chunk_size(line: &[u8]) -> io::Result<u64> {
    std::str::from_utf8(line)
        .ok()
        .and_then(|line| u64::from_str_radix(line.split(';').next()?.trim(), 16).ok())
        .ok_or_else(|| io::Error::other("a chunk without a size"))
}
