//! The protocol, row by row. `docs/conformance.md` names these tests.

use super::*;
use crate::resumable::question::{Destination, FileDescription, Finished};

const ID: &str = "up_00112233445566778899aabbccddeeff";
const NOW: u64 = 784_111_777_000;
const LIMITS: Limits = Limits {
    max_file_bytes: 1_073_741_824,
    max_request_bytes: 100_000_000,
    ttl_seconds: 86_400,
};

/// A request of the version that is spoken.
fn request(method: &str, path: &str) -> RequestHead {
    let mut head = RequestHead {
        method: method.to_owned(),
        path: path.to_owned(),
        content_length: Some(0),
        ..RequestHead::default()
    };
    head.upload.tus_resumable = Some("1.0.0".to_owned());
    head
}

fn set(field: &mut Option<String>, value: &str) {
    *field = Some(value.to_owned());
}

fn post(change: impl FnOnce(&mut RequestHead)) -> Result<Command, Error> {
    let mut head = request("POST", "/files");
    change(&mut head);
    read(&head)
}

fn patch(change: impl FnOnce(&mut RequestHead)) -> Result<Command, Error> {
    let mut head = request("PATCH", &format!("/files/{ID}"));
    set(&mut head.content_type, MEDIA_TYPE);
    set(&mut head.upload.offset, "70");
    head.content_length = Some(30);
    change(&mut head);
    read(&head)
}

fn id() -> UploadId {
    UploadId::parse(ID).expect("an id")
}

