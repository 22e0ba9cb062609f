//! One look at one container.

use crate::id::{ContainerName, PodUid};
use crate::time::Timestamp;
use crate::units::Bytes;
use serde::{Deserialize, Serialize};

/// Counts since the container started, each `None` where the node does not tell it: a container without cpu limit has no periods,
/// a machine with control groups version 1 has no stall times (facts/actuation.md 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counters {
    /// Cpu time used, in µs.
    pub cpu_us: Option<u64>,
    /// Scheduling periods (100 ms by default) in which it wanted to run under its quota.
    pub periods: Option<u64>,
    /// Of these: its quota ran out.
    pub throttled_periods: Option<u64>,
    /// Time for which its threads were stopped, in µs, summed over threads' run queues.
    pub throttled_us: Option<u64>,
    /// Time in which at least one of its tasks waited for a processor (PSI "some"), in µs.
    pub cpu_waiting_us: Option<u64>,
    /// Time in which all its tasks waited for memory (PSI "full"), in µs.
    pub memory_stalled_us: Option<u64>,
    /// Processes killed for want of memory.
    pub kills: Option<u64>,
}

impl Counters {
    /// Field by field.
    pub(super) fn zip(self, other: Self, f: impl Fn(Option<u64>, Option<u64>) -> Option<u64>) -> Self {
        Self {
            cpu_us: f(self.cpu_us, other.cpu_us),
            periods: f(self.periods, other.periods),
            throttled_periods: f(self.throttled_periods, other.throttled_periods),
            throttled_us: f(self.throttled_us, other.throttled_us),
            cpu_waiting_us: f(self.cpu_waiting_us, other.cpu_waiting_us),
            memory_stalled_us: f(self.memory_stalled_us, other.memory_stalled_us),
            kills: f(self.kills, other.kills),
        }
    }

    /// Sums; a count that only one side tells is that side's.
    pub(super) fn plus(self, more: Self) -> Self {
        self.zip(more, |a, b| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (one, other) => one.or(other),
        })
    }

    /// Whether any count went back: the kernel began anew.
    fn went_back(self, earlier: Self) -> bool {
        let back = |now: Option<u64>, then: Option<u64>| matches!((now, then), (Some(now), Some(then)) if now < then);
        back(self.cpu_us, earlier.cpu_us)
            || back(self.periods, earlier.periods)
            || back(self.throttled_periods, earlier.throttled_periods)
            || back(self.throttled_us, earlier.throttled_us)
            || back(self.cpu_waiting_us, earlier.cpu_waiting_us)
            || back(self.memory_stalled_us, earlier.memory_stalled_us)
            || back(self.kills, earlier.kills)
    }
}

/// One look at one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// Its pod.
    pub pod: PodUid,
    /// Its name.
    pub container: ContainerName,
    /// When the node looked, by the controller's clock.
    pub at: Timestamp,
    /// When the container started, by the node's clock.
    pub started: Option<Timestamp>,
    /// Counts since then.
    pub counters: Counters,
    /// Memory it cannot give back at once.
    pub working_set: Bytes,
}

impl Reading {
    /// Whether the container was started anew since `earlier`: it says so, or a count went back. Start times within a second of
    /// each other are the same: nodes tell them in floating point.
    pub(super) fn restarted_since(&self, earlier: &Self) -> bool {
        let anew = match (self.started, earlier.started) {
            (Some(now), Some(then)) => now.since(then).0 > 1000,
            (Some(_) | None, _) => false,
        };
        anew || self.counters.went_back(earlier.counters)
    }

    /// What was counted since `earlier`: after a restart all there is. A count that was not told before has no difference, as nobody
    /// knows since when it has been counting.
    pub(super) fn counted_since(&self, earlier: &Self, restarted: bool) -> Counters {
        self.counters.zip(earlier.counters, |now, then| match (now, then) {
            (Some(now), _) if restarted => Some(now),
            (Some(now), Some(then)) => Some(now.saturating_sub(then)),
            (Some(_), None) | (None, _) => None,
        })
    }
}
