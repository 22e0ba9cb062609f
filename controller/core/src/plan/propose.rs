//! From what the search found to the plan: actions in order, expectations, spread, refusals.

use super::faded::withdrawals;
use super::gain::{brings, cheaper, expected, points, shares};
use super::giveback::{give_back, plan_of};
use super::lasting::Keeping;
use super::model::{EdgeModel, Model, WorkloadIx};
use super::resize::relieve;
use super::search::{Search, gainful};
use super::{Action, Expected, Percent, PlaceForm, Plan, PlanKind, PlannerConfig, Refusal, RefusalReason, Spread};
use crate::cluster::{ClusterView, RoutingMode};
use crate::diagnose::{Cause, Finding};
use crate::distribution::Distribution;
use crate::graph::Snapshot;
use crate::sample::Locality;
use crate::time::Timestamp;
use crate::usage::Habits;
use std::collections::BTreeSet;

/// Plans, with what containers used over days: where there is nothing else to do, something is given back (`giveback`), of one workload.
/// Such a plan has the size rule, then the workload's pods one by one.
pub fn plan_with(
    snapshot: &Snapshot,
    findings: &[Finding],
    habits: &Habits,
    cluster: &ClusterView,
    config: &PlannerConfig,
    at: Timestamp,
) -> Plan {
    let mut first = plan(snapshot, findings, cluster, config, at);
    if !first.actions.is_empty() {
        return first;
    }
    let (chosen, kept) = give_back(snapshot, findings, habits, cluster, at);
    first.refusals.extend(kept);
    match chosen {
        None => first,
        Some(chosen) => plan_of(chosen, first.refusals, at),
    }
}

/// What is given back beside `first`, a plan of another kind that may wait for its approval for weeks. It may be of a workload that `first`
/// moves: one plan is carried out at a time, and the other is made anew where it no longer fits what that left. Nothing while somebody is
/// starved: who is relieved may need what is there.
pub fn give_back_beside(
    first: &Plan,
    snapshot: &Snapshot,
    findings: &[Finding],
    habits: &Habits,
    cluster: &ClusterView,
    at: Timestamp,
) -> Option<Plan> {
    if first.actions.is_empty() || !PlanKind::GiveBack.is_beside(first.kind()) {
        return None;
    }
    let (chosen, refusals) = give_back(snapshot, findings, habits, cluster, at);
    chosen.map(|chosen| plan_of(chosen, refusals, at))
}

/// Plans without giving anything back. Equal input gives an equal plan; an empty list of actions is a plan too, and its refusals say why.
///
/// Pressure comes first: where a starved container can be given more cpu, the plan does that and moves nothing, since what far calls
/// cost shows only once their callees run. Such a plan has the size rule of each container, then its pods one by one.
///
/// Where nothing is to be brought together, rules whose gain is gone are withdrawn, in a plan of their own.
///
/// Actions of other plans stand in the order in which act carries them out: cells, moves (one pod at a time, each prefix keeps every
/// spread), placement rules, then routing. Every finding of cause distance or pressure is either acted on (see `expected` and `relief`) or
/// refused with a reason.
pub fn plan(
    snapshot: &Snapshot,
    findings: &[Finding],
    cluster: &ClusterView,
    config: &PlannerConfig,
    at: Timestamp,
) -> Plan {
    let mut relief = relieve(findings, cluster, at);
    if relief.actions.is_empty() {
        let model = Model::new(snapshot, findings, cluster, config, |_| true);
        let mut plan = planned(&model, snapshot, at);
        plan.refusals.append(&mut relief.refusals);
        if plan.actions.is_empty() {
            plan.actions = withdrawals(cluster, at);
        }
        return plan;
    }
    let far = |finding: &&Finding| matches!(finding.cause, Cause::Distance { .. });
    relief
        .refusals
        .extend(findings.iter().filter(far).map(|finding| Refusal {
            workload: finding.edge.destination.clone(),
            with: Some(finding.edge.source.clone()),
            reason: RefusalReason::PressureFirst,
        }));
    relief
}

