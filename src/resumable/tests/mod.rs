mod bench;
mod model;
mod upload;

use super::question::{FileDescription, Shape, State};

/// An upload of that name that has so many bytes and is complete.
pub(super) fn state_of(name: &str, size: u64) -> State {
    State {
        offset: size,
        length: Some(size),
        shape: Shape::Partial,
        file: FileDescription {
            name: name.to_owned(),
            ..FileDescription::default()
        },
        destination: bench::destination(),
        echoed: std::collections::BTreeMap::new(),
        received: Vec::new(),
        parts: 0,
        is_complete: true,
        finished: None,
        expires_at: 0,
        created_at: 0,
        unknown_orphans: 0,
    }
}
