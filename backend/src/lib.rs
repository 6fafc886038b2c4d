//! The reference backend of TeleStore: users and their API keys, their bots and channels, usage and an
//! audit log. It knows Telegram only as the traits that it is given.
//!
//! | module | purpose |
//! |---|---|
//! | [`config`], `options` | the environment, read once, and what it says |
//! | [`cli`], [`program`] | the commands that work on the database beside a server; the log and the signals |
//! | `backend`, `open`, `provision` | a backend that is open, how it gets there, and what else it can do |
//! | `routes`, `app` | one handler a route, and the pieces that handlers are given |
//! | `auth` | who a request is of: passwords, access tokens, API keys |
//! | `destinations`, `logins`, `keys`, `quota`, `bot_check` | what users have: bots and channels, keys, plans |
//! | `worker_hook`, `write_behind` | what is told to the worker; what is written within a second |
//! | `http`, `limits`, `signature` | connections, requests, bodies; how many; whether one is signed |
//! | `error` | every refusal, and the one place where it becomes a reply |
//! | `telegram` | what is asked of Telegram, and the real Bot API over HTTP |
//! | `store` | the database; nothing above it knows SQL |
//! | `secrets`, `time`, `http_client` | the master keys, and what is sealed under them; times as text; the client of requests that the server makes itself |
//!
//! A module imports only from those below it in this table.

mod app;
mod auth;
mod backend;
mod bot_check;
pub mod cli;
pub mod config;
mod destinations;
mod error;
mod http;
mod http_client;
mod keys;
mod limits;
mod logins;
mod open;
mod options;
pub mod program;
mod provision;
mod quota;
mod routes;
mod secrets;
mod signature;
mod store;
mod telegram;
mod time;
mod worker_hook;
mod write_behind;

pub use auth::{
    password::PasswordCost,
    static_tokens::{MalformedTokens, StaticTokens},
};
pub use backend::Backend;
pub use destinations::DeploymentBot;
pub use error::ApiError;
pub use http::{
    body::{RawBody, from_json},
    connection::Connection,
    serve::{ListenError, Listening},
};
pub use http_client::HttpClientError;
pub use limits::RequestLimits;
pub use open::OpenError;
pub use options::{Data, Options};
pub use provision::{BotInChannel, CrowdUser, NewCrowdUser, ProvisionError};
pub use secrets::SecretsError;
pub use signature::{MalformedSecret, WebhookSecret};
pub use store::StoreError;
pub use telegram::{
    BotApi, BotToken, BotUser, ChatInfo, OwnChannel, QrLogin, Telegram, TelegramError,
    UserAccounts, UserSession,
    http::{HttpBotApi, TELEGRAM_API_URL},
};
