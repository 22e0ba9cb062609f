//! A steady wish in a Deployment's template, by server-side apply as a field manager of its own: what nobody else owns becomes
//! ours, and giving it up leaves the template as it was. Never forced.

use super::error::{ActError, Doing};
use super::observe::{Reader, is_alive, is_ready, pod_seen, selector_of};
use super::pods::query;
use super::rule;
use huddle_api as api;
use huddle_core::act::{Receipt, RuleName, Step, StepState, TemplateSeen};
use huddle_core::cluster::Budget;
use huddle_core::id::{NodeName, WorkloadId};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const ZONE: &str = "topology.kubernetes.io/zone";
/// What Kubernetes takes where a strategy names no figure.
const DEFAULT_SHARE: &str = "25%";

pub(super) fn deployments(client: &Client, workload: &WorkloadId) -> Api<Deployment> {
    Api::namespaced(client.clone(), workload.namespace.as_str())
}

/// Everything about a template and its pods.
pub(super) async fn observe(
    client: &Client,
    own: &RuleName,
    workload: &WorkloadId,
    with: &WorkloadId,
    step: &Step,
) -> Result<TemplateSeen, ActError> {
    let reader = Reader::new(client, &workload.namespace);
    let hub = Reader::new(client, &with.namespace).selector(with).await?;
    let mut seen = TemplateSeen {
        workload: None,
        uid: String::new(),
        resource_version: String::new(),
        hub_exists: hub.is_some(),
        mark: None,
        intact: false,
        strategy: Ok(()),
        free: Ok(()),
        stuck: false,
        pods: Vec::new(),
        hub_nodes: BTreeSet::new(),
        zones: BTreeMap::new(),
    };
    let Some((mut found, deployment)) = reader.workload(&workload.name).await? else {
        return Ok(seen);
    };
    let pods = pods_of(client, workload, &query(&selector_of(&deployment))).await?;
    if step.state == StepState::Pending {
        found.budget = match pods.first() {
            Some(pod) => reader.budget(pod, &pods, step).await?,
            None => Budget::None,
        };
    }
    seen.uid = deployment.uid().unwrap_or_default();
    seen.resource_version = deployment.resource_version().unwrap_or_default();
    seen.mark = mark_of(&deployment);
    seen.strategy = deployment.spec.as_ref().map_or(Ok(()), strategy);
    seen.stuck = is_stuck(&deployment);
    if let Some(labels) = hub.filter(|labels| !labels.is_empty()) {
        let wish = json!([rule::near(&labels, with, workload)]);
        seen.intact = wishes_of(&deployment) == Some(wish);
        let unwritten = matches!(step.state, StepState::Pending | StepState::Running);
        if unwritten && seen.mark.as_ref() != Some(&own.name) {
            let body = body(&labels, with, workload, own, (&seen.uid, None));
            seen.free = try_it(client, workload, &body).await?;
        }
        let hubs = pods_of(client, with, &query(&labels)).await?;
        let nodes = hubs.iter().filter(|pod| is_ready(pod)).filter_map(node_of);
        seen.hub_nodes = nodes.collect();
    }
    if step.state == StepState::Pending || !found.rolling {
        seen.zones = zones(client, pods.iter().filter_map(node_of).collect()).await?;
    }
    seen.pods = pods.iter().map(pod_seen).collect();
    seen.workload = Some(found);
    Ok(seen)
}

pub(super) async fn pods_of(client: &Client, workload: &WorkloadId, labels: &str) -> Result<Vec<Pod>, ActError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), workload.namespace.as_str());
    let list = pods.list(&ListParams::default().labels(labels)).await;
    Ok(list.doing("listing pods")?.items.into_iter().filter(is_alive).collect())
}

fn node_of(pod: &Pod) -> Option<NodeName> {
    let spec = pod.spec.as_ref()?;
    spec.node_name.as_deref().map(NodeName::from)
}

async fn zones(client: &Client, names: BTreeSet<NodeName>) -> Result<BTreeMap<NodeName, String>, ActError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let mut zones = BTreeMap::new();
    for name in names {
        let node = nodes.get_metadata_opt(name.as_str()).await.doing("reading a node")?;
        if let Some(zone) = node.and_then(|node| node.labels().get(ZONE).cloned()) {
            zones.insert(name, zone);
        }
    }
    Ok(zones)
}

/// The rule whose name the template carries.
fn mark_of(deployment: &Deployment) -> Option<String> {
    let template = &deployment.spec.as_ref()?.template;
    let annotations = template.metadata.as_ref()?.annotations.as_ref()?;
    annotations.get(api::ANNOTATION_RULE).cloned()
}

fn wishes_of(deployment: &Deployment) -> Option<Value> {
    let affinity = deployment.spec.as_ref()?.template.spec.as_ref()?.affinity.as_ref()?;
    let near = affinity.pod_affinity.as_ref()?;
    let wishes = near.preferred_during_scheduling_ignored_during_execution.as_ref()?;
    serde_json::to_value(wishes).ok()
}

/// Whether a roll-out keeps every ready pod until its successor is ready.
pub(super) fn strategy(spec: &DeploymentSpec) -> Result<(), String> {
    if spec.paused == Some(true) {
        return Err("it is paused".to_owned());
    }
    let strategy = spec.strategy.clone().unwrap_or_default();
    if strategy.type_.as_deref() == Some("Recreate") {
        return Err("its strategy is Recreate".to_owned());
    }
    let rolling = strategy.rolling_update.unwrap_or_default();
    let replicas = i64::from(spec.replicas.unwrap_or(1));
    let surge = resolved(rolling.max_surge, replicas, true);
    match resolved(rolling.max_unavailable, replicas, false) {
        // Kubernetes takes one pod away where both come to nothing.
        0 if surge > 0 => Ok(()),
        unavailable => Err(format!(
            "maxUnavailable comes to {} of {replicas} pods",
            unavailable.max(1)
        )),
    }
}

