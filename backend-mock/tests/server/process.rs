//! The program itself, in a process of its own.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::persistence::Folder;

/// A server that runs. Dropped, it is killed.
pub(crate) struct Process {
    pub(crate) base_url: String,
    child: Child,
}

impl Process {
    /// Starts the program on a folder's data, in an environment of these variables alone; returns
    /// when it says that it is ready. Its log goes into `log`.
    pub(crate) async fn start(
        folder: &Folder,
        arguments: &[&str],
        variables: &[(&str, &str)],
        log: Option<File>,
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backend-mock"));
        command
            .env_clear()
            .envs(variables.iter().copied())
            .envs(folder.database_variable())
            .current_dir(std::env::temp_dir())
            .arg("--data")
            .arg(folder.data())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(log.map_or_else(Stdio::inherit, Stdio::from));
        tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            let mut line = String::new();
            let stdout = child.stdout.take().unwrap();
            BufReader::new(stdout).read_line(&mut line).unwrap();
            let ready: Value = serde_json::from_str(&line).expect("it starts");
            Self {
                base_url: ready["listening"].as_str().unwrap().to_owned(),
                child,
            }
        })
        .await
        .unwrap()
    }

    /// Ends the process with SIGKILL: it does nothing more, not even to say so.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that keeps its connections.
pub(crate) fn http_client() -> reqwest::Client {
    // Refused when it is installed already, which is just as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A seed for the test's own randomness, and a way to say which it was: set `TEST_SEED` to repeat a
/// run.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("TEST_SEED").ok();
    let seed = given.map_or_else(|| fastrand::u64(..), |text| text.parse().unwrap());
    // Shown when the test fails.
    println!("TEST_SEED={seed}");
    seed
}
