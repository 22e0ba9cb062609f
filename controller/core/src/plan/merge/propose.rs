//! Which merge is proposed, and what stands in its way today beside the rules of refusal: rights, roll-outs, plans of before.

use super::{Advice, Adviser, Unmergeable, gain};
use crate::cluster::{ClusterView, Merged, Parted};
use crate::diagnose::{Cause, DiagnoseConfig, Finding};
use crate::graph::Snapshot;
use crate::id::{EdgeId, WorkloadId};
use crate::plan::permission::{immovable, untouchable};
use crate::plan::{Action, Plan, PlanKind, Refusal, RefusalReason, Trigger};
use crate::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// How long a merge that was overtaken is not proposed again. Chosen: longer than a roll-out, and than the graph remembers calls of before.
const OVERTAKEN: Span = Span::seconds(30 * 60);
/// The longest it waits, however often that happened.
const OVERTAKEN_MOST: Span = Span::seconds(24 * 3600);
/// How long one is not proposed again that somebody undid, or that did harm. A day: facts/loop.md A6.
const UNWANTED: Span = Span::seconds(24 * 3600);
/// The longest it waits, however often that happened: each try replaces all of the caller's pods, twice.
const UNWANTED_MOST: Span = Span::seconds(14 * 24 * 3600);

impl Parted {
    /// From when on it may be proposed again without anybody asking: each time in a row twice as long.
    pub fn until(&self) -> Timestamp {
        let (first, most) = match self.unwanted {
            true => (UNWANTED, UNWANTED_MOST),
            false => (OVERTAKEN, OVERTAKEN_MOST),
        };
        let doublings = u32::try_from(self.times.saturating_sub(1)).unwrap_or(u32::MAX);
        let longer = first.0.saturating_mul(2_u64.saturating_pow(doublings));
        self.last.plus(Span(longer.min(most.0)))
    }
}

/// Why a callee does not join its caller's pods. A closed set: label, JSON and sentence come from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "why", rename_all_fields = "camelCase")]
pub enum Unmerged {
    /// No companion may join pods of the namespace.
    NoRight,
    /// One of the two may not be touched now.
    Untouchable {
        /// Which.
        which: WorkloadId,
        /// Why.
        because: Box<RefusalReason>,
    },
    /// One of the two is part of a merge already, or of one under way.
    Inside {
        /// Whose plan.
        plan: String,
    },
    /// It was tried a short while ago.
    Parted {
        /// In which plan last.
        plan: String,
        /// How often in a row.
        times: u64,
        /// When it may be proposed again.
        until: Timestamp,
    },
    /// A rule of refusal says no.
    Against {
        /// Which.
        against: Unmergeable,
    },
}

/// The merge that chatter calls for, of the edge that it costs most: where the namespace's policy says `merges`, nothing stands against it,
/// and it was not undone a short while ago. Beside `first`, a plan of another kind, but not while somebody is starved. What is refused of such
/// edges says why.
pub fn merge_beside(
    first: &Plan,
    adviser: &Adviser<'_>,
    findings: &[Finding],
    at: Timestamp,
) -> (Option<Plan>, Vec<Refusal>) {
    let mut refusals = Vec::new();
    if !first.actions.is_empty() && !PlanKind::Merge.is_beside(first.kind()) {
        return (None, refusals);
    }
    let is_chatter = |finding: &&Finding| {
        let policy = || adviser.cluster.policy(&finding.edge.source.namespace);
        matches!(finding.cause, Cause::Chatter { .. }) && policy().merges
    };
    let mut chatter: Vec<&Finding> = findings.iter().filter(is_chatter).collect();
    chatter.sort_by(|a, b| b.cost.total_cmp(&a.cost).then_with(|| a.edge.cmp(&b.edge)));
    for finding in chatter {
        let edge = &finding.edge;
        let advice = adviser.advise(edge, findings);
        let mut against = hindrances(adviser.cluster, edge, &advice);
        against.extend(parted(adviser.cluster, edge, at));
        if against.is_empty() && advice.recommends(advice.way) {
            return (Some(plan_of(advice, refusals, Vec::new(), at)), Vec::new());
        }
        refusals.extend(against.into_iter().map(|why| refusal(edge, why)));
    }
    (None, refusals)
}

