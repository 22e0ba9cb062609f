//! The order of the moves: one pod at a time, each step allowed by the scheduler's filters, each prefix keeping the spread.

use super::RefusalReason;
use super::board::{Board, constraint};
use super::headroom::keeps_headroom;
use super::missed::kept_from;
use super::model::{Model, PodIx, WorkloadIx};
use super::routing::State;
use super::search::displaced;
use crate::cluster::Pod;
use crate::id::{NodeName, PodUid, WorkloadId};
use std::collections::BTreeMap;

/// What one workload's spread is held to.
#[derive(Clone, Copy, Debug)]
struct Spread {
    nodes: u64,
    zones: u64,
    most: u64,
}

/// The moves in an order that works, and the board they end on.
pub(crate) struct Sequence<'a> {
    pub(crate) moves: Vec<PodIx>,
    pub(crate) board: Board<'a>,
}

/// Orders the moves of a state. A move is possible when a pod like the one moved may be scheduled on the target *while the
/// old pod still stands* (make before break: the orphan move), and when its workload's spread afterwards is no worse than
/// today's. Workloads go in the order of `first`. Refused with the reason of the first move that can never be made.
pub(crate) fn sequence<'a>(
    model: &Model<'a>,
    start: &Board<'a>,
    state: &State,
    first: &[WorkloadIx],
) -> Result<Sequence<'a>, RefusalReason> {
    let mut waiting = moved(model, state, first);
    let held: BTreeMap<&WorkloadId, Spread> = waiting
        .iter()
        .filter_map(|pod| model.pods.get(*pod))
        .map(|pod| (&pod.pod.workload, spread_of(start, &pod.pod.workload)))
        .collect();
    let mut board = start.clone();
    let mut moves = Vec::new();
    while !waiting.is_empty() {
        let mut refused = None;
        let mut done = None;
        for (place, &pod) in waiting.iter().enumerate() {
            match step(model, &mut board, state, pod, &held) {
                Ok(()) => {
                    done = Some(place);
                    break;
                }
                Err(reason) => refused = refused.or(Some(reason)),
            }
        }
        match done {
            Some(place) => moves.push(waiting.remove(place)),
            None => return Err(refused.unwrap_or(RefusalReason::SmallGain)),
        }
    }
    check_end(model, start, &board, &moves, &held)?;
    Ok(Sequence { moves, board })
}

/// Pods that change their node, by their workload's place in `first`, then by pod.
fn moved(model: &Model<'_>, state: &State, first: &[WorkloadIx]) -> Vec<PodIx> {
    let rest = displaced(model, state);
    let order = first
        .iter()
        .copied()
        .chain(rest.into_iter().filter(|ix| !first.contains(ix)));
    let pods = order
        .filter_map(|ix| model.workload(ix))
        .flat_map(|workload| &workload.pods);
    pods.copied()
        .filter(|pod| model.pods.get(*pod).map(|model| model.home) != state.at.get(*pod))
        .collect()
}

/// The name of a pod's replacement on the board.
pub(crate) fn successor(pod: &PodUid) -> PodUid {
    PodUid::new(format!("{pod}, moved"))
}

fn step<'a>(
    model: &Model<'a>,
    board: &mut Board<'a>,
    state: &State,
    pod: PodIx,
    held: &BTreeMap<&WorkloadId, Spread>,
) -> Result<(), RefusalReason> {
    let unknown = || constraint("spec.nodeName");
    let moved = model.pods.get(pod).ok_or_else(unknown)?;
    let to = state
        .at
        .get(pod)
        .and_then(|node| model.node_name(node))
        .ok_or_else(unknown)?;
    let from = model.node_name(moved.home).ok_or_else(unknown)?;
    kept_from(model.cluster, &moved.pod.workload, to, model.at)?;
    board.allows(moved.pod, to)?;
    if let Some(target) = model.cluster.nodes.get(to) {
        keeps_headroom(
            model.cluster,
            model.config,
            target,
            board.busy(model.cluster, to),
            moved.pod,
        )?;
    }
    board.add(successor(&moved.pod.uid), moved.pod, to);
    board.remove(&moved.pod.uid, from);
    let now = spread_of(board, &moved.pod.workload);
    if let Some(held) = held.get(&moved.pod.workload)
        && (now.nodes < held.nodes || now.zones < held.zones)
    {
        board.remove(&successor(&moved.pod.uid), to);
        board.add(moved.pod.uid.clone(), moved.pod, from);
        return Err(RefusalReason::Spread {
            nodes_before: held.nodes,
            nodes_after: now.nodes,
        });
    }
    Ok(())
}

/// At the end: at most half of each moved workload's replicas, rounded up, on one node; no required affinity broken that
/// held; no hard spread further out than it was and may be.
fn check_end(
    model: &Model<'_>,
    start: &Board<'_>,
    end: &Board<'_>,
    moves: &[PodIx],
    held: &BTreeMap<&WorkloadId, Spread>,
) -> Result<(), RefusalReason> {
    for (workload, before) in held {
        let replicas = model
            .cluster
            .workloads
            .get(*workload)
            .map_or(0, |workload| workload.replicas);
        let now = spread_of(end, workload);
        if now.most > replicas.div_ceil(2) {
            return Err(RefusalReason::Spread {
                nodes_before: before.nodes,
                nodes_after: now.nodes,
            });
        }
    }
    let moved: Vec<&Pod> = moves.iter().filter_map(|pod| Some(model.pods.get(*pod)?.pod)).collect();
    if let Some(field) = end.newly_lonely(start, &moved) {
        return Err(constraint(field));
    }
    for pod in &model.spreading {
        for spread in pod.constraints.spread.iter().filter(|spread| spread.hard) {
            let touched = moved.iter().any(|moved| {
                moved.workload.namespace == pod.workload.namespace && spread.selector.matches(&moved.labels)
            });
            if touched && end.skew(pod, spread) > spread.max_skew.max(start.skew(pod, spread)) {
                return Err(constraint("spec.topologySpreadConstraints"));
            }
        }
    }
    Ok(())
}

fn spread_of(board: &Board<'_>, workload: &WorkloadId) -> Spread {
    let nodes = board.nodes_of(workload);
    Spread {
        nodes: nodes.len() as u64,
        zones: board.zones(nodes.keys().copied()),
        most: nodes.values().copied().max().unwrap_or(0),
    }
}

/// Nodes, zones and the fullest node's count of a layout given as a list of nodes.
pub(crate) fn keeps_spread(
    model: &Model<'_>,
    start: &Board<'_>,
    workload: &WorkloadId,
    layout: &[&NodeName],
) -> Result<(), RefusalReason> {
    let before = spread_of(start, workload);
    let mut counts: BTreeMap<&NodeName, u64> = BTreeMap::new();
    for node in layout {
        *counts.entry(node).or_default() += 1;
    }
    let replicas = model
        .cluster
        .workloads
        .get(workload)
        .map_or(0, |workload| workload.replicas);
    let zones = start.zones(counts.keys().copied());
    let most = counts.values().copied().max().unwrap_or(0);
    let nodes = counts.len() as u64;
    if nodes < before.nodes || zones < before.zones || most > replicas.div_ceil(2) {
        return Err(RefusalReason::Spread {
            nodes_before: before.nodes,
            nodes_after: nodes,
        });
    }
    Ok(())
}
