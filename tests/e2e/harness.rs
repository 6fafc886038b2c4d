//! One test's own workerd and backend-mock, and what they saw.

use std::{
    env, fs, io,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use aho_corasick::AhoCorasick;
use backend_mock::{Data, Options, PasswordCost, Provisioned, Running, Server, Setup};
use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    client::File,
    http::{Connection, HUNG, Reply, Request},
};

/// How often something is looked at that happens by itself.
const POLL: Duration = Duration::from_millis(5);
/// Found in the account-level secrets that the emulated backend gives out with every bot. The worker
/// must not even read them.
const ACCOUNT_SECRET: &str = "session-";
/// The folder of the Durable Objects, beside the config.
const DISK: &str = "objects";
/// The Durable Objects: their bindings and classes, as wrangler.toml has them.
const OBJECTS: [(&str, &str); 5] = [
    ("OUTBOX", "Outbox"),
    ("USER_RECORDS", "UserRecord"),
    ("REVOCATIONS", "Revocations"),
    ("UPLOADS", "UploadRecord"),
    ("USER_UPLOADS", "UserUploads"),
];
/// What workerd, or the worker's panic hook, writes when the worker itself is broken.
const SIGNS_OF_BREAKAGE: [&str; 5] = [
    "panicked at",
    "code had hung",
    "unreachable executed",
    "RuntimeError",
    "Uncaught",
];

/// One at a time: tests that use much memory or both cores.
pub(crate) static HEAVY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How a harness is to be.
#[derive(Default)]
pub(crate) struct Settings {
    variables: Vec<(&'static str, Option<String>)>,
    backend: Options,
    without_objects: bool,
}

impl Settings {
    /// Sets one of the worker's variables.
    pub(crate) fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, Some(value.into())));
        self
    }

    /// Leaves out a variable that is otherwise set.
    pub(crate) fn unset(mut self, name: &'static str) -> Self {
        self.variables.push((name, None));
        self
    }

    /// Leaves out the Durable Objects, as a config does that knows nothing of them.
    pub(crate) fn without_objects(mut self) -> Self {
        self.without_objects = true;
        self
    }

    /// Makes the backend refuse notifications that this secret has not signed.
    pub(crate) fn backend_webhook_secret(mut self, secret: &str) -> Self {
        self.backend.webhook_secret = Some(secret.parse().expect("a webhook secret"));
        self
    }
}

/// A worker in workerd, with a backend and a Telegram.
pub(crate) struct Harness {
    /// A user that is ready to upload.
    pub demo: Provisioned,
    backend: Option<Running>,
    backend_address: SocketAddr,
    workerd: Workerd,
    /// What must be in no log line, reply or notification.
    secrets: Mutex<Vec<String>>,
    /// Every reply that a client got.
    replies: Mutex<String>,
    finished: bool,
}

