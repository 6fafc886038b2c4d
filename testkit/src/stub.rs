//! Servers for what backend-mock can't be told to do.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::wire::{Head, Rest, Wire};

/// A request as a scripted server got it.
#[derive(Clone, Debug)]
pub struct Received {
    /// The head.
    pub head: Head,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// The first value of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The target.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.head.target
    }
}

type Script = dyn Fn(&Received) -> Vec<u8> + Send + Sync;

/// A server that answers each request with the bytes that its script gives, and then closes.
pub struct Scripted {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    received: Arc<Mutex<Vec<Received>>>,
    serving: JoinHandle<()>,
}

impl Scripted {
    /// Starts one.
    pub async fn start(script: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::serve(script, true).await
    }

    /// A server that does not close after its answer: what the answer lacks may still come.
    pub async fn that_stays_open(
        script: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(script, false).await
    }

    /// A server that must never be called.
    pub async fn trap() -> Self {
        Self::start(|_| Vec::new()).await
    }

    async fn serve(
        script: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static,
        closes: bool,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let received = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let serving = tokio::spawn({
            let (connections, received) = (Arc::clone(&connections), Arc::clone(&received));
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, SeqCst);
                    let (script, received) = (Arc::clone(&script), Arc::clone(&received));
                    tokio::spawn(answer(stream, script, received, closes));
                }
            }
        });
        Self {
            address,
            connections,
            received,
            serving,
        }
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// The requests so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        let received = self.received.lock();
        received.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(
    stream: TcpStream,
    script: Arc<Script>,
    received: Arc<Mutex<Vec<Received>>>,
    closes: bool,
) -> io::Result<()> {
    let mut wire = Wire::new(stream)?;
    let Some(head) = wire.head().await? else {
        return Ok(());
    };
    let body = wire.whole_body(head.rest()?).await?;
    let request = Received { head, body };
    let reply = script(&request);
    received
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request);
    wire.write(&reply).await?;
    if !closes {
        // Until the other side has had enough.
        wire.whole_body(Rest::UntilClose).await?;
    }
    wire.finish().await
}

/// A reply of this status line and JSON.
#[must_use]
pub fn json_reply(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An address at which nobody listens.
pub async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}
