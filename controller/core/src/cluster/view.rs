//! The values of a [`ClusterView`]: only what planning and acting ask.

use super::{
    Container, CpuOwner, Merged, Missed, Reroute, Ruled, ServicePort, Sizing, SteadyRule, Template, Trust, Used,
};
use crate::id::{ContainerName, Namespace, NodeName, PodUid, ServiceId, WorkloadId, ZoneName};
use crate::plan::merge::Way;
use crate::plan::{Objective, PlaceForm};
use crate::sample::Endpoint;
use crate::time::{Span, Timestamp};
use crate::units::{Bytes, Millicores};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Labels of an object, or a selector's equality part.
pub type Labels = BTreeMap<String, String>;

/// What a pod asks for or a node offers. For pods: all containers, init containers, native sidecars and pod overhead,
/// as the scheduler computes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Resources {
    /// Cpu.
    pub cpu: Millicores,
    /// Memory.
    pub memory: Bytes,
    /// Ephemeral storage.
    pub ephemeral: Bytes,
    /// Pod count: 1 for a pod, the limit for a node.
    pub pods: u64,
    /// Extended resources by name.
    pub extended: BTreeMap<String, u64>,
}

/// Taint effects that keep pods away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaintEffect {
    /// Not scheduled there.
    NoSchedule,
    /// Rather not scheduled there.
    PreferNoSchedule,
    /// Not scheduled there, and evicted.
    NoExecute,
}

/// A node's taint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value; empty where none.
    pub value: String,
    /// Effect.
    pub effect: TaintEffect,
}

/// A pod's toleration. `key: None` tolerates everything; `value: None` is operator Exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Toleration {
    /// Key, or any.
    pub key: Option<String>,
    /// Value, or any.
    pub value: Option<String>,
    /// Effect, or any.
    pub effect: Option<TaintEffect>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its zone.
    pub zone: ZoneName,
    /// What it offers to pods.
    pub allocatable: Resources,
    /// Its labels.
    pub labels: Labels,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Ready and not cordoned.
    pub schedulable: bool,
}

/// One requirement on labels (`In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt`, `Lt`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// Operator.
    pub operator: Operator,
    /// Values; empty for Exists and DoesNotExist.
    pub values: Vec<String>,
}

impl Requirement {
    /// Met by nothing: what an absent selector or an empty node selector term comes to in the scheduler.
    pub fn never() -> Self {
        Self {
            key: String::new(),
            operator: Operator::In,
            values: Vec::new(),
        }
    }
}

/// Operators of label requirements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// One of the values.
    In,
    /// None of the values, or absent.
    NotIn,
    /// Present.
    Exists,
    /// Absent.
    DoesNotExist,
    /// Greater, as integers.
    Gt,
    /// Less, as integers.
    Lt,
}

/// A label selector: all equalities and all requirements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Selector {
    /// `matchLabels`.
    pub labels: Labels,
    /// `matchExpressions`.
    pub requirements: Vec<Requirement>,
}

impl Selector {
    /// Selects nothing.
    pub fn nothing() -> Self {
        Self {
            labels: Labels::new(),
            requirements: vec![Requirement::never()],
        }
    }
}

/// A required pod (anti-)affinity term.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodTerm {
    /// Which pods.
    pub selector: Selector,
    /// In which namespaces; `None` = the pod's own, empty = none (a namespace selector that selects none).
    pub namespaces: Option<BTreeSet<Namespace>>,
    /// Over which node label.
    pub topology_key: String,
}

/// A topology spread constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpreadConstraint {
    /// Which pods are counted.
    pub selector: Selector,
    /// Over which node label.
    pub topology_key: String,
    /// Largest allowed difference.
    pub max_skew: u64,
    /// DoNotSchedule (true) or ScheduleAnyway.
    pub hard: bool,
    /// Domains there must be before a count other than 0 may be the least; 1 where none are asked for.
    pub min_domains: u64,
    /// Nodes that the pod's selector and node affinity exclude are not counted (`nodeAffinityPolicy: Honor`, the default).
    pub honors_affinity: bool,
    /// Nodes whose taints the pod does not tolerate are not counted (`nodeTaintsPolicy: Honor`; Ignore is the default).
    pub honors_taints: bool,
}

/// A port on the node's own address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostPort {
    /// The node's address it is bound to; `None` = all of them.
    pub address: Option<String>,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// Whether both cannot be had on one node.
    pub fn collides(&self, other: &Self) -> bool {
        let shared = self.address.is_none() || other.address.is_none() || self.address == other.address;
        shared && self.protocol == other.protocol && self.port == other.port
    }
}

