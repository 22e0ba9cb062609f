//! The immutable, ordered picture all later stages read.

use crate::id::{EdgeId, NodeName, PodUid, WorkloadId};
use crate::sample::{Exchange, Locality, RequestClass};
use crate::time::{Span, Timestamp, Window};
use crate::units::Ratio;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One pair of pods of an edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairStats {
    /// The calling pod.
    pub caller: PodUid,
    /// The called pod.
    pub callee: PodUid,
    /// Where the calling pod ran.
    pub caller_node: NodeName,
    /// Where the called pod ran.
    pub callee_node: NodeName,
    /// How far apart they were.
    pub locality: Locality,
    /// What passed between them.
    pub exchange: Exchange,
}

/// One edge over the snapshot's window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeStats {
    /// Who calls whom.
    pub edge: EdgeId,
    /// All requests of the classes that count for latency (HTTP, gRPC).
    pub total: Exchange,
    /// The same, split by locality: sums to `total`.
    pub by_locality: BTreeMap<Locality, Exchange>,
    /// The same, split by pair of pods, ordered.
    pub pairs: Vec<PairStats>,
    /// Requests by class, streams among them.
    pub classes: BTreeMap<RequestClass, u64>,
    /// When the last sample came, to the end of its slot.
    pub last: Timestamp,
}

impl EdgeStats {
    /// Share of the requests that crossed no node border.
    pub fn local_share(&self) -> Ratio {
        let local = self
            .by_locality
            .iter()
            .filter(|(locality, _)| locality.is_local())
            .fold(0_u64, |sum, (_, exchange)| sum.saturating_add(exchange.requests));
        Ratio::of(local, self.total.requests)
    }
    /// All requests that stayed on their node (`true`) or left it (`false`).
    pub fn part(&self, local: bool) -> Exchange {
        let mut part = Exchange::default();
        for (locality, exchange) in &self.by_locality {
            if locality.is_local() == local {
                part.merge(exchange);
            }
        }
        part
    }
    /// Requests per second over `span`.
    pub fn rate(&self, span: Span) -> f64 {
        if span.0 == 0 {
            0.0
        } else {
            self.total.requests as f64 / span.as_secs_f64()
        }
    }
}

/// The graph over one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it was taken.
    pub at: Timestamp,
    /// What it covers.
    pub window: Window,
    /// Edges by id.
    pub edges: BTreeMap<EdgeId, EdgeStats>,
}

impl Snapshot {
    /// Edges into `workload`.
    pub fn edges_into<'a>(&'a self, workload: &'a WorkloadId) -> impl Iterator<Item = &'a EdgeStats> + 'a {
        self.edges
            .values()
            .filter(move |edge| &edge.edge.destination == workload)
    }
    /// Edges into `workload` but its calls to itself.
    pub fn edges_from_others<'a>(&'a self, workload: &'a WorkloadId) -> impl Iterator<Item = &'a EdgeStats> + 'a {
        self.edges_into(workload)
            .filter(move |edge| &edge.edge.source != workload)
    }
    /// Edges out of `workload`.
    pub fn edges_out_of<'a>(&'a self, workload: &'a WorkloadId) -> impl Iterator<Item = &'a EdgeStats> + 'a {
        self.edges.values().filter(move |edge| &edge.edge.source == workload)
    }
}
