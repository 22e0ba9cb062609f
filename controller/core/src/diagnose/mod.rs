//! Snapshot to findings: one cause per slow edge, with its evidence.
//!
//! Four rules look at an edge, each in a file of its own: `distance.rs`, `pressure.rs`, `downstream.rs`, `chatter.rs`;
//! [`diagnose_with`] weighs what they say against each other. What is under pressure is kept out of the comparison of distances first, so that a stopped
//! sidecar does not pass for a far one.

mod chatter;
mod config;
mod distance;
mod downstream;
mod finding;
mod pressure;
mod seen;
mod words;
pub use config::*;
pub use finding::*;
pub use seen::Seen;

use crate::graph::{EdgeStats, Snapshot};
use crate::id::PodUid;
use crate::sample::Exchange;
use chatter::Called;
use downstream::Waits;
use pressure::Look;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// One finding per edge of the snapshot, the costliest first, then by edge; without figures of use, so that nothing is called pressure.
pub fn diagnose(snapshot: &Snapshot, config: &DiagnoseConfig) -> Vec<Finding> {
    diagnose_with(snapshot, &Seen::default(), config)
}

/// One finding per edge of the snapshot, the costliest first, then by edge.
pub fn diagnose_with(snapshot: &Snapshot, seen: &Seen, config: &DiagnoseConfig) -> Vec<Finding> {
    let clear = without(snapshot, seen.blurred());
    let lenders = distance::Lenders::of(&clear, config);
    let waits = Waits::of(snapshot);
    let called = Called::of(snapshot);
    let seconds = snapshot.window.span().as_secs_f64();
    let mut findings: Vec<Finding> = snapshot
        .edges
        .values()
        .filter(|stats| stats.edge.source != stats.edge.destination)
        .map(|stats| {
            let unblurred = clear.edges.get(&stats.edge).unwrap_or(stats);
            let far = distance::look(unblurred, &lenders, config);
            let pressed = pressure::look(stats, seen, waits.share(stats), seconds, config);
            let hops = chatter::look(unblurred, &called, seconds, config);
            let (cause, cost) = weigh(stats, Looks { far, pressed, hops }, &waits, seconds, config);
            Finding {
                edge: stats.edge.clone(),
                cause,
                cost,
            }
        })
        .collect();
    findings.sort_by(|a, b| b.cost.total_cmp(&a.cost).then_with(|| a.edge.cmp(&b.edge)));
    findings
}

/// What each rule says of an edge alone.
struct Looks {
    far: Cause,
    pressed: Look,
    hops: Result<chatter::Found, NotChatter>,
}

/// Of several causes the one to act on first. Pressure comes before distance where the callee's time is most of the tail or costs
/// more: a starved callee is no quicker for being near. *Downstream* is said where neither is, and never where the callee may be
/// starved itself, unless nearly all its time is spent on its own calls. *Chatter* is what is left: never where the callee may be
/// starved, since its copies would be too, and beside distance only where moving is done and hops cost more than what is left of it.
fn weigh(stats: &EdgeStats, looks: Looks, waits: &Waits<'_>, seconds: f64, config: &DiagnoseConfig) -> (Cause, f64) {
    let Looks { far, pressed, hops } = looks;
    let network = distance::cost(&far, seconds);
    let (least, starved) = match pressed {
        Look::Found(found) if found.dominates || found.cost >= network => return (found.cause, found.cost),
        Look::Found(_) | Look::Unclear => (config.pressure.mostly_waiting, true),
        Look::Nothing | Look::Refuted => (config.min_waiting, false),
    };
    let further = match far {
        Cause::NotDistance { .. } => waits.look(stats, least, config),
        Cause::NotEnoughData { .. } if stats.total.network.count() >= config.min_requests => {
            waits.look(stats, least, config)
        }
        Cause::Distance { .. }
        | Cause::Pressure { .. }
        | Cause::Downstream { .. }
        | Cause::Chatter { .. }
        | Cause::Inside { .. }
        | Cause::NotEnoughData { .. } => None,
    };
    if let Some(further) = further {
        return (further, network);
    }
    let moved = stats.local_share() >= config.chatter.moved;
    let left = match far {
        Cause::NotDistance { .. } => true,
        Cause::Distance { .. } | Cause::NotEnoughData { .. } => moved,
        Cause::Pressure { .. } | Cause::Downstream { .. } | Cause::Chatter { .. } | Cause::Inside { .. } => false,
    };
    let why = match hops {
        Ok(hops) if left && !starved && hops.cost > network => return (hops.cause, hops.cost),
        Ok(_) => starved.then_some(NotChatter::MayBeStarved),
        Err(why) => Some(why),
    };
    match why.filter(|_| moved) {
        Some(why) => (far.not_chatter_because(why), network),
        None => (far, network),
    }
}

/// The snapshot without what was measured at those pods.
fn without<'a>(snapshot: &'a Snapshot, pods: &BTreeSet<PodUid>) -> Cow<'a, Snapshot> {
    if pods.is_empty() {
        return Cow::Borrowed(snapshot);
    }
    let mut clear = snapshot.clone();
    for stats in clear.edges.values_mut() {
        let before = stats.pairs.len();
        stats
            .pairs
            .retain(|pair| !pods.contains(&pair.caller) && !pods.contains(&pair.callee));
        if stats.pairs.len() < before {
            stats.total = Exchange::default();
            stats.by_locality.clear();
            for pair in &stats.pairs {
                stats.total.merge(&pair.exchange);
                stats
                    .by_locality
                    .entry(pair.locality)
                    .or_default()
                    .merge(&pair.exchange);
            }
        }
    }
    Cow::Owned(clear)
}
