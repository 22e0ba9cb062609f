//! The search: greedy by gain per moved pod, every candidate judged together with the routing that would be in force, until
//! no candidate is worth its moves. Taking a workload home again or elsewhere is a candidate too, so later rounds mend
//! earlier ones. Deterministic: ties go to fewer moves, then to names.

use super::board::{Board, Usage};
use super::cost::{Cost, Costs};
use super::gain::{cheaper, overloads, value, worth};
use super::lasting::Kept;
use super::model::{EdgeIx, Model, NodeIx, PodIx, WorkloadIx};
use super::routing::{Outlook, State, evaluate, reevaluate};
use super::sequence::{Sequence, sequence};
use super::{PlaceForm, RefusalReason};
use crate::id::Namespace;
use std::collections::{BTreeMap, BTreeSet};

/// The state of the search, and what it learnt of what cannot be done.
pub(crate) struct Search<'a, 'm> {
    pub(super) model: &'m Model<'a>,
    pub(super) start: Board<'a>,
    pub(super) usage: Usage,
    /// Today, modelled.
    pub(crate) today: Outlook,
    pub(crate) state: State,
    pub(crate) outlook: Outlook,
    pub(crate) value: f64,
    /// Moved workloads in the order of choice.
    pub(crate) chosen: Vec<WorkloadIx>,
    pub(crate) moves: Vec<usize>,
    /// What keeps them there.
    pub(crate) kept: Vec<Kept>,
    /// The first thing that kept a workload from where it was wanted.
    pub(crate) blocked: BTreeMap<WorkloadIx, RefusalReason>,
    /// The least gain a move must bring.
    pub(super) price: f64,
    /// What moving each pod costs.
    costs: Costs<'m, 'a>,
}

/// What a state comes to.
pub(super) struct Judged {
    pub(super) outlook: Outlook,
    pub(super) value: f64,
    /// The workloads for which it comes to something else than the state of the search.
    pub(super) followed: Vec<WorkloadIx>,
}

/// A layout of one workload, judged.
pub(super) struct Candidate {
    workload: WorkloadIx,
    state: State,
    outlook: Outlook,
    /// Gain per moved pod.
    ratio: f64,
    moves: usize,
}

impl<'a, 'm> Search<'a, 'm> {
    pub(crate) fn new(model: &'m Model<'a>) -> Self {
        let still = State {
            at: model.today(),
            wish: vec![false; model.workloads.len()],
        };
        let today = evaluate(model, &still, None);
        let wish = model
            .workloads
            .iter()
            .map(|workload| workload.unroutable.is_none() && workload.into.iter().any(|edge| gainful(model, *edge)))
            .collect();
        let state = State { wish, ..still };
        let outlook = evaluate(model, &state, Some(&today.load));
        let board = Board::new(model.cluster);
        let total: f64 = model.edges.iter().map(|edge| edge.wanted).sum();
        let price = total * model.config.min_gain_per_move.get();
        Self {
            costs: Costs::of(model, price),
            value: value(model, &today, &outlook),
            usage: Usage::of(&board, model.cluster),
            start: board,
            today,
            state,
            outlook,
            chosen: Vec::new(),
            moves: Vec::new(),
            kept: Vec::new(),
            blocked: BTreeMap::new(),
            price,
            model,
        }
    }

    /// Runs to the end.
    pub(crate) fn run(&mut self) {
        for _ in 0..self.model.config.max_rounds {
            let found = [Self::candidates, Self::with_followers, Self::after_making_room]
                .into_iter()
                .any(|find| self.take_best(find));
            if !found {
                break;
            }
        }
        self.drop_idle_wishes();
    }

    /// Takes the best candidate that can be carried out, if there is one.
    fn take_best(&mut self, find: fn(&mut Self) -> Vec<Candidate>) -> bool {
        let mut candidates = find(self);
        candidates.sort_by(|a, b| {
            let names = |candidate: &Candidate| (candidate.moves, candidate.workload);
            (b.ratio.total_cmp(&a.ratio))
                .then_with(|| names(a).cmp(&names(b)))
                .then_with(|| a.state.at.compare(&b.state.at))
        });
        candidates.into_iter().any(|candidate| self.admit(candidate))
    }

    /// Judges a state reached by placing a workload; `None` if it is not worth its moves.
    pub(super) fn judge(&mut self, ix: WorkloadIx, state: State) -> Option<Candidate> {
        if state == self.state {
            return None;
        }
        let limit = self.over_limit(&state);
        if limit.is_some() && self.blocked.contains_key(&ix) {
            return None;
        }
        let moves = self.moves_of(&state);
        let judged = self.judged(&state);
        let then = judged.value;
        let (gain, more) = (then - self.value, moves as f64 - self.moves.len() as f64);
        if gain - self.price * more <= 1e-12 {
            return None;
        }
        let extra = self.extra_of(&state) - self.extra_of(&self.state);
        if gain - self.price * more - extra <= 1e-12 {
            let payback = self.model.workload(ix).map(|workload| &workload.id.namespace);
            let payback = payback.map(|namespace| self.model.cluster.policy(namespace).payback);
            let costly = RefusalReason::Costly {
                payback: payback.unwrap_or_default(),
            };
            self.blocked.entry(ix).or_insert(costly);
            return None;
        }
        // What a move costs more than another, it counts for more moves.
        let weight = if self.price > 0.0 {
            more + extra / self.price
        } else {
            more
        };
        if let Some(limit) = limit {
            self.blocked.entry(ix).or_insert(RefusalReason::MoveLimit { limit });
            return None;
        }
        if overloads(self.model, &judged.followed, &self.today, &judged.outlook) {
            return None;
        }
        Some(Candidate {
            workload: ix,
            ratio: if weight > 0.0 { gain / weight } else { f64::INFINITY },
            state,
            outlook: judged.outlook,
            moves,
        })
    }

