//! The server over real sockets, as its clients see it.

mod accounts;
mod audit;
mod bot_api;
mod client;
mod command_line;
mod control;
mod crash;
mod isolation;
mod keys;
mod openapi;
mod persistence;
mod process;
mod requests;
mod secrets;
mod usage;
