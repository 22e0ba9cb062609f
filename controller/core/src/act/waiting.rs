//! What act waits for. A closed set.

use serde::{Deserialize, Serialize};

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "why", rename_all_fields = "camelCase")]
pub enum Awaited {
    /// Somebody's approval.
    Approval,
    /// Another plan to end.
    Turn {
        /// Which.
        plan: String,
    },
    /// The disruption budget to allow one.
    Budget,
    /// A rollout by the workload's owner to end.
    Rollout,
    /// All pods of the workload to be there and ready.
    Readiness,
    /// The rule to pass its dry run and come into force.
    Rule,
    /// The replacement to be scheduled and ready.
    Replacement,
    /// Requests under way at the old pod to end.
    Drain,
    /// The old pod to end.
    OldPod,
    /// The ReplicaSet to take the old pod back.
    Adoption,
    /// Local routing to be safe.
    Guard,
    /// The kubelet to resize a container.
    Kubelet,
    /// The new pods to warm up.
    Settling,
    /// The API server to take back what was there before.
    WayBack {
        /// What it says.
        says: String,
    },
    /// The Companion to come into force.
    Companion,
    /// Calls that stay inside their pods.
    Inside,
}

impl Awaited {
    /// The JSON name.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Turn { .. } => "turn",
            Self::Budget => "budget",
            Self::Rollout => "rollout",
            Self::Readiness => "readiness",
            Self::Rule => "rule",
            Self::Replacement => "replacement",
            Self::Drain => "drain",
            Self::OldPod => "oldPod",
            Self::Adoption => "adoption",
            Self::Guard => "guard",
            Self::Kubelet => "kubelet",
            Self::Settling => "settling",
            Self::WayBack { .. } => "wayBack",
            Self::Companion => "companion",
            Self::Inside => "inside",
        }
    }

    /// One sentence for people, without a full stop.
    pub fn sentence(&self) -> String {
        match self {
            Self::Approval => "waiting for approval".to_owned(),
            Self::Turn { plan } => format!("waiting for plan {plan} to end"),
            Self::Budget => "waiting for the disruption budget to allow one".to_owned(),
            Self::Rollout => "waiting for a rollout to end".to_owned(),
            Self::Readiness => "waiting for all pods of the workload to be ready".to_owned(),
            Self::Rule => "waiting for the rule to come into force".to_owned(),
            Self::Replacement => "waiting for the replacement to be ready".to_owned(),
            Self::Drain => "waiting for the old pod's last requests".to_owned(),
            Self::OldPod => "waiting for the old pod to end".to_owned(),
            Self::Adoption => "waiting for the ReplicaSet to take the old pod back".to_owned(),
            Self::Guard => "waiting until local routing is safe".to_owned(),
            Self::Kubelet => "waiting for the kubelet to resize the container".to_owned(),
            Self::Settling => "waiting for the new pods to warm up".to_owned(),
            Self::WayBack { says } => {
                format!("waiting for the API server to take back what was there before; it says: {says}")
            }
            Self::Companion => "waiting for the companion to come into force".to_owned(),
            Self::Inside => "waiting until the calls stay inside their pods".to_owned(),
        }
    }
}
