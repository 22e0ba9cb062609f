//! Pods of a service on nodes of the soak's choice, evenly.

use crate::pods::rolled_out;
use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use std::time::Duration;

/// How long a roll-out may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Rolls the services out onto these nodes, as many pods of each on each node as on the others.
pub(super) async fn pin(client: &Client, services: &[String], nodes: [&str; 2]) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "shop");
    let mut begun = Vec::new();
    for service in services {
        let expression = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": nodes});
        let terms = json!([{"matchExpressions": [expression]}]);
        let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
        let spread = json!([{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": service}}, "matchLabelKeys": ["pod-template-hash"]}]);
        let pod = json!({"affinity": {"nodeAffinity": required}, "topologySpreadConstraints": spread});
        let body = json!({"spec": {"template": {"spec": pod}}});
        let patched = deployments
            .patch(service, &PatchParams::default(), &Patch::Strategic(body))
            .await;
        begun.push(patched.with_context(|| format!("pin {service}"))?.metadata.generation);
    }
    for (service, generation) in services.iter().zip(begun) {
        rolled_out(client, "shop", service, generation, PATIENCE).await?;
    }
    Ok(())
}
