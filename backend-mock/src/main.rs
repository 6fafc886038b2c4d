//! The program: flags, the log, the ready line, signals.

use std::{
    env::{self, VarError},
    error::Error,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use backend_mock::{Data, Options, Running, Server};
use clap::Parser;
use serde_json::json;
use tokio::signal;
use tracing_subscriber::EnvFilter;

// In the environment and not on the command line, which every user of the machine can read.
const SECRETS_HELP: &str = "\
Environment:
  ENCRYPTION_KEY  32 bytes in base64 to seal secrets under; default: a generated key in <PATH>.key
  JWT_SECRET      secret of access tokens; default: derived from the encryption key
  WEBHOOK_SECRET  secret (whsec_…) that webhooks must be signed with; default: they may be unsigned
  RUST_LOG        what is logged; default: info";

/// The TeleStore backend and an emulator of Telegram's Bot API, on one port.
#[derive(Parser)]
#[command(version, after_help = SECRETS_HELP)]
struct Flags {
    /// Address and port to listen at; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8788")]
    listen: String,

    /// SQLite file to keep everything in, or `:memory:`.
    #[arg(long, value_name = "PATH", default_value = "data/backend-mock.sqlite3")]
    data: String,

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
    let options = Options {
        listen: flags.listen,
        data: Data::from(flags.data.as_str()),
        demo: flags.demo,
        control: flags.control,
        rate_limits: flags.rate_limits,
        encryption_key: secret("ENCRYPTION_KEY")?,
        jwt_secret: secret("JWT_SECRET")?,
        webhook_secret: secret("WEBHOOK_SECRET")?
            .map(|text| text.parse())
            .transpose()
            .map_err(|error| format!("WEBHOOK_SECRET: {error}"))?,
        ..Options::default()
    };
    // Before the ready line: whoever reads it may send a signal at once.
    let stopped = stop_signal()?;
    let server = Server::start(options).await?;
    print_ready_line(&server)?;
    stopped.await;
    tracing::info!("stopping");
    server.shutdown().await;
    Ok(())
}

/// A secret from the environment; one that is set to nothing counts as not set.
fn secret(name: &str) -> Result<Option<String>, Box<dyn Error>> {
    match env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(format!("{name} is not UTF-8").into()),
    }
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
