//! One write to the cluster. Each names what it was decided on, so that the API server refuses a late one.

use super::{CellName, RoutePart, RuleName};
use crate::cluster::{Labels, Sizing};
use crate::id::{ContainerName, Namespace, NodeName, PlanId, PodUid, ServiceId, WorkloadId};
use crate::plan::CellWeight;
use crate::plan::merge::Way;

/// A pod as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodAt {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: PodUid,
    /// Its resourceVersion.
    pub resource_version: String,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placement {
    /// Step rule: on this node.
    On(NodeName),
    /// Steady rule: on nodes that hold a pod of this workload.
    NextTo(WorkloadId),
    /// Steady rule: with these figures in this container.
    Sized(ContainerName, Box<Sizes>),
    /// Steady rule: on the nodes of a cell.
    InCell {
        /// Which.
        cell: CellName,
        /// The values of its label, one for each node, with what the node weighs.
        nodes: Vec<(String, CellWeight)>,
    },
}

/// What a rule of sizes says of one container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sizes {
    /// The figures: at least these.
    pub to: Sizing,
    /// Of figures that are lowered: what the template says. Where it does, just those of `to`.
    pub instead: Sizing,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Intent {
    /// Create the rule in the trial state, over the steady rules that stand for the workload.
    CreateRule {
        /// Its name.
        rule: RuleName,
        /// Of which plan.
        plan: PlanId,
        /// Whose pods.
        workload: WorkloadId,
        /// Where to.
        placement: Placement,
    },
    /// Create a dry-run pod and look at what the rule did to it. `armed`: of the rule in force, else of the trial rule.
    TryRule {
        /// Which rule.
        rule: RuleName,
        /// Whose pods.
        workload: WorkloadId,
        /// Through which binding.
        armed: bool,
    },
    /// Make sure that armed rules are bound, then arm it.
    ArmRule {
        /// Which.
        rule: RuleName,
    },
    /// Delete the rule.
    DeleteRule {
        /// Which.
        rule: RuleName,
    },
    /// Delete this very rule of an earlier plan, and none that came in its place.
    RemoveRule {
        /// Which.
        rule: RuleName,
        /// Its uid.
        uid: String,
    },
    /// Create a rule again that was deleted, in the trial state.
    RestoreRule {
        /// Which.
        rule: RuleName,
        /// The object as JSON.
        object: String,
    },
    /// Apply the steady wish to the workload's template, unforced, as a field manager of its own.
    ApplyTemplate {
        /// By which name its pods say who placed them.
        rule: RuleName,
        /// Whose template.
        workload: WorkloadId,
        /// Near whose pods.
        with: WorkloadId,
        /// The workload's uid.
        uid: String,
        /// Its resourceVersion.
        resource_version: String,
    },
    /// Give the fields of the template up that Huddle set.
    ClearTemplate {
        /// Whose template.
        workload: WorkloadId,
        /// The workload's uid.
        uid: String,
        /// Its resourceVersion.
        resource_version: String,
    },
    /// Set figures of a container in the workload's template, and take those out that go; as a dry run, to hear what the API server says of
    /// it and of a pod that comes of it.
    SizeTemplate {
        /// For which plan.
        plan: PlanId,
        /// Whose template.
        workload: WorkloadId,
        /// The workload's uid.
        uid: String,
        /// Its resourceVersion.
        resource_version: String,
        /// Which container.
        container: ContainerName,
        /// It is a native sidecar.
        native_sidecar: bool,
        /// The figures, and those that they replace: what is set of these alone goes.
        sizes: Box<Sizes>,
        /// Only ask.
        dry_run: bool,
    },
    /// Take the pod from its ReplicaSet and mark it as the plan's orphan.
    Release {
        /// Which.
        pod: PodAt,
        /// For which plan.
        plan: PlanId,
    },
    /// Mark the pod as the first to go when its ReplicaSet has one too many.
    Devalue {
        /// Which.
        pod: PodAt,
    },
    /// Put the labels back and take the mark away.
    GiveBack {
        /// Which.
        pod: PodAt,
        /// Which labels.
        labels: Labels,
    },
    /// Remove the labels by which Services select the pod.
    LeaveServices {
        /// Which.
        pod: PodAt,
        /// Which labels.
        keys: Vec<String>,
    },
    /// Delete the pod, gracefully.
    DeletePod {
        /// Which.
        pod: PodAt,
    },
    /// Set a container's figures in place; as a dry run, to hear what the API server says of it.
    Resize {
        /// In which pod.
        pod: PodAt,
        /// Which container.
        container: ContainerName,
        /// It is a native sidecar.
        native_sidecar: bool,
        /// The figures that change.
        to: Sizing,
        /// Only ask.
        dry_run: bool,
    },
    /// Set the Service's trafficDistribution; `None` removes it.
    SetRoute {
        /// Which.
        service: ServiceId,
        /// Its uid.
        uid: String,
        /// Its resourceVersion.
        resource_version: String,
        /// To what.
        distribution: Option<String>,
    },
    /// Create the Companion in the trial state: the callee's containers as its template says them now.
    CreateCompanion {
        /// Its name.
        companion: RuleName,
        /// Of which plan.
        plan: PlanId,
        /// Whose pods get them.
        caller: WorkloadId,
        /// Whose containers.
        callee: WorkloadId,
        /// By which way calls come to them.
        way: Way,
    },
    /// Take the Companion one step further on its way into force: tried on a dry-run pod, bound, armed, tried again.
    AdvanceCompanion {
        /// Which.
        companion: RuleName,
    },
    /// Delete the Companion.
    DeleteCompanion {
        /// Which.
        companion: RuleName,
    },
    /// Tell the proxies of pods that hold the companion how calls come to it.
    TellProxies {
        /// Which companion.
        companion: RuleName,
        /// Whose Services lead to it.
        callee: WorkloadId,
        /// Which part of it.
        part: RoutePart,
    },
    /// Take that back.
    ForgetProxies {
        /// Which companion.
        companion: RuleName,
        /// Which part of it.
        part: RoutePart,
    },
    /// Set how many replicas a Deployment has.
    Scale {
        /// Which.
        workload: WorkloadId,
        /// Its uid.
        uid: String,
        /// Its resourceVersion.
        resource_version: String,
        /// How many.
        replicas: u64,
    },
    /// Set a cell's label on a node, unforced, as a field manager of the cell's own; `None` takes it off.
    LabelNode {
        /// Which node.
        node: NodeName,
        /// Its uid.
        uid: String,
        /// Its resourceVersion.
        resource_version: String,
        /// Whose label.
        cell: CellName,
        /// To what.
        value: Option<String>,
    },
}