/// The plan of a model.
pub(crate) fn planned(model: &Model<'_>, snapshot: &Snapshot, at: Timestamp) -> Plan {
    let mut search = Search::new(model);
    search.run();
    let acted = acted_on(model, &search);
    Plan {
        at,
        actions: actions(model, &search),
        expected: expectations(model, &search, snapshot, &acted),
        relief: Vec::new(),
        given_back: Vec::new(),
        merging: Vec::new(),
        spread: search
            .chosen
            .iter()
            .filter_map(|ix| spread(model, &search, *ix))
            .collect(),
        refusals: refusals(model, &search, &acted),
        pods_restarted: search.moves_of(&search.state) as u64,
        because: Vec::new(),
        saved: search.value.max(0.0),
    }
}

fn actions(model: &Model<'_>, search: &Search<'_, '_>) -> Vec<Action> {
    let mut actions = cells(model, search);
    let by_template = |ix: WorkloadIx| model.form(ix) == PlaceForm::Template;
    for &pod in &search.moves {
        if model.pods.get(pod).is_some_and(|moved| by_template(moved.workload)) {
            continue; // its template's roll-out moves it
        }
        let to = search.state.at.get(pod).and_then(|node| model.node_name(node));
        if let (Some(moved), Some(to)) = (model.pods.get(pod), to)
            && let Some(from) = model.node_name(moved.home)
        {
            actions.push(Action::Move {
                workload: moved.pod.workload.clone(),
                pod: moved.pod.uid.clone(),
                pod_name: moved.pod.name.clone(),
                from: from.clone(),
                to: to.clone(),
            });
        }
    }
    // After the moves: a steady rule follows its neighbour's pods wherever they are, so one made before they have all moved
    // would pull replacements to where they were, as strongly as the step rule pulls to where they shall be.
    for kept in search.kept.iter().filter(|kept| matches!(kept.by, Keeping::Beside)) {
        if let (Some(workload), Some(with)) = (model.workload(kept.workload), model.workload(kept.with)) {
            actions.push(Action::Place {
                workload: workload.id.clone(),
                with: with.id.clone(),
                form: model.form(kept.workload),
            });
        }
    }
    for workload in model
        .order
        .iter()
        .filter(|ix| rerouted(model, search, **ix))
        .filter_map(|ix| model.workload(*ix))
    {
        let others = workload
            .services
            .iter()
            .filter(|service| service.routing != RoutingMode::PreferSameNode);
        actions.extend(others.map(|service| Action::Route {
            service: service.id.clone(),
            workload: workload.id.clone(),
            from: service.routing,
            to: RoutingMode::PreferSameNode,
        }));
    }
    actions
}

/// Before the moves: a cell names the nodes that the moves go to, so a pod that is created anew meanwhile comes where it should; and where
/// no node can be labelled, nothing has been moved yet.
fn cells(model: &Model<'_>, search: &Search<'_, '_>) -> Vec<Action> {
    let cells = search.kept.iter().filter_map(|kept| match &kept.by {
        Keeping::Cell(seats) => Some(Action::Cell {
            workload: model.workload(kept.workload)?.id.clone(),
            with: model.workload(kept.with)?.id.clone(),
            seats: seats.clone(),
        }),
        Keeping::Beside => None,
    });
    cells.collect()
}

fn rerouted(model: &Model<'_>, search: &Search<'_, '_>, ix: WorkloadIx) -> bool {
    search.outlook.modes.get(ix) != model.workload(ix).map(|workload| &workload.mode)
}

/// Edges that gain and one of whose ends is moved or rerouted, the most gain first.
fn acted_on(model: &Model<'_>, search: &Search<'_, '_>) -> Vec<usize> {
    let gain = |ix: usize, edge: &EdgeModel<'_>| {
        let (before, after) = shares(edge, ix, &search.today, &search.outlook, model);
        after - before
    };
    let worth =
        |ix: usize, edge: &EdgeModel<'_>| points(model, edge, brings(edge, ix, &search.today, &search.outlook, model));
    let mut acted: Vec<(usize, f64)> = model
        .edges
        .iter()
        .enumerate()
        .filter(|(ix, edge)| {
            let nearer = gain(*ix, edge) >= model.config.min_share_gained.get();
            gainful(model, *ix) && (nearer || cheaper(model, *ix, &search.today, &search.outlook))
        })
        .map(|(ix, edge)| (ix, worth(ix, edge)))
        .collect();
    acted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    acted.into_iter().map(|(ix, _)| ix).collect()
}

