//! A Cloudflare Worker that puts a browser's files into the user's own Telegram channel.
//!
//! Two kinds of room, and a wall between them. The **core** knows HTTP, Telegram and the policy, and
//! nothing of JavaScript: it compiles and is tested natively. The **edge** is the one room that
//! imports the Workers runtime; another host replaces it by implementing [`host::Host`].
//!
//! | room | what |
//! |---|---|
//! | [`service`] | a request from its head to its reply |
//! | [`route`] | which route a request takes |
//! | [`http`] | heads, replies, CORS |
//! | [`upload`] | the story of an upload, its four lanes, its report |
//! | [`multipart`] | reading the browser's form, framing Telegram's |
//! | [`credentials`] | the cache, and the backend that fills it |
//! | [`idempotency`] | a repeated upload is answered like the first one, and stored once |
//! | [`objects`] | durable objects: revocations, the outbox, the users' records |
//! | [`telegram`] | the Bot API's replies and errors |
//! | [`notify`] | telling the backend of an upload, or leaving that to the outbox |
//! | [`webhook`] | what the backend is told, signed and sent |
//! | [`hooks`] | requests from the backend itself |
//! | [`check`] | whether an upload would go well |
//! | [`error`] | everything that can go wrong, and how it is told |
//! | [`config`] | the settings |
//! | [`isolate`] | what the requests of one isolate share |
//! | [`host`] | what the core asks of the runtime |
//! | `edge` | workerd |

pub mod check;
pub mod config;
pub mod credentials;
pub mod error;
pub mod files;
pub mod hooks;
pub mod host;
pub mod http;
pub mod idempotency;
pub mod isolate;
mod json;
pub mod multipart;
pub mod notify;
pub mod objects;
pub mod resumable;
pub mod route;
pub mod service;
pub mod telegram;
pub mod text;
pub mod upload;
pub mod webhook;

#[cfg(target_arch = "wasm32")]
mod edge;

#[cfg(all(test, not(target_arch = "wasm32")))]
mod testing;
