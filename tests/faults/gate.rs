//! A port in front of a server. While it is closed, connections to it are refused.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 128;

/// One port, which stays its own when it is closed.
pub(crate) struct Gate {
    address: SocketAddr,
    /// While it is closed: bound and not listened at. The system refuses connections, and gives the
    /// port to nobody else.
    kept: Option<TcpSocket>,
    /// While it is open.
    serving: Option<JoinHandle<()>>,
}

impl Gate {
    /// A closed one.
    pub(crate) fn reserve() -> Self {
        let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Self {
            address: socket.local_addr().expect("an address"),
            kept: Some(socket),
            serving: None,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets connections through to that server.
    pub(crate) fn open(&mut self, to: SocketAddr) {
        if let Some(socket) = self.kept.take() {
            let listener = socket.listen(BACKLOG).expect("listening");
            self.serving = Some(tokio::spawn(forward(listener, to)));
        }
    }

    /// Cuts the connections there are, and refuses new ones.
    pub(crate) async fn close(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
            self.kept = Some(bind(self.address));
        }
    }
}

fn bind(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("SO_REUSEADDR");
    socket.bind(address).expect("the port");
    socket
}

async fn forward(listener: TcpListener, to: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut server = TcpStream::connect(to).await?;
            copy_bidirectional(&mut client, &mut server).await
        });
    }
}
