//! What Huddle would do and why; who approved it.

use crate::status::{PlanPhase, PlanStatus};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRef {
    /// Its namespace.
    pub namespace: String,
    /// `Deployment`, `StatefulSet`, …
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Who calls whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EdgeRef {
    /// The caller.
    pub source: WorkloadRef,
    /// The callee.
    pub destination: WorkloadRef,
}

/// The kinds of action there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ActionKind {
    /// A steady placement rule: the workload's new pods prefer nodes with a pod of `with`.
    Place,
    /// One pod is replaced by one on the node `to`; the old one serves until the new one does.
    Move,
    /// The Service's trafficDistribution is set.
    Route,
    /// A steady rule of sizes: the container comes with at least `sizeTo` in the workload's new pods.
    Size,
    /// One container of one running pod gets `sizeTo`, in place.
    Resize,
    /// The steady placement rule `rule` is deleted: what it was for is gone.
    Withdraw,
    /// A steady placement rule with a cell: the nodes of `seats` get a label, and the workload's new pods prefer them.
    Cell,
    /// The containers of `with` join the workload's pods, which are replaced one by one.
    Merge,
}

/// By which way calls come to a callee inside its caller's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MergeWay {
    /// Through the caller's own proxy, with the callee's Service to fall back on.
    Proxied,
    /// Over loopback, with nothing to fall back on.
    Direct,
}

/// What a rule was for and is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Faded {
    /// The two call each other no more, or hardly.
    NotCalled,
    /// None of its pods stands beside one of theirs.
    Apart,
    /// They call each other, and calls that leave the node are no slower.
    NothingSaved,
    /// One of the two is gone.
    Gone,
}

/// How a placement rule is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PlaceForm {
    /// As a Rule.
    Admission,
    /// In the workload's template, which restarts all its pods.
    Template,
}

/// Cpu in millicores and memory in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanCompute {
    /// Cpu in millicores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<i64>,
    /// Memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
}

/// What a container asks for and may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanSizing {
    /// What it asks for.
    #[serde(default)]
    pub requests: PlanCompute,
    /// What it may use at most.
    #[serde(default)]
    pub limits: PlanCompute,
}

/// A node of a cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanSeat {
    /// Which node.
    pub node: String,
    /// What it weighs against the cell's others.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i64,
}

/// One action; which of the fields are set follows from `kind`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.kind != 'place' || has(self.with)").message("place needs with"),
    validation = Rule::new("self.kind != 'move' || (has(self.pod) && has(self.podName) && has(self.from) && has(self.to))").message("move needs pod, podName, from and to"),
    validation = Rule::new("self.kind != 'route' || (has(self.service) && has(self.from) && has(self.to))").message("route needs service, from and to"),
    validation = Rule::new("self.kind != 'size' || (has(self.container) && has(self.sizeTo))").message("size needs container and sizeTo"),
    validation = Rule::new("self.kind != 'resize' || (has(self.pod) && has(self.podName) && has(self.container) && has(self.sizeFrom) && has(self.sizeTo))").message("resize needs pod, podName, container, sizeFrom and sizeTo"),
    validation = Rule::new("self.kind != 'withdraw' || (has(self.rule) && has(self.ruleUid) && has(self.faded) && has(self.fadedSince))").message("withdraw needs rule, ruleUid, faded and fadedSince"),
    validation = Rule::new("self.kind != 'cell' || (has(self.with) && has(self.seats))").message("cell needs with and seats"),
    validation = Rule::new("self.kind != 'merge' || has(self.with)").message("merge needs with")
)]
#[serde(rename_all = "camelCase")]
pub struct PlanAction {
    /// What is done.
    pub kind: ActionKind,
    /// Whose pods.
    pub workload: WorkloadRef,
    /// place, withdraw: next to whose pods. cell: for whose sake. merge: whose containers join them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<WorkloadRef>,
    /// merge: by which way its calls come to it; proxied where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<MergeWay>,
    /// place, size: how the rule is written; as a Rule where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<PlaceForm>,
    /// move, resize: the pod's uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// move, resize: the pod's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_name: Option<String>,
    /// route: which Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceRef>,
    /// move: the node it runs on. route: the mode before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// move: the node it is to run on. route: the mode wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// size, resize: which container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// resize: its figures before. size: what the template says of figures that are lowered; with form template, of all that change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_from: Option<PlanSizing>,
    /// resize: its figures wanted. size: the least figures, only those that change; what `sizeFrom` names, just these. With form template,
    /// what is written into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_to: Option<PlanSizing>,
    /// withdraw: the rule's name, in the workload's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// withdraw: its uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_uid: Option<String>,
    /// withdraw: what is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faded: Option<Faded>,
    /// withdraw: since when, in ms since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faded_since: Option<i64>,
    /// cell: its nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub seats: Vec<PlanSeat>,
}

