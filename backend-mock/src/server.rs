//! Starts the server, and stops it.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    extract::{Request, State},
    middleware,
    response::{IntoResponse, Response},
};
use backend::{
    ApiError, Backend, CrowdUser, Data, HttpBotApi, ListenError, Listening, OpenError,
    ProvisionError, TELEGRAM_API_URL,
};
use emulator::{Target, Telegram};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    control,
    faults::{self, Point},
    parts::Parts,
    provision::{self, Provisioned, Setup},
    telegram::Emulated,
};

/// How the server is to run.
#[derive(Clone)]
// Switches that have nothing to do with each other.
#[allow(clippy::struct_excessive_bools)]
pub struct Options {
    /// Address and port to listen at; port 0 takes a free one.
    pub listen: String,
    /// Whether there is a demo user.
    pub demo: bool,
    /// Whether the test control is there, for everyone that reaches the port.
    pub control: bool,
    /// Whether the emulated Telegram has rate limits.
    pub rate_limits: bool,
    /// Whether Telegram is emulated under `/bot<token>/…`.
    pub emulator: bool,
    /// How the backend is to run. The emulator's data is beside the backend's: its database in
    /// `<file>.telegram`, file contents in `<file>.files/`.
    pub backend: backend::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8788".to_owned(),
            demo: false,
            control: false,
            rate_limits: false,
            emulator: true,
            backend: backend::Options {
                data: Data::File("data/backend-mock.sqlite3".into()),
                ..backend::Options::default()
            },
        }
    }
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened at.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The backend's data cannot be used.
    #[error(transparent)]
    Backend(#[from] OpenError),
    /// The emulator's data cannot be used.
    #[error(transparent)]
    Emulator(#[from] emulator::OpenError),
    /// There is no emulated Telegram to make a demo user in.
    #[error("a demo user needs the emulator")]
    NoEmulator,
    /// The demo user cannot be made or read.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
}

/// Starts servers.
#[derive(Clone, Copy, Debug)]
pub struct Server;

impl Server {
    /// Starts a server. It answers when this returns.
    ///
    /// # Errors
    /// When the address or the data cannot be used, or the key does not fit the data.
    pub async fn start(options: Options) -> Result<Running, StartError> {
        let listening = Listening::at(&options.listen).await?;
        let (base_url, address) = (listening.base_url.clone(), listening.address);
        let parts = Arc::new(open(&options, base_url.clone()).await?);
        let demo = match (options.demo, parts.provisioner()) {
            (true, Some(provisioner)) => Some(provisioner.demo().await?),
            (true, None) => return Err(StartError::NoEmulator),
            (false, _) => None,
        };
        let stop = CancellationToken::new();
        let upkeep = parts.backend.begin_upkeep(stop.clone());
        let serving = listening.serve(router(&parts, options.control), stop.clone());
        Ok(Running {
            base_url,
            address,
            demo,
            parts,
            stop,
            serving: Some(serving),
            upkeep,
        })
    }
}

/// A running server. Dropped, it stops without waiting for current requests.
#[derive(Debug)]
pub struct Running {
    /// Where it is, like `http://127.0.0.1:8788`.
    pub base_url: String,
    /// The same as an address.
    pub address: SocketAddr,
    /// The demo user, if one was asked for.
    pub demo: Option<Provisioned>,
    parts: Arc<Parts>,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
    upkeep: JoinHandle<()>,
}

impl Running {
    /// Makes another user, with a bot and a channel of its own.
    ///
    /// # Errors
    /// When a database fails, or there is no emulated Telegram.
    pub async fn add_user(&self, setup: &Setup) -> Result<Provisioned, ProvisionError> {
        let provisioner = self.parts.provisioner().ok_or(ProvisionError)?;
        provisioner.add_user(setup).await
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
        provision::add_crowd(&self.parts.backend, users, keys_each).await
    }

    /// Takes no more requests, waits for current ones (at most ten seconds), writes what was gathered in
    /// memory, and closes the databases.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take()
            && let Err(error) = serving.await
        {
            tracing::error!(%error, "the server ended badly");
        }
        self.parts.backend.close().await;
        if let Some(telegram) = &self.parts.telegram {
            telegram.close().await;
        }
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

async fn open(options: &Options, base_url: String) -> Result<Parts, StartError> {
    let telegram = if options.emulator {
        Some(Arc::new(open_emulator(options).await?))
    } else {
        None
    };
    let emulated = telegram
        .clone()
        .map(|telegram| Arc::new(Emulated(telegram)));
    let bot_api: Arc<dyn backend::BotApi> = match (&options.backend.telegram_api_url, &emulated) {
        (Some(url), _) => Arc::new(HttpBotApi::new(url).map_err(OpenError::from)?),
        (None, Some(emulated)) => Arc::<Emulated>::clone(emulated),
        (None, None) => Arc::new(HttpBotApi::new(TELEGRAM_API_URL).map_err(OpenError::from)?),
    };
    let for_backend = backend::Telegram {
        bot_api,
        accounts: emulated.map(|emulated| emulated as _),
    };
    Ok(Parts {
        backend: Backend::open(&options.backend, for_backend, base_url).await?,
        telegram,
        stats: Arc::default(),
        faults: Arc::default(),
    })
}

/// Opens the emulator, and moves into it what an earlier release kept in the backend's database.
async fn open_emulator(options: &Options) -> Result<Telegram, StartError> {
    let data = match &options.backend.data {
        Data::Memory => emulator::Data::Memory,
        Data::File(path) => emulator::Data::File {
            database: beside(path, ".telegram"),
            files: beside(path, ".files"),
        },
    };
    let telegram = Telegram::open(&data, options.rate_limits).await?;
    let existing = options.backend.existing_database();
    let existing = existing.map_err(OpenError::from)?;
    if let (Data::File(_), Some(url)) = (&options.backend.data, existing) {
        let taken = telegram.take_over(&url).await;
        taken.map_err(emulator::OpenError::from)?;
    }
    Ok(telegram)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn router(parts: &Arc<Parts>, with_control: bool) -> Router {
    let mut router = parts.backend.routes(|api| {
        let state = (Arc::clone(&parts.stats), Arc::clone(&parts.faults));
        api.route_layer(middleware::from_fn_with_state(state, faults::inject))
    });
    if with_control {
        let control = control::routes().with_state(Arc::clone(parts));
        router = router.nest("/_control", control);
    }
    // The paths of the Bot API begin in the middle of a segment, which no route can.
    let bot_api = Router::new()
        .fallback(bot_api)
        .with_state(Arc::clone(parts));
    parts.backend.observed(router.fallback_service(bot_api))
}

async fn bot_api(State(parts): State<Arc<Parts>>, request: Request) -> Response {
    let (Some(telegram), Some(target)) = (&parts.telegram, Target::of(request.uri())) else {
        return ApiError::NotFound.into_response();
    };
    if target.is_send_document() {
        parts.stats.count_send_document();
    }
    let mut points = vec![Point::Telegram];
    if target.is_get_file() {
        points.push(Point::GetFile);
    }
    if target.is_file() {
        points.push(Point::File);
    }
    let faults = &parts.faults;
    let response = faults::strike(faults, &points, request, |request| {
        telegram.answer(&target, request)
    })
    .await;
    tracing::debug!(?target, status = response.status().as_u16(), "Bot API");
    response
}
