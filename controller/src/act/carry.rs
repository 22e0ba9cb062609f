//! Carries out one intent. A write that comes too late is refused by the API server (409, 422) and decided anew.

use super::binding;
use super::companion::step as merge;
use super::error::{ActError, Doing, or_gone};
use super::observe::DELETION_COST;
use super::trial::Tries;
use super::{cell, resize, rule, template, template_size, trial, withdraw};
use huddle_api as api;
use huddle_core::act::{Intent, PodAt, RuleName};
use huddle_core::cluster::Labels;
use huddle_core::id::{EdgeId, Namespace, PlanId, ServiceId};
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch as Operations, PatchOperation, RemoveOperation, TestOperation};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};

const TEMPLATE_HASH: &str = "pod-template-hash";

/// Does it.
pub(super) async fn carry(client: &Client, tries: &mut Tries, intent: &Intent) -> Result<(), ActError> {
    match intent {
        Intent::CreateRule {
            rule: name,
            plan,
            workload,
            placement,
        } => {
            let Some(rule) = rule::build(client, name, plan, workload, placement).await? else {
                return Ok(()); // the next look sees what has gone
            };
            create_rule(client, &rule, &name.namespace).await
        }
        Intent::TryRule { rule, workload, armed } => trial::attempt(client, tries, rule, workload, *armed).await,
        Intent::ArmRule { rule } => {
            binding::bind(client).await?;
            arm(client, rule).await
        }
        Intent::DeleteRule { rule } => {
            let deleted = rules(client, &rule.namespace)
                .delete(&rule.name, &DeleteParams::default())
                .await;
            or_gone(deleted).doing("deleting a rule").map(drop)
        }
        Intent::RemoveRule { rule, uid } => withdraw::remove(client, rule, uid).await,
        Intent::RestoreRule { rule, object } => {
            create_rule(client, &withdraw::restored(object)?, &rule.namespace).await
        }
        Intent::ApplyTemplate {
            rule,
            workload,
            with,
            uid,
            resource_version,
        } => template::apply(client, rule, workload, with, (uid, resource_version)).await,
        Intent::ClearTemplate {
            workload,
            uid,
            resource_version,
        } => template::clear(client, workload, (uid, resource_version)).await,
        Intent::SizeTemplate {
            plan,
            workload,
            uid,
            resource_version,
            container,
            native_sidecar,
            sizes,
            dry_run,
        } => {
            let size = template_size::Size {
                plan,
                workload,
                container,
                to: &sizes.to,
                instead: &sizes.instead,
            };
            let at = template_size::At {
                uid,
                resource_version,
                native_sidecar: *native_sidecar,
            };
            template_size::carry(client, tries, &size, at, *dry_run).await
        }
        Intent::Release { pod, plan } => release(client, pod, plan).await,
        Intent::Devalue { pod } => {
            let body = json!({"metadata": {
                "uid": pod.uid, "resourceVersion": pod.resource_version,
                "annotations": {DELETION_COST: "-1000"},
            }});
            let patched = pods(client, pod)
                .patch(&pod.name, &by_huddle(), &Patch::Merge(body))
                .await;
            patched.doing("marking a pod as expendable").map(drop)
        }
        Intent::GiveBack { pod, labels } => give_back(client, pod, labels).await,
        Intent::LeaveServices { pod, keys } => {
            let labels: serde_json::Map<String, Value> = keys.iter().map(|key| (key.clone(), Value::Null)).collect();
            let patched = relabel(client, pod, labels).await;
            patched.doing("taking a pod out of its Services").map(drop)
        }
        Intent::DeletePod { pod } => {
            let gracefully = DeleteParams {
                preconditions: Some(Preconditions {
                    uid: Some(pod.uid.as_str().to_owned()),
                    resource_version: None,
                }),
                ..DeleteParams::default()
            };
            or_gone(pods(client, pod).delete(&pod.name, &gracefully).await)
                .doing("deleting a pod")
                .map(drop)
        }
        Intent::Resize {
            pod,
            container,
            native_sidecar,
            to,
            dry_run,
        } => resize::carry(client, tries, pod, (container, *native_sidecar), to, *dry_run).await,
        Intent::SetRoute {
            service,
            uid,
            resource_version,
            distribution,
        } => set_route(client, service, uid, resource_version, distribution.as_deref()).await,
        Intent::CreateCompanion {
            companion,
            plan,
            caller,
            callee,
            way,
        } => {
            let edge = EdgeId {
                source: caller.clone(),
                destination: callee.clone(),
            };
            merge::create(client, tries, companion, plan, (&edge, *way)).await
        }
        Intent::AdvanceCompanion { companion } => merge::into_force(client, tries, companion).await,
        Intent::DeleteCompanion { companion } => merge::delete(client, tries, companion).await,
        Intent::TellProxies {
            companion,
            callee,
            part,
        } => merge::tell(client, companion, callee, *part).await,
        Intent::ForgetProxies { companion, part } => merge::forget(client, companion, *part).await,
        Intent::Scale {
            workload,
            uid,
            resource_version,
            replicas,
        } => merge::scale(client, workload, (uid, resource_version), *replicas).await,
        Intent::LabelNode {
            node,
            uid,
            resource_version,
            cell,
            value,
        } => cell::label(client, node, (uid, resource_version), cell, value.as_deref()).await,
    }
}

