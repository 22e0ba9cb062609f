//! Cells: nodes labelled, a rule that prefers them, and all of it back, object by object; and what the right to label nodes is not.

use super::cluster::{NODES, apply, apply_file, shared};
use super::faults::Fault;
use super::scene::{Life, Scene, after_every_write, node_of, wait};
use super::withdrawn::{fade, withdrawal};
use anyhow::{Context, Result, ensure};
use huddle_api as api;
use huddle_api::PlanPhase;
use huddle_core::cluster::SteadyRule;
use huddle_core::id::{NodeName, WorkloadId};
use huddle_core::plan::{Action, CellWeight, Plan, Seat};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const ENDS: [PlanPhase; 2] = [PlanPhase::Proved, PlanPhase::RolledBack];

/// The right to label nodes, as `huddle install --allow act,cells` gives it.
pub(super) async fn allow(scene: &Scene) -> Result<()> {
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/admission/rbac-cells.yaml");
    apply_file(&scene.admin, &role, &[]).await?;
    let body = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": scene.namespace, "labels": {"huddle.dev/act": "allowed", "huddle.dev/cells": "allowed"}}});
    apply(&scene.admin, body).await
}

/// The callees on node-2 and node-3 alone: a cell, one pod moved to node-2, the route. Their template would rather not have node-1.
async fn plan(scene: &Scene) -> Result<Plan> {
    let mut plan = scene.plan_to("node-2").await?;
    let seats = [("node-2", 100.0), ("node-3", 60.0)].map(|(node, weight)| Seat {
        node: NodeName::from(node),
        weight: CellWeight::clamped(weight),
    });
    let cell = Action::Cell {
        workload: WorkloadId::deployment(&scene.namespace, "callee"),
        with: WorkloadId::deployment(&scene.namespace, "caller"),
        seats: seats.to_vec(),
    };
    plan.actions.retain(|action| !matches!(action, Action::Place { .. }));
    plan.actions.insert(0, cell);
    Ok(plan)
}

/// What the nodes say of themselves: labels, spec, and which fields this scene's cells own. Other tests label the same nodes.
async fn nodes(scene: &Scene) -> Result<BTreeMap<String, Value>> {
    let nodes: Api<Node> = Api::all(scene.admin.clone());
    let mut all = BTreeMap::new();
    for name in NODES {
        let node = nodes.get(name).await?;
        let mut managers: Vec<&str> = node
            .managed_fields()
            .iter()
            .filter_map(|entry| entry.manager.as_deref())
            .collect();
        managers.retain(|manager| manager.contains(&scene.namespace));
        let own = |key: &String| !key.starts_with(api::LABEL_CELL) || key.contains(&scene.namespace);
        let labels: BTreeMap<&String, &String> = node.labels().iter().filter(|(key, _)| own(key)).collect();
        all.insert(
            name.to_owned(),
            json!({"labels": labels, "managers": managers, "spec": node.spec}),
        );
    }
    Ok(all)
}

/// The nodes that carry the plan's label, with its values.
async fn labelled(scene: &Scene, plan: &str) -> Result<BTreeMap<String, String>> {
    let key = format!("{}{plan}-0", api::LABEL_CELL);
    let nodes: Api<Node> = Api::all(scene.admin.clone());
    let found = nodes.list(&ListParams::default().labels(&key)).await?;
    let value = |node: &Node| node.labels().get(&key).cloned().unwrap_or_default();
    Ok(found.items.iter().map(|node| (node.name_any(), value(node))).collect())
}

async fn is_done(scene: &Scene, plan: &str) -> Result<()> {
    let pods = scene.nothing_stuck(3).await?;
    ensure!(pods.iter().any(|pod| node_of(pod) == "node-2"), "no pod is on node-2");
    let status = scene.plans().get(plan).await?.status.unwrap_or_default();
    let done = status.steps.iter().all(|step| step.state == api::StepPhase::Done);
    ensure!(done, "steps were left out");
    let rules = scene.rules().await?;
    let [rule] = rules.as_slice() else {
        anyhow::bail!("{} rules", rules.len());
    };
    ensure!(rule.spec.form == api::RuleForm::Steady, "{rule:?}");
    let text = serde_json::to_string(&rule.spec)?;
    ensure!(
        !text.contains("hostname") && !text.contains("node-2"),
        "a steady rule names no host: {text}"
    );
    ensure!(rule.spec.preferred_pod_affinity.is_empty(), "{text}");
    let wanted = BTreeMap::from([("node-2", "0"), ("node-3", "1")]);
    let found = labelled(scene, plan).await?;
    let found: BTreeMap<&str, &str> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    ensure!(found == wanted, "{found:?}");
    Ok(())
}

async fn is_undone(scene: &Scene, plan: &str) -> Result<()> {
    scene.nothing_stuck(3).await?;
    ensure!(scene.rules().await?.is_empty(), "rules stand");
    let left = labelled(scene, plan).await?;
    ensure!(left.is_empty(), "labels are left: {left:?}");
    Ok(())
}