fn state() -> State {
    State {
        offset: 70,
        length: Some(100),
        shape: Shape::Sequential {
            ends_at_length: true,
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
        expires_at: NOW,
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

fn told(head: &RequestHead, result: impl Into<Result<Outcome, Error>>) -> Reply {
    reply(head, &result.into(), &LIMITS, "r1")
}

fn value<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let mut found = reply.headers.iter().filter(|(known, _)| *known == name);
    let first = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} is there twice");
    first
}

#[test]
fn every_reply_names_the_version() {
    let head = request("HEAD", "/files/x");
    for result in [
        Ok(Outcome::Discovered),
        Ok(Outcome::Looked(state())),
        Ok(Outcome::Appended(state())),
        Ok(Outcome::Terminated),
        Err(Error::TokenRequired),
        Err(Error::TusVersion),
    ] {
        assert_eq!(value(&told(&head, result), "tus-resumable"), Some("1.0.0"));
    }
}

#[test]
fn another_version_and_none_get_412_with_those_that_are_supported() {
    for version in [None, Some("0.2.2"), Some("1.0"), Some("")] {
        for method in ["POST", "HEAD", "PATCH", "DELETE"] {
            let mut head = request(method, &format!("/files/{ID}"));
            head.upload.tus_resumable = version.map(str::to_owned);
            assert_eq!(read(&head), Err(Error::TusVersion));
        }
    }
    let reply = told(&request("POST", "/files"), Err(Error::TusVersion));
    assert_eq!(reply.status, 412);
    assert_eq!(value(&reply, "tus-version"), Some("1.0.0"));
}

#[test]
fn options_tells_everything_whatever_version_asks() {
    for version in [None, Some("0.1")] {
        for path in ["/files", "/files/x"] {
            let mut head = request("OPTIONS", path);
            head.upload.tus_resumable = version.map(str::to_owned);
            assert_eq!(read(&head), Ok(Command::Discover));
        }
    }
    let reply = told(&request("OPTIONS", "/files"), Ok(Outcome::Discovered));
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert_eq!(value(&reply, "tus-version"), Some("1.0.0"));
    assert_eq!(value(&reply, "tus-max-size"), Some("1073741824"));
    assert_eq!(
        value(&reply, "tus-extension"),
        Some(
            "creation,creation-with-upload,creation-defer-length,expiration,termination,checksum,concatenation"
        )
    );
    assert_eq!(
        value(&reply, "tus-checksum-algorithm"),
        Some("sha1,sha256,md5")
    );
}

#[test]
fn a_method_override_is_the_method() {
    let mut head = request("POST", &format!("/files/{ID}"));
    set(&mut head.upload.method_override, "DELETE");
    assert_eq!(read(&head), Ok(Command::Terminate(id())));
    set(&mut head.upload.method_override, "patch");
    set(&mut head.content_type, MEDIA_TYPE);
    set(&mut head.upload.offset, "0");
    assert!(matches!(read(&head), Ok(Command::Append(..))));
}

#[test]
fn a_head_reply_has_offset_length_and_what_the_client_said() {
    let mut looked = state();
    let echo = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    looked.echoed = BTreeMap::from([
        echo("upload-metadata", "filename YQ==,private"),
        echo("upload-concat", "partial"),
    ]);
    let reply = told(&request("HEAD", ""), Ok(Outcome::Looked(looked)));
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    assert_eq!(value(&reply, "upload-offset"), Some("70"));
    assert_eq!(value(&reply, "upload-length"), Some("100"));
    assert_eq!(value(&reply, "upload-defer-length"), None);
    assert_eq!(value(&reply, "cache-control"), Some("no-store"));
    let metadata = value(&reply, "upload-metadata");
    assert_eq!(metadata, Some("filename YQ==,private"));
    assert_eq!(value(&reply, "upload-concat"), Some("partial"));
}

#[test]
fn a_head_reply_has_an_offset_of_0_and_one_of_a_finished_upload() {
    let begun = State {
        offset: 0,
        ..state()
    };
    let reply = told(&request("HEAD", ""), Ok(Outcome::Looked(begun)));
    assert_eq!(value(&reply, "upload-offset"), Some("0"));
    let reply = told(&request("HEAD", ""), Ok(Outcome::Looked(finished())));
    assert_eq!(value(&reply, "upload-offset"), Some("100"));
    assert_eq!(value(&reply, "x-file-id"), Some("BQAC"));
    assert_eq!(value(&reply, "x-message-id"), Some("7"));
    assert_eq!(value(&reply, "upload-expires"), None);
}

#[test]
fn an_upload_that_is_not_there_has_no_offset() {
    for (refusal, status) in [
        (Refusal::NotFound, 404),
        (Refusal::Gone, 410),
        (Refusal::Foreign, 403),
    ] {
        let reply = told(&request("HEAD", ""), Err(Error::Upload(refusal)));
        assert_eq!(reply.status, status);
        assert_eq!(value(&reply, "upload-offset"), None);
    }
    for path in ["/files/x", "/files/up_1", "/files/up_/../a"] {
        let not_found = Err(Error::Upload(Refusal::NotFound));
        assert_eq!(read(&request("HEAD", path)), not_found);
        assert_eq!(read(&request("PATCH", path)), not_found);
    }
}

#[test]
fn a_patch_appends_at_its_offset() {
    let body = Body {
        at: Position::Offset(70),
        content_length: Some(30),
        length: None,
        completes: false,
        checksum: None,
    };
    assert_eq!(patch(|_| {}), Ok(Command::Append(id(), body.clone())));
    let with_length = Body {
        length: Some(100),
        ..body
    };
    let appended = patch(|head| set(&mut head.upload.length, "100"));
    assert_eq!(appended, Ok(Command::Append(id(), with_length)));
}

#[test]
fn a_patch_of_another_media_type_gets_415() {
    for media_type in [None, Some("application/octet-stream"), Some("text/plain")] {
        let told = patch(|head| head.content_type = media_type.map(str::to_owned));
        let error = told.expect_err("an error");
        assert_eq!(error.describe().status, 415);
    }
    let parameters = patch(|head| {
        set(
            &mut head.content_type,
            "Application/Offset+Octet-Stream; x=y",
        );
    });
    assert!(parameters.is_ok());
}

#[test]
fn an_offset_or_a_length_that_is_no_number_gets_400() {
    for text in [
        "",
        "-1",
        "1.5",
        "0x1",
        "a",
        "+1",
        "9007199254740992",
        "99999999999999999999999",
    ] {
        for told in [
            patch(|head| set(&mut head.upload.offset, text)),
            patch(|head| set(&mut head.upload.length, text)),
            post(|head| set(&mut head.upload.length, text)),
        ] {
            assert_eq!(told.expect_err("an error").describe().status, 400, "{text}");
        }
    }
    let missing = patch(|head| head.upload.offset = None);
    assert_eq!(missing, Err(header("Upload-Offset", "is missing")));
}

#[test]
fn a_wrong_offset_gets_409_with_the_right_one() {
    let refusal = Refusal::Offset { expected: 70 };
    let reply = told(&request("PATCH", ""), Err(Error::Upload(refusal)));
    assert_eq!(reply.status, 409);
    assert_eq!(value(&reply, "upload-offset"), Some("70"));
}

#[test]
fn a_patch_reply_is_204_with_the_new_offset_and_the_end() {
    let reply = told(&request("PATCH", ""), Ok(Outcome::Appended(state())));
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert_eq!(value(&reply, "upload-offset"), Some("70"));
    let end = value(&reply, "upload-expires");
    assert_eq!(end, Some("Sun, 06 Nov 1994 08:49:37 GMT"));
}

#[test]
fn the_reply_that_completes_has_the_receipt_for_whoever_takes_json() {
    let mut head = request("PATCH", "");
    for (accept, status, body) in [
        (None, 204, ""),
        (Some("*/*"), 204, ""),
        (Some("text/html, application/jsonp"), 204, ""),
        (Some("application/json"), 200, r#"{"success":true}"#),
        (
            Some("text/*, Application/JSON;q=0.5"),
            200,
            r#"{"success":true}"#,
        ),
    ] {
        head.upload.accept = accept.map(str::to_owned);
        let reply = told(&head, Ok(Outcome::Appended(finished())));
        assert_eq!((reply.status, reply.body.as_str()), (status, body));
        assert_eq!(value(&reply, "upload-offset"), Some("100"));
        assert_eq!(value(&reply, "x-file-id"), Some("BQAC"));
        assert_eq!(value(&reply, "x-message-id"), Some("7"));
    }
}

#[test]
fn a_creation_says_what_is_to_come() {
    let told = post(|head| {
        set(&mut head.upload.length, "100");
        set(&mut head.upload.metadata, "filename YS50eHQ=,k dg==");
    });
    let Ok(Command::Create(creation)) = told else {
        panic!("{told:?}");
    };
    assert_eq!((creation.length, creation.body), (Some(100), None));
    assert_eq!(creation.file.name, "a.txt");
    assert_eq!(creation.file.metadata["k"], "v");
    let echoed = creation.echoed.get("upload-metadata");
    assert_eq!(echoed.map(String::as_str), Some("filename YS50eHQ=,k dg=="));
    let ends_at_length = true;
    assert_eq!(creation.shape, Shape::Sequential { ends_at_length });
}

#[test]
fn a_creation_is_acknowledged_with_201_and_a_location() {
    let created = |error| Outcome::Created {
        id: id(),
        state: state(),
        error,
    };
    let head = request("POST", "/files");
    let reply = told(&head, Ok(created(None)));
    assert_eq!((reply.status, reply.body.as_str()), (201, ""));
    let location = value(&reply, "location");
    assert_eq!(location, Some("/files/up_00112233445566778899aabbccddeeff"));
    let end = value(&reply, "upload-expires");
    assert_eq!(end, Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_eq!(value(&reply, "upload-offset"), Some("70"));
    // What Telegram did not take now is sent again.
    let reply = told(&head, Ok(created(Some(Error::ClientStalled))));
    assert_eq!(reply.status, 201);
    // A body that is wrong is told.
    for (error, status) in [(Error::ChecksumMismatch, 460), (Error::CaptionTooLong, 400)] {
        let reply = told(&head, Ok(created(Some(error))));
        assert_eq!(reply.status, status);
        assert!(value(&reply, "location").is_some());
    }
}

#[test]
fn a_creation_without_a_length_gets_400_unless_it_is_deferred() {
    assert_eq!(post(|_| {}), Err(header("Upload-Length", "is missing")));
    for text in ["0", "2", "true", ""] {
        let told = post(|head| set(&mut head.upload.defer_length, text));
        assert_eq!(told, Err(header("Upload-Defer-Length", "is not 1")));
    }
    let both = post(|head| {
        set(&mut head.upload.defer_length, "1");
        set(&mut head.upload.length, "1");
    });
    assert!(both.is_err());
    let told = post(|head| set(&mut head.upload.defer_length, "1"));
    let Ok(Command::Create(creation)) = told else {
        panic!("{told:?}");
    };
    assert_eq!(creation.length, None);
}

#[test]
fn a_deferred_length_is_said_in_head_replies_until_it_is_known() {
    let deferred = State {
        length: None,
        ..state()
    };
    let reply = told(&request("HEAD", ""), Ok(Outcome::Looked(deferred)));
    assert_eq!(value(&reply, "upload-defer-length"), Some("1"));
    assert_eq!(value(&reply, "upload-length"), None);
}

#[test]
fn a_creation_may_bring_bytes() {
    let with_body = |media_type: Option<&str>, content_length| {
        post(|head| {
            set(&mut head.upload.length, "100");
            head.content_type = media_type.map(str::to_owned);
            head.content_length = content_length;
        })
    };
    for content_length in [Some(5), None] {
        let told = with_body(Some(MEDIA_TYPE), content_length);
        let Ok(Command::Create(creation)) = told else {
            panic!("{told:?}");
        };
        let body = creation.body.expect("a body");
        assert_eq!(body.at, Position::Offset(0));
        assert_eq!(body.content_length, content_length);
    }
    let other = with_body(Some("text/plain"), Some(5));
    assert_eq!(other.expect_err("an error").describe().status, 415);
}

#[test]
fn too_long_an_upload_gets_413() {
    let refusal = Refusal::TooLarge { limit: 1000 };
    let reply = told(&request("POST", "/files"), Err(Error::Upload(refusal)));
    assert_eq!(reply.status, 413);
}

#[test]
fn malformed_metadata_gets_400() {
    let told = post(|head| {
        set(&mut head.upload.length, "1");
        set(&mut head.upload.metadata, "filename *");
    });
    assert_eq!(told.expect_err("an error").describe().status, 400);
}

#[test]
fn a_checksum_is_read_and_an_unknown_one_gets_400() {
    for (text, algorithm, bytes) in [
        ("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", Algorithm::Sha1, 20),
        ("md5 XrY7u+Ae7tCTyyK7j1rNww==", Algorithm::Md5, 16),
        (
            "sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
            Algorithm::Sha256,
            32,
        ),
    ] {
        let told = patch(|head| set(&mut head.upload.checksum, text));
        let Ok(Command::Append(_, body)) = told else {
            panic!("{told:?}");
        };
        let checksum = body.checksum.expect("a checksum");
        assert_eq!(
            (checksum.algorithm, checksum.digest.len()),
            (algorithm, bytes)
        );
    }
    for text in ["crc32 AAAA", "SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="] {
        let told = patch(|head| set(&mut head.upload.checksum, text));
        assert_eq!(told, Err(Error::ChecksumAlgorithm), "{text}");
    }
    for text in ["", "sha1", "sha1 AAAA", "sha1 !!!!"] {
        let told = patch(|head| set(&mut head.upload.checksum, text));
        assert_eq!(told.expect_err("an error").describe().status, 400, "{text}");
    }
    let reply = told(&request("PATCH", ""), Err(Error::ChecksumMismatch));
    assert_eq!(reply.status, 460);
}

#[test]
fn a_termination_is_acknowledged_with_204() {
    let head = request("DELETE", &format!("/files/{ID}"));
    assert_eq!(read(&head), Ok(Command::Terminate(id())));
    let reply = told(&head, Ok(Outcome::Terminated));
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
}

#[test]
fn partial_uploads_are_made_and_put_together_in_the_order_of_the_list() {
    let told = post(|head| {
        set(&mut head.upload.length, "5");
        set(&mut head.upload.concat, "partial");
    });
    let Ok(Command::Create(creation)) = told else {
        panic!("{told:?}");
    };
    assert_eq!(creation.shape, Shape::Partial);
    let other = "up_ffffffffffffffffffffffffffffffff";
    let list = format!("final;/files/{ID} https://w.example/files/{other} /files/{ID}");
    let told = post(|head| set(&mut head.upload.concat, &list));
    let Ok(Command::Concatenate(creation, ids)) = told else {
        panic!("{told:?}");
    };
    assert_eq!(creation.shape, Shape::Final);
    assert_eq!(creation.echoed["upload-concat"], list);
    let ids: Vec<&str> = ids.iter().map(UploadId::as_str).collect();
    assert_eq!(ids, [ID, other, ID]);
}

#[test]
fn a_final_upload_has_no_length_of_its_own_and_lists_what_there_is() {
    let list = format!("final;/files/{ID}");
    let with_length = post(|head| {
        set(&mut head.upload.concat, &list);
        set(&mut head.upload.length, "5");
    });
    assert_eq!(with_length.expect_err("an error").describe().status, 400);
    for (concat, status) in [
        ("final;", 400),
        ("final", 400),
        ("whole", 400),
        ("final;/files/up_1", 404),
        ("final;/other", 404),
    ] {
        let told = post(|head| set(&mut head.upload.concat, concat));
        assert_eq!(
            told.expect_err("an error").describe().status,
            status,
            "{concat}"
        );
    }
}

#[test]
fn a_final_upload_takes_no_patch_and_has_an_offset_when_it_is_complete() {
    let reply = told(
        &request("PATCH", ""),
        Err(Error::Upload(Refusal::WrongShape)),
    );
    assert_eq!(reply.status, 403);
    let mut looked = State {
        shape: Shape::Final,
        length: None,
        ..state()
    };
    let reply = told(&request("HEAD", ""), Ok(Outcome::Looked(looked.clone())));
    assert_eq!(value(&reply, "upload-offset"), None);
    assert_eq!(value(&reply, "upload-defer-length"), None);
    looked.is_complete = true;
    looked.length = Some(looked.offset);
    let reply = told(&request("HEAD", ""), Ok(Outcome::Looked(looked)));
    assert_eq!(
        value(&reply, "upload-offset"),
        value(&reply, "upload-length")
    );
}

#[test]
fn a_second_writer_gets_423_and_a_user_who_is_too_fast_503() {
    let locked = Refusal::Locked { retry_after: 3 };
    let reply = told(&request("PATCH", ""), Err(Error::Upload(locked)));
    assert_eq!(reply.status, 423);
    assert_eq!(value(&reply, "retry-after"), Some("3"));
    let reply = told(&request("PATCH", ""), Err(Error::RateLimited));
    assert_eq!(reply.status, 503);
    assert!(value(&reply, "retry-after").is_some());
}

#[test]
fn methods_that_a_url_has_not_get_405() {
    for (method, path) in [
        ("PUT", "/files"),
        ("DELETE", "/files"),
        ("PUT", &format!("/files/{ID}")),
    ] {
        let error = read(&request(method, path)).expect_err("an error");
        assert_eq!(error.describe().status, 405);
    }
}
