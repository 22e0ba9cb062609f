//! Where a pod of both ends together could stand.

use super::Unmergeable;
use super::pair::Pair;
use crate::cluster::{Node, Pod, Resources, Template};
use crate::id::NodeName;
use crate::plan::board::{affinity_allows, node_allows, tolerates};
use std::collections::{BTreeMap, BTreeSet};

/// The label that names a node's processors.
const ARCHITECTURE: &str = "kubernetes.io/arch";

/// A pod like the caller's today; without one there is nothing to say.
fn model<'a>(pair: &Pair<'a>) -> Option<&'a Pod> {
    pair.pods(pair.caller).next()
}

/// Nodes that the caller's pods may come up on, cordoned ones among them: they come back.
fn possible<'a>(pair: &Pair<'a>, pod: &Pod) -> Vec<&'a Node> {
    let nodes = pair.cluster.nodes.values();
    nodes
        .filter(|node| affinity_allows(pod, node) && tolerates(pod, node))
        .collect()
}

/// A pod of the callee's template, for the scheduler's filters.
fn of_template(pod: &Pod, template: &Template) -> Pod {
    Pod {
        constraints: template.constraints.clone(),
        ..pod.clone()
    }
}

/// The callee would come up wherever the caller does: on each of these nodes it must be allowed.
pub(super) fn node_needs(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let (Some(pod), Some((_, callee))) = (model(pair), pair.templates()) else {
        return Vec::new();
    };
    let callee = of_template(pod, callee);
    let barred = possible(pair, pod).into_iter().find_map(|node| {
        let field = match (affinity_allows(&callee, node), tolerates(&callee, node)) {
            (false, _) => "spec.nodeSelector or spec.affinity.nodeAffinity",
            (true, false) => "spec.tolerations",
            (true, true) => return None,
        };
        Some((node, field))
    });
    let reason = barred.map(|(node, field)| Unmergeable::NodeNeeds {
        node: node.name.clone(),
        field: field.to_owned(),
    });
    reason.into_iter().collect()
}

/// What an image runs on is not in the cluster; but where a pod of it runs, it runs.
pub(super) fn architectures(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let Some(pod) = model(pair) else { return Vec::new() };
    let of = |node: &Node| node.labels.get(ARCHITECTURE).cloned().unwrap_or_default();
    let seen: BTreeSet<String> = pair
        .pods(pair.callee)
        .filter_map(|pod| pair.cluster.nodes.get(pod.node.as_ref()?))
        .map(of)
        .collect();
    let wanted: BTreeSet<String> = possible(pair, pod).into_iter().map(of).collect();
    wanted
        .into_iter()
        .filter(|architecture| !seen.contains(architecture))
        .map(|architecture| Unmergeable::Architecture { architecture })
        .collect()
}

/// The merged pod beside all that stands today must find a node: a rollout with surge asks for no less.
pub(super) fn no_room(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let (Some(pod), Some((_, callee))) = (model(pair), pair.templates()) else {
        return Vec::new();
    };
    let mut wanted = pod.requests.clone();
    wanted.add(&Resources {
        pods: 0,
        ..callee.requests.clone()
    });
    let mut used: BTreeMap<&NodeName, Resources> = BTreeMap::new();
    for pod in pair.cluster.pods.values() {
        if let Some(node) = &pod.node {
            used.entry(node).or_default().add(&pod.requests);
        }
    }
    let none = Resources::default();
    let mut closest: Option<(u64, &NodeName, String)> = None;
    for node in possible(pair, pod) {
        if node_allows(pod, node).is_err() {
            continue;
        }
        let used = used.get(&node.name).unwrap_or(&none);
        let Err(resource) = node.allocatable.room_for(used, &wanted) else {
            return Vec::new();
        };
        let free = node.allocatable.cpu.0.saturating_sub(used.cpu.0);
        if closest.as_ref().is_none_or(|(most, ..)| free > *most) {
            closest = Some((free, &node.name, resource));
        }
    }
    let reason = closest.map(|(_, node, resource)| Unmergeable::NoRoom {
        node: node.clone(),
        resource,
    });
    reason.into_iter().collect()
}
