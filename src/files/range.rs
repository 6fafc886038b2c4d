//! Which bytes a request asks for (RFC 9110 sections 13 and 14), and which slices of a file's parts
//! hold them.

use std::ops::Range;

use crate::http::Conditions;

/// Which bytes of a file are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of it: 200.
    Whole,
    /// These bytes: 206.
    Bytes(Range<u64>),
    /// None, because the client has the file: 304.
    NotModified,
    /// None, because the client wants another version of the file: 412.
    PreconditionFailed,
    /// None, because the file has no such bytes: 416.
    NotSatisfiable,
}

/// Decides which bytes of a file of `size` bytes are sent. `etag` is strong, and includes its quotes.
///
/// The order is that of RFC 9110 section 13.2.2. A range applies only to GET (section 14.2). `If-Range`
/// compares strongly (section 13.1.5), and a date never matches, because there is no `Last-Modified`.
#[must_use]
pub fn select(conditions: &Conditions, is_get: bool, etag: &str, size: u64) -> Selection {
    let strong = |tag: &str| tag == etag;
    let weak = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag) == etag;
    if let Some(list) = &conditions.if_match
        && !lists(list, strong)
    {
        return Selection::PreconditionFailed;
    }
    if let Some(list) = &conditions.if_none_match
        && lists(list, weak)
    {
        return Selection::NotModified;
    }
    let same_version = conditions
        .if_range
        .as_deref()
        .is_none_or(|tag| strong(tag.trim()));
    match conditions
        .range
        .as_deref()
        .filter(|_| is_get && same_version)
    {
        Some(header) => selected_range(header, size),
        None => Selection::Whole,
    }
}

/// Whether a list of entity tags contains this one. `*` matches every existing file.
fn lists(list: &str, is_it: impl Fn(&str) -> bool) -> bool {
    list.trim() == "*" || list.split(',').any(|tag| is_it(tag.trim()))
}

/// One range. A header that is malformed, has another unit, or has several ranges is ignored, as RFC
/// 9110 section 14.2 allows.
fn selected_range(header: &str, size: u64) -> Selection {
    let Some((unit, set)) = header.split_once('=') else {
        return Selection::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Selection::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else {
        return Selection::Whole;
    };
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(first) || !is_number(last) {
        return Selection::Whole;
    }
    // A number that does not fit is larger than any file.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let range = match (first, last) {
        ("", "") => return Selection::Whole,
        ("", suffix) => size.saturating_sub(number(suffix))..size,
        (first, "") => number(first)..size,
        (first, last) if number(last) < number(first) => return Selection::Whole,
        (first, last) => number(first)..number(last).saturating_add(1).min(size),
    };
    if range.is_empty() {
        Selection::NotSatisfiable
    } else {
        Selection::Bytes(range)
    }
}

/// A section of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The index of the part, from 0.
    pub part: usize,
    /// Bytes of the part; never empty.
    pub range: Range<u64>,
    /// Bytes of the whole part.
    pub part_bytes: u64,
}

impl Slice {
    /// Bytes of the slice.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether it has no bytes. The slices of a range are never empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Whether it is the whole part.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.len() == self.part_bytes
    }
}

/// The slices that hold these bytes of a file with parts of these sizes, in order.
pub fn slices(
    sizes: impl IntoIterator<Item = u64>,
    bytes: Range<u64>,
) -> impl Iterator<Item = Slice> {
    let mut begin = 0_u64;
    sizes
        .into_iter()
        .enumerate()
        .filter_map(move |(part, size)| {
            let end = begin.saturating_add(size);
            let (from, to) = (bytes.start.max(begin), bytes.end.min(end));
            let slice = (from < to).then(|| Slice {
                part,
                range: from - begin..to - begin,
                part_bytes: size,
            });
            begin = end;
            slice
        })
}

/// The value of `Content-Range` for these bytes of a file (RFC 9110 section 14.4).
#[must_use]
pub fn content_range(bytes: &Range<u64>, size: u64) -> String {
    format!(
        "bytes {}-{}/{size}",
        bytes.start,
        bytes.end.saturating_sub(1)
    )
}

