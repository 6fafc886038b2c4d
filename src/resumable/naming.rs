//! What the parts of a large file are called in the channel.
//!
//! `cat <name>.* > <name>` puts a file together from its parts alone, so the names sort as the parts
//! do. Nobody knows in advance how many parts a file will have, since every break adds one: from the
//! thousandth on the number continues as `.999x000001`, which sorts after `.999` and its pieces.

/// The last part whose number stands by itself.
const LAST_SHORT_NUMBER: u32 = 999;

/// Where a part stands in its file.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Place {
    /// From 1: the part, or the client's chunk.
    pub number: u32,
    /// From 0: the piece of a chunk that is larger than a part may be.
    pub piece: u32,
}

impl Place {
    /// The place as a key that sorts like it.
    #[must_use]
    pub fn key(self) -> String {
        format!("{:08}.{:04}", self.number, self.piece)
    }

    /// What a part at this place is called.
    #[must_use]
    pub fn part_name(self, file_name: &str) -> String {
        let number = match self.number.checked_sub(LAST_SHORT_NUMBER) {
            None | Some(0) => format!("{:03}", self.number),
            Some(beyond) => format!("{LAST_SHORT_NUMBER}x{beyond:06}"),
        };
        match self.piece {
            0 => format!("{file_name}.{number}"),
            piece => format!("{file_name}.{number}.{piece:03}"),
        }
    }
}

/// What the manifest of a file is called.
#[must_use]
pub fn manifest_name(file_name: &str) -> String {
    format!("{file_name}.parts.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u32, piece: u32) -> String {
        Place { number, piece }.part_name("a.iso")
    }

    #[test]
    fn parts_are_numbered_with_three_digits() {
        assert_eq!(name(1, 0), "a.iso.001");
        assert_eq!(name(999, 0), "a.iso.999");
        assert_eq!(name(1000, 0), "a.iso.999x000001");
        assert_eq!(name(7, 2), "a.iso.007.002");
        assert_eq!(manifest_name("a.iso"), "a.iso.parts.json");
    }

    #[test]
    fn names_and_keys_sort_as_the_parts_do() {
        let places = || {
            let numbers = (1..1010).chain([9_999, 10_000]);
            numbers.flat_map(|number| (0..3).map(move |piece| Place { number, piece }))
        };
        let names: Vec<String> = places().map(|place| place.part_name("a")).collect();
        let keys: Vec<String> = places().map(Place::key).collect();
        assert!(names.is_sorted());
        assert!(keys.is_sorted());
    }
}
