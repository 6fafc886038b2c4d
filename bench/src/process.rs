//! What a process costs: CPU time and memory, as the kernel keeps them.
//!
//! CPU time comes from the process's own CPU clock (`clock_getcpuclockid`). It counts nanoseconds over all
//! threads, those that have ended included; `/proc/PID/stat` has the same sum in ticks of 10 ms, and
//! `/proc/PID/task/*/schedstat` loses ended threads. Peak memory is the kernel's high-water mark, which
//! misses nothing between two looks as sampling would.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use testkit::memory;
use tokio::time::sleep;

/// Between two looks at whether the process is idle.
const LOOK: Duration = Duration::from_millis(2);
/// Looks without any work in between, after which it counts as idle.
const IDLE_LOOKS: u32 = 4;
/// Looks after which an idle moment is no longer waited for.
const MAX_LOOKS: u32 = 250;

/// A process that is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn new(id: u32) -> Self {
        Self(id)
    }

    pub(crate) fn id(self) -> u32 {
        self.0
    }

    /// Waits until no thread has anything to do, and gives the CPU time used so far.
    ///
    /// So the work that goes on after a reply, such as collecting garbage, counts for the upload that
    /// made it, and the clock is exact: of a thread that runs it is late by up to a tick.
    pub(crate) async fn idle_cpu(self) -> Result<Duration> {
        let mut cpu = self.cpu()?;
        let mut idle_looks = 0;
        for _ in 0..MAX_LOOKS {
            sleep(LOOK).await;
            let now = self.cpu()?;
            idle_looks = if now == cpu && !self.is_runnable()? {
                idle_looks + 1
            } else {
                0
            };
            cpu = now;
            if idle_looks == IDLE_LOOKS {
                break;
            }
        }
        Ok(cpu)
    }

    #[cfg(target_os = "linux")]
    fn cpu(self) -> Result<Duration> {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.0)?);
        let clock = nix::time::ClockId::pid_cpu_clock_id(id).context("workerd's CPU clock")?;
        Ok(clock.now()?.into())
    }

    #[cfg(not(target_os = "linux"))]
    fn cpu(self) -> Result<Duration> {
        anyhow::bail!(
            "the CPU time of process {} can be read on Linux only",
            self.0
        )
    }

    /// Whether a thread runs, or would if a core were free.
    fn is_runnable(self) -> Result<bool> {
        for task in fs::read_dir(format!("/proc/{}/task", self.0))? {
            // A thread that has ended meanwhile does not run.
            let stat = fs::read_to_string(task?.path().join("stat")).unwrap_or_default();
            // The state comes after the name, which may hold anything (proc(5)).
            if stat
                .rsplit(')')
                .next()
                .is_some_and(|rest| rest.trim_start().starts_with('R'))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Resident memory, in bytes.
    pub(crate) fn memory(self) -> Result<u64> {
        Ok(memory::resident(self.0)?)
    }

    /// The highest resident memory since [`Self::reset_peak_memory`], in bytes.
    pub(crate) fn peak_memory(self) -> Result<u64> {
        Ok(memory::peak(self.0)?)
    }

    pub(crate) fn reset_peak_memory(self) -> Result<()> {
        memory::reset_peak(self.0).context("workerd's memory high-water mark")
    }
}
