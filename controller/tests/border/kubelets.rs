//! In the place of kubelets: four nodes that are ready, pods that become ready once they have a node, and that end when
//! they are deleted. In namespaces that are held, pods do not become ready. Resizes are done at once, or answered as a test wishes.

use super::cluster::NODES;
use anyhow::Result;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Node, Pod, PodStatus};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::thread;

static HELD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// How a resize that asks for more is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resize {
    /// No room now.
    Defers,
    /// Never.
    Infeasible,
    /// The runtime fails.
    Fails,
    /// It is done, and the container dies of it.
    Restarts,
}

static RESIZES: Mutex<BTreeMap<String, Resize>> = Mutex::new(BTreeMap::new());

/// From now on resizes of this pod are taken so.
pub(crate) fn resize_as(namespace: &str, pod: &str, how: Resize) {
    let mut resizes = RESIZES.lock().expect("no test dies with it");
    resizes.insert(format!("{namespace}/{pod}"), how);
}

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
    if ready {
        if let Some(status) = resized(&pod) {
            let _ = pods
                .patch_status(
                    &pod.name_any(),
                    &PatchParams::default(),
                    &Patch::Strategic(json!({"status": status})),
                )
                .await;
        }
        return;
    }
    if !has_node || is_held(&pod) {
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
        "containerStatuses": statuses(&pod, false, 0), "initContainerStatuses": statuses(&pod, true, 0),
    }});
    let _ = pods
        .patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(status))
        .await;
}

fn containers(pod: &Pod, initial: bool) -> &[Container] {
    let spec = pod.spec.as_ref();
    if initial {
        spec.and_then(|spec| spec.init_containers.as_deref())
            .unwrap_or_default()
    } else {
        spec.map(|spec| spec.containers.as_slice()).unwrap_or_default()
    }
}

fn known(status: &PodStatus, initial: bool) -> &[ContainerStatus] {
    let list = if initial {
        &status.init_container_statuses
    } else {
        &status.container_statuses
    };
    list.as_deref().unwrap_or_default()
}

/// The containers as they run, with the figures that their spec asks for.
fn statuses(pod: &Pod, initial: bool, restarts: i32) -> Vec<Value> {
    let status = |container: &Container| {
        let resources = container.resources.clone().unwrap_or_default();
        json!({
            "name": container.name, "image": "x", "imageID": "x", "ready": true, "started": true, "restartCount": restarts,
            "state": {"running": {}}, "resources": {"requests": resources.requests, "limits": resources.limits},
            "allocatedResources": resources.requests,
        })
    };
    containers(pod, initial).iter().map(status).collect()
}

/// The pod's status after its kubelet has taken a resize; `None` where it has nothing to do or has answered already.
fn resized(pod: &Pod) -> Option<Value> {
    let status = pod.status.as_ref()?;
    let same = |initial| {
        containers(pod, initial).iter().all(|container| {
            let asked = container.resources.clone().unwrap_or_default();
            let mut known = known(status, initial).iter().filter(|it| it.name == container.name);
            known.all(|it| {
                let has = it.resources.clone().unwrap_or_default();
                has.requests == asked.requests && has.limits == asked.limits
            })
        })
    };
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let said = conditions.iter().any(|it| it.type_.starts_with("PodResize"));
    if same(false) && same(true) {
        let cleared = |kind: &str| json!({"$patch": "delete", "type": kind});
        return said.then(|| json!({"conditions": [cleared("PodResizePending"), cleared("PodResizeInProgress")]}));
    }
    let key = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    let how = RESIZES.lock().expect("no test dies with it").get(&key).copied();
    if said && how.is_some() {
        return None; // it has answered
    }
    let condition = |kind: &str, reason: &str| {
        json!({"conditions": [{"type": kind, "status": "True", "reason": reason, "message": "says the test",
            "observedGeneration": pod.metadata.generation, "lastTransitionTime": k8s_openapi::jiff::Timestamp::now().to_string()}]})
    };
    let restarted = known(status, false)
        .iter()
        .map(|it| it.restart_count)
        .max()
        .unwrap_or(0);
    let done = |restarts| json!({"containerStatuses": statuses(pod, false, restarts), "initContainerStatuses": statuses(pod, true, 0)});
    Some(match how {
        None => done(restarted),
        Some(Resize::Restarts) if restarted == 0 => done(1),
        Some(Resize::Restarts) => done(restarted),
        Some(Resize::Defers) => condition("PodResizePending", "Deferred"),
        Some(Resize::Infeasible) => condition("PodResizePending", "Infeasible"),
        Some(Resize::Fails) => condition("PodResizeInProgress", "Error"),
    })
}
