//! Times as text.

use std::time::{Duration, UNIX_EPOCH};

/// Unix seconds as RFC 3339, in UTC.
pub(crate) fn rfc3339(unix_seconds: i64) -> String {
    let since = Duration::from_secs(u64::try_from(unix_seconds).unwrap_or(0));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}
