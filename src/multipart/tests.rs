//! The parser at every split point, against a naive oracle, and with what clients really send.

use proptest::prelude::*;

use super::envelope::{Envelope, passable_content_type};
use super::form::{FormReader, MAX_FIELD_BYTES};
use super::parser::{MAX_PADDING_BYTES, MAX_PART_HEADER_BYTES, Parser};
use super::testing::{WholeForm, naive_boundary, naive_form, naive_parts, read_form, read_parts};
use super::{Malformed, PartHead, boundary_of};

const PLAIN: &[u8] = b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\r\n\
content-disposition: form-data; name=file; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\n\
\r\n--\r\n-\r\r\n--a\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--b--\r\n";

#[test]
fn every_split_in_three_gives_the_same_parts() {
    let expected = naive_parts("b", PLAIN).expect("well formed");
    assert_eq!(expected.len(), 3);
    assert_eq!(expected[1].content, b"\r\n--\r\n-\r\r\n--a\r\n");
    assert_eq!(expected[2].content, b"");
    for first in 0..=PLAIN.len() {
        for second in first..=PLAIN.len() {
            let slices = [&PLAIN[..first], &PLAIN[first..second], &PLAIN[second..]];
            assert_eq!(
                read_parts("b", slices).as_ref(),
                Ok(&expected),
                "{first} {second}"
            );
        }
    }
    let bytes = PLAIN.chunks(1);
    assert_eq!(read_parts("b", bytes), Ok(expected));
}

#[test]
fn a_body_that_ends_anywhere_before_the_closing_boundary_is_truncated() {
    let closing = PLAIN.len() - 2;
    for end in 0..closing {
        assert_eq!(
            read_parts("b", [&PLAIN[..end]]),
            Err(Malformed::Truncated),
            "{end}"
        );
        assert_eq!(
            read_parts("b", PLAIN[..end].chunks(1)),
            Err(Malformed::Truncated),
            "{end}"
        );
    }
    assert!(read_parts("b", [&PLAIN[..closing]]).is_ok());
}

/// Bodies of pieces that look like delimiters, headers, and neither.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        &b"\r\n--bb"[..],
        b"\r\n--b",
        b"\r\n--",
        b"\r\n",
        b"\r",
        b"\n",
        b"-",
        b"--",
        b"b",
        b" ",
        b"x",
        b"\r\n--bb\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n",
        b"\r\n--bb\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n\"\r\n\r\n",
        b"\r\n--bb--",
        b"\r\n--bb-- \t",
        b"\r\n--bb--\r\n",
        b"\r\n\r\n--bb",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| {
        [
            &b"--bb\r\nContent-Disposition: form-data; name=\"first\"\r\n\r\n"[..],
            &pieces.concat(),
        ]
        .concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_body_at_any_splits_reads_as_the_oracle_says(
        body in bodies(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.sort_unstable();
        let mut slices = Vec::new();
        let mut start = 0;
        for cut in cuts {
            slices.push(&body[start..cut]);
            start = cut;
        }
        slices.push(&body[start..]);
        prop_assert_eq!(read_parts("bb", slices.iter().copied()), naive_parts("bb", &body));
        prop_assert_eq!(read_parts("bb", body.chunks(1)), naive_parts("bb", &body));
        prop_assert_eq!(read_form("bb", slices), naive_form("bb", &body));
    }

    #[test]
    fn any_content_type_has_the_boundary_that_the_oracle_says(
        content_type in "multipart/form-data(; ?(boundary|x|BOUNDARY)?[= ]?[a\"\\\\;= ]{0,6}){0,4}",
    ) {
        prop_assert_eq!(boundary_of(&content_type), naive_boundary(&content_type));
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..400), size in 1..40usize) {
        let _ = read_parts("b", body.chunks(size));
        let mut form = FormReader::new("b").expect("boundary");
        for slice in body.chunks(size) {
            let mut cursor = 0;
            while let Ok(Some(_)) = form.next(slice, &mut cursor) {}
        }
    }
}

fn part(head: &str, content: &str) -> String {
    format!("--b\r\n{head}\r\n\r\n{content}\r\n")
}

fn head_of(disposition: &str) -> Result<PartHead, Malformed> {
    let body = part(&format!("Content-Disposition: {disposition}"), "x") + "--b--";
    read_parts("b", [body.as_bytes()]).map(|mut parts| parts.remove(0).head)
}

fn filename_of(written: &str) -> Option<String> {
    head_of(&format!("form-data; name=\"file\"; {written}"))
        .expect("head")
        .filename
}

