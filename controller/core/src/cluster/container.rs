//! Containers: what they ask for, may use, and who else decides on it.

use super::AtStart;
use crate::id::ContainerName;
use crate::time::Timestamp;
use crate::units::{Bytes, Millicores};
use serde::{Deserialize, Serialize};

/// Cpu and memory of one container; `None` where its spec says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Compute {
    /// Cpu.
    pub cpu: Option<Millicores>,
    /// Memory.
    pub memory: Option<Bytes>,
}

/// What a container asks for and what it may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Sizing {
    /// What it asks for.
    pub requests: Compute,
    /// What it may use at most.
    pub limits: Compute,
}

impl Sizing {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
    /// What a change from `before` to this one is about: the figures that differ.
    pub fn beyond(&self, before: &Self) -> Self {
        let compute = |to: &Compute, from: &Compute| Compute {
            cpu: to.cpu.filter(|_| to.cpu != from.cpu),
            memory: to.memory.filter(|_| to.memory != from.memory),
        };
        Self {
            requests: compute(&self.requests, &before.requests),
            limits: compute(&self.limits, &before.limits),
        }
    }
    /// Of this the figures that `of` sets; such as are not set here stay so.
    pub fn only(&self, of: &Self) -> Self {
        let compute = |from: &Compute, of: &Compute| Compute {
            cpu: from.cpu.filter(|_| of.cpu.is_some()),
            memory: from.memory.filter(|_| of.memory.is_some()),
        };
        Self {
            requests: compute(&self.requests, &of.requests),
            limits: compute(&self.limits, &of.limits),
        }
    }
    /// Whether `other` agrees wherever this and `before` differ.
    pub fn is_met_by(&self, other: &Self, before: &Self) -> bool {
        let pairs = [
            (
                self.requests.cpu != before.requests.cpu,
                self.requests.cpu == other.requests.cpu,
            ),
            (
                self.limits.cpu != before.limits.cpu,
                self.limits.cpu == other.limits.cpu,
            ),
            (
                self.requests.memory != before.requests.memory,
                self.requests.memory == other.requests.memory,
            ),
            (
                self.limits.memory != before.limits.memory,
                self.limits.memory == other.limits.memory,
            ),
        ];
        pairs.iter().all(|(changed, equal)| !changed || *equal)
    }
}

/// A container that runs as long as its pod: an ordinary one or a native sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Container {
    /// Its name.
    pub name: ContainerName,
    /// A native sidecar: an init container that restarts always.
    pub native_sidecar: bool,
    /// What it asks for.
    pub requests: Compute,
    /// What it may use at most.
    pub limits: Compute,
    /// Its `resizePolicy` restarts it when its cpu changes.
    pub restarts_for_cpu: bool,
    /// Its `resizePolicy` restarts it when its memory changes.
    pub restarts_for_memory: bool,
    /// Its program reads its limits only as it starts; `None` where nothing shows that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_start: Option<AtStart>,
    /// When it was last killed for want of memory, by the node's clock: what its pod's status still tells. A count of kills goes with the
    /// container that was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed: Option<Timestamp>,
    /// When its pod was last resized in place: what was counted before was counted under other figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resized: Option<Timestamp>,
}

impl Container {
    /// What it asks for and may use.
    pub fn sizing(&self) -> Sizing {
        Sizing {
            requests: self.requests,
            limits: self.limits,
        }
    }
}

/// Who else decides how much cpu the pods of a workload get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CpuOwner {
    /// A HorizontalPodAutoscaler that counts replicas by their cpu: other figures would change its count.
    Horizontal(String),
    /// A VerticalPodAutoscaler that sets the figures itself.
    Vertical(String),
}

/// As people know it: its kind and name.
impl std::fmt::Display for CpuOwner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Horizontal(name) => write!(f, "HorizontalPodAutoscaler {name}"),
            Self::Vertical(name) => write!(f, "VerticalPodAutoscaler {name}"),
        }
    }
}
