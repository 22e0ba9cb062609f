//! What is remembered of a plan: exactly what its status in the API holds.

use super::Trouble;
use crate::cluster::{Fade, Labels, Sizing};
use crate::id::{ContainerName, Namespace, NodeName, PlanId, PodUid, ServiceId, WorkloadId};
use crate::plan::CellWeight;
use crate::plan::merge::{Usual, Way};
use crate::time::{Timestamp, Window};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Where a plan is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Waits for approval.
    #[default]
    Proposed,
    /// Approved; waits for its turn.
    Approved,
    /// The before window is being measured, on data that the decision did not see.
    Baseline,
    /// Steps are being taken.
    Acting,
    /// The new pods warm up.
    Settling,
    /// The after window is being measured.
    Proving,
    /// Ended; what was done stays.
    Proved,
    /// Being undone.
    RollingBack,
    /// Undone.
    RolledBack,
    /// Replaced by a newer plan before anybody approved it.
    Superseded,
}

impl Phase {
    /// Whether a plan in this phase keeps others from starting.
    pub fn is_active(self) -> bool {
        match self {
            Self::Baseline | Self::Acting | Self::Settling | Self::Proving | Self::RollingBack => true,
            Self::Proposed | Self::Approved | Self::Proved | Self::RolledBack | Self::Superseded => false,
        }
    }
    /// The JSON name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Baseline => "baseline",
            Self::Acting => "acting",
            Self::Settling => "settling",
            Self::Proving => "proving",
            Self::Proved => "proved",
            Self::RollingBack => "rollingBack",
            Self::RolledBack => "rolledBack",
            Self::Superseded => "superseded",
        }
    }
}

/// Where a step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepState {
    /// Not begun.
    #[default]
    Pending,
    /// Under way; its receipt says what may have been written.
    Running,
    /// Being undone.
    Undoing,
    /// Done.
    Done,
    /// Undone: as if it had never begun.
    Undone,
    /// Not begun, and will not be.
    Skipped,
}

impl StepState {
    /// Whether nothing more is to be done for it, as long as the plan is not rolled back.
    pub fn is_over(self) -> bool {
        match self {
            Self::Done | Self::Undone | Self::Skipped => true,
            Self::Pending | Self::Running | Self::Undoing => false,
        }
    }
    /// The JSON name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Undoing => "undoing",
            Self::Done => "done",
            Self::Undone => "undone",
            Self::Skipped => "skipped",
        }
    }
}

/// A Rule object by name. Names follow from plan and step, so that a repeated creation meets the first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleName {
    /// The workload's namespace.
    pub namespace: Namespace,
    /// `<plan>-<step>`.
    pub name: String,
}

impl RuleName {
    /// The rule of a plan's step.
    pub fn of(plan: &PlanId, step: usize, namespace: &Namespace) -> Self {
        Self {
            namespace: namespace.clone(),
            name: format!("{plan}-{step}"),
        }
    }
    /// The next one of the same step, where one follows the other: `…-v2` after the first.
    #[must_use]
    pub fn renewed(&self) -> Self {
        let numbered = self.name.rsplit_once("-v").and_then(|(stem, number)| {
            let number: u32 = number.parse().ok()?;
            Some((stem, number))
        });
        let (stem, number) = numbered.unwrap_or((&self.name, 1));
        Self {
            namespace: self.namespace.clone(),
            name: format!("{stem}-v{}", number.saturating_add(1)),
        }
    }
}

/// How far a move is. Recorded before the stage's first write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// The step rule is created, tried, armed and seen in force.
    Rule,
    /// The old pod is released from its ReplicaSet.
    Release,
    /// Its replacement is waited for: ready, and on the wanted node.
    Replace,
    /// The old pod leaves its Services.
    Drain,
    /// It serves what is under way, then is deleted. From here on a move is finished rather than undone.
    Drained,
    /// The step rule is deleted.
    Clear,
}

/// What a step may have written, with all that its undo needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", rename_all_fields = "camelCase")]
pub enum Receipt {
    /// A steady rule.
    Place {
        /// It.
        rule: RuleName,
    },
    /// A moved pod.
    Move(MoveReceipt),
    /// A steady wish in a template.
    Template(TemplateReceipt),
    /// Figures in a template.
    TemplateSize(TemplateSizeReceipt),
    /// A resized container.
    Resize(ResizeReceipt),
    /// A deleted steady rule.
    Withdraw(WithdrawReceipt),
    /// A routing mode.
    Route {
        /// The Service.
        service: ServiceId,
        /// Its uid.
        uid: String,
        /// `spec.trafficDistribution` before; absent where it had none.
        before: Option<String>,
        /// What was set.
        wanted: String,
    },
    /// A cell.
    Cell(CellReceipt),
    /// A callee inside its caller's pods.
    Merge(Box<MergeReceipt>),
}

/// One half of what proxies are told of a companion. Each is an object of its own: a route must never lead to a cluster that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RoutePart {
    /// Where the companion, and the Service after it, are.
    Clusters,
    /// That calls to the callee go there.
    Route,
}

