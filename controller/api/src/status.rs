//! How far a plan is, and how to undo each step.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a plan is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PlanPhase {
    /// Waits for approval.
    #[default]
    Proposed,
    /// Approved; waits for its turn.
    Approved,
    /// The before window is being measured.
    Baseline,
    /// Steps are being taken.
    Acting,
    /// The new pods warm up.
    Settling,
    /// The after window is being measured.
    Proving,
    /// Ended: improved or unchanged; its rules and routing stay.
    Proved,
    /// Being undone.
    RollingBack,
    /// Undone.
    RolledBack,
    /// Replaced by a newer plan before anybody approved it.
    Superseded,
}

/// Where a step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StepPhase {
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

/// An object by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectName {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

/// One write that undoes a step, for kubectl alone: either a deletion or an object to apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inverse {
    /// What it does, as a sentence.
    pub says: String,
    /// Delete this (`kubectl delete`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<ObjectName>,
    /// Apply this: `kubectl apply --server-side --force-conflicts --field-manager=huddle -f -`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub apply: Option<Value>,
    /// As this field manager, where it is not `huddle`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_manager: Option<String>,
    /// Patch this subresource of the object instead, strategically: `kubectl patch --subresource`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subresource: Option<String>,
    /// Patch the object itself instead, strategically: `kubectl patch`. What is null in it goes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub patch: bool,
}

/// One step: the action of the same index in the spec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStep {
    /// Where it is.
    pub state: StepPhase,
    /// Since when, in ms since the epoch.
    pub since: i64,
    /// What went wrong, as a reason and a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub trouble: Option<Value>,
    /// What may have been written, put down before the first write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub receipt: Option<Value>,
    /// How to undo it by hand, in this order; empty once it is undone or needs no undoing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inverse: Vec<Inverse>,
}

/// A stretch of time, in ms since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WindowTimes {
    /// First moment inside.
    pub from: i64,
    /// First moment after.
    pub to: i64,
}

/// What was measured before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanBefore {
    /// When.
    pub window: WindowTimes,
    /// The summarised measurement, verify's own.
    #[schemars(schema_with = "any_object")]
    pub memory: Value,
}

/// A verdict: its outcome, and one sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct PlanVerdict {
    /// `waiting`, `improved`, `unchanged`, `regressed`, `eased`.
    pub outcome: String,
    /// What is waited for, or what got worse.
    #[serde(flatten)]
    #[schemars(skip)]
    pub evidence: serde_json::Map<String, Value>,
}

/// How far a plan is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// Where it is.
    pub phase: PlanPhase,
    /// Since when, in ms since the epoch.
    pub since: i64,
    /// One sentence: what is happening or being waited for.
    #[serde(default)]
    pub message: String,
    /// One entry per action.
    #[serde(default)]
    pub steps: Vec<PlanStep>,
    /// Why it was stopped or is being undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub trouble: Option<Value>,
    /// The before window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<PlanBefore>,
    /// When the after window began, in ms since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_from: Option<i64>,
    /// The verdict so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<PlanVerdict>,
    /// What was proved: `edges`, `together`, `spread`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub proof: Option<Value>,
    /// For tools: `Finished`, with the phase as its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
