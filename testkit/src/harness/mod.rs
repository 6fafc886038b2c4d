//! One test's own worker and backend-mock, and what they saw.

mod assertions;
mod backend;
mod secrets;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use backend_mock::{BackendOptions, Data, Options, Provisioned, Running, Server};
use serde_json::Value;

use crate::{
    host::{Host, Setup, Worker},
    http::{Connection, Reply, Request},
    wait::{HUNG, POLL, poll},
    workerd::Workerd,
};

pub use assertions::{assert_cors, assert_error, assert_notification};

/// How many lines of the log are shown when a test fails.
const LOG_TAIL_LINES: usize = 20;

/// Tests that use much memory or both cores hold it, so that they run one at a time.
pub static HEAVY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How a harness is to be.
pub struct Settings {
    host: Option<Arc<dyn Host>>,
    variables: Vec<(&'static str, Option<String>)>,
    backend: BackendOptions,
    has_objects: bool,
    isolates: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: None,
            variables: Vec::new(),
            backend: BackendOptions::default(),
            has_objects: true,
            isolates: 1,
        }
    }
}

impl Settings {
    /// Runs the worker in this host. Without it, the built worker runs in workerd.
    #[must_use]
    pub fn host(mut self, host: impl Host + 'static) -> Self {
        self.host = Some(Arc::new(host));
        self
    }

    /// Sets one of the worker's variables.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, Some(value.into())));
        self
    }

    /// Leaves out a variable that is otherwise set.
    #[must_use]
    pub fn unset(mut self, name: &'static str) -> Self {
        self.variables.push((name, None));
        self
    }

    /// Leaves out the Durable Objects, as a config does that knows nothing of them.
    #[must_use]
    pub fn without_objects(mut self) -> Self {
        self.has_objects = false;
        self
    }

    /// Runs the worker in so many isolates, which share the Durable Objects.
    #[must_use]
    pub fn isolates(mut self, count: usize) -> Self {
        self.isolates = count;
        self
    }

    /// Makes the backend refuse notifications that this secret has not signed.
    #[must_use]
    pub fn backend_webhook_secret(mut self, secret: &str) -> Self {
        self.backend.webhook_secret = Some(secret.parse().expect("a webhook secret"));
        self
    }
}

/// A worker with a backend and a Telegram.
pub struct Harness {
    /// A user that is ready to upload.
    pub demo: Provisioned,
    backend: Option<Running>,
    backend_address: SocketAddr,
    worker: Worker,
    /// What must be in no log line, reply or notification.
    secrets: Mutex<Vec<String>>,
    /// Every reply that a client got.
    replies: Mutex<String>,
    finished: bool,
}

impl Harness {
    /// Starts both, and waits until the worker answers.
    pub async fn start(settings: Settings) -> Self {
        let backend = Server::start(Options {
            listen: "127.0.0.1:0".to_owned(),
            demo: true,
            control: true,
            backend: BackendOptions {
                data: Data::Memory,
                ..settings.backend
            },
            ..Options::default()
        })
        .await
        .expect("backend-mock starts");
        let mut variables = vec![
            ("BACKEND_URL", backend.base_url.clone()),
            ("TELEGRAM_API_URL", backend.base_url.clone()),
        ];
        for (name, value) in settings.variables {
            variables.retain(|(known, _)| *known != name);
            variables.extend(value.map(|value| (name, value)));
        }
        let setup = Setup {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            has_objects: settings.has_objects,
            isolates: settings.isolates,
        };
        let host = settings
            .host
            .unwrap_or_else(|| Arc::new(Workerd::with_built_worker().expect("the built worker")));
        let demo = backend.demo.clone().expect("a demo user");
        let harness = Self {
            secrets: Mutex::new(vec![demo.auth_token.clone(), demo.bot_token.clone()]),
            demo,
            backend_address: backend.address,
            backend: Some(backend),
            worker: Worker::start(host, setup).expect("the worker's process starts"),
            replies: Mutex::default(),
            finished: false,
        };
        harness.wait_until_ready().await;
        harness
    }

    /// Starts both with the default settings.
    pub async fn usual() -> Self {
        Self::start(Settings::default()).await
    }