    /// Takes a candidate if its moves can be ordered and its spread holds, now and under the rules that remain.
    fn admit(&mut self, candidate: Candidate) -> bool {
        let moved = displaced(self.model, &candidate.state);
        let mut chosen = self.chosen.clone();
        for ix in std::iter::once(candidate.workload).chain(moved.iter().copied()) {
            if !chosen.contains(&ix) {
                chosen.push(ix);
            }
        }
        chosen.retain(|ix| moved.contains(ix));
        let checked = sequence(self.model, &self.start, &candidate.state, &chosen).and_then(|sequence| {
            let kept = self.keeping(&sequence, &candidate.state, &chosen)?;
            Ok((sequence, kept))
        });
        match checked {
            Ok((Sequence { moves, board }, kept)) => {
                for pod in candidate.state.at.differing(&self.state.at) {
                    let nodes = [self.state.at.get(pod), candidate.state.at.get(pod)];
                    for node in nodes.into_iter().flatten() {
                        if let Some(name) = self.model.node_name(node) {
                            self.usage.renew(&board, self.model.cluster, node, name);
                        }
                    }
                }
                (self.moves, self.chosen, self.kept) = (moves, chosen, kept);
                (self.state, self.outlook) = (candidate.state, candidate.outlook.merged());
                self.value = value(self.model, &self.today, &self.outlook);
                true
            }
            Err(reason) => {
                self.blocked.entry(candidate.workload).or_insert(reason);
                false
            }
        }
    }

    /// A state's outlook and value, worked out from the present one's: what the difference does not stir is not looked at.
    pub(super) fn judged(&self, state: &State) -> Judged {
        let known = (&self.state, &self.outlook);
        let (outlook, followed) = reevaluate(self.model, state, Some(&self.today.load), known);
        let stirred = followed.iter().filter_map(|ix| self.model.workload(*ix));
        let change = |ix: &EdgeIx| {
            let worth = |then: &Outlook| worth(self.model, *ix, &self.today, then);
            worth(&outlook) - worth(&self.outlook)
        };
        let changed: f64 = stirred.flat_map(|workload| &workload.into).map(change).sum();
        Judged {
            value: self.value + changed,
            outlook,
            followed,
        }
    }

    /// Pods that are restarted: those that change their node, and all of a workload whose template is changed for one of them.
    pub(crate) fn moves_of(&self, state: &State) -> usize {
        self.restarted(state).len()
    }

    /// What moving a pod costs.
    pub(crate) fn cost(&self, pod: PodIx) -> Option<Cost> {
        self.costs.get(pod, &self.today.load)
    }

    /// What getting to a state costs.
    pub(super) fn cost_of(&self, state: &State) -> f64 {
        self.price * self.moves_of(state) as f64 + self.extra_of(state)
    }

    /// What its moves cost on top of being moves.
    fn extra_of(&self, state: &State) -> f64 {
        let mut rolled: Vec<WorkloadIx> = Vec::new();
        let mut extra = 0.0;
        for ix in state.at.patched() {
            let Some(pod) = self.model.pods.get(ix) else { continue };
            if self.model.form(pod.workload) == PlaceForm::Admission {
                extra += self.cost(ix).as_ref().map_or(0.0, Cost::extra);
            } else if !rolled.contains(&pod.workload) {
                rolled.push(pod.workload);
                let pods = self
                    .model
                    .workload(pod.workload)
                    .map(|workload| workload.pods.as_slice());
                let costs = pods.unwrap_or_default().iter().filter_map(|pod| self.cost(*pod));
                extra += costs.map(|cost| cost.extra()).sum::<f64>();
            }
        }
        extra
    }

    fn restarted(&self, state: &State) -> BTreeSet<PodIx> {
        let mut pods: BTreeSet<PodIx> = state.at.patched().collect();
        let rolled = displaced(self.model, state).into_iter();
        let rolled = rolled.filter(|ix| self.model.form(*ix) == PlaceForm::Template);
        pods.extend(
            rolled
                .filter_map(|ix| self.model.workload(ix))
                .flat_map(|workload| &workload.pods),
        );
        pods
    }

