//! Builders: from a stage's values to what people see, so that the page, the command line and the JSON API say the same.

use super::{
    EdgeView, ExpectedView, FindingView, GivenBackView, Localities, Part, ProofView, Quantiles, ReliefView, SpreadView,
    StepView, TogetherView, VerdictView,
};
use crate::cluster::{AtStart, Sizing};
use crate::diagnose::Finding;
use crate::graph::{EdgeStats, Snapshot};
use crate::id::EdgeId;
use crate::plan::{Action, Expected, GivenBack, PlaceForm, Plan, PlanKind, Refusal, Relief, Spread};
use crate::sample::{Exchange, Locality, RequestClass};
use crate::time::Span;
use crate::units::{Micros, Millicores, Ratio};
use crate::verify::{Gap, Verdict, VerifyConfig, edge_verdict};
use std::collections::BTreeMap;

impl From<&BTreeMap<Locality, Exchange>> for Localities {
    fn from(parts: &BTreeMap<Locality, Exchange>) -> Self {
        let of = |locality| parts.get(&locality).map(Part::from);
        Self {
            same_pod: of(Locality::SamePod),
            same_node: of(Locality::SameNode),
            same_zone: of(Locality::SameZone),
            other_zone: of(Locality::OtherZone),
        }
    }
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        Self {
            cause: finding.cause.label().to_owned(),
            sentence: finding.cause.sentence(),
        }
    }
}

impl EdgeView {
    /// An edge over a window of this length, with what diagnose says of it.
    pub fn new(stats: &EdgeStats, span: Span, finding: Option<&Finding>) -> Self {
        let total = &stats.total;
        let bytes = total.request_bytes.saturating_add(total.response_bytes);
        Self {
            source: stats.edge.source.to_string(),
            destination: stats.edge.destination.to_string(),
            protocol: protocol(&stats.classes).to_owned(),
            rps: stats.rate(span),
            error_rate: Ratio::of(total.errors, total.requests).get(),
            bytes_per_second: if span.0 == 0 {
                0.0
            } else {
                bytes as f64 / span.as_secs_f64()
            },
            local_share: stats.local_share().get(),
            total: total.into(),
            localities: (&stats.by_locality).into(),
            finding: finding.map(FindingView::from),
            merge: None,
            inside: None,
        }
    }
}

/// `http`, `grpc` or `http+grpc`; an edge of streams only is called after nothing it does not carry: `http`.
fn protocol(classes: &BTreeMap<RequestClass, u64>) -> &'static str {
    let has = |class| classes.get(&class).is_some_and(|requests| *requests > 0);
    match (has(RequestClass::Http), has(RequestClass::Grpc)) {
        (true, true) => "http+grpc",
        (false, true) => "grpc",
        (true | false, false) => "http",
    }
}

impl From<&Action> for StepView {
    fn from(action: &Action) -> Self {
        let step = Self {
            kind: action.label().to_owned(),
            sentence: action.sentence(),
            workload: Some(action.workload().to_string()),
            ..Self::default()
        };
        match action {
            Action::Place { with, .. } | Action::Cell { with, .. } | Action::Merge { with, .. } => Self {
                to: Some(with.to_string()),
                ..step
            },
            Action::Move { pod_name, from, to, .. } => Self {
                pod: Some(pod_name.clone()),
                from: Some(from.to_string()),
                to: Some(to.to_string()),
                ..step
            },
            Action::Route { from, to, .. } => Self {
                from: Some(from.label().to_owned()),
                to: Some(to.label().to_owned()),
                ..step
            },
            Action::Size { to, instead, form, .. } => Self {
                from: figure(instead, to).filter(|_| *form == PlaceForm::Template),
                to: figure(to, to),
                ..step
            },
            Action::Resize { pod_name, from, to, .. } => Self {
                pod: Some(pod_name.clone()),
                from: figure(from, &to.beyond(from)),
                to: figure(to, &to.beyond(from)),
                ..step
            },
            Action::Withdraw { with, .. } => Self {
                from: with.as_ref().map(ToString::to_string),
                ..step
            },
        }
    }
}

/// Of the figures those that `changes` sets: the first of cpu limit, memory limit and cpu request.
fn figure(of: &Sizing, changes: &Sizing) -> Option<String> {
    let cpu = |cpu: Option<Millicores>| cpu.map(|cpu| cpu.to_string());
    if changes.limits.cpu.is_some() {
        cpu(of.limits.cpu)
    } else if changes.limits.memory.is_some() {
        of.limits.memory.map(|memory| memory.to_string())
    } else {
        cpu(of.requests.cpu)
    }
}

