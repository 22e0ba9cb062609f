//! Undoing what plans did, with or without a controller: each step's receipt holds its inverse as objects to apply or to delete.

use super::connect;
use super::install::{delete, objects};
use super::wait::until;
use crate::{act, clock};
use anyhow::Context;
use huddle_api::{ActionKind, Inverse, Plan, PlanAction, PlanPhase};
use kube::api::{ListParams, Patch, PatchParams, TypeMeta};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use std::time::Duration;

/// Rolls every plan back that changed something.
///
/// # Errors
/// If an inverse cannot be carried out.
pub(super) async fn all(client: &Client, patience: Duration) -> anyhow::Result<()> {
    let mut open = open(client).await?;
    if open.is_empty() {
        println!("  nothing to undo");
        return Ok(());
    }
    if connect::controller_pod(client).await.is_ok() {
        for plan in open.iter().filter(|plan| plan.spec.rollback.is_none()) {
            act::request_rollback(client, plan, clock::now()).await?;
        }
        let rolled_back = until("the controller to roll back", patience, async || {
            let left = self::open(client).await.map_err(|error| error.to_string())?;
            if left.is_empty() {
                return Ok(());
            }
            let names: Vec<String> = left.iter().map(said).collect();
            Err(names.join("; "))
        });
        match rolled_back.await {
            Ok(()) => {
                open.iter()
                    .for_each(|plan| println!("  {} rolled back", plan.name_any()));
                return Ok(());
            }
            Err(error) => println!("  {error}; going on without it"),
        }
    } else {
        println!("  the controller does not answer; going on without it");
    }
    open = self::open(client).await?;
    for plan in open {
        for inverse in inverses(&plan) {
            println!("  {}: {}", plan.name_any(), inverse.says);
            carry(client, &inverse)
                .await
                .with_context(|| format!("plan {}: {}", plan.name_any(), inverse.says))?;
        }
    }
    Ok(())
}

/// Plans that may have changed something and are not undone.
pub(super) async fn open(client: &Client) -> anyhow::Result<Vec<Plan>> {
    let plans: Api<Plan> = Api::namespaced(client.clone(), huddle_api::SYSTEM_NAMESPACE);
    match plans.list(&ListParams::default()).await {
        Ok(list) => Ok(list.items.into_iter().filter(is_open).collect()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(error).context("cannot list plans"),
    }
}

/// What only took rules away has left nothing that could be undone here: undone, it would bring them back.
fn is_open(plan: &Plan) -> bool {
    let withdraws = |action: &PlanAction| action.kind == ActionKind::Withdraw;
    if !plan.spec.actions.is_empty() && plan.spec.actions.iter().all(withdraws) {
        return false;
    }
    match plan.status.as_ref().map(|status| status.phase).unwrap_or_default() {
        PlanPhase::Proposed => plan.spec.approval.is_some(),
        PlanPhase::Approved
        | PlanPhase::Baseline
        | PlanPhase::Acting
        | PlanPhase::Settling
        | PlanPhase::Proving
        | PlanPhase::Proved
        | PlanPhase::RollingBack => true,
        PlanPhase::RolledBack | PlanPhase::Superseded => false,
    }
}

fn said(plan: &Plan) -> String {
    let message = plan
        .status
        .as_ref()
        .map(|status| status.message.as_str())
        .unwrap_or_default();
    format!("{}: {message}", plan.name_any())
}

/// The inverses of a plan, last step first.
fn inverses(plan: &Plan) -> Vec<Inverse> {
    let steps = plan.status.iter().flat_map(|status| status.steps.iter().rev());
    steps.flat_map(|step| step.inverse.iter().cloned()).collect()
}

async fn carry(client: &Client, inverse: &Inverse) -> anyhow::Result<()> {
    if let Some(name) = &inverse.delete {
        let mut object = DynamicObject {
            types: Some(TypeMeta {
                api_version: name.api_version.clone(),
                kind: name.kind.clone(),
            }),
            metadata: kube::core::ObjectMeta::default(),
            data: serde_json::Value::Null,
        };
        object.metadata.name = Some(name.name.clone());
        object.metadata.namespace.clone_from(&name.namespace);
        delete(client, &object).await?;
    }
    if let Some(value) = &inverse.apply {
        let object: DynamicObject = serde_json::from_value(value.clone())?;
        let api = objects::api(client, &object)?;
        let manager = inverse.field_manager.as_deref().unwrap_or(huddle_api::FIELD_MANAGER);
        let name = object.name_any();
        let by = PatchParams {
            field_manager: Some(manager.to_owned()),
            ..PatchParams::default()
        };
        let answer = match &inverse.subresource {
            None if inverse.patch => api.patch(&name, &by, &Patch::Strategic(&object)).await,
            None => {
                let params = PatchParams::apply(manager).force();
                api.patch(&name, &params, &Patch::Apply(&object)).await
            }
            Some(part) => {
                api.patch_subresource(part, &name, &by, &Patch::Strategic(&object))
                    .await
            }
        };
        match answer {
            Ok(_) => {}
            // The object is gone, or another one has its name (the uid differs): there is nothing to give back.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use huddle_api::{PlanStatus, PlanStep};

    fn plan(phase: PlanPhase, says: &[&str]) -> Plan {
        let steps = says.iter().map(|says| PlanStep {
            inverse: vec![Inverse {
                says: (*says).to_owned(),
                delete: None,
                apply: None,
                field_manager: None,
                subresource: None,
                patch: false,
            }],
            ..PlanStep::default()
        });
        let nothing = huddle_core::plan::Plan {
            at: huddle_core::time::Timestamp(0),
            actions: Vec::new(),
            expected: Vec::new(),
            relief: Vec::new(),
            given_back: Vec::new(),
            merging: Vec::new(),
            spread: Vec::new(),
            refusals: Vec::new(),
            pods_restarted: 0,
            because: Vec::new(),
            saved: 0.0,
        };
        let mut plan = Plan::new("p", act::spec_of(&nothing).unwrap());
        plan.status = Some(PlanStatus {
            phase,
            steps: steps.collect(),
            ..PlanStatus::default()
        });
        plan
    }

    #[test]
    fn the_last_step_is_undone_first() {
        let says: Vec<String> = inverses(&plan(PlanPhase::Proved, &["place", "route"]))
            .into_iter()
            .map(|inverse| inverse.says)
            .collect();
        assert_eq!(says, ["route", "place"]);
    }

    #[test]
    fn plans_that_changed_nothing_are_left_alone() {
        assert!(is_open(&plan(PlanPhase::Proved, &[])) && is_open(&plan(PlanPhase::Acting, &[])));
        assert!(!is_open(&plan(PlanPhase::Proposed, &[])) && !is_open(&plan(PlanPhase::RolledBack, &[])));
    }
}
