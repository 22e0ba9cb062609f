//! Rules whose gain is gone: what is noted on them, and their deletion and return.

use super::error::{ActError, Doing, or_gone};
use super::observe::{Reader, rule_seen};
use super::propose::plans;
use super::trial::Tries;
use super::{binding, outrank};
use huddle_api as api;
use huddle_core::act::{Receipt, RuleName, StandingRule, Step, WithdrawReceipt, WithdrawSeen};
use huddle_core::cluster::{Fade, SteadyRule};
use huddle_core::id::{PlanId, WorkloadId};
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

fn rules(client: &Client, name: &RuleName) -> Api<api::Rule> {
    Api::namespaced(client.clone(), name.namespace.as_str())
}

/// Puts down on the rule what is remembered of it, or that it is of use again; only on this very object.
///
/// # Errors
/// When the API server refuses it; a rule that is gone is no error.
pub async fn note_fade(client: &Client, rule: &SteadyRule, fade: Option<&Fade>) -> Result<(), ActError> {
    let name = RuleName {
        namespace: rule.workload.namespace.clone(),
        name: rule.name.clone(),
    };
    let value = match fade {
        None => Value::Null,
        Some(fade) => json!(serde_json::to_string(fade).unwrap_or_default()),
    };
    let body = json!({"metadata": {"uid": rule.uid, "annotations": {api::ANNOTATION_FADED: value}}});
    let params = PatchParams {
        field_manager: Some(api::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match rules(client, &name)
        .patch(&name.name, &params, &Patch::Merge(body))
        .await
    {
        // Gone, or another by now.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        other => other.doing("noting whether a rule is of use").map(drop),
    }
}

pub(super) async fn observe(
    client: &Client,
    tries: &Tries,
    plan: &PlanId,
    workload: &WorkloadId,
    (rule, step): (&str, &Step),
) -> Result<WithdrawSeen, ActError> {
    let name = RuleName {
        namespace: workload.namespace.clone(),
        name: rule.to_owned(),
    };
    let standing = or_gone(rules(client, &name).get(rule).await).doing("reading a rule")?;
    let deleted = match &step.receipt {
        Some(Receipt::Withdraw(receipt)) => Some(parsed(&receipt.object)?),
        _ => None,
    };
    let outranks: Vec<String> = deleted
        .iter()
        .flat_map(|rule| &rule.spec.outranks)
        .map(|older| older.rule.clone())
        .collect();
    let origin_undone = match &deleted {
        Some(rule) => undone(client, rule).await?,
        None => None,
    };
    Ok(WithdrawSeen {
        workload: Reader::new(client, &workload.namespace)
            .workload(&workload.name)
            .await?
            .map(|it| it.0),
        standing: standing.as_ref().map(standing_rule),
        rule: rule_seen(client, tries, &name).await?,
        bound: binding::is_bound(client).await?,
        under_way: outrank::under_way(client, plan, workload).await?,
        successor: outrank::successor(client, workload, rule, &outranks).await?,
        origin_undone,
    })
}

fn standing_rule(rule: &api::Rule) -> StandingRule {
    StandingRule {
        uid: rule.uid().unwrap_or_default(),
        object: serde_json::to_string(&bare(rule)).unwrap_or_default(),
        faded: rule.annotations().contains_key(api::ANNOTATION_FADED),
    }
}

/// The rule as it is created again: in the trial state, without what the API server adds and without the note that it is of no use.
fn bare(rule: &api::Rule) -> api::Rule {
    let mut labels = rule.labels().clone();
    labels.insert(api::LABEL_STATE.to_owned(), api::STATE_TRIAL.to_owned());
    api::Rule {
        metadata: ObjectMeta {
            name: rule.metadata.name.clone(),
            namespace: rule.metadata.namespace.clone(),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: rule.spec.clone(),
    }
}

fn parsed(object: &str) -> Result<api::Rule, ActError> {
    serde_json::from_str(object).map_err(|error| ActError::Malformed {
        object: "a deleted rule".to_owned(),
        field: "receipt.object",
        why: error.to_string(),
    })
}

/// The plan that placed a rule, where it is rolled back, or is to be, or is gone as rolled back plans are after a while.
async fn undone(client: &Client, rule: &api::Rule) -> Result<Option<String>, ActError> {
    let Some(plan) = rule.labels().get(api::LABEL_PLAN) else {
        return Ok(None);
    };
    let found = or_gone(plans(client).get(plan).await).doing("reading a plan")?;
    let stands = found.is_some_and(|plan| {
        let phase = plan.status.as_ref().map(|status| status.phase).unwrap_or_default();
        plan.spec.rollback.is_none() && phase != api::PlanPhase::RolledBack && phase != api::PlanPhase::RollingBack
    });
    Ok((!stands).then(|| plan.clone()))
}

/// Deletes this very rule.
pub(super) async fn remove(client: &Client, rule: &RuleName, uid: &str) -> Result<(), ActError> {
    let this = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    or_gone(rules(client, rule).delete(&rule.name, &this).await)
        .doing("deleting a rule of no use")
        .map(drop)
}

/// The rule of the receipt, to be created.
pub(super) fn restored(object: &str) -> Result<api::Rule, ActError> {
    parsed(object)
}

/// What undoes the deletion by kubectl alone. Only the controller's account may write Rules, so it is applied in its name.
pub(super) fn inverse(receipt: &WithdrawReceipt) -> Option<api::Inverse> {
    let mut rule = parsed(&receipt.object).ok()?;
    // Tried it was, when it first came into force.
    rule.labels_mut()
        .insert(api::LABEL_STATE.to_owned(), api::STATE_ARMED.to_owned());
    Some(api::Inverse {
        says: format!(
            "apply Rule {}/{} again, with --as=system:serviceaccount:huddle-system:huddle-controller: nobody else writes Rules",
            receipt.rule.namespace, receipt.rule.name
        ),
        delete: None,
        apply: serde_json::to_value(&rule).ok(),
        field_manager: None,
        subresource: None,
        patch: false,
    })
}
