//! A backend that is open: its routes, and what is done besides requests.

use std::{fmt, sync::Arc};

use axum::{Router, middleware};
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{Accounts, App, BackendUrl, ClientSettings, ExpectedSignature},
    auth::{caller::Authenticator, token::Tokens},
    destinations::Destinations,
    http::request::{self, TrustForwardedFor},
    limits::Limits,
    logins::Logins,
    open::{self, OpenError},
    options::Options,
    routes,
    secrets::KeyRing,
    store::Store,
    telegram::Telegram,
    worker_hook::WorkerHook,
    write_behind::{self, WriteBehind},
};

/// How often idle clients are forgotten, in rounds of [`write_behind::INTERVAL`].
const FORGET_ROUNDS: u32 = 60;

/// A backend that is open; cheap to clone.
#[derive(Clone)]
pub struct Backend {
    pub(crate) app: App,
    trust_forwarded_for: TrustForwardedFor,
}

impl Backend {
    /// Opens the data, and makes the users that tokens of the deployment stand for. `base_url` is where
    /// clients find the server, without a slash at the end.
    ///
    /// # Errors
    /// When the data cannot be used, or the key does not fit the data.
    pub async fn open(
        options: &Options,
        telegram: Telegram,
        base_url: String,
    ) -> Result<Self, OpenError> {
        let store = open::open_store(options).await?;
        let keys = open::open_keys(options)?;
        open::check_keys(&store, &keys).await?;
        let tokens = match &options.jwt_secret {
            Some(secret) => Tokens::new(secret.as_bytes()),
            None => Tokens::new(open::token_secret(&store, &keys).await?.as_bytes()),
        };
        let backend = Self {
            app: app(options, telegram, base_url, store, keys, tokens)?,
            trust_forwarded_for: TrustForwardedFor(options.trust_forwarded_for),
        };
        backend.add_token_users().await?;
        Ok(backend)
    }

    /// The routes: the API under `/api`, and the server's health. `wrap` is given the routes of the API
    /// before their limits and their CORS headers, to put a layer around them.
    pub fn routes(&self, wrap: impl FnOnce(Router) -> Router) -> Router {
        routes::routes(&self.app, wrap)
    }

    /// Gives every request of the router an id and a line in the log. The API's own routes need it.
    pub fn observed(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(
            self.trust_forwarded_for,
            request::observe,
        ))
    }

    /// Starts what is done besides requests. It ends when `stop` is cancelled.
    #[must_use]
    pub fn begin_upkeep(&self, stop: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(upkeep(self.app.clone(), stop))
    }

    /// Finishes telling the worker (for a few seconds), writes what was gathered in memory, and closes the
    /// database.
    pub async fn close(&self) {
        self.app.worker.finish().await;
        self.app.write_behind.flush(&self.app.store).await;
        self.app.store.close().await;
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

/// Puts the pieces together.
fn app(
    options: &Options,
    telegram: Telegram,
    base_url: String,
    store: Store,
    keys: KeyRing,
    tokens: Tokens,
) -> Result<App, OpenError> {
    let limits = Arc::new(Limits::new(options.request_limits));
    let write_behind = Arc::new(WriteBehind::default());
    let tokens = Arc::new(tokens);
    let worker = WorkerHook::new(
        options.worker_url.as_deref(),
        options.webhook_secret.as_ref(),
    )?;
    let destinations = Destinations {
        store: store.clone(),
        keys: Arc::new(keys),
        worker: worker.clone(),
        deployment_bot: options.deployment_bot.clone(),
    };
    let logins = Logins {
        telegram: telegram.clone(),
        destinations: destinations.clone(),
    };
    let authenticator = Authenticator {
        static_tokens: options.api_tokens.clone(),
        store: store.clone(),
        tokens: Arc::clone(&tokens),
        limits: Arc::clone(&limits),
        write_behind: Arc::clone(&write_behind),
    };
    let accounts = Accounts {
        store: store.clone(),
        limits: Arc::clone(&limits),
        tokens,
        password_cost: options.password_cost,
    };
    Ok(App {
        store,
        write_behind,
        limits,
        authenticator: Arc::new(authenticator),
        accounts,
        destinations,
        logins,
        telegram,
        worker,
        expected_signature: ExpectedSignature(options.webhook_secret.clone()),
        backend_url: BackendUrl(base_url.into()),
        client: Arc::new(ClientSettings {
            worker_url: options.worker_url.clone(),
            max_upload_bytes: options.max_upload_bytes,
        }),
    })
}

/// What is done besides requests: writing what was gathered, reading new keys, forgetting idle clients.
async fn upkeep(app: App, stop: CancellationToken) {
    let mut rounds = tokio::time::interval(write_behind::INTERVAL);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in (0..FORGET_ROUNDS).cycle() {
        tokio::select! {
            _ = rounds.tick() => {}
            () = stop.cancelled() => return,
        }
        app.write_behind.flush(&app.store).await;
        if let Err(error) = app.destinations.keys.reload() {
            tracing::error!(%error, "the keys stay as they were");
        }
        if round == 0 {
            app.limits.forget_idle();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::ApiError,
        options::Data,
        provision::BotInChannel,
        store::{destinations::Destination, sealed::BOT_TOKEN},
        telegram::{BotToken, BotUser, fake},
    };

    const TOKEN: &str = "1:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    /// A user with a bot and a channel.
    async fn user(backend: &Backend, email: &str) -> String {
        let user_id = backend.add_user(email, "A user").await.unwrap().unwrap();
        let bot = BotInChannel {
            token: BotToken::parse(TOKEN).unwrap(),
            bot: BotUser {
                id: 1,
                username: "a_bot".to_owned(),
            },
            channel_id: "-1001".to_owned(),
            channel_title: None,
        };
        backend.set_bot(&user_id, &bot).await.unwrap();
        user_id
    }

    #[tokio::test]
    async fn a_ciphertext_that_is_copied_to_another_row_does_not_open() {
        let options = Options {
            data: Data::Memory,
            ..Options::default()
        };
        let (telegram, _) = fake::telegram();
        let backend = Backend::open(&options, telegram, String::new())
            .await
            .unwrap();
        let victim = user(&backend, "victim@example.com").await;
        let thief = user(&backend, "thief@example.com").await;
        let app = backend.app;
        let own = app.store.preferred_destination(&victim).await;
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
            .add_destination(&victim, other, 2, &entry)
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

        let stolen = app.destinations.bot_and_channel(&thief).await;
        assert!(matches!(stolen, Err(ApiError::Internal)));
        let moved = app.store.destination(&victim, &other.id).await;
        let moved = moved.unwrap().unwrap();
        assert_eq!(moved.bot_token_sealed, copied);
        let moved = app.destinations.open_bot_token(&victim, &moved);
        assert!(matches!(moved, Err(ApiError::Internal)));
        let own = app.destinations.bot_and_channel(&victim).await.unwrap();
        assert_eq!(own.unwrap().0, TOKEN);
    }
}
