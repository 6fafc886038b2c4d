//! HTTP, as the server speaks it: connections, requests, bodies.

pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod request;
pub(crate) mod serve;
