//! Many large files at the same time: memory must not follow their number.

use anyhow::Result;

use super::{large, warm_up};
use crate::client::{Order, Request};
use crate::content::{File, LARGE_BYTES};
use crate::lab::{Lab, Load};
use crate::report::{Row, Target, Unit};
use crate::worker::Kind;

const UPLOADS: usize = 20;
/// A round moves a gigabyte; what it shows does not scatter much.
const MAX_ROUNDS: usize = 3;
const MOST_GROWTH_BYTES: f64 = 64e6;

pub(super) async fn rows(lab: &Lab) -> Result<Vec<Row>> {
    let rounds = lab.rounds.min(MAX_ROUNDS);
    let warm_up = || {
        warm_up(lab, |file| {
            Request::form(&lab.content, file, Order::TokenFirst)
        })
    };
    let one = large::form(lab, Order::TokenFirst);
    let mut contenders = [
        lab.contender(Kind::Product, warm_up(), |_| load(lab))
            .await?,
        lab.contender(Kind::Product, warm_up(), move |_| {
            Load::repeated(&one, 1, 1)
        })
        .await?,
    ];
    lab.alternate(&mut contenders, rounds, 1).await?;
    let [many, one] = &contenders;
    let names = ("20 × 50 MB form, token first, at once", "a single one");
    let [wall_of_many, wall_of_one] =
        [many, one].map(|contender| contender.figures(|sample| sample.wall.as_secs_f64()));
    let (many, one) = (many.memory_growth(), one.memory_growth());
    Ok(vec![
        Row::compared(names, "peak memory over idle", Unit::Megabytes, &many, &one)
            .target(Target::AtMost(MOST_GROWTH_BYTES)),
        Row::compared(
            names,
            "wall",
            Unit::Milliseconds,
            &wall_of_many,
            &wall_of_one,
        ),
    ])
}

/// Each a user's own, with content of its own.
pub(super) fn load(lab: &Lab) -> Load {
    let requests = (0..UPLOADS).map(|number| {
        let file = File {
            user: number as u64,
            offset: lab.content.offset(number, LARGE_BYTES),
            size: LARGE_BYTES,
        };
        Request::form(&lab.content, file, Order::TokenFirst)
    });
    Load {
        connections: UPLOADS,
        requests: requests.collect(),
    }
}
