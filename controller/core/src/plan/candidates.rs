//! The candidates of the search, from the cheapest to the boldest: one workload moves; one moves and its neighbours follow;
//! others make room for it.

use super::RefusalReason;
use super::board::Usage;
use super::model::{EdgeIx, NodeIx, PodIx, PodModel, WorkloadIx, WorkloadModel};
use super::routing::State;
use super::search::{Candidate, Search, gainful};
use super::targets::{pulls, room, targets};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Full nodes looked at per workload when room is made.
const FULL_NODES: usize = 4;
/// How many different first leavers are tried per full node.
const ROOMS: usize = 3;
/// Most pods that leave a node for one that wants in.
const MOST_LEAVING: usize = 3;

/// A pod that could leave its node for another, and the value lost by it.
struct Leaver {
    loss: f64,
    pod: PodIx,
    to: NodeIx,
}

impl<'a> Search<'a, '_> {
    /// Workloads that may move and have something to gain: if all their calls stayed on their node, that would be worth a move at
    /// least. Of a large cluster's workloads few are. What has moved may move again.
    fn movable(&self) -> Vec<WorkloadIx> {
        let wanted = |edge: &EdgeIx| self.model.edges.get(*edge).map_or(0.0, |edge| edge.wanted);
        let gains = |ix: WorkloadIx, workload: &WorkloadModel<'_>| {
            let touching = || workload.into.iter().chain(&workload.out_of);
            let worth = || touching().map(wanted).sum::<f64>() >= self.price || self.chosen.contains(&ix);
            workload.immovable.is_none() && touching().any(|edge| gainful(self.model, *edge)) && worth()
        };
        let workloads = self.model.workloads.iter().enumerate();
        workloads
            .filter(|(ix, workload)| gains(*ix, workload))
            .map(|(ix, _)| ix)
            .collect()
    }

    pub(super) fn candidates(&mut self) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for ix in self.movable() {
            let targets = targets(self.model, &self.usage, &self.state, ix, None);
            if let Some(reason) = targets.kept_away {
                self.blocked.entry(ix).or_insert(reason);
            }
            for layout in targets.layouts {
                let state = self.placed(&self.state, ix, &layout);
                candidates.extend(state.and_then(|state| self.judge(ix, state)));
            }
        }
        candidates
    }

    /// Candidates for workloads that a full node keeps away: the pods there that lose least make room first. Only where what attracts it
    /// there is worth the move of the one that leaves.
    pub(super) fn after_making_room(&mut self) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let mut leaving: BTreeMap<NodeIx, Vec<Leaver>> = BTreeMap::new();
        let emptiest = self.emptiest();
        for ix in self.movable() {
            let mut wanted: Vec<(f64, NodeIx)> = pulls(self.model, &self.state, ix, None)
                .into_iter()
                .enumerate()
                .map(|(node, pull)| (pull, node))
                .filter(|(pull, node)| *pull > 0.0 && *pull >= self.price && self.is_full(&self.usage, ix, *node))
                .collect();
            wanted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            for (_, node) in wanted.into_iter().take(FULL_NODES) {
                let leavers = leaving.entry(node).or_insert_with(|| self.leavers(node, &emptiest));
                for first in 0..ROOMS {
                    let Some((state, usage)) = self.make_room(ix, node, leavers.get(first..).unwrap_or_default())
                    else {
                        continue;
                    };
                    for layout in targets(self.model, &usage, &state, ix, None).layouts {
                        let placed = self.placed(&state, ix, &layout);
                        candidates.extend(placed.and_then(|state| self.judge(ix, state)));
                    }
                }
            }
        }
        candidates
    }

    fn is_full(&self, usage: &Usage, ix: WorkloadIx, node: NodeIx) -> bool {
        let pod = self.model.pods_of(ix).next();
        pod.is_some_and(|pod| {
            matches!(
                room(self.model, usage, pod.pod, node, 1),
                Err(RefusalReason::NoCapacity { .. } | RefusalReason::Headroom { .. })
            )
        })
    }

    /// Clears a full node until one more pod of the workload fits, by the leavers given, in their order. `None` if they do not
    /// suffice.
    fn make_room(&self, ix: WorkloadIx, node: NodeIx, leavers: &[Leaver]) -> Option<(State, Usage)> {
        let (mut state, mut usage) = (self.state.clone(), self.usage.clone());
        let mut left = 0;
        for leaver in leavers {
            let pod = self.model.pods.get(leaver.pod)?;
            let fits = matches!(room(self.model, &usage, pod.pod, leaver.to, 1), Ok(1));
            if pod.workload == ix || state.at.get(leaver.pod) != Some(node) || !fits {
                continue;
            }
            usage.shift(self.model.cluster, pod.pod, node, leaver.to);
            state.at.set(leaver.pod, leaver.to)?;
            left += 1;
            if !self.is_full(&usage, ix, node) {
                return Some((state, usage));
            }
            if left == MOST_LEAVING {
                break;
            }
        }
        None
    }

    /// Pods on a node that could stand elsewhere, the one that loses least first.
    fn leavers(&self, node: NodeIx, emptiest: &[NodeIx]) -> Vec<Leaver> {
        let mut leavers = Vec::new();
        for (ix, pods) in self.standing_on(node) {
            if self
                .model
                .workload(ix)
                .is_none_or(|workload| workload.immovable.is_some())
            {
                continue;
            }
            let pulls = pulls(self.model, &self.state, ix, None);
            let pull = |node: NodeIx| pulls.get(node).copied().unwrap_or(0.0);
            let mut pulling: Vec<NodeIx> = (0..self.model.nodes.len()).filter(|node| pull(*node) > 0.0).collect();
            pulling.sort_by(|a, b| pull(*b).total_cmp(&pull(*a)).then(a.cmp(b)));
            for pod in pods {
                let Some(model) = self.model.pods.get(pod) else {
                    continue;
                };
                for to in self.refuges(model, node, &pulling, emptiest) {
                    let mut moved = self.state.clone();
                    moved.at.set(pod, to);
                    let loss = self.value - self.judged(&moved).value;
                    leavers.push(Leaver { loss, pod, to });
                }
            }
        }
        leavers.sort_by(|a, b| a.loss.total_cmp(&b.loss).then((a.pod, a.to).cmp(&(b.pod, b.to))));
        leavers
    }

    /// Pods on a node now, by workload.
    fn standing_on(&self, node: NodeIx) -> BTreeMap<WorkloadIx, BTreeSet<PodIx>> {
        let home = self.model.nodes.get(node).map(|node| node.pods.as_slice());
        let pods = home.unwrap_or_default().iter().copied().chain(self.state.at.patched());
        let mut standing: BTreeMap<WorkloadIx, BTreeSet<PodIx>> = BTreeMap::new();
        for pod in pods.filter(|pod| self.state.at.get(*pod) == Some(node)) {
            if let Some(model) = self.model.pods.get(pod) {
                standing.entry(model.workload).or_default().insert(pod);
            }
        }
        standing
    }

    /// All nodes, the one with most cpu left first.
    fn emptiest(&self) -> Vec<NodeIx> {
        let free = |node: &NodeIx| {
            let used = self.usage.on(*node).map_or(0, |used| used.cpu.0);
            let offered = self.model.node(*node).map(|node| node.allocatable.cpu.0);
            Reverse(offered.map(|offered| offered.saturating_sub(used)))
        };
        let mut nodes: Vec<NodeIx> = (0..self.model.nodes.len()).collect();
        nodes.sort_by_cached_key(free);
        nodes
    }

    /// Where a pod could go: home, the node that attracts it most, or the one with most cpu left.
    fn refuges(&self, pod: &PodModel<'a>, not: NodeIx, pulling: &[NodeIx], emptiest: &[NodeIx]) -> Vec<NodeIx> {
        let fits = |node: &NodeIx| *node != not && matches!(room(self.model, &self.usage, pod.pod, *node, 1), Ok(1));
        let mut others = 0..self.model.nodes.len();
        let near = pulling.iter().copied().find(fits).or_else(|| others.find(fits));
        let empty = emptiest.iter().copied().find(fits);
        let mut refuges: Vec<NodeIx> = Some(pod.home).into_iter().filter(fits).collect();
        refuges.extend(near.into_iter().chain(empty));
        refuges.sort_unstable();
        refuges.dedup();
        refuges
    }

    /// A state with one workload laid out anew.
    fn placed(&self, state: &State, ix: WorkloadIx, layout: &[NodeIx]) -> Option<State> {
        let mut state = state.clone();
        for (pod, node) in self.model.workload(ix)?.pods.iter().zip(layout) {
            state.at.set(*pod, *node)?;
        }
        Some(state)
    }

    /// Candidates of two steps: a workload moves, and those that call it or are called by it follow where that pays. Neither step
    /// may pay alone (a cart far from its frontend, but near its store).
    pub(super) fn with_followers(&mut self) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for ix in self.movable() {
            for toward in self.neighbours(ix) {
                for layout in targets(self.model, &self.usage, &self.state, ix, Some(toward)).layouts {
                    let placed = self.placed(&self.state, ix, &layout);
                    let new = |state: &State| *state != self.state && self.over_limit(state).is_none();
                    let moved = placed.filter(new);
                    let followed = moved.and_then(|state| self.follow(&state, ix));
                    candidates.extend(followed.and_then(|state| self.judge(ix, state)));
                }
            }
        }
        candidates
    }

    /// Workloads at the other end of gainful edges, callees first: those whose calls with it are worth a move at least, and where one of the
    /// two has moved, all of them, for it may move again without costing more.
    fn neighbours(&self, ix: WorkloadIx) -> Vec<WorkloadIx> {
        let Some(workload) = self.model.workload(ix) else {
            return Vec::new();
        };
        let edges = workload.out_of.iter().chain(&workload.into);
        let mut neighbours: Vec<(WorkloadIx, f64)> = Vec::new();
        for edge in edges.filter(|edge| gainful(self.model, **edge)) {
            let Some(edge) = self.model.edges.get(*edge) else {
                continue;
            };
            let other = if edge.source == ix {
                edge.destination
            } else {
                edge.source
            };
            match neighbours.iter_mut().find(|(known, _)| *known == other) {
                Some((_, wanted)) => *wanted += edge.wanted,
                None => neighbours.push((other, edge.wanted)),
            }
        }
        let moved = |ix: WorkloadIx| self.chosen.contains(&ix);
        let counts = |(other, wanted): &(WorkloadIx, f64)| *wanted >= self.price || moved(ix) || moved(*other);
        neighbours.into_iter().filter(counts).map(|(other, _)| other).collect()
    }

    /// The state after each neighbour of a moved workload took its best place near it; `None` if none followed.
    fn follow(&self, state: &State, ix: WorkloadIx) -> Option<State> {
        let (mut state, mut followed) = (state.clone(), false);
        let mut worth = self.worth(&state);
        for other in self.neighbours(ix) {
            if self.model.workload(other)?.immovable.is_some() {
                continue;
            }
            let usage = self.usage_at(&state);
            for layout in targets(self.model, &usage, &state, other, Some(ix)).layouts {
                let next = self.placed(&state, other, &layout)?;
                let then = self.worth(&next);
                if then > worth + 1e-12 {
                    (state, worth, followed) = (next, then, true);
                }
            }
        }
        followed.then_some(state)
    }

    /// Value less the price of the moves.
    fn worth(&self, state: &State) -> f64 {
        self.judged(state).value - self.cost_of(state)
    }

    /// What is asked for on the nodes with the pods where a state has them.
    fn usage_at(&self, state: &State) -> Usage {
        let mut usage = self.usage.clone();
        for pod in state.at.differing(&self.state.at) {
            let model = self.model.pods.get(pod);
            if let (Some(model), Some(now), Some(then)) = (model, self.state.at.get(pod), state.at.get(pod)) {
                usage.shift(self.model.cluster, model.pod, now, then);
            }
        }
        usage
    }
}
