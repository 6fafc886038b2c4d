//! A TCP proxy that makes the network bad, in the terms of Toxiproxy: *upstream* is what the client sends, and
//! *downstream* what the server sends.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 128;
const BUFFER_BYTES: usize = 64 * 1024;
/// A throttled connection passes its bytes on in this many pieces a second.
const PIECES_A_SECOND: u32 = 50;

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Toxic {
    /// How long each piece is held back.
    pub latency: Duration,
    /// The most bytes a second.
    pub bandwidth: Option<u32>,
    /// After how many bytes the connection ends, and how.
    pub limit: Option<(u64, Ending)>,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Toxics {
    /// To what the client sends.
    pub upstream: Toxic,
    /// To what the server sends.
    pub downstream: Toxic,
}

/// How a connection ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides get a FIN, as from a proxy that closes.
    Close,
    /// Both sides get a RST, as from a process that dies.
    Reset,
    /// Nothing gets through any more, and nobody is told, as when a cable is pulled.
    Silence,
}

/// One port before a server, which stays its own when it is closed.
pub struct Proxy {
    address: SocketAddr,
    toxics: Arc<Mutex<Toxics>>,
    connections: Arc<AtomicUsize>,
    /// While it is closed: bound and not listened at. The system refuses connections, and gives the
    /// port to nobody else.
    kept: Option<TcpSocket>,
    /// While it is open.
    serving: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy that refuses connections until it is opened.
    #[must_use]
    pub fn closed() -> Self {
        let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Self {
            address: socket.local_addr().expect("an address"),
            toxics: Arc::default(),
            connections: Arc::default(),
            kept: Some(socket),
            serving: None,
        }
    }

    /// A proxy that passes connections on to that server.
    #[must_use]
    pub fn to(server: SocketAddr) -> Self {
        let mut proxy = Self::closed();
        proxy.open(server);
        proxy
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Sets what happens to the connections that are accepted from now on.
    pub fn set(&self, toxics: Toxics) {
        *self.toxics.lock().unwrap_or_else(PoisonError::into_inner) = toxics;
    }

    /// Lets connections through to that server.
    pub fn open(&mut self, server: SocketAddr) {
        if let Some(socket) = self.kept.take() {
            let listener = socket.listen(BACKLOG).expect("listening");
            let (toxics, connections) = (Arc::clone(&self.toxics), Arc::clone(&self.connections));
            self.serving = Some(tokio::spawn(serve(listener, server, toxics, connections)));
        }
    }

    /// Cuts the connections there are, and refuses new ones.
    pub async fn close(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
            self.kept = Some(bind(self.address));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }
}

fn bind(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("SO_REUSEADDR");
    socket.bind(address).expect("the port");
    socket
}

async fn serve(
    listener: TcpListener,
    server: SocketAddr,
    toxics: Arc<Mutex<Toxics>>,
    connections: Arc<AtomicUsize>,
) {
    let mut passing = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.fetch_add(1, Relaxed);
        let toxics = *toxics.lock().unwrap_or_else(PoisonError::into_inner);
        passing.spawn(pass(client, server, toxics));
        while passing.try_join_next().is_some() {}
    }
}

/// Passes one connection on, until both sides have finished or a limit is reached.
async fn pass(mut client: TcpStream, server: SocketAddr, toxics: Toxics) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ending = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let mut upstream = Box::pin(pump(from_client, to_server, toxics.upstream));
        let mut downstream = Box::pin(pump(from_server, to_client, toxics.downstream));
        tokio::select! {
            ending = &mut upstream => match ending? {
                None => downstream.await?,
                ending => ending,
            },
            ending = &mut downstream => match ending? {
                None => upstream.await?,
                ending => ending,
            },
        }
    };
    match ending {
        Some(Ending::Reset) => {
            client.set_zero_linger()?;
            server.set_zero_linger()
        }
        Some(Ending::Silence) => std::future::pending().await,
        Some(Ending::Close) | None => Ok(()),
    }
}

/// Passes one direction on. Gives how the connection is to end; `None` when the side that sends has finished.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    toxic: Toxic,
) -> io::Result<Option<Ending>> {
    let mut buffer = vec![0; piece_bytes(toxic.bandwidth)];
    let mut left = toxic.limit.map_or(u64::MAX, |(bytes, _)| bytes);
    loop {
        if let (0, Some((_, ending))) = (left, toxic.limit) {
            return Ok(Some(ending));
        }
        let most = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = from.read(&mut buffer[..most]).await?;
        if read == 0 {
            to.shutdown().await?;
            return Ok(None);
        }
        sleep(toxic.latency + transmission(read, toxic.bandwidth)).await;
        to.write_all(&buffer[..read]).await?;
        left -= read as u64;
    }
}

