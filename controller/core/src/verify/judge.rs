//! The judgement.

use super::gap::{judged, judged_by, merged};
use super::{EdgeVerdict, Harm, Verdict, Waiting};
use crate::bounds::{Bounds, Confidence, capped_mean, quantile};
use crate::cluster::ClusterView;
use crate::distribution::Distribution;
use crate::graph::{EdgeStats, Snapshot, WorkloadGraph};
use crate::id::{EdgeId, PodUid, WorkloadId};
use crate::plan::{Action, Plan, PlanKind};
use crate::time::{Span, Timestamp};
use crate::units::{Micros, Ratio};
use std::collections::{BTreeMap, BTreeSet};

/// When a verdict is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VerifyConfig {
    /// Requests with a network time wanted in each window, over all edges acted on. 10 000 show a shift of the median of a
    /// few per cent even at a design effect of 5 (facts/loop.md A4); the namespace's policy sets it.
    pub requests: u64,
    /// Each window's least length. Filters report every few seconds, each in its turn: a window shorter than that holds what some of the
    /// proxies happened to report in it, and its rate tells nothing. Two of the longest turns (5 s).
    pub window: Span,
    /// How long new pods settle before the after window starts: connections, caches, balancer weights.
    pub settle: Span,
    /// Load after ÷ before, in hundredths, between which the windows are comparable.
    pub load: (u64, u64),
    /// How sure an improvement must be.
    pub confidence: Confidence,
    /// How sure harm must be: stricter, since every look may err, and the guard rails are many and looked at often.
    pub harm_confidence: Confidence,
    /// Harm is at least this much slower, as a share.
    pub slower: Ratio,
    /// Harm is at least this much more errors, as a share of the requests.
    pub more_errors: Ratio,
    /// While a plan is carried out, so many failed calls on an edge of what it touches … Chosen, as the two below: the evictions that led to
    /// this (bed) failed some hundred of six hundred calls; a pod that misses one probe fails fewer than these.
    pub failures: u64,
    /// … that make up this share of its calls …
    pub failing: Ratio,
    /// … and so many times the share before, are harm.
    pub times_as_many: f64,
    /// A callee pod is harmed when it serves this many times slower, in hundredths, than its like did before.
    pub pod_slower: u64,
}

impl Default for VerifyConfig {
    fn default() -> Self {
        Self {
            requests: 10_000,
            window: Span::seconds(10),
            settle: Span::seconds(30),
            load: (50, 200),
            confidence: Confidence::default(),
            harm_confidence: Confidence {
                z: 3.291,
                design_effect: 10.0,
            },
            slower: Ratio::clamped(0.10),
            more_errors: Ratio::clamped(0.005),
            failures: 10,
            failing: Ratio::clamped(0.05),
            times_as_many: 4.0,
            pod_slower: 150,
        }
    }
}

/// Whether the window before acting holds enough; `None` = it does. Take it after the decision.
pub fn baseline(before: &Snapshot, plan: &Plan, config: &VerifyConfig) -> Option<Waiting> {
    let (seen, wanted) = (timed(before, plan), wanted(plan, config));
    if seen < wanted {
        return Some(Waiting::Requests { seen, wanted });
    }
    too_short(before, plan, config)
}

/// Where calls are counted, the window has to be long enough to tell their rate.
fn too_short(window: &Snapshot, plan: &Plan, config: &VerifyConfig) -> Option<Waiting> {
    let left = config.window.0.saturating_sub(window.window.span().0);
    (left > 0 && wanted(plan, config) > 0).then_some(Waiting::Window { left_ms: left })
}

/// The deletion of a rule that nobody needs changes no calls: there is nothing to wait for.
fn wanted(plan: &Plan, config: &VerifyConfig) -> u64 {
    match plan.kind() {
        PlanKind::Withdrawal => 0,
        PlanKind::Nearer | PlanKind::Relief | PlanKind::Merge | PlanKind::GiveBack => config.requests,
    }
}

