//! What a user may ask for of everything that is kept of it: that it goes.

use axum::{Json, extract::State};

use crate::{
    auth::caller::Caller,
    destinations::Destinations,
    error::{ApiError, Refusals, Success},
    time::{Month, unix_now},
};

/// Remove everything that is kept of you
///
/// Keys, destinations, the Telegram account, files and usage go, at once or not at all. What stays is
/// the account itself with its name and password, the audit log, and how much of this month's quota
/// is used. A key that asks for this opens nothing afterwards. The files in your channel are yours,
/// and stay there.
#[utoipa::path(
    delete, path = "/me/data", tag = "accounts", security(("token" = [])),
    responses((status = 200, body = Success), Refusals)
)]
pub(super) async fn clear(
    State(destinations): State<Destinations>,
    caller: Caller,
) -> Result<Json<Success>, ApiError> {
    let month = Month::of(unix_now());
    let entry = caller.entry("data.clear", None);
    destinations
        .store
        .clear_user(&caller.user_id, month.first_day, &entry)
        .await?;
    destinations.worker.credentials_changed(&caller.user_id);
    Ok(Json(Success::YES))
}
