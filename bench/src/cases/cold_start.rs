//! From the start of a process to its first reply, credentials included.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::KNOWN_USER;
use crate::client::{Order, Request};
use crate::content::File;
use crate::lab::{Lab, Load};
use crate::report::{Row, Target, Unit};
use crate::worker::Kind;

const STARTS: usize = 15;
const FILE_BYTES: usize = 10_000;
const MOST_MORE_SECONDS: f64 = 0.025;

pub(super) async fn rows(lab: &Lab) -> Result<Vec<Row>> {
    let (mut ours, mut usual) = (Vec::new(), Vec::new());
    for start in 0..STARTS.max(lab.rounds) {
        let order = if start % 2 == 0 {
            [Kind::Product, Kind::Usual]
        } else {
            [Kind::Usual, Kind::Product]
        };
        for kind in order {
            let times = if kind == Kind::Product {
                &mut ours
            } else {
                &mut usual
            };
            times.push(first_reply(lab, kind).await?.as_secs_f64());
        }
    }
    let names = ("cold start", Kind::Usual.name());
    Ok(vec![
        Row::compared(names, "first reply", Unit::Milliseconds, &ours, &usual)
            .target(Target::MoreAtMost(MOST_MORE_SECONDS)),
    ])
}

async fn first_reply(lab: &Lab, kind: Kind) -> Result<Duration> {
    let file = File {
        user: KNOWN_USER,
        offset: 0,
        size: FILE_BYTES,
    };
    let request = Request::form(&lab.content, file, Order::FileFirst);
    let began = Instant::now();
    let worker = lab.start(kind)?;
    lab.send(&worker, Load::repeated(&request, 1, 1)).await?;
    Ok(began.elapsed())
}
