//! API objects to core values and back. The JSON of a plan's parts is the same on both sides.

use super::ActError;
use huddle_api as api;
use huddle_core::act::{Phase, Progress};
use huddle_core::plan::Plan;
use huddle_core::time::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt::Write;

fn recast<T: DeserializeOwned>(object: &str, field: &'static str, value: &impl Serialize) -> Result<T, ActError> {
    serde_json::to_value(value)
        .and_then(serde_json::from_value)
        .map_err(|error| ActError::Malformed {
            object: object.to_owned(),
            field,
            why: error.to_string(),
        })
}

/// The plan as the planner made it.
///
/// # Errors
/// The field that cannot be read.
pub fn plan_of(object: &api::Plan) -> Result<Plan, ActError> {
    let name = object.name_any();
    let spec = &object.spec;
    Ok(Plan {
        at: Timestamp(spec.at),
        actions: recast(&name, "spec.actions", &spec.actions)?,
        expected: recast(&name, "spec.expected", &spec.expected)?,
        relief: recast(&name, "spec.relief", &spec.relief)?,
        given_back: recast(&name, "spec.givenBack", &spec.given_back)?,
        merging: recast(&name, "spec.merging", &spec.merging)?,
        spread: recast(&name, "spec.spread", &spec.spread)?,
        refusals: recast(&name, "spec.refusals", &spec.refusals)?,
        pods_restarted: recast(&name, "spec.podsRestarted", &spec.pods_restarted)?,
        because: recast(&name, "spec.because", &spec.because)?,
        saved: spec.saved,
    })
}

/// The plan as an API object's spec, without approval.
///
/// # Errors
/// The field that cannot be written.
pub fn spec_of(plan: &Plan) -> Result<api::PlanSpec, ActError> {
    let name = "plan";
    Ok(api::PlanSpec {
        at: plan.at.0,
        actions: recast(name, "actions", &plan.actions)?,
        expected: recast(name, "expected", &plan.expected)?,
        relief: recast(name, "relief", &plan.relief)?,
        given_back: recast(name, "givenBack", &plan.given_back)?,
        merging: recast(name, "merging", &plan.merging)?,
        spread: recast(name, "spread", &plan.spread)?,
        refusals: recast(name, "refusals", &plan.refusals)?,
        pods_restarted: recast(name, "podsRestarted", &plan.pods_restarted)?,
        because: recast(name, "because", &plan.because)?,
        saved: plan.saved,
        digest: digest(plan),
        approval: None,
        rollback: None,
    })
}

/// SHA-256 over the plan's JSON, in hexadecimal: what an approval approves.
pub fn digest(plan: &Plan) -> String {
    // Through a value, so that a number reads the same before and after its way through the API server.
    let text = serde_json::to_value(plan)
        .map(|value| value.to_string())
        .unwrap_or_default();
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// How far the plan is; the beginning where it has no status yet.
///
/// # Errors
/// The field that cannot be read.
pub fn progress_of(object: &api::Plan) -> Result<Progress, ActError> {
    match &object.status {
        Some(status) => recast(&object.name_any(), "status", status),
        None => Ok(huddle_core::act::begin(
            object.spec.actions.len(),
            Timestamp(object.spec.at),
        )),
    }
}

/// The plan's status with this progress; what belongs to others in it (message, proof, memory) stays.
///
/// # Errors
/// The field that cannot be written.
pub(super) fn with_progress(
    object: &api::Plan,
    progress: &Progress,
    memory: Option<&Value>,
) -> Result<api::PlanStatus, ActError> {
    let name = object.name_any();
    let mut status: Value = match &object.status {
        Some(status) => recast(&name, "status", status)?,
        None => Value::Object(Map::new()),
    };
    let mut fresh: Value = recast(&name, "progress", progress)?;
    let old_memory = status.pointer("/before/memory").cloned();
    if let (Some(before), Some(memory)) = (
        fresh.get_mut("before").and_then(Value::as_object_mut),
        memory.cloned().or(old_memory),
    ) {
        before.insert("memory".to_owned(), memory);
    }
    if let (Some(status), Value::Object(fresh)) = (status.as_object_mut(), fresh) {
        status.remove("trouble");
        status.extend(fresh);
    }
    let mut status: api::PlanStatus = recast(&name, "status", &status)?;
    for (step, progress) in status.steps.iter_mut().zip(&progress.steps) {
        step.inverse = super::inverse::of(progress);
    }
    status.conditions = vec![finished(progress)];
    Ok(status)
}

/// The condition that tools wait for: `kubectl wait --for=condition=Finished plan/NAME`.
fn finished(progress: &Progress) -> Condition {
    let ended = matches!(progress.phase, Phase::Proved | Phase::RolledBack | Phase::Superseded);
    let label = progress.phase.label();
    let mut reason = label.to_owned();
    if let Some(first) = reason.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let since = jiff::Timestamp::from_millisecond(progress.since.0).unwrap_or_default();
    Condition {
        type_: "Finished".to_owned(),
        status: if ended { "True" } else { "False" }.to_owned(),
        reason,
        message: progress.trouble.as_ref().map(|it| it.sentence()).unwrap_or_default(),
        last_transition_time: Time(since),
        observed_generation: None,
    }
}
