//! Registering, logging in, and what a frontend needs to know afterwards.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    app::{Accounts, ClientSettings},
    auth::token::Tokens,
    auth::{
        api_key::{ApiKeyText, DEFAULT_EXPIRES_DAYS, SECONDS_A_DAY},
        caller::{Caller, Via},
        password,
    },
    destinations::Destinations,
    error::{ApiError, Refusals},
    http::{
        body::{JsonBody, JsonOrForm},
        request::Origin,
    },
    quota::{Quota, QuotaReply},
    store::{Store, audit::AuditEntry, users::User},
    time::{rfc3339, unix_now},
};

/// Life of an access token: an hour, in seconds.
pub(crate) const TOKEN_TTL_SECONDS: i64 = 3600;
/// The plan that a user begins with.
const FIRST_PLAN: &str = "free";
const FIRST_KEY_NAME: &str = "Primary API Key";
const PASSWORD_CHARACTERS: std::ops::RangeInclusive<usize> = 8..=1024;
const MAX_NAME_CHARACTERS: usize = 200;
/// RFC 5321, 4.5.3.1.3.
const MAX_EMAIL_CHARACTERS: usize = 254;

#[derive(Deserialize, ToSchema)]
pub(super) struct Registration {
    #[schema(min_length = 3, max_length = 254, pattern = r"^\s*[^\s]+@[^\s@]+\s*$")]
    email: String,
    /// 8 to 1024 characters.
    #[schema(min_length = 8, max_length = 1024)]
    password: String,
    #[serde(default)]
    #[schema(max_length = 200)]
    name: String,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct Login {
    /// The e-mail address; `email` is understood too.
    #[serde(alias = "email")]
    username: String,
    password: String,
}

/// An access token (RFC 6749, 5.1).
#[derive(Serialize, ToSchema)]
pub(super) struct AccessToken {
    access_token: String,
    /// Always `bearer`.
    token_type: &'static str,
    /// Seconds.
    expires_in: i64,
}

/// A user.
#[derive(Serialize, ToSchema)]
pub(super) struct UserReply {
    id: String,
    email: String,
    name: String,
    plan: String,
    created_at: String,
}

/// A user that was just made, with a first API key.
#[derive(Serialize, ToSchema)]
pub(super) struct Registered {
    user: UserReply,
    /// The key. It is shown this once.
    api_key: String,
    #[serde(flatten)]
    token: AccessToken,
}

/// All that a frontend needs after a login.
#[derive(Serialize, ToSchema)]
pub(super) struct ClientConfig {
    /// Where to upload to, if the deployment names it.
    worker_url: Option<String>,
    limits: ClientLimits,
    user: UserReply,
    plan: String,
    quota: QuotaReply,
    /// Whether the user can upload: a bot and a channel are set.
    telegram_configured: bool,
}

/// Limits of an upload.
#[derive(Serialize, ToSchema)]
pub(super) struct ClientLimits {
    max_upload_bytes: u64,
}

/// Make a user and a first API key
#[utoipa::path(
    post, path = "/auth/register", tag = "accounts", request_body = Registration,
    responses(
        (status = 201, body = Registered, description = "The user, an API key, and an access token"),
        Refusals
    )
)]
pub(super) async fn register(
    State(accounts): State<Accounts>,
    origin: Origin,
    JsonBody(registration): JsonBody<Registration>,
) -> Result<(StatusCode, Json<Registered>), ApiError> {
    accounts.limits.admit_sign_in(origin.address)?;
    let email = normal_email(&registration.email)
        .ok_or_else(|| ApiError::Unprocessable("email: not an e-mail address".to_owned()))?;
    if !PASSWORD_CHARACTERS.contains(&registration.password.chars().count()) {
        return Err(ApiError::Unprocessable(
            "password: must have 8 to 1024 characters".to_owned(),
        ));
    }
    let name = registration.name.trim();
    if name.chars().count() > MAX_NAME_CHARACTERS {
        return Err(ApiError::Unprocessable(
            "name: must have at most 200 characters".to_owned(),
        ));
    }
    let hash = password::hash(accounts.password_cost, registration.password).await?;
    let user = User::new(&email, name, FIRST_PLAN);
    let caller = Caller::new(user.id.clone(), Via::Session, origin);
    let key = ApiKeyText::generate()?;
    let record = key.record(
        uuid::Uuid::new_v4().to_string(),
        FIRST_KEY_NAME.to_owned(),
        DEFAULT_EXPIRES_DAYS * SECONDS_A_DAY,
    );
    let entries = [
        caller.entry("user.register", None),
        caller.entry("key.create", Some(&record.id)),
    ];
    if !accounts
        .store
        .register(&user, &hash, &record, &entries)
        .await?
    {
        return Err(ApiError::Refused("Email already registered".to_owned()));
    }
    let reply = Registered {
        token: access_token(&accounts.tokens, &user.id)?,
        user: describe(user),
        api_key: key.expose().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(reply)))
}

