//! Files of any size, up and back down: the protocols of resumable uploads, downloads, links.
//!
//! | file | what |
//! |---|---|
//! | [`command`] | what a request of any upload protocol wants, and what came of it |
//! | [`tus`] | tus 1.0.0 |
//! | [`rufh`], [`structured`] | Resumable Uploads for HTTP, and the field values that it uses |
//! | [`v2`] | `TeleStore` v2's chunk routes |
//! | [`digest`] | digests of bodies in header fields |
//! | [`range`] | which bytes a request asks for, and which slices of which parts hold them |
//! | [`known`] | what the isolate remembers of files |
//! | `bot` | where a file is, what it is, and its bytes |
//! | [`download`] | from a file id to a reply |
//! | [`disposition`] | the headers that say what a file is and whether a browser may show it |
//! | [`link`] | URLs that work without a header |

mod bot;
pub mod command;
pub mod digest;
pub mod disposition;
pub mod download;
pub mod known;
pub mod link;
pub mod range;
pub mod rufh;
pub mod structured;
pub mod tus;
pub mod v2;

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;

use crate::config::Config;
use crate::credentials::CredentialStore;
use known::KnownFiles;

/// The files of one isolate's users. Clones share what is remembered.
#[derive(Clone)]
pub struct FileStore {
    config: Rc<Config>,
    credentials: CredentialStore,
    known: Rc<RefCell<KnownFiles>>,
}

impl FileStore {
    /// A store that remembers nothing yet.
    #[must_use]
    pub fn new(config: Rc<Config>, credentials: CredentialStore) -> Self {
        Self {
            config,
            credentials,
            known: Rc::default(),
        }
    }
}
