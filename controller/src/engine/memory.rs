//! A snapshot small enough for an API object: what a verdict needs of the before window after a restart.

use huddle_core::distribution::Distribution;
use huddle_core::graph::{EdgeStats, PairStats, Snapshot};
use huddle_core::id::{EdgeId, NodeName, PodUid};
use huddle_core::sample::{Exchange, Locality, RequestClass};
use huddle_core::time::{Timestamp, Window};
use huddle_core::units::Micros;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Largest size as JSON, in bytes; act keeps it in the plan's status.
const MOST: usize = 240 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    at: Timestamp,
    window: Window,
    edges: Vec<Edge>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Edge {
    edge: EdgeId,
    last: Timestamp,
    classes: BTreeMap<RequestClass, u64>,
    localities: BTreeMap<Locality, Sum>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pairs: Vec<Pair>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pair {
    caller: PodUid,
    callee: PodUid,
    caller_node: NodeName,
    callee_node: NodeName,
    locality: Locality,
    sum: Sum,
}

/// An exchange: counts, and histograms as alternating distance to the bucket before and count. The body's is left out: no verdict
/// rests on it.
#[derive(Serialize, Deserialize)]
struct Sum {
    n: [u64; 6],
    u: Vec<u64>,
    s: Vec<u64>,
    w: Vec<u64>,
}

impl From<&Exchange> for Sum {
    fn from(exchange: &Exchange) -> Self {
        Self {
            n: [
                exchange.requests,
                exchange.errors,
                exchange.retried,
                exchange.missing_served,
                exchange.request_bytes,
                exchange.response_bytes,
            ],
            u: flat(&exchange.upstream),
            s: flat(&exchange.served),
            w: flat(&exchange.network),
        }
    }
}

impl From<&Sum> for Exchange {
    fn from(sum: &Sum) -> Self {
        let [requests, errors, retried, missing_served, request_bytes, response_bytes] = sum.n;
        Self {
            requests,
            errors,
            retried,
            missing_served,
            request_bytes,
            response_bytes,
            upstream: round(&sum.u),
            served: round(&sum.s),
            network: round(&sum.w),
            body: Distribution::default(),
        }
    }
}

fn flat(distribution: &Distribution) -> Vec<u64> {
    let mut flat = Vec::new();
    let mut last = 0;
    for (lowest, count) in distribution.buckets() {
        flat.extend([lowest.0 - last, count]);
        last = lowest.0;
    }
    flat
}

fn round(flat: &[u64]) -> Distribution {
    let mut distribution = Distribution::default();
    let mut lowest = 0_u64;
    for &[gap, count] in flat.as_chunks::<2>().0 {
        lowest = lowest.saturating_add(gap);
        distribution.add(Micros(lowest), count);
    }
    distribution
}

/// Writes a snapshot. Where it is too large, pairs of pods are left out, first those of edges that are not in `needed`, then all,
/// then the edges that are not needed.
pub(super) fn remember(snapshot: &Snapshot, needed: &BTreeSet<&EdgeId>) -> Value {
    let mut memory = Memory {
        at: snapshot.at,
        window: snapshot.window,
        edges: snapshot.edges.values().map(edge).collect(),
    };
    let write = |memory: &Memory| serde_json::to_value(memory).unwrap_or_default();
    let fits = |value: &Value| value.to_string().len() <= MOST;
    let mut value = write(&memory);
    for step in 0..3 {
        if fits(&value) {
            break;
        }
        match step {
            0 => {
                for edge in memory.edges.iter_mut().filter(|edge| !needed.contains(&edge.edge)) {
                    edge.pairs.clear();
                }
            }
            1 => memory.edges.iter_mut().for_each(|edge| edge.pairs.clear()),
            _ => memory.edges.retain(|edge| needed.contains(&edge.edge)),
        }
        value = write(&memory);
    }
    value
}

fn edge(stats: &EdgeStats) -> Edge {
    Edge {
        edge: stats.edge.clone(),
        last: stats.last,
        classes: stats.classes.clone(),
        localities: stats
            .by_locality
            .iter()
            .map(|(locality, sum)| (*locality, sum.into()))
            .collect(),
        pairs: stats
            .pairs
            .iter()
            .map(|pair| Pair {
                caller: pair.caller.clone(),
                callee: pair.callee.clone(),
                caller_node: pair.caller_node.clone(),
                callee_node: pair.callee_node.clone(),
                locality: pair.locality,
                sum: (&pair.exchange).into(),
            })
            .collect(),
    }
}

/// Reads it back; `None` if it is of another making.
pub(super) fn recall(value: &Value) -> Option<Snapshot> {
    let memory: Memory = serde_json::from_value(value.clone()).ok()?;
    let edges = memory.edges.into_iter().map(|edge| {
        let by_locality: BTreeMap<Locality, Exchange> = edge
            .localities
            .iter()
            .map(|(locality, sum)| (*locality, sum.into()))
            .collect();
        let mut total = Exchange::default();
        by_locality.values().for_each(|part| total.merge(part));
        let stats = EdgeStats {
            edge: edge.edge.clone(),
            total,
            by_locality,
            pairs: edge
                .pairs
                .into_iter()
                .map(|pair| PairStats {
                    caller: pair.caller,
                    callee: pair.callee,
                    caller_node: pair.caller_node,
                    callee_node: pair.callee_node,
                    locality: pair.locality,
                    exchange: (&pair.sum).into(),
                })
                .collect(),
            classes: edge.classes,
            last: edge.last,
        };
        (edge.edge, stats)
    });
    Some(Snapshot {
        at: memory.at,
        window: memory.window,
        edges: edges.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::busy;

    #[test]
    fn a_snapshot_survives_a_restart() {
        let snapshot = busy(3);
        let value = remember(&snapshot, &BTreeSet::new());
        assert_eq!(recall(&value), Some(snapshot));
        assert_eq!(recall(&Value::Null), None);
    }

    #[test]
    fn what_is_too_large_loses_pairs_before_it_loses_edges() {
        let snapshot = busy(400);
        let first = snapshot.edges.keys().next().unwrap();
        let value = remember(&snapshot, &BTreeSet::from([first]));
        assert!(value.to_string().len() <= MOST);
        let back = recall(&value).unwrap();
        assert_eq!(back.edges[first].total, snapshot.edges[first].total);
    }
}
