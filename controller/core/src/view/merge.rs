//! Merging as people see it: advice, how far a merge is, and calls that stay inside the pod.

use super::{Part, StepView};
use crate::act::{COMPANION_LABEL, MergeReceipt, MergeStage, Receipt, Step, StepState};
use crate::cluster::{ClusterView, Merged};
use crate::distribution::Distribution;
use crate::graph::{EdgeStats, Snapshot};
use crate::id::{EdgeId, WorkloadId};
use crate::plan::Action;
use crate::plan::merge::{Advice, Effect, Gain, Unmergeable, Way};
use crate::sample::{Exchange, Locality};
use crate::time::Timestamp;
use crate::units::{Micros, Ratio};
use serde::{Deserialize, Serialize};

/// What one way in would make of the edge's calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WayView {
    /// `proxied`, `direct`.
    pub way: String,
    /// Network p50 on one node today, then expected inside the pod, low and high: borrowed from another cluster's measurement.
    pub network_p50_us: [u64; 3],
    /// One sentence.
    pub sentence: String,
}

/// Whether to run a callee inside its caller's pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MergeView {
    /// Caller.
    pub source: String,
    /// Callee.
    pub destination: String,
    /// By which way its calls would come to it: `proxied` or `direct`, as the namespace's Policy says; empty in answers older than the field.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub way: String,
    /// Nothing stands against it, and diagnose calls the edge chatter.
    pub recommended: bool,
    /// One sentence.
    pub sentence: String,
    /// What calls would gain, way by way; empty where too few were measured on one node.
    pub ways: Vec<WayView>,
    /// Same-node requests behind these figures.
    pub same_node_requests: u64,
    /// Where the figures come from, as the end of a sentence; empty where there are none.
    #[serde(default)]
    pub basis: String,
    /// Waiting saved in each second that way, in seconds: low and high.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_per_second: Option<[f64; 2]>,
    /// The callee's containers that each of the caller's pods would hold more.
    pub containers: Vec<String>,
    /// Pods of the caller today.
    pub pods: u64,
    /// Cpu that they ask for, per pod, in thousandths.
    pub cpu_request_m: u64,
    /// Memory that they ask for, per pod, in bytes.
    pub memory_request_bytes: u64,
    /// Cpu that they used at their height, in thousandths; absent where no kubelet told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_used_m: Option<u64>,
    /// The same for memory, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    /// What it costs each pod, in one sentence.
    pub cost: String,
    /// What changes for security and scaling.
    pub effects: Vec<String>,
    /// Every reason against it, with what would have to change.
    pub against: Vec<StepView>,
    /// Which command asks for it: one sentence, the command between backticks.
    #[serde(default)]
    pub ask: String,
}

/// An edge whose calls stay inside the caller's pods, wholly or in part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InsideView {
    /// The plan that merged the two; absent where calls stay inside and no plan of it is known any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Pods of the caller that hold the companion, and all of them; absent without a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<[u64; 2]>,
    /// Of the edge's calls in the window, the share that stayed inside.
    pub share: f64,
    /// The calls that left the pod, all distances together; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<Part>,
    /// Where they go over loopback, what of all this is not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<UnseenView>,
    /// One sentence, or two.
    pub sentence: String,
}

/// What is known of calls over loopback inside the caller's pods, where no proxy sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnseenView {
    /// When the edge's times were last measured, in ms since the epoch.
    pub measured_at: i64,
    /// Calls of others to the caller in the window.
    pub calls: u64,
    /// Of these the failed ones: what fails while a companion is away is among them, and cannot be told from the rest.
    pub failed: u64,
    /// The time in which the caller serves others, p50 in microseconds: before its pods held the companion, and in the window. Absent where one of
    /// the two was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_served_p50_us: Option<[u64; 2]>,
}

/// One stage of a step that has several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageView {
    /// `companion`, `clusters`, `route`, `pods`, `prove`, `lower`.
    pub stage: String,
    /// One sentence.
    pub sentence: String,
    /// `pending`, `running`, `done`.
    pub state: String,
}

