//! Where calls go: the mesh's routing over a layout, the load each pod gets, and the gain.
//!
//! The model is Istio's failover priority for `trafficDistribution` (facts/placement.md 3.2, facts/loop.md B2): a caller's
//! calls are split evenly over the ready pods of the first tier that has any (same node, then same zone, then all);
//! `PreferSameZone` starts at the zone; without the field all ready pods are one tier. There is no spill by load: a tier
//! gets everything (facts/moves.md 4).

use super::model::{Model, NodeIx, WorkloadIx};
use super::patched::Patched;
use super::{Percent, PlannerConfig};
use crate::cluster::{ClusterView, RoutingMode};
use crate::graph::Snapshot;
use crate::id::{PodUid, WorkloadId};
use std::collections::BTreeSet;

/// A layout and the routing wished for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    /// Node of each pod, patched where it is not the pod's home.
    pub(crate) at: Patched<NodeIx>,
    /// Which workloads' calls are to be routed to the same node first.
    pub(crate) wish: Vec<bool>,
}

/// Shares of an edge's calls by distance; sums to 1 where the callee has ready pods.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Split {
    pub(crate) node: f64,
    pub(crate) zone: f64,
    pub(crate) other: f64,
    /// What a gigabyte of it costs on its way between zones, in units of money.
    pub(crate) price: f64,
}

/// What a state comes to.
#[derive(Clone, Debug)]
pub(crate) struct Outlook {
    /// By edge.
    pub(crate) splits: Patched<Split>,
    /// Requests per second, by pod.
    pub(crate) load: Patched<f64>,
    /// Mode in force, by workload: the wish where it is safe, else today's.
    pub(crate) modes: Vec<RoutingMode>,
    /// Worst pod's load ÷ its share under the wished mode, by workload; 0 where nothing comes.
    pub(crate) factors: Patched<f64>,
}

impl Outlook {
    /// The same, quick to look up and to copy again.
    pub(crate) fn merged(self) -> Self {
        Self {
            splits: self.splits.merged(),
            load: self.load.merged(),
            factors: self.factors.merged(),
            ..self
        }
    }
}

fn number(values: &[f64], ix: usize) -> f64 {
    values.get(ix).copied().unwrap_or(0.0)
}

fn bump(values: &mut [f64], ix: usize, by: f64) {
    if let Some(slot) = values.get_mut(ix) {
        *slot += by;
    }
}

/// Ready pods of one workload by node and zone.
struct Ready {
    /// Only nodes that hold some, in the order of their numbers: a workload's pods stand on few of a large cluster's nodes.
    by_node: Vec<(NodeIx, f64)>,
    by_zone: Vec<f64>,
    all: f64,
}

impl Ready {
    fn of(model: &Model<'_>, state: &State, workload: WorkloadIx) -> Self {
        let mut ready = Self {
            by_node: Vec::new(),
            by_zone: vec![0.0; model.zones],
            all: 0.0,
        };
        let pods = model
            .workload(workload)
            .map(|workload| workload.pods.as_slice())
            .unwrap_or_default();
        for &pod in pods {
            if let (Some(model_pod), Some(node)) = (model.pods.get(pod), state.at.get(pod))
                && model_pod.pod.ready
            {
                match ready.by_node.binary_search_by_key(&node, |(node, _)| *node) {
                    Ok(at) => ready.by_node.get_mut(at).into_iter().for_each(|(_, pods)| *pods += 1.0),
                    Err(at) => ready.by_node.insert(at, (node, 1.0)),
                }
                bump(&mut ready.by_zone, model.zone_of(node), 1.0);
                ready.all += 1.0;
            }
        }
        ready
    }

    /// Where in the list a node is, and how many pods it holds; nowhere and none where it holds none.
    fn on(&self, node: NodeIx) -> (usize, f64) {
        let found = self.by_node.binary_search_by_key(&node, |(node, _)| *node).ok();
        let held = found.and_then(|at| Some((at, self.by_node.get(at)?.1)));
        held.unwrap_or((usize::MAX, 0.0))
    }

    /// What a gigabyte from a zone to all of them alike costs.
    fn price_from(&self, zone: usize, prices: &[f64]) -> f64 {
        let row = prices.iter().skip(zone * self.by_zone.len());
        let there = self.by_zone.iter().zip(row);
        there.map(|(pods, price)| pods * price).sum::<f64>() / self.all
    }
}

