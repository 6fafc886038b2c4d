//! The program: flags and commands, the ready line.

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use backend::{
    Data,
    cli::{self, Command},
    config::{ENVIRONMENT_HELP, Environment},
    program,
};
use backend_mock::{BackendOptions, Options, Running, Server};
use clap::Parser;
use serde_json::json;

/// The TeleStore backend and an emulator of Telegram's Bot API, on one port.
///
/// Without a command it serves.
#[derive(Parser)]
#[command(version, after_help = ENVIRONMENT_HELP)]
// Switches that have nothing to do with each other.
#[allow(clippy::struct_excessive_bools)]
struct Flags {
    #[command(subcommand)]
    command: Option<Command>,

    /// Address and port to listen at; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8788")]
    listen: String,

    /// SQLite file to keep everything in, or `:memory:`.
    #[arg(
        long,
        value_name = "PATH",
        default_value = "data/backend-mock.sqlite3",
        global = true
    )]
    data: String,

    /// Answer a command in JSON, for scripts.
    #[arg(long, global = true)]
    json: bool,

    /// Make a demo user with a bot and a channel; the same one at every start.
    #[arg(long)]
    demo: bool,

    /// Serve the test control under `/_control`, to everyone that reaches the port.
    #[arg(long)]
    control: bool,

    /// Limit bots to Telegram's rates.
    #[arg(long)]
    rate_limits: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    program::log_to_stderr();
    match run(flags).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: Flags) -> Result<(), Box<dyn Error>> {
    let environment = Environment::read()?;
    if environment.is_production() {
        for (set, flag) in [
            (flags.demo, "--demo"),
            (flags.control, "--control"),
            (flags.rate_limits, "--rate-limits"),
        ] {
            if set {
                let refusal = "production (DEPLOY_ENV is set) has no";
                return Err(format!("{refusal} {flag}: leave it out, or set DEBUG=true").into());
            }
        }
    }
    let backend = environment.apply(BackendOptions {
        data: Data::from(flags.data.as_str()),
        ..BackendOptions::default()
    })?;
    match flags.command {
        Some(command) => {
            let answer = cli::run(&command, &backend, flags.json).await?;
            writeln!(io::stdout(), "{answer}")?;
            Ok(())
        }
        None => {
            serve(Options {
                listen: flags.listen,
                demo: flags.demo,
                control: flags.control,
                rate_limits: flags.rate_limits,
                emulator: !environment.is_production(),
                backend,
            })
            .await
        }
    }
}

async fn serve(options: Options) -> Result<(), Box<dyn Error>> {
    // Before the ready line: whoever reads it may send a signal at once.
    let stopped = program::stop_signal()?;
    let server = Server::start(options).await?;
    print_ready_line(&server)?;
    stopped.await;
    tracing::info!("stopping");
    server.shutdown().await;
    Ok(())
}

fn print_ready_line(server: &Running) -> io::Result<()> {
    let mut line = json!({ "listening": server.base_url });
    if let Some(demo) = &server.demo {
        line["demo"] = json!(demo);
    }
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
