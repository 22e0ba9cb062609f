//! Why each action is in a plan: the edges it is for, and what each of them brings.

use super::gain::{brings, points, shares};
use super::model::{EdgeModel, Model, NodeIx, WorkloadIx};
use super::outcome::Outcome;
use super::{Action, Brings, PlaceForm, Plan, PlannerConfig};
use crate::cluster::ClusterView;
use crate::diagnose::Finding;
use crate::graph::Snapshot;
use crate::id::{EdgeId, NodeName, WorkloadId};
use crate::units::{Micros, Ratio};
use serde::Serialize;

/// What one edge brings under a plan. The terms of a plan sum to what it saves.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Term {
    /// Which edge.
    pub edge: EdgeId,
    /// Its calls per second.
    pub calls_per_second: f64,
    /// Same-node share today and then.
    pub local_share: (Ratio, Ratio),
    /// By how much a call that stays on its node waits less than one that leaves it, at least.
    pub saved_per_call: Micros,
    /// What it brings, part by part.
    pub brings: Brings,
    /// The parts together, in points of its objective: seconds of waiting saved per second where nothing else counts. Below 0 where
    /// the edge loses.
    pub saved: f64,
}

/// Pods of the neighbour for whose sake a pod moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Beside {
    /// The neighbour.
    pub workload: WorkloadId,
    /// Where the pod goes.
    pub to: NodeName,
    /// The neighbour's pods there, when all is done.
    pub there: u64,
    /// Where the pod comes from.
    pub from: NodeName,
    /// The neighbour's pods there, when all is done.
    pub here: u64,
    /// All of the neighbour's pods.
    pub pods: u64,
}

/// Why one action is in a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "why", rename_all_fields = "camelCase")]
pub enum Why {
    /// A pod comes to stand beside a neighbour's.
    Nearer {
        /// Whose pods stand there.
        beside: Beside,
        /// What the edge between the two brings.
        term: Term,
    },
    /// A pod makes room, or keeps the spread, for the other moves.
    ForOthers,
    /// A rule keeps what the moves bring when pods are created anew.
    Lasting {
        /// What the edge between the two brings.
        term: Option<Term>,
    },
    /// Calls stay on their node where a pod is there.
    NearFirst {
        /// What the edge that gains most brings.
        term: Option<Term>,
    },
    /// A container is stopped by its cpu limit while calls wait for it.
    Starved,
    /// A rule keeps what resizing brings when pods are created anew.
    LastingSize,
    /// What a rule was for is gone.
    Faded,
    /// It was watched for long and used less.
    Unneeded,
    /// Hops and proxies are what most of a call is made of.
    Hops,
}

/// What a plan's edges bring, the most first, and why each of its actions is in it, in their order. `None` where the plan leaves
/// placing to a roll-out of templates, whose outcome is not written in it.
pub fn explain(
    plan: &Plan,
    snapshot: &Snapshot,
    findings: &[Finding],
    cluster: &ClusterView,
    config: &PlannerConfig,
) -> Option<(Vec<Term>, Vec<Why>)> {
    explained(Model::new(snapshot, findings, cluster, config, |_| true), plan)
}

pub(crate) fn explained(model: Model<'_>, plan: &Plan) -> Option<(Vec<Term>, Vec<Why>)> {
    let outcome = Outcome::of(plan, &model)?;
    let explained = Explained { model, outcome };
    let mut terms: Vec<Term> = (0..explained.model.edges.len())
        .filter_map(|ix| explained.term(ix))
        .filter(|term| term.saved.abs() > 1e-12)
        .collect();
    terms.sort_by(|a, b| b.saved.total_cmp(&a.saved).then_with(|| a.edge.cmp(&b.edge)));
    let whys = plan.actions.iter().map(|action| explained.why(action)).collect();
    Some((terms, whys))
}

struct Explained<'a> {
    model: Model<'a>,
    outcome: Outcome,
}

