//! What people see: the state that the dashboard, the command line and the JSON API show. One shape for all of them.
//!
//! JSON is camelCase; latencies are microseconds, times are milliseconds since the epoch.

mod build;
mod merge;
pub mod pairs;
mod usage;
pub use merge::*;
pub use usage::*;

use crate::distribution::Distribution;
use crate::sample::Exchange;
use serde::{Deserialize, Serialize};

/// Fewer requests than this make a p99 unreliable (it would rest on less than one request).
pub const RELIABLE_REQUESTS: u64 = 100;

/// Three quantiles of one distribution, in µs; zero where nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quantiles {
    /// Median.
    pub p50_us: u64,
    /// 95th percentile.
    pub p95_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
}

impl From<&Distribution> for Quantiles {
    fn from(distribution: &Distribution) -> Self {
        let at = |q| distribution.quantile(q).map_or(0, |micros| micros.0);
        Self {
            p50_us: at(0.50),
            p95_us: at(0.95),
            p99_us: at(0.99),
        }
    }
}

/// One part of an edge's requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Requests.
    pub requests: u64,
    /// Errors among them.
    pub errors: u64,
    /// Upstream latency.
    #[serde(flatten)]
    pub upstream: Quantiles,
    /// Its network part.
    pub network: Quantiles,
    /// Its served part.
    pub served: Quantiles,
    /// Whether there are enough requests for a p99.
    pub reliable: bool,
}

impl From<&Exchange> for Part {
    fn from(exchange: &Exchange) -> Self {
        Self {
            requests: exchange.requests,
            errors: exchange.errors,
            upstream: (&exchange.upstream).into(),
            network: (&exchange.network).into(),
            served: (&exchange.served).into(),
            reliable: exchange.requests >= RELIABLE_REQUESTS,
        }
    }
}

/// An edge's requests by locality.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Localities {
    /// Caller and callee in one pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_pod: Option<Part>,
    /// One node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_node: Option<Part>,
    /// One zone, two nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_zone: Option<Part>,
    /// Two zones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_zone: Option<Part>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// Ready and schedulable.
    pub ready: bool,
}

/// The cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSummary {
    /// What people call it.
    pub name: String,
    /// Its nodes.
    pub nodes: Vec<NodeView>,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Where it runs; empty while pending.
    pub node: String,
    /// The node's zone.
    pub zone: String,
    /// Ready.
    pub ready: bool,
    /// Its proxy reports to Huddle.
    pub reporting: bool,
}

/// A workload on the graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadView {
    /// `shop/frontend`.
    pub id: String,
    /// Its namespace.
    pub namespace: String,
    /// `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Replicas wanted.
    pub replicas: u64,
    /// Replicas ready.
    pub ready: u64,
    /// Its pods.
    pub pods: Vec<PodView>,
    /// What its containers use and lack, as far as kubelets tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerView>,
}

/// What diagnose says of an edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingView {
    /// `distance`, `pressure`, `downstream`, `chatter`, `notEnoughData`, `notDistance`.
    pub cause: String,
    /// One sentence with the evidence.
    pub sentence: String,
}

/// An edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeView {
    /// Caller's workload id.
    pub source: String,
    /// Callee's workload id.
    pub destination: String,
    /// `http`, `grpc` or `http+grpc`.
    pub protocol: String,
    /// Requests per second over the window.
    pub rps: f64,
    /// Share of errors.
    pub error_rate: f64,
    /// Bytes per second, both ways.
    pub bytes_per_second: f64,
    /// Share of requests that crossed no node border.
    pub local_share: f64,
    /// All requests.
    pub total: Part,
    /// By locality.
    pub localities: Localities,
    /// Why it is slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<FindingView>,
    /// Where diagnose calls it chatter: whether to run the callee inside the caller's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<MergeView>,
    /// Where calls of it stay inside the caller's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<InsideView>,
}

/// One action or refusal of a plan, for people; the fields that apply are set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// `place`, `move`, `route`, `size`, `resize`, `merge` and so on: the action's label; for refusals the reason's label.
    pub kind: String,
    /// One sentence.
    pub sentence: String,
    /// Whose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Which pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// From which node, mode or cpu limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// To which node, workload, mode or cpu limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `pending`, `running`, `done`, `undone`, `failed`; for refusals absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// For refusals: what would have to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// For steps that have several stages: each of them, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageView>,
}

/// An edge's expected gain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpectedView {
    /// Caller.
    pub source: String,
    /// Callee.
    pub destination: String,
    /// Same-node share before and predicted.
    pub local_share: [f64; 2],
    /// Network p50 before, expected low, expected high.
    pub network_p50_us: [u64; 3],
    /// Network p99 before, expected low, expected high.
    pub network_p99_us: [u64; 3],
}

