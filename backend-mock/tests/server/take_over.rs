//! Data of an earlier release, which kept the emulator's tables in the backend's database.

use std::{fs, path::Path};

use sqlx::{AnyConnection, AssertSqlSafe, Connection};

use crate::{
    client::{get, get_as, messages, request, send, upload},
    on_postgresql,
    persistence::Folder,
};

/// A SQLite file of release 0.1.0 with a demo user, another user whose bot is revoked, and a message.
const DATABASE: &str = include_str!("earlier_release/0.1.0.sql");
const KEY: &str = include_str!("earlier_release/0.1.0.key");
const USER_ID: &str = "57e6357a-8eab-4fad-91fc-04f973e8ac5d";
const BOT_TOKEN: &str = "3462047339:odce8Yo7oRNuUiUkfICgfv80jvmFl7QgdVqX";
const REVOKED_BOT_TOKEN: &str = "4756258607:RSsG8jtgCRlpG_68YceNkSdDcetzmfL8693S";
const CHANNEL_ID: &str = "-1003763227361";
const FILE_ID: &str = "BQACAgIAAxLD3J0gnkhMSnSvMGZI16SzV9GZwx-O7nAAxxHI3W7TohuVO05V1jYp8G2sFy";
const BLOB: &str = "8fc40f47a09247a2afa3aee784d1293a";
const CONTENT: &[u8] = b"hello from 0.1.0";

/// The step of the schema's history that made the emulator's tables in the backend's database.
const TELEGRAM_TABLES: &str = include_str!("../../../backend/migrations/0002_telegram.sql");

async fn connect(folder: &Folder) -> AnyConnection {
    sqlx::any::install_default_drivers();
    let url = match folder.database_variable() {
        Some((_, url)) => url.to_owned(),
        None => format!("sqlite://{}?mode=rwc", folder.data().display()),
    };
    AnyConnection::connect(&url).await.unwrap()
}

async fn run(connection: &mut AnyConnection, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

async fn has_emulators_tables(folder: &Folder) -> bool {
    let mut connection = connect(folder).await;
    let select = sqlx::query("SELECT 1 FROM telegram_messages");
    let is_there = select.execute(&mut connection).await.is_ok();
    connection.close().await.unwrap();
    is_there
}

/// A statement for SQLite in the dialect of the database that the tests run on.
fn dialect(sql: &str) -> String {
    if on_postgresql::is_here() {
        sql.replace("INTEGER PRIMARY KEY", "BIGINT PRIMARY KEY")
            .replace(" BLOB", " BYTEA")
    } else {
        sql.to_owned()
    }
}

fn beside(path: &Path, suffix: &str) -> String {
    format!("{}{suffix}", path.display())
}

#[tokio::test]
async fn a_file_of_release_0_1_0_opens_with_everything_in_it() {
    if on_postgresql::is_here() {
        // The file is SQLite's.
        return;
    }
    let folder = Folder::new();
    let data = folder.data();
    let files = beside(&data, ".files");
    fs::create_dir_all(&files).unwrap();
    fs::write(format!("{files}/{BLOB}"), CONTENT).unwrap();
    fs::write(beside(&data, ".key"), KEY).unwrap();
    let mut connection = connect(&folder).await;
    run(&mut connection, DATABASE).await;
    connection.close().await.unwrap();

    let (server, demo) = folder.start().await;
    assert_eq!(demo.user_id, USER_ID);
    assert_eq!(demo.bot_token, BOT_TOKEN);
    assert_eq!(demo.channel_id, CHANNEL_ID);
    let credentials = get_as(&server, "/api/worker/credentials", &demo.auth_token).await;
    assert_eq!(credentials.json()["bot_token"], BOT_TOKEN);
    let uploads = get_as(&server, "/api/files", &demo.auth_token).await.json();
    assert_eq!(uploads[0]["fileId"], FILE_ID);
    let events = get(&server, "/_control/notifications").await.json();
    assert_eq!(events[0]["headers"]["webhook-id"], "ev-1");

    let message = &messages(&server).await[0];
    assert_eq!(message["chat_id"].to_string(), CHANNEL_ID);
    assert_eq!(message["caption"], "old");
    assert_eq!(message["file_id"], FILE_ID);
    let stored = get(&server, &format!("/_control/files/{FILE_ID}")).await;
    assert_eq!(stored.body, CONTENT);
    let revoked = format!("/bot{REVOKED_BOT_TOKEN}/getMe");
    let revoked = send(server.address, &request("GET", &revoked, &[], b"")).await;
    assert_eq!(revoked.unwrap().refusal().0, 401);
    let reply = upload(&server, &demo, "new.txt", b"x").await.unwrap();
    assert_eq!(reply.json()["result"]["message_id"], 2);
    server.shutdown().await;

    assert!(!has_emulators_tables(&folder).await);
    // At the next start everything is where it was put.
    let (server, _) = folder.start().await;
    assert_eq!(messages(&server).await.len(), 2);
    server.shutdown().await;
}

#[tokio::test]
async fn the_emulators_tables_move_out_of_either_database() {
    let folder = Folder::new();
    let (server, demo) = folder.start().await;
    server.shutdown().await;
    let mut connection = connect(&folder).await;
    // As it was before the emulator moved out.
    let undo = "DELETE FROM _sqlx_migrations WHERE version = 6";
    run(&mut connection, undo).await;
    run(&mut connection, &dialect(TELEGRAM_TABLES)).await;
    for row in [
        "telegram_bots VALUES (7, CAST('hash' AS BLOB), 'b', 'B', TRUE)",
        "telegram_chats VALUES (-1007, 'channel', 'C', 41)",
        "telegram_members VALUES (-1007, 7, 'member')",
        "telegram_files VALUES (5, 'F', 'U', 7, 'document', 'a', 'a/b', 9, '00', 'blob', NULL)",
        "telegram_messages VALUES (-1007, 40, 7, 1, 5, NULL, 'c', '{}')",
        "telegram_messages VALUES (-1007, 41, 7, 2, NULL, 't', NULL, '{}')",
    ] {
        let insert = dialect(&format!("INSERT INTO {row}"));
        run(&mut connection, &insert).await;
    }
    connection.close().await.unwrap();

    let (server, again) = folder.start().await;
    assert_eq!(again.bot_token, demo.bot_token);
    let listed = messages(&server).await;
    let shown = |index: usize, field: &str| listed[index][field].clone();
    assert_eq!(listed.len(), 2);
    assert_eq!(shown(0, "message_id"), 40);
    assert_eq!(shown(0, "file_id"), "F");
    assert_eq!(shown(0, "caption"), "c");
    assert_eq!(shown(1, "message_id"), 41);
    assert_eq!(shown(1, "text"), "t");
    server.shutdown().await;
    assert!(!has_emulators_tables(&folder).await);
}
