//! A Cloudflare Worker that puts a browser's files into the user's own Telegram channel.
//!
//! The **core** knows HTTP, Telegram and the policy, but no JavaScript: it compiles and is tested
//! natively. The **edge** is the only module that imports the Workers runtime. Another host replaces it
//! by implementing [`host::Host`]. `ARCHITECTURE.md` describes the whole.
//!
//! | module | what |
//! |---|---|
//! | [`routes`] | a request from its head to its reply: one handler per route |
//! | [`http`] | heads, replies, CORS |
//! | [`upload`] | the story of an upload, its four lanes, its report |
//! | [`multipart`] | reading the browser's form, framing the request to Telegram |
//! | [`credentials`] | the cache, and the backend that fills it |
//! | [`idempotency`] | a repeated upload gets the reply of the first one and is stored once |
//! | [`objects`] | durable objects: revocations, the outbox, the users' records |
//! | [`files`] | files that come back: ranges, large files, links |
//! | [`file_name`] | what a file is called |
//! | [`telegram`] | the Bot API's replies and errors, and its pace |
//! | [`notify`] | notifying the backend, or leaving that to the outbox |
//! | [`webhook`] | signed messages to and from the backend |
//! | [`error`] | everything that can go wrong, and its reply |
//! | [`config`] | the settings |
//! | [`isolate`] | what the requests of one isolate share |
//! | [`host`] | what the core asks of the runtime |
//! | `edge` | workerd |

pub mod config;
pub mod credentials;
pub mod error;
pub mod file_name;
pub mod files;
pub mod host;
pub mod http;
pub mod idempotency;
pub mod isolate;
mod json;
pub mod multipart;
pub mod notify;
pub mod objects;
pub mod resumable;
pub mod routes;
pub mod telegram;
pub mod text;
pub mod upload;
pub mod webhook;

#[cfg(target_arch = "wasm32")]
mod edge;

#[cfg(all(any(test, feature = "testing"), not(target_arch = "wasm32")))]
pub mod testing;
