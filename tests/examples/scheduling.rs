//! What Huddle's rules cost the scheduler: pods bound per second without a rule, with a steady rule's wish to be near pods, with a
//! cell's for nodes with a label, and with a step rule's node, in turns. A thousand nodes without kubelets. `cargo run -p huddle-tests --example scheduling [ROUNDS [PODS]]`.
//!
//! The scheduler is stopped while a batch of pods is made, so that the client's speed is not measured, and timed from the first binding
//! to the last.

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use huddle_tests::bed::{ControlPlane, Program};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, wait::await_condition, watcher};
use kube::{Client, Config, ResourceExt as _};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Instant;

const NODES: usize = 1_000;
const HUBS: usize = 20;
const CELL: &str = "huddle.dev/cell-bench-0";
const AT_ONCE: usize = 16;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let rounds = arguments.next().transpose()?.unwrap_or(5);
    let pods = arguments.next().transpose()?.unwrap_or(400);
    let mut plane = tokio::task::spawn_blocking(ControlPlane::start).await??;
    let file = Kubeconfig::read_from(plane.kubeconfig())?;
    let client = Client::try_from(Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?)?;
    let nodes = (0..NODES).map(|number| node(&client, number));
    futures::stream::iter(nodes)
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    namespace(&client, "bench").await?;
    for number in 0..HUBS {
        let mut hub = pod(&format!("hub-{number}"), "hub", &json!({}))?;
        if let Some(spec) = hub.spec.as_mut() {
            spec.node_name = Some(format!("node-{}", number * (NODES / HUBS)));
        }
        api(&client).create(&PostParams::default(), &hub).await?;
    }
    let variants = [
        ("no rule", json!({})),
        ("steady rule", json!({"affinity": steady()})),
        ("cell rule", cell()),
        ("step rule", json!({"affinity": step()})),
    ];
    let mut rates = vec![Vec::new(); variants.len()];
    for round in 0..=rounds {
        for ((name, rule), rates) in variants.iter().zip(&mut rates) {
            let rate = batch(&mut plane, &client, pods, rule).await?;
            println!("round {round}: {name:12} {rate:7.1} pods per second");
            // The first round warms up.
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let mut base = None;
    for ((name, _), rates) in variants.iter().zip(&mut rates) {
        rates.sort_by(f64::total_cmp);
        let median = *rates.get(rates.len() / 2).context("no rounds")?;
        let base = *base.get_or_insert(median);
        let (low, high) = (rates.first().context("no rounds")?, rates.last().context("no rounds")?);
        println!(
            "{name:12} {median:7.1} pods per second ({low:.1} to {high:.1}), no rule is {:.2} times as fast",
            base / median
        );
    }
    Ok(())
}

async fn batch(plane: &mut ControlPlane, client: &Client, count: usize, rule: &Value) -> Result<f64> {
    plane.kill(Program::Scheduler)?;
    let made = (0..count).map(|number| {
        let pods = api(client);
        async move {
            let pod = pod(&format!("pod-{number}"), "batch", rule)?;
            pods.create(&PostParams::default(), &pod).await?;
            Ok::<(), anyhow::Error>(())
        }
    });
    futures::stream::iter(made)
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    let watched = watcher::Config::default().labels("app=batch");
    let mut changes = std::pin::pin!(watcher(api(client), watched).default_backoff().applied_objects());
    tokio::task::block_in_place(|| plane.run(Program::Scheduler))?;
    let (mut bound, mut first) = (BTreeSet::new(), None);
    while bound.len() < count {
        let pod = changes.next().await.context("the watch ended")??;
        if pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) && bound.insert(pod.name_any()) {
            first.get_or_insert_with(Instant::now);
        }
    }
    let took = first.context("nothing was bound")?.elapsed();
    let at_once = DeleteParams::default().grace_period(0);
    let batch = ListParams::default().labels("app=batch");
    api(client).delete_collection(&at_once, &batch).await?;
    while !api(client).list_metadata(&batch).await?.items.is_empty() {
        tokio::task::yield_now().await;
    }
    Ok((count - 1) as f64 / took.as_secs_f64())
}

fn steady() -> Value {
    json!({"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": {
        "labelSelector": {"matchLabels": {"app": "hub"}}, "topologyKey": "kubernetes.io/hostname"}}]}})
}

/// The nodes of the hubs, spread over them by the cell's label.
fn cell() -> Value {
    json!({
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": {
            "matchExpressions": [{"key": CELL, "operator": "Exists"}]}}]}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": CELL, "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": "batch"}}}],
    })
}

fn step() -> Value {
    let names: Vec<String> = (500..532).map(|number| format!("node-{number}")).collect();
    let one = |values: &[String]| json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": values}]);
    json!({"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": one(&names)}]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": {"matchExpressions": one(&names[..1])}}],
    }})
}

fn api(client: &Client) -> Api<Pod> {
    Api::namespaced(client.clone(), "bench")
}

fn pod(name: &str, app: &str, rule: &Value) -> Result<Pod> {
    let mut spec = rule.clone();
    spec["terminationGracePeriodSeconds"] = json!(0);
    spec["containers"] =
        json!([{"name": "app", "image": "none", "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}]);
    Ok(serde_json::from_value(
        json!({"metadata": {"name": name, "labels": {"app": app}}, "spec": spec}),
    )?)
}

async fn node(client: &Client, number: usize) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let name = format!("node-{number}");
    let mut labels =
        json!({"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("zone-{}", number % 3)});
    if number.is_multiple_of(NODES / HUBS) {
        labels[CELL] = json!((number / (NODES / HUBS)).to_string());
    }
    let object: Node = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}}))?;
    nodes.create(&PostParams::default(), &object).await?;
    let room = json!({"cpu": "16", "memory": "64Gi", "pods": "500"});
    let ready = json!([{"type": "Ready", "status": "True", "reason": "Bench", "message": ""}]);
    let status = json!({"status": {"capacity": room, "allocatable": room, "conditions": ready}});
    nodes
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
        .await?;
    let untaint = json!({"spec": {"taints": null}});
    nodes
        .patch(&name, &PatchParams::default(), &Patch::Merge(untaint))
        .await?;
    Ok(())
}

async fn namespace(client: &Client, name: &str) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let object = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    namespaces.create(&PostParams::default(), &object).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), name);
    await_condition(accounts, "default", |account: Option<&ServiceAccount>| {
        account.is_some()
    })
    .await?;
    Ok(())
}
