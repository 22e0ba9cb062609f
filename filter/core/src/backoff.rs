//! How long to wait after a failure, and by how much reporters that started together drift apart.

/// Longest pause between two tries, in milliseconds.
const LONGEST_MS: u64 = 60_000;

/// Pauses that double with each failure, each multiplied by a factor between 0.5 and 1.5.
#[derive(Debug)]
pub(crate) struct Backoff {
    state: u64,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed,
            failures: 0,
        }
    }

    /// Forgets the failures so far.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure, in milliseconds, starting from `base_ms`. At most 1.5 × the longest pause.
    pub(crate) fn pause_ms(&mut self, base_ms: u64) -> u64 {
        let doubled = base_ms.saturating_mul(1_u64.checked_shl(self.failures).unwrap_or(u64::MAX));
        self.failures = self.failures.saturating_add(1).min(32);
        let pause = doubled.min(LONGEST_MS.max(base_ms));
        (pause / 2).saturating_add(self.below_ms(pause))
    }

    /// A number below `limit_ms`, 0 if that is 0.
    pub(crate) fn below_ms(&mut self, limit_ms: u64) -> u64 {
        self.next().checked_rem(limit_ms).unwrap_or(0)
    }

    /// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
