//! What is known of a container over a stretch of time.

use super::Counters;
use crate::cluster::Used;
use crate::id::{ContainerName, PodUid};
use crate::time::{Slots, Span, Timestamp, Window};
use crate::units::{Bytes, Millicores, Ratio};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sums over a stretch of time: figures of adjacent stretches add up to those of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// For how much of the time there are readings.
    pub seen: Span,
    /// What was counted in that time.
    pub counted: Counters,
    /// The largest working set read.
    pub memory_peak: Bytes,
    /// Restarts seen.
    pub restarts: u64,
}

impl Figures {
    /// Adds everything `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.seen = Span(self.seen.0.saturating_add(other.seen.0));
        self.counted = self.counted.plus(other.counted);
        self.memory_peak = self.memory_peak.max(other.memory_peak);
        self.restarts = self.restarts.saturating_add(other.restarts);
    }
    /// Cpu used, as a mean over the time seen.
    pub fn cpu(&self) -> Millicores {
        // µs per ms are thousandths of a processor.
        Millicores(self.counted.cpu_us.unwrap_or(0).checked_div(self.seen.0).unwrap_or(0))
    }
    /// Throttled ÷ all periods; zero where there is no limit, or nothing ran.
    pub fn throttled(&self) -> Ratio {
        let count = |counter: Option<u64>| counter.unwrap_or(0);
        Ratio::of(count(self.counted.throttled_periods), count(self.counted.periods))
    }
    /// Share of the time in which a task waited for a processor; zero where the kernel does not tell.
    pub fn waiting(&self) -> Ratio {
        self.share(self.counted.cpu_waiting_us)
    }
    /// Share of the time in which all tasks waited for memory; zero where the kernel does not tell.
    pub fn stalled(&self) -> Ratio {
        self.share(self.counted.memory_stalled_us)
    }
    fn share(&self, us: Option<u64>) -> Ratio {
        Ratio::of(us.unwrap_or(0), self.seen.0.saturating_mul(1000))
    }
}

const ALWAYS: Window = Window {
    from: Timestamp(i64::MIN),
    to: Timestamp(i64::MAX),
};

/// One container, slot by slot; only slots with readings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerUse {
    /// Figures by the moment their slot starts.
    pub slots: BTreeMap<Timestamp, Figures>,
}

impl ContainerUse {
    /// All slots together.
    pub fn total(&self) -> Figures {
        self.within(ALWAYS)
    }
    /// Cpu used in the slot in which it used most, see [`Self::peak`].
    pub fn highest(&self) -> Millicores {
        self.peak(ALWAYS)
    }
    /// The slots that start in a window, together.
    pub fn within(&self, window: Window) -> Figures {
        let mut total = Figures::default();
        self.inside(window).for_each(|figures| total.merge(figures));
        total
    }
    /// Cpu used in the slot of the window in which it used most. Slots seen for less than half as long as the one seen longest are
    /// left out: a rounded-off end of a reading is no peak.
    pub fn peak(&self, window: Window) -> Millicores {
        let longest = self.inside(window).map(|figures| figures.seen.0).max().unwrap_or(0);
        let whole = self.inside(window).filter(|figures| figures.seen.0 * 2 >= longest);
        whole.map(Figures::cpu).max().unwrap_or_default()
    }
    fn inside(&self, window: Window) -> impl Iterator<Item = &Figures> {
        let slots = self.slots.iter().filter(move |(start, _)| window.contains(**start));
        slots.map(|(_, figures)| figures)
    }
}

/// What is known of all containers over one window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// How its time is cut.
    pub slots: Slots,
    /// By pod and container.
    pub pods: BTreeMap<PodUid, BTreeMap<ContainerName, ContainerUse>>,
}

impl Usage {
    /// What each pod used: its containers together, cpu as a mean, memory at its highest. Pods whose cpu nothing tells of are left out.
    pub fn by_pod(&self) -> BTreeMap<PodUid, Used> {
        let of = |containers: &BTreeMap<ContainerName, ContainerUse>| {
            let totals = containers.values().map(ContainerUse::total);
            let seen = totals.filter(|figures| figures.seen.0 > 0);
            seen.fold(None, |sum: Option<Used>, figures| {
                let own = Used {
                    cpu: figures.cpu(),
                    memory: figures.memory_peak,
                };
                Some(sum.unwrap_or_default().plus(own))
            })
        };
        let pods = self.pods.iter();
        pods.filter_map(|(pod, containers)| Some((pod.clone(), of(containers)?)))
            .collect()
    }
}
