//! What the figures were taken on.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const UNKNOWN: &str = "unknown";

/// The machine and the runtime.
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    workerd: String,
    /// Processes that ran or waited to, on average over the minute before.
    load: String,
}

impl Machine {
    pub(crate) fn look(workerd: &Path) -> Self {
        let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu_info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            cpu: model.map_or(UNKNOWN, |(_, name)| name).to_owned(),
            cores: cores(),
            kernel: said(Command::new("uname").arg("-sr")),
            workerd: said(Command::new(workerd).arg("--version")),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "cpu": self.cpu,
            "cores": self.cores,
            "kernel": self.kernel,
            "workerd": self.workerd,
            "load": self.load,
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            cpu,
            cores,
            kernel,
            workerd,
            load,
        } = self;
        write!(
            f,
            "{cpu}, {cores} cores, {kernel}, {workerd}; load before: {load}"
        )
    }
}

/// How many threads can run at once.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn said(command: &mut Command) -> String {
    command.output().map_or_else(
        |_| UNKNOWN.to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
