//! One validated observation: what a caller's proxy saw of one callee pod during one reporting window.

use crate::distribution::Distribution;
use crate::id::{NodeName, PodUid, WorkloadId, ZoneName};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// How requests are kept apart, so that a stream's duration never poisons a request's p99.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RequestClass {
    /// Plain HTTP requests.
    Http,
    /// gRPC calls.
    Grpc,
    /// Streams, upgrades and everything longer than the filter's limit: counted, left out of decisions.
    Long,
}

/// Where one end of a request ran when it ran: resolved at ingest, because pods move and addresses are reused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The pod.
    pub pod: PodUid,
    /// What owns it.
    pub workload: WorkloadId,
    /// Where it ran.
    pub node: NodeName,
    /// The node's zone.
    pub zone: ZoneName,
}

/// How far apart the two ends of a request were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Locality {
    /// Caller and callee in one pod.
    SamePod,
    /// One node, two pods.
    SameNode,
    /// One zone, two nodes.
    SameZone,
    /// Two zones.
    OtherZone,
}

impl Locality {
    /// All, nearest first.
    pub const ALL: [Self; 4] = [Self::SamePod, Self::SameNode, Self::SameZone, Self::OtherZone];

    /// The class of a pair of endpoints. Nodes without a zone label count as one zone of their own name (empty).
    pub fn between(caller: &Endpoint, callee: &Endpoint) -> Self {
        if caller.pod == callee.pod {
            Self::SamePod
        } else if caller.node == callee.node {
            Self::SameNode
        } else if caller.zone == callee.zone {
            Self::SameZone
        } else {
            Self::OtherZone
        }
    }
    /// Whether no node border is crossed.
    pub fn is_local(self) -> bool {
        matches!(self, Self::SamePod | Self::SameNode)
    }
    /// For people: `same node`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SamePod => "same pod",
            Self::SameNode => "same node",
            Self::SameZone => "same zone",
            Self::OtherZone => "other zone",
        }
    }
}

/// Requests and their times, additive: sums of exchanges are exchanges.
///
/// Each latency is per request (DESIGN, "Telemetry"): *upstream* = request sent → response headers received at the
/// caller's proxy; *served* = the same at the callee's proxy toward its application; *network* = upstream − served,
/// subtracted per request; *body* = last byte − headers at the caller's proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Requests that ended.
    pub requests: u64,
    /// Of these: HTTP 5xx, gRPC status other than OK that counts as server error, resets, no answer.
    pub errors: u64,
    /// Of these: more than one attempt.
    pub retried: u64,
    /// Of these: without a served time (callee without filter, local reply): they have no network time.
    pub missing_served: u64,
    /// Bytes to the callee.
    pub request_bytes: u64,
    /// Bytes from the callee.
    pub response_bytes: u64,
    /// Caller's proxy to response headers.
    pub upstream: Distribution,
    /// Callee's application.
    pub served: Distribution,
    /// Network and proxies: what moving can remove.
    pub network: Distribution,
    /// Response body after the headers.
    pub body: Distribution,
}

impl Exchange {
    /// Adds everything `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.retried = self.retried.saturating_add(other.retried);
        self.missing_served = self.missing_served.saturating_add(other.missing_served);
        self.request_bytes = self.request_bytes.saturating_add(other.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(other.response_bytes);
        self.upstream.merge(&other.upstream);
        self.served.merge(&other.served);
        self.network.merge(&other.network);
        self.body.merge(&other.body);
    }
}

/// What one caller pod's proxy saw of one callee pod, ending at `at`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When the controller took it in (proxies' clocks are not trusted).
    pub at: Timestamp,
    /// The reporting pod.
    pub caller: Endpoint,
    /// The pod that answered.
    pub callee: Endpoint,
    /// Kept apart by class.
    pub class: RequestClass,
    /// The delta since the reporter's last batch.
    pub exchange: Exchange,
}
