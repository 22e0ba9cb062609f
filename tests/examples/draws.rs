//! Where the stock scheduler puts the shop: kube-scheduler 1.36 on four nodes without kubelets, one draw for each pair of nodes that istiod and
//! CoreDNS may stand on, again and again. Prints the layouts that differ, as `controller/core/tests/data/draws.json` holds them, and to
//! standard error how often each came. `cargo run -p huddle-tests --example draws [ROUNDS [GRAPH]]`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use huddle_tests::bed::ControlPlane;
use huddle_tests::shop::manifests::{self, Manifests, ServiceManifests};
use huddle_tests::wait::until;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt as _};
use serde_json::{Value, json};

const NODES: u8 = 4;
const ZONES: u8 = 2;
const PATIENCE: Duration = Duration::from_secs(60);
/// What the bed runs before the shop is created: name, cpu in millicores, memory in MiB.
const BEFORE: [(&str, &str, u64, u64); 2] = [("istio-system", "istiod", 50, 128), ("kube-system", "coredns", 50, 64)];

/// Pod's workload, node, cpu in millicores, memory in MiB.
type Placed = (String, String, u64, u64);

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rounds: u32 = arguments.next().map_or(Ok(4), |text| text.parse()).context("ROUNDS")?;
    let file = arguments
        .next()
        .unwrap_or_else(|| "tests/shop/boutique.yaml".to_owned());
    let shop = manifests::of(&std::fs::read_to_string(&file).with_context(|| file.clone())?)?;
    let plane = tokio::task::spawn_blocking(ControlPlane::start).await??;
    let kubeconfig = Kubeconfig::read_from(plane.kubeconfig())?;
    let client = Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)?;
    for number in 1..=NODES {
        node(&client, number).await?;
    }
    for namespace in ["istio-system", shop.graph.namespace()] {
        let object: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        Api::<Namespace>::all(client.clone())
            .create(&PostParams::default(), &object)
            .await?;
    }
    let mut drawn: BTreeMap<Vec<Placed>, u32> = BTreeMap::new();
    for round in 0..rounds {
        for istiod in 1..=NODES {
            for coredns in 1..=NODES {
                *drawn.entry(draw(&client, &shop, [istiod, coredns]).await?).or_default() += 1;
            }
        }
        eprintln!("round {round}: {} layouts so far", drawn.len());
    }
    for (number, times) in drawn.values().enumerate() {
        eprintln!("draw {number}: {times} times");
    }
    let layouts: Vec<String> = drawn.keys().map(|draw| layout(draw)).collect::<Result<_>>()?;
    println!("[\n{}\n]", layouts.join(",\n"));
    Ok(())
}

fn layout(draw: &[Placed]) -> Result<String> {
    let pods: Vec<String> = draw
        .iter()
        .map(|pod| Ok(format!("    {}", serde_json::to_string(pod)?.replace(',', ", "))))
        .collect::<Result<_>>()?;
    Ok(format!("  [\n{}\n  ]", pods.join(",\n")))
}

async fn node(client: &Client, number: u8) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let name = format!("node-{number}");
    let zone = format!("zone-{}", (number - 1) % ZONES + 1);
    let labels = json!({"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone});
    let object: Node = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}}))?;
    nodes.create(&PostParams::default(), &object).await?;
    let room = json!({"cpu": "1500m", "memory": "4096Mi", "pods": "110"});
    let ready = json!([{"type": "Ready", "status": "True"}]);
    let status = json!({"status": {"allocatable": room, "capacity": room, "conditions": ready}});
    nodes
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
        .await?;
    // Admission taints a node that is not ready yet; nobody else takes it off here.
    let taints = json!({"spec": {"taints": null}});
    nodes
        .patch(&name, &PatchParams::default(), &Patch::Merge(taints))
        .await?;
    Ok(())
}