/// The merge that somebody asks for, chatter or not, whatever became of it before.
///
/// # Errors
/// Everything that stands against it.
pub fn asked_for(
    edge: &EdgeId,
    adviser: &Adviser<'_>,
    findings: &[Finding],
    at: Timestamp,
) -> Result<Plan, Vec<Refusal>> {
    let advice = adviser.advise(edge, findings);
    let against = hindrances(adviser.cluster, edge, &advice);
    match against.is_empty() {
        true => Ok(plan_of(advice, Vec::new(), vec![Trigger::Asked], at)),
        false => Err(against.into_iter().map(|why| refusal(edge, why)).collect()),
    }
}

/// What a merge of the plan's edge would save by this snapshot, at least; nothing where too little is measured on one node.
pub(crate) fn saved_now(plan: &Plan, snapshot: &Snapshot) -> f64 {
    let config = DiagnoseConfig::default();
    let seconds = snapshot.window.span().as_secs_f64();
    let gains = plan.merging.iter().filter_map(|advice| {
        let stats = snapshot.edges.get(&advice.edge)?;
        let gain = gain(stats, seconds, config.min_part, &config.chatter)?;
        Some(gain.saved(advice.way).0)
    });
    gains.sum()
}

fn plan_of(advice: Advice, refusals: Vec<Refusal>, because: Vec<Trigger>, at: Timestamp) -> Plan {
    Plan {
        at,
        actions: vec![Action::Merge {
            workload: advice.edge.source.clone(),
            with: advice.edge.destination.clone(),
            way: advice.way,
        }],
        expected: Vec::new(),
        relief: Vec::new(),
        given_back: Vec::new(),
        spread: Vec::new(),
        refusals,
        pods_restarted: advice.extra.pods,
        because,
        saved: advice.gain.as_ref().map_or(0.0, |gain| gain.saved(advice.way).0),
        merging: vec![advice],
    }
}

fn refusal(edge: &EdgeId, why: Unmerged) -> Refusal {
    Refusal {
        workload: edge.destination.clone(),
        with: Some(edge.source.clone()),
        reason: RefusalReason::Unmerged { why },
    }
}

/// What stands against it today, whoever wants it.
fn hindrances(cluster: &ClusterView, edge: &EdgeId, advice: &Advice) -> Vec<Unmerged> {
    let (caller, callee) = (&edge.source, &edge.destination);
    let policy = cluster.policy(&caller.namespace);
    let mut found = Vec::new();
    if !policy.may_merge {
        found.push(Unmerged::NoRight);
    }
    let untouched = |id: &WorkloadId, because: Option<RefusalReason>| {
        because.map(|because| Unmerged::Untouchable {
            which: id.clone(),
            because: Box::new(because),
        })
    };
    // The caller's pods are replaced one by one, as if they moved; the callee's own stay where they are.
    let pods: Vec<_> = cluster.pods_of(caller).collect();
    found.extend(untouched(
        caller,
        immovable(cluster, caller, cluster.workloads.get(caller), &pods),
    ));
    let rolling = cluster.workloads.get(callee).is_some_and(|callee| callee.rolling);
    let callee_is = untouchable(cluster, callee).or_else(|| rolling.then_some(RefusalReason::Rolling));
    found.extend(untouched(callee, callee_is));
    let part = |merged: &&Merged| {
        let ends = [&merged.caller, &merged.callee];
        merged.parted.is_none() && (ends.contains(&caller) || ends.contains(&callee))
    };
    found.extend(cluster.merged.iter().find(part).map(|merged| Unmerged::Inside {
        plan: merged.plan.clone(),
    }));
    let rules = advice.against.iter().filter(|reason| reason.forbids(advice.way));
    found.extend(rules.map(|against| Unmerged::Against {
        against: against.clone(),
    }));
    found
}

/// It was undone, and that is not long ago enough.
fn parted(cluster: &ClusterView, edge: &EdgeId, at: Timestamp) -> Option<Unmerged> {
    let of = |merged: &&Merged| merged.caller == edge.source && merged.callee == edge.destination;
    let merged = cluster.merged.iter().find(of)?;
    let parted = merged.parted.as_ref().filter(|parted| at < parted.until())?;
    Some(Unmerged::Parted {
        plan: merged.plan.clone(),
        times: parted.times,
        until: parted.until(),
    })
}
