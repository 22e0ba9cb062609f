//! Whether a merge that stands is still what it was made for.

use crate::cluster::{ClusterView, Workload};
use crate::diagnose::ChatterConfig;
use crate::graph::Snapshot;
use crate::id::{EdgeId, WorkloadId};
use crate::plan::{Faded, Use};
use crate::time::Span;

/// What one look says of a merge that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether the load is there that justified it.
    pub of_use: Use,
    /// Whom the callee calls by itself: inside its caller's pods such calls carry the caller's identity.
    pub calls: Option<WorkloadId>,
    /// How long its load must have been gone before it is split.
    pub patience: Span,
}

/// Looks at the merge of an edge. Half as many calls per pod as chatter asks for are too few (facts/loop.md A6: what was done at 1.0 × a
/// threshold is undone below 0.5 ×). Calls inside the pod are on the graph like any others.
pub fn standing(edge: &EdgeId, snapshot: &Snapshot, cluster: &ClusterView, config: &ChatterConfig) -> Standing {
    let mut out = snapshot.edges_out_of(&edge.destination);
    Standing {
        of_use: of_use(edge, snapshot, cluster, config),
        calls: out
            .find(|stats| stats.edge.destination != edge.destination)
            .map(|stats| stats.edge.destination.clone()),
        patience: cluster.policy(&edge.source.namespace).faded_after,
    }
}

fn of_use(edge: &EdgeId, snapshot: &Snapshot, cluster: &ClusterView, config: &ChatterConfig) -> Use {
    let unsettled =
        |workload: &Workload| workload.rolling || workload.ready < workload.replicas || workload.replicas == 0;
    let ends = [&edge.source, &edge.destination];
    // Whose workload is gone has its merge taken apart for that.
    let known = ends.iter().filter_map(|id| cluster.workloads.get(*id));
    if known.filter(|workload| !unsettled(workload)).count() < ends.len() {
        return Use::Unknown;
    }
    let touched = |id: &WorkloadId| {
        let mut edges = snapshot.edges.keys();
        edges.any(|edge| edge.source == *id || edge.destination == *id)
    };
    if !ends.iter().any(|id| touched(id)) {
        return Use::Unknown;
    }
    let rate = snapshot
        .edges
        .get(edge)
        .map_or(0.0, |stats| stats.rate(snapshot.window.span()));
    let pods = cluster.pods_of(&edge.source).count().max(1) as f64;
    match rate / pods < config.rate_per_pod / 2.0 {
        true => Use::Gone(Faded::NotCalled),
        false => Use::Of,
    }
}
