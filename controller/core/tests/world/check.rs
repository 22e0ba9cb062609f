//! An independent reading of what a plan may not break: it shares no code with the planner, and checks after every move.

use huddle_core::cluster::*;
use huddle_core::id::*;
use huddle_core::plan::{Action, PlaceForm, Plan};
use std::collections::{BTreeMap, BTreeSet};

fn nodes_of(cluster: &ClusterView, workload: &WorkloadId) -> Vec<NodeName> {
    cluster.pods_of(workload).filter_map(|pod| pod.node.clone()).collect()
}

fn zones(cluster: &ClusterView, nodes: &[NodeName]) -> usize {
    nodes
        .iter()
        .map(|node| &cluster.nodes[node].zone)
        .collect::<BTreeSet<_>>()
        .len()
}

fn distinct(nodes: &[NodeName]) -> usize {
    nodes.iter().collect::<BTreeSet<_>>().len()
}

/// May this pod be scheduled there, with all others where they are?
pub fn admits(cluster: &ClusterView, pod: &Pod, node: &Node) -> Result<(), String> {
    let fail = |what: &str| Err(format!("{} to {}: {what}", pod.name, node.name));
    let has = |key: &str, value: &str| node.labels.get(key).is_some_and(|have| have == value);
    if !node.schedulable || !pod.constraints.node_selector.iter().all(|(k, v)| has(k, v)) {
        return fail("selector or cordon");
    }
    for taint in &node.taints {
        let tolerated = pod
            .constraints
            .tolerations
            .iter()
            .any(|t| t.key.as_deref() == Some(&taint.key));
        if taint.effect != TaintEffect::PreferNoSchedule && !tolerated {
            return fail("taint");
        }
    }
    let there: Vec<&Pod> = cluster
        .pods
        .values()
        .filter(|other| other.node.as_ref() == Some(&node.name))
        .collect();
    let cpu: u64 = there.iter().map(|other| other.requests.cpu.0).sum();
    let memory: u64 = there.iter().map(|other| other.requests.memory.0).sum();
    if cpu + pod.requests.cpu.0 > node.allocatable.cpu.0 || memory + pod.requests.memory.0 > node.allocatable.memory.0 {
        return fail("room");
    }
    let domain = |name: &NodeName, key: &str| cluster.nodes[name].labels.get(key).cloned();
    let near = |other: &Pod, key: &str| domain(other.node.as_ref().unwrap(), key) == node.labels.get(key).cloned();
    let same = |term: &PodTerm, a: &Pod| term.selector.labels.iter().all(|(k, v)| a.labels.get(k) == Some(v));
    for other in cluster.pods.values().filter(|other| other.node.is_some()) {
        let against = |a: &Pod, b: &Pod| {
            a.constraints
                .anti_affinity
                .iter()
                .any(|term| same(term, b) && near(other, &term.topology_key))
        };
        if against(pod, other) || against(other, pod) {
            return fail("anti-affinity");
        }
    }
    for spread in pod.constraints.spread.iter().filter(|spread| spread.hard) {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for candidate in cluster.nodes.values() {
            if pod
                .constraints
                .node_selector
                .iter()
                .all(|(k, v)| candidate.labels.get(k) == Some(v))
            {
                counts
                    .entry(candidate.labels[&spread.topology_key].clone())
                    .or_default();
            }
        }
        for other in cluster
            .pods
            .values()
            .filter(|other| spread.selector.matches(&other.labels))
        {
            if let Some(count) = counts.get_mut(&domain(other.node.as_ref().unwrap(), &spread.topology_key).unwrap()) {
                *count += 1;
            }
        }
        let least = *counts.values().min().unwrap();
        if counts[&node.labels[&spread.topology_key]] + 1 > least + spread.max_skew {
            return fail("hard spread");
        }
    }
    Ok(())
}

