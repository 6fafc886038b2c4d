//! What the tests, the benchmark and their servers share.
//!
//! | module | what |
//! |---|---|
//! | [`wire`] | HTTP/1.1 on a connection, for both ends of it |
//! | [`http`] | a client that sends exactly the bytes it is told to |
//! | [`form`] | multipart bodies, part by part |
//! | [`upload`] | files, and the shapes in which clients upload them |
//! | [`stub`] | servers that answer by script |
//! | [`proxy`] | a proxy that cuts, delays and throttles connections |
//! | [`host`] | the process that the worker runs in |
//! | [`workerd`] | the worker in workerd |
//! | [`wrangler`] | what wrangler.toml says of the worker |
//! | [`memory`] | the memory and the open files of a process |
//! | [`random`] | the same random numbers in every run |
//! | [`wait`] | waiting for what happens by itself |
//! | `harness` | the worker beside backend-mock, and what both have seen (feature `harness`) |
//! | `postgres` | a PostgreSQL for a test (feature `postgres`) |

// A helper of tests panics when what the test relies on does not hold.
#![allow(clippy::missing_panics_doc)]

pub mod form;
#[cfg(feature = "harness")]
pub mod harness;
pub mod host;
pub mod http;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod proxy;
pub mod random;
pub mod stub;
pub mod upload;
pub mod wait;
pub mod wire;
pub mod workerd;
pub mod wrangler;
