//! Is it distance? The comparison of an edge's local with its remote requests: a natural experiment (DESIGN, "Telemetry").

use super::{Cause, DiagnoseConfig, LocalEvidence};
use crate::bounds::{Stratum, stratified_difference};
use crate::distribution::Distribution;
use crate::graph::{EdgeStats, Snapshot};
use crate::id::{NodeName, PodUid};
use crate::sample::{Exchange, Locality};
use crate::units::{Micros, Ratio};
use std::collections::{BTreeMap, BTreeSet};

/// Seconds of network time per second that same-node requests would not spend: remote requests per second × the lower bound
/// of what each would save.
pub(super) fn cost(cause: &Cause, seconds: f64) -> f64 {
    match cause {
        Cause::Distance {
            remote_requests,
            saved_p50_at_least,
            ..
        } if seconds > 0.0 => *remote_requests as f64 / seconds * saved_p50_at_least.0 as f64 / 1e6,
        Cause::Distance { .. }
        | Cause::Pressure { .. }
        | Cause::Downstream { .. }
        | Cause::Chatter { .. }
        | Cause::Inside { .. }
        | Cause::NotEnoughData { .. }
        | Cause::NotDistance { .. } => 0.0,
    }
}

/// Distance, not distance, inside the pod, or too little to say, of one edge alone.
pub(super) fn look(stats: &EdgeStats, lenders: &Lenders, config: &DiagnoseConfig) -> Cause {
    let calls = stats.total.requests;
    let inside = stats.by_locality.get(&Locality::SamePod);
    let inside = inside.map_or(0, |inside| inside.requests);
    let share = Ratio::of(inside, calls);
    if calls >= config.min_requests && share >= config.inside {
        return Cause::Inside {
            requests: inside,
            share,
        };
    }
    let timed = stats.total.network.count();
    if timed < config.min_requests {
        return Cause::NotEnoughData {
            requests: timed,
            wanted: config.min_requests,
        };
    }
    let (local, remote) = (stats.part(true), stats.part(false));
    if remote.requests == 0 {
        return not_distance(None);
    }
    if remote.network.count() < config.min_part {
        return Cause::NotEnoughData {
            requests: remote.network.count(),
            wanted: config.min_part,
        };
    }
    let own = local.network.count() >= config.min_part;
    let lent = if own { None } else { lenders.saving(stats) };
    let (evidence, local, strata) = match (own, lent) {
        (true, _) => (LocalEvidence::Own, local.network, own_strata(stats, config)),
        (false, Some(_)) => (LocalEvidence::Borrowed, lenders.local.clone(), Vec::new()),
        (false, None) => {
            let (borrowed, strata) = lenders.for_edge(stats, config);
            (LocalEvidence::Borrowed, borrowed, strata)
        }
    };
    if local.count() < config.min_part {
        return Cause::NotEnoughData {
            requests: local.count(),
            wanted: config.min_part,
        };
    }
    weigh(&Comparison {
        evidence,
        local,
        remote,
        by_distance: by_distance(stats),
        strata,
        lent,
        config,
    })
}

struct Comparison<'a> {
    evidence: LocalEvidence,
    local: Distribution,
    remote: Exchange,
    /// The remote requests' network times, each distance for itself.
    by_distance: Vec<Distribution>,
    strata: Vec<Stratum>,
    /// What other edges save between the same distances, where they tell.
    lent: Option<f64>,
    config: &'a DiagnoseConfig,
}

