//! In-place resize: what is seen of a pod's figures, and the one write that changes them.

use super::error::{ActError, Doing, or_gone};
use super::observe::{Reader, is_alive, is_ready};
use super::trial::Tries;
use crate::watch::convert;
use huddle_api as api;
use huddle_core::act::{PodAt, ResizeReceipt, ResizeSeen, SizedPod};
use huddle_core::cluster::{Compute, Sizing};
use huddle_core::id::{ContainerName, PodUid, WorkloadId};
use huddle_core::units::Bytes;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Map, Value, json};

/// The subresource through which alone a running pod's figures are changed.
const RESIZE: &str = "resize";

/// What a resize of this container of this pod needs to know; `to`: the figures that change.
pub(super) async fn observe(
    client: &Client,
    tries: &Tries,
    workload: &WorkloadId,
    (uid, name): (&PodUid, &str),
    container: &ContainerName,
    to: &Sizing,
) -> Result<ResizeSeen, ActError> {
    let reader = Reader::new(client, &workload.namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), workload.namespace.as_str());
    let pod = or_gone(pods.get(name).await).doing("reading a pod")?.filter(|pod| {
        let going = pod.metadata.deletion_timestamp.is_some() || !is_alive(pod);
        pod.metadata.uid.as_deref() == Some(uid.as_str()) && !going
    });
    Ok(ResizeSeen {
        workload: reader.workload(&workload.name).await?.map(|(seen, _)| seen),
        pod: match &pod {
            Some(pod) => sized(pod, container)?,
            None => None,
        },
        tried: tries.size(&key(uid, container, to)),
    })
}

/// The pod with the container, as its spec wants it and its kubelet has it; `None` without such a container.
fn sized(pod: &Pod, container: &ContainerName) -> Result<Option<SizedPod>, ActError> {
    let malformed = |field: &'static str, why: String| ActError::Malformed {
        object: format!("pod {}", pod.name_any()),
        field,
        why,
    };
    let facts = convert::pod(pod).map_err(|invalid| malformed("spec", invalid.to_string()))?;
    let found = facts.and_then(|facts| facts.pod.containers.into_iter().find(|it| it.name == *container));
    let Some(found) = found else {
        return Ok(None);
    };
    let status = status_of(pod, container);
    let actual = match status.and_then(|status| status.resources.as_ref()) {
        None => None,
        Some(resources) => {
            let read = |list, field| convert::compute(list, field).map_err(|it| malformed("status", it.to_string()));
            Some(Sizing {
                requests: read(resources.requests.as_ref(), "requests")?,
                limits: read(resources.limits.as_ref(), "limits")?,
            })
        }
    };
    let waiting = said(pod, "PodResizePending");
    let wants = |reason: &str| waiting.as_ref().filter(|it| it.0 == reason).map(|it| it.1.clone());
    let failed = said(pod, "PodResizeInProgress").filter(|it| it.0 == "Error");
    Ok(Some(SizedPod {
        uid: PodUid::new(pod.uid().unwrap_or_default()),
        name: pod.name_any(),
        resource_version: pod.resource_version().unwrap_or_default(),
        ready: is_ready(pod),
        native_sidecar: found.native_sidecar,
        wanted: found.sizing(),
        actual,
        restarts: status.map_or(0, |it| u64::try_from(it.restart_count).unwrap_or(0)),
        restarts_for_cpu: found.restarts_for_cpu,
        restarts_for_memory: found.restarts_for_memory,
        deferred: wants("Deferred"),
        infeasible: wants("Infeasible"),
        failed: failed.map(|it| it.1),
    }))
}

pub(super) fn status_of<'a>(pod: &'a Pod, container: &ContainerName) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let ordinary = status.container_statuses.iter().flatten();
    let mut all = ordinary.chain(status.init_container_statuses.iter().flatten());
    all.find(|it| it.name == container.as_str())
}

/// Reason and message of a condition that is true and speaks of the spec as it is: a kubelet says of which generation it speaks.
fn said(pod: &Pod, kind: &str) -> Option<(String, String)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let current = |seen: Option<i64>| seen.is_none_or(|seen| Some(seen) >= pod.metadata.generation);
    let condition = conditions
        .iter()
        .find(|it| it.type_ == kind && it.status == "True" && current(it.observed_generation))?;
    let reason = condition.reason.clone().unwrap_or_default();
    Some((reason, condition.message.clone().unwrap_or_default()))
}

