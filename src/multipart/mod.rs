//! Multipart bodies: reading the browser's, framing Telegram's.

pub mod envelope;
pub mod form;
mod header;
mod malformed;
pub mod parser;

#[cfg(all(any(test, feature = "testing"), not(target_arch = "wasm32")))]
pub mod testing;
// Its property tests need a runner that wasm has not.
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

pub use header::{PartHead, boundary_of, file_name_of};
pub use malformed::Malformed;
