//! The TeleStore backend, under `/api`.

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{get, post},
};
use tower_http::cors::CorsLayer;

use crate::{
    app::App,
    control::faults::{self, Point},
};

mod accounts;
mod credentials;
pub(crate) mod error;
pub(crate) mod extract;
mod files;
pub(crate) mod password;
mod settings;
pub(crate) mod signature;
pub(crate) mod token;
mod webhook;

use error::ApiError;

/// The routes below `/api`.
pub(crate) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let at = |point| middleware::from_fn_with_state((Arc::clone(app), point), faults::inject);
    Router::new()
        .route("/auth/register", post(accounts::register))
        .route("/auth/login", post(accounts::log_in))
        .route(
            "/worker/credentials",
            get(credentials::borrow).route_layer(at(Point::Credentials)),
        )
        .route("/settings/bot-token", post(settings::set_bot_token))
        .route(
            "/webhook/upload",
            post(webhook::upload).route_layer(at(Point::Notify)),
        )
        .route("/files", get(files::list).post(files::add))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        // Browsers of any origin: the token is in a header, no cookie is involved.
        .layer(CorsLayer::permissive())
}
