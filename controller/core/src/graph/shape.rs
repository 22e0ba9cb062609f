//! The shape of a snapshot: who starts the calls, in which layers they run, where they turn in circles.

use super::Snapshot;
use crate::id::WorkloadId;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::{BTreeMap, BTreeSet};

/// Workloads and the calls between them; edge weights are requests in the snapshot's window.
#[derive(Clone, Debug)]
pub struct WorkloadGraph {
    graph: DiGraph<WorkloadId, u64>,
}

impl WorkloadGraph {
    /// The graph of a snapshot. Node order is the workloads' order, so that equal snapshots give equal graphs.
    pub fn of(snapshot: &Snapshot) -> Self {
        Self::from_edges(
            snapshot
                .edges
                .iter()
                .map(|(edge, stats)| (&edge.source, &edge.destination, stats.total.requests)),
        )
    }

    /// The graph of a list of calls.
    pub fn from_edges<'a>(edges: impl Iterator<Item = (&'a WorkloadId, &'a WorkloadId, u64)>) -> Self {
        let edges: Vec<_> = edges.collect();
        let names: BTreeSet<&WorkloadId> = edges.iter().flat_map(|(from, to, _)| [*from, *to]).collect();
        let mut graph = DiGraph::with_capacity(names.len(), edges.len());
        let nodes: BTreeMap<&WorkloadId, NodeIndex> = names
            .into_iter()
            .map(|name| (name, graph.add_node(name.clone())))
            .collect();
        for (from, to, requests) in edges {
            if let (Some(&from), Some(&to)) = (nodes.get(from), nodes.get(to)) {
                graph.update_edge(from, to, requests);
            }
        }
        Self { graph }
    }

    /// Entry points: workloads that call and that nobody measured calls (a call to oneself does not count). Their calls are
    /// where people feel a change.
    pub fn entries(&self) -> Vec<WorkloadId> {
        let mut entries: Vec<WorkloadId> = self
            .graph
            .node_indices()
            .filter(|&node| {
                let mut callers = self.graph.neighbors_directed(node, petgraph::Direction::Incoming);
                callers.all(|caller| caller == node) && self.graph.neighbors(node).any(|callee| callee != node)
            })
            .filter_map(|node| self.graph.node_weight(node).cloned())
            .collect();
        entries.sort();
        entries
    }

    /// Groups of workloads that call one another in a circle, each sorted, the groups sorted; a self-call is a circle of one.
    pub fn cycles(&self) -> Vec<Vec<WorkloadId>> {
        let mut cycles: Vec<Vec<WorkloadId>> = tarjan_scc(&self.graph)
            .into_iter()
            .filter(|group| group.len() > 1 || group.iter().any(|&node| self.graph.contains_edge(node, node)))
            .map(|group| self.named(&group))
            .collect();
        cycles.sort();
        cycles
    }

    /// Groups in calling order: callers before callees; the members of a circle stand together.
    pub fn order(&self) -> Vec<Vec<WorkloadId>> {
        // Tarjan gives callees first.
        tarjan_scc(&self.graph)
            .into_iter()
            .rev()
            .map(|group| self.named(&group))
            .collect()
    }

    /// Layer of each workload: 0 for those nobody calls, else one more than the deepest of its callers outside its own
    /// circle (longest path over the condensed graph).
    pub fn layers(&self) -> BTreeMap<WorkloadId, usize> {
        let mut layer: BTreeMap<NodeIndex, usize> = BTreeMap::new();
        for group in tarjan_scc(&self.graph).into_iter().rev() {
            let depth = group
                .iter()
                .flat_map(|&node| self.graph.neighbors_directed(node, petgraph::Direction::Incoming))
                .filter(|caller| !group.contains(caller))
                .filter_map(|caller| layer.get(&caller).map(|depth| depth + 1))
                .max()
                .unwrap_or(0);
            layer.extend(group.into_iter().map(|node| (node, depth)));
        }
        layer
            .into_iter()
            .filter_map(|(node, depth)| Some((self.graph.node_weight(node)?.clone(), depth)))
            .collect()
    }

    fn named(&self, group: &[NodeIndex]) -> Vec<WorkloadId> {
        let mut names: Vec<WorkloadId> = group
            .iter()
            .filter_map(|&node| self.graph.node_weight(node).cloned())
            .collect();
        names.sort();
        names
    }
}