/// How far a merge is. Recorded before the stage's first write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MergeStage {
    /// The Companion is created, tried, armed and seen in force.
    Companion,
    /// Proxies of pods that hold it, of which there are none yet, are told of it.
    Clusters,
    /// And that calls go there.
    Route,
    /// The caller's pods are replaced, one by one.
    Pods,
    /// Calls are waited for that stay inside.
    Prove,
    /// The callee's own replicas are lowered.
    Lower,
    /// Undone but for the clusters, to which no route leads; over loopback, but for a last look for pods that came with a companion meanwhile.
    Closed,
}

/// How far the replacement of one pod is. Recorded before the stage's first write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SwapStage {
    /// The old pod is released from its ReplicaSet.
    Release,
    /// Its replacement is waited for.
    Replace,
    /// The old pod leaves its Services.
    Drain,
    /// It serves what is under way, then is deleted.
    Drained,
    /// The old pod is given back.
    Return,
}

/// A pod that is being replaced, with all that giving it back needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Swap {
    /// The old pod.
    pub pod: PodUid,
    /// Its name.
    pub pod_name: String,
    /// The ReplicaSet it is released from, by uid.
    pub replica_set: String,
    /// Labels that are taken from it, with their values.
    pub labels: Labels,
    /// Those of them by which Services select it.
    pub service_labels: Vec<String>,
    /// The workload's pods before, itself among them: whatever else appears is a replacement.
    pub siblings: Vec<PodUid>,
    /// Whether the replacement is to hold the companion.
    pub merged: bool,
    /// How far it is.
    pub stage: SwapStage,
    /// Since when.
    pub stage_since: Timestamp,
}

/// A Deployment's replicas before, and as they were set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lowered {
    /// Before.
    pub before: u64,
    /// Then.
    pub to: u64,
    /// What they were when `to` was noted last and not yet seen: some are being given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<u64>,
}

/// What a merge may have written: a Companion, what proxies are told of it, replaced pods, the callee's replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MergeReceipt {
    /// The Companion.
    pub companion: RuleName,
    /// The one before it, of an older version of the callee, for as long as pods may hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<RuleName>,
    /// Whose pods hold it.
    pub caller: WorkloadId,
    /// Whose containers it holds.
    pub callee: WorkloadId,
    /// The callee's uid.
    pub callee_uid: String,
    /// The digest of the callee's template that the companion is made from.
    pub template: String,
    /// By which way calls come to it.
    #[serde(default, skip_serializing_if = "Way::is_default")]
    pub way: Way,
    /// What passed before they went where no proxy sees them: the direct way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual: Option<Usual>,
    /// How far it is.
    pub stage: MergeStage,
    /// Since when, or since the last pod was replaced.
    pub stage_since: Timestamp,
    /// The pod that is being replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap: Option<Swap>,
    /// The callee's replicas, where they were lowered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowered: Option<Lowered>,
    /// Whom the caller's pods call, as far as that is the caller's own doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<KnownCalls>,
    /// The load that justified it has gone, as of the last looks that were put down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fade: Option<Fade>,
    /// Pods were left that could not be replaced on the way back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
}

/// Whom a caller calls, learned before its pods held a companion and after each of its own roll-outs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownCalls {
    /// The caller's ReplicaSet at that time.
    pub version: Option<String>,
    /// Since when it is that one.
    pub since: Timestamp,
    /// Whom it calls.
    pub calls: BTreeSet<WorkloadId>,
}

/// A cell by name: that of its rule, so that each cell has a label of its own and what one step labelled no other step takes off.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CellName(String);

/// The beginning of the node labels that are cells'.
pub const CELL_LABEL: &str = "huddle.dev/cell-";
/// Longest name of a cell: a label's own name may have 63 characters, five of which are `cell-`.
const LONGEST: usize = 58;

impl CellName {
    /// The cell of a rule. A longer name than a label may have is cut and told apart by a checksum.
    pub fn of(rule: &RuleName) -> Self {
        let name = &rule.name;
        if name.len() <= LONGEST {
            return Self(name.clone());
        }
        // FNV-1a, 64 bits.
        let sum = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let head: String = name.chars().take(LONGEST - 17).collect();
        Self(format!("{head}-{sum:016x}"))
    }
    /// Its node label, with a value of its own on each node.
    pub fn label(&self) -> String {
        format!("{CELL_LABEL}{}", self.0)
    }
    /// The field manager that sets the label, and nothing else: giving its fields up takes the label off.
    pub fn manager(&self) -> String {
        format!("huddle-cell-{}", self.0)
    }
    /// The cell of a node label; `None` where it is no cell's.
    pub fn of_label(label: &str) -> Option<Self> {
        label.strip_prefix(CELL_LABEL).map(|name| Self(name.to_owned()))
    }
}

/// How far a cell is. Recorded before the stage's first write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CellStage {
    /// Its nodes are labelled.
    Label,
    /// Its rule is created, tried, armed and seen in force.
    Rule,
    /// Its rule was gone without its doing: its labels are taken off, and come back with the rule.
    Lapsed,
}

