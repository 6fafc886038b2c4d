//! How the body of a request is cut into parts.

use super::question::{Grant, Refusal};

/// The smallest tail that is worth a message when a connection breaks, in bytes. The client sends a
/// smaller one again.
pub const MIN_TAIL_BYTES: u64 = 1024 * 1024;

/// The parts of one request's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    part_bytes: u64,
    /// Bytes that the body may still bring.
    room: u64,
    /// Bytes that it still brings, if it said how many.
    announced: Option<u64>,
    /// Bytes of the part under way.
    in_part: u64,
    /// What a body that is too long is told.
    too_long: Refusal,
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It came whole.
    Whole,
    /// It broke off.
    Broken,
    /// It broke off, and counts as a whole or not at all: a checksum covers it, or it is a chunk.
    BrokenWhole,
}

/// What becomes of the part under way when a body has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// It is committed, as a short part if need be.
    Commit,
    /// It is dropped: its closing boundary is not written.
    Drop,
    /// There is none.
    Nothing,
}

impl Cut {
    /// Cuts a body that has this grant. `content_length` is what the request says.
    #[must_use]
    pub fn new(part_bytes: u64, grant: &Grant, content_length: Option<u64>) -> Self {
        let too_long = match grant.state.length {
            Some(length) => Refusal::LengthExceeded { length },
            None => Refusal::TooLarge {
                limit: grant.state.offset.saturating_add(grant.room),
            },
        };
        Self::within(part_bytes, grant.room, content_length, too_long)
    }

    fn within(part_bytes: u64, room: u64, content_length: Option<u64>, too_long: Refusal) -> Self {
        Self {
            part_bytes: part_bytes.max(1),
            room,
            announced: content_length,
            in_part: 0,
            too_long,
        }
    }

    /// Bytes of the next part, if they are known before it begins: its request to Telegram then has a
    /// length, and the body can be piped.
    #[must_use]
    pub fn next_part(&self) -> Option<u64> {
        self.announced.map(|bytes| bytes.min(self.part_bytes))
    }

    /// Takes bytes into the part under way, and returns how many of them belong to it. The others
    /// belong to the next part.
    ///
    /// # Errors
    /// The body brings more than it may. The part under way is then not committed.
    pub fn take(&mut self, bytes: u64) -> Result<u64, Refusal> {
        let taken = bytes.min(self.part_bytes - self.in_part);
        if taken > self.room {
            return Err(self.too_long);
        }
        self.room -= taken;
        self.announced = self.announced.map(|left| left.saturating_sub(taken));
        self.in_part += taken;
        Ok(taken)
    }

    /// Bytes of the part under way.
    #[must_use]
    pub fn in_part(&self) -> u64 {
        self.in_part
    }

    /// Whether the part under way is as large as a part may be.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.in_part == self.part_bytes
    }

    /// Whether nothing is left to come, as far as the request said.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.announced == Some(0)
    }

    /// The part under way is committed: the next one begins with the next byte.
    pub fn committed(&mut self) {
        self.in_part = 0;
    }

    /// What becomes of the part under way.
    #[must_use]
    pub fn tail(&self, end: End) -> Tail {
        match end {
            _ if self.in_part == 0 => Tail::Nothing,
            End::Whole => Tail::Commit,
            End::Broken if self.in_part >= MIN_TAIL_BYTES => Tail::Commit,
            End::Broken | End::BrokenWhole => Tail::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1024 * 1024;
    const TOO_LONG: Refusal = Refusal::LengthExceeded { length: 30 };

    fn cut_of(part_bytes: u64, room: u64, content_length: Option<u64>) -> Cut {
        Cut::within(part_bytes, room, content_length, TOO_LONG)
    }

    /// The sizes of the parts that a body makes which comes in pieces of this size.
    fn parts(body: u64, piece: u64, end: End) -> Vec<u64> {
        let mut cut = cut_of(20 * MB, u64::MAX, None);
        let (mut left, mut parts) = (body, Vec::new());
        while left > 0 {
            let mut bytes = left.min(piece);
            left -= bytes;
            while bytes > 0 {
                bytes -= cut.take(bytes).expect("room");
                if cut.is_full() {
                    parts.push(cut.in_part());
                    cut.committed();
                }
            }
        }
        if cut.tail(end) == Tail::Commit {
            parts.push(cut.in_part());
        }
        parts
    }

    #[test]
    fn a_body_is_cut_at_part_borders_whatever_its_pieces() {
        for piece in [1, 3, 7, 20, 64].map(|mb| mb * MB + 1) {
            assert_eq!(
                parts(50 * MB, piece, End::Whole),
                [20 * MB, 20 * MB, 10 * MB]
            );
            assert_eq!(parts(40 * MB, piece, End::Whole), [20 * MB, 20 * MB]);
        }
        assert_eq!(parts(1, MB, End::Whole), [1]);
        assert!(parts(0, MB, End::Whole).is_empty());
    }

    #[test]
    fn bytes_before_a_break_are_a_short_part_if_they_are_many_enough() {
        assert_eq!(parts(21 * MB, MB, End::Broken), [20 * MB, MB]);
        assert_eq!(parts(21 * MB - 1, MB, End::Broken), [20 * MB]);
        assert_eq!(parts(25 * MB, MB, End::BrokenWhole), [20 * MB]);
        assert_eq!(parts(20 * MB, MB, End::Broken), [20 * MB]);
    }

    #[test]
    fn a_body_that_says_its_length_has_parts_of_known_size() {
        let mut cut = cut_of(20, 100, Some(50));
        for (size, is_over) in [(20, false), (20, false), (10, true)] {
            assert_eq!(cut.next_part(), Some(size));
            assert_eq!(cut.take(size), Ok(size));
            assert_eq!(cut.is_over(), is_over);
            cut.committed();
        }
        assert_eq!(cut.next_part(), Some(0));
        assert_eq!(cut_of(20, 100, None).next_part(), None);
    }

    #[test]
    fn a_body_that_is_longer_than_it_may_be_is_refused() {
        let mut cut = cut_of(20, 30, None);
        assert_eq!(cut.take(25), Ok(20));
        cut.committed();
        assert_eq!(cut.take(10), Ok(10));
        assert_eq!(cut.take(1), Err(TOO_LONG));
    }
}
