//! The words of diagnose.

use super::{Cause, Finding, LocalEvidence};

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

impl Cause {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Distance { .. } => "distance",
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