/// A node that may carry a cell's label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelledNode {
    /// Which node.
    pub node: NodeName,
    /// Its uid.
    pub uid: String,
    /// The label's value: the node's number in the cell, so that the rule can spread pods over the nodes by the label.
    pub value: String,
    /// What it weighs.
    pub weight: CellWeight,
}

/// What a cell may have written: labels that were not there before, and a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CellReceipt {
    /// The cell.
    pub cell: CellName,
    /// Its steady rule.
    pub rule: RuleName,
    /// Its nodes.
    pub nodes: Vec<LabelledNode>,
    /// How far it is.
    pub stage: CellStage,
}

/// A rule that may have been deleted, whole: what creating it again means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WithdrawReceipt {
    /// The rule.
    pub rule: RuleName,
    /// Its uid.
    pub uid: String,
    /// The object as JSON, without what the API server adds.
    pub object: String,
}

/// How far a change of a template is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TemplateStage {
    /// It is applied.
    Apply,
    /// The Deployment rolls it out.
    Roll,
}

/// What a change of a template may have written: fields of Huddle's own, which giving up undoes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateReceipt {
    /// The name by which the template's pods say who placed them.
    pub rule: RuleName,
    /// Whose template.
    pub workload: WorkloadId,
    /// The workload's uid.
    pub uid: String,
    /// Distinct nodes of its pods before.
    pub nodes: u64,
    /// Distinct zones of its pods before.
    pub zones: u64,
    /// How far it is.
    pub stage: TemplateStage,
}

/// What a change of figures in a template may have written: the figures of `wanted`, in the place of `before`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateSizeReceipt {
    /// Whose template.
    pub workload: WorkloadId,
    /// The workload's uid.
    pub uid: String,
    /// Which container.
    pub container: ContainerName,
    /// It is a native sidecar.
    pub native_sidecar: bool,
    /// What the template said of the figures wanted; of such as it did not set, nothing.
    pub before: Sizing,
    /// The figures wanted.
    pub wanted: Sizing,
    /// How far it is.
    pub stage: TemplateStage,
}

/// What a move may have written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MoveReceipt {
    /// The step rule.
    pub rule: RuleName,
    /// The old pod's namespace.
    pub namespace: Namespace,
    /// The old pod.
    pub pod: PodUid,
    /// Its name.
    pub pod_name: String,
    /// The ReplicaSet it is released from, by uid.
    pub replica_set: String,
    /// Labels that are taken from it, with their values: what giving back means.
    pub labels: Labels,
    /// Those of them by which Services select it.
    pub service_labels: Vec<String>,
    /// The ReplicaSet's other pods before: whatever else appears is a replacement.
    pub siblings: Vec<PodUid>,
    /// How far it is.
    pub stage: Stage,
    /// Since when.
    pub stage_since: Timestamp,
}

/// What a resize may have written: another set of figures than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResizeReceipt {
    /// The pod's namespace.
    pub namespace: Namespace,
    /// The pod.
    pub pod: PodUid,
    /// Its name.
    pub pod_name: String,
    /// Which of its containers.
    pub container: ContainerName,
    /// It is a native sidecar.
    pub native_sidecar: bool,
    /// Its figures before.
    pub before: Sizing,
    /// Its figures wanted.
    pub wanted: Sizing,
    /// How often it had been restarted.
    pub restarts: u64,
    /// Its `resizePolicy` restarts it once more.
    pub may_restart: bool,
}

/// One step of a plan: the action of the same index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Where it is.
    pub state: StepState,
    /// Since when.
    pub since: Timestamp,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// What may have been written; recorded before the first write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

impl Step {
    /// This step in another state from `now` on, its receipt kept.
    pub(super) fn turned(&self, state: StepState, trouble: Option<Trouble>, now: Timestamp) -> Self {
        Self {
            state,
            since: now,
            trouble: trouble.or_else(|| self.trouble.clone()),
            receipt: self.receipt.clone(),
        }
    }
    /// Whether it was begun and did not work.
    pub fn has_failed(&self) -> bool {
        matches!(self.state, StepState::Undone | StepState::Undoing) && self.trouble.is_some()
    }
}

/// How far a plan is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Where it is.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// One entry per action.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Why it was stopped or is being undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// The before window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<BeforeWindow>,
    /// When the after window began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_from: Option<Timestamp>,
}

impl Progress {
    /// Whether it keeps other plans from starting.
    pub fn is_active(&self) -> bool {
        self.phase.is_active() || self.follows()
    }
    /// A merge that was proved follows its callee to another version.
    pub fn follows(&self) -> bool {
        let follows = |step: &Step| match &step.receipt {
            Some(Receipt::Merge(receipt)) => step.state == StepState::Running && receipt.former.is_some(),
            _ => false,
        };
        self.phase == Phase::Proved && self.steps.iter().any(follows)
    }
}

/// When *before* was measured; the measurement itself is verify's and lies beside it in the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BeforeWindow {
    /// When.
    pub window: Window,
}
