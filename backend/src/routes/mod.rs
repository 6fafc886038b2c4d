//! The TeleStore backend, under `/api`, and the server's health.

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderName, header::RETRY_AFTER},
    middleware,
};
use tower_http::cors::CorsLayer;
use utoipa::OpenApi;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
};

use crate::{app::App, auth::refusals, error::ApiError, http::request};

mod accounts;
mod credentials;
mod destinations;
mod files;
mod health;
mod keys;
mod my_data;
mod openapi;
mod settings;
mod telegram_login;
mod usage;
mod webhook;

/// The routes of the backend, with whole paths. A route cannot be served without being documented.
///
/// `wrap` is given the routes of the API before their limits and their CORS headers.
pub(crate) fn routes(app: &App, wrap: impl FnOnce(Router) -> Router) -> Router {
    let (api, api_document) = api(app).split_for_parts();
    let (server, document) = OpenApiRouter::with_openapi(openapi::Document::openapi())
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        .split_for_parts();
    let document = document.nest("/api", api_document);
    let api = wrap(api.with_state(app.clone()))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app.limits),
            request::limit_address,
        ))
        // Any origin may call it: the token is in a header, and there are no cookies.
        .layer(
            CorsLayer::permissive()
                .expose_headers([RETRY_AFTER, HeaderName::from_static("x-request-id")]),
        );
    server
        .with_state(app.clone())
        .merge(openapi::routes(&document))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .nest("/api", api)
}

/// The routes below `/api`.
fn api(app: &App) -> OpenApiRouter<App> {
    let audited = |action| {
        middleware::from_fn_with_state((Arc::clone(&app.write_behind), action), refusals::record)
    };
    OpenApiRouter::new()
        .routes(
            routes!(accounts::register).map(|route| route.route_layer(audited("user.register"))),
        )
        .routes(routes!(accounts::log_in))
        .routes(routes!(accounts::me))
        .routes(routes!(accounts::client_config))
        .routes(routes!(usage::usage))
        .routes(routes!(keys::list))
        .routes(routes!(keys::create).map(|route| route.route_layer(audited("key.create"))))
        .routes(routes!(keys::revoke).map(|route| route.route_layer(audited("key.revoke"))))
        .routes(routes!(keys::rotate).map(|route| route.route_layer(audited("key.rotate"))))
        .routes(
            routes!(credentials::borrow)
                .map(|route| route.route_layer(audited("credentials.fetch"))),
        )
        .routes(
            routes!(settings::set_bot_token)
                .map(|route| route.route_layer(audited("credentials.set"))),
        )
        .routes(routes!(destinations::list))
        .routes(
            routes!(destinations::add).map(|route| route.route_layer(audited("destination.add"))),
        )
        .routes(
            routes!(destinations::prefer)
                .map(|route| route.route_layer(audited("destination.prefer"))),
        )
        .routes(
            routes!(destinations::remove)
                .map(|route| route.route_layer(audited("destination.remove"))),
        )
        .routes(routes!(telegram_login::request_code))
        .routes(routes!(telegram_login::verify_code))
        .routes(routes!(telegram_login::request_qr))
        .routes(routes!(telegram_login::verify_qr))
        .routes(routes!(my_data::clear).map(|route| route.route_layer(audited("data.clear"))))
        .routes(routes!(webhook::upload))
        .routes(routes!(files::list, files::add))
}
