//! How much of the way to "all same-node" was gone: all edges acted on, taken together.

use crate::distribution::Distribution;
use crate::graph::{EdgeStats, Snapshot};
use crate::id::EdgeId;
use crate::plan::{Plan, PlanKind};
use crate::units::Ratio;
use serde::{Deserialize, Serialize};

/// An edge needs this many same-node requests before to have a same-node distribution worth scaling up.
pub const LOCAL_REQUESTS: u64 = 100;

/// Counts are scaled by this before rounding, so that rare buckets of an edge that weighs little survive.
const FINE: f64 = 1000.0;

/// The proof of all edges acted on, together (issue 3, Step 4).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// (before − after) ÷ (before − same-node before) at network p50; `None` without a gap or without data.
    pub p50: Option<f64>,
    /// The same at network p99.
    pub p99: Option<f64>,
    /// Requests with a network time in the before window, over the edges compared.
    pub before_requests: u64,
    /// The same in the after window.
    pub after_requests: u64,
    /// Same-node ones in the before window.
    pub local_requests: u64,
    /// Edges acted on that had too few same-node requests before to compare with, or none at all now.
    pub left_out: Vec<EdgeId>,
    /// Same-node share of all edges acted on before, weighted by their before-requests.
    pub local_share_before: Ratio,
    /// The same after.
    pub local_share_after: Ratio,
    /// Calls that were not same-node before: those of the edges acted on ÷ all.
    pub share_of_calls: Ratio,
}

/// Several edges' distributions merged, each weighted by its before-requests.
#[derive(Clone, Debug, Default)]
struct Merged(Distribution);

impl Merged {
    fn add(&mut self, part: &Distribution, weight: u64) {
        let count = part.count();
        if count > 0 {
            self.0.merge_scaled(part, weight as f64 / count as f64 * FINE);
        }
    }
    fn at(&self, q: f64) -> Option<f64> {
        self.0.quantile(q).map(|micros| micros.0 as f64)
    }
}

/// Computes the gap closed. Every edge weighs as much as it had requests before, in all three histograms, so that a shift of
/// load between edges neither helps nor harms.
pub fn gap(before: &Snapshot, after: &Snapshot, plan: &Plan) -> Gap {
    let mut gap = Gap::default();
    let (mut was, mut is, mut near) = (Merged::default(), Merged::default(), Merged::default());
    let (mut weights, mut share_before, mut share_after) = (0.0, 0.0, 0.0);
    let mut far = 0_u64;
    for edge in plan.expected.iter().map(|expected| &expected.edge) {
        let (Some(then), Some(now)) = (before.edges.get(edge), after.edges.get(edge)) else {
            gap.left_out.push(edge.clone());
            continue;
        };
        let weight = then.total.requests as f64;
        weights += weight;
        share_before += weight * then.local_share().get();
        share_after += weight * now.local_share().get();
        far = far.saturating_add(then.part(false).requests);
        let (local, count) = (then.part(true).network, then.total.network.count());
        if local.count() < LOCAL_REQUESTS || now.total.network.is_empty() {
            gap.left_out.push(edge.clone());
            continue;
        }
        was.add(&then.total.network, count);
        is.add(&now.total.network, count);
        near.add(&local, count);
        gap.before_requests = gap.before_requests.saturating_add(count);
        gap.after_requests = gap.after_requests.saturating_add(now.total.network.count());
        gap.local_requests = gap.local_requests.saturating_add(local.count());
    }
    let all_far = before
        .edges
        .values()
        .fold(0_u64, |sum, edge| sum.saturating_add(edge.part(false).requests));
    let closed = |q: f64| {
        let (was, is, near) = (was.at(q)?, is.at(q)?, near.at(q)?);
        (was > near).then(|| (was - is) / (was - near))
    };
    gap.p50 = closed(0.50);
    gap.p99 = closed(0.99);
    gap.local_share_before = Ratio::clamped(share_before / f64::max(weights, 1.0));
    gap.local_share_after = Ratio::clamped(share_after / f64::max(weights, 1.0));
    gap.share_of_calls = Ratio::of(far, all_far);
    gap
}

/// The edges by which a plan is judged: those acted on. Where a callee joined its caller's pods over loopback no proxy sees their calls, so
/// those to the caller: what it gets sooner it serves sooner, and what it does not get it fails to serve.
pub fn judged_by<'a>(plan: &'a Plan, snapshot: &'a Snapshot) -> Vec<&'a EdgeStats> {
    match plan.direct() {
        Some(caller) => snapshot.edges_from_others(caller).collect(),
        None => plan.edges().filter_map(|edge| snapshot.edges.get(edge)).collect(),
    }
}

/// The part of an edge's calls that the plan is to change: their network time; where it gives pods more cpu, the time in which
/// they are served; where it runs the callee inside its caller's pods, all of it, since no proxy of the callee's is there to tell the two
/// apart.
pub(super) fn judged<'a>(plan: &Plan, stats: &'a EdgeStats) -> &'a Distribution {
    match plan.kind() {
        // Of calls to the caller, since its own pass no proxy.
        PlanKind::Merge if plan.direct().is_some() => &stats.total.served,
        PlanKind::Relief | PlanKind::GiveBack => &stats.total.served,
        PlanKind::Merge => &stats.total.upstream,
        PlanKind::Nearer | PlanKind::Withdrawal => &stats.total.network,
    }
}

/// That part of the edges' calls before and after, each merged with the edges' before-weights, the after side scaled to as many
/// requests as it really has (bounds must not gain from weighting).
pub(super) fn merged(before: &Snapshot, after: &Snapshot, plan: &Plan) -> (Distribution, Distribution) {
    let edges: Vec<_> = judged_by(plan, before)
        .into_iter()
        .filter_map(|then| Some((then, after.edges.get(&then.edge)?)))
        .map(|(then, now)| (judged(plan, then), judged(plan, now)))
        .filter(|(then, now)| !then.is_empty() && !now.is_empty())
        .collect();
    let mut was = Distribution::default();
    edges.iter().for_each(|(then, _)| was.merge(then));
    let (total, seen) = (was.count(), edges.iter().map(|(_, now)| now.count()).sum::<u64>());
    let mut is = Distribution::default();
    for (then, now) in edges {
        let share = then.count() as f64 / total.max(1) as f64;
        is.merge_scaled(now, share * seen as f64 / now.count().max(1) as f64);
    }
    (was, is)
}
