//! Waiting and working for spans below a millisecond.

use nix::time::{ClockId, clock_gettime};
use std::{
    io,
    time::{Duration, Instant},
};

/// tokio's clock ticks in milliseconds: what it cannot end on time is left to the kernel's timer.
const TICK: Duration = Duration::from_millis(2);

/// Waits for `span`, never shorter, as a rule less than 0.2 ms longer: the shop's compute times are shorter than the
/// ticks of tokio's own clock, so the last of it is slept by a thread of the blocking pool.
///
/// # Errors
/// When the runtime is shutting down.
pub(super) async fn sleep(span: Duration) -> io::Result<()> {
    let start = Instant::now();
    if span > TICK {
        tokio::time::sleep(span - TICK).await;
    }
    let left = span.saturating_sub(start.elapsed());
    if left.is_zero() {
        return Ok(());
    }
    tokio::task::spawn_blocking(move || std::thread::sleep(left))
        .await
        .map_err(io::Error::other)
}

/// Keeps the processor busy for `span`.
pub(super) fn spin(span: Duration) {
    let start = Instant::now();
    while start.elapsed() < span {
        std::hint::spin_loop();
    }
}

/// Uses `span` of processor time, however long the thread has to wait for it.
///
/// # Errors
/// Where the thread's own clock cannot be read.
pub(super) fn work(span: Duration) -> io::Result<()> {
    let clock = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    let start = clock()?;
    while clock()?.saturating_sub(start) < span {
        for _ in 0..1_000 {
            std::hint::spin_loop();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_is_never_cut_short() {
        for span in [Duration::ZERO, Duration::from_micros(300), Duration::from_millis(5)] {
            let start = Instant::now();
            sleep(span).await.expect("a running runtime");
            assert!(start.elapsed() >= span);
        }
    }
}
