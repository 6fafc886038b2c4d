//! Webhooks to and from the backend: messages that are sent to it, and the signatures of both sides
//! (Standard Webhooks).

mod message;
mod signature;

pub use message::{Event, Message, Undelivered};
pub use signature::Signature;
