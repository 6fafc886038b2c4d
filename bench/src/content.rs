//! What is in the files.
//!
//! Every file is a piece of one pseudo-random run of bytes, and its name says which piece and whose.
//! So the sink can check a file without knowing the upload, and a client sends it without a copy.

use bytes::Bytes;
use testkit::random::Random;

/// The largest file, in bytes.
pub(crate) const LARGE_BYTES: usize = 50_000_000;
/// Room for files of the largest size that are not the same.
const SPARE_BYTES: usize = 1_000_000;
/// One window in so many bytes is compared: all of them would cost as much as receiving them.
const STRIDE_BYTES: usize = 4096;
const WINDOW_BYTES: usize = 64;

/// The run of bytes. Clones share it.
#[derive(Clone)]
pub(crate) struct Content(Bytes);

/// A user's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct File {
    /// The user's number.
    pub(crate) user: u64,
    /// Where in the run it begins.
    pub(crate) offset: usize,
    /// In bytes.
    pub(crate) size: usize,
}

impl Content {
    pub(crate) fn new() -> Self {
        let mut random = Random::new(1);
        let words = (LARGE_BYTES + SPARE_BYTES) / size_of::<u64>();
        let bytes: Vec<u8> = (0..words)
            .flat_map(|_| random.next_u64().to_le_bytes())
            .collect();
        Self(bytes.into())
    }

    /// A file's bytes.
    pub(crate) fn of(&self, file: File) -> Bytes {
        self.0.slice(file.offset..file.offset + file.size)
    }

    /// An offset at which a file of that size can begin; different ones for different seeds.
    pub(crate) fn offset(&self, seed: usize, size: usize) -> usize {
        seed.wrapping_mul(4099) % (self.0.len() - size)
    }

    /// Whether `bytes` are those at `offset`, as far as the windows show. A read's first and last bytes
    /// are always looked at: where pieces meet is where they get lost or doubled.
    pub(crate) fn matches(&self, offset: usize, bytes: &[u8]) -> bool {
        let Some(expected) = self.0.get(offset..offset + bytes.len()) else {
            return false;
        };
        let mut strides = bytes
            .chunks(STRIDE_BYTES)
            .zip(expected.chunks(STRIDE_BYTES));
        strides.all(|(a, b)| a.iter().take(WINDOW_BYTES).eq(b.iter().take(WINDOW_BYTES)))
            && bytes
                .iter()
                .rev()
                .take(WINDOW_BYTES)
                .eq(expected.iter().rev().take(WINDOW_BYTES))
    }
}

impl File {
    /// The file's name.
    pub(crate) fn name(self) -> String {
        format!(
            "user-{}-at-{}-size-{}.bin",
            self.user, self.offset, self.size
        )
    }

    /// The file that has this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let mut numbers = name
            .split(['-', '.'])
            .filter_map(|word| word.parse::<u64>().ok());
        let file = Self {
            user: numbers.next()?,
            offset: usize::try_from(numbers.next()?).ok()?,
            size: usize::try_from(numbers.next()?).ok()?,
        };
        (file.name() == name).then_some(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_file() {
        let file = File {
            user: 7,
            offset: 12,
            size: 345,
        };
        assert_eq!(File::from_name(&file.name()), Some(file));
        assert_eq!(File::from_name("user-7-at-12-size-.bin"), None);
        assert_eq!(File::from_name("other-7-at-12-size-345.bin"), None);
    }

    #[test]
    fn a_piece_from_elsewhere_does_not_match() {
        let content = Content::new();
        let file = File {
            user: 1,
            offset: 5,
            size: 100_000,
        };
        let bytes = content.of(file);
        assert!(content.matches(5, &bytes));
        assert!(!content.matches(6, &bytes));
        assert!(!content.matches(LARGE_BYTES + SPARE_BYTES, &bytes));
        let mut doubled = bytes.to_vec();
        doubled.splice(90_000..90_001, [0, 0]);
        doubled.truncate(100_000);
        assert!(!content.matches(5, &doubled));
    }
}
