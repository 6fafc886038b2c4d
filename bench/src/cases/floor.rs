//! Client and sink without a worker in between: how much of the other figures is theirs.

use std::time::Instant;

use anyhow::Result;

use super::KNOWN_USER;
use crate::client::{Connections, Request};
use crate::content::{File, LARGE_BYTES};
use crate::lab::{Lab, Load};
use crate::report::{Row, Unit};

const REPEATS: usize = 3;

pub(super) async fn rows(lab: &Lab) -> Result<Vec<Row>> {
    let file = File {
        user: KNOWN_USER,
        offset: 0,
        size: LARGE_BYTES,
    };
    let request = Request::document(&lab.content, file);
    let mut walls = Vec::new();
    for _ in 0..lab.rounds * REPEATS {
        let load = Load::repeated(&request, 1, 1);
        let connections = Connections::open(lab.sink.address, load.connections).await?;
        let began = Instant::now();
        connections.send_all(load.requests).await?;
        walls.push(began.elapsed().as_secs_f64());
    }
    Ok(vec![Row::alone(
        "50 MB without a worker",
        "wall",
        Unit::Milliseconds,
        &walls,
    )])
}