/// One draw: the system's pods on the given nodes, then the shop as the bed deploys it; everything is removed again.
async fn draw(client: &Client, shop: &Manifests, on: [u8; 2]) -> Result<Vec<Placed>> {
    for ((namespace, name, cpu, memory), node) in BEFORE.into_iter().zip(on) {
        account(client, namespace, "default").await?;
        let requests = json!({"cpu": format!("{cpu}m"), "memory": format!("{memory}Mi")});
        let container = json!({"name": name, "image": "none", "resources": {"requests": requests}});
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"nodeName": format!("node-{node}"), "containers": [container]},
        }))?;
        Api::<Pod>::namespaced(client.clone(), namespace)
            .create(&PostParams::default(), &pod)
            .await?;
    }
    let namespace = shop.graph.namespace();
    let mut draw: Vec<Placed> = Vec::new();
    for (service, of) in shop.graph.services().iter().zip(&shop.services) {
        create(client, namespace, of, &sidecar(&service.sidecar)).await?;
        let name = of.deployment.name_any();
        let replicas = usize::try_from(service.replicas)?;
        let pods = until(format!("the pods of {name} to be scheduled"), PATIENCE, async || {
            placed(client, namespace, &name, replicas).await
        })
        .await?;
        let cpu = service.resources.cpu.get() + service.sidecar.cpu.get();
        let memory = service.resources.memory.get() + service.sidecar.memory.get();
        draw.extend(
            pods.into_iter()
                .map(|node| (format!("{namespace}/{name}"), node, cpu, memory)),
        );
    }
    for ((namespace, name, cpu, memory), node) in BEFORE.into_iter().zip(on) {
        draw.push((format!("{namespace}/{name}"), format!("node-{node}"), cpu, memory));
    }
    draw.sort();
    remove(client, namespace).await?;
    Ok(draw)
}

/// The sidecar as injection adds it: its requests count like the application's.
fn sidecar(resources: &huddle_tests::shop::Resources) -> Value {
    json!({"name": "istio-proxy", "image": "none", "restartPolicy": "Always", "resources": {"requests": {
        "cpu": resources.cpu.to_string(), "memory": resources.memory.to_string(),
    }}})
}

async fn account(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let object: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    accounts
        .patch(name, &PatchParams::apply("draws").force(), &Patch::Apply(&object))
        .await?;
    Ok(())
}

async fn create(client: &Client, namespace: &str, of: &ServiceManifests, sidecar: &Value) -> Result<()> {
    let apply = PatchParams::apply("draws").force();
    account(client, namespace, &of.account.name_any()).await?;
    Api::<Service>::namespaced(client.clone(), namespace)
        .patch(&of.service.name_any(), &apply, &Patch::Apply(&of.service))
        .await?;
    let mut deployment = serde_json::to_value(&of.deployment)?;
    deployment["spec"]["template"]["spec"]["initContainers"] = json!([sidecar]);
    Api::<Deployment>::namespaced(client.clone(), namespace)
        .patch(&of.deployment.name_any(), &apply, &Patch::Apply(&deployment))
        .await?;
    Ok(())
}

async fn placed(client: &Client, namespace: &str, app: &str, wanted: usize) -> Result<Vec<String>, String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let own = ListParams::default().labels(&format!("app={app}"));
    let pods = pods.list(&own).await.map_err(|error| error.to_string())?;
    let nodes: Vec<String> = pods.items.into_iter().filter_map(|pod| pod.spec?.node_name).collect();
    if nodes.len() == wanted {
        Ok(nodes)
    } else {
        Err(format!("{} of {wanted}", nodes.len()))
    }
}

/// Deployments first, so that nobody makes the pods anew; then pods at once, since no kubelet would ever say that they ended.
async fn remove(client: &Client, namespace: &str) -> Result<()> {
    let all = ListParams::default();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    deployments.delete_collection(&DeleteParams::background(), &all).await?;
    let sets: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
    until("the replica sets to be gone", PATIENCE, async || {
        match sets.list(&all).await.map_err(|error| error.to_string())?.items.len() {
            0 => Ok(()),
            left => Err(format!("{left} left")),
        }
    })
    .await?;
    let pods: Api<Pod> = Api::all(client.clone());
    let at_once = DeleteParams::default().grace_period(0);
    until("the pods to be gone", PATIENCE, async || {
        let left = pods.list(&all).await.map_err(|error| error.to_string())?.items;
        for pod in &left {
            let own: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
            // The garbage collector may have been quicker.
            let _ = own.delete(&pod.name_any(), &at_once).await;
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{} left", left.len()))
        }
    })
    .await?;
    Ok(())
}