    /// The limit that is passed, if one is: the least of the limits of the namespaces whose pods move.
    pub(super) fn over_limit(&self, state: &State) -> Option<u64> {
        let pods = self.restarted(state);
        let pods = pods.iter().filter_map(|pod| self.model.pods.get(*pod));
        let mut namespaces: Vec<&Namespace> = pods.map(|pod| &pod.pod.workload.namespace).collect();
        let moves = namespaces.len() as u64;
        namespaces.dedup();
        let limits = namespaces
            .iter()
            .map(|namespace| self.model.cluster.policy(namespace).max_moves);
        limits.min().filter(|limit| moves > *limit)
    }

    /// Routing is changed only where it brings something on the layout chosen.
    fn drop_idle_wishes(&mut self) {
        for ix in 0..self.model.workloads.len() {
            if self.state.wish.get(ix) != Some(&true) {
                continue;
            }
            if self.outlook.modes.get(ix) == self.model.workload(ix).map(|workload| &workload.mode) {
                continue; // not in force
            }
            let mut without = self.state.clone();
            if let Some(wish) = without.wish.get_mut(ix) {
                *wish = false;
            }
            let Judged {
                outlook, value: then, ..
            } = self.judged(&without);
            let brings = self.model.workload(ix).is_some_and(|workload| {
                let node = |outlook: &Outlook, edge: usize| outlook.splits.get(edge).map_or(0.0, |split| split.node);
                let least = self.model.config.min_share_gained.get();
                let mut gainful = workload.into.iter().filter(|edge| gainful(self.model, **edge));
                gainful.any(|edge| {
                    node(&self.outlook, *edge) - node(&outlook, *edge) >= least
                        || cheaper(self.model, *edge, &outlook, &self.outlook)
                })
            });
            if !brings || then >= self.value {
                (self.state, self.outlook, self.value) = (without, outlook, then);
            }
        }
    }
}

/// Workloads with a pod away from home, by number.
pub(crate) fn displaced(model: &Model<'_>, state: &State) -> BTreeSet<WorkloadIx> {
    let pods = state.at.patched().filter_map(|pod| model.pods.get(pod));
    pods.map(|pod| pod.workload).collect()
}

/// Whether an edge can gain: both ends consent, and distance was found on it, or more than waiting counts.
pub(crate) fn gainful(model: &Model<'_>, edge: usize) -> bool {
    model.edges.get(edge).is_some_and(|edge| edge.wanted > 0.0)
}

/// For each moved workload the neighbour that its steady rule names, in an order in which each follows one that stands: the
/// pair worth most first (Prim's rule), worth being the value of the calls between the two as far as they stand together.
/// Workloads that stay are what others follow; where none of a group stays, its first in the order of choice does. So no two
/// follow each other in a circle, which would lead nowhere.
pub(crate) fn partners(model: &Model<'_>, state: &State, chosen: &[WorkloadIx]) -> Vec<(WorkloadIx, WorkloadIx)> {
    let mut waiting = chosen.to_vec();
    let mut partners = Vec::new();
    while !waiting.is_empty() {
        let mut best: Option<(f64, WorkloadIx, WorkloadIx)> = None;
        for &ix in &waiting {
            for (other, worth) in worths(model, state, ix) {
                let better = best.is_none_or(|(most, ..)| worth > most);
                if worth > 0.0 && better && !waiting.contains(&other) {
                    best = Some((worth, ix, other));
                }
            }
        }
        match best {
            Some((_, ix, other)) => {
                partners.push((ix, other));
                waiting.retain(|left| *left != ix);
            }
            // Nobody left follows one that stands: the first of them that no older rule places stands from now on.
            None => {
                let free = waiting.iter().position(|ix| model.rule(*ix).is_none());
                waiting.remove(free.unwrap_or(0));
            }
        }
    }
    partners
}

/// What the calls between a workload and each of its neighbours are worth, as far as they stand together.
pub(crate) fn worths(model: &Model<'_>, state: &State, ix: WorkloadIx) -> BTreeMap<WorkloadIx, f64> {
    let mut worths: BTreeMap<WorkloadIx, f64> = BTreeMap::new();
    let Some(workload) = model.workload(ix) else {
        return worths;
    };
    let edges = workload.into.iter().chain(&workload.out_of);
    for edge in edges
        .filter(|edge| gainful(model, **edge))
        .filter_map(|edge| model.edges.get(*edge))
    {
        let other = if edge.source == ix {
            edge.destination
        } else {
            edge.source
        };
        *worths.entry(other).or_default() += edge.wanted * together(model, state, ix, other);
    }
    worths
}

/// Share of `ix`'s pods that stand on a node of `other`'s.
fn together(model: &Model<'_>, state: &State, ix: WorkloadIx, other: WorkloadIx) -> f64 {
    let at = |ix: WorkloadIx| -> Vec<NodeIx> {
        let pods = model
            .workload(ix)
            .map(|workload| workload.pods.as_slice())
            .unwrap_or_default();
        pods.iter().filter_map(|pod| state.at.get(*pod)).collect()
    };
    let (own, others) = (at(ix), at(other));
    own.iter().filter(|node| others.contains(node)).count() as f64 / own.len().max(1) as f64
}