impl Explained<'_> {
    fn term(&self, ix: usize) -> Option<Term> {
        let edge = self.model.edges.get(ix)?;
        let Outcome { today, then, .. } = &self.outcome;
        let (before, after) = shares(edge, ix, today, then, &self.model);
        let brings = brings(edge, ix, today, then, &self.model);
        Some(Term {
            edge: edge.stats.edge.clone(),
            calls_per_second: edge.rate,
            local_share: (Ratio::clamped(before), Ratio::clamped(after)),
            saved_per_call: Micros((edge.value / edge.rate.max(f64::MIN_POSITIVE) * 1e6).round() as u64),
            brings,
            saved: points(&self.model, edge, brings),
        })
    }

    fn number(&self, id: &WorkloadId) -> Option<WorkloadIx> {
        self.model.workloads.iter().position(|known| known.id == id)
    }

    fn why(&self, action: &Action) -> Why {
        match action {
            Action::Move { workload, from, to, .. } => self.nearer(workload, from, to).unwrap_or(Why::ForOthers),
            Action::Place { workload, with, .. } | Action::Cell { workload, with, .. } => {
                let between = |edge: &EdgeId| {
                    [&edge.source, &edge.destination].contains(&workload)
                        && [&edge.source, &edge.destination].contains(&with)
                };
                Why::Lasting {
                    term: self.best(|edge| between(&edge.stats.edge)),
                }
            }
            Action::Merge { .. } => Why::Hops,
            Action::Route { workload, .. } => Why::NearFirst {
                term: self.best(|edge| edge.stats.edge.destination == *workload),
            },
            Action::Size {
                form: PlaceForm::Template,
                ..
            } => Why::Starved,
            Action::Size { .. } => Why::LastingSize,
            Action::Resize { from, to, .. } if to.limits.cpu <= from.limits.cpu => Why::Unneeded,
            Action::Resize { .. } => Why::Starved,
            Action::Withdraw { .. } => Why::Faded,
        }
    }

    /// The edge that gains most of those wanted, if one gains.
    fn best(&self, wanted: impl Fn(&EdgeModel<'_>) -> bool) -> Option<Term> {
        let edges = self.model.edges.iter().enumerate();
        edges
            .filter(|(_, edge)| wanted(edge))
            .filter_map(|(ix, _)| self.term(ix))
            .filter(|term| term.saved > 0.0)
            .max_by(|a, b| a.saved.total_cmp(&b.saved).then_with(|| b.edge.cmp(&a.edge)))
    }

    fn nearer(&self, workload: &WorkloadId, from: &NodeName, to: &NodeName) -> Option<Why> {
        let own = self.number(workload)?;
        let mut best: Option<(f64, Beside, Term)> = None;
        for (ix, edge) in self.model.edges.iter().enumerate() {
            let other = match (edge.source == own, edge.destination == own) {
                (true, false) => edge.destination,
                (false, true) => edge.source,
                (true, true) | (false, false) => continue,
            };
            let Some(term) = self.term(ix).filter(|term| term.saved > 0.0) else {
                continue;
            };
            let Some(beside) = self.beside(other, from, to) else {
                continue;
            };
            let nearer = (beside.there as f64 - beside.here as f64) / beside.pods.max(1) as f64;
            let worth = term.saved * nearer;
            if nearer > 0.0 && best.as_ref().is_none_or(|(most, ..)| worth > *most) {
                best = Some((worth, beside, term));
            }
        }
        best.map(|(_, beside, term)| Why::Nearer { beside, term })
    }

    fn beside(&self, other: WorkloadIx, from: &NodeName, to: &NodeName) -> Option<Beside> {
        let neighbour = self.model.workload(other)?;
        let at = |node: NodeIx| {
            let pods = neighbour.pods.iter().filter_map(|pod| self.outcome.state.at.get(*pod));
            pods.filter(|at| *at == node).count() as u64
        };
        let number =
            |name: &NodeName| (0..self.model.nodes.len()).find(|node| self.model.node_name(*node) == Some(name));
        Some(Beside {
            workload: neighbour.id.clone(),
            to: to.clone(),
            there: at(number(to)?),
            from: from.clone(),
            here: at(number(from)?),
            pods: neighbour.pods.len() as u64,
        })
    }
}