#[test]
fn names_are_read_as_clients_write_them() {
    for (written, name) in [
        (r#"filename="plain.txt""#, "plain.txt"),
        (r#"filename="Übung 日本 🎉.txt""#, "Übung 日本 🎉.txt"),
        (r#"filename="a %22quoted%22.txt""#, r#"a "quoted".txt"#),
        (r#"filename="100%25.txt""#, "100%25.txt"),
        (r#"filename="line%0D%0Abreak""#, "line\r\nbreak"),
        (r#"filename="a \"quoted\".txt""#, r#"a "quoted".txt"#),
        (r#"filename="C:\dir\file.txt""#, r"C:\dir\file.txt"),
        (r#"filename="a\\b.txt""#, r"a\b.txt"),
        (r#"filename="ends in backslash\""#, r"ends in backslash\"),
        (
            r#"filename="ends in backslash\"; size=1"#,
            r"ends in backslash\",
        ),
        (r#"filename="a; b=c.txt""#, "a; b=c.txt"),
        (r"filename=token.txt", "token.txt"),
        (r#"FileName = "spaced""#, "spaced"),
        (r#"filename="""#, ""),
        (r#"filename="never closed"#, "never closed"),
    ] {
        assert_eq!(filename_of(written).as_deref(), Some(name), "{written}");
    }
}

#[test]
fn an_extended_filename_is_ignored() {
    assert_eq!(filename_of("filename*=UTF-8''other.txt"), None);
    let both = filename_of("filename*=UTF-8''other.txt; filename=\"plain.txt\"");
    assert_eq!(both.as_deref(), Some("plain.txt"));
}

#[test]
fn a_name_that_is_not_utf8_is_read_with_replacements() {
    let mut body = part(
        "Content-Disposition: form-data; name=\"f\"; filename=\"?\"",
        "x",
    ) + "--b--";
    let at = body.find('?').expect("placeholder");
    let mut bytes = std::mem::take(&mut body).into_bytes();
    bytes[at] = 0xff;
    let parts = read_parts("b", [&bytes[..]]).expect("readable");
    assert_eq!(parts[0].head.filename.as_deref(), Some("\u{fffd}"));
}

#[test]
fn a_part_without_a_name_is_refused() {
    for head in [
        "X-Other: 1",
        "Content-Disposition: form-data",
        "Content-Disposition: form-data; filename=\"x\"",
        "Content-Disposition: attachment; name=\"x\"",
        "Content-Type: text/plain",
    ] {
        let body = part(head, "x") + "--b--";
        assert_eq!(
            read_parts("b", [body.as_bytes()]),
            Err(Malformed::NoName),
            "{head}"
        );
    }
    assert_eq!(
        read_parts("b", [&b"--b\r\n\r\nx\r\n--b--"[..]]),
        Err(Malformed::NoName)
    );
}

#[test]
fn headers_that_are_none_are_refused() {
    for head in [
        "no colon",
        ": no name",
        "two words: x",
        "A: 1\r\n folded: x",
        "A: nul\0",
        "A: lone\rcr",
        "A: lone\nlf",
    ] {
        let body = part(
            &format!("{head}\r\nContent-Disposition: form-data; name=\"a\""),
            "x",
        );
        assert_eq!(
            read_parts("b", [body.as_bytes()]),
            Err(Malformed::Header),
            "{head:?}"
        );
    }
}

#[test]
fn the_caps_hold_at_their_edge_however_the_body_is_cut() {
    let disposition = "Content-Disposition: form-data; name=\"a\"";
    let filler = |bytes: usize| format!("X: {}", "x".repeat(bytes - 3));
    let head = |bytes: usize| format!("{disposition}\r\n{}", filler(bytes - disposition.len() - 2));
    let lines = |count: usize| format!("{disposition}{}", "\r\nX: 1".repeat(count - 1));
    let parts = |count: usize| part(disposition, "x").repeat(count) + "--b--";
    let preamble =
        |bytes: usize| format!("{}\r\n{}--b--", "p".repeat(bytes), part(disposition, "x"));
    let epilogue =
        |bytes: usize| format!("{}--b--\r\n{}", part(disposition, "x"), "e".repeat(bytes));
    let one = |head: String| part(&head, "x") + "--b--";
    for (fits, too_much, error) in [
        (
            one(head(MAX_PART_HEADER_BYTES)),
            one(head(MAX_PART_HEADER_BYTES + 1)),
            Malformed::HeaderTooLong,
        ),
        (one(lines(32)), one(lines(33)), Malformed::TooManyHeaders),
        (parts(100), parts(101), Malformed::TooManyParts),
        (
            preamble(MAX_PADDING_BYTES - 2),
            preamble(MAX_PADDING_BYTES + 1),
            Malformed::Preamble,
        ),
        (
            epilogue(MAX_PADDING_BYTES),
            epilogue(MAX_PADDING_BYTES + 1),
            Malformed::Epilogue,
        ),
    ] {
        for size in [1, 7, 4096, usize::MAX] {
            let size = size.min(too_much.len());
            assert!(
                read_parts("b", fits.as_bytes().chunks(size)).is_ok(),
                "{error:?} {size}"
            );
            assert_eq!(
                read_parts("b", too_much.as_bytes().chunks(size)),
                Err(error.clone()),
                "{size}"
            );
        }
    }
}

#[test]
fn blanks_behind_a_boundary_are_transport_padding() {
    let body = b"--b \t \r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--b--";
    assert_eq!(read_parts("b", [&body[..]]).map(|parts| parts.len()), Ok(1));
    assert_eq!(
        read_parts("b", [&b"--bX\r\n"[..]]),
        Err(Malformed::Delimiter)
    );
    assert_eq!(read_parts("b", [&b"--b-X"[..]]), Err(Malformed::Delimiter));
    assert_eq!(read_parts("b", [&b"--b\nX"[..]]), Err(Malformed::Delimiter));
}

/// RFC 2046 section 5.1.1: `body-part := MIME-part-headers [CRLF *OCTET]`. After the header block's
/// empty line, `--boundary` is a delimiter, so the part is empty, and what follows is another part.
#[test]
fn a_boundary_right_after_the_headers_is_not_content() {
    for (head, rest) in [
        ("form-data; name=\"file\"; filename=\"f\"", "--b--\r\n"),
        ("form-data; name=\"file\"; filename=\"f\"", "--b\r\nx"),
        ("form-data; name=\"file\"; filename=\"f\"", "--bx"),
        ("form-data; name=\"file\"; filename=\"\"", "--b--"),
        ("form-data; name=\"userId\"", "--b--\r\n"),
    ] {
        let body = format!("--b\r\nContent-Disposition: {head}\r\n\r\n{rest}");
        for size in 1..=body.len() {
            let slices = || body.as_bytes().chunks(size);
            assert_eq!(read_parts("b", slices()), Err(Malformed::EmptyPart));
            assert_eq!(read_form("b", slices()), Err(Malformed::EmptyPart));
        }
    }
    for content in ["-", "--", "--a", "---b", "-\r\n--a", "\r\n", "--\r"] {
        let body = file("file", "f", content) + "--b--";
        for size in 1..=body.len() {
            let form = read_form("b", body.as_bytes().chunks(size)).expect(content);
            let (_, read) = form.file.expect(content);
            assert_eq!(read, content.as_bytes(), "pieces of {size}");
        }
    }
}

/// RFC 2046 section 5.1.1: `close-delimiter transport-padding [CRLF epilogue]`. Another reader takes
/// `--boundary--junk` for content, so the file would be cut there without anybody's notice.
#[test]
fn only_blanks_and_the_end_of_the_line_follow_the_closing_boundary() {
    let body = |end: &str| file("file", "f", "x") + "--b--" + end;
    for (end, expected) in [
        ("", None),
        (" \t ", None),
        ("\r\n", None),
        (" \r\nepilogue\r\n--b\r\n", None),
        ("junk", Some(Malformed::Delimiter)),
        ("-", Some(Malformed::Delimiter)),
        (" junk", Some(Malformed::Delimiter)),
        ("\n", Some(Malformed::Delimiter)),
        ("\rx", Some(Malformed::Delimiter)),
        // Cut off within the line break, which is not part of the delimiter.
        ("\r", None),
    ] {
        let body = body(end);
        for size in [1, 2, body.len()] {
            let read = read_form("b", body.as_bytes().chunks(size));
            assert_eq!(read.err(), expected, "{end:?} in pieces of {size}");
        }
    }
    let padded = body(&" ".repeat(MAX_PADDING_BYTES + 1));
    assert_eq!(form_of(&padded), Err(Malformed::Delimiter));
}

/// Android's apps send `*****`, which RFC 2046 does not allow and every server takes. A token
/// (RFC 9110 section 5.6.2) needs no quotes in the `Content-Type`.
#[test]
fn boundaries_are_made_of_the_characters_of_rfc_2046_or_of_a_token() {
    assert!(Parser::new(&"x".repeat(70)).is_ok());
    assert!(Parser::new("----WebKitFormBoundary7MA4YWxkTrZu0gW").is_ok());
    assert!(Parser::new("a'()+_,-./:=? b").is_ok());
    assert!(Parser::new("!#$%&'*+-.^_`|~").is_ok());
    let head = "Content-Disposition: form-data; name=\"a\"";
    for boundary in ["*****", "$"] {
        let content_type = format!("multipart/form-data; boundary={boundary}");
        assert_eq!(boundary_of(&content_type).as_deref(), Ok(boundary));
        let body = format!("--{boundary}\r\n{head}\r\n\r\nx\r\n--{boundary}--\r\n");
        let parts = read_parts(boundary, body.as_bytes().chunks(3)).expect(boundary);
        assert_eq!(parts[0].content, b"x");
    }
    for boundary in [
        "",
        &"x".repeat(71),
        "ends with a blank ",
        "ümlaut",
        "a\r\nb",
        "a\"b",
        "a;b",
    ] {
        assert_eq!(
            Parser::new(boundary).err(),
            Some(Malformed::Boundary),
            "{boundary}"
        );
    }
}

#[test]
fn the_boundary_is_found_in_the_content_type() {
    for (content_type, boundary) in [
        ("multipart/form-data; boundary=abc", Ok("abc")),
        (
            "multipart/form-data;charset=x;BOUNDARY=\"a b\"; x=1",
            Ok("a b"),
        ),
        ("multipart/form-data", Err(Malformed::NoBoundary)),
        (
            "multipart/form-data; boundaries=x",
            Err(Malformed::NoBoundary),
        ),
        ("multipart/form-data; boundary", Err(Malformed::NoBoundary)),
    ] {
        assert_eq!(
            boundary_of(content_type),
            boundary.map(str::to_owned),
            "{content_type}"
        );
    }
}

/// Read in pieces of five bytes, which cut every delimiter.
fn form_of(body: &str) -> Result<WholeForm, Malformed> {
    read_form("b", body.as_bytes().chunks(5))
}

fn field(name: &str, value: &str) -> String {
    part(
        &format!("Content-Disposition: form-data; name=\"{name}\""),
        value,
    )
}

fn file(name: &str, filename: &str, content: &str) -> String {
    let disposition = format!("form-data; name=\"{name}\"; filename=\"{filename}\"");
    part(
        &format!("Content-Disposition: {disposition}\r\nContent-Type: text/css"),
        content,
    )
}

#[test]
fn a_form_gives_its_file_and_the_fields_that_are_known() {
    let body = field("authToken", "t")
        + &field("unknown", "ignored")
        + &file("filepond", "f.css", "body\r\n--x {}")
        + &field("userId", "u")
        + &field("fileName", "n")
        + &field("caption", "")
        + "--b--\r\n";
    let WholeForm { file, fields } = form_of(&body).expect("form");
    let (file, content) = file.expect("file");
    assert_eq!(file.name.as_deref(), Some("f.css"));
    assert_eq!(file.content_type.as_deref(), Some("text/css"));
    assert_eq!(content, b"body\r\n--x {}");
    assert_eq!(fields.auth_token.as_deref(), Some("t"));
    assert_eq!(fields.user_id.as_deref(), Some("u"));
    assert_eq!(fields.file_name.as_deref(), Some("n"));
    assert_eq!(fields.caption.as_deref(), Some(""));
    assert!(
        !format!("{fields:?}").contains("\"t\""),
        "Debug shows no token"
    );
}

#[test]
fn an_empty_file_input_is_no_file_and_an_unnamed_file_is_one() {
    let file_of = |body: String| form_of(&(body + "--b--")).expect("form").file;
    assert_eq!(file_of(file("file", "", "")), None);
    let (unnamed, content) = file_of(file("file", "", "\r\ncontent")).expect("file");
    assert_eq!(unnamed.name, None);
    assert_eq!(content, b"\r\ncontent");
    let (bare, content) = file_of(field("file", "content")).expect("file");
    assert_eq!(bare.name, None);
    assert_eq!(content, b"content");
}

#[test]
fn a_second_file_is_refused_whatever_it_is_called() {
    for second in [
        file("other", "o", "x"),
        file("file", "", "x"),
        field("file", "x"),
    ] {
        let body = file("file", "f", "x") + &second + "--b--";
        assert_eq!(form_of(&body).err(), Some(Malformed::SecondFile));
    }
    let with_empty_input = file("file", "f", "x") + &file("other", "", "") + "--b--";
    assert!(form_of(&with_empty_input).is_ok());
}

#[test]
fn a_field_that_comes_twice_has_to_agree_with_itself() {
    let same = field("userId", "u") + &field("userId", "u") + "--b--";
    assert!(form_of(&same).is_ok());
    let different = field("userId", "u") + &field("userId", "v") + "--b--";
    assert_eq!(
        form_of(&different).err(),
        Some(Malformed::FieldTwice("userId"))
    );
}

#[test]
fn fields_are_bounded_each_and_together() {
    let fits = field("x", &"v".repeat(MAX_FIELD_BYTES)) + "--b--";
    assert!(form_of(&fits).is_ok());
    let long = field("x", &"v".repeat(MAX_FIELD_BYTES + 1)) + "--b--";
    assert_eq!(
        form_of(&long).err(),
        Some(Malformed::FieldTooLong("x".to_owned()))
    );
    let many = field("x", &"v".repeat(MAX_FIELD_BYTES)).repeat(16);
    assert!(form_of(&(many.clone() + "--b--")).is_ok());
    let too_many = many + &field("x", "v") + "--b--";
    assert_eq!(form_of(&too_many).err(), Some(Malformed::FieldsTooLong));
}

#[test]
fn the_envelope_is_what_telegrams_reader_takes() {
    let envelope = Envelope::new([0xab; 24]);
    let boundary = "ab".repeat(24);
    assert_eq!(
        envelope.content_type(),
        format!("multipart/form-data; boundary={boundary}")
    );
    let opening = envelope.opening(
        "-1001",
        Some("a\r\nb"),
        "ü \"1\" 100%\\\r\n.txt",
        "text/plain",
    );
    let expected = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"chat_id\"\r\n\r\n-1001\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\na\r\nb\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"disable_content_type_detection\"\r\n\r\ntrue\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"document\"; filename=\"ü %221%22 100%25%5C%0D%0A.txt\"\r\n\
         Content-Type: text/plain\r\n\r\n"
    );
    assert_eq!(opening, expected);
    assert_eq!(envelope.closing(None), format!("\r\n--{boundary}--\r\n"));
    let late = envelope.closing(Some("late"));
    assert_eq!(
        late,
        format!(
            "\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\nlate\r\n--{boundary}--\r\n"
        )
    );
    assert!(!envelope.opening("-1", None, "n", "a/b").contains("caption"));
}

#[test]
fn what_the_envelope_frames_our_own_reader_reads_back() {
    let envelope = Envelope::new([1; 24]);
    let body =
        envelope.opening("-1", Some("c"), "n.bin", "a/b") + "content" + &envelope.closing(None);
    let parts = read_parts(&"01".repeat(24), [body.as_bytes()]).expect("well formed");
    let names: Vec<&str> = parts.iter().map(|part| part.head.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "chat_id",
            "caption",
            "disable_content_type_detection",
            "document"
        ]
    );
    assert_eq!(parts[3].content, b"content");
}

#[test]
fn only_a_content_type_that_can_be_a_header_is_passed_on() {
    assert_eq!(
        passable_content_type(Some(" text/plain; charset=utf-8 ")),
        "text/plain; charset=utf-8"
    );
    for other in [
        None,
        Some(""),
        Some("text"),
        Some("a/b\r\nX: 1"),
        Some("ü/b"),
        Some(&"a/".repeat(200)),
    ] {
        assert_eq!(passable_content_type(other), "application/octet-stream");
    }
}

#[test]
fn a_requests_disposition_names_its_file() {
    for (disposition, name) in [
        ("inline; filename=\"a b.jpg\"", Some("a b.jpg")),
        ("attachment; filename=a.jpg", Some("a.jpg")),
        (
            "inline; filename=\"x\"; filename*=UTF-8\'\'%e2%82%ac.txt",
            Some("€.txt"),
        ),
        ("inline; filename*=utf-8\'en\'a%20b", Some("a b")),
        (
            "inline; filename=\"x\"; filename*=iso-8859-1\'\'%E9",
            Some("x"),
        ),
        ("inline; filename*=UTF-8\'\'%FF", None),
        ("inline; filename=\"\"", None),
        ("inline", None),
        ("", None),
    ] {
        assert_eq!(
            crate::multipart::file_name_of(disposition).as_deref(),
            name,
            "{disposition}"
        );
    }
}
