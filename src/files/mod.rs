//! Files of any size: the protocols of resumable uploads.
//!
//! | file | what |
//! |---|---|
//! | [`command`] | what a request of any protocol wants, and what came of it |
//! | [`tus`] | tus 1.0.0 |
//! | [`rufh`], [`structured`] | Resumable Uploads for HTTP, and the field values that it uses |
//! | [`v2`] | `TeleStore` v2's chunk routes |

pub mod command;
pub mod rufh;
pub mod structured;
pub mod tus;
pub mod v2;
