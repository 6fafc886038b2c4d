//! Waiting for what happens by itself.

use std::time::{Duration, Instant};

use tokio::time::sleep;

/// After this a test has hung. It is far above what anything here takes on a slow machine.
pub const HUNG: Duration = Duration::from_secs(40);
/// How often something is looked at that happens by itself.
pub const POLL: Duration = Duration::from_millis(5);

/// Looks `every` so often until there is something, and gives up after `limit`.
pub async fn poll<T, F>(every: Duration, limit: Duration, mut look: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    let began = Instant::now();
    loop {
        let found = look().await;
        if found.is_some() || began.elapsed() > limit {
            return found;
        }
        sleep(every).await;
    }
}