/// What more cpu is expected to bring for an edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReliefView {
    /// Caller.
    pub source: String,
    /// Callee.
    pub destination: String,
    /// Which of the callee's containers.
    pub container: String,
    /// Share of the periods in which its limit stops it, or of the time in which it waits or stalls, before and expected.
    pub throttled: [f64; 2],
    /// Served p99 before, expected low, expected high.
    pub served_p99_us: [u64; 3],
    /// What the container does not get at once because it reads its limits only as it starts: one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_start: Option<String>,
    /// What it lacks: `cpuLimit`, `cpuShare`, `memory`; empty for the first in answers older than the field.
    #[serde(default)]
    pub lack: String,
    /// What it lacks and what becomes of that, as the end of a sentence.
    #[serde(default)]
    pub because: String,
}

/// How a workload is spread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpreadView {
    /// Whose.
    pub workload: String,
    /// Distinct nodes before and after (predicted until measured).
    pub nodes: [u64; 2],
    /// Distinct zones before and after.
    pub zones: [u64; 2],
}

/// An edge's proof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofView {
    /// Caller.
    pub source: String,
    /// Callee.
    pub destination: String,
    /// Same-node share before and after.
    pub local_share: [f64; 2],
    /// Before.
    pub before: Part,
    /// Same-node requests before.
    pub local_before: Part,
    /// After.
    pub after: Part,
    /// `improved`, `unchanged`, `regressed` or `waiting`: this edge alone, its network part or, of a plan that gives cpu, its served
    /// time; empty in proofs older than the field.
    #[serde(default)]
    pub verdict: String,
}

/// All edges acted on, taken together (issue 3, step 4; see `verify`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TogetherView {
    /// Same-node share of their calls before and after.
    pub local_share: [f64; 2],
    /// (before − after) ÷ (before − same-node before) at network p50, all edges merged, weighted by their before-requests.
    pub gap_closed_p50: f64,
    /// The same at network p99.
    pub gap_closed_p99: f64,
    /// These edges' calls that were not same-node before ÷ all such calls of the graph.
    pub share_of_calls: f64,
    /// Pods that were re-created.
    pub pods_moved: u64,
}

/// What a plan gives back of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GivenBackView {
    /// Whose.
    pub workload: String,
    /// Which container.
    pub container: String,
    /// In how many pods.
    pub pods: u64,
    /// Given back of cpu limits over all of them, in thousandths.
    pub cpu_limits_m: u64,
    /// The same of cpu requests.
    pub cpu_requests_m: u64,
    /// The same of memory limits, in bytes.
    pub memory_bytes: u64,
    /// All of it in words, without the workload's calls.
    pub sentence: String,
}

/// A verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerdictView {
    /// `waiting`, `improved`, `unchanged`, `regressed`, `eased`.
    pub outcome: String,
    /// One sentence.
    pub sentence: String,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    /// Its name in the Kubernetes API.
    pub id: String,
    /// `proposed`, `approved`, `baseline`, `acting`, `proving`, `proved`, `rollingBack`, `rolledBack`, `superseded`.
    pub phase: String,
    /// One sentence.
    pub summary: String,
    /// When it was made.
    pub created_at: i64,
    /// What it does, in order.
    pub actions: Vec<StepView>,
    /// What it refuses.
    pub refusals: Vec<StepView>,
    /// What it expects.
    pub expected: Vec<ExpectedView>,
    /// What it expects of giving pods more cpu.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relief: Vec<ReliefView>,
    /// What it gives back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_back: Vec<GivenBackView>,
    /// What a callee inside its caller's pods brings and costs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merging: Vec<MergeView>,
    /// What was proved, edge by edge.
    pub proof: Vec<ProofView>,
    /// What was proved, together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub together: Option<TogetherView>,
    /// Spread of the workloads moved: today's when proposed, measured when proved.
    pub spread: Vec<SpreadView>,
    /// The verdict so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictView>,
}

/// A pod that should report and does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SilentView {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// `noSidecar`, `neverReported`, `stopped`.
    pub reason: String,
    /// One sentence with what to do.
    pub sentence: String,
}

/// An edge's exact counts since the controller started; requests that Huddle has no reporter for are not among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TotalView {
    /// Caller's workload id.
    pub source: String,
    /// Callee's workload id.
    pub destination: String,
    /// Requests of all classes.
    pub requests: u64,
    /// Errors among them.
    pub errors: u64,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// When it was made.
    pub at: i64,
    /// How long the window is.
    pub window_ms: u64,
    /// The cluster.
    pub cluster: ClusterSummary,
    /// Workloads.
    pub workloads: Vec<WorkloadView>,
    /// Edges.
    pub edges: Vec<EdgeView>,
    /// Counts since the controller started, for edges seen at any time.
    #[serde(default)]
    pub totals: Vec<TotalView>,
    /// Plans, newest first.
    pub plans: Vec<PlanView>,
    /// Pods that should report and do not.
    pub silent: Vec<SilentView>,
    /// Nodes of whose containers nothing is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blind: Vec<BlindView>,
    /// Workloads that are starved and get nothing as of the planner's last run, whether it made a plan or not: why, what would change it
    /// and, where somebody else decides, what is recommended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unrelieved: Vec<StepView>,
}