impl InsideView {
    /// What there is to say of an edge; `None` where no call of it stays inside a pod and no pod of the caller could keep one. A workload's
    /// calls to itself, which may meet their own pod, are no merge.
    pub fn new(stats: &EdgeStats, cluster: &ClusterView) -> Option<Self> {
        let (caller, callee) = (&stats.edge.source, &stats.edge.destination);
        if caller == callee {
            return None;
        }
        let stands = |merged: &&Merged| merged.parted.is_none() && merged.caller == *caller && merged.callee == *callee;
        let plan = cluster.merged.iter().find(stands).map(|merged| merged.plan.clone());
        let pods = plan.as_ref().map(|_| {
            let holds = |labels: &crate::cluster::Labels| labels.get(COMPANION_LABEL).is_some();
            let held = cluster.pods_of(caller).filter(|pod| holds(&pod.labels)).count();
            [held as u64, cluster.pods_of(caller).count() as u64]
        });
        let inside = stats
            .by_locality
            .get(&Locality::SamePod)
            .map_or(0, |part| part.requests);
        if inside == 0 && pods.is_none_or(|[held, _]| held == 0) {
            return None;
        }
        let mut outside = Exchange::default();
        for (locality, exchange) in &stats.by_locality {
            if *locality != Locality::SamePod {
                outside.merge(exchange);
            }
        }
        let share = Ratio::of(inside, stats.total.requests);
        let held = match (pods, &plan) {
            (Some([held, all]), Some(plan)) => {
                format!("{held} of {all} pods of {caller} hold {callee} (plan {plan}); ")
            }
            (Some(_), None) | (None, _) => String::new(),
        };
        let own = cluster.workloads.get(callee).map_or(0, |workload| workload.replicas);
        Some(Self {
            plan,
            pods,
            share: share.get(),
            sentence: format!(
                "Inside the pod: {held}{share} of the window's calls stayed inside. The callee's own pods ({own}) take the others."
            ),
            outside: (outside.requests > 0).then(|| Part::from(&outside)),
            unseen: None,
        })
    }
    /// The same of an edge whose calls nobody sees, and whose times are of `at`. `served`: the p50 of the time in which the caller served others before.
    #[must_use]
    pub fn not_seen(mut self, edge: &EdgeId, at: Timestamp, served: Option<Micros>, snapshot: &Snapshot) -> Self {
        let now = served_to_others(&edge.source, snapshot);
        let change = served.zip(now);
        let others = snapshot.edges_from_others(&edge.source);
        let (calls, failed) = others.fold((0_u64, 0_u64), |(calls, failed), stats| {
            let total = &stats.total;
            (
                calls.saturating_add(total.requests),
                failed.saturating_add(total.errors),
            )
        });
        let caller = &edge.source;
        self.sentence += &format!(
            " They go over loopback, where no proxy sees them: times as last measured ({}), calls reckoned from those that {caller} answers. Of \
             {calls} calls to {caller} {failed} failed: what fails while a companion is away is among them.",
            at.utc()
        );
        if let Some((was, is)) = change {
            self.sentence += &format!(" {caller} serves in {is} at the median; before the merge it took {was}.");
        }
        self.unseen = Some(UnseenView {
            measured_at: at.0,
            calls,
            failed,
            caller_served_p50_us: change.map(|(was, is)| [was.0, is.0]),
        });
        self
    }
}

/// The p50 of the time in which a workload serves others; `None` where none was measured.
pub fn served_to_others(workload: &WorkloadId, snapshot: &Snapshot) -> Option<Micros> {
    let mut served = Distribution::default();
    for stats in snapshot.edges_from_others(workload) {
        served.merge(&stats.total.served);
    }
    served.quantile(0.5)
}

