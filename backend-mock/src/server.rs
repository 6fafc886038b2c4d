//! Starts the server, and stops it.

use std::{
    ffi::OsString,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    backend::{
        self, error::ApiError, password::PasswordCost, signature::WebhookSecret, token::Tokens,
    },
    blobs::BlobStore,
    connection,
    control::{
        self, Control,
        faults::{self, Point},
    },
    provision::{ProvisionError, Provisioned, Setup},
    secrets::{MasterKey, SecretsError},
    store::{Store, StoreError},
    telegram::{Target, Telegram},
};

/// How long requests at hand may take to end at a shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted, as when file descriptors have run out.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Where the data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// In memory, and file contents in a temporary folder; gone at the end.
    Memory,
    /// In this SQLite file. Beside it: file contents in `<file>.files/`, and the encryption key in
    /// `<file>.key` unless one is given.
    File(PathBuf),
}

impl From<&str> for Data {
    fn from(text: &str) -> Self {
        match text {
            ":memory:" => Self::Memory,
            path => Self::File(path.into()),
        }
    }
}

/// How the server is to run.
#[derive(Clone)]
pub struct Options {
    /// Address and port to listen at; port 0 takes a free one.
    pub listen: String,
    /// Where the data is.
    pub data: Data,
    /// Whether there is a demo user.
    pub demo: bool,
    /// Whether the test control is there, for everyone that reaches the port.
    pub control: bool,
    /// Whether the emulated Telegram has rate limits.
    pub rate_limits: bool,
    /// Base64 of the 32 bytes that secrets are sealed under.
    pub encryption_key: Option<String>,
    /// The secret of access tokens, in place of one derived from the encryption key.
    pub jwt_secret: Option<String>,
    /// The secret that webhooks must be signed with.
    pub webhook_secret: Option<WebhookSecret>,
    /// How costly password hashes are.
    pub password_cost: PasswordCost,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8788".to_owned(),
            data: Data::File("data/backend-mock.sqlite3".into()),
            demo: false,
            control: false,
            rate_limits: false,
            encryption_key: None,
            jwt_secret: None,
            webhook_secret: None,
            password_cost: PasswordCost::default(),
        }
    }
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened at.
    #[error("listening at {address}: {source}")]
    Listen {
        /// The address asked for.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The data's folder, or the one of file contents, cannot be made or read.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no encryption key.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The demo user cannot be made or read.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
}

/// A server that is yet to start.
#[derive(Clone, Copy, Debug)]
pub struct Server;

impl Server {
    /// Starts a server; from its return on it answers.
    ///
    /// # Errors
    /// When the address or the data cannot be used, or the key does not fit the data.
    pub async fn start(options: Options) -> Result<Running, StartError> {
        let listen = |source| StartError::Listen {
            address: options.listen.clone(),
            source,
        };
        let listener = TcpListener::bind(&options.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let base_url = format!("http://{address}");
        let app = Arc::new(open(&options, base_url.clone()).await?);
        let demo = if options.demo {
            Some(app.demo().await.map_err(ProvisionError::from)?)
        } else {
            None
        };
        let stop = CancellationToken::new();
        let router = router(&app, options.control);
        let serving = tokio::spawn(accept(listener, router, stop.clone()));
        Ok(Running {
            base_url,
            address,
            demo,
            app,
            stop,
            serving: Some(serving),
        })
    }
}

/// A server that answers. Dropped, it stops without waiting for requests at hand.
#[derive(Debug)]
pub struct Running {
    /// Where it is, like `http://127.0.0.1:8788`.
    pub base_url: String,
    /// The same as an address.
    pub address: SocketAddr,
    /// The demo user, if one was asked for.
    pub demo: Option<Provisioned>,
    app: Arc<App>,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

impl Running {
    /// Makes another user, with a bot and a channel of its own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_user(&self, setup: &Setup) -> Result<Provisioned, ProvisionError> {
        Ok(self.app.add_user(setup).await?)
    }

    /// Takes no more requests, answers those at hand (for at most ten seconds), and closes the
    /// data.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take()
            && let Err(error) = serving.await
        {
            tracing::error!(%error, "the server ended badly");
        }
        self.app.store.close().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

async fn open(options: &Options, base_url: String) -> Result<App, StartError> {
    let given_key = options.encryption_key.as_deref();
    let given_key = given_key.map(MasterKey::from_base64).transpose()?;
    let (store, key, blobs) = match &options.data {
        Data::Memory => {
            let key = given_key.map_or_else(MasterKey::generate, Ok)?;
            let blobs = BlobStore::temporary().map_err(folder(&std::env::temp_dir()))?;
            (Store::in_memory().await?, key, blobs)
        }
        Data::File(path) => {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(folder(parent))?;
            }
            let key = given_key.map_or_else(|| MasterKey::from_file(&beside(path, ".key")), Ok)?;
            let files = beside(path, ".files");
            let blobs = BlobStore::open(files.clone()).map_err(folder(&files))?;
            (Store::open(path).await?, key, blobs)
        }
    };
    let tokens = match &options.jwt_secret {
        Some(secret) => Tokens::new(secret.as_bytes()),
        None => Tokens::new(&key.derive("jwt")),
    };
    Ok(App {
        telegram: Telegram::new(store.clone(), blobs, options.rate_limits),
        store,
        key,
        tokens,
        password_cost: options.password_cost,
        webhook_secret: options.webhook_secret.clone(),
        control: Control::default(),
        base_url,
    })
}

fn folder(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::Folder { path, source }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn router(app: &Arc<App>, control: bool) -> Router {
    let mut router = Router::new().nest("/api", backend::routes(app));
    if control {
        router = router.nest("/_control", control::routes());
    }
    // The paths of the Bot API begin in the middle of a segment, which no route can.
    router.fallback(telegram).with_state(Arc::clone(app))
}

async fn telegram(State(app): State<Arc<App>>, request: Request) -> Response {
    let Some(target) = Target::of(request.uri()) else {
        return ApiError::NotFound.into_response();
    };
    if target.is_send_document() {
        app.control.stats.count_send_document();
    }
    let response = faults::strike(&app.control.faults, Point::Telegram, request, |request| {
        app.telegram.answer(&target, request)
    })
    .await;
    tracing::debug!(?target, status = response.status().as_u16(), "Bot API");
    response
}

async fn accept(listener: TcpListener, router: Router, stop: CancellationToken) {
    // Dropped, it takes its connections along.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let serving = connection::serve(stream, router.clone(), stop.clone());
                connections.spawn(async {
                    if let Err(error) = serving.await {
                        tracing::debug!(%error, "a connection ended early");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(SHUTDOWN_GRACE, all_ended).await.is_err() {
        tracing::warn!("requests still at hand are cut off");
    }
}
