//! The TeleStore backend, an emulator of Telegram's Bot API, and a test control, on one port.
//!
//! | room | purpose |
//! |---|---|
//! | `server` | starts and stops; which path goes where |
//! | `connection` | one client's connection, and cutting it off |
//! | `backend` | `/api`: accounts, settings, credentials, files, the webhook |
//! | `telegram` | `/bot<token>/…` and `/file/bot<token>/…`: the emulator |
//! | `control` | `/_control`: counts, listings, faults |
//! | `provision` | makes users with bot and channel, the demo among them |
//! | `store` | the database; nothing above it knows SQL |
//! | `blobs` | the folder of file contents |
//! | `secrets` | the master key, and what is sealed under it |
//!
//! # Example
//! ```
//! # async fn example() -> Result<(), backend_mock::StartError> {
//! use backend_mock::{Data, Options, Server};
//!
//! let server = Server::start(Options {
//!     listen: "127.0.0.1:0".to_owned(),
//!     data: Data::Memory,
//!     demo: true,
//!     ..Options::default()
//! })
//! .await?;
//! println!("{} {:?}", server.base_url, server.demo);
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod app;
mod backend;
mod blobs;
mod connection;
mod control;
mod provision;
mod secrets;
mod server;
mod store;
mod telegram;
mod time;

pub use backend::{
    password::PasswordCost,
    signature::{MalformedSecret, WebhookSecret},
};
pub use provision::{ProvisionError, Provisioned, Setup};
pub use secrets::SecretsError;
pub use server::{Data, Options, Running, Server, StartError};
pub use store::StoreError;
pub use telegram::BotRights;
