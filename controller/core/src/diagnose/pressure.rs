//! Is it pressure? Requests to pods while they lacked something, laid beside requests to the same callee where and when nothing did.

use super::seen::{SIDECAR, Seen, Split, Strain};
use super::{Cause, DiagnoseConfig, Lack};
use crate::bounds;
use crate::distribution::Distribution;
use crate::graph::EdgeStats;
use crate::sample::Exchange;
use crate::units::Ratio;

/// What pressure has to say of one edge.
pub(super) enum Look {
    /// The callee lacks nothing.
    Nothing,
    /// It lacks something, and requests are as quick then as otherwise.
    Refuted,
    /// It lacks something; whether requests suffer from it cannot be told.
    Unclear,
    /// Requests suffer from it.
    Found(Found),
}

/// A cause with its weight against others.
pub(super) struct Found {
    pub(super) cause: Cause,
    /// Seconds of served time per second above that of calm requests.
    pub(super) cost: f64,
    /// The time the callee takes is at least half of the edge's tail.
    pub(super) dominates: bool,
}

/// `waits`: the share of its served time that the callee waits for its own callees.
pub(super) fn look(stats: &EdgeStats, seen: &Seen, waits: Ratio, seconds: f64, config: &DiagnoseConfig) -> Look {
    let Some(strain) = seen.strain(&stats.edge.destination) else {
        return Look::Nothing;
    };
    let split = seen.split(&stats.edge);
    if strain.lack == Lack::Memory && strain.kills > 0 {
        return Look::Found(killed(stats, strain, split, seconds, config));
    }
    let Some(split) = split else {
        return Look::Unclear;
    };
    let sidecar = strain.container.as_str() == SIDECAR;
    // A sidecar that is stopped delays what is measured on its way in and out as well.
    let time = if sidecar { upstream } else { served };
    let (pressed, calm) = (time(&split.pressed), time(&split.calm));
    if pressed.count() < config.min_part {
        return Look::Unclear;
    }
    let share = share_of_tail(&split.pressed);
    let dominates = sidecar || share.get() >= 0.5;
    let material = sidecar || share >= config.min_share;
    let compared = calm.count() >= config.min_part;
    let suffers = if compared {
        is_slower(pressed, calm, config)
    } else {
        let pressure = &config.pressure;
        let strong = strain.share.get() >= pressure.strong * pressure.throttled.get();
        strong && dominates && (sidecar || waits < pressure.mostly_waiting)
    };
    if suffers && material {
        Look::Found(found(
            strain,
            split,
            compared.then_some(calm),
            pressed,
            dominates,
            seconds,
        ))
    } else if compared {
        Look::Refuted
    } else {
        Look::Unclear
    }
}

/// A callee whose processes are killed is starved whatever its requests took: those that it was serving then are in no served time. It
/// comes first, since where it is called from changes nothing of that.
fn killed(stats: &EdgeStats, strain: &Strain, split: Option<&Split>, seconds: f64, config: &DiagnoseConfig) -> Found {
    let enough = |split: &&Split| split.pressed.served.count() >= config.min_part;
    let calm = split.map(|split| split.calm.clone()).unwrap_or_default();
    let split = Split {
        // Of few requests to the pods under pressure all of the edge tell more.
        pressed: split
            .filter(enough)
            .map_or_else(|| stats.total.clone(), |split| split.pressed.clone()),
        calm,
    };
    let compared = split.calm.served.count() >= config.min_part;
    let calm = compared.then_some(&split.calm.served);
    found(strain, &split, calm, &split.pressed.served, true, seconds)
}

fn upstream(exchange: &Exchange) -> &Distribution {
    &exchange.upstream
}

fn served(exchange: &Exchange) -> &Distribution {
    &exchange.served
}

/// Served p99 ÷ upstream p99: an indicator of size, as for the network's.
pub(super) fn share_of_tail(exchange: &Exchange) -> Ratio {
    let p99 = |distribution: &Distribution| distribution.quantile(0.99).map_or(0, |micros| micros.0);
    Ratio::of(p99(&exchange.served), p99(&exchange.upstream))
}

/// Whether requests under pressure are clearly slower at the tail: their p99 is, and more of them than one in a hundred, by the lower
/// bound, lie beyond what calm requests' p99 is at most.
fn is_slower(pressed: &Distribution, calm: &Distribution, config: &DiagnoseConfig) -> bool {
    let Some(calm_p99) = bounds::quantile(calm, 0.99, config.confidence) else {
        return false;
    };
    let p99 = pressed.quantile(0.99).map_or(0.0, |micros| micros.0 as f64);
    if p99 < calm_p99.at * config.pressure.slower {
        return false;
    }
    let beyond = calm_p99.high.unwrap_or(calm_p99.at);
    let slow: u64 = pressed
        .buckets()
        .filter(|(lowest, _)| lowest.0 as f64 > beyond)
        .map(|(_, count)| count)
        .sum();
    let share = slow as f64 / pressed.count().max(1) as f64;
    let independent = pressed.count() as f64 / config.confidence.design_effect.max(1.0);
    let error = (share * (1.0 - share) / independent.max(1.0)).sqrt();
    share - config.confidence.z * error > 0.01
}

fn found(
    strain: &Strain,
    split: &Split,
    calm: Option<&Distribution>,
    pressed: &Distribution,
    dominates: bool,
    seconds: f64,
) -> Found {
    let at = |distribution: &Distribution, q| distribution.quantile(q).unwrap_or_default();
    // Without calm requests the median stands for them: half of the requests still pass between two stops.
    let usual = match calm {
        Some(calm) => calm.mean(),
        None => pressed.quantile(0.50).map(|micros| micros.0 as f64),
    };
    let excess = (pressed.mean().unwrap_or(0.0) - usual.unwrap_or(0.0)).max(0.0);
    let per_second = if seconds > 0.0 {
        pressed.count() as f64 / seconds
    } else {
        0.0
    };
    let cause = Cause::Pressure {
        container: strain.container.clone(),
        lack: strain.lack,
        share: strain.share,
        pods: strain.pods,
        pods_seen: strain.pods_seen,
        cpu_used: strain.cpu_used,
        cpu_peak: strain.cpu_peak,
        cpu_limit: strain.limits.cpu,
        memory_peak: strain.memory_peak,
        memory_limit: strain.limits.memory,
        served_p50: at(&split.pressed.served, 0.50),
        served_p99: at(&split.pressed.served, 0.99),
        calm_p99: calm.map(|_| at(&split.calm.served, 0.99)),
    };
    Found {
        cause,
        cost: per_second * excess / 1e6,
        dominates,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Micros;

    fn of(values: impl IntoIterator<Item = u64>) -> Distribution {
        let mut distribution = Distribution::default();
        values.into_iter().for_each(|value| distribution.record(Micros(value)));
        distribution
    }

    #[test]
    fn slower_means_the_tail_and_not_by_luck() {
        let config = DiagnoseConfig::default();
        let calm = || (0..1000).map(|n| 500 + n % 100);
        let stopped = |every: u64| calm().map(move |us| if us % every == 0 { us + 60_000 } else { us });
        assert!(is_slower(&of(stopped(10)), &of(calm()), &config));
        assert!(!is_slower(&of(calm()), &of(calm()), &config));
        // Two in a hundred of 1000 correlated requests may be luck.
        assert!(!is_slower(&of(stopped(50)), &of(calm()), &config));
        assert!(!is_slower(&of(calm().map(|us| us + 60)), &of(calm()), &config));
    }
}
