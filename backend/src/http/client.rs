//! The client of requests that this server makes itself.

use std::time::Duration;

/// A client that waits so long for an answer. It follows no redirect: what it sends is for the server
/// that is named, and for no other.
pub(crate) fn http_client(timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    // Refused when it is installed already, which is just as well.
    #[cfg(feature = "tls")]
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}
