//! Waiting for a condition, with a deadline and the last thing seen.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks again and again until the answer is there.
///
/// # Errors
/// When it is not there in time, with what was said last; or at once when the question itself fails.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Result<T, String>>) -> Result<T> {
    let started = Instant::now();
    loop {
        match ask()? {
            Ok(found) => return Ok(found),
            Err(_) if started.elapsed() < limit => std::thread::sleep(Duration::from_millis(50)),
            Err(last) => bail!("{what}: not within {} s; last seen: {last}", limit.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_tells_what_was_seen_last() {
        let missed = until("tea", Duration::ZERO, || Ok(Err::<(), _>("cold water".to_owned()))).unwrap_err();
        assert!(missed.to_string().contains("cold water"), "{missed}");
        assert_eq!(until("tea", Duration::ZERO, || Ok(Ok(7))).unwrap(), 7);
        assert!(
            until("tea", Duration::from_secs(9), || -> Result<Result<(), String>> {
                bail!("no kettle")
            })
            .is_err()
        );
    }
}
