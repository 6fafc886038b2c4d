//! The emulated Bot API.

use backend_mock::{BotRights, Server, Setup};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::client::{
    BOUNDARY, form, get, messages, options, post, request, send, send_document, start, upload, user,
};

const MEBIBYTE: usize = 1 << 20;

async fn with_rights(bot_rights: BotRights) -> (backend_mock::Running, backend_mock::Provisioned) {
    let (server, _) = start().await;
    let setup = Setup {
        bot_rights,
        ..Setup::default()
    };
    let user = user(&server, setup).await;
    (server, user)
}

#[tokio::test]
async fn a_document_is_stored_and_described() {
    let (server, demo) = start().await;
    let reply = upload(&server, &demo, "Отчёт.pdf", b"%PDF-1.7 content")
        .await
        .unwrap();
    assert_eq!(reply.status, 200);
    let result = &reply.json()["result"];
    assert_eq!(result["message_id"], 1);
    assert_eq!(result["chat"]["id"].to_string(), demo.channel_id);
    assert_eq!(result["chat"]["type"], "channel");
    assert_eq!(result["caption"], "a caption");
    assert!(result["date"].as_i64().unwrap() > 1_600_000_000);
    let document = &result["document"];
    assert_eq!(document["file_name"], "Отчёт.pdf");
    assert_eq!(document["mime_type"], "application/pdf");
    assert_eq!(document["file_size"], 16);
    assert!(document["file_unique_id"].is_string());

    let file_id = document["file_id"].as_str().unwrap();
    let message = &messages(&server).await[0];
    assert_eq!(
        *message,
        json!({
            "message_id": 1,
            "chat_id": demo.channel_id.parse::<i64>().unwrap(),
            "bot_id": demo.bot_token.split(':').next().unwrap().parse::<i64>().unwrap(),
            "file_id": file_id,
            "file_name": "Отчёт.pdf",
            "size": 16,
            "sha256": "d274f10f823f4da5c383bedc6bf03b4aed26b05f8306cf082b8402ae78a456a5",
            "caption": "a caption",
            "text": null,
            "parameters": {
                "chat_id": demo.channel_id,
                "caption": "a caption",
                "disable_content_type_detection": "true",
            },
        })
    );
    let stored = get(&server, &format!("/_control/files/{file_id}")).await;
    assert_eq!(stored.body, b"%PDF-1.7 content");
    let second = upload(&server, &demo, "b.txt", b"x").await.unwrap();
    assert_eq!(second.json()["result"]["message_id"], 2);
    server.shutdown().await;
}

#[tokio::test]
async fn content_that_looks_like_delimiters_is_kept_to_the_byte() {
    let (server, demo) = start().await;
    let mut content = format!("\r\n--{}\r\n--\r\n", &BOUNDARY[..10]).into_bytes();
    for index in 0..3 * MEBIBYTE {
        content.push(u8::try_from(index * 31 % 256).unwrap());
    }
    content.extend_from_slice(b"\r\n-");
    let reply = upload(&server, &demo, "a.bin", &content).await.unwrap();
    let file_id = reply.json()["result"]["document"]["file_id"].clone();
    let path = format!("/_control/files/{}", file_id.as_str().unwrap());
    assert!(get(&server, &path).await.body == content);
    server.shutdown().await;
}

#[tokio::test]
async fn documents_sent_at_once_get_an_id_each() {
    let (server, demo) = start().await;
    let body = form(&[("chat_id", &demo.channel_id)], "a.txt", b"hello");
    let request = send_document(&demo, &body);
    let sending: Vec<_> = (0..20)
        .map(|_| {
            let (address, request) = (server.address, request.clone());
            tokio::spawn(async move { send(address, &request).await })
        })
        .collect();
    let mut ids = Vec::new();
    for reply in sending {
        let reply = reply.await.unwrap().unwrap().json();
        ids.push(reply["result"]["message_id"].as_i64().unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=20).collect::<Vec<_>>());
    server.shutdown().await;
}