/// What a pod's spec says about where it may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Constraints {
    /// `nodeSelector`.
    pub node_selector: Labels,
    /// Required node affinity: any of these terms, each all of its requirements. Empty = no restriction.
    pub node_terms: Vec<Vec<Requirement>>,
    /// Required pod affinity.
    pub affinity: Vec<PodTerm>,
    /// Required pod anti-affinity.
    pub anti_affinity: Vec<PodTerm>,
    /// Spread.
    pub spread: Vec<SpreadConstraint>,
    /// Tolerations.
    pub tolerations: Vec<Toleration>,
    /// Host ports used.
    pub host_ports: BTreeSet<HostPort>,
    /// Volumes that tie the pod to a node or zone.
    pub pinned_volumes: bool,
    /// The field by which something else than kube-scheduler's known filters decides over its place: another scheduler, devices claimed.
    /// Nobody can say here where such a pod would go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpredictable: Option<String>,
}

/// A pod that holds resources on a node or waits for one. Ended pods are not in the view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pod {
    /// Its uid.
    pub uid: PodUid,
    /// Its name.
    pub name: String,
    /// Its owner.
    pub workload: WorkloadId,
    /// Where it runs; `None` while pending.
    pub node: Option<NodeName>,
    /// Its address, once it has one.
    pub address: Option<std::net::IpAddr>,
    /// Its labels.
    pub labels: Labels,
    /// What it asks for.
    pub requests: Resources,
    /// Its containers, those that only run before it starts left out.
    #[serde(default)]
    pub containers: Vec<Container>,
    /// Where it may run.
    pub constraints: Constraints,
    /// Ready condition.
    pub ready: bool,
    /// Being deleted.
    pub deleting: bool,
    /// When it was created.
    pub created: Timestamp,
    /// Set on a pod that Huddle released from its ReplicaSet (orphan move): the plan's name.
    pub orphan_of: Option<String>,
    /// Has an Istio sidecar.
    pub meshed: bool,
    /// What it took from its creation until it was ready; `None` while it is not. Later ends of readiness, as far as they came back, count in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_up: Option<Span>,
}

/// A workload's disruption budget, summed up over the PodDisruptionBudgets that select its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Budget {
    /// No PodDisruptionBudget selects its pods.
    None,
    /// One does; this many pods may be disrupted now (orphans left out by the watcher).
    Allows(u64),
    /// More than one does: eviction is impossible (kubernetes issue 75957).
    Ambiguous,
}

/// A workload: its wish, its template, its owner's wishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// Who.
    pub id: WorkloadId,
    /// Replicas wanted.
    pub replicas: u64,
    /// Replicas ready.
    pub ready: u64,
    /// Its pod selector (`spec.selector`).
    pub selector: Selector,
    /// The template's pod labels.
    pub labels: Labels,
    /// Disruption budget.
    pub budget: Budget,
    /// A rollout is under way (observed generation behind, or updated < wanted).
    pub rolling: bool,
    /// Its owner keeps Huddle away: annotation `huddle.dev/opt-out` on the workload.
    pub opted_out: bool,
    /// Its Horizontal Pod Autoscaler, if any, by name.
    pub autoscaler: Option<String>,
    /// Who else decides over its cpu; of several, the one that sets the figures itself.
    #[serde(default)]
    pub cpu_owner: Option<CpuOwner>,
    /// `huddle.dev/warm-up-seconds` on the workload: how long its pods are slow after they are ready, as caches are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<Span>,
    /// The figures of its template's containers, those that only run before a pod starts left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub template: BTreeMap<ContainerName, Sizing>,
}

/// How a Service's traffic is routed today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RoutingMode {
    /// Over all ready endpoints.
    Spread,
    /// Same zone first.
    PreferSameZone,
    /// Same node first.
    PreferSameNode,
}

/// A Service with selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Who.
    pub id: ServiceId,
    /// Its selector.
    pub selector: Labels,
    /// `spec.trafficDistribution`, as a mode.
    pub routing: RoutingMode,
    /// Headless: sidecars ignore locality settings.
    pub headless: bool,
    /// A DestinationRule with locality settings, or `internalTrafficPolicy: Local`, overrides the routing mode: its kind and name.
    pub overridden_by: Option<String>,
    /// Its ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ServicePort>,
}

