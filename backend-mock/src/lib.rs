//! The TeleStore backend, an emulator of Telegram, and a test control, on one port: for local testing.
//!
//! | module | purpose |
//! |---|---|
//! | `server` | starts and stops; which path goes where |
//! | `telegram` | the emulator, as the backend asks Telegram |
//! | `control` | `/_control`: counts, listings, faults |
//! | `faults`, `stats` | what is to go wrong; how many requests arrived |
//! | `parts` | what the routes are given |
//! | `provision` | makes users with bot and channel, the demo among them |
//!
//! # Example
//! ```
//! # async fn example() -> Result<(), backend_mock::StartError> {
//! use backend_mock::{BackendOptions, Data, Options, Server};
//!
//! let server = Server::start(Options {
//!     listen: "127.0.0.1:0".to_owned(),
//!     demo: true,
//!     backend: BackendOptions {
//!         data: Data::Memory,
//!         ..BackendOptions::default()
//!     },
//!     ..Options::default()
//! })
//! .await?;
//! println!("{} {:?}", server.base_url, server.demo);
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod control;
mod faults;
mod parts;
mod provision;
mod server;
mod stats;
mod telegram;

pub use backend::{
    CrowdUser, Data, DeploymentBot, Options as BackendOptions, PasswordCost, ProvisionError,
    RequestLimits, StaticTokens, WebhookSecret,
};
pub use emulator::BotRights;
pub use provision::{Provisioned, Setup};
pub use server::{Options, Running, Server, StartError};
