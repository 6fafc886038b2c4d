//! The multipart parser and the form reader, against a naive reader of the whole body.
//!
//! The first line of the input is the `Content-Type`, the rest is the body.

use telestore_worker::multipart::boundary_of;
use telestore_worker::multipart::testing::{
    naive_boundary, naive_form, naive_parts, read_form, read_parts,
};

use crate::bytes::{chance, cut, split_once};

/// Up to this many bytes the naive reader's lack of caps on bytes makes no difference.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Runs the target.
pub fn run(data: &[u8]) {
    let Some((content_type, body)) = split_once(data, b"\r\n") else {
        return;
    };
    let Ok(content_type) = std::str::from_utf8(content_type) else {
        return;
    };
    let boundary = boundary_of(content_type);
    assert_eq!(boundary, naive_boundary(content_type));
    let Some(boundary) = boundary.ok().filter(|boundary| is_boundary(boundary)) else {
        return;
    };
    if body.len() > MAX_BODY_BYTES {
        return;
    }
    let pieces = || cut(body, chance(body));
    let parts = naive_parts(&boundary, body);
    assert_eq!(read_parts(&boundary, [body]), parts, "whole");
    assert_eq!(read_parts(&boundary, pieces()), parts, "in pieces");
    let form = naive_form(&boundary, body);
    assert_eq!(read_form(&boundary, [body]), form, "whole");
    assert_eq!(read_form(&boundary, pieces()), form, "in pieces");
}

/// Whether the parser takes it, which it has to by RFC 2046 section 5.1.1 and RFC 9110 section 5.6.2.
fn is_boundary(text: &str) -> bool {
    let fits = (1..=70).contains(&text.len())
        && !text.ends_with(' ')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"'()+_,-./:=? !#$%&*^`|~".contains(&b));
    let none: [&[u8]; 0] = [];
    let error = read_parts(text, none).expect_err("no body is no form");
    assert_eq!(
        error != telestore_worker::multipart::Malformed::Boundary,
        fits,
        "{text:?}"
    );
    fits
}
