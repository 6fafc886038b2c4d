//! What wrangler.toml says of the worker.
//!
//! The launchers read the bindings from it, so that a Durable Object is declared at one place.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// The part of wrangler.toml that a host needs.
#[derive(Clone, Debug, Deserialize)]
pub struct Wrangler {
    /// The date whose runtime behaviour the worker asks for.
    pub compatibility_date: String,
    #[serde(default)]
    durable_objects: DurableObjects,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct DurableObjects {
    #[serde(default)]
    bindings: Vec<Binding>,
}

/// A binding to a class of Durable Objects.
#[derive(Clone, Debug, Deserialize)]
pub struct Binding {
    /// The binding's name.
    pub name: String,
    /// The class that the worker exports.
    pub class_name: String,
}

impl Wrangler {
    /// Reads the repository's wrangler.toml.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read() -> io::Result<Self> {
        let path = root().join("wrangler.toml");
        let text = fs::read_to_string(&path)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        toml::from_str(&text).map_err(io::Error::other)
    }

    /// The Durable Objects.
    #[must_use]
    pub fn objects(&self) -> &[Binding] {
        &self.durable_objects.bindings
    }
}

/// The repository's folder.
#[must_use]
pub fn root() -> PathBuf {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR"));
    kit.parent().unwrap_or(kit).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bindings_are_those_of_the_file() {
        let wrangler = Wrangler::read().expect("it is there");
        let text = fs::read_to_string(root().join("wrangler.toml")).expect("it is there");
        let declared = text.matches("\n[[durable_objects.bindings]]\n").count();
        assert!(declared > 0);
        assert_eq!(wrangler.objects().len(), declared);
    }
}
