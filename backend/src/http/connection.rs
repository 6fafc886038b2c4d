//! One client's connection: serving it, and cutting it off.

use std::{net::IpAddr, pin::Pin};

use axum::{Router, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// The connection that a request came over; an extension of every request.
#[derive(Clone, Debug)]
pub struct Connection(CancellationToken);

impl Connection {
    /// Closes the connection at once, without a reply: the client sees a reset.
    ///
    /// Never returns: the handler that waits for it is dropped with the connection.
    pub async fn cut(self) -> Response {
        self.0.cancel();
        std::future::pending().await
    }
}

/// The other end of a connection; an extension of every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Serves the client until it leaves, its connection is cut, or `stop` is cancelled. When `stop` is
/// cancelled, the current request is answered first.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: IpAddr,
    router: Router,
    stop: CancellationToken,
) -> Result<(), hyper::Error> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "replies may wait for acknowledgements");
    }
    let cut = CancellationToken::new();
    let connection = Connection(cut.clone());
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(connection.clone());
        request.extensions_mut().insert(Peer(peer));
        hyper::service::Service::call(&router, request)
    });
    let mut serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let stopping = tokio::select! {
        ended = &mut serving => return ended,
        () = cut.cancelled() => false,
        () = stop.cancelled() => true,
    };
    if stopping {
        Pin::new(&mut serving).graceful_shutdown();
        tokio::select! {
            ended = &mut serving => return ended,
            () = cut.cancelled() => {}
        }
    }
    reset(&serving.into_parts().io.into_inner());
    Ok(())
}

/// Makes the close of the socket a reset: data that was not sent is thrown away.
fn reset(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "the connection ends without a reset");
    }
}
