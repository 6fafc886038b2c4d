//! A crowd: a thousand users, each with a token, a bot and a channel of its own, files of all sizes, the
//! token before the file or after it.

use anyhow::Result;
use testkit::random::Random;

use super::small;
use crate::client::{Order, Request};
use crate::content::File;
use crate::lab::{Contender, Lab, Load};
use crate::report::{Row, Unit};
use crate::statistics::{float, seconds_at};
use crate::worker::Kind;

const CASE: &str = "1,000 users, 50 connections";
const USERS: usize = 1000;
/// The first one needs credentials, the second should not.
const UPLOADS_OF_A_USER: usize = 2;
const CONNECTIONS: usize = 50;
const SMALLEST_BYTES: usize = 1000;
/// Sizes spread over so many doublings: from 1 KB to 1 MB, each order of magnitude alike.
const DOUBLINGS: usize = 10;
/// A round sends 300 MB a worker.
const MAX_ROUNDS: usize = 5;

pub(super) async fn rows(lab: &Lab) -> Result<Vec<Row>> {
    let contender = |kind| {
        let warm_up = small::load(lab, small::TEN_KB);
        lab.contender(kind, warm_up, |round| load(lab, round))
    };
    let mut contenders = [
        contender(Kind::Product).await?,
        contender(Kind::Usual).await?,
    ];
    lab.alternate(&mut contenders, lab.rounds.min(MAX_ROUNDS), 1)
        .await?;
    let [ours, usual] = &contenders;
    let names = (CASE, usual.worker.kind.name());
    let mut rows: Vec<Row> = small::rate_and_cpu(CASE, ours, usual).into();
    for (measure, at) in [("latency, median", 0.5), ("latency, 99 of 100", 0.99)] {
        let latency =
            |contender: &Contender| contender.figures(|sample| seconds_at(&sample.latencies, at));
        let (ours, usual) = (latency(ours), latency(usual));
        rows.push(Row::compared(
            names,
            measure,
            Unit::Milliseconds,
            &ours,
            &usual,
        ));
    }
    let asked = |contender: &Contender| contender.figures(|sample| float(sample.credentials));
    let (asked_by_ours, asked_by_usual) = (asked(ours), asked(usual));
    rows.push(Row::compared(
        names,
        "credentials requests",
        Unit::Count,
        &asked_by_ours,
        &asked_by_usual,
    ));
    rows.push(Row::compared(
        names,
        "peak memory over idle",
        Unit::Megabytes,
        &ours.memory_growth(),
        &usual.memory_growth(),
    ));
    Ok(rows)
}

/// The uploads of a round, in an order that is the same in every run. No round knows another's users.
pub(super) fn load(lab: &Lab, round: usize) -> Load {
    let mut random = Random::new(round as u64);
    let mut users: Vec<usize> = (0..USERS * UPLOADS_OF_A_USER)
        .map(|upload| round * USERS + upload % USERS)
        .collect();
    random.shuffle(&mut users);
    let requests = users.into_iter().map(|user| {
        let base = SMALLEST_BYTES << random.below(DOUBLINGS);
        let size = base + random.below(base);
        let file = File {
            user: user as u64,
            offset: lab.content.offset(user, size),
            size,
        };
        let order = if random.below(2) == 0 {
            Order::TokenFirst
        } else {
            Order::FileFirst
        };
        Request::form(&lab.content, file, order)
    });
    Load {
        connections: CONNECTIONS,
        requests: requests.collect(),
    }
}
