//! Headroom: no node takes a pod if its pods' measured use would then pass a share of what it offers. The scheduler goes by requests alone;
//! tails go by use (facts/loop.md A7: waiting explodes past 80 %).

use super::{Action, Percent, Plan, PlannerConfig, RefusalReason};
use crate::cluster::{ClusterView, Node, Pod, Used};
use crate::id::NodeName;
use std::collections::BTreeSet;

/// Whether a node takes one more pod. `busy`: what its pods use; `None` where nothing tells, and then requests alone count.
pub(crate) fn keeps_headroom(
    cluster: &ClusterView,
    config: &PlannerConfig,
    node: &Node,
    busy: Option<Used>,
    pod: &Pod,
) -> Result<(), RefusalReason> {
    let Some(busy) = busy else { return Ok(()) };
    let then = busy.plus(cluster.use_of(pod));
    let offered = (node.allocatable.cpu.0, node.allocatable.memory.0);
    let parts = [("cpu", then.cpu.0, offered.0), ("memory", then.memory.0, offered.1)];
    for (resource, used, all) in parts {
        let percent = Percent(u64::try_from(u128::from(used) * 100 / u128::from(all.max(1))).unwrap_or(u64::MAX));
        if percent > config.most_use {
            return Err(RefusalReason::Headroom {
                node: node.name.clone(),
                resource: resource.to_owned(),
                percent: percent.0,
                most: config.most_use.0,
            });
        }
    }
    Ok(())
}

/// Whether it is told of a node what its pods use: of one of them at least, since one kubelet tells of all.
pub(crate) fn is_measured<'a>(cluster: &ClusterView, mut pods: impl Iterator<Item = &'a Pod>) -> bool {
    pods.any(|pod| cluster.used.contains_key(&pod.uid))
}

/// Nodes that a plan moves pods to and whose room was judged by requests alone, although other kubelets tell what pods use: theirs does not,
/// or no pod of the graph stands there yet.
pub fn judged_by_requests(plan: &Plan, cluster: &ClusterView) -> BTreeSet<NodeName> {
    if cluster.used.is_empty() {
        return BTreeSet::new();
    }
    let targets = plan.actions.iter().filter_map(|action| match action {
        Action::Move { to, .. } => Some(to),
        Action::Place { .. }
        | Action::Route { .. }
        | Action::Size { .. }
        | Action::Resize { .. }
        | Action::Withdraw { .. }
        | Action::Cell { .. }
        | Action::Merge { .. } => None,
    });
    let on = |node: &NodeName| {
        cluster
            .pods
            .values()
            .filter(|pod| pod.node.as_ref() == Some(node))
            .collect::<Vec<_>>()
    };
    targets
        .filter(|node| !is_measured(cluster, on(node).into_iter()))
        .cloned()
        .collect()
}
