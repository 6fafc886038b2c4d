//! The documentation of the routes: made from them, and served with a page to read it and to try them.

use axum::{Router, body::Bytes, http::header::CONTENT_TYPE, routing::get};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

const DOCUMENT: &str = "/api/openapi.json";

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

/// `/api/openapi.json`, and with the feature `docs` a page under `/api/docs` to read it and to try the
/// routes.
pub(super) fn routes(document: &utoipa::openapi::OpenApi) -> Router {
    let json = Bytes::from(serde_json::to_vec(document).unwrap_or_default());
    let router = Router::new().route(
        DOCUMENT,
        get(async move || ([(CONTENT_TYPE, "application/json")], json)),
    );
    #[cfg(feature = "docs")]
    let router = router.merge(page::routes());
    router
}

#[cfg(feature = "docs")]
mod page {
    use axum::{
        Router,
        http::{HeaderValue, header::CONTENT_SECURITY_POLICY},
        middleware,
        response::Response,
    };
    use utoipa_swagger_ui::{Config, SwaggerUi};

    use super::DOCUMENT;

    const PATH: &str = "/api/docs";
    /// The page loads what this server has, and nothing from anywhere else. It sets styles on its elements,
    /// and has icons in `data:` URLs.
    const POLICY: HeaderValue = HeaderValue::from_static(
        "default-src 'none'; connect-src 'self'; script-src 'self'; \
         style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'",
    );

    pub(super) fn routes() -> Router {
        // Without a validator, which is another server. A token stays when the page is loaded again.
        let config = Config::new([DOCUMENT])
            .validator_url("none")
            .persist_authorization(true);
        let page = SwaggerUi::new(PATH).config(config);
        let policy = middleware::map_response(async |mut response: Response| {
            let headers = response.headers_mut();
            headers.insert(CONTENT_SECURITY_POLICY, POLICY);
            response
        });
        Router::new().merge(page).layer(policy)
    }
}
