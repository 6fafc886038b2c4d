//! Files on their way back, and a file server that misbehaves.

use backend_mock::{Provisioned, Running};
use bytes::Bytes;
use serde_json::json;
use testkit::http::Connection;

use crate::{
    client::{Reply, get, request, send, start, upload},
    control::order,
};

/// A file of ten bytes, and the path of its download.
async fn downloadable(server: &Running, user: &Provisioned) -> String {
    let reply = upload(server, user, "a.txt", b"0123456789").await.unwrap();
    let file_id = reply.json()["result"]["document"]["file_id"].clone();
    let query = format!("getFile?file_id={}", file_id.as_str().unwrap());
    let file = get(server, &format!("/bot{}/{query}", user.bot_token)).await;
    let file_path = file.json()["result"]["file_path"].clone();
    format!(
        "/file/bot{}/{}",
        user.bot_token,
        file_path.as_str().unwrap()
    )
}

async fn get_range(server: &Running, path: &str, range: &str) -> Option<Reply> {
    let header = format!("Range: {range}");
    send(server.address, &request("GET", path, &[&header], b"")).await
}

#[tokio::test]
async fn a_range_of_a_file_can_be_fetched() {
    let (server, demo) = start().await;
    let path = downloadable(&server, &demo).await;
    let part = get_range(&server, &path, "bytes=2-4").await.unwrap();
    assert_eq!((part.status, part.body.as_slice()), (206, &b"234"[..]));
    assert!(part.has_header("content-range: bytes 2-4/10"));
    let beyond = get_range(&server, &path, "bytes=10-").await.unwrap();
    assert_eq!(beyond.status, 416);
    assert!(beyond.has_header("content-range: bytes */10"));
    server.shutdown().await;
}

#[tokio::test]
async fn the_file_server_can_be_told_to_misbehave() {
    let (server, demo) = start().await;
    let path = downloadable(&server, &demo).await;
    order(&server, json!([{"on": "file", "ignore_range": true}])).await;
    let whole = get_range(&server, &path, "bytes=2-4").await.unwrap();
    assert_eq!((whole.status, whole.body.len()), (200, 10));
    order(&server, json!([{"on": "file", "cut_after_bytes": 4}])).await;
    // It breaks in the middle of the reply or, if nothing of that went out yet, before it.
    let mut connection = Connection::open(server.address).await.unwrap();
    let cut_off = request("GET", &path, &["Range: bytes=2-9"], b"");
    let broken = connection.exchange(&[Bytes::from(cut_off)]).await;
    assert!(broken.is_err(), "it breaks");
    order(&server, json!([{"on": "get_file", "path_ttl_seconds": 0}])).await;
    let ended = downloadable(&server, &demo).await;
    assert_eq!(get(&server, &ended).await.status, 404);
    server.shutdown().await;
}
