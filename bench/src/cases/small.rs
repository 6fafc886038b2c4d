//! Small files, some at a time.

use anyhow::Result;

use super::KNOWN_USER;
use crate::client::{Order, Request};
use crate::content::File;
use crate::lab::{Contender, Lab, Load, Sample};
use crate::report::{Row, Target, Unit};
use crate::statistics::float;
use crate::worker::Kind;

/// A size, and how many of it make a sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    bytes: usize,
    uploads: usize,
}

pub(super) const TEN_KB: Size = Size {
    bytes: 10_000,
    uploads: 1000,
};
pub(super) const TWO_HUNDRED_KB: Size = Size {
    bytes: 200_000,
    uploads: 400,
};
/// Samples a round and worker.
const REPEATS: usize = 3;
const CONNECTIONS: usize = 8;

pub(super) async fn ten_kb(lab: &Lab) -> Result<Vec<Row>> {
    let [rate, cpu, others @ ..] = rows("10 KB form, 8 connections", lab, TEN_KB).await?;
    let targets = [
        rate.target(Target::RatioAtLeast(1.2)),
        cpu.target(Target::RatioAtMost(0.85)),
    ];
    Ok(targets.into_iter().chain(others).collect())
}

pub(super) async fn two_hundred_kb(lab: &Lab) -> Result<Vec<Row>> {
    let rows = rows("200 KB form, 8 connections", lab, TWO_HUNDRED_KB).await?;
    Ok(rows.into())
}

/// Forms of that size, with the file first as it mostly comes.
pub(super) fn load(lab: &Lab, size: Size) -> Load {
    let file = File {
        user: KNOWN_USER,
        offset: lab.content.offset(2, size.bytes),
        size: size.bytes,
    };
    let request = Request::form(&lab.content, file, Order::FileFirst);
    Load::repeated(&request, size.uploads, CONNECTIONS)
}

async fn rows(case: &'static str, lab: &Lab, size: Size) -> Result<[Row; 4]> {
    let mut contenders = [
        lab.contender(Kind::Product, load(lab, size), |_| load(lab, size))
            .await?,
        lab.contender(Kind::Usual, load(lab, size), |_| load(lab, size))
            .await?,
        lab.contender(Kind::Lean, load(lab, size), |_| load(lab, size))
            .await?,
    ];
    lab.alternate(&mut contenders, lab.rounds, REPEATS).await?;
    let [ours, usual, lean] = &contenders;
    let [rate, cpu] = rate_and_cpu(case, ours, usual);
    let [lean_rate, lean_cpu] = rate_and_cpu(case, ours, lean);
    Ok([rate, cpu, lean_rate, lean_cpu])
}

/// Requests a second and CPU a request.
pub(super) fn rate_and_cpu(case: &'static str, ours: &Contender, theirs: &Contender) -> [Row; 2] {
    let names = (case, theirs.worker.kind.name());
    let uploads = |sample: &Sample| float(sample.latencies.len() as u64);
    let rate = |contender: &Contender| {
        contender.figures(|sample| uploads(sample) / sample.wall.as_secs_f64())
    };
    let cpu = |contender: &Contender| {
        contender.figures(|sample| sample.cpu.as_secs_f64() / uploads(sample))
    };
    [
        Row::compared(
            names,
            "requests",
            Unit::PerSecond,
            &rate(ours),
            &rate(theirs),
        ),
        Row::compared(
            names,
            "CPU a request",
            Unit::Milliseconds,
            &cpu(ours),
            &cpu(theirs),
        ),
    ]
}
