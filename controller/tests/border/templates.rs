//! Rules written into templates: applied beside what its owner wrote, rolled out, given up without a trace.

use super::cluster::apply_file;
use super::faults::Fault;
use super::scene::{Life, Scene, after_every_write, node_of, wait};
use anyhow::{Context, Result, ensure};
use huddle_api as api;
use huddle_api::PlanPhase;
use huddle_core::id::PlanId;
use huddle_core::plan::{Action, PlaceForm, Plan};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::path::Path;

const ENDS: [PlanPhase; 2] = [PlanPhase::Proved, PlanPhase::RolledBack];

/// Three pods, one on a node at most: those of a new template are counted by themselves.
fn spread(name: &str, affinity: &Value) -> Value {
    let mut manifest = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {
                "containers": [{"name": "app", "image": "x"}],
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": name}},
                    "matchLabelKeys": ["pod-template-hash"]}]}}}});
    // Who applies a null owns it.
    if !affinity.is_null() {
        manifest["spec"]["template"]["spec"]["affinity"] = affinity.clone();
    }
    manifest
}

/// Of two zones, whatever nodes other tests make.
fn on_three() -> Value {
    let nodes = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1", "node-2", "node-3"]}]);
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [{"matchExpressions": nodes}]}}})
}

/// A wish of the owner's that says nothing.
fn anywhere() -> Value {
    let nodes = json!([{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["node-9"]}]);
    json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
        [{"weight": 1, "preference": {"matchExpressions": nodes}}]}})
}

/// A namespace where rules are written into templates: hubs on node-1 to node-3, callees on any three nodes.
async fn scene(name: &str, own: &Value) -> Result<Scene> {
    let scene = Scene::set(name).await?;
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/admission/rbac-act-template.yaml");
    apply_file(&scene.admin, &role, &[("NAMESPACE", name)]).await?;
    for (app, affinity) in [("hub", &on_three()), ("callee", own)] {
        let forced = PatchParams::apply("border").force();
        let body = spread(app, affinity);
        deployments(&scene).patch(app, &forced, &Patch::Apply(&body)).await?;
    }
    scene.whole("hub", 3).await?;
    settled(&scene).await?;
    Ok(scene)
}

fn by_owner() -> PatchParams {
    PatchParams {
        field_manager: Some("owner".to_owned()),
        ..PatchParams::default()
    }
}

fn deployments(scene: &Scene) -> Api<Deployment> {
    Api::namespaced(scene.admin.clone(), &scene.namespace)
}

/// The callees' Deployment once it is rolled out.
async fn settled(scene: &Scene) -> Result<Deployment> {
    wait("the roll-out is through", async || {
        let found = deployments(scene).get("callee").await?;
        let status = found.status.clone().unwrap_or_default();
        let current = status.observed_generation == found.metadata.generation;
        ensure!(
            current
                && status.updated_replicas == Some(3)
                && status.replicas == Some(3)
                && status.ready_replicas == Some(3),
            "{status:?}"
        );
        scene.whole("callee", 3).await?;
        Ok(found)
    })
    .await
}

async fn plan(scene: &Scene) -> Result<Plan> {
    let mut plan = scene.plan().await?;
    plan.actions.retain(|action| matches!(action, Action::Place { .. }));
    for action in &mut plan.actions {
        if let Action::Place { form, with, .. } = action {
            *form = PlaceForm::Template;
            "hub".clone_into(&mut with.name);
        }
    }
    plan.pods_restarted = 3;
    Ok(plan)
}

/// All that its owner and the API server say of a Deployment, without what counts its changes.
pub(crate) fn content(deployment: &Deployment) -> Result<Value> {
    let mut content = serde_json::to_value(deployment)?;
    if let Some(metadata) = content.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        metadata.remove("generation");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("deployment.kubernetes.io/revision");
        }
        if let Some(managers) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) {
            managers.retain(|entry| entry["subresource"].is_null() && entry["manager"] != "kube-controller-manager");
            for entry in managers {
                entry["time"] = json!(null);
            }
        }
    }
    content.as_object_mut().map(|content| content.remove("status"));
    Ok(content)
}

fn wishes(deployment: &Deployment) -> Result<Value> {
    let path = "/spec/template/spec/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution";
    Ok(serde_json::to_value(deployment)?
        .pointer(path)
        .cloned()
        .unwrap_or_default())
}

async fn is_done(scene: &Scene) -> Result<()> {
    let found = settled(scene).await?;
    let near = wishes(&found)?;
    ensure!(
        near.pointer("/0/podAffinityTerm/labelSelector/matchLabels/app") == Some(&json!("hub")),
        "{near:#}"
    );
    let pods = scene.pods("callee").await?;
    let away: Vec<_> = pods
        .iter()
        .map(node_of)
        .filter(|node| !["node-1", "node-2", "node-3"].contains(node))
        .collect();
    ensure!(away.is_empty(), "a pod is away from the hubs");
    ensure!(scene.rules().await?.is_empty(), "a Rule object stands");
    Ok(())
}

async fn is_undone(scene: &Scene, before: &Value) -> Result<()> {
    let after = content(&settled(scene).await?)?;
    ensure!(&after == before, "before {before:#}\nafter {after:#}");
    Ok(())
}

