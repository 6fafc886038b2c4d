//! The reference backend of TeleStore: users and their API keys, their bots and channels, usage and an
//! audit log. It knows Telegram only as the traits that it is given.
//!
//! | module | purpose |
//! |---|---|
//! | [`config`] | the environment, read once |
//! | [`cli`] | the commands that work on the database beside a server |
//! | `backend`, `options`, `open` | a backend that is open, and how it gets there |
//! | [`program`] | the log and the signals of a program that serves |
//! | `serve`, `connection` | listens, answers, stops; cuts a connection off |
//! | `api` | `/api`: accounts, keys, settings, credentials, files, the webhook; health, OpenAPI |
//! | `telegram`, `bot_api` | what is asked of Telegram, and the real Bot API over HTTP |
//! | `provision` | what the program around a backend may do without a request |
//! | `limits` | how many requests an address and a user may make |
//! | `credentials_hook` | tells the worker that credentials have changed |
//! | `write_behind` | what is gathered in memory and written within a second |
//! | `store` | the database; nothing above it knows SQL |
//! | `secrets` | the master keys, and what is sealed under them |
//! | `http_client` | the client of requests that the server makes itself |

mod api;
mod app;
mod backend;
mod bot_api;
pub mod cli;
pub mod config;
mod connection;
mod credentials_hook;
mod http_client;
mod limits;
mod open;
mod options;
pub mod program;
mod provision;
mod secrets;
mod serve;
mod store;
mod telegram;
mod time;
mod write_behind;

pub use api::{
    credentials::DeploymentBot,
    error::ApiError,
    extract::{RawBody, from_json},
    password::PasswordCost,
    signature::{MalformedSecret, WebhookSecret},
    static_tokens::{MalformedTokens, StaticTokens},
};
pub use backend::Backend;
pub use bot_api::{HttpBotApi, TELEGRAM_API_URL};
pub use connection::Connection;
pub use limits::RequestLimits;
pub use open::OpenError;
pub use options::{Data, Options};
pub use provision::{BotInChannel, CrowdUser, NewCrowdUser, ProvisionError};
pub use secrets::SecretsError;
pub use serve::{ListenError, Listening};
pub use store::StoreError;
pub use telegram::{
    BotApi, BotToken, BotUser, ChatInfo, OwnChannel, QrLogin, Telegram, TelegramError,
    UserAccounts, UserSession,
};