/// Whether a received `Content-Range` names exactly these bytes.
#[must_use]
pub fn is_range(header: &str, bytes: &Range<u64>) -> bool {
    let said = || {
        let (unit, rest) = header.trim().split_once(' ')?;
        let (range, _) = rest.split_once('/')?;
        let (first, last) = range.trim().split_once('-')?;
        let bounds = first.parse::<u64>().ok()?..last.parse::<u64>().ok()?.checked_add(1)?;
        unit.eq_ignore_ascii_case("bytes").then_some(bounds)
    };
    said().as_ref() == Some(bytes)
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use proptest::prelude::*;

    use super::Selection::{Bytes, NotModified, NotSatisfiable, PreconditionFailed, Whole};
    use super::*;

    const TAG: &str = "\"v1\"";

    fn given(header: &str, value: &str) -> Conditions {
        let value = Some(value.to_owned());
        let mut conditions = Conditions::default();
        match header {
            "range" => conditions.range = value,
            "if-range" => conditions.if_range = value,
            "if-match" => conditions.if_match = value,
            _ => conditions.if_none_match = value,
        }
        conditions
    }

    #[test]
    fn one_range_is_clamped_and_all_else_is_ignored() {
        for (header, selection) in [
            ("bytes=0-0", Bytes(0..1)),
            ("bytes=0-9", Bytes(0..10)),
            ("bytes=0-99999", Bytes(0..100)),
            ("bytes=10-", Bytes(10..100)),
            ("bytes=99-", Bytes(99..100)),
            ("bytes=-1", Bytes(99..100)),
            ("bytes=-100", Bytes(0..100)),
            ("bytes=-1000", Bytes(0..100)),
            ("BYTES = 5-6 ", Bytes(5..7)),
            ("bytes=0-99999999999999999999999", Bytes(0..100)),
            ("bytes=-99999999999999999999999", Bytes(0..100)),
            ("bytes=100-", NotSatisfiable),
            ("bytes=100-200", NotSatisfiable),
            ("bytes=-0", NotSatisfiable),
            ("bytes=99999999999999999999999-", NotSatisfiable),
            ("bytes=0-1,5-6", Whole),
            ("bytes=0-1,", Whole),
            ("bytes=6-5", Whole),
            ("bytes=-", Whole),
            ("bytes=", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1 - 2", Whole),
            ("bytes=--1", Whole),
            ("items=0-1", Whole),
            ("0-1", Whole),
            ("", Whole),
        ] {
            assert_eq!(
                select(&given("range", header), true, TAG, 100),
                selection,
                "{header}"
            );
            assert_eq!(
                select(&given("range", header), false, TAG, 100),
                Whole,
                "a range is for GET alone: {header}"
            );
        }
    }

    #[test]
    fn if_range_compares_strongly() {
        for (tag, selection) in [
            ("\"v1\"", Bytes(1..2)),
            (" \"v1\" ", Bytes(1..2)),
            ("W/\"v1\"", Whole),
            ("\"v2\"", Whole),
            ("Tue, 01 Jan 2030 00:00:00 GMT", Whole),
        ] {
            let conditions = Conditions {
                range: Some("bytes=1-1".to_owned()),
                ..given("if-range", tag)
            };
            assert_eq!(select(&conditions, true, TAG, 100), selection, "{tag}");
        }
    }

    #[test]
    fn a_client_that_has_the_file_gets_nothing() {
        for (list, selection) in [
            ("\"v1\"", NotModified),
            ("W/\"v1\"", NotModified),
            ("\"x\", \"v1\"", NotModified),
            ("*", NotModified),
            ("\"v2\"", Whole),
            ("v1", Whole),
        ] {
            for is_get in [true, false] {
                let conditions = given("if-none-match", list);
                assert_eq!(select(&conditions, is_get, TAG, 100), selection, "{list}");
            }
        }
        let both = Conditions {
            range: Some("bytes=1000-".to_owned()),
            ..given("if-none-match", TAG)
        };
        assert_eq!(select(&both, true, TAG, 100), NotModified);
    }

    #[test]
    fn if_match_wants_just_this_version() {
        for (list, selection) in [
            ("\"v1\"", Whole),
            ("*", Whole),
            ("W/\"v1\"", PreconditionFailed),
            ("\"v2\"", PreconditionFailed),
        ] {
            assert_eq!(
                select(&given("if-match", list), true, TAG, 100),
                selection,
                "{list}"
            );
        }
    }

    #[test]
    fn only_the_very_range_is_recognised() {
        for (header, is_it) in [
            ("bytes 5-9/100", true),
            ("Bytes 5-9/*", true),
            ("bytes 0-9/100", false),
            ("bytes 5-10/100", false),
            ("bytes */100", false),
            ("bytes 5-18446744073709551615/*", false),
            ("", false),
        ] {
            assert_eq!(is_range(header, &(5..10)), is_it, "{header}");
        }
        assert!(is_range(&content_range(&(5..10), 100), &(5..10)));
    }

    proptest! {
        #[test]
        fn slices_hold_the_range_and_nothing_else(
            sizes in prop::collection::vec(1_u64..9, 1..9),
            a in 0_u64..80,
            b in 0_u64..80,
        ) {
            let size: u64 = sizes.iter().sum();
            let bytes = a.min(b).min(size)..a.max(b).min(size);
            let file: Vec<(usize, u64)> = sizes
                .iter()
                .enumerate()
                .flat_map(|(part, size)| (0..*size).map(move |at| (part, at)))
                .collect();
            let (start, end) = (usize::try_from(bytes.start)?, usize::try_from(bytes.end)?);
            let cut: Vec<(usize, u64)> = slices(sizes.iter().copied(), bytes)
                .flat_map(|slice| slice.range.map(move |at| (slice.part, at)))
                .collect();
            prop_assert_eq!(&cut[..], &file[start..end]);
        }

        #[test]
        fn no_header_makes_a_range_that_the_file_has_not(header in "\\PC{0,30}", size in any::<u64>()) {
            let header = format!("bytes={header}");
            if let Bytes(range) = select(&given("range", &header), true, TAG, size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }
    }
}