impl Harness {
    /// Starts both, and waits until the worker answers.
    pub(crate) async fn start(settings: Settings) -> Self {
        let backend = Server::start(Options {
            listen: "127.0.0.1:0".to_owned(),
            data: Data::Memory,
            demo: true,
            control: true,
            password_cost: PasswordCost::default(),
            ..settings.backend
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
        let demo = backend.demo.clone().expect("a demo user");
        let harness = Self {
            secrets: Mutex::new(vec![demo.auth_token.clone(), demo.bot_token.clone()]),
            demo,
            backend_address: backend.address,
            backend: Some(backend),
            workerd: Workerd::start(config(&variables, !settings.without_objects)),
            replies: Mutex::default(),
            finished: false,
        };
        harness.wait_until_ready().await;
        harness
    }

    /// The default settings.
    pub(crate) async fn usual() -> Self {
        Self::start(Settings::default()).await
    }

    async fn wait_until_ready(&self) {
        let began = Instant::now();
        loop {
            match Request::new("GET", "/health").send(self.address()).await {
                Ok(reply) if reply.status == 200 => return,
                other => assert!(
                    began.elapsed() < HUNG,
                    "the worker does not answer: {other:?}\n{}",
                    self.log_tail()
                ),
            }
            sleep(POLL).await;
        }
    }

    /// Kills workerd in the middle of whatever it does, and starts it again with what is on its disk.
    pub(crate) async fn restart_worker(&mut self) {
        self.workerd.restart();
        self.wait_until_ready().await;
    }

    /// Runs this JavaScript instead of the worker, with the same bindings and disk. Returns what ran
    /// until now.
    pub(crate) async fn run_instead(&mut self, module: &str) -> String {
        let file = self.workerd.config.path().join("index.js");
        let before = fs::read_to_string(&file).expect("a module");
        fs::write(&file, module).expect("written");
        self.restart_worker().await;
        before
    }

    /// Where the worker is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.workerd.address
    }

    /// Where the backend and Telegram are.
    pub(crate) fn backend_url(&self) -> String {
        format!("http://{}", self.backend_address)
    }

    /// Another user with a bot and a channel of its own.
    pub(crate) async fn add_user(&self) -> Provisioned {
        self.add_user_with(&Setup::default()).await
    }

    pub(crate) async fn add_user_with(&self, setup: &Setup) -> Provisioned {
        let backend = self.backend.as_ref().expect("running");
        let user = backend.add_user(setup).await.expect("a user");
        self.keep_secret(&user.auth_token);
        self.keep_secret(&user.bot_token);
        user
    }

    /// Gives a user another bot in the same channel; the one before is revoked.
    pub(crate) async fn replace_bot(&self, user: &Provisioned) -> Provisioned {
        let path = format!("/_control/users/{}/bot", user.user_id);
        let reply = self.control_post(&path, "").await;
        let text = |name: &str| reply[name].as_str().expect(name).to_owned();
        let renewed = Provisioned {
            user_id: text("user_id"),
            auth_token: text("auth_token"),
            bot_token: text("bot_token"),
            channel_id: text("channel_id"),
        };
        self.keep_secret(&renewed.auth_token);
        self.keep_secret(&renewed.bot_token);
        renewed
    }

    pub(crate) async fn revoke_bot(&self, user: &Provisioned) {
        let path = format!("/_control/bots/{}/revoke", user.bot_token);
        self.control_post(&path, "").await;
    }

    /// From now on this must be in no log line, reply or notification.
    pub(crate) fn keep_secret(&self, secret: &str) {
        self.secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(secret.to_owned());
    }

    /// Sends a request to the worker.
    pub(crate) async fn send(&self, request: &Request) -> Reply {
        match self.try_send(request).await {
            Ok(reply) => reply,
            Err(error) => panic!(
                "no reply to {} {}: {error}\n{}",
                request.method,
                request.target,
                self.log_tail()
            ),
        }
    }

    /// The same for a request that the worker may leave without a reply.
    pub(crate) async fn try_send(&self, request: &Request) -> io::Result<Reply> {
        let reply = request.send(self.address()).await?;
        self.note(&reply);
        Ok(reply)
    }

    /// Opens a connection to the worker and sends the request's head and the first `bytes` of its
    /// body.
    pub(crate) async fn begin(&self, request: &Request, bytes: usize) -> Connection {
        let mut connection = Connection::open(self.address())
            .await
            .expect("a connection");
        let begun = request.clone().truncated(bytes);
        let mut wire = vec![request.head()];
        wire.extend(begun.framed_body());
        connection.write(&wire).await.expect("sent");
        connection
    }

    /// Lets workerd take notice of all that was sent so far: it serves its connections in turn, and
    /// a request that comes later is answered later.
    pub(crate) async fn turn(&self) {
        for _ in 0..2 {
            self.send(&Request::new("GET", "/health")).await;
        }
    }

    /// Remembers a reply that came over a connection of the test's own.
    pub(crate) fn note(&self, reply: &Reply) {
        self.replies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(&reply.text());
    }

    /// What workerd wrote so far, to both its streams.
    pub(crate) fn log(&self) -> String {
        self.workerd
            .log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// The log lines of uploads so far.
    pub(crate) fn uploads_logged(&self) -> Vec<Value> {
        self.log()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line.get(line.find('{')?..)?).ok())
            .filter(|line| line["event"] == "upload")
            .collect()
    }

