//! Files of any size: resumable uploads in three dialects.
//!
//! | file | what |
//! |---|---|
//! | [`resource`] | one upload resource: what is remembered, and how it changes |
//! | [`question`] | what it is asked and answers |
//! | [`command`] | what a request of any dialect wants, and what came of it |
//! | [`tus`], [`rufh`], [`v2`] | the three dialects: from a request to a command, from an outcome to a reply |
//! | [`naming`] | what parts are called in the channel |
//! | [`pace`] | how many messages a minute a chat takes |
//! | [`seal`] | what the deletion of messages needs later |
//! | [`unfinished`] | the list of unfinished uploads |

mod append;
pub mod command;
mod finish;
pub mod id;
pub mod index_set;
pub mod naming;
pub mod pace;
pub mod part;
pub mod question;
pub mod resource;
pub mod rufh;
pub mod seal;
pub mod structured;
pub mod tus;
pub mod unfinished;
pub mod v2;

pub use finish::Due;

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
