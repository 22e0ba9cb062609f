//! Candidate layouts of one workload: its pods shared out over the nodes that attract it.

use super::RefusalReason;
use super::board::{Usage, constraint, node_allows};
use super::headroom::keeps_headroom;
use super::missed::kept_from;
use super::model::{EdgeModel, Model, NodeIx, WorkloadIx};
use super::routing::State;
use std::collections::BTreeMap;

/// Most nodes a candidate may use beyond what spread asks for; more replicas than this share nodes.
const MOST_NODES: usize = 8;

/// Candidate layouts of a workload, and what kept it from the node that attracts it most, if anything did.
pub(crate) struct Targets {
    /// For each of the workload's pods, in its order, a node.
    pub(crate) layouts: Vec<Vec<NodeIx>>,
    pub(crate) kept_away: Option<RefusalReason>,
}

/// A node that may hold pods of the workload.
#[derive(Clone, Debug)]
struct Site {
    node: NodeIx,
    zone: usize,
    pull: f64,
    own: usize,
    room: usize,
}

/// For 1, 2, … nodes: the most attractive ones that keep today's number of zones, pods apportioned by attraction and evenly.
/// Toward one neighbour alone, only the narrowest and the widest of these, by attraction.
pub(crate) fn targets(
    model: &Model<'_>,
    usage: &Usage,
    state: &State,
    ix: WorkloadIx,
    toward: Option<WorkloadIx>,
) -> Targets {
    let mut kept_away = None;
    let Some(workload) = model.workload(ix) else {
        return Targets {
            layouts: Vec::new(),
            kept_away,
        };
    };
    let count = workload.pods.len();
    let pulls = pulls(model, state, ix, toward);
    let sites = sites(model, usage, state, ix, pulls, &mut kept_away);
    let (nodes, zones) = spread_today(model, ix);
    let most = count.div_ceil(2);
    let attractive = sites.iter().filter(|site| site.pull > 0.0).count();
    if attractive < nodes && kept_away.is_none() {
        kept_away = Some(RefusalReason::Spread {
            nodes_before: nodes as u64,
            nodes_after: attractive as u64,
        });
    }
    let mut layouts: Vec<Vec<NodeIx>> = Vec::new();
    let widest = count
        .min(sites.len())
        .min(nodes.max(attractive).min(nodes.max(MOST_NODES)));
    let bold = toward.is_none();
    for width in nodes.max(1)..=widest {
        let Some(chosen) = choose(&sites, width, zones) else {
            continue;
        };
        if !bold && width != nodes.max(1) && width != widest {
            continue;
        }
        for even in [false, true].into_iter().filter(|even| bold || !even) {
            let weight = |site: &&Site| if even { 1.0 } else { site.pull };
            let caps: Vec<usize> = chosen.iter().map(|site| site.room.min(most)).collect();
            let weights: Vec<f64> = chosen.iter().map(weight).collect();
            let Some(counts) = apportion(count, &weights, &caps) else {
                continue;
            };
            let wanted: Vec<(NodeIx, usize)> = chosen.iter().map(|site| site.node).zip(counts).collect();
            let layout = assign(model, state, ix, &wanted);
            if !layouts.contains(&layout) {
                layouts.push(layout);
            }
        }
    }
    // Back to where it stands today is always a way.
    let home: Vec<NodeIx> = model.pods_of(ix).map(|pod| pod.home).collect();
    if bold && !layouts.contains(&home) {
        layouts.push(home);
    }
    Targets { layouts, kept_away }
}

/// Nodes and zones of the workload today.
pub(crate) fn spread_today(model: &Model<'_>, ix: WorkloadIx) -> (usize, usize) {
    let mut nodes: Vec<NodeIx> = model.pods_of(ix).map(|pod| pod.home).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let mut zones: Vec<usize> = nodes.iter().map(|node| model.zone_of(*node)).collect();
    zones.sort_unstable();
    zones.dedup();
    (nodes.len(), zones.len())
}

