//! A resumable upload: what is remembered of it, and how that changes. It knows no protocol and no
//! network; `files` translates the protocols, and `objects` keeps what is remembered.
//!
//! | file | what |
//! |---|---|
//! | [`resource`] | one upload resource; `append` and `finish` have its two halves |
//! | [`question`] | what it is asked, and what it answers |
//! | [`completion`] | what a finished upload is: its notification and its receipt |
//! | [`cut`] | how a request's body is cut into parts |
//! | [`manifest`] | the document that names the parts of a large file |
//! | [`naming`] | where a part stands, and what it is called in the channel |
//! | [`pace`] | how many messages a minute a chat takes |
//! | [`seal`] | what the deletion of messages needs later |
//! | [`unfinished`] | the list of unfinished uploads |
//! | [`id`] | names of upload resources |

mod append;
pub mod completion;
pub mod cut;
mod finish;
pub mod id;
pub mod index_set;
pub mod manifest;
pub mod naming;
pub mod pace;
pub mod question;
pub mod resource;
pub mod seal;
pub mod unfinished;

pub use finish::Due;

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
