//! Steady rules that stand in a namespace: what a newer one outranks, and which end with a plan's proof.

use super::error::{ActError, Doing, or_gone};
use super::propose::plans;
use huddle_api as api;
use huddle_core::act::{Progress, Receipt, RuleName, Standing, outlived};
use huddle_core::id::{Namespace, PlanId, WorkloadId};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeSet;

/// Most rules that one can outrank: the schema's bound. At rest two stand for a workload, one over the other.
const MOST: usize = 8;

async fn steady(client: &Client, namespace: &Namespace) -> Result<Vec<api::Rule>, ActError> {
    let rules: Api<api::Rule> = Api::namespaced(client.clone(), namespace.as_str());
    let list = ListParams::default().labels(&format!("{}=steady", api::LABEL_FORM));
    Ok(rules.list(&list).await.doing("listing rules")?.items)
}

fn is_of(rule: &api::Rule, workload: &WorkloadId) -> bool {
    rule.spec.workload == workload.name && rule.metadata.deletion_timestamp.is_none()
}

/// What a new rule of the workload outranks: the newest of the other plans' steady rules that stand, as they are. One plan's
/// rules agree with each other.
pub(super) async fn beaten(
    client: &Client,
    plan: &PlanId,
    workload: &WorkloadId,
) -> Result<Vec<api::Outranked>, ActError> {
    let mut rules = steady(client, &workload.namespace).await?;
    let own = |rule: &api::Rule| rule.labels().get(api::LABEL_PLAN).map(String::as_str) == Some(plan.as_str());
    rules.retain(|rule| is_of(rule, workload) && !own(rule));
    rules.sort_by_key(|rule| std::cmp::Reverse((rule.creation_timestamp(), rule.name_any())));
    Ok(rules
        .into_iter()
        .take(MOST)
        .map(|rule| api::Outranked {
            rule: rule.name_any(),
            preferred_node_affinity: rule.spec.preferred_node_affinity,
            preferred_pod_affinity: rule.spec.preferred_pod_affinity,
            topology_spread_constraints: rule.spec.topology_spread_constraints,
        })
        .collect())
}

/// Another plan, still under way, with a steady rule for the workload.
pub(super) async fn under_way(
    client: &Client,
    plan: &PlanId,
    workload: &WorkloadId,
) -> Result<Option<String>, ActError> {
    let rules = steady(client, &workload.namespace).await?;
    let others = rules
        .iter()
        .filter(|rule| is_of(rule, workload))
        .filter_map(|rule| rule.labels().get(api::LABEL_PLAN));
    for other in others.filter(|other| other.as_str() != plan.as_str()) {
        let found = or_gone(plans(client).get(other).await).doing("reading a plan")?;
        if found.is_some_and(|plan| !plan.has_ended()) {
            return Ok(Some(other.clone()));
        }
    }
    Ok(None)
}

/// Deletes the rules that end with the proof of this plan. Called before the proof is put down, so that a process which
/// ends in between is followed by one that does the rest.
pub(super) async fn close(client: &Client, plan: &PlanId, progress: &Progress) -> Result<(), ActError> {
    let namespaces: BTreeSet<&Namespace> = progress
        .steps
        .iter()
        .filter_map(|step| match &step.receipt {
            Some(Receipt::Place { rule }) => Some(&rule.namespace),
            _ => None,
        })
        .collect();
    for namespace in namespaces {
        let standing: Vec<Standing> = steady(client, namespace)
            .await?
            .iter()
            .map(|rule| standing(rule, namespace))
            .collect();
        let rules: Api<api::Rule> = Api::namespaced(client.clone(), namespace.as_str());
        for ended in outlived(&standing, plan) {
            let name = &ended.rule.name;
            tracing::info!(plan = %plan, rule = name, "an outranked rule ends with the proof");
            or_gone(rules.delete(name, &DeleteParams::default()).await).doing("deleting an outranked rule")?;
        }
    }
    Ok(())
}

fn standing(rule: &api::Rule, namespace: &Namespace) -> Standing {
    Standing {
        rule: RuleName {
            namespace: namespace.clone(),
            name: rule.name_any(),
        },
        plan: PlanId::new(rule.labels().get(api::LABEL_PLAN).cloned().unwrap_or_default()),
        outranks: rule.spec.outranks.iter().map(|older| older.rule.clone()).collect(),
    }
}