/// How strongly each node attracts the workload: value per second that meets it there, from callers and from callees, or from
/// one neighbour alone.
pub(crate) fn pulls(model: &Model<'_>, state: &State, ix: WorkloadIx, toward: Option<WorkloadIx>) -> Vec<f64> {
    let mut pulls = vec![0.0; model.nodes.len()];
    let Some(workload) = model.workload(ix) else {
        return pulls;
    };
    let heard = |edge: &EdgeModel<'_>, other: WorkloadIx| edge.wanted > 0.0 && toward.is_none_or(|only| only == other);
    let mut pull = |pod: &usize, by: f64| {
        if let Some(slot) = state.at.get(*pod).and_then(|node| pulls.get_mut(node)) {
            *slot += by;
        }
    };
    for edge in workload.into.iter().filter_map(|edge| model.edges.get(*edge)) {
        let Some(source) = model.workload(edge.source).filter(|_| heard(edge, edge.source)) else {
            continue;
        };
        for (pod, share) in source.pods.iter().zip(&edge.shares) {
            pull(pod, edge.wanted * share);
        }
    }
    for edge in workload.out_of.iter().filter_map(|edge| model.edges.get(*edge)) {
        let callee = model
            .workload(edge.destination)
            .filter(|_| heard(edge, edge.destination));
        let Some(callee) = callee else {
            continue;
        };
        for pod in &callee.pods {
            pull(pod, edge.wanted / callee.pods.len().max(1) as f64);
        }
    }
    pulls
}

/// Nodes with room, the most attractive first.
fn sites(
    model: &Model<'_>,
    usage: &Usage,
    state: &State,
    ix: WorkloadIx,
    pulls: Vec<f64>,
    kept_away: &mut Option<RefusalReason>,
) -> Vec<Site> {
    let Some(first) = model.pods_of(ix).next() else {
        return Vec::new();
    };
    let mut own = vec![0_usize; model.nodes.len()];
    let pods = model
        .workload(ix)
        .map(|workload| workload.pods.as_slice())
        .unwrap_or_default();
    for node in pods.iter().filter_map(|pod| state.at.get(*pod)) {
        own.get_mut(node).into_iter().for_each(|own| *own += 1);
    }
    let site = |(node, pull): (NodeIx, f64)| Site {
        node,
        zone: model.zone_of(node),
        pull,
        own: own.get(node).copied().unwrap_or(0),
        room: 0,
    };
    let pulls = || pulls.iter().copied().enumerate().map(site);
    let attractive = |site: &Site| site.pull > 0.0 || site.own > 0;
    let mut near: Vec<Site> = pulls().filter(attractive).collect();
    near.sort_by(|a, b| {
        b.pull
            .total_cmp(&a.pull)
            .then(b.own.cmp(&a.own))
            .then(a.node.cmp(&b.node))
    });
    // Of the nodes that are all alike to it no candidate takes more than it has pods, in any zone.
    let mut left = vec![pods.len(); model.zones];
    let mut open = model.zones;
    let mut sites = Vec::new();
    for mut site in near.into_iter().chain(pulls().filter(|site| !attractive(site))) {
        let alike = site.pull <= 0.0 && site.own == 0;
        if alike && open == 0 {
            break;
        }
        if alike && left.get(site.zone) == Some(&0) {
            continue;
        }
        let more = room(model, usage, first.pod, site.node, pods.len());
        if let (Err(reason), true, true) = (&more, site.pull > 0.0 && site.own == 0, kept_away.is_none()) {
            *kept_away = Some(reason.clone());
        }
        site.room = site.own + more.unwrap_or(0);
        if site.room == 0 {
            continue;
        }
        if let Some(left) = left.get_mut(site.zone).filter(|_| alike) {
            *left -= 1;
            open -= usize::from(*left == 0);
        }
        sites.push(site);
    }
    sites
}

/// How many more pods like this fit on a node, or why none does.
pub(crate) fn room(
    model: &Model<'_>,
    usage: &Usage,
    pod: &crate::cluster::Pod,
    node: NodeIx,
    most: usize,
) -> Result<usize, RefusalReason> {
    let Some(target) = model.node(node) else { return Ok(0) };
    node_allows(pod, target).map_err(constraint)?;
    kept_from(model.cluster, &pod.workload, &target.name, model.at)?;
    let mut used = usage.on(node).cloned().unwrap_or_default();
    let mut busy = usage.busy(node);
    for count in 0..most {
        let room = target.allocatable.room_for(&used, &pod.requests);
        let full = |resource| RefusalReason::NoCapacity {
            node: target.name.clone(),
            resource,
        };
        let fits = room
            .map_err(full)
            .and_then(|()| keeps_headroom(model.cluster, model.config, target, busy, pod));
        match fits {
            Ok(()) => {}
            Err(reason) if count == 0 => return Err(reason),
            Err(_) => return Ok(count),
        }
        used.add(&pod.requests);
        busy = busy.map(|busy| busy.plus(model.cluster.use_of(pod)));
    }
    Ok(most)
}

