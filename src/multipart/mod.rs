//! Multipart bodies: reading the browser's, framing Telegram's.

pub mod envelope;
pub mod form;
mod header;
mod malformed;
pub mod parser;

#[cfg(all(test, not(target_arch = "wasm32")))]
mod testing;
// Its property tests need a runner that wasm has not.
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

pub use header::{PartHead, boundary_of, file_name_of};
pub use malformed::Malformed;
