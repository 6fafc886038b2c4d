//! What is left of a user's plan in this month.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    error::ApiError,
    store::{
        Store,
        usage::{Plan, Used},
    },
    time::{Month, rfc3339, unix_now},
};

/// What a plan allows this month, and what is left of it. `null`: no limit.
#[derive(Serialize, ToSchema)]
pub(crate) struct QuotaReply {
    pub(crate) uploads: Option<i64>,
    pub(crate) uploads_left: Option<i64>,
    pub(crate) bytes: Option<i64>,
    pub(crate) bytes_left: Option<i64>,
    /// When the next month begins.
    pub(crate) renews_at: String,
}

/// A user's plan, and what was used of it in this month.
#[derive(Debug)]
pub(crate) struct Quota {
    pub(crate) plan: Plan,
    pub(crate) used: Used,
    month: Month,
}

impl Quota {
    /// The user's quota now.
    pub(crate) async fn of(store: &Store, user_id: &str) -> Result<Self, ApiError> {
        let month = Month::of(unix_now());
        let (plan, used) = store
            .plan_and_use(user_id, month.first_day, month.end_day)
            .await?
            .ok_or_else(|| {
                tracing::error!(user_id, "the user's plan is not in the table of plans");
                ApiError::Internal
            })?;
        Ok(Self { plan, used, month })
    }

    /// Refuses when nothing is left.
    ///
    /// An upload may exceed the limit: its size is not known here.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let used_up = |allowed: Option<i64>, used| allowed.filter(|allowed| used >= *allowed);
        let what = if let Some(uploads) = used_up(self.plan.uploads_a_month, self.used.uploads) {
            format!("{uploads} uploads")
        } else if let Some(bytes) = used_up(self.plan.bytes_a_month, self.used.bytes) {
            format!("{bytes} bytes")
        } else {
            return Ok(());
        };
        Err(ApiError::QuotaUsedUp {
            plan: self.plan.name.clone(),
            what,
            renews_at: rfc3339(self.month.end()),
        })
    }

    /// The quota as clients see it.
    pub(crate) fn reply(&self) -> QuotaReply {
        let left = |allowed: Option<i64>, used: i64| allowed.map(|allowed| (allowed - used).max(0));
        QuotaReply {
            uploads: self.plan.uploads_a_month,
            uploads_left: left(self.plan.uploads_a_month, self.used.uploads),
            bytes: self.plan.bytes_a_month,
            bytes_left: left(self.plan.bytes_a_month, self.used.bytes),
            renews_at: rfc3339(self.month.end()),
        }
    }
}
