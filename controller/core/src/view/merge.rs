//! Advice on merging, as people see it.

use super::StepView;
use crate::graph::Snapshot;
use crate::id::EdgeId;
use crate::plan::merge::{Advice, Effect, Gain, Unmergeable, Way};
use crate::time::Timestamp;
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
    #[serde(default)]
    pub way: String,
    /// Nothing stands against it, and diagnose calls the edge chatter.
    pub recommended: bool,
    /// One sentence.
    pub sentence: String,
    /// What calls would gain, way by way; empty where too few were measured on one node.
    pub ways: Vec<WayView>,
    /// Same-node requests behind these figures.
    pub same_node_requests: u64,
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
}

/// What is known of calls over loopback inside the caller's pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InsideView {
    /// `direct`.
    pub way: String,
    /// When their figures were last measured, in ms since the epoch.
    pub measured_at: i64,
    /// Calls of others to the caller in the window.
    pub calls: u64,
    /// Of these the failed ones: what fails while a companion is away is among them, and cannot be told from the rest.
    pub failed: u64,
    /// One sentence.
    pub sentence: String,
}

impl InsideView {
    /// Of an edge whose figures are of `at`.
    pub fn new(edge: &EdgeId, at: Timestamp, snapshot: &Snapshot) -> Self {
        let into = snapshot.edges_into(&edge.source);
        let others = into.filter(|stats| stats.edge.source != stats.edge.destination);
        let (calls, failed) = others.fold((0_u64, 0_u64), |(calls, failed), stats| {
            let total = &stats.total;
            (
                calls.saturating_add(total.requests),
                failed.saturating_add(total.errors),
            )
        });
        Self {
            way: Way::Direct.label().to_owned(),
            measured_at: at.0,
            calls,
            failed,
            sentence: format!(
                "inside the pods, over loopback, where no proxy sees it: times as last measured ({}), calls reckoned from those that {} \
                 answers. Of {calls} calls to {} {failed} failed: what fails while a companion is away is among them.",
                at.utc(),
                edge.source,
                edge.source
            ),
        }
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
        }
    }
}
