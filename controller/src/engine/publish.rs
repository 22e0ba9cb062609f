//! The decision state as people see it.

use super::unseen::Inside;
use crate::watch::Cluster;
use huddle_core::diagnose::{Cause, DiagnoseConfig, Finding};
use huddle_core::graph::{Snapshot, Totals, TrafficGraph};
use huddle_core::id::{EdgeId, Namespace, PodUid, WorkloadId};
use huddle_core::plan::merge::{Adviser, uses};
use huddle_core::time::Timestamp;
use huddle_core::usage::Usage;
use huddle_core::view::{
    BlindView, ClusterSummary, EdgeView, InsideView, MergeView, NodeView, PlanView, PodView, SilentView, State,
    StepView, TotalView, WorkloadView, containers,
};
use std::collections::{BTreeMap, BTreeSet};

/// What goes into a [`State`] besides the snapshot.
pub(super) struct Parts<'a> {
    pub(super) at: Timestamp,
    pub(super) name: &'a str,
    pub(super) cluster: &'a Cluster,
    pub(super) heard: &'a BTreeMap<PodUid, Timestamp>,
    pub(super) findings: &'a [Finding],
    pub(super) inside: &'a Inside,
    pub(super) diagnose: &'a DiagnoseConfig,
    pub(super) silent: Vec<SilentView>,
    pub(super) blind: Vec<BlindView>,
    pub(super) usage: &'a Usage,
    pub(super) plans: Vec<PlanView>,
    pub(super) totals: Vec<TotalView>,
    pub(super) unrelieved: Vec<StepView>,
}

/// Exact counts since the start, by edge.
pub(super) fn totals(graph: &TrafficGraph) -> Vec<TotalView> {
    let view = |(edge, totals): (&EdgeId, &Totals)| TotalView {
        source: edge.source.to_string(),
        destination: edge.destination.to_string(),
        requests: totals.requests,
        errors: totals.errors,
    };
    graph.totals().map(view).collect()
}

pub(super) fn state(snapshot: &Snapshot, parts: Parts<'_>) -> State {
    let view = &parts.cluster.view;
    let findings: BTreeMap<&EdgeId, &Finding> = parts.findings.iter().map(|finding| (&finding.edge, finding)).collect();
    let span = snapshot.window.span();
    let mut merges = merges(snapshot, &parts);
    State {
        at: parts.at.0,
        window_ms: span.0,
        cluster: ClusterSummary {
            name: parts.name.to_owned(),
            nodes: view
                .nodes
                .values()
                .map(|node| NodeView {
                    name: node.name.to_string(),
                    zone: node.zone.to_string(),
                    ready: node.schedulable,
                })
                .collect(),
        },
        workloads: workloads(snapshot, &parts),
        edges: snapshot
            .edges
            .values()
            .map(|edge| EdgeView {
                merge: merges.remove(&edge.edge),
                inside: InsideView::new(edge, view).map(|inside| match parts.inside.get(&edge.edge) {
                    Some(last) => inside.not_seen(&edge.edge, last.at, last.served, snapshot),
                    None => inside,
                }),
                ..EdgeView::new(edge, span, findings.get(&edge.edge).copied())
            })
            .collect(),
        totals: parts.totals,
        plans: parts.plans,
        silent: parts.silent,
        blind: parts.blind,
        unrelieved: parts.unrelieved,
    }
}

/// Most edges for which advice on merging is worked out at once, the costliest first: it is made with each state.
const MERGES: usize = 20;

/// Advice on merging for what diagnose calls chatter.
fn merges<'a>(snapshot: &'a Snapshot, parts: &Parts<'a>) -> BTreeMap<&'a EdgeId, MergeView> {
    let chatter = |finding: &&Finding| matches!(finding.cause, Cause::Chatter { .. });
    let chatter: Vec<&Finding> = parts.findings.iter().filter(chatter).take(MERGES).collect();
    if chatter.is_empty() {
        return BTreeMap::new();
    }
    let uses = uses(parts.usage, &parts.cluster.view);
    let adviser = Adviser {
        cluster: &parts.cluster.view,
        snapshot,
        uses: &uses,
        config: parts.diagnose,
    };
    let view = |finding: &'a Finding| {
        let advice = adviser.advise(&finding.edge, std::slice::from_ref(finding));
        (&finding.edge, MergeView::from(&advice))
    };
    chatter.into_iter().map(view).collect()
}

/// Workloads that have the filter, or an end of an edge: the rest of the cluster is not on the graph.
fn workloads(snapshot: &Snapshot, parts: &Parts<'_>) -> Vec<WorkloadView> {
    let view = &parts.cluster.view;
    let ends: BTreeSet<&WorkloadId> = snapshot
        .edges
        .keys()
        .flat_map(|edge| [&edge.source, &edge.destination])
        .collect();
    let filtered = |namespace: &Namespace| {
        parts
            .cluster
            .namespaces
            .get(namespace)
            .is_some_and(|coverage| coverage.filtered)
    };
    let mut pods: BTreeMap<&WorkloadId, Vec<PodView>> = BTreeMap::new();
    for pod in view.pods.values() {
        let node = pod.node.as_ref();
        let zone = node
            .and_then(|node| view.nodes.get(node))
            .map(|node| node.zone.to_string());
        pods.entry(&pod.workload).or_default().push(PodView {
            name: pod.name.clone(),
            node: node.map(ToString::to_string).unwrap_or_default(),
            zone: zone.unwrap_or_default(),
            ready: pod.ready && !pod.deleting,
            reporting: parts.heard.contains_key(&pod.uid),
        });
    }
    let mut used = containers(parts.usage, view);
    let known = view
        .workloads
        .values()
        .filter(|workload| ends.contains(&workload.id) || filtered(&workload.id.namespace))
        .map(|workload| (&workload.id, workload.replicas, workload.ready));
    // An edge outlives its workload by one window.
    let gone = ends
        .iter()
        .filter(|id| !view.workloads.contains_key(**id))
        .map(|id| (*id, 0, 0));
    let mut all: Vec<WorkloadView> = known
        .chain(gone)
        .map(|(id, replicas, ready)| {
            let mut pods = pods.remove(id).unwrap_or_default();
            pods.sort_by(|a, b| a.name.cmp(&b.name));
            WorkloadView {
                id: id.to_string(),
                namespace: id.namespace.to_string(),
                kind: id.kind.as_str().to_owned(),
                name: id.name.clone(),
                replicas,
                ready,
                pods,
                containers: used.remove(id).unwrap_or_default(),
            }
        })
        .collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}
