//! Registering and logging in.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    error::ApiError,
    extract::{JsonBody, JsonOrForm},
    password,
};
use crate::{app::App, time::rfc3339};

/// Life of an access token: an hour, in seconds.
pub(crate) const TOKEN_TTL_SECONDS: i64 = 3600;
const PASSWORD_CHARACTERS: std::ops::RangeInclusive<usize> = 8..=1024;
const MAX_NAME_CHARACTERS: usize = 200;
/// RFC 5321, 4.5.3.1.3.
const MAX_EMAIL_CHARACTERS: usize = 254;

#[derive(Deserialize)]
pub(super) struct Registration {
    email: String,
    password: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
pub(super) struct Login {
    #[serde(alias = "username")]
    email: String,
    password: String,
}

/// `POST /api/auth/register`
pub(super) async fn register(
    State(app): State<Arc<App>>,
    JsonBody(registration): JsonBody<Registration>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
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
    let hash = password::hash(app.password_cost, registration.password).await?;
    let user = app
        .store
        .add_user(&email, name, Some(&hash))
        .await?
        .ok_or_else(|| ApiError::Refused("Email already registered".to_owned()))?;
    let mut reply = token_reply(&app, &user.id)?;
    reply["user"] = json!({
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "created_at": rfc3339(user.created_at),
    });
    Ok((StatusCode::CREATED, Json(reply)))
}

/// `POST /api/auth/login`
pub(super) async fn log_in(
    State(app): State<Arc<App>>,
    JsonOrForm(login): JsonOrForm<Login>,
) -> Result<Json<Value>, ApiError> {
    let email = login.email.trim().to_lowercase();
    let (user_id, phc) = app.store.login_of(&email).await?.unzip();
    let right = password::verify(app.password_cost, login.password, phc.flatten()).await?;
    let user_id = user_id.filter(|_| right).ok_or(ApiError::WrongPassword)?;
    Ok(Json(token_reply(&app, &user_id)?))
}

fn token_reply(app: &App, user_id: &str) -> Result<Value, ApiError> {
    Ok(json!({
        "access_token": app.tokens.issue(user_id, TOKEN_TTL_SECONDS)?,
        "token_type": "bearer",
        "expires_in": TOKEN_TTL_SECONDS,
    }))
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
