//! The documentation of the routes: made from them, and served with a page to read it.

use axum::{
    Router,
    http::header::CONTENT_SECURITY_POLICY,
    response::{Html, IntoResponse},
    routing::get,
};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

/// The page loads the document and nothing else, from nowhere else.
const PAGE_POLICY: &str = "default-src 'none'; connect-src 'self'; \
     style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// What is true of every route.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "TeleStore backend",
        description = "Users, their tokens and their Telegram credentials. A refusal is always \
                       `{\"detail\": \"…\"}`."
    ),
    modifiers(&Bearer)
)]
pub(super) struct Document;

/// Tokens go into `Authorization: Bearer`.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "An access token of `/api/auth/login`, an API key, or a token of the deployment",
            ))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// `/api/openapi.json`, and `/api/docs` to read it.
pub(super) fn routes(document: &utoipa::openapi::OpenApi) -> Router {
    let json = axum::body::Bytes::from(serde_json::to_vec(document).unwrap_or_default());
    Router::new()
        .route(
            "/api/openapi.json",
            get(async move || ([("content-type", "application/json")], json).into_response()),
        )
        .route(
            "/api/docs",
            get(async || {
                (
                    [(CONTENT_SECURITY_POLICY, PAGE_POLICY)],
                    Html(include_str!("openapi.html")),
                )
            }),
        )
}
