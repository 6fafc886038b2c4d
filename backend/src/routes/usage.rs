//! How much a user has uploaded, and how much is left.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    auth::caller::Caller,
    error::{ApiError, Refusals},
    http::body::ApiQuery,
    quota::{Quota, QuotaReply},
    store::{Store, usage::Used},
    time::{date, day_of, unix_now},
};

const DEFAULT_DAYS: i64 = 31;
const DAYS: std::ops::RangeInclusive<i64> = 1..=366;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Span {
    /// How many days, up to today: 1 to 366. Default: 31.
    #[param(minimum = 1, maximum = 366)]
    days: Option<i64>,
}

/// How much a user has uploaded. Days and months are those of UTC.
#[derive(Serialize, ToSchema)]
pub(super) struct UsageReply {
    plan: String,
    /// What is left this month, and when it renews.
    quota: QuotaReply,
    /// This month.
    month: Sums,
    /// In total.
    total: Sums,
    /// The days on which something was uploaded, oldest first.
    days: Vec<Day>,
}

/// Sums of uploads.
#[derive(Serialize, ToSchema)]
pub(super) struct Sums {
    uploads: i64,
    bytes: i64,
}

/// A day's uploads.
#[derive(Serialize, ToSchema)]
pub(super) struct Day {
    /// Like `2026-11-21`.
    date: String,
    #[serde(flatten)]
    sums: Sums,
}

/// How much you have uploaded, and how much is left
#[utoipa::path(
    get, path = "/usage", tag = "accounts", security(("token" = [])), params(Span),
    responses((status = 200, body = UsageReply, description = "What you have uploaded"), Refusals)
)]
pub(super) async fn usage(
    State(store): State<Store>,
    caller: Caller,
    ApiQuery(span): ApiQuery<Span>,
) -> Result<Json<UsageReply>, ApiError> {
    let days = span.days.unwrap_or(DEFAULT_DAYS);
    if !DAYS.contains(&days) {
        return Err(ApiError::Unprocessable("days: must be 1 to 366".to_owned()));
    }
    let user_id = &caller.user_id;
    let quota = Quota::of(&store, user_id).await?;
    let total = store.used(user_id).await?;
    let from = day_of(unix_now()) - days + 1;
    let days = store.used_days(user_id, from).await?;
    Ok(Json(UsageReply {
        quota: quota.reply(),
        month: quota.used.into(),
        plan: quota.plan.name,
        total: total.into(),
        days: days.into_iter().map(describe).collect(),
    }))
}

fn describe((day, used): (i64, Used)) -> Day {
    Day {
        date: date(day),
        sums: used.into(),
    }
}

impl From<Used> for Sums {
    fn from(Used { uploads, bytes }: Used) -> Self {
        Self { uploads, bytes }
    }
}
