//! Waiting for a condition with a deadline, and saying what was last seen when it passes.

use std::{
    fmt,
    time::{Duration, Instant},
};

use thiserror::Error;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// A condition did not come true in time.
#[derive(Debug, Error)]
#[error("waited {}s for {what}; last seen: {last}", .waited.as_secs())]
pub struct Late {
    /// What was waited for.
    pub what: String,
    /// For how long.
    pub waited: Duration,
    /// What the last look saw instead.
    pub last: String,
}

/// Looks until `look` gives a value, at most for `limit`. What it gives instead of a value is why not yet: an error of
/// the cluster is one such reason, for a cluster that is starting has many of them.
///
/// # Errors
/// [`Late`], with the last reason.
pub async fn until<T, E: fmt::Display>(
    what: impl Into<String>,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, Late> {
    let start = Instant::now();
    loop {
        let why = match look().await {
            Ok(value) => return Ok(value),
            Err(why) => why,
        };
        if start.elapsed() >= limit {
            return Err(Late {
                what: what.into(),
                waited: start.elapsed(),
                last: why.to_string(),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}
