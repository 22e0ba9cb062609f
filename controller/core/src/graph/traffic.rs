//! The store behind snapshots: exchanges by slot of time and pair of pods, and totals that outlive the slots.

use super::{EdgeStats, PairStats, Snapshot};
use crate::id::{EdgeId, NodeName, PodUid, WorkloadId};
use crate::sample::{Exchange, Locality, RequestClass, Sample};
use crate::time::{Slots, Span, Timestamp, Window};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How much the graph keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphConfig {
    /// Length of a slot: the finest step at which windows can start or end.
    pub slot: Span,
    /// How far back slots are kept, counted from the newest one.
    pub retention: Span,
    /// Most histogram buckets kept over all slots, pairs of pods and classes; the oldest slot goes first. A bucket costs
    /// 16 bytes, and about twice that in the tree that holds it; a cell without times counts as [`CELL`] buckets.
    pub max_buckets: usize,
    /// Most edges with totals; the one silent for longest goes first.
    pub max_edges: usize,
}

impl Default for GraphConfig {
    fn default() -> Self {
        Self {
            slot: Span::seconds(10),
            retention: Span::seconds(30 * 60),
            max_buckets: 10_000_000,
            max_edges: 100_000,
        }
    }
}

/// What was lost to the bounds since start; nothing is ever dropped unseen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dropped {
    /// Cells that went because there were too many.
    pub cells: u64,
    /// Requests in these cells (the totals still count them).
    pub requests: u64,
    /// Edges whose totals went because there were too many.
    pub edges: u64,
}

/// Counts of one edge since start: exact, not bound to any window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Requests of all classes.
    pub requests: u64,
    /// Errors among them.
    pub errors: u64,
    /// Requests without a served time.
    pub missing_served: u64,
    /// Requests by locality.
    pub by_locality: BTreeMap<Locality, u64>,
    /// Requests by class.
    pub by_class: BTreeMap<RequestClass, u64>,
    /// When the last sample came.
    pub last: Timestamp,
}

/// What identifies a cell inside a slot. Nodes are part of it: a pod never changes its node, so they add no cells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    edge: EdgeId,
    caller: PodUid,
    callee: PodUid,
    caller_node: NodeName,
    callee_node: NodeName,
    locality: Locality,
    class: RequestClass,
}

type Slot = BTreeMap<Arc<Key>, Exchange>;

/// What a cell costs besides its buckets, counted in buckets.
pub const CELL: usize = 16;

/// What a cell costs, in buckets.
fn cost(exchange: &Exchange) -> usize {
    let distributions = [&exchange.upstream, &exchange.served, &exchange.network, &exchange.body];
    CELL + distributions
        .iter()
        .map(|distribution| distribution.width())
        .sum::<usize>()
}

/// The service graph over time.
///
/// Samples may come in any order; equal sets of samples give equal graphs as long as no bound is hit (a law in
/// `tests/laws_graph.rs`). Each distinct pair of pods is stored once, however many slots it appears in.
#[derive(Clone, Debug)]
pub struct TrafficGraph {
    config: GraphConfig,
    slots: BTreeMap<i64, Slot>,
    keys: BTreeSet<Arc<Key>>,
    buckets: usize,
    totals: BTreeMap<EdgeId, Totals>,
    dropped: Dropped,
}

impl TrafficGraph {
    /// An empty graph.
    pub fn new(config: GraphConfig) -> Self {
        Self {
            config,
            slots: BTreeMap::new(),
            keys: BTreeSet::new(),
            buckets: 0,
            totals: BTreeMap::new(),
            dropped: Dropped::default(),
        }
    }

