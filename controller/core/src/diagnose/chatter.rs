//! Is it chatter? What is left of the network time when both ends are on one node: the proxies and the hops between them.
//!
//! Measured on the edge's own same-node requests and on nothing else: a remote time holds the wire, which is distance's to explain.

use super::distance::share_at;
use super::{Cause, DiagnoseConfig, NotChatter};
use crate::bounds;
use crate::graph::{EdgeStats, Snapshot};
use crate::id::WorkloadId;
use crate::sample::{Exchange, Locality};
use crate::units::{Bytes, Micros, Ratio};
use std::collections::{BTreeMap, BTreeSet};

/// How often each workload is called, and by how many others.
pub(super) struct Called<'a>(BTreeMap<&'a WorkloadId, (u64, u64)>);

impl<'a> Called<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        let mut called: BTreeMap<&WorkloadId, (u64, u64)> = BTreeMap::new();
        for stats in snapshot.edges.values().filter(|stats| stats.total.requests > 0) {
            let (requests, callers) = called.entry(&stats.edge.destination).or_default();
            *requests = requests.saturating_add(stats.total.requests);
            *callers += 1;
        }
        Self(called)
    }
    fn of_callee(&self, stats: &EdgeStats) -> (u64, u64) {
        self.0.get(&stats.edge.destination).copied().unwrap_or_default()
    }
}

/// Chatter, with its weight against others.
pub(super) struct Found {
    pub(super) cause: Cause,
    /// Seconds per second that all the edge's calls would not spend on hops, at least.
    pub(super) cost: f64,
}

/// Chatter of one edge alone.
///
/// # Errors
/// What it is not for.
pub(super) fn look(
    stats: &EdgeStats,
    called: &Called<'_>,
    seconds: f64,
    config: &DiagnoseConfig,
) -> Result<Found, NotChatter> {
    let wanted = &config.chatter;
    let near = measured(stats, seconds, config)?;
    let network_share = share_at(near, 0.50);
    let of_tail = share_at(near, 0.99);
    if network_share < wanted.dominates || of_tail < config.min_share {
        return Err(NotChatter::HopsAreLittle {
            at_p50: network_share,
            at_p99: of_tail,
        });
    }
    let pods: BTreeSet<_> = stats.pairs.iter().map(|pair| &pair.caller).collect();
    let rate = stats.total.requests as f64 / seconds;
    let calls_per_pod = rate / pods.len().max(1) as f64;
    if calls_per_pod < wanted.rate_per_pod {
        return Err(NotChatter::FewCalls {
            calls_per_pod,
            wanted: wanted.rate_per_pod,
        });
    }
    let bytes = stats.total.request_bytes.saturating_add(stats.total.response_bytes);
    let bytes_per_call = Bytes(bytes.checked_div(stats.total.requests).unwrap_or(0));
    if bytes_per_call > wanted.bytes_per_call {
        return Err(NotChatter::LargeCalls {
            bytes_per_call,
            at_most: wanted.bytes_per_call,
        });
    }
    let (all, callers) = called.of_callee(stats);
    let caller_share = Ratio::of(stats.total.requests, all);
    if caller_share < wanted.caller_share {
        return Err(NotChatter::OtherCallers { caller_share });
    }
    let p50 = bounds::quantile(&near.network, 0.50, config.confidence).ok_or_else(|| few(near, config))?;
    let saved = p50.low * (1.0 - wanted.proxied.1.get());
    let saved_p50_at_least = Micros(saved as u64);
    if saved < (config.min_saved.0 as f64).max(config.min_saved_share.get() * p50.at) {
        return Err(NotChatter::LittleSaved { saved_p50_at_least });
    }
    let cause = Cause::Chatter {
        network_share,
        same_node_p50: Micros(p50.at as u64),
        same_node_p99: near.network.quantile(0.99).unwrap_or_default(),
        same_node_requests: near.network.count(),
        local_share: stats.local_share(),
        calls_per_pod,
        caller_share,
        callers,
        bytes_per_call,
        saved_p50_at_least,
    };
    Ok(Found {
        cause,
        cost: rate * saved / 1e6,
    })
}

/// What was measured of the edge on one node, where it is enough.
fn measured<'a>(stats: &'a EdgeStats, seconds: f64, config: &DiagnoseConfig) -> Result<&'a Exchange, NotChatter> {
    let near = stats
        .by_locality
        .get(&Locality::SameNode)
        .ok_or(NotChatter::FewMeasured {
            requests: 0,
            wanted: config.min_part,
        })?;
    let enough = near.network.count() >= config.min_part && stats.total.network.count() >= config.min_requests;
    if enough && seconds > 0.0 {
        Ok(near)
    } else {
        Err(few(near, config))
    }
}

fn few(near: &Exchange, config: &DiagnoseConfig) -> NotChatter {
    NotChatter::FewMeasured {
        requests: near.network.count(),
        wanted: config.min_part,
    }
}