fn expectations(model: &Model<'_>, search: &Search<'_, '_>, snapshot: &Snapshot, acted: &[usize]) -> Vec<Expected> {
    let mut borrowed = Distribution::default();
    for part in snapshot
        .edges
        .values()
        .filter_map(|stats| stats.by_locality.get(&Locality::SameNode))
    {
        borrowed.merge(&part.network);
    }
    acted
        .iter()
        .filter_map(|ix| expected(model, *ix, &search.today, &search.outlook, &borrowed))
        .collect()
}

fn spread(model: &Model<'_>, search: &Search<'_, '_>, ix: WorkloadIx) -> Option<Spread> {
    let workload = model.workload(ix)?;
    let count = |nodes: BTreeSet<usize>| {
        let zones: BTreeSet<usize> = nodes.iter().map(|node| model.zone_of(*node)).collect();
        (nodes.len() as u64, zones.len() as u64)
    };
    let (nodes_before, zones_before) = count(model.pods_of(ix).map(|pod| pod.home).collect());
    let then = workload.pods.iter().filter_map(|pod| search.state.at.get(*pod));
    let (nodes_after, zones_after) = count(then.collect());
    Some(Spread {
        workload: workload.id.clone(),
        nodes_before,
        nodes_after,
        zones_before,
        zones_after,
    })
}

fn refusals(model: &Model<'_>, search: &Search<'_, '_>, acted: &[usize]) -> Vec<Refusal> {
    let mut refusals: Vec<Refusal> = Vec::new();
    for (ix, edge) in model.edges.iter().enumerate() {
        let distance = edge.finding.is_some_and(|finding| finding.cost > 0.0);
        if !distance || acted.contains(&ix) {
            continue;
        }
        refusals.push(Refusal {
            workload: edge.stats.edge.destination.clone(),
            with: Some(edge.stats.edge.source.clone()),
            reason: why_not(model, search, edge),
        });
    }
    for kept in &search.kept {
        if let (Some(workload), Some(reason)) = (model.workload(kept.workload), search.uncelled(kept)) {
            refusals.push(Refusal {
                workload: workload.id.clone(),
                with: None,
                reason,
            });
        }
    }
    // Routing that was wished for a moved workload and would overload one of its pods.
    for (ix, workload) in model.workloads.iter().enumerate() {
        let acted_upon = acted
            .iter()
            .filter_map(|edge| model.edges.get(*edge))
            .any(|edge| edge.destination == ix);
        if let (true, Some(factor)) = (acted_upon, overload(model, search, ix)) {
            refusals.push(Refusal {
                workload: workload.id.clone(),
                with: None,
                reason: RefusalReason::Overload { factor },
            });
        }
    }
    refusals
}

/// The factor by which local routing would overload a pod, if that is why it was refused.
fn overload(model: &Model<'_>, search: &Search<'_, '_>, ix: WorkloadIx) -> Option<Percent> {
    let wished = search.state.wish.get(ix).copied().unwrap_or(false);
    let factor = Percent((search.outlook.factors.get(ix).unwrap_or(0.0) * 100.0).round() as u64);
    (wished && !rerouted(model, search, ix) && factor > model.config.planned_load).then_some(factor)
}

/// The reason nearest to the cause: no consent; then what forbids touching the callee, if it forbids the caller too or the
/// callee was the one to move; then what the search ran into; then why routing alone did not do.
fn why_not(model: &Model<'_>, search: &Search<'_, '_>, edge: &EdgeModel<'_>) -> RefusalReason {
    if edge.loss_only {
        return RefusalReason::NoConsent;
    }
    let (callee, caller) = (model.workload(edge.destination), model.workload(edge.source));
    let fixed =
        |workload: Option<&super::model::WorkloadModel<'_>>| workload.and_then(|workload| workload.immovable.clone());
    if let (Some(reason), Some(_)) = (fixed(callee), fixed(caller)) {
        return reason;
    }
    let met = |ix: WorkloadIx| search.blocked.get(&ix).cloned();
    let routing = || callee.and_then(|callee| callee.unroutable.clone());
    met(edge.destination)
        .or_else(|| met(edge.source))
        .or_else(|| overload(model, search, edge.destination).map(|factor| RefusalReason::Overload { factor }))
        .or_else(|| fixed(callee))
        .or_else(routing)
        .unwrap_or(RefusalReason::SmallGain)
}
