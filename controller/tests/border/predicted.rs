//! A plan of several workloads at once, made by the planner and carried out by the real scheduler over a thousand nodes: what the plan
//! says is what happens, pod by pod.

use super::cluster::{apply, wide};
use super::faults::Fault;
use super::scene::{Scene, node_of, wait};
use super::world::{World, planned};
use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use huddle::act::Evidence;
use huddle::watch::{Skipped, Store, streams};
use huddle_api as api;
use huddle_core::cluster::ClusterView;
use huddle_core::id::WorkloadId;
use huddle_core::plan::{Action, Plan};
use huddle_core::time::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// Some thirty moves, one after the other.
const PATIENCE: Duration = Duration::from_secs(300);
/// Of the pods that a plan moves, so many come to where it says (issue 4, section 4).
const LAND: f64 = 0.95;

/// Where the callers stand: four nodes each, by label.
const FRONTS: [(&str, [usize; 4]); 4] = [
    ("a", [941, 942, 943, 944]),
    ("b", [945, 946, 947, 948]),
    ("c", [949, 950, 951, 952]),
    ("d", [953, 954, 955, 956]),
];
/// Nodes of the last group that only those who tolerate it may enter.
const TAINTED: [usize; 2] = [951, 952];

/// Name, replicas, cpu in millicores, and what else its pods' spec says.
type Deployed = (&'static str, usize, u64, Value);

fn on_front(front: &str) -> Value {
    json!({"nodeSelector": {"front": front}, "tolerations": [{"key": "dedicated", "operator": "Exists"}]})
}

fn spread(app: &str, key: &str) -> Value {
    json!({"topologySpreadConstraints": [{
        "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": app}}}]})
}

/// Group a: hard spread, over nodes and over zones. Group b: room for one callee pod on each node, and eight that would like to be
/// there. Group c: half of the nodes tainted, which one of the two callees tolerates.
/// Group d: a chain.
fn workloads() -> Vec<Deployed> {
    vec![
        ("front-a", 4, 500, on_front("a")),
        ("front-b", 4, 500, on_front("b")),
        ("front-c", 4, 500, on_front("c")),
        ("front-d", 4, 500, on_front("d")),
        ("witness", 4, 100, on_front("a")),
        ("a-nodes", 4, 300, spread("a-nodes", "kubernetes.io/hostname")),
        ("a-zones", 2, 300, spread("a-zones", "topology.kubernetes.io/zone")),
        ("b-first", 4, 400, json!({})),
        ("b-second", 4, 400, json!({})),
        (
            "c-tolerant",
            4,
            200,
            json!({"tolerations": [{"key": "dedicated", "operator": "Exists"}]}),
        ),
        ("c-shy", 4, 200, json!({})),
        ("d-first", 4, 200, json!({})),
        ("d-second", 4, 200, json!({})),
    ]
}

/// Calls per second. The witness stands where its callers stand: what it shows near and far, the others borrow.
const CALLS: [(&str, &str, f64); 9] = [
    ("front-a", "witness", 40.0),
    ("front-a", "a-nodes", 60.0),
    ("front-a", "a-zones", 30.0),
    ("front-b", "b-first", 80.0),
    ("front-b", "b-second", 40.0),
    ("front-c", "c-tolerant", 60.0),
    ("front-c", "c-shy", 50.0),
    ("front-d", "d-first", 60.0),
    ("d-first", "d-second", 60.0),
];

async fn prepare_nodes(scene: &Scene) -> Result<()> {
    let nodes: Api<Node> = Api::all(scene.admin.clone());
    let merge = |value: Value| Patch::Merge(value);
    for (front, numbers) in FRONTS {
        for number in numbers {
            let name = format!("node-{number}");
            let mut body = json!({"metadata": {"labels": {"front": front}}});
            if TAINTED.contains(&number) {
                body["spec"] = json!({"taints": [{"key": "dedicated", "value": "c", "effect": "NoSchedule"}]});
            }
            nodes.patch(&name, &PatchParams::default(), &merge(body)).await?;
            if front == "b" {
                // The caller's 500m, one callee's 400m, and 50m that nobody can use.
                let room = json!({"status": {"allocatable": {"cpu": "950m"}, "capacity": {"cpu": "950m"}}});
                nodes.patch_status(&name, &PatchParams::default(), &merge(room)).await?;
            }
        }
    }
    Ok(())
}

async fn deploy(scene: &Scene, (name, replicas, cpu, spec): &Deployed) -> Result<()> {
    let mut spec = spec.clone();
    spec["containers"] = json!([{"name": "app", "image": "x", "resources": {"requests": {"cpu": format!("{cpu}m")}}}]);
    let labels = json!({"app": name});
    let metadata = json!({"name": name, "namespace": scene.namespace});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {
        "replicas": replicas, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": spec}}});
    apply(&scene.admin, deployment).await?;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {"selector": labels, "ports": [{"port": 80}]}});
    apply(&scene.admin, service).await
}

