//! Figures in a Deployment's template, by a strategic merge patch of single figures: what a template says of cpu and memory has an owner
//! nearly always, so that applying them unforced would nearly always conflict, and forced it would take the owner's place. The patch says
//! of which version of which object it speaks, and of the container by name: another version is refused (409), and nothing else of it
//! changes.

use super::error::{ActError, Doing};
use super::observe::{Reader, pod_seen, selector_of};
use super::pods::query;
use super::resize::quantities;
use super::template::{deployments, is_stuck, pods_of, strategy};
use super::trial::{Tries, pod_like};
use crate::watch::convert;
use huddle_api as api;
use huddle_core::act::{SaidSize, Step, StepState, TemplateSizeReceipt, TemplateSizeSeen};
use huddle_core::cluster::{Budget, Compute, Sizing};
use huddle_core::id::{ContainerName, PlanId, WorkloadId};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Map, Value, json};

/// Which figures.
pub(super) struct Size<'a> {
    /// Of which plan.
    pub(super) plan: &'a PlanId,
    /// Whose template.
    pub(super) workload: &'a WorkloadId,
    /// Which container.
    pub(super) container: &'a ContainerName,
    /// The figures.
    pub(super) to: &'a Sizing,
    /// What they replace: figures of it that are not in `to` go.
    pub(super) instead: &'a Sizing,
}

impl Size<'_> {
    /// A dry run speaks of one version of the Deployment, and one way.
    fn key(&self, resource_version: &str) -> String {
        format!(
            "{}/{}/{}/{:?}/{resource_version}",
            self.plan, self.workload, self.container, self.to
        )
    }

    fn back(&self) -> Self {
        Self {
            to: self.instead,
            instead: self.to,
            ..*self
        }
    }
}

/// Which version of the Deployment, and where the container is in it.
pub(super) struct At<'a> {
    pub(super) uid: &'a str,
    pub(super) resource_version: &'a str,
    pub(super) native_sidecar: bool,
}

/// Everything about a template's figures and its pods.
pub(super) async fn observe(
    client: &Client,
    tries: &Tries,
    size: &Size<'_>,
    step: &Step,
) -> Result<TemplateSizeSeen, ActError> {
    let reader = Reader::new(client, &size.workload.namespace);
    let mut seen = TemplateSizeSeen {
        workload: None,
        uid: String::new(),
        resource_version: String::new(),
        says: None,
        strategy: Ok(()),
        tried: None,
        stuck: false,
        restarted: false,
        pods: Vec::new(),
    };
    let Some((mut found, deployment)) = reader.workload(&size.workload.name).await? else {
        return Ok(seen);
    };
    let pods = pods_of(client, size.workload, &query(&selector_of(&deployment))).await?;
    if step.state == StepState::Pending {
        found.budget = match pods.first() {
            Some(pod) => reader.budget(pod, &pods, step).await?,
            None => Budget::None,
        };
    }
    seen.uid = deployment.uid().unwrap_or_default();
    seen.resource_version = deployment.resource_version().unwrap_or_default();
    seen.says = said(&deployment, size.container)?;
    seen.strategy = deployment.spec.as_ref().map_or(Ok(()), strategy);
    seen.tried = if step.state == StepState::Undoing {
        tries.size(&size.back().key(&seen.resource_version))
    } else {
        tries.size(&size.key(&seen.resource_version))
    };
    seen.stuck = is_stuck(&deployment);
    for pod in &pods {
        seen.restarted |= is_restarted(pod, size)?;
    }
    seen.pods = pods.iter().map(pod_seen).collect();
    seen.workload = Some(found);
    Ok(seen)
}

fn malformed(object: &str, field: &'static str) -> impl Fn(convert::Invalid) -> ActError {
    move |invalid| ActError::Malformed {
        object: object.to_owned(),
        field,
        why: invalid.to_string(),
    }
}

/// What the template says of the container; `None` where it has none of that name that runs as long as a pod.
fn said(deployment: &Deployment, container: &ContainerName) -> Result<Option<SaidSize>, ActError> {
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let sidecars = pod.and_then(|pod| pod.init_containers.as_deref()).unwrap_or_default();
    let sidecars = sidecars
        .iter()
        .filter(|it| it.restart_policy.as_deref() == Some("Always"));
    let ordinary = pod.map(|pod| pod.containers.as_slice()).unwrap_or_default();
    let all = ordinary
        .iter()
        .map(|it| (it, false))
        .chain(sidecars.map(|it| (it, true)));
    let named = |(it, _): &(&Container, bool)| it.name == container.as_str();
    let Some((found, native_sidecar)) = all.into_iter().find(named) else {
        return Ok(None);
    };
    let object = format!("deployment {}", deployment.name_any());
    let resources = found.resources.as_ref();
    let read = |list, field| convert::compute(list, field).map_err(malformed(&object, "spec.template.spec"));
    Ok(Some(SaidSize {
        figures: Sizing {
            requests: read(resources.and_then(|it| it.requests.as_ref()), "requests")?,
            limits: read(resources.and_then(|it| it.limits.as_ref()), "limits")?,
        },
        native_sidecar,
    }))
}

