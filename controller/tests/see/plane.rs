//! A control plane for one test, and what the tests write to it.

use anyhow::{Context, Result};
use huddle_tests::bed::ControlPlane;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// A running control plane and its administrator.
pub(crate) struct Plane {
    _plane: ControlPlane,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) client: Client,
    pub(crate) config: Config,
}

impl Plane {
    pub(crate) async fn start() -> Result<Self> {
        Self::of(ControlPlane::start).await
    }
    /// One that serves no policies that mutate.
    pub(crate) async fn start_without_mutating_policies() -> Result<Self> {
        Self::of(ControlPlane::start_without_mutating_policies).await
    }
    async fn of(start: fn() -> Result<ControlPlane>) -> Result<Self> {
        let plane = tokio::task::spawn_blocking(start).await??;
        let kubeconfig = plane.kubeconfig();
        let file = Kubeconfig::read_from(&kubeconfig)?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        Ok(Self {
            _plane: plane,
            kubeconfig,
            client: Client::try_from(config.clone())?,
            config,
        })
    }
    fn api(&self, object: &DynamicObject) -> Result<Api<DynamicObject>> {
        let types = object.types.as_ref().context("an object has a kind")?;
        let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
        Ok(match object.namespace() {
            Some(namespace) => Api::namespaced_with(self.client.clone(), &namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        })
    }
    /// Applies an object, and its status where it has one.
    pub(crate) async fn apply(&self, value: Value) -> Result<()> {
        let status = value.get("status").cloned();
        let object: DynamicObject = serde_json::from_value(value)?;
        let api = self.api(&object)?;
        let name = object.name_any();
        let params = PatchParams::apply("test").force();
        api.patch(&name, &params, &Patch::Apply(&object)).await?;
        if let Some(status) = status {
            let patch = json!({"status": status});
            api.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch))
                .await?;
        }
        Ok(())
    }
}

/// A ready node.
pub(crate) fn node(name: &str, zone: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}, "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Test", "lastHeartbeatTime": "2026-01-01T00:00:00Z",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "message": ""}]}
    })
}

/// A running pod with a sidecar, bound to a node.
pub(crate) fn pod(name: &str, app: &str, node: &str, address: &str) -> Value {
    let container = |name: &str| json!({"name": name, "image": "none", "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}}});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": app}},
        "spec": {"nodeName": node, "containers": [container("app"), container("istio-proxy")]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    })
}

/// Waits until the condition holds; it says what is missing.
pub(crate) async fn until<T>(what: &str, condition: impl AsyncFn() -> Result<T, String>) -> T {
    let asked = async {
        loop {
            match condition().await {
                Ok(value) => return value,
                Err(missing) => {
                    tracing::debug!(what, missing, "waiting");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    };
    match tokio::time::timeout(Duration::from_secs(60), asked).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long for {what}: {:?}", condition().await.err()),
    }
}
