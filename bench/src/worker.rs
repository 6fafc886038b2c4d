//! A worker in a workerd of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use testkit::host::{self, Setup};
use testkit::workerd::{Module, Workerd, built_worker};

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

impl Kind {
    fn modules(self) -> Result<Vec<Module>> {
        let script: &'static [u8] = match self {
            Self::Product => return Ok(built_worker()?.into()),
            Self::Limit => include_bytes!("../workers/limit.js"),
            Self::Usual => include_bytes!("../workers/usual.js"),
            Self::Loop => include_bytes!("../workers/loop.js"),
            Self::Lean => include_bytes!("../workers/lean.js"),
        };
        Ok(vec![Module {
            name: "index.js",
            bytes: Bytes::from_static(script),
        }])
    }
}

/// A worker that serves. The process ends with it.
pub(crate) struct Worker {
    /// Which it is.
    pub(crate) kind: Kind,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its workerd.
    pub(crate) process: Process,
    worker: host::Worker,
}

impl Worker {
    /// Starts a worker in `workerd`. Connections are taken from now on, and served as soon as it can.
    pub(crate) fn start(workerd: &Workerd, kind: Kind, sink: SocketAddr) -> Result<Self> {
        let mut workerd = workerd.clone();
        workerd.modules = kind.modules()?;
        let variables = [
            ("BACKEND_URL", format!("http://{sink}")),
            ("TELEGRAM_API_URL", format!("http://{sink}")),
            ("BOT_TOKEN", users::bot_token(0)),
            ("CHAT_ID", users::chat_id(0)),
        ];
        let setup = Setup {
            variables: variables
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            has_objects: false,
            isolates: 1,
        };
        let program = workerd.program().display().to_string();
        let worker = host::Worker::start(Arc::new(workerd), setup).context(program)?;
        Ok(Self {
            kind,
            address: worker.address(),
            process: Process::new(worker.pid()),
            worker,
        })
    }

    /// How workerd is, and the end of its log.
    pub(crate) fn last_words(&self) -> String {
        let status = match self.worker.ended() {
            Ok(None) => "it runs".to_owned(),
            Ok(Some(status)) => format!("it has ended, {status}"),
            Err(error) => error.to_string(),
        };
        let log = self.worker.log();
        let tail = log.floor_char_boundary(log.len().saturating_sub(LOG_TAIL_BYTES));
        format!("{status}; its log ends with\n{}", &log[tail..])
    }
}
