//! Limits of running containers, changed in place the way an owner would: through the pods' `resize`.

use crate::kubelet::Counters;
use crate::pods::running;
use crate::wait::until;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a kubelet may take for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// What stands above the mean where a limit was set by it (issue 5, section 3).
const ABOVE_MEAN: f64 = 1.2;
/// A limit of no account: what the shop's files set, three quarters of the machine.
pub(super) const LOOSE: u64 = 1_500;

/// As Kubernetes writes it.
fn quantity(millicores: u64) -> String {
    if millicores.is_multiple_of(1_000) {
        (millicores / 1_000).to_string()
    } else {
        format!("{millicores}m")
    }
}

/// Sets the cpu limit of a container in all running pods of a service, and waits until their kubelets have done it.
pub(super) async fn limit(client: &Client, service: &str, container: &str, millicores: u64) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
    let selector = format!("app={service}");
    let wanted = quantity(millicores);
    for pod in running(client, "shop", &selector).await? {
        let mut native = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        let list = if native.any(|of: &Container| of.name == container) {
            "initContainers"
        } else {
            "containers"
        };
        let body = json!({"spec": {list: [{"name": container, "resources": {"limits": {"cpu": wanted}}}]}});
        let patched = pods
            .patch_resize(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(body))
            .await;
        patched.with_context(|| format!("resize {container} of {}", pod.name_any()))?;
    }
    until(
        format!("{container} of {service} to have {wanted}"),
        PATIENCE,
        async || {
            let pods = running(client, "shop", &selector)
                .await
                .map_err(|error| error.to_string())?;
            let has: Vec<String> = pods.iter().map(|pod| limit_of(pod, container)).collect();
            if has.iter().all(|limit| *limit == wanted) {
                Ok(())
            } else {
                Err(has.join(", "))
            }
        },
    )
    .await?;
    Ok(())
}

fn limit_of(pod: &Pod, container: &str) -> String {
    let statuses = pod.status.iter().flat_map(|status| {
        let both = [&status.container_statuses, &status.init_container_statuses];
        both.into_iter().flatten().flatten()
    });
    let limit = |status: &ContainerStatus| Some(status.resources.as_ref()?.limits.as_ref()?.get("cpu")?.0.clone());
    let mut own = statuses.filter(|status| status.name == container);
    own.next().and_then(limit).unwrap_or_else(|| "-".to_owned())
}

/// Mean use in the pod of a service that used most between two readings, in thousandths; `None` where nothing is known.
pub(super) fn use_of(
    service: &str,
    container: &str,
    before: &BTreeMap<(String, String), Counters>,
    after: &BTreeMap<(String, String), Counters>,
) -> Option<f64> {
    of(service, container, before, after, Counters::cpu_since)
}

/// Throttled share in the pod of a service that was throttled most.
pub(super) fn throttled(
    service: &str,
    container: &str,
    before: &BTreeMap<(String, String), Counters>,
    after: &BTreeMap<(String, String), Counters>,
) -> Option<f64> {
    of(service, container, before, after, Counters::throttled_since)
}

fn of(
    service: &str,
    container: &str,
    before: &BTreeMap<(String, String), Counters>,
    after: &BTreeMap<(String, String), Counters>,
    figure: fn(&Counters, &Counters) -> Option<f64>,
) -> Option<f64> {
    // A pod is called by its Deployment, its ReplicaSet's hash and five letters of its own.
    let own = |pod: &str| pod.rsplitn(3, '-').nth(2) == Some(service);
    after
        .iter()
        .filter(|((pod, name), _)| own(pod) && name == container)
        .filter_map(|(key, now)| figure(now, before.get(key)?))
        .max_by(f64::total_cmp)
}

/// The limit that somebody sets who looks at the mean of the use alone.
pub(super) fn by_the_mean(mean: f64) -> u64 {
    (mean * ABOVE_MEAN).ceil() as u64
}
