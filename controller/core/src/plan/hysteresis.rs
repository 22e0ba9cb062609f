//! Whether a proposal that people look at, or are about to approve, stands although a newer one exists.

use super::{Action, Plan};
use crate::cluster::ClusterView;

/// A newer plan must save this many times as much as the older (facts/loop.md B5, step 5: 10 %).
const BETTER: f64 = 1.1;
/// A newer plan that saves less than this part of the older says that what the older promised is no longer there to be had.
const FADED: f64 = 0.5;

/// Whether `old` stays: it can still be carried out as written (its pods are where it says, its Services routed as it says, its
/// moved workloads neither rolling nor under a rule of a plan under way), and `new` saves neither a tenth more nor less than half. Measurements
/// waver; a proposal that wavered with them could not be read, let alone approved.
pub fn stands(old: &Plan, new: &Plan, cluster: &ClusterView) -> bool {
    !old.actions.is_empty()
        && old.actions.iter().all(|action| possible(action, cluster))
        && new.saved < old.saved * BETTER
        && new.saved >= old.saved * FADED
}

fn possible(action: &Action, cluster: &ClusterView) -> bool {
    let free = |id| {
        let workload = cluster.workloads.get(id);
        workload.is_some_and(|workload| !workload.rolling && !workload.opted_out)
            && !cluster.ruled.get(id).is_some_and(|rule| rule.open)
    };
    match action {
        Action::Place { workload, with, .. } => free(workload) && cluster.workloads.contains_key(with),
        Action::Move {
            workload,
            pod,
            from,
            to,
            ..
        } => {
            let there = cluster
                .pods
                .get(pod)
                .is_some_and(|pod| pod.node.as_ref() == Some(from) && !pod.deleting);
            free(workload) && there && cluster.nodes.get(to).is_some_and(|node| node.schedulable)
        }
        Action::Route { service, from, .. } => {
            let service = cluster.services.get(service);
            service.is_some_and(|service| service.routing == *from && service.overridden_by.is_none())
        }
    }
}
