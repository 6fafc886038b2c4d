//! A backend that is open: its routes, and what is done beside the requests.

use std::{fmt, sync::Arc};

use axum::{Router, middleware};
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{self, request, token::Tokens},
    app::App,
    credentials_hook::CredentialsHook,
    limits::Limits,
    open::{self, OpenError},
    options::Options,
    telegram::Telegram,
    write_behind::{self, WriteBehind},
};

/// How often clients that have gone are forgotten, in rounds of [`write_behind::INTERVAL`].
const FORGET_ROUNDS: u32 = 60;

/// A backend that is open; cheap to clone.
#[derive(Clone)]
pub struct Backend {
    pub(crate) app: Arc<App>,
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
        let key = open::open_keys(options)?;
        open::check_keys(&store, &key).await?;
        let tokens = match &options.jwt_secret {
            Some(secret) => Tokens::new(secret.as_bytes()),
            None => Tokens::new(open::token_secret(&store, &key).await?.as_bytes()),
        };
        let app = App {
            telegram,
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
            base_url,
            worker_url: options.worker_url.clone(),
            max_upload_bytes: options.max_upload_bytes,
            trust_forwarded_for: options.trust_forwarded_for,
        };
        app.add_token_users().await?;
        Ok(Self { app: Arc::new(app) })
    }

    /// The routes: the API under `/api`, and the server's health. `wrap` is given the routes of the API
    /// before their limits and their CORS headers, to put a layer around them.
    pub fn routes(&self, wrap: impl FnOnce(Router) -> Router) -> Router {
        api::routes(&self.app, wrap)
    }

    /// Gives every request of the router an id and a line in the log. The API's own routes need it.
    pub fn observed(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(
            Arc::clone(&self.app),
            request::observe,
        ))
    }

    /// Begins what is done beside the requests. It ends when `stop` is cancelled.
    #[must_use]
    pub fn begin_upkeep(&self, stop: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(upkeep(Arc::clone(&self.app), stop))
    }

    /// Writes what was gathered in memory, tells the worker what it is yet to be told (for a few seconds),
    /// and closes the database.
    pub async fn close(&self) {
        if let Some(hook) = &self.app.credentials_hook {
            hook.finish().await;
        }
        self.app.write_behind.flush(&self.app.store).await;
        self.app.store.close().await;
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::error::ApiError,
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

        let stolen = app.bot_and_channel(&thief).await;
        assert!(matches!(stolen, Err(ApiError::Internal)));
        let moved = app.store.destination(&victim, &other.id).await;
        let moved = moved.unwrap().unwrap();
        assert_eq!(moved.bot_token_sealed, copied);
        let moved = app.open_bot_token(&victim, &moved);
        assert!(matches!(moved, Err(ApiError::Internal)));
        let own = app.bot_and_channel(&victim).await.unwrap();
        assert_eq!(own.unwrap().0, TOKEN);
    }
}