impl Intent {
    /// A short name, for events and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::CreateRule { .. } => "createRule",
            Self::TryRule { .. } => "tryRule",
            Self::ArmRule { .. } => "armRule",
            Self::DeleteRule { .. } => "deleteRule",
            Self::RemoveRule { .. } => "removeRule",
            Self::RestoreRule { .. } => "restoreRule",
            Self::ApplyTemplate { .. } => "applyTemplate",
            Self::ClearTemplate { .. } => "clearTemplate",
            Self::SizeTemplate { dry_run: true, .. } => "trySizeTemplate",
            Self::SizeTemplate { dry_run: false, .. } => "sizeTemplate",
            Self::Release { .. } => "release",
            Self::Devalue { .. } => "devalue",
            Self::GiveBack { .. } => "giveBack",
            Self::LeaveServices { .. } => "leaveServices",
            Self::DeletePod { .. } => "deletePod",
            Self::Resize { dry_run: true, .. } => "tryResize",
            Self::Resize { dry_run: false, .. } => "resize",
            Self::SetRoute { .. } => "setRoute",
            Self::CreateCompanion { .. } => "createCompanion",
            Self::AdvanceCompanion { .. } => "advanceCompanion",
            Self::DeleteCompanion { .. } => "deleteCompanion",
            Self::TellProxies { .. } => "tellProxies",
            Self::ForgetProxies { .. } => "forgetProxies",
            Self::Scale { .. } => "scale",
            Self::LabelNode { value: Some(_), .. } => "labelNode",
            Self::LabelNode { value: None, .. } => "unlabelNode",
        }
    }
}