#[tokio::test]
async fn a_cell_is_made_and_rolled_back_object_by_object() -> Result<()> {
    let scene = Scene::set("celled").await?;
    allow(&scene).await?;
    let before = nodes(&scene).await?;
    let plan = scene.approved(&plan(&scene).await?).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    let story = scene.story(&plan).await?;
    ensure!(scene.phase(&plan).await? == PlanPhase::Proved, "{story}");
    is_done(&scene, plan.as_str()).await.with_context(|| story)?;
    // Pods created from now on come to the two nodes, spread over them: the heavier one gets more.
    for pod in scene.pods("callee").await? {
        scene.delete_pod(&pod.name_any()).await?;
        scene.whole("callee", 3).await?;
    }
    let at: Vec<String> = scene
        .whole("callee", 3)
        .await?
        .iter()
        .map(|pod| node_of(pod).to_owned())
        .collect();
    ensure!(at.iter().all(|node| node == "node-2" || node == "node-3"), "{at:?}");
    ensure!(
        at.iter().any(|node| node == "node-2") && at.iter().any(|node| node == "node-3"),
        "{at:?}"
    );

    scene.ask_back(&plan).await?;
    scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    is_undone(&scene, plan.as_str()).await?;
    let after = nodes(&scene).await?;
    ensure!(after == before, "nodes are not what they were: {before:#?} {after:#?}");
    scene.remove().await
}

/// Kills the controller after its write `n` on the way to the proof, starts it again, then the same on the way back.
async fn killed_after(n: u64) -> Result<bool> {
    let scene = Scene::set(&format!("cell-killed-{n}")).await?;
    allow(&scene).await?;
    let id = scene.approved(&plan(&scene).await?).await?;
    let forth = scene.live(&id, Fault::Dies(n), &ENDS).await?;
    if matches!(forth, Life::Died) {
        scene.live(&id, Fault::None, &ENDS).await?;
    }
    let story = scene.story(&id).await?;
    ensure!(scene.phase(&id).await? == PlanPhase::Proved, "{story}");
    is_done(&scene, id.as_str()).await.with_context(|| story)?;
    scene.ask_back(&id).await?;
    let back = scene.live(&id, Fault::Dies(n), &[PlanPhase::RolledBack]).await?;
    if matches!(back, Life::Died) {
        scene.live(&id, Fault::None, &[PlanPhase::RolledBack]).await?;
    }
    is_undone(&scene, id.as_str())
        .await
        .with_context(|| format!("undone after write {n}"))?;
    scene.remove().await?;
    Ok(matches!(forth, Life::Died))
}

#[tokio::test]
async fn a_cell_killed_after_any_write_ends_done_and_comes_back() -> Result<()> {
    after_every_write(200, killed_after).await
}

#[tokio::test]
async fn a_rule_deleted_by_hand_takes_the_labels_along_and_changed_labels_stay() -> Result<()> {
    let scene = Scene::set("cell-by-hand").await?;
    allow(&scene).await?;
    let plan = scene.approved(&plan(&scene).await?).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    is_done(&scene, plan.as_str()).await?;
    let key = format!("{}{plan}-0", api::LABEL_CELL);
    let all: Api<Node> = Api::all(scene.admin.clone());
    let theirs = json!({"metadata": {"labels": {key.clone(): "theirs"}}});
    all.patch("node-3", &PatchParams::default(), &Patch::Merge(theirs))
        .await?;
    let rules: Api<api::Rule> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    rules.delete(&format!("{plan}-0"), &DeleteParams::default()).await?;
    let looks = wait("the labels go", async || {
        let left = labelled(&scene, plan.as_str()).await?;
        ensure!(
            left == BTreeMap::from([("node-3".to_owned(), "theirs".to_owned())]),
            "{left:?}"
        );
        Ok(())
    });
    tokio::select! {
        result = looks => result?,
        result = scene.rounds(&plan) => result?,
    }
    ensure!(
        scene.phase(&plan).await? == PlanPhase::Proved,
        "the rest of the plan stays"
    );
    let none = json!({"metadata": {"labels": {key: null}}});
    all.patch("node-3", &PatchParams::default(), &Patch::Merge(none))
        .await?;
    scene.remove().await
}

