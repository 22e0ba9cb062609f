//! What diagnose says of an edge.

use crate::id::{ContainerName, EdgeId, WorkloadId};
use crate::units::{Bytes, Micros, Millicores, Ratio};
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

/// What a container lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lack {
    /// Its cpu limit stops it: periods in which its quota ran out (`container_cpu_cfs_throttled_periods_total`).
    CpuLimit,
    /// Others are served before it: it waits for a processor without being throttled (PSI, cgroup v2 only).
    CpuShare,
    /// It stalls on memory (PSI, cgroup v2 only), or was killed for want of it.
    Memory,
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
    /// The callee is starved: its served time is high while one of its containers lacks something, and both move together.
    Pressure {
        /// Which container, the sidecar among them.
        container: ContainerName,
        /// What it lacks.
        lack: Lack,
        /// Throttled ÷ all periods, or the share of time in which it stalled, of its pods under pressure together.
        share: Ratio,
        /// The callee's pods under pressure.
        pods: u64,
        /// The callee's pods whose figures are known.
        pods_seen: u64,
        /// Cpu used by the container in the pod that used most, as a mean over the window.
        cpu_used: Millicores,
        /// The same in the interval in which it used most.
        cpu_peak: Millicores,
        /// Its cpu limit; `None` = none.
        cpu_limit: Option<Millicores>,
        /// Its working set in the pod that used most, at its highest.
        memory_peak: Bytes,
        /// Its memory limit; `None` = none.
        memory_limit: Option<Bytes>,
        /// Served p50 of the edge's requests to the pods under pressure, while they were.
        served_p50: Micros,
        /// Served p99 of the same.
        served_p99: Micros,
        /// Served p99 of the same edge where and when nothing lacked: other pods, or intervals without pressure.
        calm_p99: Option<Micros>,
    },
    /// The callee waits for its own callees: the answer is further along.
    Downstream {
        /// For whom most.
        through: WorkloadId,
        /// Upstream time of the calls to it, per request ÷ the callee's served time, both as means over all its callers.
        share: Ratio,
    },
    /// Many small calls from one caller: what is left of the network time on one node is hops and proxies, which no move removes.
    Chatter {
        /// Network p50 ÷ upstream p50 of same-node requests (each a quantile of its own distribution).
        network_share: Ratio,
        /// Network p50 of same-node requests.
        same_node_p50: Micros,
        /// Network p99 of same-node requests.
        same_node_p99: Micros,
        /// Requests behind these figures.
        same_node_requests: u64,
        /// Share of the edge's calls that stay on their node today.
        local_share: Ratio,
        /// Calls per second that each calling pod makes, as a mean.
        calls_per_pod: f64,
        /// Share of the callee's calls that come from this caller.
        caller_share: Ratio,
        /// How many workloads call the callee.
        callers: u64,
        /// Bytes per call, both ways, as a mean.
        bytes_per_call: Bytes,
        /// What each call would save inside the pod, at least: the lower bound of the same-node p50 × what a proxied merge saved
        /// elsewhere at least. Borrowed from the bed, not measured on this edge.
        saved_p50_at_least: Micros,
    },
    /// Its calls stay inside the pod: there is no way to shorten, and no callee's proxy that would tell the parts of a call.
    Inside {
        /// Calls of the window that did.
        requests: u64,
        /// Their share of the edge's calls.
        share: Ratio,
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
        /// network p99 ÷ upstream p99 of remote requests; `None` = no request left its node.
        network_share: Option<Ratio>,
        /// Where moving counts as done ([`super::ChatterConfig::moved`]): why it is not chatter either.
        not_chatter: Option<NotChatter>,
    },
}

/// Why calls that stay on their node are not called chatter: the first of its conditions ([`super::ChatterConfig`]) that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "why", rename_all_fields = "camelCase")]
pub enum NotChatter {
    /// Too few same-node requests with a network time.
    FewMeasured {
        /// Measured.
        requests: u64,
        /// Wanted.
        wanted: u64,
    },
    /// Something else than hops and proxies is what a call is made of.
    HopsAreLittle {
        /// Network p50 ÷ upstream p50 of same-node requests.
        at_p50: Ratio,
        /// Network p99 ÷ upstream p99 of the same.
        at_p99: Ratio,
    },
    /// Not many calls.
    FewCalls {
        /// Calls per second that each calling pod makes, as a mean.
        calls_per_pod: f64,
        /// Wanted.
        wanted: f64,
    },
    /// Not small calls.
    LargeCalls {
        /// Bytes per call, both ways, as a mean.
        bytes_per_call: Bytes,
        /// Wanted at most.
        at_most: Bytes,
    },
    /// The callee serves others more.
    OtherCallers {
        /// Share of the callee's calls that come from this caller.
        caller_share: Ratio,
    },
    /// Too little to gain.
    LittleSaved {
        /// As in [`Cause::Chatter`].
        saved_p50_at_least: Micros,
    },
    /// The callee lacks something, or may: copies would, too.
    MayBeStarved,
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
    /// What it costs, in seconds per second: of network time that same-node requests would not spend (distance), of served time
    /// above that of calm requests (pressure), of hops that calls inside one pod would not make (chatter). Orders findings.
    pub cost: f64,
}
