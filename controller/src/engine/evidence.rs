//! What act asks of the measuring stages, answered from the graph and from what the engine published.

use super::memory::{recall, remember};
use super::{Graph, Published};
use crate::act::{Before, Evidence, Proof};
use crate::clock;
use huddle_core::act::GuardReason;
use huddle_core::cluster::{ClusterView, RoutingMode};
use huddle_core::diagnose::{DiagnoseConfig, PressureConfig};
use huddle_core::graph::Snapshot;
use huddle_core::id::{EdgeId, NodeName, PodUid, ServiceId, WorkloadId, ZoneName};
use huddle_core::plan::merge::{Adviser, Standing, TELLING, Unmergeable, Uses, Usual, Way, against_standing, standing};
use huddle_core::plan::{Action, Percent, Plan, PlanKind, PlannerConfig, RoutingLoad, load_after_routing, overriding};
use huddle_core::sample::{Exchange, Locality};
use huddle_core::time::{Span, Timestamp, Window};
use huddle_core::verify::{
    Sign, Verdict, VerifyConfig, Waiting, baseline, eased, gap, harm_meanwhile, judge, judged_by, sign,
};
use huddle_core::view::{ProofView, SpreadView, TogetherView};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// A pod that answers this share of its calls with errors …
const FAILING: f64 = 0.1;
/// … over at least so many of them, is not called on purpose.
const FAILURES: u64 = 10;
/// Over this long: two reporting periods and a slot.
const RECENT: Span = Span::seconds(25);
/// What a pod needs from its creation to its fair part of the calls.
const STARTING: Span = Span::seconds(20);
/// The least time a load is judged on: two slots of the graph.
const JUDGED: Span = Span::seconds(20);

/// While a plan is carried out its harm is looked for in this much of the past: the errors of one pod drown in an hour of moves.
const MEANWHILE: Span = Span::seconds(30);
/// Before windows that this process has measured itself.
type Measured = BTreeMap<(Timestamp, Timestamp), Arc<Snapshot>>;

/// The answers.
#[derive(Debug)]
pub struct Answers {
    graph: Graph,
    published: watch::Receiver<Arc<Published>>,
    measured: Mutex<Measured>,
}

/// At most this many before windows are kept; there is one per plan under way.
const MEASURED: usize = 8;

impl Answers {
    /// Answers from these.
    pub fn new(graph: Graph, published: watch::Receiver<Arc<Published>>) -> Self {
        Self {
            graph,
            published,
            measured: Mutex::default(),
        }
    }
    fn since(&self, from: Timestamp, now: Timestamp) -> Snapshot {
        let window = Window { from, to: now };
        self.graph.read(|graph| graph.snapshot(window, now))
    }
    fn view(&self) -> Arc<Published> {
        Arc::clone(&self.published.borrow())
    }
    fn keep(&self, snapshot: &Snapshot) {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.insert(key(snapshot.window), Arc::new(snapshot.clone()));
        while measured.len() > MEASURED {
            measured.pop_first();
        }
    }
    /// The before window as measured by this process, or as remembered by the plan.
    fn recall(&self, before: &Before) -> Option<Arc<Snapshot>> {
        let measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let own = measured.get(&key(before.window)).map(Arc::clone);
        own.or_else(|| recall(&before.memory).map(Arc::new))
    }
    /// The same. A memory of another making compares with nothing: the verdict then goes on waiting for requests.
    fn was(&self, before: &Before) -> Arc<Snapshot> {
        let nothing = || Snapshot {
            at: before.window.to,
            window: before.window,
            edges: BTreeMap::new(),
        };
        self.recall(before).unwrap_or_else(|| Arc::new(nothing()))
    }
}

fn key(window: Window) -> (Timestamp, Timestamp) {
    (window.from, window.to)
}

/// As many requests as the most demanding policy of the namespaces concerned wants.
fn config(plan: &Plan, view: &ClusterView) -> VerifyConfig {
    let mut config = VerifyConfig::default();
    let ends = plan.edges().flat_map(|edge| [&edge.source, &edge.destination]);
    if let Some(requests) = ends.map(|end| view.policy(&end.namespace).proof_requests).max() {
        config.requests = requests;
    }
    config
}