/// The rule of a cell, withdrawn by a later plan as one of no use: its labels go, and come back when that plan is rolled back.
#[tokio::test]
async fn a_withdrawn_cell_comes_back_with_its_labels() -> Result<()> {
    let scene = Scene::set("cell-faded").await?;
    allow(&scene).await?;
    let mut celling = plan(&scene).await?;
    celling.actions.truncate(1);
    let plan = scene.approved_as("cell-cell-faded", &celling).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    let before = labelled(&scene, plan.as_str()).await?;
    ensure!(before.len() == 2, "{}", scene.story(&plan).await?);
    let rule = scene.rules().await?.pop().context("a rule")?;
    let faded = SteadyRule {
        name: rule.name_any(),
        uid: rule.uid().context("a uid")?,
        plan: plan.as_str().to_owned(),
        workload: WorkloadId::deployment(&scene.namespace, "callee"),
        beside: Some(WorkloadId::deployment(&scene.namespace, "caller")),
        outranks: BTreeSet::new(),
        fade: None,
    };
    huddle::act::note_fade(&scene.controller().await?, &faded, Some(&fade())).await?;
    let withdrawing = scene.approved(&withdrawal(&faded)).await?;
    scene.live(&withdrawing, Fault::None, &ENDS).await?;
    ensure!(scene.rules().await?.is_empty(), "{}", scene.story(&withdrawing).await?);
    let come_to = async |wanted: &BTreeMap<String, String>| {
        let looks = wait("the labels follow the rule", async || {
            let found = labelled(&scene, plan.as_str()).await?;
            ensure!(found == *wanted, "{found:?}");
            Ok(())
        });
        tokio::select! {
            result = looks => result,
            result = scene.rounds(&plan) => result,
        }
    };
    come_to(&BTreeMap::new()).await?;
    scene.ask_back(&withdrawing).await?;
    scene.live(&withdrawing, Fault::None, &[PlanPhase::RolledBack]).await?;
    ensure!(scene.rules().await?.len() == 1, "{}", scene.story(&withdrawing).await?);
    come_to(&before).await?;
    scene.ask_back(&plan).await?;
    scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    is_undone(&scene, plan.as_str()).await?;
    scene.remove().await
}

/// Kubectl alone undoes a cell: the inverses, in their order, as the receipt has them.
#[tokio::test]
async fn the_inverses_alone_undo_a_cell() -> Result<()> {
    let scene = Scene::set("cell-inverse").await?;
    allow(&scene).await?;
    let before = nodes(&scene).await?;
    let plan = scene.approved(&plan(&scene).await?).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    let status = scene.plans().get(plan.as_str()).await?.status.context("a status")?;
    let inverses = status.steps.first().context("the cell")?.inverse.clone();
    ensure!(inverses.len() == 3, "{inverses:?}");
    let rules: Api<api::Rule> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    let all: Api<Node> = Api::all(scene.admin.clone());
    for inverse in inverses {
        if let Some(name) = inverse.delete {
            rules.delete(&name.name, &DeleteParams::default()).await?;
        }
        if let (Some(object), Some(manager)) = (inverse.apply, inverse.field_manager) {
            let name = object["metadata"]["name"].as_str().context("a name")?.to_owned();
            all.patch(&name, &PatchParams::apply(&manager).force(), &Patch::Apply(object))
                .await?;
        }
    }
    ensure!(labelled(&scene, plan.as_str()).await?.is_empty(), "labels are left");
    ensure!(nodes(&scene).await? == before, "nodes are not what they were");
    scene.remove().await
}

async fn said(client: &Client, body: Value) -> String {
    let nodes: Api<Node> = Api::all(client.clone());
    let patched = nodes
        .patch("node-3", &PatchParams::default(), &Patch::Merge(body))
        .await;
    patched.map_or_else(|error| error.to_string(), |_| "accepted".to_owned())
}

#[tokio::test]
async fn the_right_to_label_nodes_is_nothing_more() -> Result<()> {
    let scene = Scene::set("cell-forged").await?;
    allow(&scene).await?;
    let controller = Client::try_from(shared().await.controller_config().await)?;
    let label = |key: &str, value: Value| json!({"metadata": {"labels": {key: value}}});
    // Policies and roles are in force a moment after they were written.
    wait("the right is in force", async || {
        let answer = said(&controller, label("huddle.dev/cell-forged-0", json!("0"))).await;
        ensure!(answer == "accepted", "{answer}");
        Ok(())
    })
    .await?;
    for forged in [
        label("kubernetes.io/hostname", json!("node-1")),
        label("topology.kubernetes.io/zone", Value::Null),
        label("huddle.dev/act", json!("allowed")),
        label("huddle.dev/cell", json!("x")),
        json!({"metadata": {"annotations": {"huddle.dev/cell-x": "y"}}}),
        json!({"metadata": {"finalizers": ["huddle.dev/cell-x"]}}),
        json!({"spec": {"unschedulable": true}}),
        json!({"spec": {"taints": [{"key": "huddle.dev/cell-x", "effect": "NoExecute"}]}}),
        json!({"metadata": {"labels": {"huddle.dev/cell-forged-0": "1"}}, "spec": {"unschedulable": true}}),
    ] {
        let answer = said(&controller, forged.clone()).await;
        ensure!(
            answer.contains("Huddle's controller changes labels of nodes"),
            "{forged}: {answer}"
        );
    }
    let nodes: Api<Node> = Api::all(controller.clone());
    let deleted = nodes.delete("node-3", &DeleteParams::default()).await;
    ensure!(deleted.is_err(), "the controller deletes nodes");
    let status = json!({"status": {"allocatable": {"cpu": "1"}}});
    let status = nodes
        .patch_status("node-3", &PatchParams::default(), &Patch::Merge(status))
        .await;
    ensure!(status.is_err(), "the controller writes node status");
    let answer = said(&controller, label("huddle.dev/cell-forged-0", Value::Null)).await;
    ensure!(answer == "accepted", "{answer}");
    scene.remove().await
}
