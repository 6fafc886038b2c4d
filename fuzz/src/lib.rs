//! What the worker reads from outside, under random bytes.
//!
//! A target is a function of bytes that panics when the worker does, or when it disagrees with a
//! naive statement of what it should have done. `fuzz_targets` runs each under libFuzzer; the tests
//! run each over its seeds.
//!
//! | target | reads | against |
//! |---|---|---|
//! | [`targets::multipart`] | a `Content-Type` and a body, whole and in pieces | a naive reader |
//! | [`targets::upload`] | a request, through every lane | what a naive reader of the form expects, and of Telegram's |
//! | [`targets::request_head`] | a request's head | a naive statement of the routes |
//! | [`targets::file_name`] | a file's name, on its way from browser to Telegram | the name itself |
//! | [`targets::telegram_answer`] | Telegram's answer | what may be said of it |
//! | [`targets::credentials_answer`] | the backend's answer, through the cache | what may be said of it |
//! | [`targets::jwt_expiry`] | the user's token | a JSON reader that knows no types |
// A panic is how a target tells of a finding.
#![allow(clippy::missing_panics_doc)]

mod bot_api;
mod bytes;
mod request;
pub mod targets;
