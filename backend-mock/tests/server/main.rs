//! The server over real sockets, as its clients see it.

#![allow(
    clippy::too_many_lines,
    reason = "a test tells one story, however long it is"
)]

mod accounts;
mod audit;
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
mod process;
mod requests;
mod rotation;
mod secrets;
mod take_over;
mod telegram_login;
mod usage;