fn weigh(compared: &Comparison<'_>) -> Cause {
    let Comparison {
        evidence,
        local,
        remote,
        by_distance,
        strata,
        lent,
        config,
    } = compared;
    let network_share = share_at(remote, 0.99);
    let large = network_share >= config.min_share || share_at(remote, 0.50) >= config.min_share;
    // Where no callee pod has both local and remote callers, the parts are compared whole: the callee's own speed is in the
    // served time, not in the network part, so the pods differ little in it.
    let whole = [Stratum {
        slow: by_distance.clone(),
        fast: local.clone(),
    }];
    let counts = match evidence {
        LocalEvidence::Own => 1.0,
        LocalEvidence::Borrowed => config.borrowed_counts.get(),
    };
    let compared = || {
        stratified_difference(strata, 0.50, config.confidence)
            .or_else(|| stratified_difference(&whole, 0.50, config.confidence))
            .map(|difference| difference.low)
    };
    let saved = lent.or_else(compared).unwrap_or(0.0) * counts;
    let remote_p50 = remote.network.quantile(0.50).unwrap_or_default();
    let call_p50 = remote.upstream.quantile(0.50).unwrap_or_default();
    let least = (config.min_saved.0 as f64)
        .max(config.min_saved_share.get() * remote_p50.0 as f64)
        .max(config.min_saved_of_call.get() * call_p50.0 as f64);
    if !large || saved < least {
        return not_distance(Some(network_share));
    }
    Cause::Distance {
        network_share,
        local_p50: local.quantile(0.50).unwrap_or_default(),
        local_p99: local.quantile(0.99).unwrap_or_default(),
        remote_p50,
        remote_p99: remote.network.quantile(0.99).unwrap_or_default(),
        local_requests: local.count(),
        remote_requests: remote.requests,
        saved_p50_at_least: Micros(saved as u64),
        local_evidence: *evidence,
    }
}

fn not_distance(network_share: Option<Ratio>) -> Cause {
    Cause::NotDistance {
        network_share,
        not_chatter: None,
    }
}

fn by_distance(stats: &EdgeStats) -> Vec<Distribution> {
    let remote = stats.by_locality.iter().filter(|(locality, _)| !locality.is_local());
    remote.map(|(_, part)| part.network.clone()).collect()
}

/// Network quantile ÷ upstream quantile, each of its own merged distribution: an indicator of size, not a difference of
/// quantiles.
pub(super) fn share_at(exchange: &Exchange, q: f64) -> Ratio {
    let at = |distribution: &Distribution| distribution.quantile(q).map_or(0, |micros| micros.0);
    Ratio::of(at(&exchange.network), at(&exchange.upstream))
}

/// What one callee pod or node was called from, by distance: same zone and other zone are never mixed, as the median of two
/// humps says little.
type Remote = BTreeMap<Locality, Distribution>;

/// One stratum per callee pod that has local and remote callers: LEAST_REQUEST prefers near and quick pods, so only
/// requests to the same pod are compared (facts/loop.md A8). Parts weigh as their remote requests: these would become local.
fn own_strata(stats: &EdgeStats, config: &DiagnoseConfig) -> Vec<Stratum> {
    strata_of(by_callee(stats).into_values(), config)
}

fn by_callee(stats: &EdgeStats) -> BTreeMap<&PodUid, (Remote, Distribution)> {
    let mut pods: BTreeMap<&PodUid, (Remote, Distribution)> = BTreeMap::new();
    for pair in &stats.pairs {
        let (slow, fast) = pods.entry(&pair.callee).or_default();
        if pair.locality.is_local() {
            fast.merge(&pair.exchange.network);
        } else {
            slow.entry(pair.locality).or_default().merge(&pair.exchange.network);
        }
    }
    pods
}

fn strata_of(parts: impl Iterator<Item = (Remote, Distribution)>, config: &DiagnoseConfig) -> Vec<Stratum> {
    let enough = |part: &Distribution| part.count() >= config.min_stratum;
    parts
        .filter(|(_, fast)| enough(fast))
        .map(|(slow, fast)| Stratum {
            slow: slow.into_values().filter(enough).collect(),
            fast,
        })
        .filter(|stratum| !stratum.slow.is_empty())
        .collect()
}