/// What an edge is expected to gain; latencies in µs, shares from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanExpected {
    /// Which edge.
    pub edge: EdgeRef,
    /// Same-node share of its calls when the plan was made.
    pub local_share_before: f64,
    /// Same-node share predicted.
    pub local_share_after: f64,
    /// Median of the network part when the plan was made.
    pub network_p50_before: i64,
    /// Expected, low and high.
    pub network_p50: [i64; 2],
    /// 99th percentile of the network part when the plan was made.
    pub network_p99_before: i64,
    /// Expected, low and high.
    pub network_p99: [i64; 2],
}

/// What an edge is expected to gain from more cpu; latencies in µs, shares from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanRelief {
    /// Which edge.
    pub edge: EdgeRef,
    /// Which container of the callee.
    pub container: String,
    /// Share of the periods in which its limit stopped it when the plan was made, or of the time in which it waited or stalled.
    pub throttled_before: f64,
    /// The same expected under the new figure.
    pub throttled_after: f64,
    /// 99th percentile of the served time when the plan was made.
    pub served_p99_before: i64,
    /// Expected, low and high.
    pub served_p99: [i64; 2],
    /// The container's program reads its limits only as it starts, so that what it sized by them stays until it is started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_start: Option<PlanAtStart>,
    /// What the container lacks: `cpuLimit` where not given, `cpuShare` or `memory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lack: Option<String>,
}

/// What shows that a container reads its limits only as it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanAtStart {
    /// `owner`, `downward`, `sized` or, as a hint, `program`.
    pub sign: String,
    /// Which annotation, variable, option or name that is.
    pub seen: String,
}

/// What is given back of one container of a workload; cpu in millicores, memory in bytes, spans in ms, shares from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanGivenBack {
    /// Whose.
    pub workload: WorkloadRef,
    /// Which container.
    pub container: String,
    /// In how many running pods.
    pub pods: i64,
    /// Calls to it, which must not suffer.
    #[schemars(length(max = 500))]
    pub edges: Vec<EdgeRef>,
    /// For how long it was watched.
    pub watched: i64,
    /// Cpu used in the interval in which a pod used most.
    pub cpu_peak: i64,
    /// Cpu that it stayed under in 95 % of the time.
    pub cpu_high: i64,
    /// The largest working set.
    pub memory_peak: i64,
    /// Share of the periods in which its limit stopped it.
    pub throttled: f64,
    /// The figures that change, as they were when the plan was made.
    pub before: PlanSizing,
    /// As they will be.
    pub after: PlanSizing,
}

/// What a callee inside its caller's pods is expected to bring and to cost: figures borrowed from another cluster's measurement. The fields
/// beside `edge` say more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct PlanMerging {
    /// Whose calls stay inside the pod.
    pub edge: EdgeRef,
    /// What they gain, what each pod holds more, what else changes.
    #[serde(flatten)]
    #[schemars(skip)]
    pub figures: serde_json::Map<String, serde_json::Value>,
}

/// Spread of one workload, today and as predicted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanSpread {
    /// Whose.
    pub workload: WorkloadRef,
    /// Distinct nodes today.
    pub nodes_before: i64,
    /// Distinct nodes predicted.
    pub nodes_after: i64,
    /// Distinct zones today.
    pub zones_before: i64,
    /// Distinct zones predicted.
    pub zones_after: i64,
}

