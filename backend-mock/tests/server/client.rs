//! A client that sends exactly the bytes it is told to.

use std::{
    io::ErrorKind::{ConnectionReset, UnexpectedEof},
    net::SocketAddr,
    ops::Deref,
};

use backend_mock::{
    BackendOptions, Data, Options, PasswordCost, Provisioned, Running, Server, Setup,
};
use bytes::Bytes;
use serde_json::Value;
use testkit::{
    form::Form,
    http::{self, Connection},
};

use crate::on_postgresql;

pub(crate) use testkit::form::BOUNDARY;

/// A reply, read to its end.
#[derive(Debug)]
pub(crate) struct Reply(http::Reply);

impl Deref for Reply {
    type Target = http::Reply;

    fn deref(&self) -> &http::Reply {
        &self.0
    }
}

impl Reply {
    /// Status and `description`, as the Bot API refuses.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let json = self.json();
        assert_eq!(json["ok"], false);
        assert_eq!(json["error_code"], self.status);
        (
            self.status,
            json["description"].as_str().unwrap().to_owned(),
        )
    }

    /// Status and `detail`, as the backend refuses.
    pub(crate) fn detail(&self) -> (u16, String) {
        let json = self.json();
        (self.status, json["detail"].as_str().unwrap().to_owned())
    }

    pub(crate) fn has_header(&self, line: &str) -> bool {
        let (name, value) = line.split_once(": ").expect("a header");
        self.header(name)
            .is_some_and(|known| known.eq_ignore_ascii_case(value))
    }
}

pub(crate) fn options() -> Options {
    Options {
        listen: "127.0.0.1:0".to_owned(),
        demo: true,
        control: true,
        backend: BackendOptions {
            data: Data::Memory,
            password_cost: PasswordCost::Minimal,
            database_url: on_postgresql::fresh_database(),
            ..BackendOptions::default()
        },
        ..Options::default()
    }
}

/// The options of a server whose backend is changed so.
pub(crate) fn options_with(change: impl FnOnce(&mut BackendOptions)) -> Options {
    let mut options = options();
    change(&mut options.backend);
    options
}

pub(crate) async fn start() -> (Running, Provisioned) {
    let server = Server::start(options()).await.unwrap();
    let demo = server.demo.clone().unwrap();
    (server, demo)
}

pub(crate) async fn user(server: &Running, setup: Setup) -> Provisioned {
    server.add_user(&setup).await.unwrap()
}

/// Sends bytes and reads the reply; `None` when the server closes without one.
pub(crate) async fn send(address: SocketAddr, request: &[u8]) -> Option<Reply> {
    let mut connection = Connection::open(address).await.unwrap();
    let request = Bytes::copy_from_slice(request);
    match connection.exchange(&[request]).await {
        Ok(reply) => Some(Reply(reply)),
        Err(error) if matches!(error.kind(), UnexpectedEof | ConnectionReset) => None,
        Err(error) => panic!("{error}"),
    }
}

/// A whole request with these header lines and body.
pub(crate) fn request(method: &str, path: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut request = http::Request::new(method, path).header("Connection", "close");
    for line in headers {
        let (name, value) = line.split_once(": ").expect("a header");
        request = request.header(name, value);
    }
    let body = vec![Bytes::copy_from_slice(body)];
    request.body(body).wire().concat()
}

pub(crate) async fn get(server: &Running, path: &str) -> Reply {
    send(server.address, &request("GET", path, &[], b""))
        .await
        .unwrap()
}

pub(crate) async fn get_as(server: &Running, path: &str, token: &str) -> Reply {
    let header = format!("Authorization: Bearer {token}");
    send(server.address, &request("GET", path, &[&header], b""))
        .await
        .unwrap()
}

pub(crate) async fn post(server: &Running, path: &str, body: &str) -> Reply {
    let headers = ["Content-Type: application/json"];
    send(
        server.address,
        &request("POST", path, &headers, body.as_bytes()),
    )
    .await
    .unwrap()
}

pub(crate) async fn post_as(server: &Running, path: &str, token: &str, body: &str) -> Reply {
    let authorization = format!("Authorization: Bearer {token}");
    let headers = ["Content-Type: application/json", &authorization];
    send(
        server.address,
        &request("POST", path, &headers, body.as_bytes()),
    )
    .await
    .unwrap()
}

pub(crate) async fn delete_as(server: &Running, path: &str, token: &str) -> Reply {
    let header = format!("Authorization: Bearer {token}");
    send(server.address, &request("DELETE", path, &[&header], b""))
        .await
        .unwrap()
}

/// A form of text fields and one file called `document`.
pub(crate) fn form(fields: &[(&str, &str)], filename: &str, content: &[u8]) -> Vec<u8> {
    let mut form = Form::new();
    for (name, value) in fields {
        form = form.field(name, value);
    }
    let content = Bytes::copy_from_slice(content);
    form.file("document", filename, "text/x-ignored", content)
        .closed()
        .concat()
}

pub(crate) fn send_document(user: &Provisioned, form: &[u8]) -> Vec<u8> {
    let path = format!("/bot{}/sendDocument", user.bot_token);
    let content_type = format!("Content-Type: multipart/form-data; boundary={BOUNDARY}");
    request("POST", &path, &[&content_type], form)
}

/// Uploads a file as the worker does.
pub(crate) async fn upload(
    server: &Running,
    user: &Provisioned,
    filename: &str,
    content: &[u8],
) -> Option<Reply> {
    let fields = [
        ("chat_id", user.channel_id.as_str()),
        ("caption", "a caption"),
        ("disable_content_type_detection", "true"),
    ];
    let form = form(&fields, filename, content);
    send(server.address, &send_document(user, &form)).await
}

pub(crate) async fn messages(server: &Running) -> Vec<Value> {
    let reply = get(server, "/_control/messages").await;
    reply.json().as_array().unwrap().clone()
}

pub(crate) async fn stats(server: &Running) -> (u64, u64, u64) {
    let stats = get(server, "/_control/stats").await.json();
    let count = |name: &str| stats[name].as_u64().unwrap();
    (
        count("credentials"),
        count("send_document"),
        count("notifications"),
    )
}