/// What edges without local requests borrow.
///
/// First the *difference* that distance makes on edges which have both kinds of requests, for each distance: what the wire adds is a
/// matter of the two places, while a local time is also one of the payload and of how busy the callee's proxy is (of the load
/// generator's own requests at a front door, say). Only where no edge tells, same-node times by node, over all edges.
pub(super) struct Lenders {
    nodes: BTreeMap<NodeName, Distribution>,
    /// Lower bound in µs, at p50.
    differences: BTreeMap<Locality, f64>,
    /// The local requests behind the differences.
    local: Distribution,
}

impl Lenders {
    pub(super) fn of(snapshot: &Snapshot, config: &DiagnoseConfig) -> Self {
        let mut strata: BTreeMap<Locality, Vec<Stratum>> = BTreeMap::new();
        let mut local = Distribution::default();
        for stats in snapshot.edges.values() {
            let own = stats.part(true).network;
            if own.count() < config.min_part {
                continue;
            }
            local.merge(&own);
            for (slow, fast) in by_callee(stats).into_values() {
                for (locality, part) in slow {
                    let alone = (BTreeMap::from([(locality, part)]), fast.clone());
                    let usable = strata_of(std::iter::once(alone), config);
                    strata.entry(locality).or_default().extend(usable);
                }
            }
        }
        let difference = |strata: &Vec<Stratum>| stratified_difference(strata, 0.50, config.confidence);
        Self {
            nodes: Self::nodes(snapshot),
            differences: strata
                .iter()
                .filter_map(|(locality, strata)| Some((*locality, difference(strata)?.low)))
                .collect(),
            local,
        }
    }

    /// What the edge's remote requests would save if distance costs them what it costs others, as a mean; distances that no
    /// other edge tells of count as no saving. `None` where none is told of.
    fn saving(&self, stats: &EdgeStats) -> Option<f64> {
        let remote = || stats.by_locality.iter().filter(|(locality, _)| !locality.is_local());
        let all: u64 = remote().map(|(_, part)| part.network.count()).sum();
        let told = remote().filter_map(|(locality, part)| {
            let difference = self.differences.get(locality)?;
            Some(difference * part.network.count() as f64)
        });
        let told: Vec<f64> = told.collect();
        (!told.is_empty() && all > 0).then(|| told.iter().sum::<f64>() / all as f64)
    }

    fn nodes(snapshot: &Snapshot) -> BTreeMap<NodeName, Distribution> {
        let mut nodes: BTreeMap<NodeName, Distribution> = BTreeMap::new();
        for pair in snapshot.edges.values().flat_map(|stats| &stats.pairs) {
            match pair.locality {
                Locality::SameNode => nodes
                    .entry(pair.callee_node.clone())
                    .or_default()
                    .merge(&pair.exchange.network),
                Locality::SamePod | Locality::SameZone | Locality::OtherZone => {}
            }
        }
        nodes
    }

    /// What the nodes at both ends of the edge's remote pairs saw locally, whole and as strata by callee node.
    fn for_edge(&self, stats: &EdgeStats, config: &DiagnoseConfig) -> (Distribution, Vec<Stratum>) {
        let mut ends: BTreeSet<&NodeName> = BTreeSet::new();
        let mut remote: BTreeMap<&NodeName, Remote> = BTreeMap::new();
        for pair in stats.pairs.iter().filter(|pair| !pair.locality.is_local()) {
            ends.extend([&pair.caller_node, &pair.callee_node]);
            let part = remote.entry(&pair.callee_node).or_default();
            part.entry(pair.locality).or_default().merge(&pair.exchange.network);
        }
        let mut whole = Distribution::default();
        ends.iter()
            .filter_map(|node| self.nodes.get(*node))
            .for_each(|lent| whole.merge(lent));
        let strata = remote
            .into_iter()
            .filter_map(|(node, slow)| Some((slow, self.nodes.get(node)?.clone())));
        (whole, strata_of(strata, config))
    }
}