/// The first `width` sites that together span at least `zones` zones: later picks are kept for zones still missing.
fn choose(sites: &[Site], width: usize, zones: usize) -> Option<Vec<&Site>> {
    let mut chosen: Vec<&Site> = Vec::new();
    let mut seen: Vec<usize> = Vec::new();
    for site in sites {
        if chosen.len() == width {
            break;
        }
        let fresh = !seen.contains(&site.zone);
        let left = width - chosen.len();
        if !fresh && zones.saturating_sub(seen.len()) >= left {
            continue;
        }
        if fresh {
            seen.push(site.zone);
        }
        chosen.push(site);
    }
    (chosen.len() == width && seen.len() >= zones).then_some(chosen)
}

/// Shares `count` pods out by weight, at least one each and at most `caps`: each next pod goes where a pod would carry most
/// (the D'Hondt rule), which keeps the load of the fullest pod least.
fn apportion(count: usize, weights: &[f64], caps: &[usize]) -> Option<Vec<usize>> {
    let mut counts: Vec<usize> = caps.iter().map(|cap| (*cap).min(1)).collect();
    if counts.contains(&0) || counts.len() > count {
        return None;
    }
    for _ in counts.len()..count {
        let (best, _) = weights
            .iter()
            .zip(&counts)
            .zip(caps)
            .enumerate()
            .filter(|(_, ((_, has), cap))| has < cap)
            .map(|(ix, ((weight, has), _))| (ix, weight / (*has + 1) as f64))
            .fold(None, |best: Option<(usize, f64)>, next| match best {
                Some(best) if best.1 >= next.1 => Some(best),
                Some(_) | None => Some(next),
            })?;
        *counts.get_mut(best)? += 1;
    }
    Some(counts)
}

/// Pods stay where they stand as far as the counts allow; the others fill what is left, those of a node's own zone first.
fn assign(model: &Model<'_>, state: &State, ix: WorkloadIx, wanted: &[(NodeIx, usize)]) -> Vec<NodeIx> {
    let pods = model
        .workload(ix)
        .map(|workload| workload.pods.as_slice())
        .unwrap_or_default();
    let mut left: BTreeMap<NodeIx, usize> = wanted.iter().copied().collect();
    let home = |pod: &usize| model.pods.get(*pod).map(|pod| pod.home);
    let mut placed: BTreeMap<usize, NodeIx> = BTreeMap::new();
    // Today's node first (no move at all), then the node of the state so far.
    for at in [&home as &dyn Fn(&usize) -> Option<NodeIx>, &|pod: &usize| {
        state.at.get(*pod)
    }] {
        for pod in pods {
            let Some(node) = at(pod).filter(|_| !placed.contains_key(pod)) else {
                continue;
            };
            if let Some(slot) = left.get_mut(&node).filter(|slot| **slot > 0) {
                *slot -= 1;
                placed.insert(*pod, node);
            }
        }
    }
    for same_zone in [true, false] {
        for pod in pods {
            if placed.contains_key(pod) {
                continue;
            }
            let zone = home(pod).map(|node| model.zone_of(node));
            let fits = |node: &NodeIx| !same_zone || Some(model.zone_of(*node)) == zone;
            if let Some((node, slot)) = left.iter_mut().find(|(node, slot)| **slot > 0 && fits(node)) {
                *slot -= 1;
                placed.insert(*pod, *node);
            }
        }
    }
    pods.iter().filter_map(|pod| placed.get(pod).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_apportioned_by_weight_within_caps() {
        assert_eq!(apportion(4, &[1.0, 1.0], &[2, 2]), Some(vec![2, 2]));
        assert_eq!(apportion(4, &[3.0, 1.0], &[4, 4]), Some(vec![3, 1]));
        assert_eq!(apportion(4, &[3.0, 1.0], &[2, 4]), Some(vec![2, 2]));
        assert_eq!(apportion(4, &[3.0, 1.0], &[2, 1]), None);
        assert_eq!(apportion(1, &[3.0, 1.0], &[2, 1]), None);
        assert_eq!(apportion(2, &[1.0, 0.0], &[1, 1]), Some(vec![1, 1]));
    }
}
