//! The TeleStore backend, an emulator of Telegram's Bot API, and a test control, on one port.
//!
//! | room | purpose |
//! |---|---|
//! | [`config`] | the environment, read once |
//! | [`cli`] | the command line beside the server |
//! | `server` | starts and stops; which path goes where |
//! | `connection` | one client's connection, and cutting it off |
//! | `backend` | `/api`: accounts, keys, settings, credentials, files, the webhook; health, OpenAPI |
//! | `telegram` | `/bot<token>/…` and `/file/bot<token>/…`: the emulator |
//! | `control` | `/_control`: counts, listings, faults |
//! | `limits` | how many requests an address and a user may make |
//! | `credentials_hook` | tells the worker that credentials have changed |
//! | `write_behind` | what is gathered in memory and written within a second |
//! | `provision` | makes users with bot and channel, the demo among them |
//! | `store` | the database; nothing above it knows SQL |
//! | `blobs` | the folder of file contents |
//! | `secrets` | the master keys, and what is sealed under them |
//! | `http_client` | the client of requests that the server makes itself |
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
pub mod cli;
pub mod config;
mod connection;
mod control;
mod credentials_hook;
mod http_client;
mod limits;
mod provision;
mod secrets;
mod server;
mod store;
mod telegram;
mod time;
mod write_behind;

pub use backend::{
    credentials::DeploymentBot,
    password::PasswordCost,
    signature::{MalformedSecret, WebhookSecret},
    static_tokens::{MalformedTokens, StaticTokens},
};
pub use limits::RequestLimits;
pub use provision::{CrowdUser, ProvisionError, Provisioned, Setup};
pub use secrets::SecretsError;
pub use server::{Data, Options, Running, Server, StartError};
pub use store::StoreError;
pub use telegram::BotRights;
