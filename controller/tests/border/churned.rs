//! Full churn over a thousand nodes under steady rules alone: where pods come that were all created anew, with a cell and without.

use super::cells::allow;
use super::cluster::{apply, wide};
use super::faults::Fault;
use super::scene::{Scene, node_of};
use anyhow::{Context, Result, ensure};
use huddle_api as api;
use huddle_core::id::{NodeName, PodUid, WorkloadId};
use huddle_core::plan::{Action, CellWeight, PlaceForm, Plan, Seat};
use huddle_core::time::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(300);
/// Callers, callees, and nodes of the cell.
const MANY: usize = 8;
/// Of so many pods created anew under a cell's rule, this part comes to its nodes. Not all: the scheduler scores 42 % of the nodes, and
/// hears of the cell where one of its nodes is among them.
const KEPT: f64 = 0.85;

async fn deploy(scene: &Scene, name: &str) -> Result<()> {
    let labels = json!({"app": name});
    apply(
        &scene.admin,
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": scene.namespace},
            "spec": {"replicas": MANY, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": "x", "resources": {"requests": {"cpu": "100m"}}}]}}}}),
    )
    .await
}

async fn scale(scene: &Scene, name: &str, replicas: usize) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    deployments.patch_scale(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn nodes(scene: &Scene, app: &str) -> Result<BTreeSet<String>> {
    let pods = scene.whole(app, MANY).await?;
    Ok(pods.iter().map(|pod| node_of(pod).to_owned()).collect())
}

/// Callees beside their callers, and what is to keep them there.
async fn plan(scene: &Scene, cells: bool) -> Result<Plan> {
    let id = |name: &str| WorkloadId::deployment(&scene.namespace, name);
    let (front, back) = (id("front"), id("back"));
    let wanted = nodes(scene, "front").await?;
    let seats: Vec<Seat> = wanted
        .iter()
        .map(|node| Seat {
            node: NodeName::new(node),
            weight: CellWeight::MOST,
        })
        .collect();
    let cell = |workload: &WorkloadId, with: &WorkloadId| Action::Cell {
        workload: workload.clone(),
        with: with.clone(),
        seats: seats.clone(),
    };
    let mut actions = Vec::new();
    if cells {
        actions.extend([cell(&front, &back), cell(&back, &front)]);
    }
    for (pod, to) in scene.whole("back", MANY).await?.iter().zip(&wanted) {
        actions.push(Action::Move {
            workload: back.clone(),
            pod: PodUid::new(pod.uid().context("a uid")?),
            pod_name: pod.name_any(),
            from: NodeName::from(node_of(pod)),
            to: NodeName::new(to),
        });
    }
    if !cells {
        actions.push(Action::Place {
            workload: back,
            with: front,
            form: PlaceForm::Admission,
        });
    }
    Ok(Plan {
        at: Timestamp(1),
        actions,
        expected: Vec::new(),
        relief: Vec::new(),
        given_back: Vec::new(),
        merging: Vec::new(),
        spread: Vec::new(),
        refusals: Vec::new(),
        pods_restarted: MANY as u64,
        because: Vec::new(),
        saved: 1.0,
    })
}

/// How pods are created anew.
#[derive(Clone, Copy, Debug)]
enum Churn {
    /// Workload by workload, as roll-outs do it: the other one stands meanwhile, and the scheduler counts wishes to be near pods both ways.
    ByWorkload,
    /// Both are scaled to nothing and back, as when a namespace is restarted: no pod stands while the new ones find their nodes. Deleting
    /// both at once is not enough: the API server deletes one after the other, and the first ones are back before the last ones are gone.
    AtOnce,
}

/// What is left after every pod was created anew, three times over: pods on a planned node, and callees with a caller on their node.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    planned: usize,
    pods: usize,
    together: usize,
    callees: usize,
}

async fn churn(scene: &Scene, wanted: &BTreeSet<String>, how: Churn) -> Result<Left> {
    let pods: Api<Pod> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    let at_once = DeleteParams::default().grace_period(0);
    let mut left = Left::default();
    for _ in 0..3 {
        match how {
            Churn::ByWorkload => {
                for app in ["back", "front"] {
                    let list = ListParams::default().labels(&format!("app={app}"));
                    pods.delete_collection(&at_once, &list).await?;
                    scene.whole(app, MANY).await?;
                }
            }
            Churn::AtOnce => {
                for replicas in [0, MANY] {
                    for app in ["back", "front"] {
                        scale(scene, app, replicas).await?;
                    }
                    for app in ["back", "front"] {
                        scene.whole(app, replicas).await?;
                    }
                }
            }
        }
        let front = nodes(scene, "front").await?;
        for app in ["back", "front"] {
            for pod in scene.whole(app, MANY).await? {
                left.pods += 1;
                left.planned += usize::from(wanted.contains(node_of(&pod)));
                left.callees += usize::from(app == "back");
                left.together += usize::from(app == "back" && front.contains(node_of(&pod)));
            }
        }
    }
    println!(
        "{}, {how:?}: {} of {} pods created anew came to a planned node; {} of {} callees have a caller on their node",
        scene.namespace, left.planned, left.pods, left.together, left.callees
    );
    Ok(left)
}

async fn kept(name: &str, cells: bool) -> Result<Left> {
    let scene = Scene::on(wide().await, name).await?;
    if cells {
        allow(&scene).await?;
    }
    for app in ["front", "back"] {
        deploy(&scene, app).await?;
        scene.whole(app, MANY).await?;
    }
    let wanted = nodes(&scene, "front").await?;
    ensure!(wanted.len() == MANY, "the callers stand on {} nodes", wanted.len());
    let plan = scene.approved(&plan(&scene, cells).await?).await?;
    let ended = [api::PlanPhase::Proved, api::PlanPhase::RolledBack];
    scene.live_within(PATIENCE, &plan, Fault::None, &ended).await?;
    let story = scene.story(&plan).await?;
    ensure!(
        nodes(&scene, "back").await? == wanted,
        "the callees did not come: {story}"
    );
    churn(&scene, &wanted, Churn::ByWorkload).await?;
    let left = churn(&scene, &wanted, Churn::AtOnce).await?;
    scene.remove().await?;
    Ok(left)
}

#[tokio::test(flavor = "multi_thread")]
async fn cells_keep_pods_on_their_nodes_and_pod_affinity_does_not() -> Result<()> {
    let (with, without) = (kept("churn-cells", true).await?, kept("churn-beside", false).await?);
    let share = |left: Left| left.planned as f64 / left.pods as f64;
    ensure!(share(with) >= KEPT, "{with:?}");
    ensure!(share(without) < KEPT, "{without:?}: then nobody needs cells");
    Ok(())
}
