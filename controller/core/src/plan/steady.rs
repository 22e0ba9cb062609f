//! What the stock scheduler does later, under the rules that remain: a restart of a workload, predicted.

use super::RefusalReason;
use super::board::Board;
use super::model::Model;
use crate::cluster::{ClusterView, Node, Pod};
use crate::id::{NodeName, PodUid, WorkloadId};
use std::collections::BTreeMap;

/// Weights of kube-scheduler's default profile (1.36): InterPodAffinity 2, PodTopologySpread 2, NodeResourcesFit
/// (LeastAllocated) 1, NodeResourcesBalancedAllocation 1. Plugins that score all candidate nodes alike here are left out.
const AFFINITY: f64 = 2.0;
const SPREAD: f64 = 2.0;

/// Where the pods of `workload` come up in a rolling restart with surge 1 from the board as it stands, under the steady rule
/// "prefer nodes with a pod of `with` (weight 100), spread over nodes, ScheduleAnyway, skew 1". Ties go to the first name;
/// the scheduler draws lots. The rule's spread counts pods of the new generation only (facts/moves.md 3).
pub(crate) fn predict<'a>(
    model: &Model<'a>,
    board: &Board<'a>,
    workload: &WorkloadId,
    with: &WorkloadId,
    old: &[(PodUid, &'a Pod, &'a NodeName)],
) -> Result<Vec<&'a NodeName>, RefusalReason> {
    let mut board = board.clone();
    let mut fresh: Vec<&NodeName> = Vec::new();
    for (count, (name, pod, at)) in old.iter().enumerate() {
        let near = board.nodes_of(with);
        let node = best_node(model.cluster, &board, pod, &near, &fresh)?;
        board.add(PodUid::new(format!("{workload}, restarted {count}")), pod, node);
        board.remove(name, at);
        fresh.push(node);
    }
    Ok(fresh)
}

/// The node on which a pod comes up: of those that the filters allow the one with the best score, the first name of equals.
/// Refused with the first reason where no node is allowed.
pub(crate) fn best_node<'a>(
    cluster: &'a ClusterView,
    board: &Board<'a>,
    pod: &Pod,
    near: &BTreeMap<&NodeName, u64>,
    fresh: &[&NodeName],
) -> Result<&'a NodeName, RefusalReason> {
    let mut refused = None;
    let mut feasible: Vec<&'a Node> = Vec::new();
    for node in cluster.nodes.values() {
        match board.allows(pod, &node.name) {
            Ok(()) => feasible.push(node),
            Err(reason) => refused = refused.or(Some(reason)),
        }
    }
    let scores = scores(board, pod, &feasible, near, fresh);
    let best = feasible
        .iter()
        .zip(scores)
        .fold(None, |best: Option<(&&Node, f64)>, next| match best {
            Some(best) if best.1 >= next.1 => Some(best),
            Some(_) | None => Some(next),
        });
    match best {
        Some((node, _)) => Ok(&node.name),
        None => Err(refused.unwrap_or(RefusalReason::NotMovable)),
    }
}

/// The scheduler's score of each feasible node.
fn scores(
    board: &Board<'_>,
    pod: &Pod,
    feasible: &[&Node],
    near: &BTreeMap<&NodeName, u64>,
    fresh: &[&NodeName],
) -> Vec<f64> {
    let affinity: Vec<f64> = feasible
        .iter()
        .map(|node| 100.0 * near.get(&node.name).copied().unwrap_or(0) as f64)
        .collect();
    // PodTopologySpread weighs a domain's count by ln(domains + 2).
    let weight = (feasible.len() as f64 + 2.0).ln();
    let spread: Vec<f64> = feasible
        .iter()
        .map(|node| fresh.iter().filter(|at| **at == &node.name).count() as f64 * weight)
        .collect();
    let (least, most) = span(&affinity);
    let (fewest, fullest) = span(&spread);
    feasible
        .iter()
        .zip(affinity.iter().zip(&spread))
        .map(|(node, (affinity, spread))| {
            let near = if most > least {
                100.0 * (affinity - least) / (most - least)
            } else {
                0.0
            };
            let even = if fullest > 0.0 {
                100.0 * (fullest + fewest - spread) / fullest
            } else {
                100.0
            };
            AFFINITY * near + SPREAD * even + resources(board, pod, node)
        })
        .collect()
}

/// LeastAllocated + BalancedAllocation over cpu and memory, each 0–100.
fn resources(board: &Board<'_>, pod: &Pod, node: &Node) -> f64 {
    let used = board.used(&node.name).cloned().unwrap_or_default();
    let share = |used: u64, more: u64, all: u64| {
        if all == 0 {
            1.0
        } else {
            ((used + more) as f64 / all as f64).min(1.0)
        }
    };
    let cpu = share(used.cpu.0, pod.requests.cpu.0, node.allocatable.cpu.0);
    let memory = share(used.memory.0, pod.requests.memory.0, node.allocatable.memory.0);
    100.0 * (1.0 - (cpu + memory) / 2.0) + 100.0 * (1.0 - (cpu - memory).abs() / 2.0)
}

fn span(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, 0.0), |(least, most), value| {
        (least.min(*value), most.max(*value))
    })
}
