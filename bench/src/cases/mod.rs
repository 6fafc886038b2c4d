//! What is measured.

mod at_once;
mod bundle;
mod cold_start;
mod floor;
mod large;
mod mixed;
mod small;

use anyhow::Result;
use clap::ValueEnum;

use crate::client::{Order, Request};
use crate::content::File;
use crate::lab::{Lab, Load};
use crate::report::Row;

/// The user whose bot the native pipe knows.
const KNOWN_USER: u64 = 0;
/// Of the forms before the first measurement, in bytes. Large enough for the streamed and the buffered
/// lane, and too small to leave memory behind that a large file would use again.
const WARM_UP_BYTES: usize = 300_000;
const WARM_UPS: usize = 40;

/// A case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// Client and sink without a worker in between
    Floor,
    /// 50 MB by PUT
    Raw,
    /// 50 MB in a form, the token before the file
    TokenFirst,
    /// 50 MB in a form, the token after the file
    FileFirst,
    /// Forms of 10 KB
    #[value(name = "10kb")]
    Small,
    /// Forms of 200 KB
    #[value(name = "200kb")]
    Medium,
    /// Twenty times 50 MB at once
    AtOnce,
    /// A thousand users, all kinds of forms
    Mixed,
    /// A fresh process's first reply
    ColdStart,
    /// The bundle's size
    Bundle,
}

impl Case {
    /// Measures it.
    pub(crate) async fn rows(self, lab: &Lab) -> Result<Vec<Row>> {
        match self {
            Self::Floor => floor::rows(lab).await,
            Self::Raw => large::raw(lab).await,
            Self::TokenFirst => large::token_first(lab).await,
            Self::FileFirst => large::file_first(lab).await,
            Self::Small => small::ten_kb(lab).await,
            Self::Medium => small::two_hundred_kb(lab).await,
            Self::AtOnce => at_once::rows(lab).await,
            Self::Mixed => mixed::rows(lab).await,
            Self::ColdStart => cold_start::rows(lab).await,
            Self::Bundle => bundle::rows(),
        }
    }

    /// The load that is typical of it, for a profiler.
    pub(crate) fn load(self, lab: &Lab, round: usize) -> Load {
        match self {
            Self::Floor | Self::Raw => Load::repeated(&large::raw_request(lab), 1, 1),
            Self::TokenFirst => Load::repeated(&large::form(lab, Order::TokenFirst), 1, 1),
            Self::FileFirst => Load::repeated(&large::form(lab, Order::FileFirst), 1, 1),
            Self::Small | Self::ColdStart | Self::Bundle => small::load(lab, small::TEN_KB),
            Self::Medium => small::load(lab, small::TWO_HUNDRED_KB),
            Self::AtOnce => at_once::load(lab),
            Self::Mixed => mixed::load(lab, round),
        }
    }
}

/// Small enough to leave no memory behind, and the same code as for large files.
fn warm_up(lab: &Lab, request: impl Fn(File) -> Request) -> Load {
    let file = File {
        user: KNOWN_USER,
        offset: lab.content.offset(1, WARM_UP_BYTES),
        size: WARM_UP_BYTES,
    };
    Load::repeated(&request(file), WARM_UPS, 1)
}
