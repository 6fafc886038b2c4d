//! The reference backend: flags and commands, the log, signals.

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use backend::{
    ApiError, Backend, Data, HttpBotApi, Listening, Options, TELEGRAM_API_URL, Telegram,
    cli::{self, Command},
    config::{ENVIRONMENT_HELP, Environment},
};
use clap::Parser;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// The reference backend of TeleStore.
///
/// Without a command it serves.
#[derive(Parser)]
#[command(version, after_help = ENVIRONMENT_HELP)]
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
        default_value = "data/telestore-backend.sqlite3",
        global = true
    )]
    data: String,

    /// Answer a command in JSON, for scripts.
    #[arg(long, global = true)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    backend::program::log_to_stderr();
    match run(flags).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: Flags) -> Result<(), Box<dyn Error>> {
    let options = Environment::read()?.apply(Options {
        data: Data::from(flags.data.as_str()),
        ..Options::default()
    })?;
    match flags.command {
        Some(command) => {
            let answer = cli::run(&command, &options, flags.json).await?;
            writeln!(io::stdout(), "{answer}")?;
            Ok(())
        }
        None => serve(&flags.listen, &options).await,
    }
}

async fn serve(address: &str, options: &Options) -> Result<(), Box<dyn Error>> {
    // Before the ready line: whoever reads it may send a signal at once.
    let stopped = backend::program::stop_signal()?;
    let listening = Listening::at(address).await?;
    let base_url = listening.base_url.clone();
    let telegram_api_url = options.telegram_api_url.as_deref();
    let telegram = Telegram {
        bot_api: Arc::new(HttpBotApi::new(
            telegram_api_url.unwrap_or(TELEGRAM_API_URL),
        )?),
        accounts: None,
    };
    let backend = Backend::open(options, telegram, base_url.clone()).await?;
    let stop = CancellationToken::new();
    let upkeep = backend.begin_upkeep(stop.clone());
    let router = backend.observed(
        backend
            .routes(|api| api)
            .fallback(async || ApiError::NotFound),
    );
    let serving = listening.serve(router, stop.clone());
    writeln!(io::stdout(), "{}", json!({ "listening": base_url }))?;
    stopped.await;
    tracing::info!("stopping");
    stop.cancel();
    serving.await?;
    upkeep.await?;
    backend.close().await;
    Ok(())
}