/// The cluster as Huddle's own watches see it, once all pods are ready.
async fn view(scene: &Scene) -> Result<ClusterView> {
    let mut updates = streams(&scene.admin, &Skipped::default()).await;
    let mut store = Store::default();
    let wanted: usize = workloads().iter().map(|(_, replicas, ..)| replicas).sum();
    let whole = async {
        loop {
            let view = store.assemble();
            let own = |pod: &&huddle_core::cluster::Pod| {
                pod.workload.namespace.as_str() == scene.namespace && pod.ready && pod.node.is_some()
            };
            let named = |name: &str| {
                view.workloads
                    .contains_key(&WorkloadId::deployment(&scene.namespace, name))
            };
            let ready = view
                .pods
                .values()
                .filter(own)
                .filter(|pod| !pod.workload.name.starts_with("call"))
                .count();
            if store.waiting_for().is_empty() && ready == wanted && workloads().iter().all(|(name, ..)| named(name)) {
                return Ok(view);
            }
            match updates.next().await {
                Some(update) => store.apply(update),
                None => bail!("the watches ended"),
            };
        }
    };
    timeout(PATIENCE, whole).await.context("the view of all pods")?
}

/// What the proxies would report of that cluster, and the planner's plan.
fn plan_for(scene: &Scene, cluster: ClusterView, now: Timestamp) -> Plan {
    let id = |name: &str| WorkloadId::deployment(&scene.namespace, name);
    let mut world = World::new(0, 1, 0);
    world.cluster = cluster;
    world.calls = CALLS.map(|(from, to, rate)| (id(from), id(to), rate)).to_vec();
    world.now = now;
    let snapshot = world.measure(120);
    planned(&world, &snapshot)
}

/// Nodes of a workload's pods, with how many on each.
type Seats = BTreeMap<String, usize>;

async fn seats(scene: &Scene, app: &str, replicas: usize) -> Result<Seats> {
    let mut seats = Seats::new();
    for pod in scene.whole(app, replicas).await? {
        *seats.entry(node_of(&pod).to_owned()).or_default() += 1;
    }
    Ok(seats)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_plan_says_is_what_the_scheduler_does() -> Result<()> {
    let scene = Scene::on(wide().await, "predicted").await?;
    apply(
        &scene.admin,
        json!({"apiVersion": "huddle.dev/v1alpha1", "kind": "Policy",
            "metadata": {"name": "huddle", "namespace": scene.namespace}, "spec": {"maxMoves": 60}}),
    )
    .await?;
    prepare_nodes(&scene).await?;
    for deployed in workloads() {
        deploy(&scene, &deployed).await?;
        // One after the other, so that the fronts have their nodes before others come.
        scene.whole(deployed.0, deployed.1).await?;
    }
    let cluster = wait("the policy is seen", async || {
        let view = view(&scene).await?;
        let moves = view.policy(&scene.namespace.as_str().into()).max_moves;
        ensure!(moves == 60, "{moves} moves");
        Ok(view)
    })
    .await?;
    let plan = plan_for(&scene, cluster, scene.says.now());
    let mut before: BTreeMap<&str, Seats> = BTreeMap::new();
    for (name, replicas, ..) in &workloads() {
        before.insert(name, seats(&scene, name, *replicas).await?);
    }
    let mut wanted = before.clone();
    let mut moves = 0;
    for action in &plan.actions {
        if let Action::Move { workload, from, to, .. } = action {
            let seats = wanted.get_mut(workload.name.as_str()).context("one of ours")?;
            *seats.entry(from.to_string()).or_default() -= 1;
            *seats.entry(to.to_string()).or_default() += 1;
            moves += 1;
        }
    }
    ensure!(moves >= 16, "{moves} moves tell little: {plan:#?}");
    let id = scene.approved(&plan).await?;
    let ended = [api::PlanPhase::Proved, api::PlanPhase::RolledBack];
    scene.live_within(PATIENCE, &id, Fault::None, &ended).await?;
    let (mut landed, mut report) = (0, String::new());
    for (name, replicas, ..) in &workloads() {
        let (now, was) = (seats(&scene, name, *replicas).await?, &before[name]);
        let at = |seats: &Seats, node: &String| seats.get(node).copied().unwrap_or(0);
        let gains = wanted[name].iter().filter(|(node, count)| **count > at(was, node));
        for (node, count) in gains {
            let (due, came) = (count - at(was, node), at(&now, node).saturating_sub(at(was, node)));
            landed += due.min(came);
            report += &format!("{name} on {node}: {due} wanted, {came} came\n");
        }
    }
    println!("{landed} of {moves} pods landed as planned\n{report}");
    ensure!(
        f64::from(landed as u32) >= LAND * f64::from(moves),
        "{landed} of {moves} pods landed as planned\n{report}{}",
        scene.story(&id).await?
    );
    Ok(())
}
