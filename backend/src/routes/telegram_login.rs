//! Connecting a user's own Telegram account.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    auth::caller::Caller,
    error::{ApiError, ErrorReply, Refusals},
    http::body::JsonBody,
    logins::{CodeAnswer, CodeSent, Connected, Logins, QrCode, QrStatus},
    time::unix_now,
};

#[derive(Deserialize, ToSchema)]
pub(super) struct CodeRequest {
    /// With country code, like `+49 151 23456789`.
    phone: String,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct QrQuestion {
    qr_id: String,
}

/// Have Telegram send a code to your phone
#[utoipa::path(
    post, path = "/telegram/request-code", tag = "telegram", security(("token" = [])),
    request_body = CodeRequest,
    responses(
        (status = 200, body = CodeSent, description = "The code is on its way"),
        (status = 501, body = ErrorReply, description = "This server has no client of Telegram's own"),
        Refusals
    )
)]
pub(super) async fn request_code(
    State(logins): State<Logins>,
    caller: Caller,
    JsonBody(request): JsonBody<CodeRequest>,
) -> Result<Json<CodeSent>, ApiError> {
    logins
        .send_code(&caller, &request.phone, unix_now())
        .await
        .map(Json)
}

/// Connect your Telegram account with the code
///
/// A private channel is made for you, unless you have one from an earlier login. After five wrong
/// codes another one has to be requested.
#[utoipa::path(
    post, path = "/telegram/verify-code", tag = "telegram", security(("token" = [])),
    request_body = CodeAnswer,
    responses(
        (status = 200, body = Connected, description = "The account is connected"),
        (status = 501, body = ErrorReply, description = "This server has no client of Telegram's own"),
        Refusals
    )
)]
pub(super) async fn verify_code(
    State(logins): State<Logins>,
    caller: Caller,
    JsonBody(answer): JsonBody<CodeAnswer>,
) -> Result<Json<Connected>, ApiError> {
    logins
        .check_code(&caller, &answer, unix_now())
        .await
        .map(Json)
}

/// Get a QR code for your phone to scan
#[utoipa::path(
    post, path = "/telegram/request-qr", tag = "telegram", security(("token" = [])),
    responses(
        (status = 200, body = QrCode, description = "A QR code to show"),
        (status = 501, body = ErrorReply, description = "This server has no client of Telegram's own"),
        Refusals
    )
)]
pub(super) async fn request_qr(
    State(logins): State<Logins>,
    caller: Caller,
) -> Result<Json<QrCode>, ApiError> {
    logins.show_qr_code(&caller, unix_now()).await.map(Json)
}

/// Ask whether the QR code was scanned
///
/// Once it was, the account is connected, with a private channel as in `verify-code`.
#[utoipa::path(
    post, path = "/telegram/verify-qr", tag = "telegram", security(("token" = [])),
    request_body = QrQuestion,
    responses(
        (status = 200, body = QrStatus, description = "What became of the QR code"),
        (status = 501, body = ErrorReply, description = "This server has no client of Telegram's own"),
        Refusals
    )
)]
pub(super) async fn verify_qr(
    State(logins): State<Logins>,
    caller: Caller,
    JsonBody(question): JsonBody<QrQuestion>,
) -> Result<Json<QrStatus>, ApiError> {
    logins
        .check_qr_code(&caller, &question.qr_id, unix_now())
        .await
        .map(Json)
}
