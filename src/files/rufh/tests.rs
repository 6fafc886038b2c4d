//! The draft, row by row. `docs/conformance.md` names these tests.

use std::collections::BTreeMap;

use super::*;
use crate::resumable::question::{Destination, Finished};

const ID: &str = "up_00112233445566778899aabbccddeeff";
const NOW: UnixMillis = 1_700_000_000_000;
const LIMITS: Limits = Limits {
    max_file_bytes: 1000,
    max_request_bytes: 100,
    ttl_seconds: 86_400,
};

fn request(method: &str, path: &str) -> RequestHead {
    let mut head = RequestHead {
        method: method.to_owned(),
        path: path.to_owned(),
        ..RequestHead::default()
    };
    set(&mut head.upload.interop_version, "8");
    head
}

fn set(field: &mut Option<String>, value: &str) {
    *field = Some(value.to_owned());
}

fn create(complete: &str, change: impl FnOnce(&mut RequestHead)) -> Result<Creation, Error> {
    let mut head = request("POST", "/files");
    set(&mut head.upload.complete, complete);
    head.content_length = Some(40);
    change(&mut head);
    match read_creation(&head, Target::default())? {
        Command::Create(creation) => Ok(*creation),
        other => panic!("{other:?}"),
    }
}

fn append(complete: &str, change: impl FnOnce(&mut RequestHead)) -> Result<Body, Error> {
    let mut head = request("PATCH", &format!("/files/{ID}"));
    set(&mut head.content_type, MEDIA_TYPE);
    set(&mut head.upload.complete, complete);
    set(&mut head.upload.offset, "60");
    head.content_length = Some(40);
    change(&mut head);
    match read(&head)? {
        Command::Append(_, body) => Ok(body),
        other => panic!("{other:?}"),
    }
}

fn state() -> State {
    State {
        offset: 60,
        length: Some(100),
        shape: Shape::Sequential {
            ends_at_length: false,
        },
        file: FileDescription::default(),
        destination: Destination {
            bot_id: "1".to_owned(),
            chat_id: "-1".to_owned(),
            name: None,
            token_mark: String::new(),
        },
        echoed: BTreeMap::new(),
        received: Vec::new(),
        parts: 1,
        is_complete: false,
        finished: None,
        expires_at: NOW + 90_500,
        created_at: 0,
        unknown_orphans: 0,
    }
}

fn finished() -> State {
    State {
        offset: 100,
        is_complete: true,
        finished: Some(Finished {
            reply: r#"{"success":true}"#.to_owned(),
            file_id: "BQAC".to_owned(),
            message_id: 7,
            undelivered: None,
        }),
        ..state()
    }
}

fn id() -> UploadId {
    UploadId::parse(ID).expect("an id")
}

fn patch() -> RequestHead {
    let mut head = request("PATCH", &format!("/files/{ID}"));
    set(&mut head.upload.offset, "25");
    head
}

fn told(head: &RequestHead, result: impl Into<Result<Outcome, Error>>) -> Reply {
    reply(head, &result.into(), &LIMITS, NOW, "r1")
}

fn refused(refusal: Refusal) -> Reply {
    told(&patch(), Err(Error::Upload(refusal)))
}

fn value<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let mut found = reply.headers.iter().filter(|(known, _)| *known == name);
    let first = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} is there twice");
    first
}

#[test]
fn a_request_is_resumable_by_upload_complete_and_its_version() {
    let spoken = |complete: Option<&str>, version: Option<&str>| {
        let mut head = request("POST", "/files");
        head.upload.complete = complete.map(str::to_owned);
        head.upload.interop_version = version.map(str::to_owned);
        is_spoken(&head)
    };
    assert!(spoken(Some("?1"), Some("8")));
    assert!(spoken(Some("?0"), Some("8")));
    assert!(spoken(Some("?1"), None));
    for version in ["3", "6", "7", "9", "\"8\""] {
        assert!(!spoken(Some("?1"), Some(version)), "{version}");
    }
    for complete in [None, Some("1"), Some("true"), Some("?2")] {
        assert!(!spoken(complete, Some("8")), "{complete:?}");
    }
}

#[test]
fn a_creation_with_the_whole_file_knows_its_length_by_its_content() {
    let creation = create("?1", |_| {}).expect("a creation");
    assert_eq!(creation.length, Some(40));
    let body = creation.body.expect("a body");
    assert!(body.completes);
    assert_eq!(body.at, Position::Offset(0));
    assert_eq!(
        creation.shape,
        Shape::Sequential {
            ends_at_length: false
        }
    );
    let streamed = create("?1", |head| head.content_length = None).expect("a creation");
    assert_eq!(streamed.length, None);
}

#[test]
fn a_creation_with_a_part_of_the_file_or_none_is_not_complete() {
    let creation = create("?0", |head| set(&mut head.upload.length, "100")).expect("a creation");
    assert_eq!(creation.length, Some(100));
    assert!(!creation.body.expect("a body").completes);
    let careful = create("?0", |head| head.content_length = Some(0)).expect("a creation");
    assert_eq!((careful.length, careful.body), (None, None));
    let empty_file = create("?1", |head| head.content_length = Some(0)).expect("a creation");
    assert_eq!(empty_file.length, Some(0));
}

