//! What moving a pod costs, in the unit of what moves bring: points in each second. A one-off cost is spread over the time in which it is to
//! be paid back (DRS's cost-benefit: the benefit over that time less the cost must be positive).

use super::model::{Model, PodIx, WorkloadIx};
use super::patched::Patched;
use super::{Action, Plan, PlannerConfig};
use crate::cluster::{ClusterView, Pod};
use crate::diagnose::Finding;
use crate::distribution::Distribution;
use crate::graph::Snapshot;
use crate::id::WorkloadId;
use crate::time::Span;
use serde::Serialize;
use std::cell::OnceCell;

/// By this label a pod says which plan placed it last.
const PLACED: &str = "huddle.dev/gen";
/// The longest start-up believed: a readiness that came later came back.
const LONGEST: Span = Span::seconds(3600);

/// The parts of what one pod's move costs; they add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// For any restart: the least that a move must bring.
    pub restart: f64,
    /// Its calls wait while it starts and warms up, as long as its slowest hundredth does when it is warm; spread over the payback time. What
    /// was neither seen nor stated is not charged.
    pub warm_up: f64,
    /// It is the only replica: nobody else is warm meanwhile. As much as a restart.
    pub alone: f64,
    /// It was moved a short while ago, within the policy's cooldown. As much as a restart.
    pub recent: f64,
}

impl Cost {
    /// All parts together.
    pub fn total(&self) -> f64 {
        self.restart + self.extra()
    }
    /// What comes on top of the restart.
    pub(crate) fn extra(&self) -> f64 {
        self.warm_up + self.alone + self.recent
    }
    fn plus(&self, other: &Self) -> Self {
        Self {
            restart: self.restart + other.restart,
            warm_up: self.warm_up + other.warm_up,
            alone: self.alone + other.alone,
            recent: self.recent + other.recent,
        }
    }
}

/// What a plan's moves of one workload cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MoveCost {
    /// Whose pods.
    pub workload: WorkloadId,
    /// How many of them.
    pub pods: u64,
    /// What they take from their creation until they are ready, at the median; `None` where that was not seen.
    pub start_up: Option<Span>,
    /// What they take to warm up then, as their owner says.
    pub warm_up: Option<Span>,
    /// In how long a time it is to be paid back.
    pub payback: Span,
    /// All of them together.
    pub cost: Cost,
}

/// What moving each of the model's pods costs, worked out workload by workload as it is asked for: of a large cluster's workloads a plan
/// looks at few.
pub(crate) struct Costs<'m, 'a> {
    model: &'m Model<'a>,
    /// The least that a move must bring.
    restart: f64,
    /// By workload, in the order of its pods.
    known: Vec<OnceCell<Vec<Cost>>>,
}

impl<'m, 'a> Costs<'m, 'a> {
    pub(crate) fn of(model: &'m Model<'a>, restart: f64) -> Self {
        Self {
            model,
            restart,
            known: model.workloads.iter().map(|_| OnceCell::new()).collect(),
        }
    }

    /// `load`: the requests per second that each pod gets today.
    pub(crate) fn get(&self, pod: PodIx, load: &Patched<f64>) -> Option<Cost> {
        let ix = self.model.pods.get(pod)?.workload;
        let first = self.model.workload(ix)?.pods.first()?;
        let costs = self
            .known
            .get(ix)?
            .get_or_init(|| costs(self.model, ix, load, self.restart));
        costs.get(pod.checked_sub(*first)?).copied()
    }
}

