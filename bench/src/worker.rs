//! A worker in a workerd of its own.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, ensure};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use tempfile::TempDir;

use crate::process::Process;
use crate::users;

/// How much of workerd's log is shown when something is wrong, in bytes.
const LOG_TAIL_BYTES: usize = 2000;

/// Which worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one that was built from this repository.
    Product,
    /// `workers/limit.js`
    Limit,
    /// `workers/usual.js`
    Usual,
    /// `workers/loop.js`
    Loop,
    /// `workers/lean.js`
    Lean,
}

impl Kind {
    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Product => "worker",
            Self::Limit => "limit",
            Self::Usual => "usual",
            Self::Loop => "loop",
            Self::Lean => "lean",
        }
    }
}

/// Where things are.
pub(crate) struct Installation {
    /// The program.
    pub(crate) workerd: PathBuf,
    /// With `index.js` and `index_bg.wasm`.
    pub(crate) build: PathBuf,
    compatibility_date: String,
    /// Lets perf name what V8 has compiled.
    pub(crate) perf_map: bool,
}

impl Installation {
    /// From the environment, else beside this package.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let given = |name, default: &str| {
            std::env::var_os(name).map_or_else(|| root.join(default), PathBuf::from)
        };
        let workerd = program(&given("WORKERD_BIN", "node_modules/workerd/bin/workerd"))?;
        let build = given("WORKER_BUILD_DIR", "build");
        let wrangler = fs::read_to_string(root.join("wrangler.toml")).context("wrangler.toml")?;
        let compatibility_date = wrangler
            .lines()
            .find(|line| line.starts_with("compatibility_date"))
            .and_then(|line| line.split('"').nth(1))
            .context("no compatibility_date in wrangler.toml")?
            .to_owned();
        Ok(Self {
            workerd,
            build,
            compatibility_date,
            perf_map: false,
        })
    }

    /// A module of the built worker.
    pub(crate) fn module(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.build.join(name);
        fs::read(&path)
            .with_context(|| format!("{}; build the worker first: npm run build", path.display()))
    }

    fn modules(&self, kind: Kind) -> Result<Vec<Module>> {
        let javascript = |bytes| Module {
            file: "index.js",
            declaration: "name = \"index.js\", esModule = embed \"index.js\"",
            bytes,
        };
        Ok(match kind {
            Kind::Product => vec![
                javascript(self.module("index.js")?),
                Module {
                    file: "index_bg.wasm",
                    declaration: "name = \"./index_bg.wasm\", wasm = embed \"index_bg.wasm\"",
                    bytes: self.module("index_bg.wasm")?,
                },
            ],
            Kind::Limit => vec![javascript(include_bytes!("../workers/limit.js").to_vec())],
            Kind::Usual => vec![javascript(include_bytes!("../workers/usual.js").to_vec())],
            Kind::Loop => vec![javascript(include_bytes!("../workers/loop.js").to_vec())],
            Kind::Lean => vec![javascript(include_bytes!("../workers/lean.js").to_vec())],
        })
    }

    fn config(&self, modules: &[Module], sink: SocketAddr) -> String {
        let modules = list(modules.iter().map(|module| module.declaration.to_owned()));
        let bindings = [
            ("BACKEND_URL", format!("http://{sink}")),
            ("TELEGRAM_API_URL", format!("http://{sink}")),
            ("BOT_TOKEN", users::bot_token(0)),
            ("CHAT_ID", users::chat_id(0)),
        ];
        let bindings =
            list(bindings.map(|(name, value)| format!("name = \"{name}\", text = \"{value}\"")));
        let flags = if self.perf_map {
            "\"--perf-basic-prof\""
        } else {
            ""
        };
        let date = &self.compatibility_date;
        format!(
            r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["public", "private", "local"])),
  ],
  sockets = [(name = "http", http = (), service = "main")],
  v8Flags = [{flags}],
);
const worker :Workerd.Worker = (
  modules = {modules},
  compatibilityDate = "{date}",
  bindings = {bindings},
);
"#
        )
    }
}

/// A file of a worker.
struct Module {
    file: &'static str,
    /// How the config names it.
    declaration: &'static str,
    bytes: Vec<u8>,
}

/// A list of structs, as Cap'n Proto writes it.
fn list(structs: impl IntoIterator<Item = String>) -> String {
    let structs: Vec<String> = structs.into_iter().collect();
    format!("[({})]", structs.join("), ("))
}

/// A worker that serves. The process ends with it.
pub(crate) struct Worker {
    /// Which it is.
    pub(crate) kind: Kind,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its workerd.
    pub(crate) process: Process,
    child: Mutex<Child>,
    folder: TempDir,
}

impl Worker {
    /// Starts workerd. Connections are taken from now on, and served as soon as the worker can.
    pub(crate) fn start(installation: &Installation, kind: Kind, sink: SocketAddr) -> Result<Self> {
        let folder = TempDir::new()?;
        let modules = installation.modules(kind)?;
        for module in &modules {
            fs::write(folder.path().join(module.file), &module.bytes)?;
        }
        fs::write(
            folder.path().join("config.capnp"),
            installation.config(&modules, sink),
        )?;

        // workerd inherits the listening socket: its port is known, and nobody polls for it.
        let listener = TcpListener::bind("127.0.0.1:0")?;
        fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty()))?;
        // A log in a file costs the worker what it has to, and nobody else anything.
        let log = File::create(folder.path().join("log"))?;
        let child = Command::new(&installation.workerd)
            .args(["serve", "config.capnp"])
            .arg(format!("--socket-fd=http={}", listener.as_raw_fd()))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| installation.workerd.display().to_string())?;
        Ok(Self {
            kind,
            address: listener.local_addr()?,
            process: Process::new(child.id()),
            child: Mutex::new(child),
            folder,
        })
    }

    /// How workerd is, and the end of its log.
    pub(crate) fn last_words(&self) -> String {
        let status = match self.child().try_wait() {
            Ok(None) => "it runs".to_owned(),
            Ok(Some(status)) => format!("it has ended, {status}"),
            Err(error) => error.to_string(),
        };
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let tail = log.get(log.len().saturating_sub(LOG_TAIL_BYTES)..);
        let tail = String::from_utf8_lossy(tail.unwrap_or_default());
        format!("{status}; its log ends with\n{tail}")
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut child = self.child();
        // It fails only for a process that is gone.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The program itself, not npm's script that starts it: the script would be what is measured.
fn program(path: &Path) -> Result<PathBuf> {
    let path = path.canonicalize().with_context(|| {
        format!(
            "{}; run npm ci, or set WORKERD_BIN to the program",
            path.display()
        )
    })?;
    if !fs::read(&path)?.starts_with(b"#!") {
        return Ok(path);
    }
    let platform = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("macos", "aarch64") => "darwin-arm64",
        ("macos", _) => "darwin-64",
        (_, "aarch64") => "linux-arm64",
        _ => "linux-64",
    };
    let program = path
        .ancestors()
        .map(|folder| folder.join(format!("@cloudflare/workerd-{platform}/bin/workerd")))
        .find(|program| program.exists());
    ensure!(
        program.is_some(),
        "{} is a script; set WORKERD_BIN to the program that it starts",
        path.display()
    );
    Ok(program.unwrap_or(path))
}