/// The pod has the figures wanted, and its container was restarted.
fn is_restarted(pod: &Pod, size: &Size<'_>) -> Result<bool, ActError> {
    let restarts = super::resize::status_of(pod, size.container).map_or(0, |status| status.restart_count);
    if restarts == 0 {
        return Ok(false);
    }
    let facts = convert::pod(pod).map_err(malformed(&format!("pod {}", pod.name_any()), "spec"))?;
    let mut containers = facts.into_iter().flat_map(|facts| facts.pod.containers);
    Ok(containers.any(|it| it.name == *size.container && it.sizing().only(size.to) == *size.to))
}

/// Writes the figures, or asks what the API server would say to it, and to a pod that comes of it; notes the answer.
pub(super) async fn carry(
    client: &Client,
    tries: &mut Tries,
    size: &Size<'_>,
    at: At<'_>,
    dry_run: bool,
) -> Result<(), ActError> {
    let mut body = object(size.workload, at.uid, (size.container, at.native_sidecar), size);
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), json!(at.resource_version));
    }
    let params = PatchParams {
        dry_run,
        field_manager: Some(api::TEMPLATE_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let answer = deployments(client, size.workload)
        .patch(&size.workload.name, &params, &Patch::Strategic(body))
        .await;
    let verdict = match answer {
        Ok(_) if !dry_run => return Ok(()),
        Ok(changed) => a_pod_of(client, size.workload, &changed).await?,
        Err(kube::Error::Api(status)) if is_refusal(status.code, dry_run) => Err(status.message.clone()),
        Err(error) => return Err(error).doing("changing the figures in a template"),
    };
    tries.note_size(size.key(at.resource_version), verdict);
    Ok(())
}

/// Whether it says anything of the figures. Not where the object is another by now (404, 409) or the API server is busy (429). The write
/// itself may lack a right (403) that comes back; what is invalid (422) stays so.
fn is_refusal(code: u16, dry_run: bool) -> bool {
    code == 422 || (dry_run && (400..500).contains(&code) && !matches!(code, 404 | 409 | 429))
}

/// A pod of the changed template as a dry run: a LimitRange or a quota speaks of pods only.
async fn a_pod_of(
    client: &Client,
    workload: &WorkloadId,
    changed: &Deployment,
) -> Result<Result<(), String>, ActError> {
    let reader = Reader::new(client, &workload.namespace);
    let current = reader.current(changed).await?;
    let Some(pod) = current.and_then(|set| pod_like(changed, &set, true)) else {
        return Ok(Ok(()));
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), workload.namespace.as_str());
    let dry = PostParams {
        dry_run: true,
        field_manager: Some(api::FIELD_MANAGER.to_owned()),
    };
    match pods.create(&dry, &pod).await {
        Ok(_) => Ok(Ok(())),
        Err(kube::Error::Api(status)) if is_refusal(status.code, true) => Ok(Err(status.message.clone())),
        Err(error) => Err(error).doing("trying a pod of a template"),
    }
}

/// The Deployment as it is patched: which one, and the container's figures that change; the others stay as they are written.
fn object(workload: &WorkloadId, uid: &str, (container, sidecar): (&ContainerName, bool), size: &Size<'_>) -> Value {
    let list = if sidecar { "initContainers" } else { "containers" };
    let figures = |to: &Compute, instead: &Compute| {
        let mut figures = quantities(instead);
        figures.values_mut().for_each(|value| *value = Value::Null);
        figures.extend(quantities(to));
        figures
    };
    let all = [
        ("requests", figures(&size.to.requests, &size.instead.requests)),
        ("limits", figures(&size.to.limits, &size.instead.limits)),
    ];
    let changed = all.into_iter().filter(|(_, figures)| !figures.is_empty());
    let resources: Map<String, Value> = changed.map(|(name, it)| (name.to_owned(), Value::Object(it))).collect();
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": workload.namespace, "name": workload.name, "uid": uid},
        "spec": {"template": {"spec": {list: [{"name": container, "resources": resources}]}}},
    })
}

/// The inverse of figures in a template: those before.
pub(super) fn inverse(receipt: &TemplateSizeReceipt) -> api::Inverse {
    let workload = &receipt.workload;
    let nobody = PlanId::new("");
    let size = Size {
        plan: &nobody,
        workload,
        container: &receipt.container,
        to: &receipt.before,
        instead: &receipt.wanted,
    };
    let object = object(
        workload,
        &receipt.uid,
        (&receipt.container, receipt.native_sidecar),
        &size,
    );
    let spec = object.get("spec").cloned().unwrap_or_default();
    api::Inverse {
        says: format!(
            "give container {} in the template of {workload} its figures back, unless somebody has written others since; its pods \
             restart, rolling: kubectl patch deployment {} --namespace {} --patch '{}'",
            receipt.container,
            workload.name,
            workload.namespace,
            json!({"spec": spec}),
        ),
        delete: None,
        apply: Some(object),
        field_manager: Some(api::TEMPLATE_MANAGER.to_owned()),
        subresource: None,
        patch: true,
    }
}