pub(super) fn by_huddle() -> PatchParams {
    PatchParams {
        field_manager: Some(api::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

fn pods(client: &Client, pod: &PodAt) -> Api<Pod> {
    Api::namespaced(client.clone(), pod.namespace.as_str())
}

fn rules(client: &Client, namespace: &Namespace) -> Api<api::Rule> {
    Api::namespaced(client.clone(), namespace.as_str())
}

async fn create_rule(client: &Client, rule: &api::Rule, namespace: &Namespace) -> Result<(), ActError> {
    let params = PostParams {
        field_manager: Some(api::FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    match rules(client, namespace).create(&params, rule).await {
        // A repeated creation meets the first: its answer was lost.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.doing("creating a rule").map(drop),
    }
}

async fn arm(client: &Client, rule: &RuleName) -> Result<(), ActError> {
    let body = json!({"metadata": {"labels": {api::LABEL_STATE: api::STATE_ARMED}}});
    let patched = rules(client, &rule.namespace)
        .patch(&rule.name, &by_huddle(), &Patch::Merge(body))
        .await;
    patched.doing("arming a rule").map(drop)
}

/// A JSON patch, because its tests fail rather than merge when the pod is another or has changed.
async fn release(client: &Client, pod: &PodAt, plan: &PlanId) -> Result<(), ActError> {
    let at = |tokens: &[&str]| PointerBuf::from_tokens(tokens.iter().copied());
    let test = |tokens: &[&str], value: &str| {
        PatchOperation::Test(TestOperation {
            path: at(tokens),
            value: json!(value),
        })
    };
    let operations = Operations(vec![
        test(&["metadata", "uid"], pod.uid.as_str()),
        test(&["metadata", "resourceVersion"], &pod.resource_version),
        PatchOperation::Remove(RemoveOperation {
            path: at(&["metadata", "labels", TEMPLATE_HASH]),
        }),
        PatchOperation::Add(AddOperation {
            path: at(&["metadata", "labels", api::LABEL_ORPHAN]),
            value: json!(plan),
        }),
    ]);
    let patched = pods(client, pod)
        .patch(&pod.name, &by_huddle(), &Patch::Json::<()>(operations))
        .await;
    patched.doing("releasing a pod from its ReplicaSet").map(drop)
}

async fn give_back(client: &Client, pod: &PodAt, labels: &Labels) -> Result<(), ActError> {
    let mut labels: serde_json::Map<String, Value> =
        labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    labels.insert(api::LABEL_ORPHAN.to_owned(), Value::Null);
    let patched = relabel(client, pod, labels).await;
    patched.doing("giving a pod its labels back").map(drop)
}

async fn relabel(client: &Client, pod: &PodAt, labels: serde_json::Map<String, Value>) -> Result<Pod, kube::Error> {
    let body = json!({"metadata": {
        "uid": pod.uid, "resourceVersion": pod.resource_version, "labels": labels,
    }});
    pods(client, pod)
        .patch(&pod.name, &by_huddle(), &Patch::Merge(body))
        .await
}

/// Set by server-side apply, so that the field has an owner that GitOps tools respect; removed by a merge patch, which
/// leaves no trace of that owner.
async fn set_route(
    client: &Client,
    service: &ServiceId,
    uid: &str,
    resource_version: &str,
    distribution: Option<&str>,
) -> Result<(), ActError> {
    let services: Api<Service> = Api::namespaced(client.clone(), service.namespace.as_str());
    let metadata =
        json!({"name": service.name, "namespace": service.namespace, "uid": uid, "resourceVersion": resource_version});
    let patched = match distribution {
        Some(value) => {
            let body = json!({
                "apiVersion": "v1", "kind": "Service", "metadata": metadata,
                "spec": {"trafficDistribution": value},
            });
            let params = PatchParams::apply(api::FIELD_MANAGER).force();
            services.patch(&service.name, &params, &Patch::Apply(body)).await
        }
        None => {
            let body = json!({"metadata": metadata, "spec": {"trafficDistribution": null}});
            services.patch(&service.name, &by_huddle(), &Patch::Merge(body)).await
        }
    };
    patched.doing("setting a Service's routing").map(drop)
}
