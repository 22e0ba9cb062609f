//! When the next start comes.

use std::time::Duration;

/// A pause that doubles with every short run, up to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// The first pause.
    pub(crate) first: Duration,
    /// The longest.
    pub(crate) most: Duration,
    /// A run as long as this begins anew with the first.
    pub(crate) steady: Duration,
}

impl Default for Backoff {
    /// Back soon after a single crash; no more than two starts a minute of what crashes always (kubelets come down to one in five minutes,
    /// but there nobody answers meanwhile; here the callee's own pods do).
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            most: Duration::from_secs(30),
            steady: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// The pause after a run of this length, given the pause before it.
    pub(crate) fn next(&self, before: Option<Duration>, ran: Duration) -> Duration {
        match before {
            Some(before) if ran < self.steady => before.saturating_mul(2).min(self.most),
            _ => self.first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_its_bound_and_begins_anew_after_a_steady_run() {
        let backoff = Backoff::default();
        let mut pause = None;
        let pauses: Vec<u64> = (0..11)
            .map(|_| {
                let next = backoff.next(pause, Duration::ZERO);
                pause = Some(next);
                u64::try_from(next.as_millis()).unwrap()
            })
            .collect();
        assert_eq!(
            pauses,
            [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]
        );
        assert_eq!(backoff.next(pause, backoff.steady), backoff.first);
    }
}
