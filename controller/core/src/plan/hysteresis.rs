//! Whether a plan that stands, and that people look at or are about to approve, stays although a newer one exists. Asked twice: of the plan
//! behind the proposal, on the data of now (`stands`), and of the proposal itself, which nobody can measure anew once its controller is
//! gone (`replaces`).

use super::gain::value;
use super::model::Model;
use super::outcome::Outcome;
use super::resize::relieved_now;
use super::{Action, PlaceForm, Plan, PlanKind, PlannerConfig, Trigger};
use crate::cluster::ClusterView;
use crate::diagnose::Finding;
use crate::graph::Snapshot;
use crate::id::WorkloadId;
use crate::time::{Span, Timestamp};
use crate::units::Ratio;

/// A newer plan that saves less than this part of what the older promised says that it is no longer there to be had.
const FADED: f64 = 0.5;
/// How much more a newer plan must save, on the same data, to take a standing one's place (facts/loop.md B5, step 5: 10 %).
pub const CLEARLY: f64 = 0.10;
/// A proposal stands at least this long before one that is merely better replaces it: time to read it.
const STANDS: Span = Span::seconds(120);
/// How much better it must be then. More than [`CLEARLY`]: the two figures are of different times, and loads waver.
const BETTER: f64 = 1.2;

/// Whether a new plan takes the place of an open proposal that nobody has approved. One that can no longer be carried out is always
/// replaced. Plans of two kinds save different things: starved pods come first, then far ones; the other way round, they may only seem to
/// be relieved, so the old one stands its time.
pub fn replaces(new: &Plan, open: &Plan, possible: bool, now: Timestamp) -> bool {
    // Who asked for it wants that one; only who is starved comes first.
    if possible && open.because.contains(&Trigger::Asked) && new.kind() >= open.kind() {
        return false;
    }
    let old = now.since(open.at) >= STANDS;
    let better = match new.kind() == open.kind() {
        true => old && new.saved > open.saved * BETTER,
        false => old || new.kind() < open.kind(),
    };
    !possible || better
}

/// What a plan made earlier would save by today's measurements, in the unit of its [`Plan::saved`]: two plans compare only on the
/// same data. `None` where the plan leaves placing to a roll-out of templates, whose outcome is not written in it.
pub fn saved_now(
    plan: &Plan,
    snapshot: &Snapshot,
    findings: &[Finding],
    cluster: &ClusterView,
    config: &PlannerConfig,
) -> Option<f64> {
    match plan.kind() {
        PlanKind::Relief => return Some(relieved_now(plan, findings)),
        // What is not needed is the newer plan's to say: it has watched longer.
        PlanKind::GiveBack => return Some(plan.saved),
        PlanKind::Merge => return Some(super::merge::saved_now(plan, snapshot)),
        PlanKind::Nearer | PlanKind::Withdrawal => {}
    }
    let model = Model::new(snapshot, findings, cluster, config, |_| true);
    let outcome = Outcome::of(plan, &model)?;
    Some(value(&model, &outcome.today, &outcome.then).max(0.0))
}

/// Whether `old` stays: it can still be carried out as written (its pods are where it says, its Services routed as it says, its
/// moved workloads neither rolling nor under a rule of a plan under way), `new` saves at most `better` more than `old` would (a share of
/// `saved_now`, see there), and not less than half of what `old` promised. Measurements waver; a proposal that wavered with them could not be
/// read, let alone approved. Plans for different purposes save different things: of two kinds the newer counts.
pub fn stands(old: &Plan, saved_now: f64, new: &Plan, better: Ratio, cluster: &ClusterView) -> bool {
    !old.actions.is_empty()
        && old.kind() == new.kind()
        && old.actions.iter().all(|action| possible(action, cluster))
        && new.saved <= saved_now * (1.0 + better.get())
        && new.saved >= old.saved * FADED
}

fn possible(action: &Action, cluster: &ClusterView) -> bool {
    let whole = |id| {
        let workload = cluster.workloads.get(id);
        workload.is_some_and(|workload| !workload.rolling && !workload.opted_out)
    };
    let free = |id| whole(id) && !cluster.ruled.get(id).is_some_and(|rule| rule.open);
    let sizable = |id| whole(id) && !cluster.ruled.get(id).is_some_and(|rule| rule.open && !rule.settled);
    match action {
        Action::Place { workload, with, .. } => free(workload) && cluster.workloads.contains_key(with),
        Action::Merge { workload, with, .. } => free(workload) && free(with),
        Action::Cell { workload, seats, .. } => {
            let mut nodes = seats.iter().filter_map(|seat| cluster.nodes.get(&seat.node));
            free(workload) && nodes.any(|node| node.schedulable)
        }
        Action::Move {
            workload,
            pod,
            from,
            to,
            ..
        } => {
            let there = cluster
                .pods
                .get(pod)
                .is_some_and(|pod| pod.node.as_ref() == Some(from) && !pod.deleting);
            free(workload) && there && cluster.nodes.get(to).is_some_and(|node| node.schedulable)
        }
        Action::Route { service, from, .. } => {
            let service = cluster.services.get(service);
            service.is_some_and(|service| service.routing == *from && service.overridden_by.is_none())
        }
        Action::Size {
            workload,
            container,
            to,
            instead,
            form,
        } => {
            let template = cluster.workloads.get(workload).map(|workload| &workload.template);
            let says = template.and_then(|template| template.get(container));
            let as_it_was = match form {
                PlaceForm::Admission => true,
                PlaceForm::Template => says.is_some_and(|says| says.only(to) == *instead),
            };
            sizable(workload) && is_ours(workload, cluster) && as_it_was
        }
        Action::Resize {
            workload,
            pod,
            container,
            from,
            ..
        } => {
            let there = cluster.pods.get(pod).filter(|pod| !pod.deleting).is_some_and(|pod| {
                let mut containers = pod.containers.iter();
                containers.any(|it| it.name == *container && it.sizing() == *from)
            });
            sizable(workload) && there
        }
        Action::Withdraw { rule_uid, .. } => {
            let mut rules = cluster.steady.iter();
            rules.any(|rule| rule.uid == *rule_uid)
        }
    }
}

/// Nobody else decides over its cpu.
fn is_ours(workload: &WorkloadId, cluster: &ClusterView) -> bool {
    let workload = cluster.workloads.get(workload);
    workload.is_some_and(|workload| workload.cpu_owner.is_none())
}