impl From<&Refusal> for StepView {
    fn from(refusal: &Refusal) -> Self {
        Self {
            kind: refusal.reason.label().to_owned(),
            sentence: refusal.sentence(),
            workload: Some(refusal.workload.to_string()),
            to: refusal.with.as_ref().map(ToString::to_string),
            remedy: Some(refusal.reason.remedy()),
            ..Self::default()
        }
    }
}

impl From<&Expected> for ExpectedView {
    fn from(expected: &Expected) -> Self {
        let range = |before: Micros, (low, high): (Micros, Micros)| [before.0, low.0, high.0];
        Self {
            source: expected.edge.source.to_string(),
            destination: expected.edge.destination.to_string(),
            local_share: [expected.local_share_before.get(), expected.local_share_after.get()],
            network_p50_us: range(expected.network_p50_before, expected.network_p50),
            network_p99_us: range(expected.network_p99_before, expected.network_p99),
        }
    }
}

impl From<&Relief> for ReliefView {
    fn from(relief: &Relief) -> Self {
        let (low, high) = relief.served_p99;
        Self {
            source: relief.edge.source.to_string(),
            destination: relief.edge.destination.to_string(),
            container: relief.container.to_string(),
            throttled: [relief.throttled_before.get(), relief.throttled_after.get()],
            served_p99_us: [relief.served_p99_before.0, low.0, high.0],
            at_start: relief.at_start.as_ref().map(AtStart::sentence),
            lack: relief.lack.label().to_owned(),
            because: relief.because(),
        }
    }
}

impl From<&GivenBack> for GivenBackView {
    fn from(given: &GivenBack) -> Self {
        let (limits, requests, memory) = given.saved();
        Self {
            workload: given.workload.to_string(),
            container: given.container.to_string(),
            pods: given.pods,
            cpu_limits_m: limits.0,
            cpu_requests_m: requests.0,
            memory_bytes: memory.0,
            sentence: given.sentence(),
        }
    }
}

impl From<&Spread> for SpreadView {
    fn from(spread: &Spread) -> Self {
        Self {
            workload: spread.workload.to_string(),
            nodes: [spread.nodes_before, spread.nodes_after],
            zones: [spread.zones_before, spread.zones_after],
        }
    }
}

impl From<&Verdict> for VerdictView {
    fn from(verdict: &Verdict) -> Self {
        Self {
            outcome: verdict.label().to_owned(),
            sentence: verdict.sentence(),
        }
    }
}

impl ProofView {
    /// Each edge acted on, before and after; edges without a before are left out. Of calls inside a pod nobody tells a network part, so a merge
    /// shows none.
    pub fn all(plan: &Plan, before: &Snapshot, after: &Snapshot, config: &VerifyConfig) -> Vec<Self> {
        let proof = |edge: &EdgeId| {
            let was = before.edges.get(edge)?;
            let is = after.edges.get(edge);
            let share = |stats: &EdgeStats| stats.local_share().get();
            let part = |exchange: &Exchange| match plan.kind() {
                PlanKind::Merge => Part {
                    network: Quantiles::default(),
                    ..Part::from(exchange)
                },
                PlanKind::Relief | PlanKind::Nearer | PlanKind::Withdrawal | PlanKind::GiveBack => Part::from(exchange),
            };
            Some(Self {
                source: edge.source.to_string(),
                destination: edge.destination.to_string(),
                local_share: [share(was), is.map_or(0.0, share)],
                before: part(&was.total),
                local_before: part(&was.part(true)),
                after: is.map(|stats| part(&stats.total)).unwrap_or_default(),
                verdict: edge_verdict(plan, was, is, config).label().to_owned(),
            })
        };
        plan.edges().filter_map(proof).collect()
    }
}

impl TogetherView {
    /// All edges acted on, taken together. A gap that cannot be computed shows as 0.
    pub fn new(gap: &Gap, plan: &Plan) -> Self {
        Self {
            local_share: [gap.local_share_before.get(), gap.local_share_after.get()],
            gap_closed_p50: gap.p50.unwrap_or(0.0),
            gap_closed_p99: gap.p99.unwrap_or(0.0),
            share_of_calls: gap.share_of_calls.get(),
            pods_moved: plan.pods_restarted,
        }
    }
}
