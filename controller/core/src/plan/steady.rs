//! What the stock scheduler does later, under the rules that remain: a restart of a workload, predicted.

use super::board::Board;
use super::filter::Filter;
use super::model::Model;
use super::{RefusalReason, Seat};
use crate::cluster::{ClusterView, Node, Pod, Resources};
use crate::id::{NodeName, PodUid, WorkloadId};
use std::collections::BTreeMap;

/// Of up to so many nodes kube-scheduler scores every one that fits, of more a sample (`minFeasibleNodesToFind`; 42 % of 1 000 nodes,
/// 10 % of 5 000).
pub const ALL_SCORED: usize = 100;

/// Weights of kube-scheduler's default profile (1.36): InterPodAffinity 2, PodTopologySpread 2, NodeResourcesFit
/// (LeastAllocated) 1, NodeResourcesBalancedAllocation 1. Plugins that score all candidate nodes alike here are left out.
const AFFINITY: f64 = 2.0;
const SPREAD: f64 = 2.0;

/// A workload's steady rule.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Steady<'s> {
    /// Prefer nodes with a pod of this workload (weight 100), spread over nodes, ScheduleAnyway, skew 1.
    Beside(&'s WorkloadId),
    /// Prefer the nodes of a cell by weight, spread over them alone.
    Cell(&'s [Seat]),
}

/// What the rule comes to for the next pod.
pub(crate) enum Wish<'w> {
    /// Nodes with pods of a neighbour, the more of them the better.
    Near(BTreeMap<&'w NodeName, u64>),
    /// The nodes of a cell with their weights.
    Cell(BTreeMap<&'w NodeName, u32>),
}

impl Wish<'_> {
    /// For nothing.
    pub(crate) fn none() -> Self {
        Self::Near(BTreeMap::new())
    }
}

/// Where the pods of `workload` come up in a rolling restart with surge 1 from the board as it stands, under its steady rule. Ties go
/// to the first name; the scheduler draws lots. The rule's spread counts pods of the new generation only (facts/moves.md 3). All nodes
/// are scored, also of more than [`ALL_SCORED`].
pub(crate) fn predict<'a>(
    model: &Model<'a>,
    board: &Board<'a>,
    workload: &WorkloadId,
    rule: Steady<'_>,
    old: &[(PodUid, &'a Pod, &'a NodeName)],
) -> Result<Vec<&'a NodeName>, RefusalReason> {
    let mut board = board.clone();
    let mut fresh: Vec<&NodeName> = Vec::new();
    for (count, (name, pod, at)) in old.iter().enumerate() {
        let wish = match rule {
            Steady::Beside(with) => Wish::Near(board.nodes_of(with)),
            Steady::Cell(seats) => Wish::Cell(seats.iter().map(|seat| (&seat.node, seat.weight.get())).collect()),
        };
        let node = best_node(model.cluster, &board, pod, &wish, &fresh)?;
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
    wish: &Wish<'_>,
    fresh: &[&NodeName],
) -> Result<&'a NodeName, RefusalReason> {
    let mut refused = None;
    let mut feasible: Vec<&'a Node> = Vec::new();
    let filter = Filter::of(board, pod);
    for node in cluster.nodes.values() {
        match filter.admits(node) {
            Ok(()) => feasible.push(node),
            Err(reason) => refused = refused.or(Some(reason)),
        }
    }
    let scores = scores(board, pod, &feasible, wish, fresh);
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
fn scores(board: &Board<'_>, pod: &Pod, feasible: &[&Node], wish: &Wish<'_>, fresh: &[&NodeName]) -> Vec<f64> {
    let wishes = match wish {
        Wish::Near(near) => from_least(
            feasible
                .iter()
                .map(|node| near.get(&node.name).copied().unwrap_or(0) as f64),
        ),
        Wish::Cell(weights) => of_most(feasible.iter().map(|node| f64::from(weight(weights, node)))),
    };
    // A cell's spread has its nodes as its domains, and leaves all others out (kube-scheduler gives them nothing).
    let counts = |node: &Node| match wish {
        Wish::Near(_) => true,
        Wish::Cell(weights) => weight(weights, node) > 0,
    };
    // PodTopologySpread weighs a domain's count by ln(domains + 2).
    let domains = feasible.iter().filter(|node| counts(node)).count();
    let factor = (domains as f64 + 2.0).ln();
    let spread: Vec<Option<f64>> = feasible
        .iter()
        .map(|node| {
            let own = fresh.iter().filter(|at| **at == &node.name).count() as f64;
            counts(node).then_some(own * factor)
        })
        .collect();
    let (fewest, fullest) = span(spread.iter().flatten().copied());
    let even = |count: f64| {
        if fullest > 0.0 {
            100.0 * (fullest + fewest - count) / fullest
        } else {
            100.0
        }
    };
    feasible
        .iter()
        .zip(wishes.into_iter().zip(spread))
        .map(|(node, (wish, count))| AFFINITY * wish + SPREAD * count.map_or(0.0, even) + resources(board, pod, node))
        .collect()
}

fn weight(weights: &BTreeMap<&NodeName, u32>, node: &Node) -> u32 {
    weights.get(&node.name).copied().unwrap_or(0)
}

/// InterPodAffinity's scale: the least gets 0, the most 100.
fn from_least(wishes: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let (least, most) = span(wishes.clone());
    let scale = |wish: f64| match most > least {
        true => 100.0 * (wish - least) / (most - least),
        false => 0.0,
    };
    wishes.map(scale).collect()
}

/// NodeAffinity's scale: the most gets 100.
fn of_most(wishes: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let (_, most) = span(wishes.clone());
    let scale = |wish: f64| match most > 0.0 {
        true => 100.0 * wish / most,
        false => 0.0,
    };
    wishes.map(scale).collect()
}

fn resources(board: &Board<'_>, pod: &Pod, node: &Node) -> f64 {
    let used = board.used(&node.name).cloned().unwrap_or_default();
    room(&used, &pod.requests, node)
}

/// LeastAllocated + BalancedAllocation over cpu and memory, each 0–100, of a node with so much on it and so much more.
pub(crate) fn room(used: &Resources, more: &Resources, node: &Node) -> f64 {
    let share = |used: u64, more: u64, all: u64| {
        if all == 0 {
            1.0
        } else {
            ((used + more) as f64 / all as f64).min(1.0)
        }
    };
    let cpu = share(used.cpu.0, more.cpu.0, node.allocatable.cpu.0);
    let memory = share(used.memory.0, more.memory.0, node.allocatable.memory.0);
    100.0 * (1.0 - (cpu + memory) / 2.0) + 100.0 * (1.0 - (cpu - memory).abs() / 2.0)
}

fn span(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(least, most), value| {
        (least.min(value), most.max(value))
    })
}