/// Get an access token for an e-mail address and a password
///
/// As JSON, or as a form.
#[utoipa::path(
    post, path = "/auth/login", tag = "accounts",
    request_body(content((Login = "application/json"), (Login = "application/x-www-form-urlencoded"))),
    responses((status = 200, body = AccessToken, description = "An access token"), Refusals)
)]
pub(super) async fn log_in(
    State(accounts): State<Accounts>,
    origin: Origin,
    JsonOrForm(login): JsonOrForm<Login>,
) -> Result<Json<AccessToken>, ApiError> {
    accounts.limits.admit_sign_in(origin.address)?;
    let email = login.username.trim().to_lowercase();
    let (user_id, phc) = accounts.store.login_of(&email).await?.unzip();
    let right = password::verify(accounts.password_cost, login.password, phc.flatten()).await?;
    // An unknown address is not recorded: it may be a password in the wrong field.
    let entry = AuditEntry {
        at: unix_now(),
        actor: "password".to_owned(),
        user_id: user_id.clone(),
        action: "user.login".to_owned(),
        target: None,
        address: Some(origin.address.to_string()),
        request_id: Some(origin.request_id.to_string()),
        result: if right { "ok" } else { "refused" }.to_owned(),
    };
    accounts.store.add_audit_entries(&[entry]).await?;
    let user_id = user_id.filter(|_| right).ok_or(ApiError::WrongPassword)?;
    Ok(Json(access_token(&accounts.tokens, &user_id)?))
}

/// Who the token belongs to
#[utoipa::path(
    get, path = "/auth/me", tag = "accounts", security(("token" = [])),
    responses((status = 200, body = UserReply, description = "The user"), Refusals)
)]
pub(super) async fn me(
    State(store): State<Store>,
    caller: Caller,
) -> Result<Json<UserReply>, ApiError> {
    let user = store.user(&caller.user_id).await?;
    Ok(Json(describe(user.ok_or(ApiError::UserNotFound)?)))
}

/// All that a frontend or an extension needs after a login
#[utoipa::path(
    get, path = "/auth/client-config", tag = "accounts", security(("token" = [])),
    responses((status = 200, body = ClientConfig, description = "The configuration"), Refusals)
)]
pub(super) async fn client_config(
    State(destinations): State<Destinations>,
    State(client): State<Arc<ClientSettings>>,
    caller: Caller,
) -> Result<Json<ClientConfig>, ApiError> {
    let store = &destinations.store;
    let user = store.user(&caller.user_id).await?;
    let user = user.ok_or(ApiError::UserNotFound)?;
    let quota = Quota::of(store, &user.id).await?;
    Ok(Json(ClientConfig {
        worker_url: client.worker_url.clone(),
        limits: ClientLimits {
            max_upload_bytes: client.max_upload_bytes,
        },
        plan: user.plan.clone(),
        telegram_configured: destinations.lendable_bot(&user.id).await?.is_some(),
        user: describe(user),
        quota: quota.reply(),
    }))
}

fn access_token(tokens: &Tokens, user_id: &str) -> Result<AccessToken, ApiError> {
    Ok(AccessToken {
        access_token: tokens.issue(user_id, TOKEN_TTL_SECONDS)?,
        token_type: "bearer",
        expires_in: TOKEN_TTL_SECONDS,
    })
}

fn describe(user: User) -> UserReply {
    UserReply {
        id: user.id,
        email: user.email,
        name: user.name,
        plan: user.plan,
        created_at: rfc3339(user.created_at),
    }
}

/// The address as it is stored; `None` if it cannot be one.
fn normal_email(text: &str) -> Option<String> {
    let email = text.trim().to_lowercase();
    let (local, domain) = email.rsplit_once('@')?;
    let good = !local.is_empty()
        && !domain.is_empty()
        && !email.contains(char::is_whitespace)
        && !email.contains(char::is_control)
        && email.chars().count() <= MAX_EMAIL_CHARACTERS;
    good.then_some(email)
}