/// Distinct nodes and zones of a workload's pods now.
fn spread(plan: &Plan, view: &ClusterView) -> Vec<SpreadView> {
    plan.spread
        .iter()
        .map(|spread| {
            let nodes: BTreeSet<&NodeName> = view
                .pods_of(&spread.workload)
                .filter_map(|pod| pod.node.as_ref())
                .collect();
            let zones: BTreeSet<&ZoneName> = nodes
                .iter()
                .filter_map(|node| view.nodes.get(*node))
                .map(|node| &node.zone)
                .collect();
            SpreadView {
                workload: spread.workload.to_string(),
                nodes: [spread.nodes_before, nodes.len() as u64],
                zones: [spread.zones_before, zones.len() as u64],
            }
        })
        .collect()
}

/// A verdict with the figures of its two windows.
fn proof(plan: &Plan, [was, is]: [&Snapshot; 2], view: &ClusterView, verdict: Verdict) -> Proof {
    Proof {
        verdict,
        edges: ProofView::all(plan, was, is, &config(plan, view)),
        // The gap is the network's.
        together: (plan.kind() == PlanKind::Nearer).then(|| TogetherView::new(&gap(was, is, plan), plan)),
        spread: spread(plan, view),
    }
}

impl Evidence for Answers {
    fn now(&self) -> Timestamp {
        clock::now()
    }
    fn before(&self, plan: &Plan, from: Timestamp) -> Result<Before, Waiting> {
        let snapshot = self.since(from, self.now());
        if let Some(waiting) = baseline(&snapshot, plan, &config(plan, &self.view().cluster.view)) {
            return Err(waiting);
        }
        let judged = judged_by(plan, &snapshot).into_iter().map(|stats| &stats.edge);
        let needed: BTreeSet<&EdgeId> = plan.edges().chain(judged).collect();
        self.keep(&snapshot);
        Ok(Before {
            window: snapshot.window,
            memory: remember(&snapshot, &needed),
        })
    }
    fn verdict(&self, plan: &Plan, before: &Before, from: Timestamp) -> Proof {
        let now = self.now();
        let published = self.view();
        let view = &published.cluster.view;
        let after = self.since(from, now);
        let was = self.was(before);
        let moves = plan
            .actions
            .iter()
            .filter(|action| matches!(action, Action::Move { .. }));
        let verdict = judge(&was, &after, plan, view, &config(plan, view), now);
        tracing::debug!(moves = moves.count(), window = ?after.window, "judging");
        let verdict = eased(verdict, plan, &published.usage, view, from, &PressureConfig::default());
        proof(plan, [&was, &after], view, verdict)
    }
    fn harm(&self, plan: &Plan, before: &Before) -> Option<Proof> {
        let now = self.now();
        let published = self.view();
        let view = &published.cluster.view;
        let since = now.minus(MEANWHILE).max(before.window.to);
        let (was, meanwhile) = (self.was(before), self.since(since, now));
        let harm = harm_meanwhile(&was, &meanwhile, plan, &config(plan, view))?;
        Some(proof(plan, [&was, &meanwhile], view, Verdict::Regressed { harm }))
    }
    fn missed(&self, plan: &Plan) -> Option<Sign> {
        if plan.given_back.is_empty() {
            return None;
        }
        let published = self.view();
        let since = watched_since(plan, &published.cluster.plans)?;
        sign(plan, &published.usage, &published.cluster.view, since, self.now())
    }
    fn against_merging(&self, edge: &EdgeId) -> Vec<Unmergeable> {
        let published = self.view();
        let adviser = Adviser {
            cluster: &published.cluster.view,
            snapshot: &published.snapshot,
            uses: &Uses::new(),
            config: &DiagnoseConfig::default(),
        };
        adviser.against(edge)
    }
    fn against_way(&self, edge: &EdgeId, way: Way) -> Vec<Unmergeable> {
        against_standing(&self.view().cluster.view, edge, way)
    }
    fn usual(&self, edge: &EdgeId) -> Option<Usual> {
        Usual::of(edge, &self.view().snapshot)
    }
    fn merged(&self, edge: &EdgeId, usual: Option<&Usual>, from: Timestamp) -> (Option<Percent>, Option<Percent>) {
        let now = self.now();
        if let Some(usual) = usual {
            let heard = all_report(&self.view(), &edge.source);
            let inside = heard.then(|| usual.inside(edge, &self.since(from, now))).flatten();
            return (inside, usual.others());
        }
        // The slot in which it began holds calls from before.
        let since = self.since(from, now);
        let inside = since.edges.get(edge).and_then(|stats| {
            let inside = stats
                .by_locality
                .get(&Locality::SamePod)
                .map_or(0, |inside| inside.requests);
            share(inside, stats.total.requests)
        });
        // The graph's whole window: who calls seldom counts too.
        let published = self.view();
        let callers = || published.snapshot.edges_into(&edge.destination);
        let all: u64 = callers().map(|stats| stats.total.requests).sum();
        let own = published
            .snapshot
            .edges
            .get(edge)
            .map_or(0, |stats| stats.total.requests);
        (inside, share(all.saturating_sub(own), all))
    }
    fn inside_of(&self, edge: &EdgeId, pod: &PodUid, usual: Option<&Usual>, from: Timestamp) -> Option<Percent> {
        let since = self.since(from, self.now());
        if let Some(usual) = usual {
            let heard = all_report(&self.view(), &edge.source);
            return heard.then(|| usual.inside_of(edge, pod, &since)).flatten();
        }
        let pairs = || since.edges.get(edge).into_iter().flat_map(|stats| &stats.pairs);
        let own = || pairs().filter(|pair| pair.caller == *pod);
        let inside = own().filter(|pair| pair.locality == Locality::SamePod);
        let calls = |exchange: &Exchange| exchange.requests;
        share(
            inside.map(|pair| calls(&pair.exchange)).sum(),
            own().map(|pair| calls(&pair.exchange)).sum(),
        )
    }
    fn calls(&self, workload: &WorkloadId) -> BTreeSet<WorkloadId> {
        let published = self.view();
        let out = published.snapshot.edges_out_of(workload);
        out.map(|stats| stats.edge.destination.clone()).collect()
    }
    fn standing(&self, edge: &EdgeId) -> Standing {
        let published = self.view();
        let config = DiagnoseConfig::default().chatter;
        standing(edge, &published.snapshot, &published.cluster.view, &config)
    }
    fn routing(&self, service: &ServiceId, workload: &WorkloadId, to: RoutingMode) -> Result<(), GuardReason> {
        let published = self.view();
        let view = &published.cluster.view;
        let found = view.services.get(service).ok_or(GuardReason::Unmeasured)?;
        if let Some(by) = overriding(view, workload, found, view.pods_of(workload)) {
            return Err(GuardReason::Overridden { by });
        }
        let snapshot = &published.snapshot;
        if snapshot.edges_into(workload).next().is_none() {
            return Err(GuardReason::Unmeasured);
        }
        let now = self.now();
        // A pod that has just been moved has served for a part of the window only: judged on all of it, its twin would seem to
        // carry its load. So load is judged from when the youngest pod had settled, and until then the plan's prediction holds.
        let settled = settled(snapshot, view, workload);
        let (seen, judged) = match settled {
            Some(settled) if settled > now.minus(JUDGED) => ((**snapshot).clone(), false),
            Some(settled) if settled > snapshot.window.from => (self.since(settled, now), true),
            Some(_) | None => ((**snapshot).clone(), true),
        };
        match load_after_routing(&seen, view, workload, to, &PlannerConfig::default()) {
            RoutingLoad::Over { factor, .. } if judged => return Err(GuardReason::Overload { factor: factor.0 }),
            RoutingLoad::TooFewPods { .. } => return Err(GuardReason::TooFewPods),
            RoutingLoad::Over { .. } | RoutingLoad::Within { .. } => {}
        }
        match failing(&self.since(now.minus(RECENT), now), view, workload) {
            Some(pod) => Err(GuardReason::Errors { pod }),
            None => Ok(()),
        }
    }
}