impl Service {
    /// Whether its selector names pods with these labels; an empty one names none.
    pub fn selects(&self, labels: &Labels) -> bool {
        let mut selector = self.selector.iter();
        !self.selector.is_empty() && selector.all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// The automation level (vSphere DRS's levels).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Automation {
    /// Measure only.
    Observe,
    /// Make plans, take no approval.
    Recommend,
    /// Act on approved plans.
    #[default]
    Approve,
    /// Act alone within the limits.
    Auto,
}

/// What is given back where nobody needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GiveBack {
    /// Nothing.
    Never,
    /// What Huddle gave, down to the template's figures.
    #[default]
    Given,
    /// Also what the template's owner gave: cpu requests, and memory where it says so. A cpu limit reserves nothing, and stays, unless
    /// the pod is Guaranteed.
    BelowTemplate,
    /// Also cpu limits.
    LimitsToo,
}

impl GiveBack {
    /// Whether what is reserved may go below the template.
    pub fn requests_below_template(self) -> bool {
        match self {
            Self::Never | Self::Given => false,
            Self::BelowTemplate | Self::LimitsToo => true,
        }
    }
    /// Whether cpu limits may.
    pub fn limits_below_template(self) -> bool {
        self == Self::LimitsToo
    }
}

/// A namespace's policy, with defaults where it has no Policy object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NamespacePolicy {
    /// Automation level.
    pub automation: Automation,
    /// Whether Huddle holds write rights there (`--allow act`).
    pub may_act: bool,
    /// Other namespaces whose workloads may be placed with this one's (both must name each other).
    pub consents_to: BTreeSet<Namespace>,
    /// How placement rules are written there.
    pub form: PlaceForm,
    /// Whether nodes may be labelled for its workloads (`--allow cells`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cells: bool,
    /// Whether companions may join the pods of its Deployments (`--allow merge`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub may_merge: bool,
    /// Whether merges are proposed without anybody asking.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub merges: bool,
    /// By which way a callee's calls come to it inside its caller's pods.
    #[serde(skip_serializing_if = "Way::is_default")]
    pub merge_way: Way,
    /// Most pods to move in one plan.
    pub max_moves: u64,
    /// Requests wanted in each of the before and after windows.
    pub proof_requests: u64,
    /// Under Auto: how long a workload is left alone after it was changed.
    pub cooldown: Span,
    /// Most cpu that one container may be given; its owner may have given it more.
    pub max_cpu: Millicores,
    /// Most of a container's cpu after one step, in hundredths of what it was; more than 100.
    pub cpu_step: u64,
    /// Containers whose `resizePolicy` says so may be restarted by a resize.
    pub resize_restarts: bool,
    /// Where rules are written into templates, the figures in these may be changed too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub template_sizes: bool,
    /// Most memory that one container may be given; its owner may have given it more.
    pub max_memory: Bytes,
    /// What is given back.
    pub give_back: GiveBack,
    /// How long a container is watched before anything of it is given back.
    pub give_back_after: Span,
    /// Most that one plan gives back of a container's figure, in hundredths of it.
    pub give_back_step: u64,
    /// Least that a cpu limit is left at, in hundredths of what the container stays under in 95 % of its time.
    #[serde(skip_serializing_if = "is_usual_floor")]
    pub give_back_floor: u64,
    /// Memory is given back too.
    pub give_back_memory: bool,
    /// What plans are to bring to calls to its workloads.
    #[serde(skip_serializing_if = "Objective::is_usual")]
    pub objective: Objective,
    /// How long a rule's gain must have been gone, looked at all the time, before the rule is withdrawn.
    #[serde(skip_serializing_if = "is_usual_wait")]
    pub faded_after: Span,
    /// In how long a time what a plan brings must be more than its moves cost.
    #[serde(skip_serializing_if = "is_usual_payback")]
    pub payback: Span,
}

/// Traffic is much the same from one day to the next, and not from one hour to the next.
const PAYBACK: Span = Span::seconds(24 * 3600);

fn is_usual_payback(span: &Span) -> bool {
    *span == PAYBACK
}

/// A week holds every rhythm that traffic commonly has: office hours, nightly runs, quiet week-ends. What is not wanted in any of it is not wanted.
const FADED_AFTER: Span = Span::seconds(7 * 24 * 3600);

fn is_usual_wait(span: &Span) -> bool {
    *span == FADED_AFTER
}

/// Of the floors replayed in steps of 50 %, the lowest at which throttling stays what it was, to less than 0.001 of 10 000 periods
/// (0.0241 → 0.0243; 400: 0.0252). 200 halves the slack (docs/results/pressure.md).
const GIVE_BACK_FLOOR: u64 = 450;