fn key(uid: &PodUid, container: &ContainerName, to: &Sizing) -> String {
    format!("{uid}/{container}/{to:?}")
}

/// Carries the resize out, or asks what the API server would say to it and notes the answer.
pub(super) async fn carry(
    client: &Client,
    tries: &mut Tries,
    pod: &PodAt,
    (container, native_sidecar): (&ContainerName, bool),
    to: &Sizing,
    dry_run: bool,
) -> Result<(), ActError> {
    let mut body = object(pod, container, native_sidecar, to);
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), json!(pod.resource_version));
    }
    let params = PatchParams {
        dry_run,
        field_manager: Some(api::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), pod.namespace.as_str());
    let answer = pods
        .patch_subresource(RESIZE, &pod.name, &params, &Patch::Strategic(body))
        .await;
    if !dry_run {
        return answer.doing("resizing a pod").map(drop);
    }
    let verdict = match answer {
        Ok(_) => Ok(()),
        // Another pod, or another version of it: nothing is said of the resize.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 429) => {
            return Err(kube::Error::Api(status)).doing("trying a resize");
        }
        Err(kube::Error::Api(status)) if (400..500).contains(&status.code) => Err(status.message.clone()),
        Err(error) => return Err(error).doing("trying a resize"),
    };
    tries.note_size(key(&pod.uid, container, to), verdict);
    Ok(())
}

/// The pod as it is patched: which one, and the container's figures that change; the others stay as they are written.
fn object(pod: &PodAt, container: &ContainerName, native_sidecar: bool, to: &Sizing) -> Value {
    let list = if native_sidecar { "initContainers" } else { "containers" };
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid},
        "spec": {list: [{"name": container, "resources": {
            "requests": quantities(&to.requests), "limits": quantities(&to.limits),
        }}]},
    })
}

/// As Kubernetes quantities; a figure that is not set is left out.
pub(super) fn quantities(compute: &Compute) -> Map<String, Value> {
    let cpu = compute.cpu.map(|cpu| ("cpu".to_owned(), json!(cpu.to_string())));
    let memory = compute
        .memory
        .map(|Bytes(bytes)| ("memory".to_owned(), json!(binary(bytes))));
    cpu.into_iter().chain(memory).collect()
}

/// As the API server writes it, so that what is given back reads as it did: with the largest binary suffix that leaves a whole number.
fn binary(bytes: u64) -> String {
    let units = [("Ti", 40_u32), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
    let fits = units
        .into_iter()
        .find(|(_, bits)| bytes > 0 && bytes.is_multiple_of(1 << bits));
    fits.map_or_else(
        || bytes.to_string(),
        |(suffix, bits)| format!("{}{suffix}", bytes >> bits),
    )
}

/// The inverse of a resize: the figures before.
pub(super) fn inverse(receipt: &ResizeReceipt) -> api::Inverse {
    let pod = PodAt {
        namespace: receipt.namespace.clone(),
        name: receipt.pod_name.clone(),
        uid: receipt.pod.clone(),
        resource_version: String::new(),
    };
    let object = object(
        &pod,
        &receipt.container,
        receipt.native_sidecar,
        &receipt.before.beyond(&receipt.wanted),
    );
    let spec = object.get("spec").cloned().unwrap_or_default();
    api::Inverse {
        says: format!(
            "give container {} of pod {}/{} its figures back: kubectl patch pod {} --namespace {} --subresource {RESIZE} --patch \
             '{}'",
            receipt.container,
            receipt.namespace,
            receipt.pod_name,
            receipt.pod_name,
            receipt.namespace,
            json!({"spec": spec}),
        ),
        delete: None,
        apply: Some(object),
        field_manager: None,
        subresource: Some(RESIZE.to_owned()),
        patch: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_written_as_the_api_server_writes_it() {
        let texts = [0, 1, 1_024, 134_217_728, 1 << 30, (1 << 30) + 1, 3 << 29].map(binary);
        assert_eq!(texts, ["0", "1", "1Ki", "128Mi", "1Gi", "1073741825", "1536Mi"]);
    }
}
