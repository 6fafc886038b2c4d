//! `telestore-backend`, in a process of its own.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use bytes::Bytes;
use serde_json::{Value, json};
use testkit::http::{Reply, Request};

const PRODUCTION: [(&str, &str); 3] = [
    ("DEPLOY_ENV", "production"),
    (
        "ENCRYPTION_KEY",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    ),
    ("JWT_SECRET", "kJ8vQz2LmX4nR7tYw1pB6cHd9sFgA0eU"),
];

/// A server that runs. Dropped, it is killed.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_telestore-backend"));
    command
        .env_clear()
        .current_dir(folder)
        .args(arguments)
        .args(["--data", "backend.sqlite3"]);
    command
}

fn start(folder: &Path) -> Process {
    let mut child = command(folder, &["--listen", "127.0.0.1:0"])
        .envs(PRODUCTION)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).expect("it starts");
    let url = ready["listening"].as_str().unwrap();
    let address = url.strip_prefix("http://").unwrap().parse().unwrap();
    Process { child, address }
}

async fn get(server: &Process, path: &str) -> Reply {
    let request = Request::new("GET", path);
    request.send(server.address).await.unwrap()
}

#[tokio::test]
async fn production_serves_without_an_emulator_and_the_command_line_works_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    assert_eq!(get(&server, "/ready").await.status, 200);
    assert_eq!(get(&server, "/api/docs/").await.status, 200);
    let ada = json!({ "email": "ada@example.com", "password": "correct horse" });
    let register = Request::new("POST", "/api/auth/register")
        .header("Content-Type", "application/json")
        .body(vec![Bytes::from(ada.to_string())]);
    let registered = register.send(server.address).await.unwrap();
    assert_eq!(registered.status, 201);
    // There is neither an emulated Telegram nor a test control.
    let token = format!("1:{}", "a".repeat(35));
    for path in [
        &*format!("/bot{token}/getMe"),
        "/_control/stats",
        "/nothing",
    ] {
        let reply = get(&server, path).await;
        assert_eq!(reply.status, 404);
        assert_eq!(reply.json(), json!({ "detail": "Not Found" }));
    }
    let listed = command(folder.path(), &["users", "list", "--json"]).output();
    let users: Value = serde_json::from_slice(&listed.unwrap().stdout).unwrap();
    assert_eq!(users[0]["id"], registered.json()["user"]["id"]);
}

#[test]
fn production_does_not_start_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path(), &["--listen", "127.0.0.1:0"])
        .env("DEPLOY_ENV", "production")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("ENCRYPTION_KEY"), "{said}");
    assert!(!folder.path().join("backend.sqlite3").exists());
}
