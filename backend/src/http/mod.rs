//! HTTP, on both ends: connections, requests and bodies that come, and the client of requests that the
//! server makes itself.

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod request;
pub(crate) mod serve;