    /// Takes one sample in. A sample older than the retention still counts in the totals.
    pub fn absorb(&mut self, sample: &Sample) {
        let key = Key {
            edge: EdgeId {
                source: sample.caller.workload.clone(),
                destination: sample.callee.workload.clone(),
            },
            caller: sample.caller.pod.clone(),
            callee: sample.callee.pod.clone(),
            caller_node: sample.caller.node.clone(),
            callee_node: sample.callee.node.clone(),
            locality: Locality::between(&sample.caller, &sample.callee),
            class: sample.class,
        };
        self.count(&key, sample);
        let slot = self.cut().of(sample.at);
        if self.newest().is_some_and(|newest| slot < self.oldest_kept(newest)) {
            return;
        }
        let key = self.intern(key);
        let cells = self.slots.entry(slot).or_default();
        let before = cells.get(&key).map_or(0, cost);
        let cell = cells.entry(key).or_default();
        cell.merge(&sample.exchange);
        self.buckets = self.buckets.saturating_add(cost(cell)).saturating_sub(before);
        self.forget_before(self.newest().map_or(i64::MIN, |newest| self.oldest_kept(newest)));
        self.keep_bounds();
    }

    /// Forgets slots that are older than the retention at `now`; call it now and then, so that silence ages too.
    pub fn forget(&mut self, now: Timestamp) {
        let oldest = self.oldest_kept(self.cut().of(now));
        self.forget_before(oldest);
    }

    /// Forgets the totals of edges that have no slot left and one of whose ends is not `alive` any more.
    pub fn retire(&mut self, alive: impl Fn(&WorkloadId) -> bool) {
        let seen: BTreeSet<&EdgeId> = self.keys.iter().map(|key| &key.edge).collect();
        self.totals
            .retain(|edge, _| seen.contains(edge) || (alive(&edge.source) && alive(&edge.destination)));
    }

    /// The picture of the slots that start inside `window`: a window is rounded up to slot borders at both ends, so that
    /// adjacent windows share no slot and a window after an event holds nothing from before it. The snapshot's own window
    /// says what it really covers: never before the first slot kept, never after `at`.
    pub fn snapshot(&self, window: Window, at: Timestamp) -> Snapshot {
        let cut = self.cut();
        let (from, to) = (cut.up(window.from), cut.up(window.to));
        let mut edges: BTreeMap<EdgeId, Building> = BTreeMap::new();
        if from < to {
            for (&slot, cells) in self.slots.range(from..to) {
                for (key, exchange) in cells {
                    let last = Timestamp(cut.start(slot.saturating_add(1)).0 - 1);
                    edges
                        .entry(key.edge.clone())
                        .or_default()
                        .add(key, exchange, last.min(at));
                }
            }
        }
        let first = self.slots.keys().next().copied().map_or(from, |first| first.max(from));
        let to = cut.start(to).min(at);
        Snapshot {
            at,
            window: Window {
                from: cut.start(first).min(to),
                to,
            },
            edges: edges
                .into_iter()
                .map(|(edge, building)| (edge.clone(), building.finish(edge)))
                .collect(),
        }
    }

    /// What each slot that starts inside `window` holds of the classes that count for latency, cell by cell, the oldest slot first:
    /// its start, the edge, the called pod, what passed.
    pub fn cells(&self, window: Window) -> impl Iterator<Item = (Timestamp, &EdgeId, &PodUid, &Exchange)> {
        let cut = self.cut();
        let (from, to) = (cut.up(window.from), cut.up(window.to));
        let slots = self.slots.range(from..to.max(from));
        slots.flat_map(move |(&slot, cells)| {
            let timed = cells.iter().filter(|(key, _)| key.class != RequestClass::Long);
            timed.map(move |(key, exchange)| (cut.start(slot), &key.edge, &key.callee, exchange))
        })
    }

    /// Counts per edge since start, ordered by edge.
    pub fn totals(&self) -> impl Iterator<Item = (&EdgeId, &Totals)> {
        self.totals.iter()
    }

