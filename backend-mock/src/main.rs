//! The program: flags and commands, the log, the ready line, signals.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use backend_mock::{
    Data, Options, Running, Server,
    cli::{self, Command},
    config::Environment,
};
use clap::Parser;
use serde_json::json;
use tokio::signal;
use tracing_subscriber::EnvFilter;

// Secrets are in the environment and not on the command line, which every user of the machine can
// read.
const ENVIRONMENT_HELP: &str = "\
Environment:
  ENCRYPTION_KEY       32 bytes in base64 to seal secrets under, or a list `label:key,label:key`: the
                       first seals, all open; default: a generated key in <PATH>.key
  ENCRYPTION_KEY_FILE  a file with such a list; read again when `rotate-key` adds to it
  JWT_SECRET           secret of access tokens; default: made at the first start, and kept sealed in the
                       database
  WEBHOOK_SECRET       secret (whsec_…) that the worker and this server sign webhooks with; default:
                       those that come may be unsigned, and none is sent
  DATABASE_URL         postgres://… in place of the SQLite file
  TELEGRAM_API_URL     the Bot API that settings are checked with; default: https://api.telegram.org in
                       production, else the emulated one
  API_TOKENS           tokens of the deployment, like `admin:…,analyst:…`; each is a user of its own
  WORKER_URL           where clients upload to, for /api/auth/client-config; with WEBHOOK_SECRET, the
                       worker there is told when a user's bot, channel or key changes
  MAX_UPLOAD_BYTES     the worker's limit, for the same; default: 52412416
  TRUST_FORWARDED_FOR  `true` behind a proxy that adds the client's address to X-Forwarded-For
  RATE_LIMIT_ADDRESS_PER_MINUTE, RATE_LIMIT_USER_PER_MINUTE, RATE_LIMIT_SIGN_IN_PER_MINUTE
                       0: without limit; default: 60000, 1200, 30 in production, else none
  RUST_LOG             what is logged; default: info

Modes:
  DEPLOY_ENV           set: production. ENCRYPTION_KEY (or its file) and JWT_SECRET must be set and
                       strong; no --demo, --control, --rate-limits, no emulated Telegram
  DEBUG                true: development, whatever DEPLOY_ENV says. In development a file .env is
                       read, and these serve every user that has no bot of its own:
  TELEGRAM_BOT_TOKEN, TELEGRAM_CHANNEL_ID

What is gathered for a second before it is written, and lost when the process is killed: the counts
and times of use of API keys, and in the audit log fetches of credentials and refusals. Nothing else.";

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
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .init();
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
        listen: flags.listen,
        data: Data::from(flags.data.as_str()),
        demo: flags.demo,
        control: flags.control,
        rate_limits: flags.rate_limits,
        ..Options::default()
    })?;
    match flags.command {
        Some(command) => {
            let answer = cli::run(&command, &options, flags.json).await?;
            writeln!(io::stdout(), "{answer}")?;
            Ok(())
        }
        None => serve(options).await,
    }
}

async fn serve(options: Options) -> Result<(), Box<dyn Error>> {
    // Before the ready line: whoever reads it may send a signal at once.
    let stopped = stop_signal()?;
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

#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a handler the system ends the process by itself.
        if signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
