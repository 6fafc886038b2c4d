//! What is left of a user's plan in this month.

use serde::Serialize;
use utoipa::ToSchema;

use super::error::ApiError;
use crate::{
    store::{Store, unix_now},
    time::{Month, rfc3339},
};

/// What a plan allows in this month, and what is left of it. `null`: without limit.
#[derive(Serialize, ToSchema)]
pub(crate) struct QuotaReply {
    pub(crate) uploads: Option<i64>,
    pub(crate) uploads_left: Option<i64>,
    pub(crate) bytes: Option<i64>,
    pub(crate) bytes_left: Option<i64>,
    /// When the next month begins.
    pub(crate) renews_at: String,
}

/// The user's quota now.
pub(crate) async fn of(store: &Store, user_id: &str) -> Result<QuotaReply, ApiError> {
    let plan = store.plan_of(user_id).await?.ok_or_else(|| {
        tracing::error!(user_id, "the user's plan is not in the table of plans");
        ApiError::Internal
    })?;
    let month = Month::of(unix_now());
    let used = store.used(user_id, month.first_day, month.end_day).await?;
    let left = |allowed: Option<i64>, used: i64| allowed.map(|allowed| (allowed - used).max(0));
    Ok(QuotaReply {
        uploads: plan.uploads,
        uploads_left: left(plan.uploads, used.uploads),
        bytes: plan.bytes,
        bytes_left: left(plan.bytes, used.bytes),
        renews_at: rfc3339(month.end()),
    })
}