/// Whether every pod of a workload has told something: that a silent one's calls are not seen shows nothing.
fn all_report(published: &Published, workload: &WorkloadId) -> bool {
    let name = workload.to_string();
    let mut known = published.state.workloads.iter().filter(|known| known.id == name);
    known.any(|known| !known.pods.is_empty() && known.pods.iter().all(|pod| pod.reporting))
}

/// A share in hundredths, rounded; `None` of fewer calls than tell anything.
fn share(part: u64, whole: u64) -> Option<Percent> {
    let rounded = part.saturating_mul(100).saturating_add(whole / 2);
    (whole >= TELLING).then(|| Percent(rounded / whole.max(1)))
}

/// Since when figures of the workload's pods are those that this plan set: since the last change of any plan for it. `None` where a newer
/// plan has changed them and stands: then that one is looked at, and this one again once that is rolled back.
fn watched_since(plan: &Plan, plans: &[huddle_api::Plan]) -> Option<Timestamp> {
    let own = |action: &huddle_api::PlanAction| {
        let sizes = matches!(
            action.kind,
            huddle_api::ActionKind::Size | huddle_api::ActionKind::Resize
        );
        let of = |it: &huddle_core::plan::GivenBack| {
            it.workload.name == action.workload.name && it.workload.namespace.as_str() == action.workload.namespace
        };
        sizes && plan.given_back.iter().any(of)
    };
    let begun = |other: &&huddle_api::Plan| {
        let steps = other.status.iter().flat_map(|status| &status.steps);
        let mut steps = other.spec.actions.iter().zip(steps);
        steps.any(|(action, step)| own(action) && step.receipt.is_some())
    };
    let mut since = Timestamp(i64::MIN);
    for other in plans.iter().filter(begun) {
        let status = other.status.as_ref()?;
        if other.spec.at > plan.at.0 && status.phase != huddle_api::PlanPhase::RolledBack {
            return None;
        }
        since = since.max(Timestamp(status.since));
    }
    Some(since)
}

