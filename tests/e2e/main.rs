#![cfg(not(target_arch = "wasm32"))]
//! The built worker in real workerd, beside backend-mock, over real sockets.
//!
//! `cargo test --release --test e2e` wants the worker built in `build/` (or in `WORKER_BUILD_DIR`)
//! and workerd in `node_modules` (or at `WORKERD_BIN`).
//!
//! `testkit` has what they share with the other suites. `hook` makes requests that the backend signs.

#![allow(
    clippy::too_many_lines,
    reason = "tables of requests and replies are long, and best read in one piece"
)]

mod hook;

mod credentials;
mod disconnects;
mod download;
mod framing;
mod idempotency;
mod isolates;
mod isolation;
mod lanes;
mod load;
mod names;
mod notifications;
mod objects;
mod orders;
mod outbox;
mod refusals;
mod revocations;
mod settings;
mod telegram;
