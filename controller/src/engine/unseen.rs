//! Merges over loopback: their calls stay on the graph though no proxy sees them any more.

use super::memory::recall;
use crate::act::unboxed;
use crate::watch::Cluster;
use huddle_api::{ActionKind, MergeWay, Plan, PlanStep, StepPhase};
use huddle_core::act::{MergeReceipt, MergeStage, Receipt};
use huddle_core::graph::{EdgeStats, Snapshot};
use huddle_core::id::EdgeId;
use huddle_core::time::Timestamp;
use huddle_core::units::Micros;
use huddle_core::view::served_to_others;
use std::collections::{BTreeMap, BTreeSet};

/// Edges whose calls nobody sees.
pub(super) type Inside = BTreeMap<EdgeId, Last>;

/// What was measured last of such an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    /// When.
    pub(super) at: Timestamp,
    /// The p50 of the time in which its caller served others.
    pub(super) served: Option<Micros>,
}

/// What a plan remembers from before it acted.
#[derive(Debug, Default)]
struct Memory {
    edge: Option<EdgeStats>,
    served: Option<Micros>,
}

/// What plans remember of such edges; reading it takes longer than a look may, so it is read once per plan.
#[derive(Debug, Default)]
pub(super) struct Unseen(BTreeMap<String, Memory>);

impl Unseen {
    /// Puts the calls of merges that stand on the graph.
    pub(super) fn put(&mut self, cluster: &Cluster, snapshot: &mut Snapshot) -> Inside {
        let mut inside = Inside::new();
        let mut known = BTreeSet::new();
        for plan in &cluster.plans {
            let name = plan.metadata.name.clone().unwrap_or_default();
            for receipt in receipts(plan) {
                let Some(usual) = receipt.usual else { continue };
                let edge = EdgeId {
                    source: receipt.caller,
                    destination: receipt.callee,
                };
                let before = self.0.entry(name.clone()).or_insert_with(|| remembered(plan, &edge));
                usual.put(&edge, before.edge.as_ref(), &cluster.view, snapshot);
                known.insert(name.clone());
                if snapshot.edges.contains_key(&edge) {
                    let (at, served) = (usual.at, before.served);
                    inside.insert(edge, Last { at, served });
                }
            }
        }
        self.0.retain(|name, _| known.contains(name));
        inside
    }
}

/// Of a plan, the merges over loopback whose companions are in the caller's pods: all of them, or on the way back some.
fn receipts(plan: &Plan) -> impl Iterator<Item = MergeReceipt> + '_ {
    let steps = plan.status.iter().flat_map(|status| &status.steps);
    let direct = plan
        .spec
        .actions
        .iter()
        .zip(steps)
        .filter(|(action, _)| action.kind == ActionKind::Merge && action.way == Some(MergeWay::Direct));
    direct.filter_map(|(_, step)| receipt(step))
}

fn receipt(step: &PlanStep) -> Option<MergeReceipt> {
    match step.state {
        StepPhase::Running | StepPhase::Done | StepPhase::Undoing => {}
        StepPhase::Pending | StepPhase::Undone | StepPhase::Skipped => return None,
    }
    match serde_json::from_value(step.receipt.clone()?) {
        Ok(Receipt::Merge(receipt)) => {
            let inside = matches!(receipt.stage, MergeStage::Prove | MergeStage::Lower);
            // Where another version is followed, each pod holds the one or the other.
            (inside || receipt.former.is_some()).then_some(*receipt)
        }
        Ok(_) | Err(_) => None,
    }
}

/// The edge and its caller as they were measured before the plan acted.
fn remembered(plan: &Plan, edge: &EdgeId) -> Memory {
    let before = plan.status.as_ref().and_then(|status| status.before.as_ref());
    let mut snapshot = before.and_then(|before| recall(&unboxed(&before.memory)));
    Memory {
        served: snapshot
            .as_ref()
            .and_then(|snapshot| served_to_others(&edge.source, snapshot)),
        edge: snapshot.as_mut().and_then(|snapshot| snapshot.edges.remove(edge)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::remember;
    use crate::engine::testing::{busy, cluster_of};
    use huddle_core::plan::merge::Usual;
    use huddle_core::sample::Locality;
    use serde_json::json;

    /// A merge over loopback of the snapshot's one edge, its step in this state.
    fn plan(edge: &EdgeId, usual: Usual, memory: &serde_json::Value, state: &str, stage: &str) -> Plan {
        let (caller, callee) = (json!(edge.source), json!(edge.destination));
        serde_json::from_value(json!({
            "apiVersion": "huddle.dev/v1alpha1", "kind": "Plan", "metadata": {"name": "p"},
            "spec": {"at": 1, "podsRestarted": 1, "saved": 1.0, "digest": "d",
                "actions": [{"kind": "merge", "workload": caller, "with": callee, "way": "direct"}]},
            "status": {"phase": "proved", "since": 1,
                "before": {"window": {"from": 0, "to": 1}, "memory": {"of": memory}},
                "steps": [{"state": state, "since": 1, "receipt": {"kind": "merge",
                    "companion": {"namespace": "shop", "name": "p-0"}, "caller": caller, "callee": callee, "calleeUid": "u",
                    "template": "t", "way": "direct", "usual": usual, "stage": stage, "stageSince": 1}}]},
        }))
        .unwrap()
    }

    #[test]
    fn a_merge_over_loopback_stays_on_the_graph() {
        let before = busy(1);
        let (edge, stats) = before.edges.first_key_value().unwrap();
        // The caller is called by somebody, and its own calls are not seen.
        let mut into = stats.clone();
        into.edge = EdgeId {
            source: edge.destination.clone(),
            destination: edge.source.clone(),
        };
        let (calls, answered) = (stats.total.requests, into.total.requests - into.total.errors);
        let usual = Usual {
            at: before.at,
            calls,
            others: 0,
            answered: answered * 2,
        };
        let mut now = before.clone();
        now.edges = BTreeMap::from([(into.edge.clone(), into)]);
        let memory = remember(&before, &BTreeSet::from([edge]));
        let look_at = |plan: Plan| {
            let cluster = Cluster {
                view: cluster_of(stats),
                plans: vec![plan],
                ..Cluster::default()
            };
            let mut seen = now.clone();
            let inside = Unseen::default().put(&cluster, &mut seen);
            (inside, seen)
        };
        let look = |state: &str, stage: &str| look_at(plan(edge, usual, &memory, state, stage));
        let (inside, seen) = look("done", "lower");
        let last = Last {
            at: before.at,
            served: None,
        };
        assert_eq!(inside, Inside::from([(edge.clone(), last)]));
        let found = &seen.edges[edge];
        assert_eq!(found.total.requests, calls / 2, "half the load, half the calls");
        assert_eq!(
            found.by_locality.keys().collect::<Vec<_>>(),
            [&Locality::SamePod],
            "inside the pod"
        );
        let p50 = |stats: &EdgeStats| stats.total.upstream.quantile(0.5);
        assert_eq!(p50(found), p50(stats), "as last measured");
        // Another version is followed: each pod holds the one or the other.
        let mut follows = plan(edge, usual, &memory, "running", "pods");
        let step = follows.status.as_mut().unwrap().steps.first_mut().unwrap();
        step.receipt.as_mut().unwrap()["former"] = json!({"namespace": "shop", "name": "p-0"});
        assert_eq!(look_at(follows), (inside, seen));
        for (state, stage) in [("undone", "lower"), ("running", "pods"), ("pending", "companion")] {
            let (inside, seen) = look(state, stage);
            assert!(inside.is_empty() && seen == now, "{state} {stage}");
        }
    }
}