#[test]
fn the_files_name_is_the_urls_or_the_dispositions() {
    let disposition = "inline; filename=\"x\"; filename*=UTF-8''file%20name.jpg";
    let mut head = request("POST", "/files");
    set(&mut head.upload.complete, "?1");
    set(&mut head.upload.content_disposition, disposition);
    set(&mut head.content_type, "image/jpeg");
    for (name, expected) in [
        (Some("a"), "a"),
        (Some(""), "file name.jpg"),
        (None, "file name.jpg"),
    ] {
        let target = Target {
            name: name.map(str::to_owned),
            ..Target::default()
        };
        let Ok(Command::Create(creation)) = read_creation(&head, target) else {
            panic!("no creation");
        };
        assert_eq!(creation.file.name, expected);
        assert_eq!(creation.file.mime_type, "image/jpeg");
    }
}

#[test]
fn lengths_that_differ_are_an_inconsistent_length() {
    let differs = Error::Upload(Refusal::LengthDiffers);
    let told = create("?1", |head| set(&mut head.upload.length, "41"));
    assert_eq!(told, Err(differs.clone()));
    let told = append("?1", |head| set(&mut head.upload.length, "101"));
    assert_eq!(told, Err(differs));
    let reply = refused(Refusal::LengthDiffers);
    assert_eq!(reply.status, 400);
    assert_eq!(
        value(&reply, "content-type"),
        Some("application/problem+json")
    );
    assert_eq!(value(&reply, "upload-complete"), Some("?0"));
    let body: Value = serde_json::from_str(&reply.body).expect("JSON");
    assert_eq!(
        body["type"],
        "https://iana.org/assignments/http-problem-types#inconsistent-upload-length"
    );
    assert_eq!(body["status"], 400);
    assert_eq!(body["code"], "length_mismatch");
}

#[test]
fn fields_that_are_not_what_they_should_be_are_ignored() {
    let creation = create("?0", |head| set(&mut head.upload.length, "-5")).expect("a creation");
    assert_eq!(creation.length, None);
    let creation = create("?0", |head| set(&mut head.upload.length, "\"5\"")).expect("a creation");
    assert_eq!(creation.length, None);
    for (offset, complete) in [
        ("x", "?1"),
        ("-1", "?1"),
        ("1.5", "?1"),
        ("60", "1"),
        ("60", ""),
    ] {
        let told = append(complete, |head| set(&mut head.upload.offset, offset));
        let status = told.expect_err("an error").describe().status;
        assert_eq!(status, 400, "{offset} {complete}");
    }
}

#[test]
fn a_creation_that_is_not_complete_gets_201_with_location_and_limits() {
    let created = Outcome::Created {
        id: id(),
        state: state(),
        error: None,
    };
    let reply = told(&request("POST", "/files"), Ok(created));
    assert_eq!((reply.status, reply.body.as_str()), (201, ""));
    let location = value(&reply, "location");
    assert_eq!(location, Some("/files/up_00112233445566778899aabbccddeeff"));
    assert_eq!(
        value(&reply, "upload-limit"),
        Some("max-size=1000, max-append-size=100, max-age=90")
    );
    assert_eq!(value(&reply, "upload-complete"), Some("?0"));
    assert_eq!(value(&reply, "upload-offset"), Some("60"));
}

