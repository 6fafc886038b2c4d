//! `TeleStore` v2's dialect, field by field and byte by byte.

use super::*;
use crate::resumable::question::{Destination, Finished};

const ID: &str = "1763990000000_k3j9x0q2z";

fn id() -> ChosenId {
    ChosenId::parse(ID).expect("an id")
}

fn state(received: &[u32], total: u32) -> State {
    let is_complete = received.len() == total as usize;
    State {
        offset: 0,
        length: None,
        shape: Shape::Chunked { total },
        file: FileDescription {
            name: "a.bin".to_owned(),
            ..FileDescription::default()
        },
        destination: Destination {
            bot_id: "1".to_owned(),
            chat_id: "-1".to_owned(),
            name: None,
            token_mark: String::new(),
        },
        echoed: BTreeMap::new(),
        received: received.to_vec(),
        parts: 0,
        is_complete,
        finished: None,
        expires_at: 0,
        created_at: 0,
        unknown_orphans: 0,
    }
}

fn finished() -> State {
    State {
        finished: Some(Finished {
            reply: "{}".to_owned(),
            file_id: "BQAC".to_owned(),
            message_id: 7,
            undelivered: None,
        }),
        ..state(&[0, 1], 2)
    }
}

fn told(method: &str, path: &str) -> Option<Result<Route, Error>> {
    route(&RequestHead {
        method: method.to_owned(),
        path: path.to_owned(),
        ..RequestHead::default()
    })
}

fn fields() -> ChunkFields {
    let field = |text: &str| Some(text.to_owned());
    ChunkFields {
        upload_id: field(ID),
        chunk_index: field("1"),
        total_chunks: field("3"),
        file_name: field("a.bin"),
        file_size: field("12"),
    }
}

#[test]
fn the_routes_are_telestores() {
    for (method, path, route) in [
        ("POST", "/init-upload", Route::Init),
        ("POST", "/upload-chunk", Route::Chunk),
        ("POST", "/complete-upload", Route::Complete),
        ("POST", "/cancel-upload", Route::Cancel),
    ] {
        assert_eq!(told(method, path), Some(Ok(route)));
        assert!(matches!(
            told("PUT", path),
            Some(Err(Error::MethodNotAllowed { .. }))
        ));
    }
    let status = format!("/upload-status/{ID}");
    assert_eq!(told("GET", &status), Some(Ok(Route::Status(id()))));
    let progress = format!("/upload-progress/{ID}");
    assert_eq!(told("GET", &progress), Some(Ok(Route::Progress(id()))));
    let not_found = Some(Err(Error::Upload(Refusal::NotFound)));
    assert_eq!(told("GET", "/upload-progress/a/b"), not_found);
    assert_eq!(told("GET", "/upload-status/"), not_found);
    assert_eq!(told("POST", "/upload"), None);
}

#[test]
fn a_chunk_is_read_from_the_fields_that_the_frontend_sends() {
    let chunk = read_chunk(&fields()).expect("a chunk");
    assert_eq!((chunk.id, chunk.index), (id(), 1));
    assert_eq!(chunk.creation.shape, Shape::Chunked { total: 3 });
    assert_eq!(chunk.creation.length, Some(12));
    assert_eq!(chunk.creation.file.name, "a.bin");
    assert_eq!(chunk.body.at, Position::Chunk { index: 1, total: 3 });
}

