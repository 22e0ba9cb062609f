//! What a state is worth, and what each edge may expect of it.

use super::model::{EdgeIx, EdgeModel, Model, WorkloadIx};
use super::routing::{Outlook, Split};
use super::{Brings, Expected};
use crate::bounds::mixture;
use crate::cluster::RoutingMode;
use crate::diagnose::Cause;
use crate::distribution::Distribution;
use crate::sample::Locality;
use crate::units::{Micros, Ratio};

/// Points against today, over all edges: seconds of waiting saved per second where nothing but waiting counts. Where an edge's
/// routing changes, today is the better of the measured and the modelled share: LEAST_REQUEST is nearer than the model already.
pub(crate) fn value(model: &Model<'_>, today: &Outlook, then: &Outlook) -> f64 {
    (0..model.edges.len()).map(|ix| worth(model, ix, today, then)).sum()
}

/// One edge's part of it.
pub(crate) fn worth(model: &Model<'_>, ix: EdgeIx, today: &Outlook, then: &Outlook) -> f64 {
    let edge = model.edges.get(ix);
    edge.map_or(0.0, |edge| points(model, edge, brings(edge, ix, today, then, model)))
}

/// What an edge brings, in points of the called workload's objective.
pub(crate) fn points(model: &Model<'_>, edge: &EdgeModel<'_>, brings: Brings) -> f64 {
    model
        .workload(edge.destination)
        .map_or(0.0, |callee| callee.objective.points(brings))
}

/// What an edge brings against today: waiting = value·(same-node share then − today), at the lower bound of the evidence; calls
/// kept on their node; money for what crosses zones. Of edges of unknown gain only lost waiting counts, of those whose ends may not
/// be brought together only losses.
pub(crate) fn brings(edge: &EdgeModel<'_>, ix: usize, today: &Outlook, then: &Outlook, model: &Model<'_>) -> Brings {
    let (before, after) = shares(edge, ix, today, then, model);
    let price = |outlook: &Outlook| outlook.splits.get(ix).unwrap_or_default().price;
    let brings = Brings {
        latency: edge.value * (after - before),
        traffic: edge.rate * (after - before),
        money: edge.gigabytes * (price(today) - price(then)),
    };
    let losses = brings.losses();
    Brings {
        latency: if edge.loss_only { losses.latency } else { brings.latency },
        ..if edge.consent { brings } else { losses }
    }
}

/// Same-node share of an edge today and then, on one scale.
pub(crate) fn shares(
    edge: &EdgeModel<'_>,
    ix: usize,
    today: &Outlook,
    then: &Outlook,
    model: &Model<'_>,
) -> (f64, f64) {
    let split = |outlook: &Outlook| outlook.splits.get(ix).unwrap_or_default().node;
    let measured = edge.measured;
    let mode = then.modes.get(edge.destination).copied();
    let changed = mode != model.workload(edge.destination).map(|callee| callee.mode);
    if changed && mode == Some(RoutingMode::PreferSameNode) {
        (measured.max(split(today)), split(then))
    } else {
        (measured, (measured + split(then) - split(today)).clamp(0.0, 1.0))
    }
}

/// Whether an edge's bytes cost clearly less on their way between zones; never where money is no object.
pub(crate) fn cheaper(model: &Model<'_>, ix: usize, before: &Outlook, then: &Outlook) -> bool {
    let price = |outlook: &Outlook| outlook.splits.get(ix).unwrap_or_default().price;
    price(before) - price(then) > price(before) * model.config.min_share_gained.get()
}

/// Whether one of these workloads that its owner already routes nearby would be overloaded, more than it is today.
pub(crate) fn overloads(model: &Model<'_>, followed: &[WorkloadIx], today: &Outlook, then: &Outlook) -> bool {
    let bound = model.config.load_bound.0 as f64 / 100.0;
    followed.iter().any(|ix| {
        let of = |outlook: &Outlook| outlook.factors.get(*ix).unwrap_or(0.0);
        let near = model
            .workload(*ix)
            .is_some_and(|workload| workload.mode != RoutingMode::Spread);
        near && of(then) > bound && of(then) > of(today) + 0.01
    })
}

/// What an edge may expect: bounds of the mixture of its parts under the predicted split (facts/loop.md A8). The cautious end
/// lets the same-node share fall short by the slack.
pub(crate) fn expected(
    model: &Model<'_>,
    ix: usize,
    today: &Outlook,
    then: &Outlook,
    borrowed: &Distribution,
) -> Option<Expected> {
    let edge = model.edges.get(ix)?;
    let (_, after) = shares(edge, ix, today, then, model);
    let split = then.splits.get(ix).unwrap_or_default();
    let parts = Parts::of(edge, borrowed);
    let slack = model.config.share_slack.get();
    let at = |q: f64| {
        let bounds = |share: f64| mixture(&parts.weighted(share, split), q, model.config.confidence);
        let (bold, cautious) = (bounds(after)?, bounds(after * (1.0 - slack))?);
        Some((bold.0.min(cautious.0), bold.1.max(cautious.1)))
    };
    let network = &edge.stats.total.network;
    Some(Expected {
        edge: edge.stats.edge.clone(),
        local_share_before: Ratio::clamped(edge.measured),
        local_share_after: Ratio::clamped(after),
        network_p50_before: network.quantile(0.50).unwrap_or(Micros(0)),
        network_p50: at(0.50)?,
        network_p99_before: network.quantile(0.99).unwrap_or(Micros(0)),
        network_p99: at(0.99)?,
    })
}

/// An edge's network times by distance; what was not measured is borrowed from the nearest that was.
struct Parts {
    node: Distribution,
    zone: Distribution,
    other: Distribution,
}

impl Parts {
    fn of(edge: &EdgeModel<'_>, borrowed: &Distribution) -> Self {
        let part = |locality| {
            let exchange = edge.stats.by_locality.get(&locality);
            exchange.map(|exchange| exchange.network.clone()).unwrap_or_default()
        };
        let own = match edge.finding.map(|finding| &finding.cause) {
            Some(Cause::Distance { local_evidence, .. }) => *local_evidence == crate::diagnose::LocalEvidence::Own,
            Some(_) | None => true,
        };
        let or = |first: Distribution, second: &Distribution| if first.is_empty() { second.clone() } else { first };
        let (zone, other) = (part(Locality::SameZone), part(Locality::OtherZone));
        Self {
            node: if own {
                edge.stats.part(true).network
            } else {
                borrowed.clone()
            },
            zone: or(zone.clone(), &other),
            other: or(other, &zone),
        }
    }

    fn weighted(&self, share: f64, split: Split) -> [(f64, &Distribution); 3] {
        let away = split.zone + split.other;
        let near = if away > 0.0 { split.zone / away } else { 0.5 };
        [
            (share, &self.node),
            ((1.0 - share) * near, &self.zone),
            ((1.0 - share) * (1.0 - near), &self.other),
        ]
    }
}
