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
    middleware,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    backend::{
        self,
        bot_api::BotApi,
        credentials::{DeploymentBot, place},
        error::ApiError,
        password::PasswordCost,
        request,
        signature::WebhookSecret,
        static_tokens::StaticTokens,
        token::Tokens,
    },
    blobs::BlobStore,
    config::TELEGRAM_API_URL,
    connection,
    control::{
        self, Control,
        faults::{self, Point},
    },
    credentials_hook::CredentialsHook,
    limits::{Limits, RequestLimits},
    provision::{CrowdUser, ProvisionError, Provisioned, Setup},
    secrets::{KeyRing, SecretsError, random},
    store::{
        Database, Store, StoreError,
        sealed::{COLUMNS, SERVER_SECRET},
    },
    telegram::{Target, Telegram},
    write_behind::{self, WriteBehind},
};

/// How long requests at hand may take to end at a shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// The worker's own default: 50 MB less 16 KB for the form around the file.
const DEFAULT_MAX_UPLOAD_BYTES: u64 = 52_412_416;
/// The name of the secret of access tokens among the server's own.
const TOKEN_SECRET: &str = "jwt";
/// How often clients that have gone are forgotten, in rounds of [`write_behind::INTERVAL`].
const FORGET_ROUNDS: u32 = 60;
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
// Switches that have nothing to do with each other.
#[allow(clippy::struct_excessive_bools)]
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
    /// A PostgreSQL server (`postgres://…`) in place of the SQLite file. What else is beside the file
    /// stays there.
    pub database_url: Option<String>,
    /// Base64 of the 32 bytes that secrets are sealed under, or a list `label:base64,label:base64`:
    /// the first seals, all open.
    pub encryption_key: Option<String>,
    /// A file with such a list, in place of `<file>.key`; read again when a key is added to it.
    pub encryption_key_file: Option<PathBuf>,
    /// The secret of access tokens, in place of one that is made at the first start and kept sealed in the
    /// database.
    pub jwt_secret: Option<String>,
    /// The secret that webhooks must be signed with.
    pub webhook_secret: Option<WebhookSecret>,
    /// How costly password hashes are.
    pub password_cost: PasswordCost,
    /// The Bot API that settings are checked with, in place of the emulated one.
    pub telegram_api_url: Option<String>,
    /// Whether Telegram is emulated under `/bot<token>/…`.
    pub emulator: bool,
    /// Tokens of the deployment, each of which stands for a user of its own.
    pub api_tokens: StaticTokens,
    /// The bot and channel of users that have none of their own.
    pub deployment_bot: Option<DeploymentBot>,
    /// How many requests are taken.
    pub request_limits: RequestLimits,
    /// Whether a proxy in front adds the client's address to `X-Forwarded-For`.
    pub trust_forwarded_for: bool,
    /// Where clients upload to. With a `webhook_secret`, the worker there is told when credentials
    /// have changed.
    pub worker_url: Option<String>,
    /// The largest upload that the worker takes, in bytes.
    pub max_upload_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8788".to_owned(),
            data: Data::File("data/backend-mock.sqlite3".into()),
            demo: false,
            control: false,
            rate_limits: false,
            database_url: None,
            encryption_key: None,
            encryption_key_file: None,
            jwt_secret: None,
            webhook_secret: None,
            password_cost: PasswordCost::default(),
            telegram_api_url: None,
            emulator: true,
            api_tokens: StaticTokens::default(),
            deployment_bot: None,
            request_limits: RequestLimits::default(),
            trust_forwarded_for: false,
            worker_url: None,
            max_upload_bytes: DEFAULT_MAX_UPLOAD_BYTES,
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
    /// There can be no client of Telegram's Bot API or of the worker.
    #[error("the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
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
        app.add_token_users().await.map_err(ProvisionError::from)?;
        let demo = if options.demo {
            Some(app.demo().await.map_err(ProvisionError::from)?)
        } else {
            None
        };
        let stop = CancellationToken::new();
        let upkeep = tokio::spawn(upkeep(Arc::clone(&app), stop.clone()));
        let router = router(&app, &options);
        let serving = tokio::spawn(accept(listener, router, stop.clone()));
        Ok(Running {
            base_url,
            address,
            demo,
            app,
            stop,
            serving: Some(serving),
            upkeep,
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
    upkeep: JoinHandle<()>,
}

impl Running {
    /// Makes another user, with a bot and a channel of its own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_user(&self, setup: &Setup) -> Result<Provisioned, ProvisionError> {
        Ok(self.app.add_user(setup).await?)
    }

    /// Makes many users in one transaction, each with so many API keys, and with credentials that
    /// Telegram does not know: for measuring with a full database.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_crowd(
        &self,
        users: usize,
        keys_each: usize,
    ) -> Result<Vec<CrowdUser>, ProvisionError> {
        Ok(self.app.add_crowd(users, keys_each).await?)
    }

    /// Takes no more requests, answers those at hand (for at most ten seconds), and closes the
    /// data, with what was gathered written.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take()
            && let Err(error) = serving.await
        {
            tracing::error!(%error, "the server ended badly");
        }
        if let Some(hook) = &self.app.credentials_hook {
            hook.finish().await;
        }
        self.app.write_behind.flush(&self.app.store).await;
        self.app.store.close().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(serving) = &self.serving {
            serving.abort();
        }
        self.upkeep.abort();
    }
}

