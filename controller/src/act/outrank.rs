//! Steady rules that stand in a namespace: what a newer one outranks, and which end with a plan's proof.

use super::error::{ActError, Doing, or_gone};
use super::propose::plans;
use huddle_api as api;
use huddle_core::act::{
    CELL_LABEL, CellReceipt, Placement, Progress, Receipt, RuleName, Standing, is_lowest, outlived,
};
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

fn is_cell(rule: &api::Rule) -> bool {
    let mut spreads = rule.spec.topology_spread_constraints.iter();
    spreads.any(|it| it.topology_key.starts_with(CELL_LABEL))
}

/// Steady rules of other plans that a new one of the workload outranks, the newest first: those that say something of the same matter.
/// Rules of places do not care for sizes, nor the other way round, nor sizes of one container for those of another: both work on a pod.
/// One plan's rules agree with each other, but for a step rule: it wishes for one node alone, and the plan's own cell for several.
pub(super) async fn beaten(
    client: &Client,
    plan: &PlanId,
    workload: &WorkloadId,
    placement: &Placement,
) -> Result<Vec<api::Rule>, ActError> {
    let mut rules = steady(client, &workload.namespace).await?;
    let own = |rule: &api::Rule| rule.labels().get(api::LABEL_PLAN).map(String::as_str) == Some(plan.as_str());
    let agrees = |rule: &api::Rule| own(rule) && !(matches!(placement, Placement::On(_)) && is_cell(rule));
    let alike = |rule: &api::Rule| match placement {
        Placement::On(_) | Placement::NextTo(_) | Placement::InCell { .. } => rule.spec.containers.is_empty(),
        Placement::Sized(container, ..) => rule.spec.containers.iter().any(|it| it.name == container.as_str()),
    };
    rules.retain(|rule| is_of(rule, workload) && !agrees(rule) && alike(rule));
    rules.sort_by_key(|rule| std::cmp::Reverse((rule.creation_timestamp(), rule.name_any())));
    rules.truncate(MOST);
    Ok(rules)
}

/// The rule as one that is outranked: its name, and the wishes that are taken out of a pod again. Figures need not be named: the first rule
/// that changes one notes on the pod what the template said.
pub(super) fn outranked(rule: &api::Rule) -> api::Outranked {
    api::Outranked {
        rule: rule.name_any(),
        preferred_node_affinity: rule.spec.preferred_node_affinity.clone(),
        preferred_pod_affinity: rule.spec.preferred_pod_affinity.clone(),
        topology_spread_constraints: rule.spec.topology_spread_constraints.clone(),
    }
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

/// The plan of another placement rule that stands for the workload, neither over `rule` nor among those that `rule` outranks.
pub(super) async fn successor(
    client: &Client,
    workload: &WorkloadId,
    rule: &str,
    outranks: &[String],
) -> Result<Option<String>, ActError> {
    let rules = steady(client, &workload.namespace).await?;
    let over = |other: &api::Rule| other.spec.outranks.iter().any(|older| older.rule == rule);
    let found = rules.iter().find(|other| {
        let name = other.name_any();
        is_of(other, workload)
            && other.spec.containers.is_empty()
            && name != rule
            && !over(other)
            && !outranks.contains(&name)
    });
    Ok(found.map(|other| other.labels().get(api::LABEL_PLAN).cloned().unwrap_or_default()))
}

/// Deletes the rules that end with the proof of this plan. Called before the proof is put down, so that a process which
/// ends in between is followed by one that does the rest.
///
/// Where the plan gives back, the lowest rule stays: giving back is undone step by step, to what was before the first one, and pods to come
/// then get what that rule says. Those between it and the last two say more than the last, and are not needed.
pub(super) async fn close(
    client: &Client,
    plan: &PlanId,
    progress: &Progress,
    gives_back: bool,
) -> Result<(), ActError> {
    let namespaces: BTreeSet<&Namespace> = progress
        .steps
        .iter()
        .filter_map(|step| match &step.receipt {
            Some(Receipt::Place { rule } | Receipt::Cell(CellReceipt { rule, .. })) => Some(&rule.namespace),
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
        let stays = |rule: &Standing| gives_back && is_lowest(rule, &standing);
        for ended in outlived(&standing, plan).filter(|rule| !stays(rule)) {
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
