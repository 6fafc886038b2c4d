//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::cases::Case;

const QUICK_ROUNDS: usize = 3;

/// Measures the built worker in workerd, against a native pipe ("limit") and against the usual way to
/// write it ("usual").
///
/// WORKERD_BIN names the workerd program, WORKER_BUILD_DIR the folder with the built worker.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Options {
    /// How often everything is repeated
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// Three rounds
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,

    /// Only this case; may be given several times
    #[arg(long, value_name = "NAME", value_enum)]
    only: Vec<Case>,

    /// Write the figures there too, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Measure nothing: keep a worker busy with this case until Ctrl-C, so that perf can attach
    #[arg(long, value_name = "NAME", value_enum, conflicts_with_all = ["only", "json"])]
    pub(crate) profile: Option<Case>,
}

impl Options {
    pub(crate) fn rounds(&self) -> usize {
        if self.quick {
            QUICK_ROUNDS
        } else {
            self.rounds.into()
        }
    }

    /// The cases to measure, in the table's order.
    pub(crate) fn cases(&self) -> impl Iterator<Item = Case> {
        <Case as clap::ValueEnum>::value_variants()
            .iter()
            .copied()
            .filter(|case| self.only.is_empty() || self.only.contains(case))
    }
}
