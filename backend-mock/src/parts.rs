//! What the routes of this crate are given.

use std::sync::Arc;

use backend::Backend;
use emulator::Telegram;

use crate::{faults::Faults, provision::Provisioner, stats::Stats};

/// What the routes of this crate are given.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) backend: Backend,
    /// `None`: there is no emulated Telegram.
    pub(crate) telegram: Option<Arc<Telegram>>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) faults: Arc<Faults>,
}

impl Parts {
    /// `None`: there is no emulated Telegram.
    pub(crate) fn provisioner(&self) -> Option<Provisioner<'_>> {
        let telegram = self.telegram.as_deref()?;
        Some(Provisioner {
            backend: &self.backend,
            telegram,
        })
    }
}
