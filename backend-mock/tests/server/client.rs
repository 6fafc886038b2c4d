//! A client that sends exactly the bytes it is told to.

use std::net::SocketAddr;

use backend_mock::{
    BackendOptions, Data, Options, PasswordCost, Provisioned, Running, Server, Setup,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::on_postgresql;

pub(crate) const BOUNDARY: &str = "----boundary-9b1c52d0a7e84f3c";

/// A reply, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

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
        self.headers
            .lines()
            .any(|header| header.eq_ignore_ascii_case(line))
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

/// Sends bytes and reads until the server closes; `None` if it closed without a reply.
pub(crate) async fn send(address: SocketAddr, request: &[u8]) -> Option<Reply> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let reading = tokio::spawn(async move {
        let mut bytes = Vec::new();
        // A reset ends what there is to read as well.
        let _ = read.read_to_end(&mut bytes).await;
        bytes
    });
    let _ = write.write_all(request).await;
    let bytes = reading.await.unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let headers = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    let body = bytes[end + 4..].to_vec();
    let length = headers.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    assert_eq!(Some(body.len()), length, "a reply is whole");
    Some(Reply {
        status,
        headers,
        body,
    })
}

/// A whole request with these header lines and body.
pub(crate) fn request(method: &str, path: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let headers: String = headers.iter().flat_map(|line| [*line, "\r\n"]).collect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\
         Content-Length: {length}\r\n\r\n"
    );
    let mut request = head.into_bytes();
    request.extend_from_slice(body);
    request
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
    let mut form = Vec::with_capacity(content.len() + 1024);
    for (name, value) in fields {
        form.extend_from_slice(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
            .as_bytes(),
        );
    }
    form.extend_from_slice(
        format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"document\"; \
             filename=\"{filename}\"\r\nContent-Type: text/x-ignored\r\n\r\n"
        )
        .as_bytes(),
    );
    form.extend_from_slice(content);
    form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    form
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
