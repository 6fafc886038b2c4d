//! Files of 50 MB, one at a time.

use anyhow::Result;

use super::{KNOWN_USER, warm_up};
use crate::client::{Order, Request};
use crate::content::{File, LARGE_BYTES};
use crate::lab::{Contender, Lab, Load};
use crate::report::{Row, Target, Unit};
use crate::worker::Kind;

/// Uploads a round and worker.
const REPEATS: usize = 4;

pub(super) async fn raw(lab: &Lab) -> Result<Vec<Row>> {
    let mut contenders = [
        piped(lab, Kind::Product).await?,
        piped(lab, Kind::Limit).await?,
    ];
    lab.alternate(&mut contenders, lab.rounds, REPEATS).await?;
    let [ours, limit] = &contenders;
    let [wall, cpu] = wall_and_cpu("50 MB raw", ours, limit);
    Ok(vec![
        wall.target(Target::RatioAtMost(1.1)),
        cpu.target(Target::RatioAtMost(1.15)),
    ])
}

pub(super) async fn token_first(lab: &Lab) -> Result<Vec<Row>> {
    const CASE: &str = "50 MB form, token first";
    let mut contenders = [
        posted(lab, Kind::Product, Order::TokenFirst).await?,
        piped(lab, Kind::Limit).await?,
        posted(lab, Kind::Usual, Order::TokenFirst).await?,
        posted(lab, Kind::Loop, Order::TokenFirst).await?,
    ];
    lab.alternate(&mut contenders, lab.rounds, REPEATS).await?;
    let [ours, limit, usual, reading] = &contenders;
    let [limit_wall, limit_cpu] = wall_and_cpu(CASE, ours, limit);
    let [usual_wall, usual_cpu] = wall_and_cpu(CASE, ours, usual);
    let [loop_wall, loop_cpu] = wall_and_cpu(CASE, ours, reading);
    Ok(vec![
        limit_wall.target(Target::RatioAtMost(1.5)),
        limit_cpu.target(Target::RatioAtMost(1.6)),
        usual_wall.target(Target::RatioAtMost(0.6)),
        usual_cpu.target(Target::RatioAtMost(0.6)),
        memory(CASE, ours, usual),
        loop_wall,
        loop_cpu,
    ])
}

pub(super) async fn file_first(lab: &Lab) -> Result<Vec<Row>> {
    const CASE: &str = "50 MB form, file first";
    let mut contenders = [
        posted(lab, Kind::Product, Order::FileFirst).await?,
        posted(lab, Kind::Usual, Order::FileFirst).await?,
    ];
    lab.alternate(&mut contenders, lab.rounds, REPEATS).await?;
    let [ours, usual] = &contenders;
    let [wall, cpu] = wall_and_cpu(CASE, ours, usual);
    Ok(vec![
        wall.target(Target::RatioAtMost(0.8)),
        cpu.target(Target::RatioAtMost(0.7)),
        memory(CASE, ours, usual).target(Target::RatioAtMost(0.5)),
    ])
}

/// The file by `PUT`.
pub(super) fn raw_request(lab: &Lab) -> Request {
    Request::raw(&lab.content, FILE)
}

/// The file in a form.
pub(super) fn form(lab: &Lab, order: Order) -> Request {
    Request::form(&lab.content, FILE, order)
}

const FILE: File = File {
    user: KNOWN_USER,
    offset: 0,
    size: LARGE_BYTES,
};

async fn piped(lab: &Lab, kind: Kind) -> Result<Contender<'_>> {
    let warm_up = warm_up(lab, |file| Request::raw(&lab.content, file));
    let request = raw_request(lab);
    lab.contender(kind, warm_up, move |_| Load::repeated(&request, 1, 1))
        .await
}

async fn posted(lab: &Lab, kind: Kind, order: Order) -> Result<Contender<'_>> {
    let warm_up = warm_up(lab, |file| Request::form(&lab.content, file, order));
    let request = form(lab, order);
    lab.contender(kind, warm_up, move |_| Load::repeated(&request, 1, 1))
        .await
}

fn wall_and_cpu(case: &'static str, ours: &Contender, theirs: &Contender) -> [Row; 2] {
    let names = (case, theirs.worker.kind.name());
    let wall = |contender: &Contender| contender.figures(|sample| sample.wall.as_secs_f64());
    let cpu = |contender: &Contender| contender.figures(|sample| sample.cpu.as_secs_f64());
    [
        Row::compared(
            names,
            "wall",
            Unit::Milliseconds,
            &wall(ours),
            &wall(theirs),
        ),
        Row::compared(names, "CPU", Unit::Milliseconds, &cpu(ours), &cpu(theirs)),
    ]
}

fn memory(case: &'static str, ours: &Contender, theirs: &Contender) -> Row {
    Row::compared(
        (case, theirs.worker.kind.name()),
        "peak memory over idle",
        Unit::Megabytes,
        &ours.memory_growth(),
        &theirs.memory_growth(),
    )
}