fn timed(snapshot: &Snapshot, plan: &Plan) -> u64 {
    acted_on(snapshot, plan).fold(0, |sum, stats| sum.saturating_add(judged(plan, stats).count()))
}

fn acted_on<'a>(snapshot: &'a Snapshot, plan: &'a Plan) -> impl Iterator<Item = &'a EdgeStats> {
    judged_by(plan, snapshot).into_iter()
}

/// Judges what was done. `after` starts where acting ended plus [`VerifyConfig::settle`]; call it again while it says waiting.
/// Harm is seen as soon as it is sure, also before there are requests enough for an improvement.
pub fn judge(
    before: &Snapshot,
    after: &Snapshot,
    plan: &Plan,
    cluster: &ClusterView,
    config: &VerifyConfig,
    now: Timestamp,
) -> Verdict {
    let waiting = |waiting| Verdict::Waiting { waiting };
    if now < after.window.from {
        let left_ms = after.window.from.since(now).0;
        return waiting(Waiting::Settling { left_ms });
    }
    let load = load_percent(before, after, plan);
    let comparable = load.is_none_or(|percent| (config.load.0..=config.load.1).contains(&percent));
    if let Some(harm) = errors(before, after, config).or_else(|| {
        let slower = || pods(before, after, plan, cluster, config).or_else(|| entries(before, after, config));
        comparable
            .then(|| acted(before, after, plan, config).or_else(slower))
            .flatten()
    }) {
        return Verdict::Regressed { harm };
    }
    let seen = timed(before, plan).min(timed(after, plan));
    let wanted = wanted(plan, config);
    if seen < wanted {
        return waiting(Waiting::Requests { seen, wanted });
    }
    if let Some(short) = too_short(after, plan, config) {
        return waiting(short);
    }
    if let (false, Some(percent)) = (comparable, load) {
        return waiting(Waiting::Load { percent });
    }
    let (was, is) = merged(before, after, plan);
    let tail = plan.resizes() && is_tail_lower(&was, &is, config.confidence);
    match compare(&was, &is, config.confidence) {
        Some((was, is)) if is_lower(was, is) || (tail && !is_lower(is, was)) => Verdict::Improved,
        Some(_) | None => Verdict::Unchanged,
    }
}

/// Surely lower.
fn is_lower(was: Bounds, is: Bounds) -> bool {
    is.high.is_some_and(|high| high < was.low)
}

/// The p99 is surely lower. A cpu limit stops some of the calls and leaves the others as they are: where they are few, the mean of all
/// hardly shows what their tail does.
fn is_tail_lower(was: &Distribution, is: &Distribution, confidence: Confidence) -> bool {
    let (was, is) = (quantile(was, 0.99, confidence), quantile(is, 0.99, confidence));
    matches!((was, is), (Some(was), Some(is)) if is_lower(was, is))
}

/// The same question asked of one edge alone, of the part of its calls that the plan is to change. The plan's verdict is asked of all edges together: an edge may
/// stay as it was in a plan that helped.
pub fn edge_verdict(plan: &Plan, before: &EdgeStats, after: Option<&EdgeStats>, config: &VerifyConfig) -> EdgeVerdict {
    let Some(after) = after else {
        return EdgeVerdict::Waiting;
    };
    let (was, is) = (judged(plan, before), judged(plan, after));
    if was.count().min(is.count()) < HARM_REQUESTS {
        return EdgeVerdict::Waiting;
    }
    if slower(was, is, 1.0 + config.slower.get(), config).is_some() {
        return EdgeVerdict::Regressed;
    }
    let tail = plan.resizes() && is_tail_lower(was, is, config.confidence);
    match compare(was, is, config.confidence) {
        Some((was, is)) if is_lower(was, is) || (tail && !is_lower(is, was)) => EdgeVerdict::Improved,
        Some(_) | None => EdgeVerdict::Unchanged,
    }
}

