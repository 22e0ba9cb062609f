//! What a call would take inside the pod: the edge's own same-node requests × what was measured elsewhere. A merge was never measured on
//! the edge itself, so every figure is borrowed, and said to be.

use crate::bounds;
use crate::diagnose::ChatterConfig;
use crate::graph::EdgeStats;
use crate::sample::Locality;
use crate::units::Micros;
use serde::{Deserialize, Serialize};

/// How calls would reach a callee inside the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// Through the caller's own proxy, 127.0.0.1 first and the callee's Service next.
    #[default]
    Proxied,
    /// Over loopback, with nothing in between.
    Direct,
}

impl Way {
    /// Whether it is what holds where nothing is said: such a field is left out.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What an edge's calls would gain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gain {
    /// Same-node requests behind the figures.
    pub requests: u64,
    /// Their network p50.
    pub same_node_p50: Micros,
    /// Network p50 expected through the caller's proxy, low and high.
    pub proxied_p50: (Micros, Micros),
    /// Network p50 expected over loopback, low and high.
    pub direct_p50: (Micros, Micros),
    /// Calls per second on the edge.
    pub calls_per_second: f64,
    /// Waiting that all of them together would save in each second behind the proxy, in seconds: low and high. Calls that leave their
    /// node today are counted as if they were near: what moving would bring is not merging's to claim.
    pub saved_per_second: (f64, f64),
    /// The same over loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_direct_per_second: Option<(f64, f64)>,
}

impl Gain {
    /// Network p50 expected, low and high.
    pub fn p50(&self, way: Way) -> (Micros, Micros) {
        match way {
            Way::Proxied => self.proxied_p50,
            Way::Direct => self.direct_p50,
        }
    }
    /// Waiting that all calls together would save in each second this way, in seconds: low and high. Of an older plan, the least.
    pub fn saved(&self, way: Way) -> (f64, f64) {
        match way {
            Way::Proxied => self.saved_per_second,
            Way::Direct => self.saved_direct_per_second.unwrap_or(self.saved_per_second),
        }
    }
}

/// What an edge would gain; `None` where fewer than `least` of its requests were measured on one node, or their bounds are not known.
/// Low: the lower bound of the same-node p50 × the best measured ratio; high: the upper bound × the worst.
pub fn gain(stats: &EdgeStats, seconds: f64, least: u64, config: &ChatterConfig) -> Option<Gain> {
    let near = stats.by_locality.get(&Locality::SameNode)?;
    if near.network.count() < least || seconds <= 0.0 {
        return None;
    }
    let p50 = bounds::quantile(&near.network, 0.50, bounds::Confidence::default())?;
    let high = p50.high?;
    let times = |ratios: (crate::units::Ratio, crate::units::Ratio)| {
        let (best, worst) = (p50.low * ratios.0.get(), high * ratios.1.get());
        (Micros(best as u64), Micros(worst.ceil() as u64))
    };
    let rate = stats.total.requests as f64 / seconds;
    let saved = |ratio: crate::units::Ratio, at: f64| rate * at * (1.0 - ratio.get()) / 1e6;
    Some(Gain {
        requests: near.network.count(),
        same_node_p50: Micros(p50.at as u64),
        proxied_p50: times(config.proxied),
        direct_p50: times(config.direct),
        calls_per_second: rate,
        saved_per_second: (saved(config.proxied.1, p50.low), saved(config.proxied.0, high)),
        saved_direct_per_second: Some((saved(config.direct.1, p50.low), saved(config.direct.0, high))),
    })
}
