//! The size of what is deployed.

use std::io::Write as _;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use testkit::workerd::built_worker;

use crate::report::{Row, Unit};
use crate::statistics::float;

const CASE: &str = "bundle";

pub(super) fn rows() -> Result<Vec<Row>> {
    let [js, wasm] = built_worker()?.map(|module| module.bytes);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&wasm)?;
    gzip.write_all(&js)?;
    let gzip = gzip.finish()?.into();
    let rows = [("wasm", wasm), ("js", js), ("both in gzip", gzip)];
    Ok(rows
        .map(|(what, bytes)| Row::alone(CASE, what, Unit::Kilobytes, &[float(bytes.len() as u64)]))
        .into())
}