#[tokio::test]
async fn a_chunked_body_is_taken_and_one_of_no_declared_length_is_empty() {
    let (server, demo) = start().await;
    let body = form(&[("chat_id", &demo.channel_id)], "a.txt", b"hello");
    let head = format!(
        "POST /bot{}/sendDocument HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n",
        demo.bot_token
    );
    let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(7) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(send(server.address, &chunked).await.unwrap().status, 200);

    let undeclared = format!("{head}\r\n");
    let reply = send(server.address, undeclared.as_bytes()).await.unwrap();
    assert_eq!(
        reply.refusal(),
        (
            400,
            "Bad Request: there is no document in the request".into()
        )
    );
    assert_eq!(messages(&server).await.len(), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn a_form_without_its_closing_delimiter_stores_nothing() {
    let (server, demo) = start().await;
    let whole = form(&[("chat_id", &demo.channel_id)], "a.txt", b"hello");
    let closing = "--\r\n".len();
    for missing in [closing, closing + 1, closing + 10, whole.len() / 2] {
        let cut = &whole[..whole.len() - missing];
        let reply = send(server.address, &send_document(&demo, cut)).await;
        assert_eq!(
            reply.unwrap().refusal(),
            (400, "Bad Request: unexpected end of request content".into())
        );
    }
    assert!(messages(&server).await.is_empty());
    server.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_breaks_midway_stores_nothing() {
    let (server, demo) = start().await;
    let content = vec![b'x'; 2 * MEBIBYTE];
    let body = form(&[("chat_id", &demo.channel_id)], "a.txt", &content);
    let whole = send_document(&demo, &body);
    for missing in [1, 3, 1000, MEBIBYTE] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream
            .write_all(&whole[..whole.len() - missing])
            .await
            .unwrap();
        drop(stream);
    }
    // A whole one after them is the first message.
    let reply = upload(&server, &demo, "b.txt", b"b").await.unwrap();
    assert_eq!(reply.json()["result"]["message_id"], 1);
    assert_eq!(messages(&server).await.len(), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn a_body_beyond_fifty_megabytes_is_refused_and_one_of_that_size_is_taken() {
    let (server, demo) = start().await;
    let envelope = form(&[("chat_id", &demo.channel_id)], "a.bin", b"").len();
    let mut content = vec![7; 50 * MEBIBYTE - envelope];
    let body = form(&[("chat_id", &demo.channel_id)], "a.bin", &content);
    let reply = send(server.address, &send_document(&demo, &body)).await;
    let reply = reply.unwrap();
    assert_eq!(reply.status, 200);

    let file_id = &reply.json()["result"]["document"]["file_id"];
    let path = format!("/bot{}/getFile", demo.bot_token);
    let reply = post(&server, &path, &json!({ "file_id": file_id }).to_string()).await;
    assert_eq!(
        reply.refusal(),
        (400, "Bad Request: file is too big".into())
    );

    content.push(7);
    let body = form(&[("chat_id", &demo.channel_id)], "a.bin", &content);
    let reply = send(server.address, &send_document(&demo, &body)).await;
    assert_eq!(
        reply.unwrap().refusal(),
        (413, "Request Entity Too Large".into())
    );
    assert_eq!(messages(&server).await.len(), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn forms_beyond_other_limits_are_refused() {
    let (server, demo) = start().await;
    let chat = ("chat_id", demo.channel_id.as_str());
    let long_caption = "é".repeat(1025);
    let long_value = "v".repeat(MEBIBYTE);
    let rows = [
        (
            form(&[chat, ("caption", &long_caption)], "a", b"x"),
            (400, "Bad Request: message caption is too long"),
        ),
        (
            form(&[chat], "a", b""),
            (400, "Bad Request: file must be non-empty"),
        ),
        (
            form(&[chat, ("other", &long_value)], "a", b"x"),
            (
                413,
                "Request Entity Too Large: too many parameters in form data",
            ),
        ),
        (form(&[], "a", b"x"), (400, "Bad Request: chat_id is empty")),
        (
            form(&[("chat_id", "-1009")], "a", b"x"),
            (400, "Bad Request: chat not found"),
        ),
        (
            form(&[("chat_id", "@name")], "a", b"x"),
            (400, "Bad Request: chat not found"),
        ),
        (
            form(&[(&"n".repeat(256 << 10), "v")], "a", b"x"),
            (
                431,
                "Request Header Fields Too Large: total headers size exceeded",
            ),
        ),
    ];
    for (body, (status, description)) in rows {
        let reply = send(server.address, &send_document(&demo, &body)).await;
        assert_eq!(reply.unwrap().refusal(), (status, description.to_owned()));
    }
    let just = form(&[chat, ("caption", &long_caption[2..])], "a", b"x");
    let reply = send(server.address, &send_document(&demo, &just)).await;
    assert_eq!(reply.unwrap().status, 200);
    assert_eq!(messages(&server).await.len(), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn the_query_comes_before_the_body_and_the_first_wins() {
    let (server, demo) = start().await;
    let fields = [("chat_id", "-1"), ("caption", "one"), ("caption", "two")];
    let body = form(&fields, "a.txt", b"x");
    let path = format!(
        "/bot{}/sendDocument?chat_id={}",
        demo.bot_token, demo.channel_id
    );
    let content_type = format!("Content-Type: multipart/form-data; boundary={BOUNDARY}");
    let reply = send(
        server.address,
        &request("POST", &path, &[&content_type], &body),
    )
    .await
    .unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["result"]["caption"], "one");
    server.shutdown().await;
}

#[tokio::test]
async fn a_token_is_malformed_or_unknown_or_revoked() {
    let (server, demo) = start().await;
    let unknown = format!("1:{}", "a".repeat(35));
    for (token, refusal) in [
        ("nonsense", (404, "Not Found")),
        ("0:abc", (404, "Not Found")),
        (unknown.as_str(), (401, "Unauthorized")),
    ] {
        let reply = get(&server, &format!("/bot{token}/getMe")).await;
        assert_eq!(reply.refusal(), (refusal.0, refusal.1.to_owned()));
    }
    let me = format!("/bot{}/getMe", demo.bot_token);
    assert_eq!(get(&server, &me).await.status, 200);
    let revoke = format!("/_control/bots/{}/revoke", demo.bot_token);
    assert_eq!(post(&server, &revoke, "").await.status, 200);
    assert_eq!(
        get(&server, &me).await.refusal(),
        (401, "Unauthorized".into())
    );
    let reply = upload(&server, &demo, "a.txt", b"x").await.unwrap();
    assert_eq!(reply.refusal(), (401, "Unauthorized".into()));
    server.shutdown().await;
}

#[tokio::test]
async fn the_channel_check_finds_an_administrator_that_may_post() {
    let (server, demo) = start().await;
    let bot = format!("/bot{}", demo.bot_token);
    let me = get(&server, &format!("{bot}/getMe")).await.json();
    assert_eq!(me["result"]["is_bot"], true);
    let chat_id = &demo.channel_id;
    let chat = get(&server, &format!("{bot}/getChat?chat_id={chat_id}")).await;
    assert_eq!(chat.json()["result"]["type"], "channel");
    // By POST, in JSON, and with the method in another case.
    let body = json!({ "chat_id": chat_id, "user_id": me["result"]["id"] }).to_string();
    let member = post(&server, &format!("{bot}/GETCHATMEMBER"), &body).await;
    let member = member.json()["result"].clone();
    assert_eq!(member["status"], "administrator");
    assert_eq!(member["can_post_messages"], true);
    let none = get(&server, &format!("{bot}/getNothing")).await;
    assert_eq!(none.refusal(), (404, "Not Found: method not found".into()));
    server.shutdown().await;
}

#[tokio::test]
async fn a_bot_without_the_right_to_post_is_refused() {
    let need = (
        400,
        "Bad Request: need administrator rights in the channel chat",
    );
    for (rights, (status, description)) in [
        (BotRights::AdministratorNoPost, need),
        (BotRights::Member, need),
        (
            BotRights::Left,
            (403, "Forbidden: bot is not a member of the channel chat"),
        ),
        (
            BotRights::Kicked,
            (403, "Forbidden: bot was kicked from the channel chat"),
        ),
    ] {
        let (server, user) = with_rights(rights).await;
        let reply = upload(&server, &user, "a.txt", b"x").await.unwrap();
        assert_eq!(reply.refusal(), (status, description.to_owned()));
        server.shutdown().await;
    }
    let (server, user) = with_rights(BotRights::Creator).await;
    let reply = upload(&server, &user, "a.txt", b"x").await.unwrap();
    assert_eq!(reply.status, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn a_file_can_be_fetched_back_by_its_bot_alone() {
    let (server, demo) = start().await;
    let reply = upload(&server, &demo, "a.txt", b"hello").await.unwrap();
    let file_id = reply.json()["result"]["document"]["file_id"].clone();
    let query = format!("getFile?file_id={}", file_id.as_str().unwrap());
    let path = format!("/bot{}/{query}", demo.bot_token);
    let file = get(&server, &path).await.json()["result"].clone();
    assert_eq!(file["file_size"], 5);
    let file_path = file["file_path"].as_str().unwrap();
    assert_eq!(file_path, "documents/file_1.txt");
    let content = get(&server, &format!("/file/bot{}/{file_path}", demo.bot_token)).await;
    assert_eq!(
        (content.status, content.body.clone()),
        (200, b"hello".to_vec())
    );

    let other = user(&server, Setup::default()).await;
    let refused = get(&server, &format!("/bot{}/{query}", other.bot_token)).await;
    assert_eq!(refused.status, 400);
    for (token, path) in [
        (&other.bot_token, file_path),
        (&demo.bot_token, "documents/file_2.txt"),
        (&demo.bot_token, "../backend-mock.sqlite3"),
    ] {
        let refused = get(&server, &format!("/file/bot{token}/{path}")).await;
        assert_eq!(refused.refusal(), (404, "Not Found".into()));
    }
    // A path works only after getFile.
    upload(&server, &demo, "b.txt", b"x").await.unwrap();
    let path = format!("/file/bot{}/documents/file_2.txt", demo.bot_token);
    assert_eq!(get(&server, &path).await.status, 404);
    server.shutdown().await;
}

#[tokio::test]
async fn the_content_decides_the_kind_unless_detection_is_off() {
    let (server, demo) = start().await;
    let chat = ("chat_id", demo.channel_id.as_str());
    let off = ("disable_content_type_detection", "true");
    let result = async |fields: &[(&str, &str)]| -> Value {
        let body = form(fields, "a.gif", b"GIF89a....");
        let reply = send(server.address, &send_document(&demo, &body)).await;
        reply.unwrap().json()["result"].clone()
    };
    let detected = result(&[chat]).await;
    assert_eq!(detected["animation"]["file_size"], 10);
    assert_eq!(detected["animation"], detected["document"]);
    let plain = result(&[chat, off]).await;
    assert!(plain["animation"].is_null());
    assert_eq!(plain["document"]["mime_type"], "image/gif");
    server.shutdown().await;
}

#[tokio::test]
async fn messages_are_sent_and_deleted_and_files_sent_again() {
    let (server, demo) = start().await;
    let bot = format!("/bot{}", demo.bot_token);
    let chat_id = &demo.channel_id;
    let sent = get(
        &server,
        &format!("{bot}/sendMessage?chat_id={chat_id}&text=a+b"),
    )
    .await;
    assert_eq!(sent.json()["result"]["text"], "a b");
    let document = upload(&server, &demo, "a.txt", b"x").await.unwrap().json();
    let file_id = &document["result"]["document"]["file_id"];
    let body = json!({ "chat_id": chat_id, "document": file_id }).to_string();
    let again = post(&server, &format!("{bot}/sendDocument"), &body).await;
    assert_eq!(again.json()["result"]["document"]["file_id"], *file_id);
    assert_eq!(messages(&server).await.len(), 3);

    let delete = format!("{bot}/deleteMessage?chat_id={chat_id}&message_id=2");
    assert_eq!(get(&server, &delete).await.json()["result"], true);
    assert_eq!(
        get(&server, &delete).await.refusal(),
        (400, "Bad Request: message to delete not found".into())
    );
    assert_eq!(messages(&server).await.len(), 2);
    server.shutdown().await;
}

#[tokio::test]
async fn rates_are_limited_only_when_asked_for() {
    let (server, demo) = start().await;
    for _ in 0..40 {
        let reply = upload(&server, &demo, "a.txt", b"x").await.unwrap();
        assert_eq!(reply.status, 200);
    }
    server.shutdown().await;

    let server = Server::start(backend_mock::Options {
        rate_limits: true,
        ..options()
    })
    .await
    .unwrap();
    let demo = server.demo.clone().unwrap();
    let mut refused = None;
    // Faster than twenty in a minute on any machine that passes the other tests in time.
    for _ in 0..21 {
        let reply = upload(&server, &demo, "a.txt", b"x").await.unwrap();
        if reply.status != 200 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.unwrap();
    let seconds = &refused.json()["parameters"]["retry_after"];
    assert_eq!(
        refused.refusal(),
        (429, format!("Too Many Requests: retry after {seconds}"))
    );
    assert!(refused.has_header(&format!("Retry-After: {seconds}")));
    server.shutdown().await;
}

#[tokio::test]
async fn a_verb_other_than_get_and_post_is_not_implemented() {
    let (server, demo) = start().await;
    let path = format!("/bot{}/getMe", demo.bot_token);
    let reply = send(server.address, &request("PUT", &path, &[], b"")).await;
    assert_eq!(reply.unwrap().refusal(), (501, "Not Implemented".into()));
    server.shutdown().await;
}