/// When the youngest pod of the callee and of its callers had served long enough to be counted like the others.
fn settled(snapshot: &Snapshot, view: &ClusterView, callee: &WorkloadId) -> Option<Timestamp> {
    let callers = snapshot.edges_into(callee).map(|edge| &edge.edge.source);
    let created = |of: &WorkloadId| view.pods_of(of).map(|pod| pod.created).max();
    callers
        .chain(std::iter::once(callee))
        .filter_map(created)
        .max()
        .map(|youngest| youngest.plus(STARTING))
}

/// The workload's pod that fails most, if one fails too much.
fn failing(recent: &Snapshot, view: &ClusterView, workload: &WorkloadId) -> Option<String> {
    let mut pods: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for pair in recent.edges_into(workload).flat_map(|edge| &edge.pairs) {
        let (requests, errors) = pods.entry(&pair.callee).or_default();
        *requests = requests.saturating_add(pair.exchange.requests);
        *errors = errors.saturating_add(pair.exchange.errors);
    }
    let share = |(requests, errors): &(u64, u64)| *errors as f64 / (*requests).max(1) as f64;
    pods.iter()
        .filter(|(_, counts)| counts.1 >= FAILURES && share(counts) >= FAILING)
        .max_by(|a, b| share(a.1).total_cmp(&share(b.1)))
        .map(|(uid, _)| {
            view.pods
                .get(uid)
                .map_or_else(|| uid.to_string(), |pod| pod.name.clone())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{busy, cluster_of};
    use crate::testing::deployment;

    #[test]
    fn a_pod_that_fails_is_named() {
        let mut snapshot = busy(1);
        let (edge, stats) = snapshot.edges.pop_first().unwrap();
        let view = cluster_of(&stats);
        let mut recent = Snapshot {
            edges: BTreeMap::from([(edge.clone(), stats)]),
            ..snapshot
        };
        assert_eq!(failing(&recent, &view, &edge.destination), None);
        let pair = &mut recent.edges.get_mut(&edge).unwrap().pairs[0];
        pair.exchange.errors = pair.exchange.requests / 2;
        let name = pair.callee.to_string();
        assert_eq!(failing(&recent, &view, &edge.destination), Some(name));
        assert_eq!(failing(&recent, &view, &deployment("other")), None);
    }
}
