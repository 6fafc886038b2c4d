//! The client of requests that this server makes itself.

use std::time::Duration;

/// Why there is no client for a URL.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    /// The client cannot be made.
    #[error("the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The URL needs TLS, which this build leaves out.
    #[error("{0} needs TLS: build this program with the feature `tls`")]
    NoTls(String),
}

/// A client for requests to `base_url`, which waits `timeout` for each reply. It follows no redirect: what
/// it sends is for that server only.
pub(crate) fn http_client(
    base_url: &str,
    timeout: Duration,
) -> Result<reqwest::Client, HttpClientError> {
    if !cfg!(feature = "tls") && base_url.starts_with("https:") {
        return Err(HttpClientError::NoTls(base_url.to_owned()));
    }
    // Fails when it is installed already, which is fine.
    #[cfg(feature = "tls")]
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder()
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .build()?)
}
