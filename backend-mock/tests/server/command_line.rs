//! The command line, beside a server on the same file.

use std::process::{Command, Output};

use backend_mock::Server;
use serde_json::Value;

use crate::{
    client::{get_as, post, post_as},
    on_postgresql,
    persistence::Folder,
};

const CREDENTIALS: &str = "/api/worker/credentials";

/// Runs the program on a folder's data, in an environment of nothing.
pub(crate) async fn run(folder: &Folder, arguments: &str) -> Output {
    run_with(folder, arguments, &[]).await
}

/// Runs the program on a folder's data, in an environment of these variables alone.
async fn run_with(folder: &Folder, arguments: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backend-mock"));
    command.env_clear().args(arguments.split(' '));
    command.envs(variables.iter().copied());
    command.envs(folder.database_variable());
    command.arg("--data").arg(folder.data());
    command.current_dir(std::env::temp_dir());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

pub(crate) async fn json(folder: &Folder, arguments: &str) -> Value {
    json_with(folder, arguments, &[]).await
}

/// What the program answers in JSON.
pub(crate) async fn json_with(
    folder: &Folder,
    arguments: &str,
    variables: &[(&str, &str)],
) -> Value {
    let arguments = format!("{arguments} --json");
    let output = run_with(folder, &arguments, variables).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn table(folder: &Folder, arguments: &str) -> String {
    let output = run(folder, arguments).await;
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn keys_are_made_used_rotated_and_revoked_while_the_server_runs() {
    let folder = Folder::new();
    let (server, demo) = folder.start().await;
    let made = json(
        &folder,
        "keys create --user demo@example.com --name ci --expires-days 7",
    )
    .await;
    let key = made["key"].as_str().unwrap();
    let id = made["id"].as_str().unwrap();
    for _ in 0..3 {
        assert_eq!(get_as(&server, CREDENTIALS, key).await.status, 200);
    }
    let listed = table(&folder, "keys list").await;
    assert!(
        listed.contains(id) && listed.contains(&key[..8]),
        "{listed}"
    );
    assert!(!listed.contains(key));

    let rotated = json(&folder, &format!("keys rotate {id}")).await;
    assert_eq!(get_as(&server, CREDENTIALS, key).await.status, 401);
    let key = rotated["key"].as_str().unwrap();
    assert_eq!(get_as(&server, CREDENTIALS, key).await.status, 200);
    json(&folder, &format!("keys revoke {id}")).await;
    assert_eq!(get_as(&server, CREDENTIALS, key).await.status, 401);

    let users = json(&folder, "users list").await;
    assert_eq!(users[0]["id"], demo.user_id);
    server.shutdown().await;
    // The fetches were gathered; the shutdown has written them.
    let audit = json(&folder, "audit tail -n 100 --user demo@example.com").await;
    let actions: Vec<_> = audit.as_array().unwrap().iter().collect();
    let count = |action: &str| {
        let of_key = actions.iter().filter(|row| row["action"] == action);
        of_key.count()
    };
    assert_eq!(count("credentials.fetch"), 4);
    assert_eq!(count("key.create"), 1);
    assert_eq!(count("key.rotate"), 1);
    assert_eq!(count("key.revoke"), 1);
    assert_eq!(count("credentials.set"), 1);
    assert!(!audit.to_string().contains(key));
    let output = run(&folder, "keys revoke nothing").await;
    assert!(!output.status.success());
}

#[tokio::test]
async fn a_command_makes_no_database_where_there_is_none() {
    if on_postgresql::is_here() {
        // There is one.
        return;
    }
    let folder = Folder::new();
    let output = run(&folder, "users list").await;
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("there is no database at"), "{said}");
    assert!(!folder.data().exists());
}

#[tokio::test]
async fn uses_of_a_key_are_counted() {
    let folder = Folder::new();
    let (server, demo) = folder.start().await;
    let body = r#"{"name":"laptop"}"#;
    let made = post_as(&server, "/api/keys", &demo.auth_token, body).await;
    let key = made.json()["key"].as_str().unwrap().to_owned();
    for _ in 0..5 {
        get_as(&server, CREDENTIALS, &key).await;
    }
    server.shutdown().await;
    let listed = json(&folder, "keys list --user demo@example.com").await;
    assert_eq!(listed[0]["request_count"], 5);
    assert!(listed[0]["last_used_at"].is_string());
}

#[tokio::test]
async fn secrets_are_sealed_anew_while_the_server_runs() {
    let folder = Folder::new();
    let (server, demo) = folder.start().await;
    let rotated = json(&folder, "rotate-key --label next").await;
    // The bot's token, hash and session of the account, the secret of access tokens.
    assert_eq!(rotated["resealed"], 4);
    let credentials = get_as(&server, CREDENTIALS, &demo.auth_token).await.json();
    assert_eq!(credentials["bot_token"], demo.bot_token);
    assert!(credentials["telegram_session"].is_string());
    server.shutdown().await;

    // The new key alone opens everything from here on, and the old one nothing.
    let key_file = format!("{}.key", folder.data().display());
    let keys = std::fs::read_to_string(&key_file).unwrap();
    let keys: Vec<_> = keys.lines().collect();
    assert_eq!(keys.len(), 2);
    assert!(keys[0].starts_with("next:"));
    let with =
        |keys: &str| folder.options_with(|backend| backend.encryption_key = Some(keys.to_owned()));
    let refused = Server::start(with(keys[1])).await.unwrap_err().to_string();
    assert!(refused.contains("`next`"), "{refused}");
    let server = Server::start(with(keys[0])).await.unwrap();
    let again = server.demo.clone().unwrap();
    assert_eq!(again.bot_token, demo.bot_token);
    server.shutdown().await;
}

#[tokio::test]
async fn logins_are_in_the_audit_log_and_so_is_a_connected_account() {
    let folder = Folder::new();
    let (server, demo) = folder.start().await;
    let ada = r#"{"email":"ada@example.com","password":"correct horse"}"#;
    let registered = post(&server, "/api/auth/register", ada).await.json();
    let ada_id = &registered["user"]["id"];
    for (body, status) in [
        (ada, 200),
        (r#"{"email":"ada@example.com","password":"wr0ng"}"#, 401),
        (r#"{"email":"correct horse","password":"wr0ng"}"#, 401),
    ] {
        let reply = post(&server, "/api/auth/login", body).await;
        assert_eq!(reply.status, status);
    }
    server.shutdown().await;
    let audit = json(&folder, "audit tail -n 100").await;
    let rows = audit.as_array().unwrap();
    let of = |action: &str| {
        let rows = rows.iter().filter(|row| row["action"] == action);
        rows.map(|row| (row["user_id"].clone(), row["result"].clone()))
            .collect::<Vec<_>>()
    };
    let logins = [
        (ada_id.clone(), "ok".into()),
        (ada_id.clone(), "refused".into()),
        (Value::Null, "refused".into()),
    ];
    assert_eq!(of("user.login"), logins);
    let connected = [(demo.user_id.into(), "ok".into())];
    assert_eq!(of("telegram.connect"), connected);
    let text = audit.to_string();
    assert!(!text.contains("horse") && !text.contains("wr0ng"), "{text}");
}

#[tokio::test]
async fn production_does_not_start_without_its_secrets() {
    let folder = Folder::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_backend-mock"));
    command.env_clear().env("DEPLOY_ENV", "production");
    command
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(folder.data());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("ENCRYPTION_KEY") && said.contains("openssl rand -base64 32"),
        "{said}"
    );
    assert!(!folder.data().exists());
}
