//! A snapshot of the graph as JSON: counts in one list, histograms as alternating distance to the bucket before and count.

use huddle_core::distribution::Distribution;
use huddle_core::graph::{EdgeStats, PairStats, Snapshot};
use huddle_core::id::{EdgeId, NodeName, PodUid};
use huddle_core::sample::{Exchange, Locality, RequestClass};
use huddle_core::time::{Timestamp, Window};
use huddle_core::units::Micros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// More requests than one exchange can hold: sums over all pairs of a cluster stay exact below it.
const MOST: u64 = 1 << 40;

/// The snapshot.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GraphFile {
    at: Timestamp,
    window: Window,
    pub(crate) edges: Vec<EdgeRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EdgeRow {
    pub(crate) edge: EdgeId,
    last: Timestamp,
    classes: BTreeMap<RequestClass, u64>,
    localities: BTreeMap<Locality, Sum>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pairs: Vec<PairRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PairRow {
    caller: PodUid,
    callee: PodUid,
    caller_node: NodeName,
    callee_node: NodeName,
    locality: Locality,
    sum: Sum,
}

/// An exchange. `n`: requests, errors, retried, missing served, request bytes, response bytes. `u`, `s`, `w`, `b`: histograms of
/// upstream, served, network and body time in µs.
#[derive(Serialize, Deserialize)]
struct Sum {
    n: [u64; 6],
    u: Vec<u64>,
    s: Vec<u64>,
    w: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    b: Vec<u64>,
}

/// Why a file is no graph.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGraph {
    /// An edge is there twice.
    #[error("edges: {0} is there twice")]
    Twice(String),
    /// A histogram does not consist of pairs of numbers.
    #[error("edges: {edge}: histogram {list} has an odd number of values")]
    Odd {
        /// Of which edge.
        edge: String,
        /// Which histogram.
        list: &'static str,
    },
    /// A count is larger than any cluster's.
    #[error("edges: {edge}: {value} requests in {list}; {MOST} is the most")]
    TooMany {
        /// Of which edge.
        edge: String,
        /// Where.
        list: &'static str,
        /// How many.
        value: u64,
    },
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
            b: flat(&exchange.body),
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

impl Sum {
    fn exchange(&self, edge: &EdgeId) -> Result<Exchange, InvalidGraph> {
        let [requests, errors, retried, missing_served, request_bytes, response_bytes] = self.n;
        for value in [requests, errors, retried, missing_served] {
            few(edge, "n", value)?;
        }
        let histogram = |list, flat| round(edge, list, flat);
        Ok(Exchange {
            requests,
            errors,
            retried,
            missing_served,
            request_bytes,
            response_bytes,
            upstream: histogram("u", &self.u)?,
            served: histogram("s", &self.s)?,
            network: histogram("w", &self.w)?,
            body: histogram("b", &self.b)?,
        })
    }
}

fn few(edge: &EdgeId, list: &'static str, value: u64) -> Result<(), InvalidGraph> {
    if value <= MOST {
        return Ok(());
    }
    let edge = edge.to_string();
    Err(InvalidGraph::TooMany { edge, list, value })
}

fn round(edge: &EdgeId, list: &'static str, flat: &[u64]) -> Result<Distribution, InvalidGraph> {
    let (pairs, []) = flat.as_chunks::<2>() else {
        let edge = edge.to_string();
        return Err(InvalidGraph::Odd { edge, list });
    };
    let mut distribution = Distribution::default();
    let mut lowest = 0_u64;
    for &[gap, count] in pairs {
        few(edge, list, count)?;
        lowest = lowest.saturating_add(gap);
        distribution.add(Micros(lowest), count);
    }
    Ok(distribution)
}

impl From<&Snapshot> for GraphFile {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            at: snapshot.at,
            window: snapshot.window,
            edges: snapshot.edges.values().map(EdgeRow::from).collect(),
        }
    }
}

impl GraphFile {
    /// Without the histograms of bodies, on which nothing is decided.
    pub(crate) fn without_bodies(mut self) -> Self {
        for edge in &mut self.edges {
            let pairs = edge.pairs.iter_mut().map(|pair| &mut pair.sum);
            for sum in edge.localities.values_mut().chain(pairs) {
                sum.b.clear();
            }
        }
        self
    }
}

impl From<&EdgeStats> for EdgeRow {
    fn from(stats: &EdgeStats) -> Self {
        Self {
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
                .map(|pair| PairRow {
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
}

impl TryFrom<EdgeRow> for EdgeStats {
    type Error = InvalidGraph;

    fn try_from(row: EdgeRow) -> Result<Self, InvalidGraph> {
        for count in row.classes.values() {
            few(&row.edge, "classes", *count)?;
        }
        let mut total = Exchange::default();
        let mut by_locality = BTreeMap::new();
        for (locality, sum) in &row.localities {
            let part = sum.exchange(&row.edge)?;
            total.merge(&part);
            by_locality.insert(*locality, part);
        }
        let pair = |pair: PairRow| {
            Ok(PairStats {
                exchange: pair.sum.exchange(&row.edge)?,
                caller: pair.caller,
                callee: pair.callee,
                caller_node: pair.caller_node,
                callee_node: pair.callee_node,
                locality: pair.locality,
            })
        };
        Ok(Self {
            total,
            by_locality,
            pairs: row.pairs.into_iter().map(pair).collect::<Result<_, _>>()?,
            classes: row.classes,
            last: row.last,
            edge: row.edge.clone(),
        })
    }
}

impl TryFrom<GraphFile> for Snapshot {
    type Error = InvalidGraph;

    fn try_from(file: GraphFile) -> Result<Self, InvalidGraph> {
        let mut edges = BTreeMap::new();
        for row in file.edges {
            let stats = EdgeStats::try_from(row)?;
            if let Some(twin) = edges.insert(stats.edge.clone(), stats) {
                return Err(InvalidGraph::Twice(twin.edge.to_string()));
            }
        }
        Ok(Self {
            at: file.at,
            window: file.window,
            edges,
        })
    }
}