fn piece_bytes(bandwidth: Option<u32>) -> usize {
    let fair = bandwidth.map(|bytes| (bytes / PIECES_A_SECOND).max(1) as usize);
    fair.map_or(BUFFER_BYTES, |bytes| bytes.min(BUFFER_BYTES))
}

/// How long so many bytes take.
fn transmission(bytes: usize, bandwidth: Option<u32>) -> Duration {
    bandwidth.map_or(Duration::ZERO, |bandwidth| {
        let micros = bytes as u64 * 1_000_000 / u64::from(bandwidth.max(1));
        Duration::from_micros(micros)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    type Served = JoinHandle<(usize, io::Result<()>)>;

    /// A server of one connection. It tells how much it got, and how the connection ended.
    async fn server(echoes: bool) -> (SocketAddr, Served) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let (mut got, mut buffer) = (0, [0; 1000]);
            loop {
                match stream.read(&mut buffer).await {
                    Ok(0) => return (got, Ok(())),
                    Ok(read) => {
                        got += read;
                        if echoes {
                            stream.write_all(&buffer[..read]).await.expect("sent");
                        }
                    }
                    Err(error) => return (got, Err(error)),
                }
            }
        });
        (address, serving)
    }

    fn upstream(toxic: Toxic) -> Toxics {
        Toxics {
            upstream: toxic,
            ..Toxics::default()
        }
    }

    fn ends(bytes: u64, ending: Ending) -> Toxic {
        Toxic {
            limit: Some((bytes, ending)),
            ..Toxic::default()
        }
    }

    #[tokio::test]
    async fn without_toxics_everything_gets_through() {
        let (address, serving) = server(true).await;
        let proxy = Proxy::to(address);
        let mut client = TcpStream::connect(proxy.address()).await.expect("open");
        client.write_all(&[7; 5000]).await.expect("sent");
        client.shutdown().await.expect("finished");
        let mut back = Vec::new();
        client.read_to_end(&mut back).await.expect("received");
        assert_eq!(back, [7; 5000]);
        let (got, ended) = serving.await.expect("it ends");
        assert_eq!((got, ended.is_ok()), (5000, true));
        assert_eq!(proxy.connections(), 1);
    }

    #[tokio::test]
    async fn a_connection_is_closed_after_exactly_so_many_bytes() {
        let (address, serving) = server(false).await;
        let proxy = Proxy::to(address);
        proxy.set(upstream(ends(1234, Ending::Close)));
        let mut client = TcpStream::connect(proxy.address()).await.expect("open");
        client.write_all(&[7; 5000]).await.expect("sent");
        assert_eq!(serving.await.expect("it ends").0, 1234);
    }

    #[tokio::test]
    async fn a_reset_is_seen_as_one_by_the_server() {
        let (address, serving) = server(false).await;
        let proxy = Proxy::to(address);
        proxy.set(upstream(ends(10, Ending::Reset)));
        let mut client = TcpStream::connect(proxy.address()).await.expect("open");
        client.write_all(&[7; 10]).await.expect("sent");
        let (_, ended) = serving.await.expect("it ends");
        assert_eq!(
            ended.expect_err("a reset").kind(),
            io::ErrorKind::ConnectionReset
        );
    }

    #[tokio::test]
    async fn after_a_silent_end_nothing_comes_and_neither_side_is_told() {
        let (address, serving) = server(true).await;
        let mut proxy = Proxy::to(address);
        proxy.set(Toxics {
            downstream: ends(3, Ending::Silence),
            ..Toxics::default()
        });
        let mut client = TcpStream::connect(proxy.address()).await.expect("open");
        client.write_all(&[7; 10]).await.expect("sent");
        let mut back = [0; 3];
        client.read_exact(&mut back).await.expect("three bytes");
        let more = tokio::time::timeout(Duration::from_millis(50), client.read(&mut back)).await;
        assert!(more.is_err(), "{more:?}");
        assert!(!serving.is_finished());
        proxy.close().await;
        assert_eq!(serving.await.expect("it ends").0, 10);
        assert!(TcpStream::connect(proxy.address()).await.is_err());
    }

    #[tokio::test]
    async fn a_throttled_connection_takes_its_time() {
        let (address, _) = server(true).await;
        let proxy = Proxy::to(address);
        proxy.set(upstream(Toxic {
            bandwidth: Some(10_000),
            ..Toxic::default()
        }));
        let mut client = TcpStream::connect(proxy.address()).await.expect("open");
        let began = Instant::now();
        client.write_all(&[7; 2000]).await.expect("sent");
        let mut back = [0; 2000];
        client.read_exact(&mut back).await.expect("received");
        assert!(began.elapsed() >= Duration::from_millis(200));
    }
}