    /// The log line of the upload that was answered so. It takes its time through workerd's pipe.
    pub(crate) async fn logged(&self, reply: &Reply) -> Value {
        let id = reply.header("x-request-id").expect("a request id");
        self.eventually("the upload's log line", || {
            let lines = self.uploads_logged();
            let line = lines.into_iter().find(|line| line["requestId"] == id);
            async move { line }
        })
        .await
    }

    /// Waits until so many uploads have ended, well or not, and gives their log lines.
    pub(crate) async fn uploads_ended(&self, count: usize) -> Vec<Value> {
        self.eventually("uploads to end", || {
            let lines = self.uploads_logged();
            async move { (lines.len() >= count).then_some(lines) }
        })
        .await
    }

    /// Looks again and again until there is something.
    pub(crate) async fn eventually<T, F>(&self, what: &str, mut look: impl FnMut() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        let began = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(
                began.elapsed() < HUNG,
                "waited for {what}\n{}",
                self.log_tail()
            );
            sleep(POLL).await;
        }
    }

    /// Puts these faults in force, in place of those before.
    pub(crate) async fn faults(&self, faults: Value) {
        self.control_post("/_control/faults", &faults.to_string())
            .await;
    }

    /// Forgets messages, notifications, counts and faults.
    pub(crate) async fn reset(&self) {
        self.control_post("/_control/reset", "").await;
    }

    /// The messages in all channels.
    pub(crate) async fn messages(&self) -> Vec<Value> {
        self.control_list("/_control/messages").await
    }

    /// The notifications that the backend has accepted.
    pub(crate) async fn notifications(&self) -> Vec<Value> {
        self.control_list("/_control/notifications").await
    }

    /// How many requests arrived: `credentials`, `send_document`, `notifications`.
    pub(crate) async fn count(&self, what: &str) -> u64 {
        let stats = self
            .control(&Request::new("GET", "/_control/stats"))
            .await
            .json();
        stats[what].as_u64().expect("a count")
    }

    /// The bytes that Telegram keeps.
    pub(crate) async fn stored_file(&self, file_id: &str) -> Vec<u8> {
        self.control(&Request::new("GET", &format!("/_control/files/{file_id}")))
            .await
            .body
    }

    /// Nothing is in any channel, and nobody was told of anything.
    pub(crate) async fn assert_nothing_stored(&self, why: &str) {
        assert_eq!(self.messages().await, Vec::<Value>::new(), "{why}");
        assert_eq!(self.count("notifications").await, 0, "{why}");
    }

    /// The upload went well, and everybody says the same of it: the reply, the channel, the
    /// notification. Gives the message.
    pub(crate) async fn assert_stored(
        &self,
        user: &Provisioned,
        file: &File,
        reply: &Reply,
    ) -> Value {
        let (told, message) = self.assert_in_channel(user, file, reply).await;
        assert_eq!(told["notified"], "ok");
        let notification = self.notification_of(&told).await;
        assert_notification(&notification, user, &told);
        message
    }

    /// The same without the notification.
    pub(crate) async fn assert_in_channel(
        &self,
        user: &Provisioned,
        file: &File,
        reply: &Reply,
    ) -> (Value, Value) {
        assert_eq!(reply.status, 200, "{}", reply.text());
        let told = reply.json();
        assert_eq!(told["success"], true);
        assert_eq!(told["fileName"], file.name.as_str());
        assert_eq!(told["size"], file.content.len());
        assert_eq!(told["kind"], "document");
        assert_eq!(
            told["requestId"],
            reply.header("x-request-id").expect("x-request-id")
        );
        let message_id = told["messageId"].as_i64().expect("a number");
        assert_ne!(message_id, 0);
        assert_cors(reply);
        let timing = reply.header("server-timing").expect("server-timing");
        for metric in ["credentials;desc=", "telegram;dur=", "notify;dur="] {
            assert!(timing.contains(metric), "{timing}");
        }
        let messages = self.messages().await;
        let message = messages
            .into_iter()
            .find(|message| {
                message["message_id"] == message_id
                    && message["chat_id"].to_string().trim_matches('"') == user.channel_id
            })
            .expect("the message is in the user's channel");
        assert_eq!(message["file_id"], told["fileId"]);
        assert_eq!(message["size"], file.content.len());
        assert_eq!(message["sha256"], file.sha256());
        (told, message)
    }

    /// The notification about the upload that this reply tells of.
    pub(crate) async fn notification_of(&self, told: &Value) -> Value {
        let mut about: Vec<Value> = self
            .notifications()
            .await
            .into_iter()
            .filter(|notification| notification["body"]["fileId"] == told["fileId"])
            .collect();
        assert_eq!(about.len(), 1, "one notification");
        about.remove(0)
    }

    async fn control(&self, request: &Request) -> Reply {
        let reply = request
            .send(self.backend_address)
            .await
            .expect("the control answers");
        assert!(reply.status < 300, "{}", reply.text());
        reply
    }

    async fn control_post(&self, path: &str, body: &str) -> Value {
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.control(&Request::new("POST", path).body(vec![body]))
            .await
            .json()
    }

    async fn control_list(&self, path: &str) -> Vec<Value> {
        match self.control(&Request::new("GET", path)).await.json() {
            Value::Array(list) => list,
            other => panic!("{other}"),
        }
    }

    /// The files in which the Durable Objects keep what they have.
    pub(crate) fn files_of_objects(&self) -> Vec<String> {
        // workerd's own list of alarms is there from the beginning.
        files_under(&self.workerd.disk())
            .iter()
            .map(|path| path.display().to_string())
            .filter(|name| !name.contains("metadata.sqlite"))
            .collect()
    }

    /// Whether this is somewhere in what the Durable Objects keep.
    pub(crate) fn objects_hold(&self, text: &str) -> bool {
        let holds = |file: &PathBuf| {
            let bytes = fs::read(file).unwrap_or_default();
            let mut parts = bytes.windows(text.len());
            parts.any(|part| part == text.as_bytes())
        };
        files_under(&self.workerd.disk()).iter().any(holds)
    }

    /// The process that the worker runs in.
    pub(crate) fn worker_pid(&self) -> u32 {
        self.workerd.child.id()
    }

    /// Ends the test: no secret went out, and nothing broke.
    pub(crate) async fn finish(mut self) {
        self.finished = true;
        let notifications = Value::from(self.notifications().await).to_string();
        self.workerd.stop();
        let log = self.log();
        let replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut secrets = self
            .secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let in_objects = AhoCorasick::new(&secrets).expect("secrets");
        secrets.push(ACCOUNT_SECRET.to_owned());
        let in_texts = AhoCorasick::new(&secrets).expect("secrets");
        for (place, text) in [
            ("log", &log),
            ("reply", &*replies),
            ("notification", &notifications),
        ] {
            let line = text.lines().find(|line| in_texts.is_match(line));
            assert_eq!(line, None, "a {place} holds a secret");
        }
        for file in files_under(&self.workerd.disk()) {
            let bytes = fs::read(&file).unwrap_or_default();
            let holds = in_objects.is_match(&bytes);
            assert!(!holds, "a Durable Object holds a secret");
        }
        for sign in SIGNS_OF_BREAKAGE {
            let line = log.lines().find(|line| line.contains(sign));
            assert_eq!(line, None, "the worker broke");
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

/// The notification says what the reply says.
pub(crate) fn assert_notification(notification: &Value, user: &Provisioned, told: &Value) {
    let (headers, body) = (&notification["headers"], &notification["body"]);
    assert_eq!(body["userId"], user.user_id.as_str());
    for same in [
        "fileName",
        "messageId",
        "fileId",
        "fileUniqueId",
        "size",
        "mimeType",
    ] {
        assert_eq!(body[same], told[same], "{same}");
        assert!(!body[same].is_null(), "{same}");
    }
    assert_eq!(headers["webhook-id"], body["id"]);
    let id = body["id"].as_str().expect("an id");
    assert!(id.len() >= 16, "{id}");
    let uploaded_at = body["uploadedAt"].as_str().expect("a time");
    assert!(is_rfc3339(uploaded_at), "{uploaded_at}");
    let timestamp = headers["webhook-timestamp"].as_str().expect("a timestamp");
    assert!(timestamp.parse::<u64>().is_ok(), "{timestamp}");
}

/// `2026-01-02T03:04:05.678Z`
fn is_rfc3339(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    shape == "0000-00-00T00:00:00.000Z"
}

/// Any page may read the reply, and what it exposes.
pub(crate) fn assert_cors(reply: &Reply) {
    assert_eq!(
        reply.header("access-control-allow-origin"),
        Some("*"),
        "{}",
        reply.text()
    );
    let exposed = reply
        .header("access-control-expose-headers")
        .expect("exposed headers")
        .to_ascii_lowercase();
    for name in ["retry-after", "server-timing", "x-request-id"] {
        assert!(exposed.contains(name), "{exposed}");
    }
}

/// The reply tells an error in full. Gives its body.
pub(crate) fn assert_error(reply: &Reply, status: u16, code: &str) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text());
    let told = reply.json();
    assert_eq!(told["code"], code, "{}", reply.text());
    assert_eq!(told["success"], false);
    for text in ["error", "hint"] {
        assert!(
            told[text].as_str().is_some_and(|text| !text.is_empty()),
            "{text}: {told}"
        );
    }
    assert!(told["retryable"].is_boolean(), "{told}");
    assert_eq!(
        told["requestId"],
        reply.header("x-request-id").expect("x-request-id")
    );
    assert_eq!(
        told["retryAfter"]
            .as_u64()
            .map(|seconds| seconds.to_string())
            .as_deref(),
        reply.header("retry-after"),
        "{}",
        reply.text()
    );
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("allow").is_some(), status == 405);
    assert_eq!(
        reply
            .header("www-authenticate")
            .is_some_and(|value| value.starts_with("Bearer")),
        status == 401
    );
    assert_cors(reply);
    told
}