/// Loads that callers give, gathered by tier: a pod's load is its node's + its zone's + what goes to all.
struct Gathered {
    /// In the order of [`Ready::by_node`].
    by_node: Vec<f64>,
    by_zone: Vec<f64>,
    all: f64,
    total: f64,
}

impl Gathered {
    fn add(
        &mut self,
        ready: &Ready,
        mode: RoutingMode,
        (node, zone): (NodeIx, usize),
        rate: f64,
        prices: &[f64],
    ) -> Split {
        self.total += rate;
        let ((slot, here), near) = (ready.on(node), number(&ready.by_zone, zone));
        let (node_first, zone_first) = match mode {
            RoutingMode::PreferSameNode => (here > 0.0, near > 0.0),
            RoutingMode::PreferSameZone => (false, near > 0.0),
            RoutingMode::Spread => (false, false),
        };
        if node_first {
            bump(&mut self.by_node, slot, rate / here);
            Split {
                node: 1.0,
                ..Split::default()
            }
        } else if zone_first {
            bump(&mut self.by_zone, zone, rate / near);
            Split {
                node: here / near,
                zone: (near - here) / near,
                ..Split::default()
            }
        } else if ready.all > 0.0 {
            self.all += rate / ready.all;
            Split {
                node: here / ready.all,
                zone: (near - here) / ready.all,
                other: (ready.all - near) / ready.all,
                price: ready.price_from(zone, prices),
            }
        } else {
            Split::default()
        }
    }
}

/// What comes of one workload under one mode.
struct Inflow {
    splits: Vec<(usize, Split)>,
    load: Vec<(usize, f64)>,
    /// The worst ready pod, its load ÷ (total ÷ ready pods).
    worst: Option<(usize, f64)>,
}

fn inflow(
    model: &Model<'_>,
    state: &State,
    workload: WorkloadIx,
    mode: RoutingMode,
    shares: &[(usize, Vec<f64>)],
) -> Inflow {
    let ready = Ready::of(model, state, workload);
    let mut gathered = Gathered {
        by_node: vec![0.0; ready.by_node.len()],
        by_zone: vec![0.0; model.zones],
        all: 0.0,
        total: 0.0,
    };
    let prices = model
        .workload(workload)
        .map(|callee| callee.prices.as_slice())
        .unwrap_or_default();
    let mut splits = Vec::with_capacity(shares.len());
    for (edge, shares) in shares {
        let Some(edge_model) = model.edges.get(*edge) else {
            continue;
        };
        let mut split = Split::default();
        let sources = model
            .workload(edge_model.source)
            .map(|source| source.pods.as_slice())
            .unwrap_or_default();
        for (pod, share) in sources.iter().zip(shares) {
            let Some(node) = state.at.get(*pod) else { continue };
            let at = (node, model.zone_of(node));
            let part = gathered.add(&ready, mode, at, edge_model.rate * share, prices);
            split.node += part.node * share;
            split.zone += part.zone * share;
            split.other += part.other * share;
            split.price += part.price * share;
        }
        if sources.is_empty() && ready.all > 0.0 {
            // Callers that nobody placed: taken as spread evenly.
            gathered.total += edge_model.rate;
            gathered.all += edge_model.rate / ready.all;
            split.other = 1.0;
        }
        splits.push((*edge, split));
    }
    let mut load = Vec::new();
    let mut worst: Option<(usize, f64)> = None;
    let pods = model
        .workload(workload)
        .map(|workload| workload.pods.as_slice())
        .unwrap_or_default();
    for &pod in pods {
        let (Some(pod_model), Some(node)) = (model.pods.get(pod), state.at.get(pod)) else {
            continue;
        };
        if !pod_model.pod.ready {
            load.push((pod, 0.0));
            continue;
        }
        let own =
            number(&gathered.by_node, ready.on(node).0) + number(&gathered.by_zone, model.zone_of(node)) + gathered.all;
        load.push((pod, own));
        let factor = if gathered.total > 0.0 {
            own * ready.all / gathered.total
        } else {
            0.0
        };
        if worst.is_none_or(|(_, most)| factor > most) {
            worst = Some((pod, factor));
        }
    }
    Inflow { splits, load, worst }
}

