//! Routes of the Gateway API, attached to the callee's Service: what its owner may write beside, or instead of, a VirtualService.

use crate::bed::{Cache, build};
use crate::pair::{CALLEE, NAMESPACE};
use crate::wait::until;
use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

/// How long the API server may take to serve a kind that it was told of.
const PATIENCE: Duration = Duration::from_secs(60);
/// A second Service that leads to the callee's pods.
const CANARY: &str = "back-canary";

/// Lets the cluster serve HTTPRoutes and GRPCRoutes, by the definitions that this Istio is built with.
///
/// # Errors
/// When they cannot be had, or are not served.
pub(super) async fn serve(client: &Client) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let files = tokio::task::spawn_blocking(|| build::gateway_definitions(&Cache::open()?)).await??;
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let object: CustomResourceDefinition = serde_json::from_value(serde_saphyr::from_str(&text)?)?;
        let name = object.name_any();
        let params = PatchParams::apply("owner").force();
        definitions.patch(&name, &params, &Patch::Apply(&object)).await?;
        until("the Gateway API to be served", PATIENCE, async || {
            let got = definitions.get(&name).await.map_err(|error| error.to_string())?;
            let conditions = got.status.and_then(|status| status.conditions).unwrap_or_default();
            let served = conditions
                .iter()
                .any(|it| it.type_ == "Established" && it.status == "True");
            served.then_some(()).ok_or_else(|| format!("{name} is not established"))
        })
        .await?;
    }
    Ok(())
}

/// A route that leaves all calls with the Service, and says how long they may take; beside it another Service.
pub(super) fn kept(port: u16) -> Vec<Value> {
    let metadata = json!({"name": CANARY, "namespace": NAMESPACE});
    let canary = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {"selector": {"app": CALLEE}, "ports": [{"name": "http", "port": port, "targetPort": port}]}});
    vec![canary, route(json!([{"name": CALLEE, "port": port}]))]
}

/// The same route, which sends some of the calls to the other Service now.
pub(super) fn split(port: u16) -> Vec<Value> {
    let backends = json!([{"name": CALLEE, "port": port, "weight": 90}, {"name": CANARY, "port": port, "weight": 10}]);
    vec![route(backends)]
}

fn route(backends: Value) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": CALLEE, "namespace": NAMESPACE},
        "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": CALLEE}],
            "rules": [{"backendRefs": backends, "timeouts": {"request": "10s"}}]}})
}
