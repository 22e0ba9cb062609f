//! What diagnose says of an edge.

use crate::id::EdgeId;
use crate::units::{Micros, Ratio};
use serde::{Deserialize, Serialize};

/// Where the local part of the comparison comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LocalEvidence {
    /// The same edge's own same-node requests.
    Own,
    /// Other edges' same-node requests over the same nodes: said as "borrowed".
    Borrowed,
}

/// Why an edge is slow, with what shows it. A closed set: label, JSON and sentence come from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "cause", rename_all_fields = "camelCase")]
pub enum Cause {
    /// The network part is a large share of the tail, and remote requests are clearly slower than local ones.
    Distance {
        /// network p99 ÷ upstream p99 of remote requests (each a quantile of its own merged distribution).
        network_share: Ratio,
        /// Network p50 of same-node requests.
        local_p50: Micros,
        /// Network p99 of same-node requests.
        local_p99: Micros,
        /// Network p50 of requests that left the node.
        remote_p50: Micros,
        /// Network p99 of requests that left the node.
        remote_p99: Micros,
        /// Requests behind the local figures.
        local_requests: u64,
        /// Requests behind the remote figures.
        remote_requests: u64,
        /// Lower confidence bound of remote p50 − local p50, stratified by callee pod and distance (DESIGN, "Telemetry");
        /// borrowed evidence counts only in part.
        saved_p50_at_least: Micros,
        /// Where the local figures come from.
        local_evidence: LocalEvidence,
    },
    /// Nothing can be said yet.
    NotEnoughData {
        /// Requests seen.
        requests: u64,
        /// Requests wanted.
        wanted: u64,
    },
    /// Measured well, and distance is not what costs.
    NotDistance {
        /// network p99 ÷ upstream p99 of remote requests.
        network_share: Ratio,
    },
}

/// One edge's diagnosis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which edge.
    pub edge: EdgeId,
    /// Why it is slow.
    #[serde(flatten)]
    pub cause: Cause,
    /// What it costs: seconds of network time per second that same-node requests would not spend; orders findings.
    pub cost: f64,
}
