//! Cells in the cluster: what is seen of their nodes, labels set and taken off, and what is left of cells without a rule.

use super::carry::by_huddle;
use super::error::{ActError, Doing, or_gone};
use super::observe::Reader;
use super::propose::plans;
use super::{binding, outrank, progress_of};
use huddle_api as api;
use huddle_core::act::{CellName, CellNode, CellSeen, LabelledNode, Receipt, RuleName, RuleSeen, Step, StepState};
use huddle_core::id::{Namespace, NodeName, PlanId, WorkloadId};
use huddle_core::plan::Seat;
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Nodes read at once.
const AT_ONCE: usize = 8;

/// All but the rule.
pub(super) async fn observe(
    client: &Client,
    plan: &PlanId,
    workload: &WorkloadId,
    (cell, seats): (&CellName, &[Seat]),
    step: &Step,
) -> Result<CellSeen, ActError> {
    let mut seen = CellSeen {
        workload: None,
        cells_allowed: false,
        other_rule: None,
        nodes: BTreeMap::new(),
        rule: RuleSeen::Absent,
        bound: false,
    };
    // One that stands, or is gone, is asked for its rule alone.
    if matches!(step.state, StepState::Done | StepState::Undone) {
        return Ok(seen);
    }
    let reader = Reader::new(client, &workload.namespace);
    seen.workload = reader.workload(&workload.name).await?.map(|it| it.0);
    seen.cells_allowed = reader.allows_cells().await?;
    seen.other_rule = outrank::under_way(client, plan, workload).await?;
    seen.bound = binding::is_bound(client).await?;
    let label = cell.label();
    for some in seats.chunks(AT_ONCE) {
        let read = some.iter().map(|seat| read(client, &seat.node));
        for node in futures::future::try_join_all(read).await?.into_iter().flatten() {
            let known = CellNode {
                uid: node.uid().unwrap_or_default(),
                resource_version: node.resource_version().unwrap_or_default(),
                label: node.labels().get(&label).cloned(),
            };
            seen.nodes.insert(NodeName::new(node.name_any()), known);
        }
    }
    Ok(seen)
}

fn nodes(client: &Client) -> Api<Node> {
    Api::all(client.clone())
}

async fn read(client: &Client, node: &NodeName) -> Result<Option<PartialObjectMeta<Node>>, ActError> {
    or_gone(nodes(client).get_metadata(node.as_str()).await).doing("reading a node")
}

/// Set by server-side apply, so that giving the field up takes the label off, also by kubectl; taken off by a merge patch, which leaves no
/// trace of who set it.
pub(super) async fn label(
    client: &Client,
    node: &NodeName,
    (uid, resource_version): (&str, &str),
    cell: &CellName,
    value: Option<&str>,
) -> Result<(), ActError> {
    let labels = json!({cell.label(): value});
    let metadata = json!({"name": node, "uid": uid, "resourceVersion": resource_version, "labels": labels});
    let patched = match value {
        Some(_) => {
            let body = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata});
            let params = PatchParams::apply(&cell.manager());
            nodes(client)
                .patch_metadata(node.as_str(), &params, &Patch::Apply(body))
                .await
        }
        None => {
            let body = json!({"metadata": metadata});
            nodes(client)
                .patch_metadata(node.as_str(), &by_huddle(), &Patch::Merge(body))
                .await
        }
    };
    patched.doing("labelling a node").map(drop)
}

/// The label goes when its field manager applies an object without it; one that somebody else has changed meanwhile is theirs and stays.
pub(super) fn inverse(cell: &CellName, node: &LabelledNode) -> api::Inverse {
    api::Inverse {
        says: format!(
            "take the label {} from node {}: kubectl label node {} {}-",
            cell.label(),
            node.node,
            node.node,
            cell.label()
        ),
        delete: None,
        apply: Some(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": node.node, "uid": node.uid},
        })),
        field_manager: Some(cell.manager()),
        subresource: None,
        patch: false,
    }
}

/// Takes labels off that no rule and no plan accounts for: of a plan that was deleted with its rule, or one that gave up taking them off.
///
/// # Errors
/// What the API server said; the next time looks anew.
pub(super) async fn sweep(client: &Client) -> Result<(), ActError> {
    let all = nodes(client).list_metadata(&ListParams::default()).await;
    let labelled: Vec<(PartialObjectMeta<Node>, Vec<CellName>)> = all
        .doing("listing nodes")?
        .items
        .into_iter()
        .map(|node| {
            // What somebody else has set since is theirs, whatever its name.
            let ours = |cell: &CellName| {
                let mut managers = node
                    .managed_fields()
                    .iter()
                    .filter_map(|entry| entry.manager.as_deref());
                managers.any(|manager| manager == cell.manager())
            };
            let cells = node
                .labels()
                .keys()
                .filter_map(|label| CellName::of_label(label))
                .filter(ours);
            let cells: Vec<CellName> = cells.collect();
            (node, cells)
        })
        .filter(|(_, cells)| !cells.is_empty())
        .collect();
    if labelled.is_empty() {
        return Ok(());
    }
    let wanted = accounted_for(client).await?;
    for (node, cells) in labelled {
        let stray: Vec<CellName> = cells.into_iter().filter(|cell| !wanted.contains(cell)).collect();
        if stray.is_empty() {
            continue;
        }
        let name = node.name_any();
        tracing::info!(node = name, labels = stray.len(), "labels of cells without a rule go");
        let labels: serde_json::Map<String, serde_json::Value> =
            stray.iter().map(|cell| (cell.label(), json!(null))).collect();
        let body = json!({"metadata": {
            "uid": node.uid(), "resourceVersion": node.resource_version(), "labels": labels}});
        let patched = nodes(client)
            .patch_metadata(&name, &by_huddle(), &Patch::Merge(body))
            .await;
        match patched.doing("taking labels off a node") {
            // Somebody was faster; the next time looks anew.
            Err(error) if error.is_stale() => {}
            other => other.map(drop)?,
        }
    }
    Ok(())
}

/// Cells whose rule stands, or whose receipt is open.
async fn accounted_for(client: &Client) -> Result<BTreeSet<CellName>, ActError> {
    let rules: Api<api::Rule> = Api::all(client.clone());
    let rules = rules
        .list_metadata(&ListParams::default())
        .await
        .doing("listing rules")?;
    let mut cells: BTreeSet<CellName> = rules
        .items
        .iter()
        .map(|rule| {
            CellName::of(&RuleName {
                namespace: Namespace::new(rule.namespace().unwrap_or_default()),
                name: rule.name_any(),
            })
        })
        .collect();
    let plans = plans(client)
        .list(&ListParams::default())
        .await
        .doing("listing plans")?;
    for plan in &plans.items {
        let steps = progress_of(plan).map(|progress| progress.steps).unwrap_or_default();
        cells.extend(steps.into_iter().filter_map(|step| match (step.state, step.receipt) {
            (StepState::Running | StepState::Done | StepState::Undoing, Some(Receipt::Cell(receipt))) => {
                Some(receipt.cell)
            }
            _ => None,
        }));
    }
    Ok(cells)
}