/// Opens everything that a server needs, but for the port.
pub(crate) async fn open(options: &Options, base_url: String) -> Result<App, StartError> {
    let store = open_store(options).await?;
    let key = open_keys(options)?;
    check_keys(&store, &key).await?;
    let tokens = match &options.jwt_secret {
        Some(secret) => Tokens::new(secret.as_bytes()),
        None => Tokens::new(token_secret(&store, &key).await?.as_bytes()),
    };
    let telegram = if options.emulator {
        let blobs = open_blobs(options)?;
        let telegram = Telegram::new(store.clone(), blobs, options.rate_limits);
        Some(Arc::new(telegram))
    } else {
        None
    };
    let bot_api = match (&options.telegram_api_url, &telegram) {
        (Some(url), _) => BotApi::remote(url)?,
        (None, Some(telegram)) => BotApi::Emulated(Arc::clone(telegram)),
        (None, None) => BotApi::remote(TELEGRAM_API_URL)?,
    };
    Ok(App {
        telegram,
        bot_api,
        store,
        write_behind: WriteBehind::default(),
        key,
        tokens,
        static_tokens: options.api_tokens.clone(),
        limits: Limits::new(options.request_limits),
        password_cost: options.password_cost,
        webhook_secret: options.webhook_secret.clone(),
        deployment_bot: options.deployment_bot.clone(),
        credentials_hook: CredentialsHook::of(options)?,
        control: Control::default(),
        base_url,
        worker_url: options.worker_url.clone(),
        max_upload_bytes: options.max_upload_bytes,
        trust_forwarded_for: options.trust_forwarded_for,
    })
}

/// Opens the folder of file contents, which play Telegram's storage.
fn open_blobs(options: &Options) -> Result<BlobStore, StartError> {
    match &options.data {
        Data::Memory => BlobStore::temporary().map_err(folder(&std::env::temp_dir())),
        Data::File(path) => {
            let files = beside(path, ".files");
            BlobStore::open(files.clone()).map_err(folder(&files))
        }
    }
}

/// Opens the database.
pub(crate) async fn open_store(options: &Options) -> Result<Store, StartError> {
    let database = match (&options.database_url, &options.data) {
        (Some(url), _) => Database::from_url(url)?,
        (None, Data::Memory) => Database::Memory,
        (None, Data::File(path)) => {
            make_folder_of(path)?;
            Database::File(path.clone())
        }
    };
    Ok(Store::open(&database).await?)
}

/// Opens the keys; makes one where none is given and none is there.
pub(crate) fn open_keys(options: &Options) -> Result<KeyRing, StartError> {
    let given = (&options.encryption_key, &options.encryption_key_file);
    Ok(match (given, &options.data) {
        ((Some(text), _), _) => KeyRing::from_text(text)?,
        ((None, Some(path)), _) => KeyRing::from_file(path)?,
        ((None, None), Data::Memory) => KeyRing::generate()?,
        ((None, None), Data::File(path)) => {
            make_folder_of(path)?;
            KeyRing::from_file(&beside(path, ".key"))?
        }
    })
}

/// Refuses keys that do not open what the database holds; notes the one that seals from now on.
async fn check_keys(store: &Store, ring: &KeyRing) -> Result<(), StartError> {
    let noted = store.seal_keys().await?;
    let keys = ring.keys();
    let missing = noted
        .iter()
        .find(|(id, _)| keys.iter().all(|key| key.key.id_text() != *id));
    if let Some((_, label)) = missing {
        return Err(SecretsError::MissingKey(label.clone()).into());
    }
    if noted.is_empty() {
        // A database of an earlier release: no key was noted.
        for column in COLUMNS {
            for value in store.sealed_values(column, "", 1).await? {
                ring.open(place(column, &value.user_id, &value.row), &value.sealed)?;
            }
        }
    }
    if let Some(first) = keys.first() {
        store
            .use_seal_key(&first.key.id_text(), &first.label)
            .await?;
    }
    Ok(())
}