/// An edge's shares per source pod under `load`: as measured, times what the pod's own load became of what it was. A pod
/// that got nothing before has its part of the load now.
fn shares_under(model: &Model<'_>, edge: usize, load: &Patched<f64>, before: Option<&Patched<f64>>) -> Vec<f64> {
    let Some(edge) = model.edges.get(edge) else {
        return Vec::new();
    };
    let (Some(before), Some(source)) = (before, model.workload(edge.source)) else {
        return edge.shares.clone();
    };
    if source.circular || source.into.is_empty() {
        return edge.shares.clone();
    }
    let of = |load: &Patched<f64>, pod: usize| load.get(pod).unwrap_or(0.0);
    let total: f64 = source.pods.iter().map(|pod| of(load, *pod)).sum();
    let raw: Vec<f64> = source
        .pods
        .iter()
        .zip(&edge.shares)
        .map(|(pod, share)| {
            let (now, then) = (of(load, *pod), of(before, *pod));
            if then > 0.0 {
                share * now / then
            } else if total > 0.0 {
                now / total
            } else {
                *share
            }
        })
        .collect();
    let sum: f64 = raw.iter().sum();
    match sum > 0.0 {
        true => raw.iter().map(|share| share / sum).collect(),
        false => edge.shares.clone(),
    }
}

/// Follows the calls through the layout, callers before callees. `before` holds today's modelled loads: where a workload's
/// own load shifts between its pods, so do the calls these pods make.
pub(crate) fn evaluate(model: &Model<'_>, state: &State, before: Option<&Patched<f64>>) -> Outlook {
    let mut outlook = Outlook {
        splits: Patched::new(vec![Split::default(); model.edges.len()]),
        load: Patched::new(vec![0.0; model.pods.len()]),
        modes: model.workloads.iter().map(|workload| workload.mode).collect(),
        factors: Patched::new(vec![0.0; model.workloads.len()]),
    };
    for &ix in &model.order {
        follow(model, state, before, ix, &mut outlook);
    }
    outlook
}

/// The same as [`evaluate`], from a state whose outlook is known: only workloads are followed that moved or were rerouted, whose
/// callers moved, or whose callers' loads changed. With those that were followed.
pub(crate) fn reevaluate(
    model: &Model<'_>,
    state: &State,
    before: Option<&Patched<f64>>,
    (known, outlook): (&State, &Outlook),
) -> (Outlook, Vec<WorkloadIx>) {
    let mut outlook = outlook.clone();
    let callees = |ix: WorkloadIx| {
        let edges = model.workload(ix).map(|workload| workload.out_of.as_slice());
        let edges = edges.unwrap_or_default().iter();
        edges.filter_map(|edge| Some(model.edges.get(*edge)?.destination))
    };
    let place = |ix: WorkloadIx| model.place.get(ix).copied().unwrap_or_default();
    let moved = state.at.differing(&known.at);
    let moved: BTreeSet<WorkloadIx> = moved
        .iter()
        .filter_map(|pod| Some(model.pods.get(*pod)?.workload))
        .collect();
    let mut waiting: BTreeSet<usize> = moved
        .iter()
        .flat_map(|ix| callees(*ix).chain([*ix]))
        .map(place)
        .collect();
    if state.wish != known.wish {
        let wishes = state.wish.iter().zip(&known.wish).enumerate();
        waiting.extend(wishes.filter(|(_, (now, then))| now != then).map(|(ix, _)| place(ix)));
    }
    let mut followed = Vec::new();
    while let Some(at) = waiting.pop_first() {
        let Some(&ix) = model.order.get(at) else { continue };
        let pods = model.workload(ix).map(|workload| workload.pods.as_slice());
        let pods = pods.unwrap_or_default();
        let load = |outlook: &Outlook| pods.iter().map(|pod| outlook.load.get(*pod)).collect::<Vec<_>>();
        let old = load(&outlook);
        follow(model, state, before, ix, &mut outlook);
        followed.push(ix);
        if load(&outlook) != old {
            // Of those that call in a circle, the ones before it have been followed, as in `evaluate`.
            waiting.extend(callees(ix).map(place).filter(|next| *next > at));
        }
    }
    (outlook, followed)
}