/// Means of both sides, everything above the before side's p99 capped there.
fn compare(was: &Distribution, is: &Distribution, confidence: Confidence) -> Option<(Bounds, Bounds)> {
    let cap = was.quantile(0.99)?;
    Some((capped_mean(was, cap, confidence)?, capped_mean(is, cap, confidence)?))
}

/// Requests per second on the edges acted on, after ÷ before in hundredths; `None` where one window is empty.
fn load_percent(before: &Snapshot, after: &Snapshot, plan: &Plan) -> Option<u64> {
    let rate = |snapshot: &Snapshot| -> f64 {
        let span = snapshot.window.span();
        acted_on(snapshot, plan).map(|stats| stats.rate(span)).sum()
    };
    let (was, is) = (rate(before), rate(after));
    (was > 0.0 && after.window.span().0 > 0).then(|| (is / was * 100.0).round() as u64)
}

/// Fewer requests than this on either side show no harm: the normal bounds need some.
const HARM_REQUESTS: u64 = 200;

/// Capped means then and now if it is surely and markedly slower.
fn slower(was: &Distribution, is: &Distribution, factor: f64, config: &VerifyConfig) -> Option<(Micros, Micros)> {
    let (then, now) = compare(was, is, config.harm_confidence)?;
    let enough = was.count().min(is.count()) >= HARM_REQUESTS;
    let sure = then.high.is_some_and(|high| now.low > high);
    (enough && sure && now.at > then.at * factor).then_some((Micros(then.at as u64), Micros(now.at as u64)))
}

/// The part of the calls that the plan was to change.
fn acted(before: &Snapshot, after: &Snapshot, plan: &Plan, config: &VerifyConfig) -> Option<Harm> {
    let factor = 1.0 + config.slower.get();
    acted_on(after, plan)
        .find_map(|now| {
            let then = before.edges.get(&now.edge)?;
            let (before, after) = slower(judged(plan, then), judged(plan, now), factor, config)?;
            let edge = now.edge.clone();
            Some(match plan.kind() {
                PlanKind::Merge if plan.direct().is_some() => Harm::Served { edge, before, after },
                PlanKind::Relief | PlanKind::GiveBack => Harm::Served { edge, before, after },
                PlanKind::Merge => Harm::Calls { edge, before, after },
                PlanKind::Nearer | PlanKind::Withdrawal => Harm::Network { edge, before, after },
            })
        })
        .or_else(|| {
            (plan.kind() == PlanKind::GiveBack)
                .then(|| tail(before, after, plan, config))
                .flatten()
        })
}

/// The p99 of served calls, surely and markedly higher: a lower limit stops few calls first, and their mean hardly shows it.
fn tail(before: &Snapshot, after: &Snapshot, plan: &Plan, config: &VerifyConfig) -> Option<Harm> {
    acted_on(after, plan).find_map(|now| {
        let then = before.edges.get(&now.edge)?;
        let (was, is) = (judged(plan, then), judged(plan, now));
        let enough = was.count().min(is.count()) >= HARM_REQUESTS;
        let p99 = |served| quantile(served, 0.99, config.harm_confidence);
        let (was, is) = (p99(was)?, p99(is)?);
        (enough && is_lower(is, was) && is.at > was.at * (1.0 + config.slower.get())).then(|| Harm::ServedTail {
            edge: now.edge.clone(),
            before: Micros(was.at as u64),
            after: Micros(is.at as u64),
        })
    })
}

