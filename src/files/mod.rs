//! Files that come back: downloads, ranges, large files and their manifests, links.
//!
//! | file | what |
//! |---|---|
//! | [`manifest`] | the document that names the parts of a large file |
//! | [`range`] | which bytes a request asks for, and which slices of which parts hold them |
//! | [`known`] | what the isolate remembers of files |
//! | [`download`] | from a file id to a reply |
//! | [`disposition`] | the headers that say what a file is and whether a browser may show it |
//! | [`link`] | URLs that work without a header |

pub mod disposition;
pub mod download;
pub mod known;
pub mod link;
pub mod manifest;
pub mod range;