/// A figure of a strategy in pods: surge is rounded up, unavailability down, as the Deployment controller does it.
fn resolved(figure: Option<IntOrString>, replicas: i64, up: bool) -> i64 {
    let share = |text: &str| {
        let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(25);
        let pods = percent * replicas;
        if up { (pods + 99) / 100 } else { pods / 100 }
    };
    match figure {
        Some(IntOrString::Int(pods)) => i64::from(pods),
        Some(IntOrString::String(text)) => share(&text),
        None => share(DEFAULT_SHARE),
    }
}

pub(super) fn is_stuck(deployment: &Deployment) -> bool {
    let conditions = deployment.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|it| it.type_ == "Progressing" && it.reason.as_deref() == Some("ProgressDeadlineExceeded"))
}

fn body(
    labels: &BTreeMap<String, String>,
    with: &WorkloadId,
    workload: &WorkloadId,
    rule: &RuleName,
    at: (&str, Option<&str>),
) -> Value {
    let mut body = empty(workload, at);
    let near = rule::near(labels, with, workload);
    if let Some(object) = body.as_object_mut() {
        object.insert(
            "spec".to_owned(),
            json!({"template": {
                "metadata": {"annotations": {api::ANNOTATION_RULE: rule.name}},
                "spec": {"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [near]}}},
            }}),
        );
    }
    body
}

/// An object that owns nothing: applied, it gives up whatever its manager owned.
pub(super) fn empty(workload: &WorkloadId, (uid, resource_version): (&str, Option<&str>)) -> Value {
    let mut metadata = json!({"name": workload.name, "namespace": workload.namespace, "uid": uid});
    if let (Some(version), Some(metadata)) = (resource_version, metadata.as_object_mut()) {
        metadata.insert("resourceVersion".to_owned(), json!(version));
    }
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata})
}

/// A dry run: whether nobody else owns what would be set.
async fn try_it(client: &Client, workload: &WorkloadId, body: &Value) -> Result<Result<(), String>, ActError> {
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::apply(api::TEMPLATE_MANAGER)
    };
    match deployments(client, workload)
        .patch(&workload.name, &dry, &Patch::Apply(body))
        .await
    {
        Ok(_) => Ok(Ok(())),
        Err(kube::Error::Api(status)) if is_owned(&status) || matches!(status.code, 403 | 422) => {
            Ok(Err(status.message.clone()))
        }
        Err(error) => Err(error).doing("trying a template"),
    }
}

/// A conflict of field managers, not of versions.
fn is_owned(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 409 && causes.into_iter().any(|cause| cause.reason == "FieldManagerConflict")
}

/// Applies the wish.
pub(super) async fn apply(
    client: &Client,
    rule: &RuleName,
    workload: &WorkloadId,
    with: &WorkloadId,
    at: (&str, &str),
) -> Result<(), ActError> {
    let hub = Reader::new(client, &with.namespace).selector(with).await?;
    let Some(labels) = hub.filter(|labels| !labels.is_empty()) else {
        return Ok(()); // the next look sees what has gone
    };
    let body = body(&labels, with, workload, rule, (at.0, Some(at.1)));
    write(client, workload, &body).await
}

/// Gives up what was applied.
pub(super) async fn clear(client: &Client, workload: &WorkloadId, at: (&str, &str)) -> Result<(), ActError> {
    write(client, workload, &empty(workload, (at.0, Some(at.1)))).await
}

async fn write(client: &Client, workload: &WorkloadId, body: &Value) -> Result<(), ActError> {
    let applied = deployments(client, workload)
        .patch(
            &workload.name,
            &PatchParams::apply(api::TEMPLATE_MANAGER),
            &Patch::Apply(body),
        )
        .await;
    applied.doing("applying a template").map(drop)
}

/// The inverse of a template's receipt, for people.
pub(super) fn inverse(receipt: &Receipt) -> Option<api::Inverse> {
    let Receipt::Template(receipt) = receipt else {
        return None;
    };
    Some(api::Inverse {
        says: format!(
            "apply as field manager {}: the template of {} loses what Huddle wrote into it, and its pods restart, rolling",
            api::TEMPLATE_MANAGER,
            receipt.workload
        ),
        delete: None,
        apply: Some(empty(&receipt.workload, (&receipt.uid, None))),
        field_manager: Some(api::TEMPLATE_MANAGER.to_owned()),
        subresource: None,
        patch: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(strategy: &Value, replicas: i64) -> Result<(), String> {
        let spec = json!({"replicas": replicas, "strategy": strategy, "selector": {}, "template": {}});
        super::strategy(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn a_roll_out_that_takes_ready_pods_away_is_refused() {
        let rolling = |unavailable: Value, surge: Value| json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}});
        assert!(judged(&json!({}), 3).is_ok(), "a quarter of three is none");
        assert!(judged(&json!({}), 4).is_err(), "a quarter of four is one");
        assert!(judged(&rolling(json!(0), json!(1)), 4).is_ok());
        assert!(judged(&rolling(json!(1), json!(1)), 4).is_err());
        assert!(judged(&rolling(json!("10%"), json!("10%")), 9).is_ok());
        assert!(
            judged(&rolling(json!(0), json!(0)), 9).is_err(),
            "Kubernetes makes it one"
        );
        assert!(judged(&json!({"type": "Recreate"}), 1).is_err());
    }
}
