//! A gain that has faded: rules that nobody needs any more, and the plan that takes them away.
//!
//! ```text
//! use_of: what one look says ─► watched: since when, look after look ─► (the Rule's annotation) ─► withdrawals
//! ```
//!
//! What is remembered lies on the rule itself, so that it outlives the controller; time in which nobody looked counts for nothing.

use super::{Action, Objective, PlannerConfig, permission};
use crate::cluster::{ClusterView, Fade, SteadyRule};
use crate::diagnose::{Cause, Finding};
use crate::graph::{EdgeStats, Snapshot};
use crate::id::{NodeName, WorkloadId};
use crate::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// After so long without a look the watching begins anew: a controller that was away cannot say what was there meanwhile. Longer than an
/// upgrade, shorter than anything that happens once a day.
const GAP: Span = Span::seconds(2 * 3600);

/// What a rule was for and is gone. A closed set: label, JSON and words come from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Faded {
    /// The two call each other no more, or hardly.
    NotCalled,
    /// None of its pods stands beside one of theirs.
    Apart,
    /// They call each other, and calls that leave the node are no slower.
    NothingSaved,
    /// One of the two is gone.
    Gone,
}

impl Faded {
    /// The JSON name.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotCalled => "notCalled",
            Self::Apart => "apart",
            Self::NothingSaved => "nothingSaved",
            Self::Gone => "gone",
        }
    }
    /// For people, as a part of a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NotCalled => "the two hardly call each other any more",
            Self::Apart => "no pod of the one stands on a node of the other",
            Self::NothingSaved => "calls that leave the node are no slower than those that stay",
            Self::Gone => "one of the two is gone",
        }
    }
}

/// What one look says of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is of use, or nothing shows that it is not.
    Of,
    /// It is not.
    Gone(Faded),
    /// It cannot be said: a roll-out, pods that are not ready, nothing measured of either.
    Unknown,
}

/// Whether a rule is of use, by what was measured. Half as many requests as a plan asks for are called "hardly" (facts/loop.md A6: what was
/// done at 1.0 × a threshold is undone below 0.5 ×).
pub fn use_of(
    rule: &SteadyRule,
    snapshot: &Snapshot,
    findings: &[Finding],
    cluster: &ClusterView,
    config: &PlannerConfig,
) -> Use {
    let Some(beside) = &rule.beside else {
        return Use::Gone(Faded::Gone);
    };
    let (own, other) = match (cluster.workloads.get(&rule.workload), cluster.workloads.get(beside)) {
        (Some(own), Some(other)) => (own, other),
        (None, _) | (_, None) => return Use::Gone(Faded::Gone),
    };
    let unsettled = |workload: &crate::cluster::Workload| {
        workload.rolling || workload.ready < workload.replicas || workload.replicas == 0
    };
    if unsettled(own) || unsettled(other) {
        return Use::Unknown;
    }
    let touches = |edge: &&EdgeStats, one: &WorkloadId| edge.edge.source == *one || edge.edge.destination == *one;
    let seen = |one: &WorkloadId| snapshot.edges.values().any(|edge| touches(&edge, one));
    if !seen(&rule.workload) && !seen(beside) {
        return Use::Unknown;
    }
    let edges = snapshot.edges.values();
    let between: Vec<&EdgeStats> = edges
        .filter(|edge| touches(edge, &rule.workload) && touches(edge, beside))
        .collect();
    let calls = |edge: &&EdgeStats| {
        edge.classes
            .values()
            .fold(0, |sum: u64, more| sum.saturating_add(*more))
    };
    let called: u64 = between
        .iter()
        .map(|edge| calls(edge).max(edge.total.requests))
        .fold(0, u64::saturating_add);
    if called < config.min_requests / 2 {
        return Use::Gone(Faded::NotCalled);
    }
    let nodes = |of| -> BTreeSet<&NodeName> { cluster.pods_of(of).filter_map(|pod| pod.node.as_ref()).collect() };
    if nodes(&rule.workload).is_disjoint(&nodes(beside)) {
        return Use::Gone(Faded::Apart);
    }
    match between
        .iter()
        .all(|edge| saves_nothing(edge, findings, cluster, config))
    {
        true => Use::Gone(Faded::NothingSaved),
        false => Use::Of,
    }
}

/// Measured both near and far, and the far ones are no slower. Where calls that stay or bytes that cross zones count by themselves, being
/// near is a gain whatever the times are.
fn saves_nothing(edge: &EdgeStats, findings: &[Finding], cluster: &ClusterView, config: &PlannerConfig) -> bool {
    let policy = cluster.policies.get(&edge.edge.destination.namespace);
    let waiting_alone = policy.is_none_or(|policy| Objective::is_latency_alone(&policy.objective));
    let measured = |local| edge.part(local).requests >= config.min_requests;
    let mut findings = findings.iter().filter(|finding| finding.edge == edge.edge);
    waiting_alone
        && measured(true)
        && measured(false)
        && findings.any(|finding| matches!(finding.cause, Cause::NotDistance { .. }))
}

/// What is remembered of a rule after one more look at `now`.
pub fn watched(before: Option<&Fade>, seen: Use, now: Timestamp) -> Option<Fade> {
    let watching = before.filter(|fade| now.since(fade.seen) <= GAP);
    match seen {
        Use::Of => None,
        Use::Unknown => before.cloned(),
        Use::Gone(why) => Some(Fade {
            why,
            since: watching.map_or(now, |fade| fade.since),
            seen: now,
        }),
    }
}

/// Whether a newer rule of the same namespace takes the rule's place.
pub fn is_outranked(rule: &SteadyRule, rules: &[SteadyRule]) -> bool {
    rules
        .iter()
        .any(|newer| newer.workload.namespace == rule.workload.namespace && newer.outranks.contains(&rule.name))
}

/// The deletions that are due at `at`: of workloads whose rule in force has been of no use for as long as the policy of their namespace
/// says. Rules below it go first, so that none of them comes back into force.
pub(crate) fn withdrawals(cluster: &ClusterView, at: Timestamp) -> Vec<Action> {
    let rules = &cluster.steady;
    let due = |rule: &&SteadyRule| {
        let long = cluster.policy(&rule.workload.namespace).faded_after;
        let mut fade = rule.fade.iter();
        let faded = fade.any(|fade| at.since(fade.seen) <= GAP && fade.seen.since(fade.since) >= long);
        faded && !is_outranked(rule, rules) && permission::untouchable(cluster, &rule.workload).is_none()
    };
    let mut actions = Vec::new();
    for top in rules.iter().filter(due) {
        let Some(fade) = &top.fade else { continue };
        let mut below: Vec<&SteadyRule> = rules
            .iter()
            .filter(|rule| rule.workload == top.workload && top.outranks.contains(&rule.name))
            .collect();
        // One that outranks more of the others is the newer one.
        below.sort_by_key(|rule| {
            let under = below_count(rule, rules);
            (under, rule.name.clone())
        });
        for rule in below.into_iter().chain([top]) {
            actions.push(Action::Withdraw {
                workload: rule.workload.clone(),
                with: rule.beside.clone(),
                rule: rule.name.clone(),
                rule_uid: rule.uid.clone(),
                faded: fade.why,
                faded_since: fade.since,
            });
        }
    }
    actions
}

fn below_count(rule: &SteadyRule, rules: &[SteadyRule]) -> usize {
    let names = rules.iter().filter(|other| rule.outranks.contains(&other.name));
    names.count()
}
