//! The Bot API, as its clients see it.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use emulator::{BotRights, BotToken, Data, Telegram};
use serde_json::{Value, json};
use testkit::{
    form::Form,
    http::{Connection, Reply, Request},
};
use tokio::{net::TcpListener, task::JoinHandle};

const MEBIBYTE: usize = 1 << 20;
const BOUNDARY: &str = "----boundary-9b1c52d0a7e84f3c";

/// An emulator that answers.
struct Server {
    telegram: Arc<Telegram>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

/// A bot, and a channel that it may post into.
struct Bot {
    id: i64,
    token: String,
    channel_id: String,
}

impl Server {
    async fn start(rate_limits: bool) -> Self {
        let telegram = Telegram::open(&Data::Memory, rate_limits).await.unwrap();
        let telegram = Arc::new(telegram);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = emulator::router(Arc::clone(&telegram));
        Self {
            telegram,
            address,
            serving: tokio::spawn(async { axum::serve(listener, router).await.unwrap() }),
        }
    }

    async fn bot(&self, rights: BotRights) -> Bot {
        let (bot, token) = self.telegram.add_bot().await.unwrap();
        let channel_id = self.telegram.add_channel("Files").await.unwrap();
        let set = self.telegram.set_rights(channel_id, bot.id, rights).await;
        set.unwrap();
        Bot {
            id: bot.id,
            token: token.expose().to_owned(),
            channel_id: channel_id.to_string(),
        }
    }

    async fn get(&self, path: &str) -> Reply {
        Request::new("GET", path).send(self.address).await.unwrap()
    }

    async fn post_json(&self, path: &str, body: &Value) -> Reply {
        let body = Bytes::from(body.to_string());
        let request = Request::new("POST", path).header("Content-Type", "application/json");
        request.body(vec![body]).send(self.address).await.unwrap()
    }

    /// Sends exactly these bytes.
    async fn send_bytes(&self, bytes: &[u8]) -> Reply {
        let mut connection = Connection::open(self.address).await.unwrap();
        let bytes = Bytes::copy_from_slice(bytes);
        connection.write(&[bytes]).await.unwrap();
        connection.reply().await.unwrap()
    }

    async fn send_document(&self, bot: &Bot, body: &[u8]) -> Reply {
        let request = send_document(bot, body);
        request.send(self.address).await.unwrap()
    }

    /// Uploads a file as the worker does.
    async fn upload(&self, bot: &Bot, filename: &str, content: &[u8]) -> Reply {
        let fields = [
            ("chat_id", bot.channel_id.as_str()),
            ("caption", "a caption"),
            ("disable_content_type_detection", "true"),
        ];
        self.send_document(bot, &form(&fields, filename, content))
            .await
    }

    /// The stored content of a file.
    async fn content(&self, file_id: &str) -> Vec<u8> {
        let reply = self.telegram.content_of(file_id).await.unwrap();
        let body = reply.unwrap().into_body();
        axum::body::to_bytes(body, usize::MAX).await.unwrap().into()
    }

