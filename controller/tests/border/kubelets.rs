//! In the place of kubelets: four nodes that are ready, pods that become ready once they have a node, and that end when
//! they are deleted. In namespaces that are held, pods do not become ready.

use super::cluster::NODES;
use anyhow::Result;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread;

static HELD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// From now on new pods of the namespace do not become ready.
pub(crate) fn hold(namespace: &str) {
    HELD.lock().expect("no test dies with it").insert(namespace.to_owned());
}

/// From now on they do again; those that wait are touched, so that their kubelet looks at them.
pub(crate) async fn let_go(admin: &Client, namespace: &str) -> Result<()> {
    HELD.lock().expect("no test dies with it").remove(namespace);
    let pods: Api<Pod> = Api::namespaced(admin.clone(), namespace);
    for pod in pods.list(&ListParams::default()).await?.items {
        let touch = json!({"metadata": {"annotations": {"border/touched": "true"}}});
        // It may be gone by now.
        let _ = pods
            .patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(touch))
            .await;
    }
    Ok(())
}

fn is_held(pod: &Pod) -> bool {
    HELD.lock()
        .expect("no test dies with it")
        .contains(&pod.namespace().unwrap_or_default())
}

/// Makes the nodes.
pub(crate) async fn start(admin: &Client) -> Result<()> {
    for (index, name) in NODES.iter().enumerate() {
        make_node(admin, name, index).await?;
    }
    Ok(())
}

pub(crate) async fn make_node(admin: &Client, name: &str, index: usize) -> Result<()> {
    let nodes: Api<Node> = Api::all(admin.clone());
    let node: Node = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name,
            "topology.kubernetes.io/zone": format!("zone-{}", 1 + index % 2),
        }},
    }))?;
    nodes.create(&PostParams::default(), &node).await?;
    set_ready(admin, name, true).await?;
    // Admission taints a node that is not ready yet; nobody else takes it off here.
    let untaint = json!({"spec": {"taints": null}});
    nodes
        .patch(name, &PatchParams::default(), &Patch::Merge(untaint))
        .await?;
    Ok(())
}

/// Writes the node's Ready condition.
pub(crate) async fn set_ready(admin: &Client, name: &str, ready: bool) -> Result<()> {
    let nodes: Api<Node> = Api::all(admin.clone());
    let room = json!({"cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "100Gi"});
    let status = json!({"status": {
        "capacity": room, "allocatable": room,
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }, "reason": "Border", "message": ""}],
    }});
    nodes
        .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await?;
    Ok(())
}

/// Plays the kubelets until the process ends, on a thread of its own: tests come and go with their runtimes.
pub(crate) fn play(make: impl Future<Output = Client> + Send + 'static) {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            let client = make.await;
            let pods: Api<Pod> = Api::all(client.clone());
            let mut changes = std::pin::pin!(
                watcher(pods, watcher::Config::default())
                    .default_backoff()
                    .applied_objects()
            );
            while let Some(change) = changes.next().await {
                if let Ok(pod) = change {
                    tokio::spawn(tend(client.clone(), pod));
                }
            }
        });
    });
}

async fn tend(client: Client, pod: Pod) {
    let pods: Api<Pod> = Api::namespaced(client, pod.namespace().unwrap_or_default().as_str());
    let has_node = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    if pod.metadata.deletion_timestamp.is_some() {
        let at_once = DeleteParams::default().grace_period(0);
        let _ = pods.delete(&pod.name_any(), &at_once).await;
        return;
    }
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.clone())
        .unwrap_or_default();
    let ready = conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True");
    if !has_node || ready || is_held(&pod) {
        return;
    }
    // One address for each pod, so that EndpointSlices take it: only its being different counts.
    let uid = pod.uid().unwrap_or_default();
    let byte = |at: usize| u8::from_str_radix(uid.get(at..at + 2).unwrap_or("1"), 16).unwrap_or(1);
    let address = format!("10.{}.{}.{}", byte(0), byte(2), byte(4).max(1));
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
    let status = json!({"status": {
        "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "startTime": now,
        "conditions": [condition("Ready"), condition("ContainersReady"), condition("Initialized"), condition("PodScheduled")],
    }});
    let _ = pods
        .patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(status))
        .await;
}