/// A workerd process. It ends with its owner, also when a test panics.
struct Workerd {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
    readers: Vec<thread::JoinHandle<()>>,
    config: Arc<TempDir>,
}

impl Workerd {
    fn start(config: io::Result<TempDir>) -> Self {
        Self::start_in(Arc::new(config.expect("a config")))
    }

    /// Kills the process, and starts another with the same config and disk. The log goes on.
    fn restart(&mut self) {
        self.stop();
        let before = self.log.lock().expect("lock").clone();
        *self = Self::start_in(Arc::clone(&self.config));
        self.log.lock().expect("lock").insert_str(0, &before);
    }

    fn start_in(config: Arc<TempDir>) -> Self {
        // The control messages, of which there is one, tell the port that a socket got.
        let mut child = Command::new(workerd_bin())
            .args(["serve", "--control-fd=1", "config.capnp"])
            .current_dir(config.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("workerd starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (ports, port) = mpsc::channel();
        let stdout = child.stdout.take().expect("stdout");
        let stderr = child.stderr.take().expect("stderr");
        let readers = vec![
            read_lines(stdout, Arc::clone(&log), Some(ports)),
            read_lines(stderr, Arc::clone(&log), None),
        ];
        let port = port.recv_timeout(HUNG);
        let mut workerd = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port.unwrap_or(0))),
            log,
            readers,
            config,
        };
        if port.is_err() {
            workerd.stop();
            panic!(
                "workerd does not listen:\n{}",
                workerd.log.lock().expect("lock")
            );
        }
        workerd
    }

    /// Where the Durable Objects keep what they have.
    fn disk(&self) -> PathBuf {
        self.config.path().join(DISK)
    }

    /// Ends the process, and with it the log.
    fn stop(&mut self) {
        // It fails only for a process that is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Workerd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn read_lines(
    stream: impl io::Read + Send + 'static,
    log: Arc<Mutex<String>>,
    ports: Option<mpsc::Sender<u16>>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines
            .read_until(b'\n', &mut line)
            .is_ok_and(|bytes| bytes > 0)
        {
            let text = String::from_utf8_lossy(&line);
            if let Some(ports) = &ports
                && let Ok(message) = serde_json::from_str::<Value>(&text)
                && message["event"] == "listen"
                && let Some(port) = message["port"].as_u64()
            {
                let _ = ports.send(u16::try_from(port).expect("a port"));
            }
            log.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(&text);
            line.clear();
        }
    })
}