impl StageView {
    /// The stages of a merge's step, in order; none of other steps, and none on its way back, which takes them in another order.
    pub fn all(action: &Action, step: Option<&Step>) -> Vec<Self> {
        let Action::Merge { way, .. } = action else {
            return Vec::new();
        };
        let receipt = step.and_then(|step| match &step.receipt {
            Some(Receipt::Merge(receipt)) => Some(&**receipt),
            _ => None,
        });
        let state = step.map_or(StepState::Pending, |step| step.state);
        let of = |stage: MergeStage| match (state, receipt) {
            (StepState::Done, _) => StepState::Done,
            (StepState::Running, Some(receipt)) if stage < receipt.stage => StepState::Done,
            (StepState::Running, Some(receipt)) if stage == receipt.stage => StepState::Running,
            (
                StepState::Pending | StepState::Running | StepState::Undoing | StepState::Undone | StepState::Skipped,
                _,
            ) => StepState::Pending,
        };
        match state {
            StepState::Undoing | StepState::Undone | StepState::Skipped => Vec::new(),
            StepState::Pending | StepState::Running | StepState::Done => MergeStage::forward(*way)
                .map(|stage| Self {
                    stage: stage.label().to_owned(),
                    sentence: told(stage, of(stage), receipt),
                    state: of(stage).label().to_owned(),
                })
                .collect(),
        }
    }
}

/// A stage's sentence; the last one says, once it is done, what came of it.
fn told(stage: MergeStage, state: StepState, receipt: Option<&MergeReceipt>) -> String {
    let lowered = receipt.and_then(|receipt| receipt.lowered.as_ref());
    match (stage, state, lowered) {
        (MergeStage::Lower, StepState::Done, Some(lowered)) => {
            format!(
                "{} They were {}, and are {}.",
                stage.sentence(),
                lowered.before,
                lowered.to
            )
        }
        (MergeStage::Companion, StepState::Running, _) if receipt.is_some_and(|receipt| receipt.former.is_some()) => {
            format!(
                "The callee has another version, which the companion follows. {}",
                stage.sentence()
            )
        }
        (MergeStage::Lower, StepState::Done, None) => format!("{} They stay as they are.", stage.sentence()),
        _ => stage.sentence().to_owned(),
    }
}

impl From<&Unmergeable> for StepView {
    fn from(reason: &Unmergeable) -> Self {
        Self {
            kind: reason.label().to_owned(),
            sentence: reason.sentence(),
            remedy: Some(reason.remedy()),
            ..Self::default()
        }
    }
}

impl From<&Advice> for MergeView {
    fn from(advice: &Advice) -> Self {
        let way = |gain: &Gain, way: Way| {
            let (low, high) = gain.p50(way);
            WayView {
                way: way.label().to_owned(),
                network_p50_us: [gain.same_node_p50.0, low.0, high.0],
                sentence: gain.sentence(way),
            }
        };
        let extra = &advice.extra;
        Self {
            source: advice.edge.source.to_string(),
            destination: advice.edge.destination.to_string(),
            way: advice.way.label().to_owned(),
            recommended: advice.recommends(advice.way),
            sentence: advice.sentence(),
            ways: advice
                .gain
                .iter()
                .flat_map(|gain| [way(gain, Way::Proxied), way(gain, Way::Direct)])
                .collect(),
            same_node_requests: advice.gain.as_ref().map_or(0, |gain| gain.requests),
            basis: advice.gain.as_ref().map(Gain::basis).unwrap_or_default(),
            saved_per_second: advice
                .gain
                .as_ref()
                .map(|gain| gain.saved(advice.way))
                .map(|(low, high)| [low, high]),
            containers: extra.containers.iter().map(ToString::to_string).collect(),
            pods: extra.pods,
            cpu_request_m: extra.requests.cpu.0,
            memory_request_bytes: extra.requests.memory.0,
            cpu_used_m: extra.used.map(|used| used.cpu.0),
            memory_used_bytes: extra.used.map(|used| used.memory.0),
            cost: extra.sentence(),
            effects: advice.effects.iter().map(Effect::sentence).collect(),
            against: advice.against.iter().map(StepView::from).collect(),
            ask: advice.ask(),
        }
    }
}
