//! When a finding is made.

use crate::bounds::Confidence;
use crate::units::{Micros, Ratio};

/// When a finding is made. The defaults are chosen, not measured, unless a source is named.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiagnoseConfig {
    /// Requests with a network time that an edge needs, local and remote together. 200: a median to about ± 15 % at the
    /// default design effect (facts/loop.md A4: 200 requests show a 20 % shift of a median at log-sd 0.5).
    pub min_requests: u64,
    /// Requests that the local and the remote part each need, and those under pressure and those that are calm.
    pub min_part: u64,
    /// Requests that each side of a stratum (one callee pod, one distance) needs to count.
    pub min_stratum: u64,
    /// Least share of the network part in the upstream time of remote requests, at p99 or at p50; of the served part at p99 for
    /// pressure.
    pub min_share: Ratio,
    /// Least saving, as the lower bound at p50. 50 µs: what a loopback round trip costs (facts/loop.md C6).
    pub min_saved: Micros,
    /// Least saving as a share of the remote p50.
    pub min_saved_share: Ratio,
    /// What borrowed evidence counts: other edges carry other payloads.
    pub borrowed_counts: Ratio,
    /// Bounds.
    pub confidence: Confidence,
    /// What counts as pressure.
    pub pressure: PressureConfig,
    /// Share of the served time that the callee spends waiting for its own callees, from which on they are what to look at.
    pub min_waiting: Ratio,
}

impl Default for DiagnoseConfig {
    fn default() -> Self {
        Self {
            min_requests: 200,
            min_part: 100,
            min_stratum: 30,
            min_share: Ratio::clamped(0.2),
            min_saved: Micros(50),
            min_saved_share: Ratio::clamped(0.1),
            borrowed_counts: Ratio::clamped(0.5),
            confidence: Confidence::default(),
            pressure: PressureConfig::default(),
            min_waiting: Ratio::clamped(0.5),
        }
    }
}

/// What counts as pressure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PressureConfig {
    /// Least share of throttled periods. At 10 % of the periods about one request in ten meets a stop (facts/loop.md A7: about
    /// f·(1 + s ÷ 100 ms)): far beyond what a p99 can hide.
    pub throttled: Ratio,
    /// Periods that a share of them needs: one throttled of three says nothing.
    pub min_periods: u64,
    /// Least share of time in which a task waits for a processor, without being throttled. Some waiting is what sharing means.
    pub waiting: Ratio,
    /// Least share of time in which all tasks wait for memory.
    pub stalled: Ratio,
    /// Calm is what stays below this part of each threshold.
    pub calm: Ratio,
    /// How much slower requests under pressure are at p99 than calm ones, at least.
    pub slower: f64,
    /// Where there is nothing calm to compare with, the share alone must be this many times its threshold: 25 % of the periods.
    pub strong: f64,
    /// …and the callee must not wait for its own callees for so much of the time it serves.
    pub mostly_waiting: Ratio,
}

impl Default for PressureConfig {
    fn default() -> Self {
        Self {
            throttled: Ratio::clamped(0.10),
            min_periods: 10,
            waiting: Ratio::clamped(0.25),
            stalled: Ratio::clamped(0.10),
            calm: Ratio::clamped(0.5),
            slower: 1.2,
            strong: 2.5,
            mostly_waiting: Ratio::clamped(0.8),
        }
    }
}
