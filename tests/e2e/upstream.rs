//! Servers for what backend-mock can't be told to do.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A request as a scripted server got it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub head: String,
    pub body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

type Script = dyn Fn(&Received) -> Vec<u8> + Send + Sync;

/// A server that answers each request with the bytes that its script gives, and then closes.
pub(crate) struct Scripted {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    received: Arc<Mutex<Vec<Received>>>,
    serving: JoinHandle<()>,
}

impl Scripted {
    pub(crate) async fn start(
        script: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(script, true).await
    }

    /// A server that does not close behind its answer: what the answer lacks may still come.
    pub(crate) async fn that_stays_open(
        script: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(script, false).await
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
                    tokio::spawn(answer(
                        stream,
                        Arc::clone(&script),
                        Arc::clone(&received),
                        closes,
                    ));
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

    /// A server that must never be called.
    pub(crate) async fn trap() -> Self {
        Self::start(|_| Vec::new()).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().expect("lock").clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(
    mut stream: TcpStream,
    script: Arc<Script>,
    received: Arc<Mutex<Vec<Received>>>,
    closes: bool,
) -> Option<()> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let body = bytes.split_off(head_end + 4);
    let mut request = Received {
        head: String::from_utf8_lossy(&bytes).into_owned(),
        body,
    };
    let length: usize = request
        .header("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    while request.body.len() < length {
        if stream.read_buf(&mut request.body).await.ok()? == 0 {
            return None;
        }
    }
    let reply = script(&request);
    received.lock().expect("lock").push(request);
    stream.write_all(&reply).await.ok()?;
    if !closes {
        // Until the other side has had enough.
        while stream.read_buf(&mut bytes).await.ok()? > 0 {}
    }
    stream.shutdown().await.ok()
}

/// A reply of this status line and JSON.
pub(crate) fn json_reply(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An address at which nobody listens.
pub(crate) async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}