#[test]
fn the_reply_that_completes_is_the_receipt_as_the_urls_own_reply_would_be() {
    let created = Outcome::Created {
        id: id(),
        state: finished(),
        error: None,
    };
    for (head, outcome) in [
        (request("POST", "/files"), created),
        (patch(), Outcome::Appended(finished())),
    ] {
        let reply = told(&head, Ok(outcome));
        assert_eq!(reply.status, 200);
        assert_eq!(reply.body, r#"{"success":true}"#);
        assert_eq!(value(&reply, "upload-complete"), Some("?1"));
    }
}

#[test]
fn an_offset_is_told_with_completeness_length_and_limits_and_not_cached() {
    for method in ["HEAD", "GET"] {
        let head = request(method, &format!("/files/{ID}"));
        assert_eq!(read(&head), Ok(Command::Look(id())));
        let reply = told(&head, Ok(Outcome::Looked(state())));
        assert_eq!((reply.status, reply.body.as_str()), (204, ""));
        assert_eq!(value(&reply, "upload-offset"), Some("60"));
        assert_eq!(value(&reply, "upload-complete"), Some("?0"));
        assert_eq!(value(&reply, "upload-length"), Some("100"));
        assert_eq!(
            value(&reply, "upload-limit"),
            Some("max-size=1000, max-append-size=100, max-age=90")
        );
        assert_eq!(value(&reply, "cache-control"), Some("no-store"));
    }
    let unknown = State {
        length: None,
        ..state()
    };
    let reply = told(&request("HEAD", ""), Ok(Outcome::Looked(unknown)));
    assert_eq!(value(&reply, "upload-length"), None);
    let reply = told(&request("HEAD", ""), Ok(Outcome::Looked(finished())));
    assert_eq!(value(&reply, "upload-complete"), Some("?1"));
}

#[test]
fn an_append_says_where_it_belongs_and_whether_it_is_the_last() {
    let body = append("?0", |_| {}).expect("a body");
    assert_eq!(body.at, Position::Offset(60));
    assert!(!body.completes);
    assert_eq!(body.length, None);
    let body = append("?1", |_| {}).expect("a body");
    assert!(body.completes);
    assert_eq!(body.length, Some(100), "it is known by the end");
    let body = append("?0", |head| set(&mut head.upload.length, "500")).expect("a body");
    assert_eq!(body.length, Some(500));
    let missing = append("?0", |head| head.upload.complete = None);
    assert_eq!(missing.expect_err("an error").describe().status, 400);
    let missing = append("?0", |head| head.upload.offset = None);
    assert_eq!(missing.expect_err("an error").describe().status, 400);
}

#[test]
fn an_append_of_another_media_type_gets_415() {
    let told = append("?0", |head| {
        set(&mut head.content_type, "application/offset+octet-stream");
    });
    assert_eq!(told.expect_err("an error").describe().status, 415);
}

#[test]
fn an_append_that_is_not_the_last_gets_204() {
    let reply = told(&patch(), Ok(Outcome::Appended(state())));
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert_eq!(value(&reply, "upload-complete"), Some("?0"));
    assert_eq!(value(&reply, "upload-offset"), Some("60"));
    assert_eq!(value(&reply, "location"), None);
}

#[test]
fn a_wrong_offset_gets_409_with_the_right_one_and_its_problem_type() {
    let reply = refused(Refusal::Offset { expected: 60 });
    assert_eq!(reply.status, 409);
    assert_eq!(value(&reply, "upload-complete"), Some("?0"));
    assert_eq!(value(&reply, "upload-offset"), Some("60"));
    let body: Value = serde_json::from_str(&reply.body).expect("JSON");
    assert_eq!(
        body["type"],
        "https://iana.org/assignments/http-problem-types#mismatching-upload-offset"
    );
    assert_eq!(body["expected-offset"], 60);
    assert_eq!(body["provided-offset"], 25);
    assert_eq!(body["code"], "offset_mismatch");
}

#[test]
fn a_second_writer_gets_409_and_may_come_again() {
    let reply = refused(Refusal::Locked { retry_after: 4 });
    assert_eq!(reply.status, 409);
    assert_eq!(value(&reply, "retry-after"), Some("4"));
    assert_eq!(value(&reply, "upload-complete"), Some("?0"));
}

#[test]
fn too_large_an_upload_gets_413_with_the_limits() {
    for refusal in [
        Refusal::TooLarge { limit: 1000 },
        Refusal::LengthExceeded { length: 100 },
    ] {
        let reply = refused(refusal);
        assert_eq!(reply.status, 413);
        assert!(value(&reply, "upload-limit").is_some());
    }
}

#[test]
fn a_cancellation_gets_204() {
    let head = request("DELETE", &format!("/files/{ID}"));
    assert_eq!(read(&head), Ok(Command::Terminate(id())));
    assert_eq!(told(&head, Ok(Outcome::Terminated)).status, 204);
}

#[test]
fn options_tells_the_limits() {
    let head = request("OPTIONS", "/files");
    assert_eq!(read(&head), Ok(Command::Discover));
    let reply = told(&head, Ok(Outcome::Discovered));
    assert_eq!(
        value(&reply, "upload-limit"),
        Some("max-size=1000, max-append-size=100, max-age=86400")
    );
}

#[test]
fn an_interim_response_is_for_the_same_version_alone() {
    let mut head = request("POST", "/files");
    let interim = |head: &RequestHead| interim_headers(head, &id(), &state(), &LIMITS, NOW);
    let headers = interim(&head).expect("headers");
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        ["location", "upload-limit", "upload-draft-interop-version"]
    );
    assert_eq!(headers[2].1, "8");
    for version in [None, Some("7"), Some("x")] {
        head.upload.interop_version = version.map(str::to_owned);
        assert_eq!(interim(&head), None);
    }
}

#[test]
fn a_content_digest_is_checked_with_the_body() {
    let digest = "sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:";
    let body = append("?0", |head| set(&mut head.upload.content_digest, digest)).expect("a body");
    let checksum = body.checksum.expect("a checksum");
    assert_eq!(checksum.algorithm, Algorithm::Sha256);
    assert_eq!(checksum.digest.len(), 32);
    let reply = told(&patch(), Err(Error::ChecksumMismatch));
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("digest_mismatch"));
}

#[test]
fn an_error_before_there_is_a_resource_says_nothing_of_completeness() {
    let reply = told(&request("POST", "/files"), Err(Error::TokenRequired));
    assert_eq!(reply.status, 401);
    assert_eq!(value(&reply, "upload-complete"), None);
}
