//! The open window: counters and histograms per edge, within fixed memory.

use std::collections::HashMap;

use huddle_proto::{Drops, Edge, RequestClass, Window};

use crate::{Exchange, Limits, histogram::Sparse};

/// Longest upstream address taken; an IPv6 address with a port needs 47 bytes.
const ADDRESS_BYTES: usize = 64;

/// Longest cluster name taken: "outbound|PORT|SUBSET|HOST" with a host of 253 and a subset of 63 bytes fits.
const CLUSTER_BYTES: usize = 384;

/// What an edge costs beside its histograms and twice its key (map and entry): a generous figure for the map's bookkeeping.
const EDGE_BYTES: usize = size_of::<Slot>() + 128;

/// Start of the names of clusters that Istio makes for Services.
const SERVICE_CLUSTER: &str = "outbound|";

/// Adds up exchanges until [`Recorder::cut`].
#[derive(Debug)]
pub struct Recorder {
    limits: Limits,
    slots: HashMap<Box<[u8]>, Slot>,
    /// Bytes of [`Limits::memory_bytes`] not yet taken.
    budget: usize,
    drops: Drops,
    requests: u64,
    opened_ms: u64,
    /// Reused for every look-up, so that recording allocates nothing for a known edge.
    key: Vec<u8>,
}

/// What a window held.
#[derive(Debug, Default)]
pub struct Cut {
    /// The edges with requests, ordered by address, cluster and class.
    pub edges: Vec<Edge>,
    /// What is missing from them.
    pub drops: Drops,
    /// The window's place in time.
    pub window: Window,
    /// Requests in all edges together.
    pub requests: u64,
}

#[derive(Debug, Default)]
struct Slot {
    address: Box<str>,
    cluster: Box<str>,
    class: RequestClass,
    requests: u64,
    errors: u64,
    retries: u64,
    missing_served: u64,
    negative_network: u64,
    request_bytes: u64,
    response_bytes: u64,
    upstream: Sparse,
    served: Sparse,
    network: Sparse,
    body: Sparse,
}

impl Recorder {
    /// An empty window, open since `now_ms` (milliseconds since 1970).
    pub fn new(limits: Limits, now_ms: u64) -> Self {
        Self {
            limits,
            slots: HashMap::new(),
            budget: limits.memory_bytes,
            drops: Drops::default(),
            requests: 0,
            opened_ms: now_ms,
            key: Vec::with_capacity(ADDRESS_BYTES.saturating_add(CLUSTER_BYTES).saturating_add(2)),
        }
    }

    /// Counts one exchange. Never fails: what does not fit is counted as dropped.
    pub fn record(&mut self, exchange: &Exchange<'_>) {
        if exchange.upstream_address.is_empty() && exchange.cluster.is_empty() {
            add(&mut self.drops.unrouted_requests, 1);
            return;
        }
        let class = exchange.class(self.limits.long_us);
        self.key.clear();
        self.key.push(class as u8);
        self.key.extend_from_slice(exchange.upstream_address.as_bytes());
        self.key.push(0);
        self.key.extend_from_slice(exchange.cluster.as_bytes());
        if !self.slots.contains_key(self.key.as_slice()) && !self.open(exchange, class) {
            add(&mut self.drops.overflow_requests, 1);
            return;
        }
        if let Some(slot) = self.slots.get_mut(self.key.as_slice()) {
            self.requests = self.requests.saturating_add(1);
            let dropped = slot.record(exchange, &mut self.budget);
            add(&mut self.drops.dropped_times, dropped);
        }
    }

    /// Is there nothing to report?
    pub fn is_empty(&self) -> bool {
        self.requests == 0 && self.drops == Drops::default()
    }

    /// Bytes held by edges and buckets; at most [`Limits::memory_bytes`].
    pub fn bytes(&self) -> usize {
        self.limits.memory_bytes.saturating_sub(self.budget)
    }

    /// Counts a loss that happened after the cut, so that the next batch tells of it.
    pub(crate) fn count_lost(&mut self, requests: u64) {
        add(&mut self.drops.lost_requests, requests);
    }

    /// Counts a send that failed.
    pub(crate) fn count_failed_send(&mut self) {
        add(&mut self.drops.failed_sends, 1);
    }

