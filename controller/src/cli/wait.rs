//! Waiting for a condition, with a deadline and the last thing that was missing.

use anyhow::bail;
use std::time::Duration;
use tokio::time::Instant;

/// Asks again and again until `condition` holds; it says what is missing while it does not.
///
/// # Errors
/// If it does not hold in time, with what was missing last.
pub(super) async fn until<T>(
    what: &str,
    patience: Duration,
    condition: impl AsyncFn() -> Result<T, String>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(100);
    loop {
        let missing = match condition().await {
            Ok(value) => return Ok(value),
            Err(missing) => missing,
        };
        if Instant::now() >= deadline {
            bail!("waited {} s for {what}: {missing}", patience.as_secs());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}
