//! What is known of a cluster besides its objects: what pods use, which rules stand and of what use they are, what was tried in vain.

use crate::id::{NodeName, WorkloadId};
use crate::plan::Faded;
use crate::time::Timestamp;
use crate::units::{Bytes, Millicores};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the containers of a pod, or the pods of a node, use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Used {
    /// Cpu, as a mean.
    pub cpu: Millicores,
    /// Memory, at its highest.
    pub memory: Bytes,
}

impl Used {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpu: Millicores(self.cpu.0.saturating_add(other.cpu.0)),
            memory: Bytes(self.memory.0.saturating_add(other.memory.0)),
        }
    }
    /// This without the other; never below nothing.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self {
            cpu: Millicores(self.cpu.0.saturating_sub(other.cpu.0)),
            memory: Bytes(self.memory.0.saturating_sub(other.memory.0)),
        }
    }
}

/// The steady rule that places a workload's new pods, or sizes them as long as its plan is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ruled {
    /// The plan that placed it.
    pub plan: String,
    /// That plan is still under way: no other rule takes this one's place before it has ended.
    pub open: bool,
    /// It stands in the template and its plan has ended: it keeps other placements away until that is rolled back, and nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
}

/// What a steady placement rule was for is gone, seen on every look since then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fade {
    /// What is gone, as of the last look.
    pub why: Faded,
    /// Since when.
    pub since: Timestamp,
    /// When it was last seen so.
    pub seen: Timestamp,
}

/// A steady placement rule that stands as an object; what a template says is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SteadyRule {
    /// Its name, in the workload's namespace.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The plan that placed it.
    pub plan: String,
    /// Whose pods it places.
    pub workload: WorkloadId,
    /// Next to whose; `None` where no workload has the labels that it names.
    pub beside: Option<WorkloadId>,
    /// Older rules of the namespace whose place it takes, by name.
    #[serde(default)]
    pub outranks: BTreeSet<String>,
    /// What it was for is gone; `None` while it is of use.
    #[serde(default)]
    pub fade: Option<Fade>,
}

/// Moves of a workload's pods to a node that did not work: the replacement came up elsewhere, or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Missed {
    /// Where to.
    pub node: NodeName,
    /// How often in a row.
    pub times: u64,
    /// When last.
    pub last: Timestamp,
    /// In which plan last.
    pub plan: String,
}

/// What became of running a callee inside its caller's pods, by the newest plan that was to do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Merged {
    /// Whose pods.
    pub caller: WorkloadId,
    /// Whose containers.
    pub callee: WorkloadId,
    /// That plan.
    pub plan: String,
    /// How it ended; `None` while it stands or is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parted: Option<Parted>,
}

/// How a merge ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parted {
    /// Somebody or something was against it: a rollback, harm, pods that did not come up. Else it was overtaken: a new version, a load
    /// that went, a roll-out in its way.
    pub unwanted: bool,
    /// How often in a row.
    pub times: u64,
    /// When last.
    pub last: Timestamp,
}