/// One workload's part of the outlook, its callers' being known.
fn follow(model: &Model<'_>, state: &State, before: Option<&Patched<f64>>, ix: WorkloadIx, outlook: &mut Outlook) {
    let Some(workload) = model.workload(ix) else { return };
    let bound = model.config.planned_load.0 as f64 / 100.0 + 1e-9;
    let shares: Vec<(usize, Vec<f64>)> = workload
        .into
        .iter()
        .map(|&edge| (edge, shares_under(model, edge, &outlook.load, before)))
        .collect();
    let wished = state.wish.get(ix).copied().unwrap_or(false);
    let mut mode = if wished {
        RoutingMode::PreferSameNode
    } else {
        workload.mode
    };
    let mut now = inflow(model, state, ix, mode, &shares);
    let factor = now.worst.map_or(0.0, |(_, factor)| factor);
    outlook.factors.set(ix, factor);
    if wished && workload.mode != mode && factor > bound {
        mode = workload.mode;
        now = inflow(model, state, ix, mode, &shares);
    }
    if let Some(slot) = outlook.modes.get_mut(ix) {
        *slot = mode;
    }
    for (edge, split) in now.splits {
        outlook.splits.set(edge, split);
    }
    for (pod, load) in now.load {
        outlook.load.set(pod, load);
    }
}

/// Whether routing calls to a workload in a mode keeps every ready pod within its bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutingLoad {
    /// It does: the busiest pod's load ÷ (total ÷ ready pods).
    Within {
        /// In hundredths.
        factor: Percent,
    },
    /// It does not.
    Over {
        /// The busiest pod's load ÷ (total ÷ ready pods), in hundredths.
        factor: Percent,
        /// The busiest pod.
        pod: PodUid,
    },
    /// Fewer ready pods than local routing needs.
    TooFewPods {
        /// How many.
        ready: u64,
    },
}

impl RoutingLoad {
    /// Whether the mode may be, or stay, in force.
    pub fn is_safe(&self) -> bool {
        matches!(self, Self::Within { .. })
    }
    /// For machines.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Within { .. } => "within",
            Self::Over { .. } => "over",
            Self::TooFewPods { .. } => "tooFewPods",
        }
    }
    /// For people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Within { factor } => format!("The busiest pod gets {factor} its share."),
            Self::Over { factor, .. } => format!("The busiest pod would get {factor} its share."),
            Self::TooFewPods { ready } => format!("Ready pods: {ready}, fewer than local routing needs."),
        }
    }
}

/// What calls to `callee` come to if they are routed in `mode`, over the pods that are ready now. Callers' rates per pod are
/// those of the snapshot; what pods called that are gone is taken over by pods not measured yet; callers without pods in the
/// view count as spread evenly. Without any calls measured nothing is overloaded.
pub fn load_after_routing(
    snapshot: &Snapshot,
    cluster: &ClusterView,
    callee: &WorkloadId,
    mode: RoutingMode,
    config: &PlannerConfig,
) -> RoutingLoad {
    let ready = cluster
        .pods_of(callee)
        .filter(|pod| pod.ready && pod.node.is_some())
        .count() as u64;
    if ready < config.min_ready {
        return RoutingLoad::TooFewPods { ready };
    }
    let model = Model::new(snapshot, &[], cluster, config, |edge| edge.destination == *callee);
    let Some(ix) = model.workloads.iter().position(|workload| workload.id == callee) else {
        return RoutingLoad::Within { factor: Percent(100) };
    };
    let state = State {
        at: model.today(),
        wish: vec![false; model.workloads.len()],
    };
    let shares: Vec<(usize, Vec<f64>)> = model
        .edges
        .iter()
        .enumerate()
        .map(|(edge, model)| (edge, model.shares.clone()))
        .collect();
    let worst = inflow(&model, &state, ix, mode, &shares).worst;
    let (pod, factor) = worst.unwrap_or((0, 0.0));
    let rounded = Percent((factor * 100.0).round() as u64);
    match model.pods.get(pod) {
        Some(pod) if rounded > config.load_bound => RoutingLoad::Over {
            factor: rounded,
            pod: pod.pod.uid.clone(),
        },
        Some(_) | None => RoutingLoad::Within { factor: rounded },
    }
}