/// A folder with the two modules, a config, and a disk for the Durable Objects: `embed` takes paths
/// beside the config.
fn config(variables: &[(&str, String)], with_objects: bool) -> io::Result<TempDir> {
    let folder = TempDir::new()?;
    let disk = folder.path().join(DISK);
    fs::create_dir(&disk)?;
    let build = env::var_os("WORKER_BUILD_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("build"),
        PathBuf::from,
    );
    for module in ["index.js", "index_bg.wasm"] {
        fs::copy(build.join(module), folder.path().join(module)).map_err(|error| {
            io::Error::other(format!(
                "{error}: {}; build the worker first, with npm run build",
                build.join(module).display()
            ))
        })?;
    }
    let mut bindings: Vec<String> = variables
        .iter()
        .map(|(name, value)| format!("(name = {name:?}, text = {value:?})"))
        .collect();
    let mut classes = Vec::new();
    for (name, class) in OBJECTS.iter().filter(|_| with_objects) {
        bindings.push(format!(
            "(name = {name:?}, durableObjectNamespace = {class:?})"
        ));
        classes.push(format!(
            "(className = {class:?}, uniqueKey = {name:?}, enableSql = true)"
        ));
    }
    let classes = classes.join(",\n    ");
    let bindings = bindings.join(",\n    ");
    let date = compatibility_date();
    let disk = disk.display();
    let text = format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["public", "private", "local"])),
    (name = "disk", disk = (path = "{disk}", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [
    (name = "index.js", esModule = embed "index.js"),
    (name = "./index_bg.wasm", wasm = embed "index_bg.wasm"),
  ],
  compatibilityDate = "{date}",
  bindings = [
    {bindings}
  ],
  durableObjectNamespaces = [
    {classes}
  ],
  durableObjectStorage = (localDisk = "disk"),
);
"#
    );
    fs::write(folder.path().join("config.capnp"), text)?;
    Ok(folder)
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.append(&mut files_under(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// That of the deployed worker, so that the tests see the same runtime.
fn compatibility_date() -> String {
    let wrangler = Path::new(env!("CARGO_MANIFEST_DIR")).join("wrangler.toml");
    fs::read_to_string(wrangler)
        .ok()
        .and_then(|text| {
            let line = text
                .lines()
                .find(|line| line.trim_start().starts_with("compatibility_date"))?;
            line.split('"').nth(1).map(ToOwned::to_owned)
        })
        .unwrap_or_else(|| "2026-04-01".to_owned())
}

/// The program itself, not npm's script that starts it: a script would be what is killed and
/// measured in its place.
fn workerd_bin() -> PathBuf {
    if let Some(given) = env::var_os("WORKERD_BIN") {
        return resolve(PathBuf::from(given));
    }
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules");
    resolve(modules.join("workerd/bin/workerd"))
}

fn resolve(path: PathBuf) -> PathBuf {
    let path = path.canonicalize().unwrap_or(path);
    let is_script = fs::File::open(&path)
        .and_then(|mut file| {
            let mut head = [0; 2];
            io::Read::read_exact(&mut file, &mut head)?;
            Ok(&head == b"#!")
        })
        .unwrap_or(false);
    if !is_script {
        return path;
    }
    let platform = match (env::consts::OS, env::consts::ARCH) {
        ("macos", "aarch64") => "darwin-arm64",
        ("macos", _) => "darwin-64",
        (_, "aarch64") => "linux-arm64",
        _ => "linux-64",
    };
    path.ancestors()
        .map(|folder| folder.join(format!("@cloudflare/workerd-{platform}/bin/workerd")))
        .find(|program| program.exists())
        .unwrap_or(path)
}
