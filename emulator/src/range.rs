//! One range of a file's bytes, as nginx, which serves Telegram's files, reads `Range`.

use std::ops::Range;

/// What a `Range` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing that is understood, or more than one range: the whole file.
    Whole,
    /// These bytes.
    Bytes(Range<u64>),
    /// Bytes that the file does not have.
    Beyond,
}

/// Reads the header for a file of `size` bytes.
pub(crate) fn asked(header: &str, size: u64) -> Asked {
    let Some((first, last)) = header
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
    else {
        return Asked::Whole;
    };
    let bytes = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..size.min(last.saturating_add(1)),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(suffix)) if first.is_empty() => size.saturating_sub(suffix)..size,
        _ => return Asked::Whole,
    };
    if bytes.is_empty() {
        Asked::Beyond
    } else {
        Asked::Bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_clamped_to_the_file() {
        for (header, wanted) in [
            ("bytes=0-0", Asked::Bytes(0..1)),
            ("bytes=2-", Asked::Bytes(2..10)),
            ("bytes=2-100", Asked::Bytes(2..10)),
            ("bytes=-3", Asked::Bytes(7..10)),
            ("bytes=-30", Asked::Bytes(0..10)),
            ("bytes=10-", Asked::Beyond),
            ("bytes=-0", Asked::Beyond),
            ("bytes=3-2", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("lines=1-2", Asked::Whole),
        ] {
            assert_eq!(asked(header, 10), wanted, "{header}");
        }
    }
}