    async fn wait_until_ready(&self) {
        for isolate in self.worker.addresses() {
            self.eventually("the worker to answer", || async {
                let reply = Request::new("GET", "/health").send(*isolate).await;
                reply.is_ok_and(|reply| reply.status == 200).then_some(())
            })
            .await;
        }
    }

    /// Kills the worker in the middle of whatever it does, and starts it again with what is on its disk.
    pub async fn restart_worker(&mut self) {
        self.worker.restart().expect("the worker's process starts");
        self.wait_until_ready().await;
    }

    /// The same in another host, such as workerd with an older worker.
    pub async fn restart_worker_in(&mut self, host: impl Host + 'static) {
        let started = self.worker.restart_in(Arc::new(host));
        started.expect("the worker's process starts");
        self.wait_until_ready().await;
    }

    /// Where the worker is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.worker.address()
    }

    /// Where each isolate of the worker is.
    #[must_use]
    pub fn isolates(&self) -> &[SocketAddr] {
        self.worker.addresses()
    }

    /// The process that the worker runs in.
    #[must_use]
    pub fn worker_pid(&self) -> u32 {
        self.worker.pid()
    }

    /// Sends a request to the worker.
    pub async fn send(&self, request: &Request) -> Reply {
        self.send_to(self.address(), request).await
    }

    /// Sends a request to one isolate of the worker.
    pub async fn send_to(&self, isolate: SocketAddr, request: &Request) -> Reply {
        match request.send(isolate).await {
            Ok(reply) => {
                self.note(&reply);
                reply
            }
            Err(error) => panic!(
                "no reply to {} {}: {error}\n{}",
                request.method,
                request.target,
                self.log_tail()
            ),
        }
    }

    /// Sends a request that the worker may leave without a reply.
    ///
    /// # Errors
    /// When there is no whole reply.
    pub async fn try_send(&self, request: &Request) -> io::Result<Reply> {
        let reply = request.send(self.address()).await?;
        self.note(&reply);
        Ok(reply)
    }

    /// Opens a connection to the worker and sends the request's head and the first `bytes` of its
    /// body.
    pub async fn begin(&self, request: &Request, bytes: usize) -> Connection {
        let mut connection = Connection::open(self.address())
            .await
            .expect("a connection");
        let begun = request.clone().truncated(bytes);
        let mut wire = vec![request.head()];
        wire.extend(begun.framed_body());
        connection.write(&wire).await.expect("sent");
        connection
    }

    /// Lets the worker take notice of all that was sent so far: it serves its connections in turn, and
    /// a request that comes later is answered later.
    pub async fn turn(&self) {
        for _ in 0..2 {
            self.send(&Request::new("GET", "/health")).await;
        }
    }

    /// Remembers a reply that came over a connection of the test's own.
    pub fn note(&self, reply: &Reply) {
        self.replies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(&reply.text());
    }

    /// What the worker's process wrote so far, to both its streams.
    #[must_use]
    pub fn log(&self) -> String {
        self.worker.log()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    /// The log lines of uploads so far.
    #[must_use]
    pub fn uploads_logged(&self) -> Vec<Value> {
        self.log()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line.get(line.find('{')?..)?).ok())
            .filter(|line| line["event"] == "upload")
            .collect()
    }

    /// Waits for the log line of the upload that was answered so: it may be written after the reply.
    pub async fn logged(&self, reply: &Reply) -> Value {
        let id = reply.header("x-request-id").expect("a request id");
        self.eventually("the upload's log line", || {
            let lines = self.uploads_logged();
            let line = lines.into_iter().find(|line| line["requestId"] == id);
            async move { line }
        })
        .await
    }

    /// Waits until so many uploads have ended, well or not, and gives their log lines.
    pub async fn uploads_ended(&self, count: usize) -> Vec<Value> {
        self.eventually("uploads to end", || {
            let lines = self.uploads_logged();
            async move { (lines.len() >= count).then_some(lines) }
        })
        .await
    }

    /// Looks again and again until there is something.
    pub async fn eventually<T, F>(&self, what: &str, look: impl FnMut() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        match poll(POLL, HUNG, look).await {
            Some(found) => found,
            None => panic!("waited for {what}\n{}", self.log_tail()),
        }
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        // The checks at the end are no use where they are forgotten.
        assert!(
            self.finished || thread::panicking(),
            "finish() was not called"
        );
    }
}
