//! The server over real sockets, as its clients see it.

mod accounts;
mod audit;
mod bot_api;
mod client;
mod command_line;
mod control;
mod crash;
mod credentials_hook;
mod destinations;
mod downloads;
mod isolation;
mod keys;
mod on_postgresql;
mod openapi;
mod persistence;
#[path = "../../../backend/src/store/tests/postgres.rs"]
mod postgres;
mod process;
mod requests;
mod rotation;
mod secrets;
mod take_over;
mod telegram_login;
mod usage;