/// The callee's pods one by one, against all of the callee's pods before: local routing can load one pod alone.
fn pods(
    before: &Snapshot,
    after: &Snapshot,
    plan: &Plan,
    cluster: &ClusterView,
    config: &VerifyConfig,
) -> Option<Harm> {
    let factor = config.pod_slower as f64 / 100.0;
    acted_on(after, plan).find_map(|now| {
        let was = &before.edges.get(&now.edge)?.total.served;
        let mut served: BTreeMap<&PodUid, Distribution> = BTreeMap::new();
        for pair in &now.pairs {
            served.entry(&pair.callee).or_default().merge(&pair.exchange.served);
        }
        served.into_iter().find_map(|(uid, is)| {
            let (before, after) = slower(was, &is, factor, config)?;
            let pod = cluster
                .pods
                .get(uid)
                .map_or_else(|| uid.to_string(), |pod| pod.name.clone());
            Some(Harm::CalleePod {
                edge: now.edge.clone(),
                pod,
                before,
                after,
            })
        })
    })
}

/// Entry points: the calls of workloads nobody measured calls, as their callers see them.
fn entries(before: &Snapshot, after: &Snapshot, config: &VerifyConfig) -> Option<Harm> {
    let factor = 1.0 + config.slower.get();
    WorkloadGraph::of(before).entries().iter().find_map(|entry| {
        before.edges_out_of(entry).find_map(|then| {
            let now = after.edges.get(&then.edge)?;
            let (before, after) = slower(&then.total.upstream, &now.total.upstream, factor, config)?;
            Some(Harm::Entry {
                edge: then.edge.clone(),
                before,
                after,
            })
        })
    })
}

/// What must end an action under way, or just done: errors that surely rose on any edge, or calls to or from what it touches that fail in
/// numbers. Times are no reason yet: pods that start are slow. `meanwhile`: half a minute or so, since acting began.
pub fn harm_meanwhile(before: &Snapshot, meanwhile: &Snapshot, plan: &Plan, config: &VerifyConfig) -> Option<Harm> {
    errors(before, meanwhile, config).or_else(|| failing(before, meanwhile, plan, config))
}

/// Errors come together: all of an outage are one event, and [`errors`], which allows for that, finds none of them sure where calls are few.
/// What is changed at this moment is not given that benefit of the doubt.
fn failing(before: &Snapshot, meanwhile: &Snapshot, plan: &Plan, config: &VerifyConfig) -> Option<Harm> {
    let ends = plan.edges().flat_map(|edge| [&edge.source, &edge.destination]);
    let touched: BTreeSet<&WorkloadId> = ends.chain(plan.actions.iter().flat_map(Action::touches)).collect();
    let near = |edge: &EdgeId| touched.contains(&edge.source) || touched.contains(&edge.destination);
    let share = |stats: &EdgeStats| Ratio::of(stats.total.errors, stats.total.requests);
    meanwhile.edges.values().filter(|now| near(&now.edge)).find_map(|now| {
        let was = before.edges.get(&now.edge).map_or(Ratio::ZERO, share);
        let is = share(now);
        let many = now.total.errors >= config.failures && is.get() >= config.failing.get();
        (many && is.get() >= config.times_as_many * was.get()).then(|| Harm::Errors {
            edge: now.edge.clone(),
            before: was,
            after: is,
        })
    })
}

/// Errors on any edge: the two shares compared with their pooled standard error (two-proportion z test), requests counted
/// with the design effect.
fn errors(before: &Snapshot, after: &Snapshot, config: &VerifyConfig) -> Option<Harm> {
    let Confidence { z, design_effect } = config.harm_confidence;
    after.edges.values().find_map(|now| {
        let then = before.edges.get(&now.edge)?;
        let n = |stats: &EdgeStats| stats.total.requests as f64 / design_effect;
        let share = |stats: &EdgeStats| Ratio::of(stats.total.errors, stats.total.requests);
        let (was, is) = (share(then), share(now));
        let (m, n) = (n(then), n(now));
        let pooled = (was.get() * m + is.get() * n) / (m + n).max(1.0);
        let error = (pooled * (1.0 - pooled) * (1.0 / m.max(1.0) + 1.0 / n.max(1.0))).sqrt();
        let rise = is.get() - was.get();
        (rise > config.more_errors.get() && rise > z * error).then(|| Harm::Errors {
            edge: now.edge.clone(),
            before: was,
            after: is,
        })
    })
}
