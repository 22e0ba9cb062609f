//! What act asks of the stages that measure.

use huddle_core::act::GuardReason;
use huddle_core::cluster::RoutingMode;
use huddle_core::id::{EdgeId, PodUid, ServiceId, WorkloadId};
use huddle_core::plan::merge::{Standing, Unmergeable, Usual, Way};
use huddle_core::plan::{Percent, Plan};
use huddle_core::time::{Timestamp, Window};
use huddle_core::verify::{Sign, Verdict, Waiting};
use huddle_core::view::{ProofView, SpreadView, TogetherView};
use std::collections::BTreeSet;

/// Largest size of [`Before::memory`] as JSON, in bytes: it lives in an API object.
pub(super) const MEMORY_BYTES: usize = 256 * 1024;

/// The before window, measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Before {
    /// When.
    pub window: Window,
    /// What verify needs of it later, also after a restart: kept in the plan's status, given back as it was. An object.
    pub memory: serde_json::Value,
}

/// A verdict with its figures.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Proof {
    /// The verdict so far.
    #[serde(skip)]
    pub verdict: Verdict,
    /// Edge by edge.
    pub edges: Vec<ProofView>,
    /// All edges acted on together.
    pub together: Option<TogetherView>,
    /// Spread of the moved workloads, before and as it is now.
    pub spread: Vec<SpreadView>,
}

/// The measuring stages, as act sees them. Called from act's task: answers come from what is published, at once.
pub trait Evidence: Send + Sync + 'static {
    /// The time.
    fn now(&self) -> Timestamp;
    /// The before window that begins at `from` (the decision), once it is good enough.
    ///
    /// # Errors
    /// What is still waited for.
    fn before(&self, plan: &Plan, from: Timestamp) -> Result<Before, Waiting>;
    /// The verdict on the after window that begins at `from`.
    fn verdict(&self, plan: &Plan, before: &Before, from: Timestamp) -> Proof;
    /// The verdict on what happens while the plan is carried out and proved, if it is harm: asked every few seconds from its first step until
    /// there is a verdict.
    fn harm(&self, plan: &Plan, before: &Before) -> Option<Proof>;
    /// Whether local routing of the Service is safe now: every ready pod's load within the bound, at least two ready
    /// pods, nothing overriding it, no pod near its callers answering 5xx. Asked on every round while a route stands.
    ///
    /// # Errors
    /// Why it is not.
    fn routing(&self, service: &ServiceId, workload: &WorkloadId, to: RoutingMode) -> Result<(), GuardReason>;
    /// All reasons of the cluster and the graph against running the edge's destination inside its source's pods.
    fn against_merging(&self, edge: &EdgeId) -> Vec<Unmergeable>;
    /// What stands in the cluster by now against a merge of the edge that goes this way. Asked on every round while it stands.
    fn against_way(&self, edge: &EdgeId, way: Way) -> Vec<Unmergeable>;
    /// What passes on the edge and around it; `None` where too little does to reckon with.
    fn usual(&self, edge: &EdgeId) -> Option<Usual>;
    /// Of the edge's calls since `from`, in hundredths: those that stayed inside the pod; and of all calls to its destination those that come
    /// from others. `None` where too few were measured. `usual`: where they go over loopback, which shows only by their absence, what passed
    /// before.
    fn merged(&self, edge: &EdgeId, usual: Option<&Usual>, from: Timestamp) -> (Option<Percent>, Option<Percent>);
    /// Of the calls of the edge that this pod of its source has made since `from`, in hundredths: those that stayed inside it. `None` where too
    /// few were measured. `usual`: where they go over loopback, by what the pod is asked and answers.
    fn inside_of(&self, edge: &EdgeId, pod: &PodUid, usual: Option<&Usual>, from: Timestamp) -> Option<Percent>;
    /// Whom a workload calls.
    fn calls(&self, workload: &WorkloadId) -> BTreeSet<WorkloadId>;
    /// Whether the merge of the edge is still what it was made for. Asked on every round while it stands.
    fn standing(&self, edge: &EdgeId) -> Standing;
    /// The first sign that what the plan gives back is missed. Asked on every round from its first resize on, as long as it stands.
    fn missed(&self, _plan: &Plan) -> Option<Sign> {
        None
    }
}
