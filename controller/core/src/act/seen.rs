//! What is seen in the cluster now, read fresh for the step that is under way.

use super::{GuardReason, PodAt, RoutePart};
use crate::cluster::{Budget, Labels, Sizing};
use crate::id::{Namespace, NodeName, PodUid, WorkloadId};
use crate::plan::Percent;
use crate::plan::merge::{Standing, Usual};
use crate::time::{Span, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSeen {
    /// Its uid.
    pub uid: PodUid,
    /// Its name.
    pub name: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Its labels.
    pub labels: Labels,
    /// Where it runs; `None` while it has no node.
    pub node: Option<NodeName>,
    /// Ready condition.
    pub ready: bool,
    /// The scheduler found no node for it.
    pub unschedulable: bool,
    /// Being deleted.
    pub deleting: bool,
    /// Its controller's uid.
    pub owner: Option<String>,
    /// It carries Huddle's orphan label.
    pub orphan: bool,
    /// It is marked as the first to go when its ReplicaSet has one pod too many.
    pub expendable: bool,
    /// How long all its containers go on serving when it is deleted: a preStop hook that sleeps, or a companion's supervisor.
    pub lingers: Span,
}

impl PodSeen {
    /// It as it was seen: a write that names it so is refused once it is another.
    pub(super) fn at(&self, namespace: &Namespace) -> PodAt {
        PodAt {
            namespace: namespace.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            resource_version: self.resource_version.clone(),
        }
    }
}

/// Whether a Rule is there, and in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleSeen {
    /// No such rule.
    Absent,
    /// It acts on trial pods only.
    Trial {
        /// How its dry run went, if there was one.
        tried: Option<Result<(), String>>,
    },
    /// It is armed.
    Armed {
        /// A dry-run pod has shown it in force.
        in_force: bool,
    },
    /// It is being deleted.
    Deleting,
}

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadSeen {
    /// Uid of the ReplicaSet of its current template.
    pub replica_set: Option<String>,
    /// Replicas wanted.
    pub replicas: u64,
    /// A rollout is under way.
    pub rolling: bool,
    /// Its disruption budget, computed without orphans.
    pub budget: Budget,
    /// Huddle may act on it: its namespace is covered and its owner has not opted out.
    pub allowed: bool,
    /// Its selector has labels that a rule can name.
    pub selectable: bool,
}

/// What a move needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveSeen {
    /// The workload; `None` when it is gone.
    pub workload: Option<WorkloadSeen>,
    /// The old pod, by name and uid; `None` when it is gone.
    pub pod: Option<PodSeen>,
    /// The workload's pods, without the old one.
    pub pods: Vec<PodSeen>,
    /// Whether the old pod's ReplicaSet still exists.
    pub replica_set_exists: bool,
    /// Keys by which Services select the old pod: one for each Service.
    pub service_labels: Vec<String>,
    /// The wanted node is ready and not cordoned.
    pub target_ready: bool,
    /// The step rule.
    pub rule: RuleSeen,
    /// The binding that puts armed rules in force is there.
    pub bound: bool,
}

/// What a steady rule needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceSeen {
    /// The workload to place.
    pub workload: Option<WorkloadSeen>,
    /// Whether the workload to be near exists.
    pub hub_exists: bool,
    /// Another plan, still under way, with a steady rule for the workload. Rules of plans that have ended are outranked.
    pub other_rule: Option<String>,
    /// The rule.
    pub rule: RuleSeen,
    /// The binding that puts armed rules in force is there.
    pub bound: bool,
}

/// What a steady wish in a template needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateSeen {
    /// The workload; `None` when it is gone.
    pub workload: Option<WorkloadSeen>,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Whether the workload to be near exists.
    pub hub_exists: bool,
    /// The rule whose name the template carries.
    pub mark: Option<String>,
    /// The template says what that rule says.
    pub intact: bool,
    /// A roll-out takes no ready pod away before its successor is ready; else why not.
    pub strategy: Result<(), String>,
    /// Nobody else owns the fields that would be set; else what the API server said.
    pub free: Result<(), String>,
    /// The roll-out has made no progress within its deadline.
    pub stuck: bool,
    /// The workload's pods.
    pub pods: Vec<PodSeen>,
    /// Nodes that hold a pod of the workload to be near.
    pub hub_nodes: BTreeSet<NodeName>,
    /// The zones of nodes.
    pub zones: BTreeMap<NodeName, String>,
}