    /// New limits, from the next request on. Edges already kept stay until the next cut.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.budget = limits.memory_bytes.saturating_sub(self.bytes());
        self.limits = limits;
    }

    /// Closes the window and opens the next. Edges without requests in it are forgotten, so that addresses of pods long gone do
    /// not fill the table.
    pub fn cut(&mut self, now_ms: u64) -> Cut {
        let mut edges: Vec<Edge> = Vec::with_capacity(self.slots.len());
        self.slots.retain(|_, slot| {
            let used = slot.requests > 0;
            if used {
                edges.push(slot.take());
            }
            used
        });
        edges.sort_by(|a, b| {
            (&a.upstream_address, &a.cluster, a.class).cmp(&(&b.upstream_address, &b.cluster, b.class))
        });
        self.settle();
        let window = Window {
            start_unix_ms: self.opened_ms,
            length_ms: now_ms.saturating_sub(self.opened_ms),
        };
        self.opened_ms = now_ms;
        Cut {
            edges,
            drops: std::mem::take(&mut self.drops),
            window,
            requests: std::mem::take(&mut self.requests),
        }
    }

    /// Counts anew what is held. Empty histograms keep their memory for the next window, unless they hold more than half of all.
    fn settle(&mut self) {
        let held = |slots: &HashMap<Box<[u8]>, Slot>| slots.values().map(Slot::bytes).fold(0, usize::saturating_add);
        let mut bytes = held(&self.slots);
        if bytes > self.limits.memory_bytes / 2 {
            self.slots.values_mut().for_each(Slot::shrink);
            bytes = held(&self.slots);
        }
        self.budget = self.limits.memory_bytes.saturating_sub(bytes);
    }

    /// Makes room for an edge not seen before; false if there is none.
    fn open(&mut self, exchange: &Exchange<'_>, class: RequestClass) -> bool {
        let (address, cluster) = (exchange.upstream_address, exchange.cluster);
        if address.len() > ADDRESS_BYTES || cluster.len() > CLUSTER_BYTES {
            return false;
        }
        // Calls to the world outside (passthrough) can have any number of addresses: they may take half of the table at most.
        let most = if cluster.starts_with(SERVICE_CLUSTER) {
            self.limits.edges
        } else {
            self.limits.edges / 2
        };
        let slot = Slot {
            address: address.into(),
            cluster: cluster.into(),
            class,
            ..Slot::default()
        };
        let Some(left) = self
            .budget
            .checked_sub(slot.bytes())
            .filter(|_| self.slots.len() < most)
        else {
            return false;
        };
        self.budget = left;
        self.slots.insert(self.key.as_slice().into(), slot);
        true
    }
}

impl Slot {
    /// Counts the exchange; gives the number of times that found no room.
    fn record(&mut self, exchange: &Exchange<'_>, budget: &mut usize) -> u64 {
        add(&mut self.requests, 1);
        add(&mut self.errors, u64::from(exchange.failed()));
        add(&mut self.retries, exchange.attempts.saturating_sub(1));
        add(&mut self.request_bytes, exchange.request_bytes);
        add(&mut self.response_bytes, exchange.response_bytes);
        let Some(times) = exchange.times() else { return 0 };
        // A call whose upstream time finds no room has none of the others either: the histograms stay comparable.
        let wanted = 1_u64
            .saturating_add(if times.split.is_some() { 2 } else { 0 })
            .saturating_add(u64::from(times.body.is_some()));
        if self.upstream.record(times.upstream, budget).is_err() {
            return wanted;
        }
        let mut dropped = 0_u64;
        match times.split {
            None => add(&mut self.missing_served, 1),
            Some(split) => {
                add(&mut self.negative_network, u64::from(split.negative));
                add(
                    &mut dropped,
                    u64::from(self.served.record(split.served, budget).is_err()),
                );
                add(
                    &mut dropped,
                    u64::from(self.network.record(split.network, budget).is_err()),
                );
            }
        }
        if let Some(body) = times.body {
            add(&mut dropped, u64::from(self.body.record(body, budget).is_err()));
        }
        dropped
    }

    fn bytes(&self) -> usize {
        let keys = self.address.len().saturating_add(self.cluster.len()).saturating_mul(2);
        self.histograms()
            .iter()
            .fold(EDGE_BYTES.saturating_add(keys), |sum, one| {
                sum.saturating_add(one.bytes())
            })
    }

    fn histograms(&self) -> [&Sparse; 4] {
        [&self.upstream, &self.served, &self.network, &self.body]
    }

    fn shrink(&mut self) {
        for histogram in [&mut self.upstream, &mut self.served, &mut self.network, &mut self.body] {
            *histogram = Sparse::default();
        }
    }

    /// The entry for the wire; leaves the slot empty.
    fn take(&mut self) -> Edge {
        let take = std::mem::take::<u64>;
        let edge = Edge {
            upstream_address: self.address.to_string(),
            cluster: self.cluster.to_string(),
            class: self.class as i32,
            requests: take(&mut self.requests),
            errors: take(&mut self.errors),
            retries: take(&mut self.retries),
            missing_served: take(&mut self.missing_served),
            negative_network: take(&mut self.negative_network),
            request_bytes: take(&mut self.request_bytes),
            response_bytes: take(&mut self.response_bytes),
            upstream: self.upstream.encode(),
            served: self.served.encode(),
            network: self.network.encode(),
            body: self.body.encode(),
        };
        for histogram in [&mut self.upstream, &mut self.served, &mut self.network, &mut self.body] {
            histogram.clear();
        }
        edge
    }
}

/// Counters stop at their end instead of wrapping.
fn add(counter: &mut u64, by: u64) {
    *counter = counter.saturating_add(by);
}
