//! The candidates of the search, from the cheapest to the boldest: one workload moves; one moves and its neighbours follow;
//! others make room for it.

use super::RefusalReason;
use super::board::Board;
use super::gain::value;
use super::model::{NodeIx, PodModel, WorkloadIx, WorkloadModel};
use super::routing::{State, evaluate};
use super::search::{Candidate, Search, gainful};
use super::sequence::successor;
use super::targets::{pulls, room, targets};
use crate::id::PodUid;

/// Full nodes looked at per workload when room is made.
const FULL_NODES: usize = 4;
/// How many different first leavers are tried per full node.
const ROOMS: usize = 3;
/// Most pods that leave a node for one that wants in.
const MOST_LEAVING: usize = 3;

impl<'a> Search<'a, '_> {
    /// Workloads that may move and have something to gain.
    fn movable(&self) -> Vec<WorkloadIx> {
        let gains = |workload: &WorkloadModel<'_>| {
            let mut touching = workload.into.iter().chain(&workload.out_of);
            workload.immovable.is_none() && touching.any(|edge| gainful(self.model, *edge))
        };
        let workloads = self.model.workloads.iter().enumerate();
        workloads
            .filter(|(_, workload)| gains(workload))
            .map(|(ix, _)| ix)
            .collect()
    }

    pub(super) fn candidates(&mut self) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for ix in self.movable() {
            let targets = targets(self.model, &self.board, &self.state, ix, None);
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

    /// Candidates for workloads that a full node keeps away: the pods there that lose least make room first.
    pub(super) fn after_making_room(&mut self) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for ix in self.movable() {
            let mut wanted: Vec<(f64, NodeIx)> = pulls(self.model, &self.state, ix, None)
                .into_iter()
                .enumerate()
                .map(|(node, pull)| (pull, node))
                .filter(|(pull, _)| *pull > 0.0)
                .collect();
            wanted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            for (_, node) in wanted.into_iter().take(FULL_NODES) {
                for first in 0..ROOMS {
                    let Some((state, board)) = self.make_room(ix, node, first) else {
                        continue;
                    };
                    for layout in targets(self.model, &board, &state, ix, None).layouts {
                        let placed = self.placed(&state, ix, &layout);
                        candidates.extend(placed.clone().and_then(|state| self.judge(ix, state)));
                        let followed = placed.and_then(|state| self.follow(&state, ix));
                        candidates.extend(followed.and_then(|state| self.judge(ix, state)));
                    }
                }
            }
        }
        candidates
    }

    /// Clears a full node until one more pod of the workload fits: the pod that loses least leaves first, or, for variety, the
    /// one `first` places later. `None` if the node is not full, or nothing helps.
    fn make_room(&self, ix: WorkloadIx, node: NodeIx, first: usize) -> Option<(State, Board<'a>)> {
        let pod = self.model.pods_of(ix).next()?.pod;
        let (mut state, mut board) = (self.state.clone(), self.board.clone());
        let full = |board: &Board<'a>| match room(self.model, board, pod, node, 1) {
            Err(RefusalReason::NoCapacity { .. }) => Some(true),
            Ok(count) if count > 0 => Some(false),
            Ok(_) | Err(_) => None,
        };
        for round in 0..MOST_LEAVING {
            if !full(&board)? {
                return (round > 0).then_some((state, board));
            }
            let leaving = self.leaving(ix, node, &state, &board);
            let (_, leaver, to) = *leaving.get(if round == 0 { first } else { 0 })?;
            self.shift(&mut board, leaver, node, to);
            *state.at.get_mut(leaver)? = to;
        }
        (!full(&board)?).then_some((state, board))
    }

    /// The name under which a pod stands on the board when it is at `node`.
    fn name_at(&self, pod: usize, node: NodeIx) -> Option<PodUid> {
        let model = self.model.pods.get(pod)?;
        let uid = &model.pod.uid;
        Some(if model.home == node {
            uid.clone()
        } else {
            successor(uid)
        })
    }

    /// Pods on a node that could stand elsewhere, with the value lost by it, least first: home, the node that attracts them most,
    /// or the one with most cpu left.
    fn leaving(&self, ix: WorkloadIx, node: NodeIx, state: &State, board: &Board<'a>) -> Vec<(f64, usize, NodeIx)> {
        let now = value(
            self.model,
            &self.today,
            &evaluate(self.model, state, Some(&self.today.load)),
        );
        let mut leaving = Vec::new();
        for (other, workload) in self.model.workloads.iter().enumerate() {
            let here = |pod: &&usize| state.at.get(**pod) == Some(&node);
            if other == ix || workload.immovable.is_some() || !workload.pods.iter().any(|pod| here(&pod)) {
                continue;
            }
            let pulls = pulls(self.model, state, other, None);
            for &pod in workload.pods.iter().filter(here) {
                let Some(model) = self.model.pods.get(pod) else {
                    continue;
                };
                for to in self.refuges(board, model, node, &pulls) {
                    let mut moved = state.clone();
                    if let Some(slot) = moved.at.get_mut(pod) {
                        *slot = to;
                    }
                    let then = value(
                        self.model,
                        &self.today,
                        &evaluate(self.model, &moved, Some(&self.today.load)),
                    );
                    leaving.push((now - then, pod, to));
                }
            }
        }
        leaving.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        leaving
    }

    fn refuges(&self, board: &Board<'a>, pod: &PodModel<'a>, not: NodeIx, pulls: &[f64]) -> Vec<NodeIx> {
        let fits = |node: &NodeIx| *node != not && matches!(room(self.model, board, pod.pod, *node, 1), Ok(1));
        let free = |node: NodeIx| {
            let name = self.model.node_name(node)?;
            let used = board.used(name).map_or(0, |used| used.cpu.0);
            Some(
                self.model
                    .cluster
                    .nodes
                    .get(name)?
                    .allocatable
                    .cpu
                    .0
                    .saturating_sub(used),
            )
        };
        let pull = |node: NodeIx| pulls.get(node).copied().unwrap_or(0.0);
        let open: Vec<NodeIx> = (0..self.model.nodes.len()).filter(fits).collect();
        let near = open
            .iter()
            .copied()
            .max_by(|a, b| pull(*a).total_cmp(&pull(*b)).then(b.cmp(a)));
        let empty = open
            .iter()
            .copied()
            .max_by_key(|node| (free(*node), std::cmp::Reverse(*node)));
        let mut refuges: Vec<NodeIx> = open.iter().copied().filter(|node| *node == pod.home).collect();
        refuges.extend(near.into_iter().chain(empty));
        refuges.sort_unstable();
        refuges.dedup();
        refuges
    }

    /// A state with one workload laid out anew.
    fn placed(&self, state: &State, ix: WorkloadIx, layout: &[NodeIx]) -> Option<State> {
        let mut state = state.clone();
        for (pod, node) in self.model.workload(ix)?.pods.iter().zip(layout) {
            *state.at.get_mut(*pod)? = *node;
        }
        Some(state)
    }

    /// Candidates of two steps: a workload moves, and those that call it or are called by it follow where that pays. Neither step
    /// may pay alone (a cart far from its frontend, but near its store).
    pub(super) fn with_followers(&mut self) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for ix in self.movable() {
            for toward in self.neighbours(ix) {
                for layout in targets(self.model, &self.board, &self.state, ix, Some(toward)).layouts {
                    let placed = self.placed(&self.state, ix, &layout);
                    let moved = placed.filter(|state| *state != self.state);
                    let followed = moved.and_then(|state| self.follow(&state, ix));
                    candidates.extend(followed.and_then(|state| self.judge(ix, state)));
                }
            }
        }
        candidates
    }

    /// Workloads at the other end of gainful edges, callees first.
    fn neighbours(&self, ix: WorkloadIx) -> Vec<WorkloadIx> {
        let Some(workload) = self.model.workload(ix) else {
            return Vec::new();
        };
        let edges = workload.out_of.iter().chain(&workload.into);
        let mut neighbours = Vec::new();
        for edge in edges.filter(|edge| gainful(self.model, **edge)) {
            let Some(edge) = self.model.edges.get(*edge) else {
                continue;
            };
            let other = if edge.source == ix {
                edge.destination
            } else {
                edge.source
            };
            if !neighbours.contains(&other) {
                neighbours.push(other);
            }
        }
        neighbours
    }

    /// The state after each neighbour of a moved workload took its best place near it; `None` if none followed.
    fn follow(&self, state: &State, ix: WorkloadIx) -> Option<State> {
        let (mut state, mut followed) = (state.clone(), false);
        let mut worth = self.worth(&state);
        for other in self.neighbours(ix) {
            if self.model.workload(other)?.immovable.is_some() {
                continue;
            }
            let board = self.board_at(&state);
            for layout in targets(self.model, &board, &state, other, Some(ix)).layouts {
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
        let outlook = evaluate(self.model, state, Some(&self.today.load));
        value(self.model, &self.today, &outlook) - self.price * self.moves_of(state) as f64
    }

    /// The board with the pods where a state has them.
    fn board_at(&self, state: &State) -> Board<'a> {
        let mut board = self.board.clone();
        for (pod, (now, then)) in self.state.at.iter().zip(&state.at).enumerate() {
            if now != then {
                self.shift(&mut board, pod, *now, *then);
            }
        }
        board
    }

    fn shift(&self, board: &mut Board<'a>, pod: usize, from: NodeIx, to: NodeIx) {
        let Some(model) = self.model.pods.get(pod) else { return };
        let (Some(old), Some(new)) = (self.name_at(pod, from), self.name_at(pod, to)) else {
            return;
        };
        if let (Some(from), Some(to)) = (self.model.node_name(from), self.model.node_name(to)) {
            board.remove(&old, from);
            board.add(new, model.pod, to);
        }
    }
}
