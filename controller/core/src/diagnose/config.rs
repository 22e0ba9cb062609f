//! When a finding is made.

use crate::bounds::Confidence;
use crate::units::{Bytes, Micros, Ratio};

/// When a finding is made. The defaults are chosen, not measured, unless a source is named.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiagnoseConfig {
    /// Requests with a network time that an edge needs, local and remote together. 200: a median to about ± 15 % at the
    /// default design effect (facts/loop.md A4: 200 requests show a 20 % shift of a median at log-sd 0.5).
    pub min_requests: u64,
    /// Share of an edge's calls inside the pod from which nothing else is said of it. 0.9: what a merge must keep inside (`act/inside.rs`).
    pub inside: Ratio,
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
    /// …and as a share of the whole call's p50 where it is remote. 2 %: two windows of the bed with nothing done between them mostly differ
    /// by more (docs/results/demo.md), so less could be neither seen nor proved; an edge that a hop makes slower by so little is slow for another reason.
    pub min_saved_of_call: Ratio,
    /// What borrowed evidence counts: other edges carry other payloads.
    pub borrowed_counts: Ratio,
    /// Bounds.
    pub confidence: Confidence,
    /// What counts as pressure.
    pub pressure: PressureConfig,
    /// Share of the served time that the callee spends waiting for its own callees, from which on they are what to look at.
    pub min_waiting: Ratio,
    /// What counts as chatter.
    pub chatter: ChatterConfig,
}

impl Default for DiagnoseConfig {
    fn default() -> Self {
        Self {
            min_requests: 200,
            inside: Ratio::clamped(0.9),
            min_part: 100,
            min_stratum: 30,
            min_share: Ratio::clamped(0.2),
            min_saved: Micros(50),
            min_saved_share: Ratio::clamped(0.1),
            min_saved_of_call: Ratio::clamped(0.02),
            borrowed_counts: Ratio::clamped(0.5),
            confidence: Confidence::default(),
            pressure: PressureConfig::default(),
            min_waiting: Ratio::clamped(0.5),
            chatter: ChatterConfig::default(),
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

/// What counts as chatter, and what running the callee inside its caller's pods made of a call where it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChatterConfig {
    /// Least share of the network part in the time of same-node requests, at p50. Hops and proxies *dominate* there, although it is less
    /// than half: the network part ends at the callee's own proxy, whose work counts as served. On the bed it is 32 to 34 % of a call
    /// to a callee that waits 100 µs, and a merge takes half of the whole call away (docs/results/merging.md).
    pub dominates: Ratio,
    /// Least share of the callee's calls that come from this caller: a copy in each of its pods serves nobody else. More than half
    /// goes by the name of most.
    pub caller_share: Ratio,
    /// Least calls per second and caller pod. On the bed a merge saved at least 0.3 × 2.4 ms of each call (facts/moves.md 5): 20 such
    /// calls are 14 ms of each second, more than a hundredth of the pod's time. Below that a copy in each pod is not worth its memory.
    pub rate_per_pod: f64,
    /// Most bytes per call, both ways: one TLS record holds 16 KiB (RFC 8446, 5.1). Beyond it a call costs the proxies by its length,
    /// which no figure here tells.
    pub bytes_per_call: Bytes,
    /// Share of the calls that stay on their node from which on moving counts as done: what is left is hops, if it costs more.
    pub moved: Ratio,
    /// Network p50 inside the pod ÷ same-node p50, behind the caller's own proxy: measured on the bed, and the worst that issue 6
    /// accepts (1.5 ÷ 2.4 ms: facts/moves.md 5).
    pub proxied: (Ratio, Ratio),
    /// The same over loopback with no proxy (0.6 ÷ 2.4 ms).
    pub direct: (Ratio, Ratio),
}

impl Default for ChatterConfig {
    fn default() -> Self {
        Self {
            dominates: Ratio::clamped(0.3),
            caller_share: Ratio::clamped(0.5),
            rate_per_pod: 20.0,
            bytes_per_call: Bytes(16 << 10),
            moved: Ratio::clamped(0.9),
            proxied: (Ratio::clamped(0.625), Ratio::clamped(0.7)),
            direct: (Ratio::clamped(0.25), Ratio::clamped(0.35)),
        }
    }
}
