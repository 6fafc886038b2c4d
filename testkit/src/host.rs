//! The process that the worker runs in.

use std::{
    fs::{self, File},
    io,
    net::{SocketAddr, TcpListener},
    os::fd::{AsRawFd as _, RawFd},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use tempfile::TempDir;

/// The folder of what is durable, beside the host's own files.
const DISK: &str = "disk";
const LOG: &str = "log";

/// Held while a process is started. Its sockets are open to any process that starts meanwhile, and a
/// socket that two processes have does not close when one of them ends.
static STARTING: Mutex<()> = Mutex::new(());

/// What the worker runs with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The worker's variables.
    pub variables: Vec<(String, String)>,
    /// Whether it has its Durable Objects.
    pub has_objects: bool,
    /// How many isolates there are of it. They share the Durable Objects, and nothing else.
    pub isolates: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            variables: Vec::new(),
            has_objects: true,
            isolates: 1,
        }
    }
}

/// A runtime that the worker can run in.
pub trait Host: Send + Sync {
    /// Writes into `folder` what the runtime needs, and gives the command that serves there.
    ///
    /// The process inherits `sockets`, which listen already: one for each isolate. What is durable it
    /// keeps in `disk`, and its log goes to both its standard streams.
    ///
    /// # Errors
    /// When something is missing, or the folder can't be written.
    fn command(
        &self,
        setup: &Setup,
        sockets: &[RawFd],
        folder: &Path,
        disk: &Path,
    ) -> io::Result<Command>;
}

/// A worker that runs. Its process ends when this is dropped, also when a test panics.
pub struct Worker {
    host: Arc<dyn Host>,
    setup: Setup,
    folder: TempDir,
    child: Mutex<Child>,
    addresses: Vec<SocketAddr>,
}

impl Worker {
    /// Starts the worker. From now on connections are taken, and served as soon as the worker can.
    ///
    /// # Errors
    /// When the process can't be started.
    pub fn start(host: Arc<dyn Host>, setup: Setup) -> io::Result<Self> {
        let folder = TempDir::new()?;
        fs::create_dir(folder.path().join(DISK))?;
        let (child, addresses) = spawn(&*host, &setup, folder.path())?;
        Ok(Self {
            host,
            setup,
            folder,
            child: Mutex::new(child),
            addresses,
        })
    }

    /// Kills the process, and starts another one on the same disk and with new addresses. The log goes on.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill();
        let (child, addresses) = spawn(&*self.host, &self.setup, self.folder.path())?;
        self.child = Mutex::new(child);
        self.addresses = addresses;
        Ok(())
    }

    /// The same in another host.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn restart_in(&mut self, host: Arc<dyn Host>) -> io::Result<()> {
        self.host = host;
        self.restart()
    }

    /// Ends the process in the middle of whatever it does, and with it the log.
    pub fn kill(&self) {
        let mut child = self.child();
        // It fails only for a process that is gone.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// The first isolate's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Each isolate's address.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The process's id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// How the process has ended; `None` while it runs.
    ///
    /// # Errors
    /// When the system can't tell.
    pub fn ended(&self) -> io::Result<Option<ExitStatus>> {
        self.child().try_wait()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was written so far to both standard streams.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Where what is durable is.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.folder.path().join(DISK)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(host: &dyn Host, setup: &Setup, folder: &Path) -> io::Result<(Child, Vec<SocketAddr>)> {
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    // The process inherits sockets that listen: their ports are known, and nobody polls for them.
    let mut listeners = Vec::new();
    for _ in 0..setup.isolates {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty()))?;
        listeners.push(listener);
    }
    let sockets: Vec<RawFd> = listeners.iter().map(TcpListener::as_raw_fd).collect();
    let addresses = listeners.iter().map(TcpListener::local_addr);
    // A log in a file costs the worker what it has to, and nobody else anything.
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join(LOG))?;
    let child = host
        .command(setup, &sockets, folder, &folder.join(DISK))?
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok((child, addresses.collect::<io::Result<_>>()?))
}
