//! One handler a route.

pub mod config;
pub mod download;
pub mod link;
pub mod page;
