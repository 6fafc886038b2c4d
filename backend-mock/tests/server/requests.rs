//! What every request goes through, and the documentation of the routes.

use std::num::NonZeroU32;

use backend_mock::{RequestLimits, Server};
use serde_json::json;

use crate::client::{get, get_as, options_with, post, request, send, start};

#[tokio::test]
async fn every_reply_names_its_request() {
    let (server, demo) = start().await;
    let with_id = request(
        "GET",
        "/api/files",
        &["X-Request-Id: upload-7.a", "Authorization: Bearer x"],
        b"",
    );
    let reply = send(server.address, &with_id).await.unwrap();
    assert!(reply.has_header("X-Request-Id: upload-7.a"));
    for path in ["/health", "/api/nothing", "/nothing", "/_control/stats"] {
        let reply = get(&server, path).await;
        assert!(reply.header("x-request-id").is_some(), "{path}");
    }
    let bot = format!("/bot{}/getMe", demo.bot_token);
    assert!(get(&server, &bot).await.header("x-request-id").is_some());
    server.shutdown().await;
}

#[tokio::test]
async fn the_server_says_that_it_is_up_and_can_work() {
    let (server, _) = start().await;
    for path in ["/health", "/ready"] {
        let reply = get(&server, path).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.json()["status"], "ok");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_in_the_same_shape() {
    let (server, demo) = start().await;
    let authorization = format!("Authorization: Bearer {}", demo.auth_token);
    for (content_type, status) in [
        ("application/x-www-form-urlencoded", 415),
        ("Multipart/form-data; boundary=x", 415),
        ("text/plain", 422),
        ("application/json; charset=utf-8", 422),
        ("application/vnd.api+json", 422),
    ] {
        let content_type = format!("Content-Type: {content_type}");
        let request = request("POST", "/api/keys", &[&authorization, &content_type], b"{");
        let reply = send(server.address, &request).await.unwrap();
        assert_eq!(reply.detail().0, status, "{content_type}");
    }
    let reply = get(&server, "/api/keys/%ff/rotate").await;
    assert_eq!(reply.detail().0, 405);
    let reply = get_as(&server, "/api/files?limit=x", &demo.auth_token).await;
    assert_eq!(reply.detail().0, 422);
    server.shutdown().await;
}

#[tokio::test]
async fn json_is_taken_whatever_it_is_called_unless_it_is_called_a_form() {
    let (server, demo) = start().await;
    let authorization = format!("Authorization: Bearer {}", demo.auth_token);
    let bot = json!({ "bot_token": demo.bot_token }).to_string();
    let ada = r#"{"email":"ada@example.com","password":"correct horse"}"#;
    let file = r#"{"fileName":"a.txt","messageId":7,"fileId":"F"}"#;
    let ask = async |path: &str, headers: &[&str], body: &str| {
        let request = request("POST", path, headers, body.as_bytes());
        send(server.address, &request).await.unwrap().status
    };
    for (path, body, statuses) in [
        ("/api/auth/register", ada, [201, 400, 400]),
        ("/api/auth/login", ada, [200, 200, 200]),
        ("/api/files", file, [201, 201, 201]),
        ("/api/settings/bot-token", &bot, [200, 200, 200]),
    ] {
        let types = [
            "Content-Type: text/plain;charset=UTF-8",
            "Content-Type: application/octet-stream",
            "X-Content-Type: none",
        ];
        for (content_type, status) in types.into_iter().zip(statuses) {
            let got = ask(path, &[content_type, &authorization], body).await;
            assert_eq!(got, status, "{path} {content_type}");
        }
        let multipart = "Content-Type: multipart/form-data; boundary=x";
        let got = ask(path, &[multipart, &authorization], body).await;
        assert_eq!(got, 415, "{path}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let limits = RequestLimits {
        user_per_minute: NonZeroU32::new(3),
        sign_in_per_minute: NonZeroU32::new(2),
        address_per_minute: NonZeroU32::new(100),
    };
    let options = options_with(|backend| backend.request_limits = limits);
    let server = Server::start(options).await.unwrap();
    let token = server.demo.as_ref().unwrap().auth_token.clone();
    let mut refused = 0;
    for _ in 0..5 {
        let reply = get_as(&server, "/api/auth/me", &token).await;
        if reply.status == 429 {
            assert!(reply.header("retry-after").is_some(), "{}", reply.text());
            assert!(reply.detail().1.starts_with("Too many requests"));
            refused += 1;
        }
    }
    assert!(refused >= 1);
    let login = r#"{"username":"nobody@example.com","password":"wrong"}"#;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(post(&server, "/api/auth/login", login).await.status);
    }
    assert_eq!(statuses[..2], [401, 401]);
    assert_eq!(statuses[2], 429);
    server.shutdown().await;
}

#[tokio::test]
async fn every_route_is_documented_and_the_page_loads_nothing_from_elsewhere() {
    let (server, _) = start().await;
    let document = get(&server, "/api/openapi.json").await.json();
    for (path, verbs) in [
        ("/health", vec!["get"]),
        ("/ready", vec!["get"]),
        ("/api/auth/register", vec!["post"]),
        ("/api/auth/login", vec!["post"]),
        ("/api/auth/me", vec!["get"]),
        ("/api/auth/client-config", vec!["get"]),
        ("/api/usage", vec!["get"]),
        ("/api/keys", vec!["get", "post"]),
        ("/api/keys/{id}", vec!["delete"]),
        ("/api/keys/{id}/rotate", vec!["post"]),
        ("/api/worker/credentials", vec!["get"]),
        ("/api/settings/bot-token", vec!["post"]),
        ("/api/destinations", vec!["get", "post"]),
        ("/api/destinations/{id}", vec!["delete"]),
        ("/api/destinations/{id}/prefer", vec!["post"]),
        ("/api/me/data", vec!["delete"]),
        ("/api/telegram/request-code", vec!["post"]),
        ("/api/telegram/verify-code", vec!["post"]),
        ("/api/telegram/request-qr", vec!["post"]),
        ("/api/telegram/verify-qr", vec!["post"]),
        ("/api/webhook/upload", vec!["post"]),
        ("/api/files", vec!["get", "post"]),
    ] {
        let verbs_there = document["paths"][path].as_object().unwrap().keys();
        assert!(verbs_there.eq(verbs), "{path}");
    }
    // What is referred to is there.
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
    for (_, rest) in text
        .match_indices("#/components/schemas/")
        .map(|(at, it)| (at, &text[at + it.len()..]))
    {
        let name = rest.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
    for (path, operations) in document["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let description = response["description"].as_str().unwrap_or_default();
                assert!(!description.is_empty(), "{path} {status}");
            }
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_page_shows_the_api_and_loads_nothing_from_elsewhere() {
    let (server, _) = start().await;
    let page = get(&server, "/api/docs/").await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'"));
    let html = String::from_utf8(page.body.clone()).unwrap();
    assert!(!html.contains("://"), "{html}");
    for file in [
        "swagger-initializer.js",
        "swagger-ui-bundle.js",
        "swagger-ui.css",
    ] {
        assert!(html.contains(file), "{html}");
        let reply = get(&server, &format!("/api/docs/{file}")).await;
        assert_eq!(reply.status, 200, "{file}");
        if file == "swagger-initializer.js" {
            let script = String::from_utf8(reply.body.clone()).unwrap();
            assert!(script.contains("/api/openapi.json"), "{script}");
        }
    }
    server.shutdown().await;
}