fn is_usual_floor(floor: &u64) -> bool {
    *floor == GIVE_BACK_FLOOR
}

impl Default for NamespacePolicy {
    fn default() -> Self {
        Self {
            automation: Automation::Approve,
            may_act: false,
            consents_to: BTreeSet::new(),
            form: PlaceForm::Admission,
            cells: false,
            may_merge: false,
            merges: false,
            merge_way: Way::Proxied,
            max_moves: 20,
            proof_requests: 10_000,
            // facts/loop.md A6
            cooldown: Span::seconds(6 * 3600),
            max_cpu: Millicores(4_000),
            cpu_step: 800,
            resize_restarts: false,
            template_sizes: false,
            max_memory: Bytes(4 << 30),
            give_back: GiveBack::default(),
            // A week's rhythm; VPA remembers 8 days (facts/loop.md A5).
            give_back_after: Span::seconds(7 * 24 * 3600),
            // VPA leaves changes under 10 % alone (facts/loop.md A5): the smallest step that others think worth one.
            give_back_step: 10,
            give_back_floor: GIVE_BACK_FLOOR,
            give_back_memory: false,
            objective: Objective::default(),
            faded_after: FADED_AFTER,
            payback: PAYBACK,
        }
    }
}

/// The cluster at one moment. Ordered maps: equal clusters plan equally.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// Nodes by name.
    pub nodes: BTreeMap<NodeName, Node>,
    /// Pods by uid.
    pub pods: BTreeMap<PodUid, Pod>,
    /// Workloads by id.
    pub workloads: BTreeMap<WorkloadId, Workload>,
    /// Services by id.
    pub services: BTreeMap<ServiceId, Service>,
    /// Policies by namespace; absent = default.
    pub policies: BTreeMap<Namespace, NamespacePolicy>,
    /// Workloads with such a rule.
    pub ruled: BTreeMap<WorkloadId, Ruled>,
    /// What was tried in vain, by workload.
    pub missed: BTreeMap<WorkloadId, Vec<Missed>>,
    /// What became of merges, by caller and callee.
    #[serde(default)]
    pub merged: Vec<Merged>,
    /// Steady placement rules that stand, in the order of their workloads and names.
    #[serde(default)]
    pub steady: Vec<SteadyRule>,
    /// What pods use, as their kubelets told; pods that nothing is told of are left out.
    #[serde(default)]
    pub used: BTreeMap<PodUid, Used>,
    /// Templates of Deployments, for merging.
    pub templates: BTreeMap<WorkloadId, Template>,
    /// What identities are trusted with.
    pub trust: Trust,
    /// Routes of the mesh about Services; `None` where Huddle may not read them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reroutes: Option<BTreeSet<Reroute>>,
}

impl ClusterView {
    /// Pods of a workload that serve or will serve it: not being deleted, not orphaned.
    pub fn pods_of<'a>(&'a self, workload: &'a WorkloadId) -> impl Iterator<Item = &'a Pod> + 'a {
        self.pods
            .values()
            .filter(move |pod| &pod.workload == workload && !pod.deleting && pod.orphan_of.is_none())
    }
    /// Services whose selector matches the workload's pod labels.
    pub fn services_of<'a>(&'a self, workload: &'a Workload) -> impl Iterator<Item = &'a Service> + 'a {
        self.services
            .values()
            .filter(move |service| service.id.namespace == workload.id.namespace && service.selects(&workload.labels))
    }
    /// A pod as the end of a request; `None` while it has no node.
    pub fn endpoint(&self, pod: &PodUid) -> Option<Endpoint> {
        let pod = self.pods.get(pod)?;
        let node = pod.node.clone()?;
        let zone = self.nodes.get(&node)?.zone.clone();
        Some(Endpoint {
            pod: pod.uid.clone(),
            workload: pod.workload.clone(),
            node,
            zone,
        })
    }
    /// What a pod uses; where that is not told, what it asks for.
    pub fn use_of(&self, pod: &Pod) -> Used {
        let asked = Used {
            cpu: pod.requests.cpu,
            memory: pod.requests.memory,
        };
        self.used.get(&pod.uid).copied().unwrap_or(asked)
    }
    /// A namespace's policy.
    pub fn policy(&self, namespace: &Namespace) -> NamespacePolicy {
        self.policies.get(namespace).cloned().unwrap_or_default()
    }
}