    /// What the bounds cost so far.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Buckets held now (see [`GraphConfig::max_buckets`]).
    pub fn buckets(&self) -> usize {
        self.buckets
    }
    /// Slots held now.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    fn count(&mut self, key: &Key, sample: &Sample) {
        let exchange = &sample.exchange;
        let add = |slot: &mut u64, more: u64| *slot = slot.saturating_add(more);
        let totals = self.totals.entry(key.edge.clone()).or_default();
        add(&mut totals.requests, exchange.requests);
        add(&mut totals.errors, exchange.errors);
        add(&mut totals.missing_served, exchange.missing_served);
        add(totals.by_locality.entry(key.locality).or_default(), exchange.requests);
        add(totals.by_class.entry(key.class).or_default(), exchange.requests);
        totals.last = totals.last.max(sample.at);
        if self.totals.len() > self.config.max_edges {
            let silent = self.totals.iter().min_by_key(|(edge, totals)| (totals.last, *edge));
            if let Some(edge) = silent.map(|(edge, _)| edge.clone()) {
                self.totals.remove(&edge);
                self.dropped.edges = self.dropped.edges.saturating_add(1);
            }
        }
    }

    fn intern(&mut self, key: Key) -> Arc<Key> {
        let key = Arc::new(key);
        match self.keys.get(&key) {
            Some(known) => Arc::clone(known),
            None => {
                self.keys.insert(Arc::clone(&key));
                key
            }
        }
    }

    fn keep_bounds(&mut self) {
        while self.buckets > self.config.max_buckets && self.slots.len() > 1 {
            let Some((_, slot)) = self.slots.pop_first() else {
                return;
            };
            self.buckets = self.buckets.saturating_sub(slot.values().map(cost).sum());
            self.dropped.cells = self.dropped.cells.saturating_add(slot.len() as u64);
            let requests = slot.values().fold(0_u64, |sum, cell| sum.saturating_add(cell.requests));
            self.dropped.requests = self.dropped.requests.saturating_add(requests);
            self.forget_keys(slot);
        }
    }

    fn forget_before(&mut self, oldest: i64) {
        while self.slots.first_key_value().is_some_and(|(&slot, _)| slot < oldest) {
            let Some((_, slot)) = self.slots.pop_first() else {
                return;
            };
            self.buckets = self.buckets.saturating_sub(slot.values().map(cost).sum());
            self.forget_keys(slot);
        }
    }

    /// Lets go of the keys that only `slot` still used: after it is gone, the set's own reference is the last one.
    fn forget_keys(&mut self, slot: Slot) {
        for key in slot.into_keys() {
            if Arc::strong_count(&key) == 2 {
                self.keys.remove(&key);
            }
        }
    }

    fn cut(&self) -> Slots {
        Slots::of_length(self.config.slot)
    }
    fn newest(&self) -> Option<i64> {
        self.slots.last_key_value().map(|(&slot, _)| slot)
    }
    fn oldest_kept(&self, newest: i64) -> i64 {
        newest.saturating_sub(self.cut().in_span(self.config.retention))
    }
}

/// An edge of a snapshot while its cells are merged.
#[derive(Default)]
struct Building {
    total: Exchange,
    by_locality: BTreeMap<Locality, Exchange>,
    pairs: BTreeMap<(PodUid, PodUid), PairStats>,
    classes: BTreeMap<RequestClass, u64>,
    last: Timestamp,
}

impl Building {
    fn add(&mut self, key: &Key, exchange: &Exchange, last: Timestamp) {
        let class = self.classes.entry(key.class).or_default();
        *class = class.saturating_add(exchange.requests);
        self.last = self.last.max(last);
        match key.class {
            RequestClass::Long => return,
            RequestClass::Http | RequestClass::Grpc => {}
        }
        self.total.merge(exchange);
        self.by_locality.entry(key.locality).or_default().merge(exchange);
        self.pairs
            .entry((key.caller.clone(), key.callee.clone()))
            .or_insert_with(|| PairStats {
                caller: key.caller.clone(),
                callee: key.callee.clone(),
                caller_node: key.caller_node.clone(),
                callee_node: key.callee_node.clone(),
                locality: key.locality,
                exchange: Exchange::default(),
            })
            .exchange
            .merge(exchange);
    }

    fn finish(self, edge: EdgeId) -> EdgeStats {
        EdgeStats {
            edge,
            total: self.total,
            by_locality: self.by_locality,
            pairs: self.pairs.into_values().collect(),
            classes: self.classes,
            last: self.last,
        }
    }
}
