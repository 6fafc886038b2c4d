//! A PostgreSQL for a test: the one that `TEST_DATABASE_URL` names, which must be empty, or one that
//! is started from what Debian installs.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

const VERSIONS: &str = "/usr/lib/postgresql";
/// How often a server that starts is asked whether it is up, and how long in between.
const ATTEMPTS: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// A server. One that was started ends with this value, and leaves nothing.
pub struct Server {
    /// Where it listens, with its first database.
    pub url: String,
    started: Option<(Child, TempDir)>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.started {
            // At once, but not by SIGKILL: that leaves its shared memory behind.
            let _ = Command::new("kill")
                .args(["-QUIT", &child.id().to_string()])
                .status();
            let _ = child.wait();
        }
    }
}

/// A server that answers; `None` where there is none to start.
pub async fn server() -> Option<Server> {
    if let Ok(url) = env::var("TEST_DATABASE_URL") {
        return Some(Server { url, started: None });
    }
    let programs = newest_programs()?;
    // It refuses to run as root.
    let user = if is_root() {
        Some(user_called_postgres()?)
    } else {
        None
    };
    let folder = TempDir::new().unwrap();
    chown(folder.path(), user, None).unwrap();
    let command = |program: &str| {
        let mut command = Command::new(programs.join(program));
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(user) = user {
            command.uid(user);
        }
        command
    };
    let made = command("initdb")
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
        .args(["--no-sync", "--pgdata=data"])
        .status();
    assert!(made.unwrap().success(), "initdb failed");
    let port = free_port();
    let child = command("postgres")
        .args(["-D", "data", "-p", &port.to_string(), "-k", ""])
        .args(["-c", "listen_addresses=127.0.0.1"])
        // It is thrown away: nothing in it has to outlive a power failure.
        .args(["-c", "fsync=off", "-c", "full_page_writes=off"])
        .spawn()
        .unwrap();
    let server = Server {
        url: format!("postgres://postgres@127.0.0.1:{port}/postgres"),
        started: Some((child, folder)),
    };
    for _ in 0..ATTEMPTS {
        if let Ok(connection) = PgConnection::connect(&server.url).await {
            connection.close().await.unwrap();
            return Some(server);
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("the PostgreSQL that was started does not answer");
}

fn newest_programs() -> Option<PathBuf> {
    let versions = fs::read_dir(Path::new(VERSIONS)).ok()?;
    versions
        .filter_map(|version| {
            let version = version.ok()?;
            let number: u32 = version.file_name().to_str()?.parse().ok()?;
            let programs = version.path().join("bin");
            programs
                .join("initdb")
                .exists()
                .then_some((number, programs))
        })
        .max()
        .map(|(_, programs)| programs)
}

fn is_root() -> bool {
    id(&["-u"]) == Some(0)
}

fn user_called_postgres() -> Option<u32> {
    id(&["-u", "postgres"])
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