#[test]
fn fields_that_are_missing_or_wrong_are_named() {
    let without = |change: fn(&mut ChunkFields)| {
        let mut fields = fields();
        change(&mut fields);
        read_chunk(&fields).expect_err("an error")
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        without(|f| f.upload_id = None),
        Error::ChunkField("uploadId")
    );
    assert_eq!(
        without(|f| f.file_name = None),
        Error::ChunkField("fileName")
    );
    assert_eq!(
        without(|f| f.chunk_index = None),
        Error::ChunkField("chunkIndex")
    );
    assert_eq!(
        without(|f| f.total_chunks = None),
        Error::ChunkField("totalChunks")
    );
    for wrong in ["-1", "NaN", "1.5", "", "99999999999999999999"] {
        let mut fields = fields();
        fields.file_size = text(wrong);
        let told = read_chunk(&fields);
        assert_eq!(told, Err(Error::ChunkField("fileSize")), "{wrong}");
    }
    let no_such_chunk = Error::Upload(Refusal::NoSuchChunk);
    let mut beyond = fields();
    beyond.chunk_index = text("3");
    assert_eq!(read_chunk(&beyond), Err(no_such_chunk.clone()));
    beyond.chunk_index = text("4294967296");
    assert_eq!(read_chunk(&beyond), Err(no_such_chunk));
    let no_size = read_chunk(&ChunkFields {
        file_size: None,
        ..fields()
    });
    assert_eq!(no_size.expect("a chunk").creation.length, None);
}

#[test]
fn the_other_bodies_are_json_with_an_id() {
    let body = format!("{{\"uploadId\":\"{ID}\"}}");
    assert_eq!(read_id(body.as_bytes()), Ok(id()));
    for body in [
        "",
        "{}",
        "[\"a\"]",
        "{\"uploadId\":1}",
        "{\"uploadId\":\"a/b\"}",
    ] {
        let told = read_id(body.as_bytes());
        assert_eq!(told, Err(Error::ChunkField("uploadId")), "{body}");
    }
    let init = br#"{"fileName":"a","fileSize":12,"totalChunks":3,"authToken":"t"}"#;
    let init = read_init(init).expect("an upload");
    assert_eq!((init.id, init.auth_token.as_deref()), (None, Some("t")));
    assert_eq!(init.creation.shape, Shape::Chunked { total: 3 });
    assert!(read_init(b"{\"fileName\":\"a\",\"totalChunks\":-1}").is_err());
    assert!(read_init(b"{\"fileName\":\"\",\"totalChunks\":1}").is_err());
}

#[test]
fn the_replies_are_the_contracts() {
    let reply = chunk_reply(1, &state(&[1], 3));
    assert_eq!(
        reply.body,
        r#"{"success":true,"chunk_index":1,"received_chunks":1,"total_chunks":3,"complete":false}"#
    );
    let reply = status_reply(&id(), &state(&[0, 2], 3));
    assert_eq!(
        reply.body,
        r#"{"upload_id":"1763990000000_k3j9x0q2z","file_name":"a.bin","total_chunks":3,"received_chunks":2,"received_chunk_indices":[0,2],"complete":false}"#
    );
    let reply = complete_reply(&id(), &finished(), "r1");
    assert_eq!(
        reply.body,
        r#"{"success":true,"uploadId":"1763990000000_k3j9x0q2z","status":"completed","message":"Upload completed","messageId":7,"fileId":"BQAC","checkProgressAt":"/upload-progress/1763990000000_k3j9x0q2z"}"#
    );
    let reply = progress_reply(&id(), &finished());
    assert_eq!(
        reply.body,
        r#"{"uploadId":"1763990000000_k3j9x0q2z","status":"completed","progress":100,"error":null,"messageId":7,"fileId":"BQAC"}"#
    );
    let reply = progress_reply(&id(), &state(&[0, 1], 2));
    assert_eq!(
        reply.body,
        r#"{"uploadId":"1763990000000_k3j9x0q2z","status":"uploading","progress":99,"error":null,"messageId":null,"fileId":null}"#
    );
}

#[test]
fn what_is_not_complete_is_not_said_to_be() {
    let reply = complete_reply(&id(), &state(&[0], 2), "r1");
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("The upload is not complete"));
    let reply = complete_reply(&id(), &state(&[0, 1], 2), "r1");
    assert_eq!(reply.status, 200);
    assert!(reply.body.contains(r#""status":"uploading""#));
    let reply = failed_reply(&id(), &Error::Upload(Refusal::Gone));
    assert!(reply.body.contains(r#""status":"failed""#));
    assert!(reply.body.contains("expired"));
}
