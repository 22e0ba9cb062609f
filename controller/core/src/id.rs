//! Names and identities. Each is a type of its own, so that a pod's name is never taken for a node's.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// Takes the name as the API server gave it; the API server has validated it.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }
            /// The bare name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $type {
            fn from(name: &str) -> Self {
                Self(name.to_owned())
            }
        }
    };
}

name!(
    /// A Kubernetes namespace.
    Namespace
);
name!(
    /// A node's name (`metadata.name`; equal to its `kubernetes.io/hostname` label on the clusters Huddle supports).
    NodeName
);
name!(
    /// A zone: the node label `topology.kubernetes.io/zone`; the empty name where a node has none.
    ZoneName
);
name!(
    /// A pod's uid: unlike its name never reused.
    PodUid
);
name!(
    /// A plan's name in the Kubernetes API.
    PlanId
);
name!(
    /// A container's name, unique in its pod.
    ContainerName
);

/// What owns a pod, as far as planning distinguishes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WorkloadKind {
    /// Can be moved.
    Deployment,
    /// An anchor: callers move to it, it never moves (DESIGN, "Not now").
    StatefulSet,
    /// One pod per node; never moves.
    DaemonSet,
    /// Short-lived; never moves.
    Job,
    /// A ReplicaSet without a Deployment.
    ReplicaSet,
    /// A pod without an owner.
    Pod,
}

impl WorkloadKind {
    /// The Kubernetes kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
            Self::ReplicaSet => "ReplicaSet",
            Self::Pod => "Pod",
        }
    }
}

/// One workload: the unit of the service graph.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkloadId {
    /// Where it lives.
    pub namespace: Namespace,
    /// What it is.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
}

impl WorkloadId {
    /// A Deployment, by far the commonest workload.
    pub fn deployment(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            kind: WorkloadKind::Deployment,
            name: name.to_owned(),
        }
    }
}

/// `shop/frontend`; other kinds than Deployment are named: `shop/StatefulSet/redis`.
impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            WorkloadKind::Deployment => write!(f, "{}/{}", self.namespace, self.name),
            WorkloadKind::StatefulSet
            | WorkloadKind::DaemonSet
            | WorkloadKind::Job
            | WorkloadKind::ReplicaSet
            | WorkloadKind::Pod => write!(f, "{}/{}/{}", self.namespace, self.kind.as_str(), self.name),
        }
    }
}

/// One Kubernetes Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceId {
    /// Where it lives.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One edge of the service graph: who calls whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EdgeId {
    /// The caller.
    pub source: WorkloadId,
    /// The callee.
    pub destination: WorkloadId,
}

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.source, self.destination)
    }
}