fn costs(model: &Model<'_>, ix: WorkloadIx, load: &Patched<f64>, restart: f64) -> Vec<Cost> {
    let Some(workload) = model.workload(ix) else {
        return Vec::new();
    };
    let policy = model.cluster.policy(&workload.id.namespace);
    let cold =
        start_up(model, ix).unwrap_or_default().as_secs_f64() + warm_up(model, ix).unwrap_or_default().as_secs_f64();
    let slower = slower_when_cold(model, ix);
    let payback = policy.payback.as_secs_f64().max(1.0);
    let points = f64::from(workload.objective.latency);
    let cost = |pod: &PodIx| {
        let calls = load.get(*pod).unwrap_or(0.0);
        let young = |pod: &Pod| pod.labels.contains_key(PLACED) && model.at.since(pod.created) < policy.cooldown;
        let also = |is: bool| if is { restart } else { 0.0 };
        Cost {
            restart,
            warm_up: points * calls * slower * cold / payback,
            alone: also(workload.pods.len() == 1),
            recent: also(model.pods.get(*pod).is_some_and(|known| young(known.pod))),
        }
    };
    workload.pods.iter().map(cost).collect()
}

/// Creation to ready, the median of the workload's pods.
fn start_up(model: &Model<'_>, ix: WorkloadIx) -> Option<Span> {
    let pods = model.pods_of(ix).filter_map(|pod| pod.pod.start_up);
    let mut seen: Vec<Span> = pods.filter(|span| *span <= LONGEST).collect();
    seen.sort_unstable();
    seen.get(seen.len() / 2).copied()
}

fn warm_up(model: &Model<'_>, ix: WorkloadIx) -> Option<Span> {
    let workload = model.workload(ix)?;
    model.cluster.workloads.get(workload.id)?.warm_up
}

/// By how much a call waits longer for a cold pod, in seconds: what its slowest hundredth waits longer than the median. Chosen: of what a cold
/// pod does nothing is known before it was cold once.
fn slower_when_cold(model: &Model<'_>, ix: WorkloadIx) -> f64 {
    let mut served = Distribution::default();
    let edges = model
        .workload(ix)
        .map(|workload| workload.into.as_slice())
        .unwrap_or_default();
    for edge in edges.iter().filter_map(|edge| model.edges.get(*edge)) {
        served.merge(&edge.stats.total.served);
    }
    let at = |q| served.quantile(q).map_or(0, |micros| micros.0);
    at(0.99).saturating_sub(at(0.50)) as f64 / 1e6
}

/// What the moves of a plan cost, workload by workload, the dearest first.
pub fn move_costs(
    plan: &Plan,
    snapshot: &Snapshot,
    findings: &[Finding],
    cluster: &ClusterView,
    config: &PlannerConfig,
) -> Vec<MoveCost> {
    let model = Model::new(snapshot, findings, cluster, config, |_| true);
    let search = super::search::Search::new(&model);
    let mut all: Vec<MoveCost> = Vec::new();
    for (ix, workload) in model.workloads.iter().enumerate() {
        let moved = plan.actions.iter().filter_map(|action| match action {
            Action::Move { pod, .. } => workload.pods.iter().copied().find(|known| is(&model, *known, pod)),
            Action::Place { .. }
            | Action::Route { .. }
            | Action::Size { .. }
            | Action::Resize { .. }
            | Action::Withdraw { .. }
            | Action::Cell { .. }
            | Action::Merge { .. } => None,
        });
        let costs: Vec<Cost> = moved.filter_map(|pod| search.cost(pod)).collect();
        if costs.is_empty() {
            continue;
        }
        all.push(MoveCost {
            workload: workload.id.clone(),
            pods: costs.len() as u64,
            start_up: start_up(&model, ix),
            warm_up: warm_up(&model, ix),
            payback: cluster.policy(&workload.id.namespace).payback,
            cost: costs.iter().fold(Cost::default(), |sum, cost| sum.plus(cost)),
        });
    }
    all.sort_by(|a, b| {
        let total = |it: &MoveCost| it.cost.total();
        total(b).total_cmp(&total(a)).then_with(|| a.workload.cmp(&b.workload))
    });
    all
}

fn is(model: &Model<'_>, known: PodIx, pod: &crate::id::PodUid) -> bool {
    model.pods.get(known).is_some_and(|known| known.pod.uid == *pod)
}