/// What a template says of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaidSize {
    /// All its figures.
    pub figures: Sizing,
    /// It is a native sidecar.
    pub native_sidecar: bool,
}

/// What a change of figures in a template needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateSizeSeen {
    /// The workload; `None` when it is gone.
    pub workload: Option<WorkloadSeen>,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// What its template says of the container; `None` where it has no such container.
    pub says: Option<SaidSize>,
    /// A roll-out takes no ready pod away before its successor is ready; else why not.
    pub strategy: Result<(), String>,
    /// How the dry run of the change went, if there was one; of the way back, how the change itself went.
    pub tried: Option<Result<(), String>>,
    /// The roll-out has made no progress within its deadline.
    pub stuck: bool,
    /// The container was restarted in a pod that has the figures wanted.
    pub restarted: bool,
    /// The workload's pods.
    pub pods: Vec<PodSeen>,
}

/// A pod with the container to be resized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizedPod {
    /// Its uid.
    pub uid: PodUid,
    /// Its name.
    pub name: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Ready condition.
    pub ready: bool,
    /// The container is a native sidecar.
    pub native_sidecar: bool,
    /// The container's figures in the pod's spec.
    pub wanted: Sizing,
    /// Its figures as the kubelet has set them; `None` where it does not say.
    pub actual: Option<Sizing>,
    /// How often the container was restarted.
    pub restarts: u64,
    /// Its `resizePolicy` restarts it when its cpu changes.
    pub restarts_for_cpu: bool,
    /// Its `resizePolicy` restarts it when its memory changes.
    pub restarts_for_memory: bool,
    /// The kubelet waits for room on its node, and says this.
    pub deferred: Option<String>,
    /// The kubelet will never do it, and says why.
    pub infeasible: Option<String>,
    /// The kubelet tried and failed, and says why.
    pub failed: Option<String>,
}

impl SizedPod {
    /// A resize is under way.
    pub fn is_moving(&self) -> bool {
        let said = [&self.deferred, &self.infeasible, &self.failed];
        said.iter().any(|it| it.is_some())
    }
}

/// What a resize needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResizeSeen {
    /// The workload; `None` when it is gone.
    pub workload: Option<WorkloadSeen>,
    /// The pod, by name and uid; `None` when it, or its container, is gone or going.
    pub pod: Option<SizedPod>,
    /// How the dry run of the resize went, if there was one.
    pub tried: Option<Result<(), String>>,
}

/// A node of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellNode {
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// The cell's label, where it has it.
    pub label: Option<String>,
}

/// What a cell needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellSeen {
    /// The workload to place.
    pub workload: Option<WorkloadSeen>,
    /// The namespace allows nodes to be labelled for it.
    pub cells_allowed: bool,
    /// Another plan, still under way, with a steady rule for the workload.
    pub other_rule: Option<String>,
    /// The cell's nodes that are there. Not read of a cell that stands or is undone: its rule says all.
    pub nodes: BTreeMap<NodeName, CellNode>,
    /// The rule.
    pub rule: RuleSeen,
    /// The binding that puts armed rules in force is there.
    pub bound: bool,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSeen {
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// `spec.trafficDistribution`.
    pub distribution: Option<String>,
}

/// What a route needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSeen {
    /// The Service; `None` when it is gone.
    pub service: Option<ServiceSeen>,
    /// Huddle may act in its namespace.
    pub allowed: bool,
    /// Whether local routing is safe now.
    pub guard: Result<(), GuardReason>,
}

/// How far a Companion is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompanionSeen {
    /// No such object.
    Absent,
    /// It is on its way into force.
    Standing,
    /// It failed its dry run.
    Refused {
        /// What the API server or the check said.
        why: String,
    },
    /// New pods of the caller get it.
    InForce,
    /// It was in force and is no longer, by harm or by hand.
    Unbound,
    /// It is being deleted.
    Deleting,
}

/// What is left of a companion of an older version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormerSeen {
    /// The object is there, and nobody has deleted it.
    pub stands: bool,
    /// What proxies are told of it.
    pub route: BTreeSet<RoutePart>,
}

