//! A set of chunk indices, as short as the gaps in it are few.

use serde::{Deserialize, Serialize};

/// Indices as ranges in ascending order, each with its first index and the one after its last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexSet(Vec<(u32, u32)>);

impl IndexSet {
    /// Adds an index.
    pub fn insert(&mut self, index: u32) {
        if self.contains(index) {
            return;
        }
        let at = self.0.partition_point(|&(first, _)| first <= index);
        self.0.insert(at, (index, index + 1));
        self.0 = std::mem::take(&mut self.0).into_iter().fold(
            Vec::new(),
            |mut merged: Vec<(u32, u32)>, range| {
                match merged.last_mut() {
                    Some(last) if last.1 == range.0 => last.1 = range.1,
                    _ => merged.push(range),
                }
                merged
            },
        );
    }

    /// Whether an index is in it.
    #[must_use]
    pub fn contains(&self, index: u32) -> bool {
        self.0
            .iter()
            .any(|&(first, end)| (first..end).contains(&index))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.0.iter().map(|(first, end)| end - first).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|&(first, end)| first..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_put_into_it_in_any_order() {
        let mut set = IndexSet::default();
        for index in [5, 3, 4, 0, 9, 4, 1] {
            set.insert(index);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 1, 3, 4, 5, 9]);
        assert_eq!(set.len(), 6);
        assert!(set.contains(4) && !set.contains(2) && !set.contains(10));
        assert_eq!(set.0, [(0, 2), (3, 6), (9, 10)]);
    }
}
