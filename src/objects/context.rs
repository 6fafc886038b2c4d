use crate::config::Config;
use crate::host::{Host, UnixMillis};

/// What an object may use besides its storage. It has no network: an answer can't wait for one.
pub struct Context<'a, H> {
    host: &'a H,
    /// The settings.
    pub config: &'a Config,
}

impl<'a, H: Host> Context<'a, H> {
    /// The context of an object on this host.
    #[must_use]
    pub fn new(host: &'a H, config: &'a Config) -> Self {
        Self { host, config }
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.host.now()
    }

    /// Bytes from a cryptographically secure source.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.host.fill_random(&mut bytes);
        bytes
    }

    /// Writes one line to the log.
    pub fn log(&self, line: &str) {
        self.host.log(line);
    }
}
