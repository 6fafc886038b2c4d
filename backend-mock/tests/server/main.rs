//! The server over real sockets, as its clients see it.

mod accounts;
mod audit;
mod bot_api;
mod client;
mod command_line;
mod control;
mod keys;
mod persistence;
mod requests;
mod usage;