#[tokio::test]
async fn a_template_gets_the_wish_keeps_its_owners_and_loses_it_again() -> Result<()> {
    let own = anywhere();
    let scene = scene("template", &own).await?;
    let before = content(&settled(&scene).await?)?;
    let plan = scene.approved(&plan(&scene).await?).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    let story = scene.story(&plan).await?;
    ensure!(scene.phase(&plan).await? == PlanPhase::Proved, "{story}");
    is_done(&scene).await.with_context(|| story)?;

    // Its owner goes on as ever: the same manifest with another image.
    let mut manifest = spread("callee", &own);
    manifest["spec"]["template"]["spec"]["containers"][0]["image"] = json!("y");
    let forced = PatchParams::apply("border").force();
    deployments(&scene)
        .patch("callee", &forced, &Patch::Apply(&manifest))
        .await?;
    is_done(&scene).await?;
    let mut wanted = before.clone();
    *wanted
        .pointer_mut("/spec/template/spec/containers/0/image")
        .context("an image")? = json!("y");

    scene.ask_back(&plan).await?;
    scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    let after = content(&settled(&scene).await?)?;
    ensure!(after["spec"] == wanted["spec"], "before {wanted:#}\nafter {after:#}");
    let ours = after["metadata"]["managedFields"]
        .to_string()
        .contains(api::TEMPLATE_MANAGER);
    ensure!(!ours, "Huddle still owns a part of it: {after:#}");
    scene.remove().await
}

/// The plan ends with its only step left out, and nothing was written.
async fn refused(scene: &Scene, plan: &Plan, reason: &str) -> Result<()> {
    let before = content(&settled(scene).await?)?;
    let plan: PlanId = scene.approved(plan).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    let story = scene.story(&plan).await?;
    ensure!(
        scene.phase(&plan).await? == PlanPhase::RolledBack && story.contains(reason),
        "{story}"
    );
    is_undone(scene, &before).await
}

#[tokio::test]
async fn what_belongs_to_its_owner_is_never_forced() -> Result<()> {
    let scene = scene("template-owned", &json!(null)).await?;
    let term = json!([{"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {"app": "other"}}}}]);
    let own = json!({"spec": {"template": {"spec": {"affinity": {"podAffinity":
        {"preferredDuringSchedulingIgnoredDuringExecution": term}}}}}});
    deployments(&scene)
        .patch("callee", &by_owner(), &Patch::Merge(own))
        .await?;
    refused(&scene, &plan(&scene).await?, "fieldOwned").await?;
    let story = scene.story(&PlanId::new("plan-template-owned")).await?;
    ensure!(story.contains("\\\"owner\\\""), "the owner is named: {story}");
    scene.remove().await
}

#[tokio::test]
async fn a_strategy_that_takes_pods_away_is_refused() -> Result<()> {
    let scene = scene("template-strategy", &json!(null)).await?;
    let strategy = json!({"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": 1}}}});
    deployments(&scene)
        .patch("callee", &by_owner(), &Patch::Merge(strategy))
        .await?;
    refused(&scene, &plan(&scene).await?, "strategy").await?;
    scene.remove().await
}

#[tokio::test]
async fn without_huddle_the_inverse_in_the_plan_undoes_it() -> Result<()> {
    let scene = scene("template-alone", &json!(null)).await?;
    let before = content(&settled(&scene).await?)?;
    let plan = scene.approved(&plan(&scene).await?).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    is_done(&scene).await?;
    let status = scene.plans().get(plan.as_str()).await?.status.context("a status")?;
    let inverse = status
        .steps
        .first()
        .and_then(|step| step.inverse.first())
        .context("an inverse")?;
    let object: DynamicObject = serde_json::from_value(inverse.apply.clone().context("an object")?)?;
    let manager = inverse.field_manager.clone().context("a field manager")?;
    deployments(&scene)
        .patch(
            &object.name_any(),
            &PatchParams::apply(&manager).force(),
            &Patch::Apply(&object),
        )
        .await?;
    is_undone(&scene, &before).await?;
    scene.remove().await
}

#[tokio::test]
async fn the_controller_writes_nothing_else_into_templates() -> Result<()> {
    let scene = scene("template-restraint", &json!(null)).await?;
    let controller: Client = scene.controller().await?;
    let theirs: Api<Deployment> = Api::namespaced(controller, &scene.namespace);
    let evil = [
        json!({"spec": {"replicas": 9}}),
        json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "evil"}]}}}}),
        json!({"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}}),
        json!({"spec": {"template": {"spec": {"serviceAccountName": "evil"}}}}),
        json!({"spec": {"template": {"metadata": {"labels": {"evil": "true"}}}}}),
    ];
    for body in evil {
        let written = theirs
            .patch("callee", &PatchParams::default(), &Patch::Merge(&body))
            .await;
        ensure!(written.is_err(), "accepted: {body}");
    }
    scene.remove().await
}

/// Kills the controller after its write `n`, forth and back. Whether there was such a write.
async fn killed_after(n: u64) -> Result<bool> {
    let scene = scene(&format!("template-{n}"), &json!(null)).await?;
    let before = content(&settled(&scene).await?)?;
    let plan = scene.approved(&plan(&scene).await?).await?;
    let forth = scene.live(&plan, Fault::Dies(n), &ENDS).await?;
    let died = matches!(forth, Life::Died);
    if died {
        scene.live(&plan, Fault::None, &ENDS).await?;
    }
    let story = scene.story(&plan).await?;
    ensure!(scene.phase(&plan).await? == PlanPhase::Proved, "{story}");
    is_done(&scene).await.with_context(|| story)?;
    scene.ask_back(&plan).await?;
    let back = [PlanPhase::RolledBack];
    if matches!(scene.live(&plan, Fault::Dies(n), &back).await?, Life::Died) {
        scene.live(&plan, Fault::None, &back).await?;
    }
    is_undone(&scene, &before).await?;
    scene.remove().await?;
    Ok(died)
}

#[tokio::test]
async fn killed_after_any_write_a_template_ends_done_and_comes_back() -> Result<()> {
    after_every_write(100, killed_after).await
}
