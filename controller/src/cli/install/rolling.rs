//! The rolling way: the filter is bound to a pod label, and Deployments get it in their templates, one after the other. Running
//! proxies never change; new ones start with the filter.

use super::objects::ROLLING_LABEL;
use crate::cli::wait::until;
use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::time::Duration;

/// A Deployment's rollout may take this long: a pod's start-up times its replicas.
const ROLLOUT: Duration = Duration::from_secs(900);

/// Sets or removes the label in the templates of all Deployments of a namespace, waiting for each rollout.
///
/// # Errors
/// If a Deployment cannot be changed, or its rollout does not end.
pub(in crate::cli) async fn restart(client: &Client, namespace: &str, with: bool) -> anyhow::Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let (key, value) = ROLLING_LABEL;
    for deployment in deployments.list(&ListParams::default()).await? {
        let name = deployment.name_any();
        let labels = deployment
            .spec
            .as_ref()
            .and_then(|spec| spec.template.metadata.as_ref()?.labels.as_ref());
        let has = labels.is_some_and(|labels| labels.get(key).map(String::as_str) == Some(value));
        if has == with {
            continue;
        }
        let label = if with { json!(value) } else { json!(null) };
        let patch = json!({"spec": {"template": {"metadata": {"labels": {key: label}}}}});
        deployments
            .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .with_context(|| format!("cannot change Deployment {namespace}/{name}"))?;
        until(
            &format!("Deployment {namespace}/{name} to be rolled out"),
            ROLLOUT,
            async || {
                let found = deployments.get(&name).await.map_err(|error| error.to_string())?;
                let wanted = found.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                let status = found.status.clone().unwrap_or_default();
                let updated = status.updated_replicas.unwrap_or(0);
                let done = status.observed_generation == found.metadata.generation
                    && updated == wanted
                    && status.replicas.unwrap_or(0) == wanted
                    && status.ready_replicas.unwrap_or(0) == wanted;
                if done {
                    Ok(())
                } else {
                    Err(format!("{updated} of {wanted} pods are new"))
                }
            },
        )
        .await?;
        println!("  Deployment {namespace}/{name} restarted");
    }
    Ok(())
}
