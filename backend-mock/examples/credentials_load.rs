//! How many requests a second `GET /api/worker/credentials` answers, from a database of 100,000 users and
//! 300,000 API keys: `npm run bench:backend`.
//!
//! The server is the release build of the program, in a process of its own that has one core; the client
//! has another. Every reply is looked into: it must hold the credentials of the user that asked.

use std::{
    env,
    error::Error,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use backend_mock::{BackendOptions, CrowdUser, Data, Options, Server};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinSet};

type Failure = Box<dyn Error + Send + Sync>;

const USERS: usize = 100_000;
const KEYS_EACH: usize = 3;
/// Users that are made in one transaction.
const CROWD: usize = 2_000;
const CONNECTIONS: usize = 16;
/// Before a measurement, so that connections, statements and pages are there.
const WARM_UP: Duration = Duration::from_secs(2);
const MEASUREMENT: Duration = Duration::from_secs(10);
const SERVER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;

fn main() -> Result<(), Failure> {
    let folder = env::temp_dir().join(format!("backend-mock-load-{}", uuid::Uuid::new_v4()));
    let measured = run(&folder.join("load.sqlite3"));
    fs::remove_dir_all(&folder)?;
    measured
}

fn run(data: &Path) -> Result<(), Failure> {
    let started = Instant::now();
    let crowd = tokio::runtime::Runtime::new()?.block_on(fill(data))?;
    let size = fs::metadata(data)?.len();
    println!(
        "{USERS} users and {} keys in a file of {} MB, made in {:.0} s",
        USERS * KEYS_EACH,
        size / 1_000_000,
        started.elapsed().as_secs_f64()
    );
    pin_to(SERVER_CORE)?;
    let mut server = LoadedServer::start(data)?;
    pin_to(CLIENT_CORE)?;
    let client = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    println!(
        "{CONNECTIONS} connections, {} s each",
        MEASUREMENT.as_secs()
    );
    println!("| token | requests a second | p50 | p99 | longest |");
    println!("|---|---:|---:|---:|---:|");
    for (name, tokens) in [("API key", keys_of(&crowd)), ("JWT", jwts_of(&crowd))] {
        client.block_on(load(&server.address, &tokens, WARM_UP))?;
        let before = Instant::now();
        let mut times = client.block_on(load(&server.address, &tokens, MEASUREMENT))?;
        let elapsed = before.elapsed();
        times.sort_unstable();
        let at = |percent: usize| milliseconds(times[(times.len() - 1) * percent / 100]);
        let count = u32::try_from(times.len())?;
        println!(
            "| {name} | {:.0} | {} | {} | {} |",
            f64::from(count) / elapsed.as_secs_f64(),
            at(50),
            at(99),
            at(100)
        );
    }
    server.child.kill()?;
    server.child.wait()?;
    Ok(())
}

/// Fills the file.
async fn fill(data: &Path) -> Result<Vec<CrowdUser>, Failure> {
    let server = Server::start(Options {
        listen: "127.0.0.1:0".to_owned(),
        backend: BackendOptions {
            data: Data::File(data.to_owned()),
            ..BackendOptions::default()
        },
        ..Options::default()
    })
    .await?;
    let mut crowd = Vec::with_capacity(USERS);
    while crowd.len() < USERS {
        crowd.extend(server.add_crowd(CROWD, KEYS_EACH).await?);
    }
    server.shutdown().await;
    Ok(crowd)
}

/// This process, and the ones it starts from here on, have one core.
#[cfg(target_os = "linux")]
fn pin_to(core: usize) -> Result<(), Failure> {
    use nix::{
        sched::{CpuSet, sched_setaffinity},
        unistd::Pid,
    };
    let mut cores = CpuSet::new();
    cores.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cores)?)
}

#[cfg(not(target_os = "linux"))]
fn pin_to(_: usize) -> Result<(), Failure> {
    Err("a core can be chosen on Linux alone".into())
}

/// The program, on the file.
struct LoadedServer {
    child: Child,
    /// Host and port.
    address: String,
}

impl LoadedServer {
    fn start(data: &Path) -> Result<Self, Failure> {
        let mut child = Command::new(program()?)
            .env_clear()
            .current_dir(env::temp_dir())
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no standard output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line)?;
        let url = ready["listening"].as_str().unwrap_or_default();
        Ok(Self {
            address: url.trim_start_matches("http://").to_owned(),
            child,
        })
    }
}

impl Drop for LoadedServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program stands beside the folder of examples.
fn program() -> Result<PathBuf, Failure> {
    let example = env::current_exe()?;
    let folder = example.parent().and_then(Path::parent);
    let program = folder.ok_or("no folder of builds")?.join("backend-mock");
    if program.exists() {
        Ok(program)
    } else {
        Err("build the program first: cargo build --release -p backend-mock".into())
    }
}

/// Tokens, each with the id of its user.
type Tokens = Vec<(String, String)>;

fn keys_of(crowd: &[CrowdUser]) -> Tokens {
    let keys = crowd.iter().flat_map(|user| {
        let keys = user.api_keys.iter();
        keys.map(|key| (key.clone(), user.user_id.clone()))
    });
    keys.collect()
}

fn jwts_of(crowd: &[CrowdUser]) -> Tokens {
    let users = crowd.iter();
    users
        .map(|user| (user.auth_token.clone(), user.user_id.clone()))
        .collect()
}

/// Asks over all connections, as fast as the answers come, with a random token each time; returns how
/// long each request took.
async fn load(
    address: &str,
    tokens: &Tokens,
    duration: Duration,
) -> Result<Vec<Duration>, Failure> {
    let tokens: std::sync::Arc<Tokens> = std::sync::Arc::new(tokens.clone());
    let mut clients = JoinSet::new();
    let end = Instant::now() + duration;
    for _ in 0..CONNECTIONS {
        let mut connection = connect(address).await?;
        let tokens = std::sync::Arc::clone(&tokens);
        clients.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                let (token, user_id) = &tokens[fastrand::usize(..tokens.len())];
                let before = Instant::now();
                let reply = ask(&mut connection, token).await?;
                times.push(before.elapsed());
                let credentials: Value = serde_json::from_slice(&reply)?;
                if credentials["user_id"] != user_id.as_str() {
                    return Err(format!("not the user's: {credentials}").into());
                }
            }
            Ok::<_, Failure>(times)
        });
    }
    let mut all = Vec::new();
    while let Some(times) = clients.join_next().await {
        all.extend(times??);
    }
    Ok(all)
}

async fn connect(address: &str) -> Result<SendRequest<Empty<Bytes>>, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn ask(connection: &mut SendRequest<Empty<Bytes>>, token: &str) -> Result<Bytes, Failure> {
    connection.ready().await?;
    let request = Request::get("/api/worker/credentials")
        .header("host", "load")
        .header("authorization", format!("Bearer {token}"))
        .body(Empty::new())?;
    let reply = connection.send_request(request).await?;
    Ok(reply.into_body().collect().await?.to_bytes())
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
