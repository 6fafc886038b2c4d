//! Removing all data of a user.

use axum::{Json, extract::State};

use crate::{
    auth::caller::Caller,
    destinations::Destinations,
    error::{ApiError, Refusals, Success},
    time::{Month, unix_now},
};

/// Remove all your data
///
/// Removes keys, destinations, the Telegram account, files and usage, in one transaction. The account itself
/// stays, with its name and password, and so do the audit log and this month's use of the quota. An API key
/// that makes this request becomes invalid too. The files in your channel stay there.
#[utoipa::path(
    delete, path = "/me/data", tag = "accounts", security(("token" = [])),
    responses((status = 200, body = Success, description = "Everything is removed"), Refusals)
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
