//! Listens, and serves a router until it is stopped.

use std::{io, net::SocketAddr, time::Duration};

use axum::Router;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::http::connection;

/// How long a shutdown waits for current requests.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted, as when no file descriptor is free.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// An address that connections arrive at, before anybody answers them.
#[derive(Debug)]
pub struct Listening {
    /// Like `http://127.0.0.1:8788`.
    pub base_url: String,
    /// The same as an address.
    pub address: SocketAddr,
    listener: TcpListener,
}

/// The address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("listening at {address}: {source}")]
pub struct ListenError {
    address: String,
    source: io::Error,
}

impl Listening {
    /// Listens at an address and port; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub async fn at(address: &str) -> Result<Self, ListenError> {
        let failed = |source| ListenError {
            address: address.to_owned(),
            source,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            base_url: format!("http://{address}"),
            address,
            listener,
        })
    }

    /// Answers with the router until `stop` is cancelled. Current requests have ten seconds to end.
    #[must_use]
    pub fn serve(self, router: Router, stop: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(accept(self.listener, router, stop))
    }
}

async fn accept(listener: TcpListener, router: Router, stop: CancellationToken) {
    // Dropped, it takes its connections along.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let serving = connection::serve(stream, peer.ip(), router.clone(), stop.clone());
                connections.spawn(async {
                    if let Err(error) = serving.await {
                        tracing::debug!(%error, "a connection ended early");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(SHUTDOWN_GRACE, all_ended).await.is_err() {
        tracing::warn!("requests that have not ended are cut off");
    }
}
