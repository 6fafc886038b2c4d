//! What outlives a restart, and what is on the disk.

use std::{
    fs,
    path::{Path, PathBuf},
};

use backend_mock::{BackendOptions, Data, Options, Provisioned, Running, Server};

use crate::{
    client::{get, get_as, messages, options_with, upload},
    on_postgresql,
};

/// A folder that goes with the test.
pub(crate) struct Folder {
    path: PathBuf,
    /// The database, where it is not in the folder.
    database_url: Option<String>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let name = format!("backend-mock-test-{}", uuid::Uuid::new_v4());
        Self {
            path: std::env::temp_dir().join(name),
            database_url: on_postgresql::fresh_database(),
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("deep").join("mock.sqlite3")
    }

    /// What a process has to know of the database.
    pub(crate) fn database_variable(&self) -> Option<(&'static str, &str)> {
        let url = self.database_url.as_deref();
        url.map(|url| ("DATABASE_URL", url))
    }

    pub(crate) async fn start(&self) -> (Running, Provisioned) {
        let server = Server::start(self.options()).await.unwrap();
        let demo = server.demo.clone().unwrap();
        (server, demo)
    }

    pub(crate) fn options(&self) -> Options {
        self.options_with(|_| {})
    }

    /// The options of a server on the folder's data, whose backend is changed so.
    pub(crate) fn options_with(&self, change: impl FnOnce(&mut BackendOptions)) -> Options {
        options_with(|backend| {
            backend.data = Data::File(self.data());
            backend.database_url.clone_from(&self.database_url);
            change(backend);
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn all_bytes(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            bytes.extend(all_bytes(&path));
        } else {
            bytes.extend(fs::read(&path).unwrap());
        }
    }
    bytes
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn everything_acknowledged_outlives_a_restart() {
    let folder = Folder::new();
    let (server, demo) = folder.start().await;
    let reply = upload(&server, &demo, "a.txt", b"hello").await.unwrap();
    let file_id = reply.json()["result"]["document"]["file_id"].clone();
    // No shutdown: as if the process had been killed.
    drop(server);

    let (server, again) = folder.start().await;
    assert_eq!(again.user_id, demo.user_id);
    assert_eq!(again.bot_token, demo.bot_token);
    assert_eq!(again.channel_id, demo.channel_id);
    // The token of before is good still.
    let reply = get_as(&server, "/api/worker/credentials", &demo.auth_token).await;
    assert_eq!(reply.json()["bot_token"], demo.bot_token);
    assert_eq!(messages(&server).await[0]["file_id"], file_id);
    let path = format!("/_control/files/{}", file_id.as_str().unwrap());
    assert_eq!(get(&server, &path).await.body, b"hello");
    let reply = upload(&server, &again, "b.txt", b"x").await.unwrap();
    assert_eq!(reply.json()["result"]["message_id"], 2);
    server.shutdown().await;
}

#[tokio::test]
async fn no_secret_is_on_the_disk_in_the_clear() {
    let folder = Folder::new();
    let (server, demo) = folder.start().await;
    let credentials = get_as(&server, "/api/worker/credentials", &demo.auth_token).await;
    let credentials = credentials.json();
    server.shutdown().await;
    let bytes = all_bytes(&folder.path);
    // That of PostgreSQL is elsewhere.
    assert_eq!(contains(&bytes, &demo.user_id), !on_postgresql::is_here());
    let (_, bot_secret) = demo.bot_token.split_once(':').unwrap();
    for secret in [
        bot_secret,
        credentials["telegram_session"].as_str().unwrap(),
        credentials["telegram_api_hash"].as_str().unwrap(),
    ] {
        assert!(!contains(&bytes, secret));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_key_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let (server, _) = folder.start().await;
    let mut key = folder.data().into_os_string();
    key.push(".key");
    let mode = fs::metadata(key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    server.shutdown().await;
}

#[tokio::test]
async fn a_key_that_does_not_fit_the_data_is_told_at_the_start() {
    let folder = Folder::new();
    let (server, _) = folder.start().await;
    server.shutdown().await;
    // Another key, and none.
    for key in ["BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", "short"] {
        let options = folder.options_with(|backend| backend.encryption_key = Some(key.to_owned()));
        assert!(Server::start(options).await.is_err(), "{key}");
    }
}

#[tokio::test]
async fn a_file_left_half_written_is_gone_at_the_next_start() {
    let folder = Folder::new();
    let (server, _) = folder.start().await;
    server.shutdown().await;
    let mut files = folder.data().into_os_string();
    files.push(".files");
    let files = PathBuf::from(files);
    fs::write(files.join("left.part"), b"half").unwrap();
    let (server, _) = folder.start().await;
    assert_eq!(fs::read_dir(&files).unwrap().count(), 0);
    server.shutdown().await;
}

#[tokio::test]
async fn without_the_emulator_there_is_no_folder_of_files() {
    let folder = Folder::new();
    let server = Server::start(Options {
        emulator: false,
        demo: false,
        ..folder.options()
    })
    .await
    .unwrap();
    server.shutdown().await;
    let data = folder.data();
    let beside = fs::read_dir(data.parent().unwrap()).unwrap();
    let mut folders = beside.filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert!(folders.next().is_none());
}
