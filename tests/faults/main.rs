#![cfg(not(target_arch = "wasm32"))]
//! What becomes of an upload when something goes wrong: every fault at every step, in every lane.
//!
//! `cargo test --release --test faults` wants what `tests/e2e` wants.
//!
//! | room | what |
//! |---|---|
//! | `table` | what goes wrong, and how it has to end |
//! | `runner` | makes it so, and writes down how it ended |
//! | `soak` | thousands of uploads, with faults at random |
//! | `page` | RELIABILITY.md |

#![allow(
    clippy::too_many_lines,
    reason = "tables of faults and outcomes are long, and best read in one piece"
)]

mod page;
mod runner;
mod soak;

mod table;

use futures_util::future::join_all;

use table::stages;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_at_every_step_ends_in_every_lane_as_the_table_says() {
    let endings: Vec<_> = join_all(stages().into_iter().map(runner::run))
        .await
        .concat();
    let surprises: Vec<String> = endings
        .iter()
        .filter_map(runner::Ending::surprise)
        .collect();
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    page::write_table(&endings);
}
