//! The words of diagnose.

use super::{Cause, Finding, Lack, LocalEvidence};

impl LocalEvidence {
    /// For machines: equals the JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Borrowed => "borrowed",
        }
    }
    /// For people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Own => "measured on the same edge's own same-node requests",
            Self::Borrowed => "borrowed from other edges' same-node requests",
        }
    }
}

impl Lack {
    /// For machines: equals the JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::CpuLimit => "cpuLimit",
            Self::CpuShare => "cpuShare",
            Self::Memory => "memory",
        }
    }
}

impl Cause {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Distance { .. } => "distance",
            Self::Pressure { .. } => "pressure",
            Self::Downstream { .. } => "downstream",
            Self::NotEnoughData { .. } => "notEnoughData",
            Self::NotDistance { .. } => "notDistance",
        }
    }
    /// For people, with the evidence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Distance {
                network_share,
                local_p50,
                remote_p50,
                local_requests,
                remote_requests,
                saved_p50_at_least,
                local_evidence,
                ..
            } => format!(
                "Distance: requests that leave the node spend {remote_p50} on the way at the median, same-node requests \
                 {local_p50} ({remote_requests} and {local_requests} requests, {}); at least {saved_p50_at_least} of each \
                 would be saved. The network is {network_share} of the tail.",
                local_evidence.sentence()
            ),
            Self::Pressure {
                container,
                lack,
                share,
                pods,
                pods_seen,
                served_p99,
                ..
            } => {
                let lacks = match lack {
                    Lack::CpuLimit => format!("its cpu limit stops container {container} in {share} of the periods"),
                    Lack::CpuShare => format!("container {container} waits for a processor in {share} of the time"),
                    Lack::Memory => format!("container {container} stalls on memory in {share} of the time"),
                };
                format!(
                    "Pressure: in {pods} of {pods_seen} pods of the callee {lacks}; it serves in {served_p99} at p99."
                )
            }
            Self::Downstream { through, share } => {
                format!(
                    "Downstream: the callee spends {share} of the time it serves waiting for {through}; look there."
                )
            }
            Self::NotEnoughData { requests, wanted } => {
                format!("Not enough data: {requests} of {wanted} requests with a network time.")
            }
            Self::NotDistance { network_share } => format!(
                "Not distance: the network is {network_share} of the tail, and same-node requests would not be clearly \
                 faster."
            ),
        }
    }
}

impl Finding {
    /// For people, with the edge's name.
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.edge, self.cause.sentence())
    }
}
