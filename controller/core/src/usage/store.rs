//! Readings to figures, over time.

use super::{ContainerUse, Counters, Figures, Pace, Reading, Usage};
use crate::id::{ContainerName, PodUid};
use crate::time::{Slots, Span, Timestamp, Window};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageConfig {
    /// How time is cut: as the graph's, or its slots could not be laid beside these.
    pub slots: Slots,
    /// How far back slots are kept, counted from the newest one.
    pub retention: Span,
    /// Readings farther apart than this are not made a difference of: it would say little of any one slot between them.
    pub longest: Span,
    /// Most figures kept, one per slot and container, of about 200 bytes; the oldest slot goes first.
    pub max_cells: usize,
}

impl UsageConfig {
    /// The bounds for a graph with these slots and this retention, and readings at this pace.
    pub fn beside(slot: Span, retention: Span, pace: Pace) -> Self {
        Self {
            slots: Slots::of_length(slot),
            retention,
            longest: pace.longest,
            max_cells: 500_000,
        }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    pod: PodUid,
    container: ContainerName,
}

/// The readings of all containers over time, as figures by slot.
///
/// Readings of different containers may come in any order; of one container's readings, one that is not newer than the newest
/// changes nothing (laws in `tests/laws_usage.rs`).
#[derive(Clone, Debug)]
pub struct UsageStore {
    config: UsageConfig,
    slots: BTreeMap<i64, BTreeMap<Arc<Key>, Figures>>,
    last: BTreeMap<Arc<Key>, Reading>,
    cells: usize,
    dropped: u64,
}

impl UsageStore {
    /// An empty store.
    pub fn new(config: UsageConfig) -> Self {
        Self {
            config,
            slots: BTreeMap::new(),
            last: BTreeMap::new(),
            cells: 0,
            dropped: 0,
        }
    }

    /// Takes one reading in. The first of a container tells only how much memory it holds.
    pub fn absorb(&mut self, reading: Reading) {
        let key = Key {
            pod: reading.pod.clone(),
            container: reading.container.clone(),
        };
        let known = self
            .last
            .get_key_value(&key)
            .map(|(key, last)| (Arc::clone(key), last.clone()));
        let (key, last) = known.map_or_else(|| (Arc::new(key), None), |(key, last)| (key, Some(last)));
        let newest = Timestamp(reading.at.0.saturating_sub(1));
        let mut figures = Figures {
            memory_peak: reading.working_set,
            ..Figures::default()
        };
        if let Some(last) = last {
            if reading.at <= last.at {
                return;
            }
            let restarted = reading.restarted_since(&last);
            figures.restarts = u64::from(restarted);
            if reading.at.since(last.at) <= self.config.longest {
                let began = reading.started.filter(|_| restarted).unwrap_or(last.at);
                let from = began.clamp(last.at, reading.at);
                self.spread(&key, from, reading.at, reading.counted_since(&last, restarted));
            }
        }
        self.add(&key, self.config.slots.of(newest), &figures);
        self.last.insert(key, reading);
        self.forget_before(self.newest().map_or(i64::MIN, |newest| self.oldest_kept(newest)));
        self.keep_bounds();
    }

    /// Forgets slots, and containers without readings, that are older than the retention at `now`.
    pub fn forget(&mut self, now: Timestamp) {
        self.forget_before(self.oldest_kept(self.config.slots.of(now)));
        let oldest = now.minus(self.config.retention);
        self.last.retain(|_, reading| reading.at >= oldest);
    }

    /// What is known of the slots that start inside `window`, rounded up to slot borders at both ends as the graph's snapshots are.
    pub fn window(&self, window: Window) -> Usage {
        self.window_of(window, |_| true)
    }

    /// The same of some pods only.
    pub fn window_of(&self, window: Window, wanted: impl Fn(&PodUid) -> bool) -> Usage {
        let (from, to) = (self.config.slots.up(window.from), self.config.slots.up(window.to));
        let mut pods: BTreeMap<PodUid, BTreeMap<ContainerName, ContainerUse>> = BTreeMap::new();
        if from < to {
            for (&slot, cells) in self.slots.range(from..to) {
                let start = self.config.slots.start(slot);
                for (key, figures) in cells.iter().filter(|(key, _)| wanted(&key.pod)) {
                    let containers = pods.entry(key.pod.clone()).or_default();
                    let container = containers.entry(key.container.clone()).or_default();
                    container.slots.insert(start, *figures);
                }
            }
        }
        Usage {
            slots: self.config.slots,
            pods,
        }
    }

    /// How its time is cut.
    pub fn slots(&self) -> Slots {
        self.config.slots
    }
    /// Containers that have been read lately.
    pub fn containers(&self) -> usize {
        self.last.len()
    }
    /// Figures held now (see [`UsageConfig::max_cells`]).
    pub fn cells(&self) -> usize {
        self.cells
    }
    /// Figures lost to the bound since start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Spreads what was counted between two moments over the slots between them, by time; the parts add up to the whole exactly.
    fn spread(&mut self, key: &Arc<Key>, from: Timestamp, to: Timestamp, counted: Counters) {
        let slots = self.config.slots;
        let length = to.since(from).0;
        let (first, last) = (slots.of(from), slots.of(Timestamp(to.0.saturating_sub(1))));
        // What was counted up to a moment, rounded down: differences of these are the parts.
        let until = |whole: u64, moment: Timestamp| match length {
            0 => whole,
            length => {
                let part = u128::from(whole) * u128::from(moment.since(from).0.min(length)) / u128::from(length);
                u64::try_from(part).unwrap_or(u64::MAX)
            }
        };
        for slot in first.min(last)..=last {
            let start = slots.start(slot).max(from);
            let end = slots.start(slot.saturating_add(1)).min(to);
            let part = |whole: u64| match length {
                0 => whole,
                _ => until(whole, end).saturating_sub(until(whole, start)),
            };
            let figures = Figures {
                seen: end.since(start),
                counted: counted.zip(Counters::default(), |whole, _| whole.map(part)),
                ..Figures::default()
            };
            self.add(key, slot, &figures);
        }
    }

    fn add(&mut self, key: &Arc<Key>, slot: i64, figures: &Figures) {
        let cells = self.slots.entry(slot).or_default();
        let before = cells.len();
        cells.entry(Arc::clone(key)).or_default().merge(figures);
        self.cells = self.cells.saturating_add(cells.len() - before);
    }

    fn keep_bounds(&mut self) {
        while self.cells > self.config.max_cells && self.slots.len() > 1 {
            let gone = self.forget_first();
            self.dropped = self.dropped.saturating_add(gone as u64);
        }
        // Readings without slots are bounded by the same number: those silent for longest go.
        let most = self.config.max_cells.max(1);
        if self.last.len() > most {
            let by_age: BTreeSet<(Timestamp, Arc<Key>)> = self
                .last
                .iter()
                .map(|(key, reading)| (reading.at, Arc::clone(key)))
                .collect();
            for (_, key) in by_age.into_iter().take(self.last.len() - most) {
                self.last.remove(&key);
            }
        }
    }

    fn forget_before(&mut self, oldest: i64) {
        while self.slots.first_key_value().is_some_and(|(&slot, _)| slot < oldest) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) -> usize {
        let gone = self.slots.pop_first().map_or(0, |(_, cells)| cells.len());
        self.cells = self.cells.saturating_sub(gone);
        gone
    }

    fn newest(&self) -> Option<i64> {
        self.slots.last_key_value().map(|(&slot, _)| slot)
    }
    fn oldest_kept(&self, newest: i64) -> i64 {
        newest.saturating_sub(self.config.slots.in_span(self.config.retention))
    }
}