    async fn messages(&self) -> usize {
        self.telegram.messages().await.unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn start() -> (Server, Bot) {
    let server = Server::start(false).await;
    let bot = server.bot(BotRights::Administrator).await;
    (server, bot)
}

/// A form of text fields and one file called `document`.
fn form(fields: &[(&str, &str)], filename: &str, content: &[u8]) -> Vec<u8> {
    let content = Bytes::copy_from_slice(content);
    fields
        .iter()
        .fold(Form::with_boundary(BOUNDARY), |form, (name, value)| {
            form.field(name, value)
        })
        .file("document", filename, "text/x-ignored", content)
        .closed()
        .concat()
}

fn send_document(bot: &Bot, body: &[u8]) -> Request {
    Request::new("POST", &format!("/bot{}/sendDocument", bot.token))
        .header(
            "Content-Type",
            &format!("multipart/form-data; boundary={BOUNDARY}"),
        )
        .body(vec![Bytes::copy_from_slice(body)])
}

/// Status and `description` of a refusal.
fn refusal(reply: &Reply) -> (u16, String) {
    let json = reply.json();
    assert_eq!(json["ok"], false);
    assert_eq!(json["error_code"], reply.status);
    let description = json["description"].as_str().unwrap();
    (reply.status, description.to_owned())
}

#[tokio::test]
async fn a_document_is_stored_and_described() {
    let (server, bot) = start().await;
    let reply = server.upload(&bot, "Отчёт.pdf", b"%PDF-1.7 content").await;
    assert_eq!(reply.status, 200);
    let result = &reply.json()["result"];
    assert_eq!(result["message_id"], 1);
    assert_eq!(result["chat"]["id"].to_string(), bot.channel_id);
    assert_eq!(result["chat"]["type"], "channel");
    assert_eq!(result["caption"], "a caption");
    assert!(result["date"].as_i64().unwrap() > 1_600_000_000);
    let document = &result["document"];
    assert_eq!(document["file_name"], "Отчёт.pdf");
    assert_eq!(document["mime_type"], "application/pdf");
    assert_eq!(document["file_size"], 16);
    assert!(document["file_unique_id"].is_string());

    let file_id = document["file_id"].as_str().unwrap();
    let message = server.telegram.messages().await.unwrap().remove(0);
    assert_eq!(message.message_id, 1);
    assert_eq!(message.chat_id.to_string(), bot.channel_id);
    assert_eq!(message.bot_id, bot.id);
    assert_eq!(message.caption.as_deref(), Some("a caption"));
    assert_eq!(message.text, None);
    let parameters: Value = serde_json::from_str(&message.parameters).unwrap();
    assert_eq!(
        parameters,
        json!({
            "chat_id": bot.channel_id,
            "caption": "a caption",
            "disable_content_type_detection": "true",
        })
    );
    let file = message.file.unwrap();
    assert_eq!(file.file_id, file_id);
    assert_eq!(file.file_name, "Отчёт.pdf");
    assert_eq!(file.size_bytes, 16);
    assert_eq!(
        file.sha256,
        "d274f10f823f4da5c383bedc6bf03b4aed26b05f8306cf082b8402ae78a456a5"
    );
    assert_eq!(server.content(file_id).await, b"%PDF-1.7 content");
    let second = server.upload(&bot, "b.txt", b"x").await;
    assert_eq!(second.json()["result"]["message_id"], 2);
}

#[tokio::test]
async fn content_that_looks_like_delimiters_is_kept_to_the_byte() {
    let (server, bot) = start().await;
    let mut content = format!("\r\n--{}\r\n--\r\n", &BOUNDARY[..10]).into_bytes();
    for index in 0..3 * MEBIBYTE {
        content.push(u8::try_from(index * 31 % 256).unwrap());
    }
    content.extend_from_slice(b"\r\n-");
    let reply = server.upload(&bot, "a.bin", &content).await;
    let file_id = reply.json()["result"]["document"]["file_id"].clone();
    assert!(server.content(file_id.as_str().unwrap()).await == content);
}

#[tokio::test]
async fn documents_sent_at_once_get_an_id_each() {
    let (server, bot) = start().await;
    let body = form(&[("chat_id", &bot.channel_id)], "a.txt", b"hello");
    let request = send_document(&bot, &body);
    let sending: Vec<_> = (0..20)
        .map(|_| {
            let (address, request) = (server.address, request.clone());
            tokio::spawn(async move { request.send(address).await })
        })
        .collect();
    let mut ids = Vec::new();
    for reply in sending {
        let reply = reply.await.unwrap().unwrap().json();
        ids.push(reply["result"]["message_id"].as_i64().unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_chunked_body_is_taken_and_one_of_no_declared_length_is_empty() {
    let (server, bot) = start().await;
    let body = form(&[("chat_id", &bot.channel_id)], "a.txt", b"hello");
    let head = format!(
        "POST /bot{}/sendDocument HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n",
        bot.token
    );
    let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(7) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(server.send_bytes(&chunked).await.status, 200);

    let undeclared = format!("{head}\r\n");
    let reply = server.send_bytes(undeclared.as_bytes()).await;
    assert_eq!(
        refusal(&reply),
        (
            400,
            "Bad Request: there is no document in the request".into()
        )
    );
    assert_eq!(server.messages().await, 1);
}

#[tokio::test]
async fn a_form_without_its_closing_delimiter_stores_nothing() {
    let (server, bot) = start().await;
    let whole = form(&[("chat_id", &bot.channel_id)], "a.txt", b"hello");
    let closing = "--\r\n".len();
    for missing in [closing, closing + 1, closing + 10, whole.len() / 2] {
        let cut = &whole[..whole.len() - missing];
        let reply = server.send_document(&bot, cut).await;
        assert_eq!(
            refusal(&reply),
            (400, "Bad Request: unexpected end of request content".into())
        );
    }
    assert_eq!(server.messages().await, 0);
}

#[tokio::test]
async fn a_connection_that_breaks_midway_stores_nothing() {
    let (server, bot) = start().await;
    let content = vec![b'x'; 2 * MEBIBYTE];
    let body = form(&[("chat_id", &bot.channel_id)], "a.txt", &content);
    let whole = Bytes::from(send_document(&bot, &body).wire().concat());
    for missing in [1, 3, 1000, MEBIBYTE] {
        let mut connection = Connection::open(server.address).await.unwrap();
        let cut = whole.slice(..whole.len() - missing);
        connection.write(&[cut]).await.unwrap();
        drop(connection);
    }
    // A whole one after them is the first message.
    let reply = server.upload(&bot, "b.txt", b"b").await;
    assert_eq!(reply.json()["result"]["message_id"], 1);
    assert_eq!(server.messages().await, 1);
}

#[tokio::test]
async fn a_body_beyond_fifty_megabytes_is_refused_and_one_of_that_size_is_taken() {
    let (server, bot) = start().await;
    let envelope = form(&[("chat_id", &bot.channel_id)], "a.bin", b"").len();
    let mut content = vec![7; 50 * MEBIBYTE - envelope];
    let body = form(&[("chat_id", &bot.channel_id)], "a.bin", &content);
    let reply = server.send_document(&bot, &body).await;
    assert_eq!(reply.status, 200);

    let file_id = &reply.json()["result"]["document"]["file_id"];
    let path = format!("/bot{}/getFile", bot.token);
    let reply = server
        .post_json(&path, &json!({ "file_id": file_id }))
        .await;
    assert_eq!(
        refusal(&reply),
        (400, "Bad Request: file is too big".into())
    );

    content.push(7);
    let body = form(&[("chat_id", &bot.channel_id)], "a.bin", &content);
    let reply = server.send_document(&bot, &body).await;
    assert_eq!(refusal(&reply), (413, "Request Entity Too Large".into()));
    assert_eq!(server.messages().await, 1);
}

#[tokio::test]
async fn forms_beyond_other_limits_are_refused() {
    let (server, bot) = start().await;
    let chat = ("chat_id", bot.channel_id.as_str());
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
        let reply = server.send_document(&bot, &body).await;
        assert_eq!(refusal(&reply), (status, description.to_owned()));
    }
    let just = form(&[chat, ("caption", &long_caption[2..])], "a", b"x");
    let reply = server.send_document(&bot, &just).await;
    assert_eq!(reply.status, 200);
    assert_eq!(server.messages().await, 1);
}

#[tokio::test]
async fn the_query_comes_before_the_body_and_the_first_wins() {
    let (server, bot) = start().await;
    let fields = [("chat_id", "-1"), ("caption", "one"), ("caption", "two")];
    let body = form(&fields, "a.txt", b"x");
    let path = format!("/bot{}/sendDocument?chat_id={}", bot.token, bot.channel_id);
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let request = Request::new("POST", &path).header("Content-Type", &content_type);
    let request = request.body(vec![Bytes::from(body)]);
    let reply = request.send(server.address).await.unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["result"]["caption"], "one");
}

#[tokio::test]
async fn a_token_is_malformed_or_unknown_or_revoked() {
    let (server, bot) = start().await;
    let unknown = format!("1:{}", "a".repeat(35));
    for (token, (status, description)) in [
        ("nonsense", (404, "Not Found")),
        ("0:abc", (404, "Not Found")),
        (unknown.as_str(), (401, "Unauthorized")),
    ] {
        let reply = server.get(&format!("/bot{token}/getMe")).await;
        assert_eq!(refusal(&reply), (status, description.to_owned()));
    }
    let me = format!("/bot{}/getMe", bot.token);
    assert_eq!(server.get(&me).await.status, 200);
    let token = BotToken::parse(&bot.token).unwrap();
    assert!(server.telegram.revoke_bot(&token).await.unwrap());
    assert!(!server.telegram.revoke_bot(&token).await.unwrap());
    assert_eq!(
        refusal(&server.get(&me).await),
        (401, "Unauthorized".into())
    );
    let reply = server.upload(&bot, "a.txt", b"x").await;
    assert_eq!(refusal(&reply), (401, "Unauthorized".into()));
}

#[tokio::test]
async fn the_channel_check_finds_an_administrator_that_may_post() {
    let (server, bot) = start().await;
    let bot_path = format!("/bot{}", bot.token);
    let me = server.get(&format!("{bot_path}/getMe")).await.json();
    assert_eq!(me["result"]["is_bot"], true);
    let chat_id = &bot.channel_id;
    let chat = server
        .get(&format!("{bot_path}/getChat?chat_id={chat_id}"))
        .await;
    assert_eq!(chat.json()["result"]["type"], "channel");
    // By POST, in JSON, and with the method in another case.
    let body = json!({ "chat_id": chat_id, "user_id": me["result"]["id"] });
    let member = server
        .post_json(&format!("{bot_path}/GETCHATMEMBER"), &body)
        .await;
    let member = member.json()["result"].clone();
    assert_eq!(member["status"], "administrator");
    assert_eq!(member["can_post_messages"], true);
    let none = server.get(&format!("{bot_path}/getNothing")).await;
    assert_eq!(refusal(&none), (404, "Not Found: method not found".into()));
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
        let server = Server::start(false).await;
        let user = server.bot(rights).await;
        let reply = server.upload(&user, "a.txt", b"x").await;
        assert_eq!(refusal(&reply), (status, description.to_owned()));
    }
    let server = Server::start(false).await;
    let user = server.bot(BotRights::Creator).await;
    let reply = server.upload(&user, "a.txt", b"x").await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_file_can_be_fetched_back_by_its_bot_alone() {
    let (server, bot) = start().await;
    let reply = server.upload(&bot, "a.txt", b"hello").await;
    let file_id = reply.json()["result"]["document"]["file_id"].clone();
    let query = format!("getFile?file_id={}", file_id.as_str().unwrap());
    let path = format!("/bot{}/{query}", bot.token);
    let file = server.get(&path).await.json()["result"].clone();
    assert_eq!(file["file_size"], 5);
    let file_path = file["file_path"].as_str().unwrap();
    assert_eq!(file_path, "documents/file_1.txt");
    let content = server
        .get(&format!("/file/bot{}/{file_path}", bot.token))
        .await;
    assert_eq!((content.status, content.body), (200, b"hello".to_vec()));

    let other = server.bot(BotRights::Administrator).await;
    let refused = server.get(&format!("/bot{}/{query}", other.token)).await;
    assert_eq!(refused.status, 400);
    for (token, path) in [
        (&other.token, file_path),
        (&bot.token, "documents/file_2.txt"),
        (&bot.token, "../telegram.sqlite3"),
    ] {
        let refused = server.get(&format!("/file/bot{token}/{path}")).await;
        assert_eq!(refusal(&refused), (404, "Not Found".into()));
    }
    // A path works only after getFile.
    server.upload(&bot, "b.txt", b"x").await;
    let path = format!("/file/bot{}/documents/file_2.txt", bot.token);
    assert_eq!(server.get(&path).await.status, 404);
}

#[tokio::test]
async fn the_content_decides_the_kind_unless_detection_is_off() {
    let (server, bot) = start().await;
    let chat = ("chat_id", bot.channel_id.as_str());
    let off = ("disable_content_type_detection", "true");
    let result = async |fields: &[(&str, &str)]| -> Value {
        let body = form(fields, "a.gif", b"GIF89a....");
        let reply = server.send_document(&bot, &body).await;
        reply.json()["result"].clone()
    };
    let detected = result(&[chat]).await;
    assert_eq!(detected["animation"]["file_size"], 10);
    assert_eq!(detected["animation"], detected["document"]);
    let plain = result(&[chat, off]).await;
    assert!(plain["animation"].is_null());
    assert_eq!(plain["document"]["mime_type"], "image/gif");
}

#[tokio::test]
async fn messages_are_sent_and_deleted_and_files_sent_again() {
    let (server, bot) = start().await;
    let bot_path = format!("/bot{}", bot.token);
    let chat_id = &bot.channel_id;
    let sent = server
        .get(&format!(
            "{bot_path}/sendMessage?chat_id={chat_id}&text=a+b"
        ))
        .await;
    assert_eq!(sent.json()["result"]["text"], "a b");
    let document = server.upload(&bot, "a.txt", b"x").await.json();
    let file_id = &document["result"]["document"]["file_id"];
    let body = json!({ "chat_id": chat_id, "document": file_id });
    let again = server
        .post_json(&format!("{bot_path}/sendDocument"), &body)
        .await;
    assert_eq!(again.json()["result"]["document"]["file_id"], *file_id);
    assert_eq!(server.messages().await, 3);

    let delete = format!("{bot_path}/deleteMessage?chat_id={chat_id}&message_id=2");
    assert_eq!(server.get(&delete).await.json()["result"], true);
    assert_eq!(
        refusal(&server.get(&delete).await),
        (400, "Bad Request: message to delete not found".into())
    );
    assert_eq!(server.messages().await, 2);
}

#[tokio::test]
async fn rates_are_limited_only_when_asked_for() {
    let (server, bot) = start().await;
    for _ in 0..40 {
        let reply = server.upload(&bot, "a.txt", b"x").await;
        assert_eq!(reply.status, 200);
    }

    let server = Server::start(true).await;
    let bot = server.bot(BotRights::Administrator).await;
    let mut refused = None;
    // Faster than twenty in a minute on any machine that passes the other tests in time.
    for _ in 0..21 {
        let reply = server.upload(&bot, "a.txt", b"x").await;
        if reply.status != 200 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.unwrap();
    let seconds = &refused.json()["parameters"]["retry_after"];
    assert_eq!(
        refusal(&refused),
        (429, format!("Too Many Requests: retry after {seconds}"))
    );
    assert_eq!(refused.header("Retry-After"), Some(&*seconds.to_string()));
}

#[tokio::test]
async fn a_verb_other_than_get_and_post_is_not_implemented() {
    let (server, bot) = start().await;
    let path = format!("/bot{}/getMe", bot.token);
    let reply = Request::new("PUT", &path)
        .send(server.address)
        .await
        .unwrap();
    assert_eq!(refusal(&reply), (501, "Not Implemented".into()));
}
