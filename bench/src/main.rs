//! How fast the worker is, how much CPU and memory it takes, and how that compares.
//!
//! Each worker runs in a bare workerd of its own; this process is the browsers before them and the
//! backend and Telegram after them, over the loopback interface. All contenders of a case run in turns,
//! so that ratios hold on a machine where absolute figures come and go.
//!
//! | room | purpose |
//! |---|---|
//! | `options` | the command line |
//! | `cases` | what is measured, and the targets |
//! | `lab` | taking samples in turns |
//! | `worker` | a worker in workerd |
//! | `process` | CPU and memory of a process |
//! | `client` | the browsers |
//! | `sink` | backend and Telegram |
//! | `document` | the check of what Telegram gets |
//! | `content`, `users` | files and people, made from numbers |
//! | `statistics`, `report`, `machine` | the table |

mod cases;
mod client;
mod content;
mod document;
mod lab;
mod machine;
mod options;
mod process;
mod report;
mod sink;
mod statistics;
mod users;
mod worker;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use clap::Parser as _;
use serde_json::json;
use testkit::workerd::Workerd;
use tokio::signal::unix::{SignalKind, signal};

use crate::cases::Case;
use crate::content::Content;
use crate::lab::Lab;
use crate::machine::Machine;
use crate::options::Options;
use crate::report::Row;
use crate::sink::Sink;
use crate::worker::Kind;

fn main() -> ExitCode {
    match serve(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Options) -> Result<()> {
    // One core is for workerd, whose event loop has one thread.
    let threads = machine::cores().saturating_sub(1).max(1);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?
        .block_on(async {
            let mut terminated = signal(SignalKind::terminate())?;
            let mut interrupted = signal(SignalKind::interrupt())?;
            // The workers end with whatever ends first.
            tokio::select! {
                result = run(options) => result,
                _ = terminated.recv() => Err(anyhow!("terminated")),
                _ = interrupted.recv() => Err(anyhow!("interrupted")),
            }
        })
}

async fn run(options: &Options) -> Result<()> {
    let mut workerd = Workerd::with_built_worker()?;
    if options.profile.is_some() {
        // Lets perf name what V8 has compiled.
        workerd.v8_flags.push("--perf-basic-prof".to_owned());
    }
    let content = Content::new();
    let lab = Lab {
        sink: Sink::start(content.clone()).await?,
        workerd,
        content,
        rounds: options.rounds(),
    };
    match options.profile {
        Some(case) => keep_busy(&lab, case).await,
        None => measure(&lab, options).await,
    }
}

async fn measure(lab: &Lab, options: &Options) -> Result<()> {
    let began = Instant::now();
    let machine = Machine::look(lab.workerd.program());
    println!("{machine}\n\n{}", report::HEAD);
    let mut rows = Vec::new();
    for case in options.cases() {
        for row in case.rows(lab).await? {
            println!("{row}");
            rows.push(row);
        }
    }
    let missed = rows
        .iter()
        .filter(|row| row.is_met() == Some(false))
        .count();
    let arrived = lab.sink.arrived();
    println!(
        "\nMedians of {} rounds; a ratio's quartiles are those of neighbouring samples. {} files, {} bytes in total, \
         arrived complete. {} s.\n{}",
        lab.rounds,
        arrived.documents,
        arrived.file_bytes,
        began.elapsed().as_secs(),
        match missed {
            0 => "All targets are met.".to_owned(),
            1 => "One target is missed.".to_owned(),
            missed => format!("{missed} targets are missed."),
        }
    );
    if let Some(path) = &options.json {
        let report = json!({
            "machine": machine.to_json(),
            "rounds": lab.rounds,
            "files": arrived.documents,
            "fileBytes": arrived.file_bytes,
            "rows": rows.iter().map(Row::to_json).collect::<Vec<_>>(),
        });
        std::fs::write(path, format!("{report:#}\n"))
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

async fn keep_busy(lab: &Lab, case: Case) -> Result<()> {
    let worker = lab.start(Kind::Product)?;
    println!(
        "workerd is process {}; Ctrl-C ends it.",
        worker.process.id()
    );
    for round in 0.. {
        lab.send(&worker, case.load(lab, round)).await?;
    }
    Ok(())
}