/// Whether what the pods on a node use, with this one, stays within four fifths of it; nothing is asked where nothing tells.
fn has_headroom(cluster: &ClusterView, pod: &Pod, node: &Node) -> Result<(), String> {
    let there: Vec<&Pod> = cluster
        .pods
        .values()
        .filter(|other| other.node.as_ref() == Some(&node.name))
        .collect();
    if !there.iter().any(|other| cluster.used.contains_key(&other.uid)) {
        return Ok(());
    }
    let of = |pod: &Pod| match cluster.used.get(&pod.uid) {
        Some(used) => (used.cpu.0, used.memory.0),
        None => (pod.requests.cpu.0, pod.requests.memory.0),
    };
    let all = there.into_iter().chain([pod]).map(of);
    let (cpu, memory) = all.fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
    // Whole percents, rounded down.
    if cpu * 100 / node.allocatable.cpu.0 > 80 || memory * 100 / node.allocatable.memory.0 > 80 {
        return Err(format!("{} to {}: headroom", pod.name, node.name));
    }
    Ok(())
}

/// Every move is possible when its turn comes, and no workload is ever spread worse than it was.
pub fn check(cluster: &ClusterView, plan: &Plan) -> Result<(), String> {
    let mut now = cluster.clone();
    let mut moved = BTreeSet::new();
    let mut phase = 0;
    for action in &plan.actions {
        let this = match action {
            Action::Cell { .. } => 0,
            Action::Move { .. } => 1,
            Action::Place { .. } => 2,
            Action::Route { .. } => 3,
            Action::Size { .. } | Action::Resize { .. } | Action::Withdraw { .. } | Action::Merge { .. } => {
                return Err("a plan that moves gives no cpu".to_owned());
            }
        };
        if this < phase {
            return Err("actions out of order".to_owned());
        }
        phase = this;
        let Action::Move {
            workload,
            pod,
            from,
            to,
            ..
        } = action
        else {
            continue;
        };
        let old = now.pods.get(pod).ok_or("moves a pod twice, or none")?.clone();
        if old.node.as_ref() != Some(from) || from == to || &old.workload != workload {
            return Err(format!("{} is not what the plan says", old.name));
        }
        admits(&now, &old, &now.nodes[to])?;
        has_headroom(&now, &old, &now.nodes[to])?;
        let used = now.used.remove(&old.uid);
        let mut new = old;
        new.uid = format!("{pod}+").as_str().into();
        new.node = Some(to.clone());
        now.pods.remove(pod);
        now.used.extend(used.map(|used| (new.uid.clone(), used)));
        now.pods.insert(new.uid.clone(), new);
        let (was, is) = (nodes_of(cluster, workload), nodes_of(&now, workload));
        if distinct(&is) < distinct(&was) || zones(cluster, &is) < zones(cluster, &was) {
            return Err(format!("{workload} lost spread: {was:?} to {is:?}"));
        }
        moved.insert(workload.clone());
    }
    for workload in &moved {
        let nodes = nodes_of(&now, workload);
        let most = nodes
            .iter()
            .map(|node| nodes.iter().filter(|other| *other == node).count())
            .max()
            .unwrap();
        if most > nodes.len().div_ceil(2) {
            return Err(format!("{workload}: {most} of {} on one node", nodes.len()));
        }
    }
    for action in &plan.actions {
        let Action::Cell { workload, with, seats } = action else {
            continue;
        };
        let of = |id: &WorkloadId| -> BTreeSet<NodeName> { nodes_of(&now, id).into_iter().collect() };
        let cell: BTreeSet<NodeName> = seats.iter().map(|seat| seat.node.clone()).collect();
        if cell != of(workload) || seats.len() != cell.len() {
            return Err(format!("the cell of {workload} is not where its pods end"));
        }
        if cell.is_disjoint(&of(with)) {
            return Err(format!("the cell of {workload} has nothing of {with}"));
        }
    }
    let restarts = plan.actions.iter().map(|action| match action {
        Action::Move { .. } => 1,
        // A template restarts all of its pods.
        Action::Place {
            workload,
            form: PlaceForm::Template,
            ..
        } => cluster.workloads[workload].replicas,
        Action::Place { .. }
        | Action::Route { .. }
        | Action::Size { .. }
        | Action::Resize { .. }
        | Action::Withdraw { .. }
        | Action::Cell { .. }
        | Action::Merge { .. } => 0,
    });
    if plan.pods_restarted != restarts.sum::<u64>() {
        return Err("restarts miscounted".to_owned());
    }
    Ok(())
}