/// The workload whose containers join another's pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalleeSeen {
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Replicas wanted.
    pub replicas: u64,
    /// All of them are ready.
    pub whole: bool,
    /// An autoscaler says how many there are.
    pub scaled: bool,
    /// Huddle may act on it.
    pub allowed: bool,
    /// The digest of its template.
    pub template: String,
    /// Since when its roll-out is whole, where it is; `None` where nobody says.
    pub rolled_out: Option<Timestamp>,
}

/// What a merge needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeSeen {
    /// The workload whose pods hold both; `None` when it is gone.
    pub caller: Option<WorkloadSeen>,
    /// The other one; `None` when it is gone.
    pub callee: Option<CalleeSeen>,
    /// What their templates, or the cluster, say against it. Read before it begins, and of another version of the callee.
    pub against: Option<String>,
    /// Nothing is known to, and whether something does cannot be told yet of another version.
    pub unclear: bool,
    /// The Companion.
    pub companion: CompanionSeen,
    /// What proxies are told.
    pub route: BTreeSet<RoutePart>,
    /// The companion before it, where there is one.
    pub former: FormerSeen,
    /// The plan was proved and no other one is under way: what stands may follow its callee.
    pub undisturbed: bool,
    /// The pod that is being replaced, by name and uid; `None` when it is gone.
    pub pod: Option<PodSeen>,
    /// The caller's other pods.
    pub pods: Vec<PodSeen>,
    /// Whether the ReplicaSet of the pod that is being replaced still exists.
    pub replica_set_exists: bool,
    /// Keys by which Services select the caller's pods: one for each Service.
    pub service_labels: Vec<String>,
    /// What stands in the cluster by now against a merge that goes this way.
    pub against_way: Option<String>,
    /// What passes on the edge and around it. Read before it begins; `None` where too little does.
    pub usual: Option<Usual>,
    /// Of the caller's calls to the callee since the stage began, those that stayed inside the pod; `None` where too few were measured.
    pub inside: Option<Percent>,
    /// The same of the calls by the pod that got the companion last. Read where another version is followed.
    pub inside_newest: Option<Percent>,
    /// Of the callee's calls, those that come from others; `None` where too few were measured.
    pub others: Option<Percent>,
    /// Whom the caller's pods call. Read before it begins, and while it stands.
    pub calls: BTreeSet<WorkloadId>,
    /// Whether it is still what it was made for. Read while it stands.
    pub standing: Option<Standing>,
}

/// What is seen, by the kind of step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// For a steady rule, of placement or of size.
    Place(PlaceSeen),
    /// For a steady wish in a template.
    Template(Box<TemplateSeen>),
    /// For figures in a template.
    TemplateSize(Box<TemplateSizeSeen>),
    /// For a move.
    Move(Box<MoveSeen>),
    /// For a route.
    Route(RouteSeen),
    /// For a resize.
    Resize(Box<ResizeSeen>),
    /// For the deletion of a steady rule.
    Withdraw(Box<WithdrawSeen>),
    /// For a cell.
    Cell(Box<CellSeen>),
    /// For a merge.
    Merge(Box<MergeSeen>),
}

/// A rule of an earlier plan as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingRule {
    /// Its uid.
    pub uid: String,
    /// The object as JSON, without what the API server adds, in the trial state.
    pub object: String,
    /// What it was for is noted as gone.
    pub faded: bool,
}

/// What the deletion of a steady rule needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithdrawSeen {
    /// The workload whose pods it places; `None` when it is gone.
    pub workload: Option<WorkloadSeen>,
    /// A rule of that name.
    pub standing: Option<StandingRule>,
    /// The same, as far as it is on its way into force.
    pub rule: RuleSeen,
    /// The binding that puts armed rules in force is there.
    pub bound: bool,
    /// Another plan, still under way, with a steady rule for the workload.
    pub under_way: Option<String>,
    /// The plan of another placement rule that stands for the workload, neither over this one nor under it.
    pub successor: Option<String>,
    /// The plan that placed the rule, where it was rolled back meanwhile: then nobody wants the rule again.
    pub origin_undone: Option<String>,
}
