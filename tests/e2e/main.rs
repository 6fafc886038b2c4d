#![cfg(not(target_arch = "wasm32"))]
//! The built worker in real workerd, beside backend-mock, over real sockets.
//!
//! `cargo test --release --test e2e` wants the worker built in `build/` (or in `WORKER_BUILD_DIR`)
//! and workerd in `node_modules` (or at `WORKERD_BIN`).
//!
//! | support | what |
//! |---|---|
//! | `harness` | workerd and backend-mock of one test, and what they saw |
//! | `http` | a client that sends exactly the bytes it is told to |
//! | `hook` | requests that the backend signs |
//! | `form` | multipart bodies, byte by byte |
//! | `client` | the shapes in which clients upload |
//! | `upstream` | servers that answer by script, and one that must never be called |

#![allow(
    clippy::too_many_lines,
    reason = "tables of requests and replies are long, and best read in one piece"
)]

mod client;
mod form;
mod harness;
mod hook;
mod http;
mod upstream;

mod credentials;
mod disconnects;
mod framing;
mod idempotency;
mod isolation;
mod lanes;
mod load;
mod names;
mod notifications;
mod orders;
mod outbox;
mod refusals;
mod revocations;
mod settings;
mod telegram;