/// The secret of access tokens where none is given. It is kept in the database, and not derived at
/// each start: nobody is logged out when a key is taken out.
async fn token_secret(store: &Store, ring: &KeyRing) -> Result<String, StartError> {
    let place = place(SERVER_SECRET, "", TOKEN_SECRET);
    if let Some(sealed) = store.server_secret(TOKEN_SECRET).await? {
        return Ok(ring.open(place, &sealed)?);
    }
    let secret = STANDARD.encode(random::<32>()?);
    store
        .add_server_secret(TOKEN_SECRET, &ring.seal(place, &secret)?)
        .await?;
    // Another server may have been first.
    let sealed = store.server_secret(TOKEN_SECRET).await?;
    Ok(ring.open(place, &sealed.unwrap_or_default())?)
}

/// What is done beside the requests: writing what was gathered, learning keys, forgetting clients.
async fn upkeep(app: Arc<App>, stop: CancellationToken) {
    let mut rounds = tokio::time::interval(write_behind::INTERVAL);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in (0..FORGET_ROUNDS).cycle() {
        tokio::select! {
            _ = rounds.tick() => {}
            () = stop.cancelled() => return,
        }
        app.write_behind.flush(&app.store).await;
        if let Err(error) = app.key.reload() {
            tracing::error!(%error, "the keys stay as they were");
        }
        if round == 0 {
            app.limits.forget_idle();
        }
    }
}

fn make_folder_of(path: &Path) -> Result<(), StartError> {
    match path.parent() {
        Some(parent) => std::fs::create_dir_all(parent).map_err(folder(parent)),
        None => Ok(()),
    }
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

fn router(app: &Arc<App>, options: &Options) -> Router {
    let mut router = backend::routes(app);
    if options.control {
        router = router.nest("/_control", control::routes());
    }
    router
        // The paths of the Bot API begin in the middle of a segment, which no route can.
        .fallback(telegram)
        .layer(middleware::from_fn_with_state(
            Arc::clone(app),
            request::observe,
        ))
        .with_state(Arc::clone(app))
}

async fn telegram(State(app): State<Arc<App>>, request: Request) -> Response {
    let (Some(telegram), Some(target)) = (&app.telegram, Target::of(request.uri())) else {
        return ApiError::NotFound.into_response();
    };
    if target.is_send_document() {
        app.control.stats.count_send_document();
    }
    let response = faults::strike(&app.control.faults, Point::Telegram, request, |request| {
        telegram.answer(&target, request)
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
            Ok((stream, peer)) => {
                let serving = connection::serve(stream, peer.ip(), router.clone(), stop.clone());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{destinations::Destination, sealed::BOT_TOKEN};

    #[tokio::test]
    async fn a_ciphertext_that_is_copied_to_another_row_does_not_open() {
        let options = Options {
            data: Data::Memory,
            ..Options::default()
        };
        let app = open(&options, String::new()).await.unwrap();
        let victim = app.add_user(&Setup::default()).await.unwrap();
        let thief = app.add_user(&Setup::default()).await.unwrap();
        let own = app.store.preferred_destination(&victim.user_id).await;
        let copied = own.unwrap().unwrap().bot_token_sealed;
        let other = Destination {
            id: "another".to_owned(),
            label: String::new(),
            bot_username: String::new(),
            bot_token_sealed: b"sealed".to_vec(),
            channel_id: None,
            channel_title: None,
            preferred: false,
            created_at: 0,
        };
        let entry = app.store.audit_tail(None, 1).await.unwrap().remove(0).entry;
        let other = app
            .store
            .add_destination(&victim.user_id, other, 2, &entry)
            .await
            .unwrap()
            .unwrap();
        let values = app.store.sealed_values(BOT_TOKEN, "", 10).await.unwrap();
        let others: Vec<_> = values
            .into_iter()
            .filter(|value| value.sealed != copied)
            .map(|value| (value, copied.clone()))
            .collect();
        assert_eq!(app.store.reseal(BOT_TOKEN, &others).await.unwrap(), 2);

        let stolen = app.bot_and_channel(&thief.user_id).await;
        assert!(matches!(stolen, Err(ApiError::Internal)));
        let moved = app.store.destination(&victim.user_id, &other.id).await;
        let moved = moved.unwrap().unwrap();
        assert_eq!(moved.bot_token_sealed, copied);
        let moved = app.open_bot_token(&victim.user_id, &moved);
        assert!(matches!(moved, Err(ApiError::Internal)));
        let own = app.bot_and_channel(&victim.user_id).await.unwrap();
        assert_eq!(own.unwrap().0, victim.bot_token);
    }
}
