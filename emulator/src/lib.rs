//! An emulator of Telegram, as far as uploads need it: the Bot API under `/bot<token>/<method>` and
//! `/file/bot<token>/<path>`, and users who log in.
//!
//! It answers as the official server does, limits and wording included: a client that works against it
//! works against `api.telegram.org`. There are three differences. A compressed body is refused, a channel
//! is known by its number only, and the entities of Markdown captions are not parsed.
//!
//! | module | purpose |
//! |---|---|
//! | `bot_api` | which method a request calls |
//! | `post`, `download`, `range` | messages, and files on their way back |
//! | `telegram` | bots, channels, and who may do what where |
//! | `phones` | login codes and QR codes |
//! | `intake`, `multipart`, `parameters`, `file_name` | reading a request as the official server does |
//! | `rates`, `rights`, `kind`, `token` | Telegram's rules |
//! | `take_over` | data that an earlier release kept in the backend's database |
//! | `store`, `blobs` | the database, and the folder of file contents |
//!
//! # Example
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use emulator::{Data, Telegram};
//!
//! let telegram = Arc::new(Telegram::open(&Data::Memory, false).await?);
//! let (bot, token) = telegram.add_bot().await?;
//! let router = emulator::router(telegram);
//! # Ok(())
//! # }
//! ```

mod blobs;
mod bot_api;
mod download;
mod error;
mod file_name;
mod intake;
mod kind;
mod multipart;
mod parameters;
mod phones;
mod post;
mod random;
mod range;
mod rates;
mod rights;
mod store;
mod take_over;
mod telegram;
mod token;

pub use bot_api::{Target, router};
pub use download::FileServer;
pub use error::BotApiError;
pub use intake::drain;
pub use phones::{Phones, QrTokenHash, UserSession, invite_link};
pub use rights::BotRights;
pub use store::{Bot, Chat, MessageFile, MessageRow, StoreError};
pub use telegram::{Data, OpenError, Telegram};
pub use token::BotToken;
