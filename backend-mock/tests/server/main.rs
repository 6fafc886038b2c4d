//! The server over real sockets, as its clients see it.

mod accounts;
mod bot_api;
mod client;
mod command_line;
mod control;
mod credentials_hook;
mod destinations;
mod keys;
mod on_postgresql;
mod persistence;
#[path = "../../src/store/tests/postgres.rs"]
mod postgres;
mod process;
mod requests;
mod rotation;
mod telegram_login;