/// Something not done, and why. The fields beside `reason` are its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct PlanRefusal {
    /// Whose.
    pub workload: WorkloadRef,
    /// Next to whom, or for whose calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<WorkloadRef>,
    /// Why not.
    pub reason: String,
    /// The reason's own figures.
    #[serde(flatten)]
    #[schemars(skip)]
    pub evidence: serde_json::Map<String, serde_json::Value>,
}

/// What has changed. The fields beside `trigger` say more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct PlanTrigger {
    /// What: a node, a workload's replicas, an edge's level, a rule of no use.
    pub trigger: String,
    /// Which, and its figures.
    #[serde(flatten)]
    #[schemars(skip)]
    pub evidence: serde_json::Map<String, serde_json::Value>,
}

/// Who agreed, to exactly what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// The user's name; the admission policy holds it to the requester's own.
    pub by: String,
    /// When, in ms since the epoch.
    pub at: i64,
    /// The digest of the plan that was looked at.
    pub digest: String,
}

/// Who wants it undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollbackRequest {
    /// The user's name.
    pub by: String,
    /// When, in ms since the epoch.
    pub at: i64,
}

/// What Huddle would do and why. Its content never changes; people add an approval or a wish to roll back.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "huddle.dev",
    version = "v1alpha1",
    kind = "Plan",
    plural = "plans",
    namespaced,
    status = "PlanStatus",
    derive = "PartialEq",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Pods", type_ = "integer", json_path = ".spec.podsRestarted"),
    printcolumn(name = "Approved by", type_ = "string", json_path = ".spec.approval.by"),
    printcolumn(name = "Verdict", type_ = "string", json_path = ".status.verdict.outcome"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("self.digest == oldSelf.digest").message("a plan's content never changes"),
    validation = Rule::new("!has(oldSelf.approval) || (has(self.approval) && self.approval.digest == oldSelf.approval.digest && self.approval.by == oldSelf.approval.by)").message("an approval stays"),
    validation = Rule::new("!has(oldSelf.rollback) || has(self.rollback)").message("a wish to roll back stays"),
    validation = Rule::new("!has(self.approval) || self.approval.digest == self.digest").message("the approval is of another digest")
)]
#[serde(rename_all = "camelCase")]
pub struct PlanSpec {
    /// When it was made, in ms since the epoch.
    pub at: i64,
    /// What is done, in order.
    #[schemars(length(max = 500))]
    pub actions: Vec<PlanAction>,
    /// Edges that gain, most first.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub expected: Vec<PlanExpected>,
    /// Edges that gain from more cpu, most first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    pub relief: Vec<PlanRelief>,
    /// What is given back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub given_back: Vec<PlanGivenBack>,
    /// What a callee inside its caller's pods brings and costs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub merging: Vec<PlanMerging>,
    /// Spread of every workload that is moved.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub spread: Vec<PlanSpread>,
    /// What is not done, and why.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub refusals: Vec<PlanRefusal>,
    /// Pods that are re-created.
    pub pods_restarted: i64,
    /// Why it comes now; empty where nothing has changed but what was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub because: Vec<PlanTrigger>,
    /// Seconds saved per second, at least: of network time, or where pods are given more cpu, of served time. Where cpu is given back, cores.
    pub saved: f64,
    /// SHA-256 over everything above, in hexadecimal.
    #[schemars(length(min = 64, max = 64))]
    pub digest: String,
    /// Who agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Who wants it undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackRequest>,
}

impl Plan {
    /// Whether it is through: proved, rolled back or superseded. A proved one can still be rolled back.
    pub fn has_ended(&self) -> bool {
        let phase = self.status.as_ref().map(|status| status.phase).unwrap_or_default();
        matches!(phase, PlanPhase::Proved | PlanPhase::RolledBack | PlanPhase::Superseded)
    }
}
