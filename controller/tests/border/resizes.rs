//! In-place resizes and rules of sizes: done pod by pod, for the pods to come too, and undone figure by figure.

use super::admission::{dry_run, pod};
use super::cluster::{apply, shared};
use super::faults::Fault;
use super::kubelets::{Resize, resize_as};
use super::scene::{Life, Scene, after_every_write, wait};
use anyhow::{Context, Result, ensure};
use huddle_api as api;
use huddle_api::PlanPhase;
use huddle_core::id::PlanId;
use huddle_core::plan::Action;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ENDS: [PlanPhase; 2] = [PlanPhase::Proved, PlanPhase::RolledBack];

async fn starved(name: &str) -> Result<Scene> {
    let scene = Scene::set(name).await?;
    scene.starve("200m").await?;
    Ok(scene)
}

/// A container's figures in a pod's spec, or as its kubelet has them.
fn figures(pod: &Pod, container: &str, by_kubelet: bool) -> Value {
    let pod = serde_json::to_value(pod).unwrap_or_default();
    let lists = if by_kubelet {
        ["/status/containerStatuses", "/status/initContainerStatuses"]
    } else {
        ["/spec/containers", "/spec/initContainers"]
    };
    let mut all = lists.iter().filter_map(|list| pod.pointer(list)?.as_array()).flatten();
    let found = all.find(|it| it["name"] == container);
    found.map(|it| it["resources"].clone()).unwrap_or_default()
}

fn limit(pod: &Pod, container: &str) -> String {
    figures(pod, container, false)["limits"]["cpu"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// What the pods ask for and have, by their uid, and how often their containers were restarted.
async fn everything(scene: &Scene) -> Result<BTreeMap<String, Value>> {
    let pods = scene.pods("starved").await?;
    let all = |pod: &Pod| {
        let of = |container: &str| [figures(pod, container, false), figures(pod, container, true)];
        json!([of("app"), of("proxy")])
    };
    Ok(pods
        .iter()
        .map(|pod| (pod.uid().unwrap_or_default(), all(pod)))
        .collect())
}

async fn template(scene: &Scene) -> Result<Value> {
    let deployments: Api<Deployment> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    Ok(serde_json::to_value(deployments.get("starved").await?.spec)?)
}

async fn are_sized(scene: &Scene, container: &str, cpu: &str) -> Result<()> {
    for pod in scene.whole("starved", 3).await? {
        ensure!(
            limit(&pod, container) == cpu,
            "{} asks for {}",
            pod.name_any(),
            limit(&pod, container)
        );
        let has = figures(&pod, container, true);
        ensure!(has["limits"]["cpu"] == cpu, "{} has {has}", pod.name_any());
    }
    Ok(())
}

async fn proved(scene: &Scene, plan: &PlanId) -> Result<()> {
    let story = scene.story(plan).await?;
    ensure!(scene.phase(plan).await? == PlanPhase::Proved, "{story}");
    Ok(())
}

/// A pod as the starved ReplicaSet would create it now, with these changes.
async fn next_pod(client: &Client, namespace: &str, change: &Value) -> Result<Pod> {
    let mut like = json!({
        "metadata": {"labels": {"app": "starved", "huddle.dev/trial": null}},
        "spec": {"containers": [{"name": "app", "image": "x", "resources": {
            "requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"}}}]},
    });
    json_patch::merge(&mut like, change);
    Ok(dry_run(client, namespace, &pod(&like)).await?)
}

/// The same once the API server's admission has heard of the last change.
async fn comes_with(client: &Client, namespace: &str, cpu: &str) -> Result<()> {
    wait("new pods come with the figures", async || {
        let made = next_pod(client, namespace, &json!({})).await?;
        ensure!(
            limit(&made, "app") == cpu,
            "a new pod comes with {}",
            limit(&made, "app")
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn starved_pods_get_more_in_place_pods_to_come_too_and_all_comes_back() -> Result<()> {
    let scene = starved("resized").await?;
    let controller = scene.controller().await?;
    let (before, owned) = (everything(&scene).await?, template(&scene).await?);
    let plan = scene.approved(&scene.relief("app", 800).await?).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    proved(&scene, &plan).await?;
    are_sized(&scene, "app", "800m").await?;
    let uids: Vec<String> = everything(&scene).await?.into_keys().collect();
    ensure!(uids.iter().eq(before.keys()), "other pods than before");
    ensure!(
        template(&scene).await? == owned,
        "the template is not what its owner wrote"
    );
    comes_with(&controller, "resized", "800m").await?;

    scene.ask_back(&plan).await?;
    scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    ensure!(everything(&scene).await? == before, "not what it was, figure by figure");
    ensure!(scene.rules().await?.is_empty(), "rules stand");
    comes_with(&controller, "resized", "200m").await?;
    scene.remove().await
}

#[tokio::test]
async fn memory_is_given_in_place_to_pods_to_come_too_and_comes_back() -> Result<()> {
    let scene = starved("remembered").await?;
    let before = everything(&scene).await?;
    let mut planned = scene.relief("app", 200).await?;
    for action in &mut planned.actions {
        match action {
            Action::Size { to, .. } => {
                to.limits = huddle_core::cluster::Compute {
                    cpu: None,
                    memory: Some(huddle_core::units::Bytes(256 << 20)),
                };
            }
            Action::Resize { to, .. } => to.limits.memory = Some(huddle_core::units::Bytes(256 << 20)),
            Action::Place { .. }
            | Action::Move { .. }
            | Action::Route { .. }
            | Action::Withdraw { .. }
            | Action::Cell { .. }
            | Action::Merge { .. } => {}
        }
    }
    let plan = scene.approved(&planned).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    proved(&scene, &plan).await?;
    for pod in scene.whole("starved", 3).await? {
        let has = figures(&pod, "app", true);
        ensure!(has["limits"]["memory"] == "256Mi", "{} has {has}", pod.name_any());
        ensure!(has["limits"]["cpu"] == "200m", "its cpu changed: {has}");
    }
    let uids: Vec<String> = everything(&scene).await?.into_keys().collect();
    ensure!(uids.iter().eq(before.keys()), "other pods than before");
    scene.ask_back(&plan).await?;
    scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    ensure!(everything(&scene).await? == before, "not what it was, figure by figure");
    ensure!(scene.rules().await?.is_empty(), "rules stand");
    scene.remove().await
}

#[tokio::test]
async fn a_roll_out_does_not_lose_it_and_a_sidecar_can_be_sized_as_well() -> Result<()> {
    let scene = starved("kept").await?;
    for (container, cpu) in [("app", 800), ("proxy", 400)] {
        let name = format!("plan-kept-{container}");
        let plan = scene.approved_as(&name, &scene.relief(container, cpu).await?).await?;
        scene.live(&plan, Fault::None, &ENDS).await?;
        proved(&scene, &plan).await?;
    }
    let old = everything(&scene).await?;
    scene.annotate_template("starved", "border/rolled").await?;
    wait("all pods are new", async || {
        let pods = scene.whole("starved", 3).await?;
        let new = pods.iter().all(|pod| !old.contains_key(&pod.uid().unwrap_or_default()));
        ensure!(new, "old pods are left");
        Ok(())
    })
    .await?;
    are_sized(&scene, "app", "800m").await?;
    are_sized(&scene, "proxy", "400m").await?;
    scene.remove().await
}

#[tokio::test]
async fn a_rule_of_sizes_raises_only_and_works_beside_one_of_places() -> Result<()> {
    let scene = starved("beside").await?;
    let controller = scene.controller().await?;
    let plan = scene.approved(&scene.relief("app", 800).await?).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    proved(&scene, &plan).await?;
    comes_with(&controller, "beside", "800m").await?;

    let of =
        |resources: Value| json!({"spec": {"containers": [{"name": "app", "image": "x", "resources": resources}]}});
    let own = [
        (of(json!({"limits": {"cpu": "2", "memory": "128Mi"}})), json!("2")),
        (
            of(json!({"limits": {"cpu": "0.5"}, "requests": {"cpu": "0.1"}})),
            json!("800m"),
        ),
        (of(json!({"requests": {"cpu": "100m"}})), Value::Null),
        (of(json!({})), Value::Null),
        (
            json!({"spec": {"containers": [{"name": "other", "image": "x", "resources": {"limits": {"cpu": "200m"}}}]}}),
            Value::Null,
        ),
    ];
    for (own, cpu) in own {
        let made = next_pod(&controller, "beside", &own).await?;
        ensure!(
            figures(&made, "app", false)["limits"]["cpu"] == cpu,
            "{own}: {:?}",
            made.spec
        );
    }

    // A rule of places for the same workload, newer: both work, and each goes without the other.
    let mut placed = scene.plan().await?;
    placed.actions.truncate(1);
    if let Some(Action::Place { workload, .. }) = placed.actions.first_mut() {
        "starved".clone_into(&mut workload.name);
    }
    let place = scene.approved_as("plan-beside-place", &placed).await?;
    scene.live(&place, Fault::None, &ENDS).await?;
    proved(&scene, &place).await?;
    let near = |pod: &Pod| {
        let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
        affinity.is_some_and(|it| it.pod_affinity.is_some())
    };
    let marks = |pod: &Pod| {
        pod.annotations()
            .get(api::ANNOTATION_RULE)
            .map_or(0, |it| it.split(',').count())
    };
    wait("both rules work", async || {
        let made = next_pod(&controller, "beside", &json!({})).await?;
        ensure!(
            near(&made) && limit(&made, "app") == "800m" && marks(&made) == 2,
            "{made:?}"
        );
        Ok(())
    })
    .await?;
    let rules: Api<api::Rule> = Api::namespaced(scene.admin.clone(), "beside");
    rules.delete(&format!("{plan}-0"), &DeleteParams::default()).await?;
    wait("the rule of places is left", async || {
        let made = next_pod(&controller, "beside", &json!({})).await?;
        ensure!(near(&made) && limit(&made, "app") == "200m", "{made:?}");
        Ok(())
    })
    .await?;
    scene.remove().await
}

#[tokio::test]
async fn a_newer_rule_of_sizes_outranks_an_older_one_until_it_is_gone() -> Result<()> {
    let scene = starved("outsized").await?;
    let controller = scene.controller().await?;
    let first = scene
        .approved_as("plan-outsized-1", &scene.relief("app", 400).await?)
        .await?;
    scene.live(&first, Fault::None, &ENDS).await?;
    proved(&scene, &first).await?;
    let mut more = scene.relief("app", 800).await?;
    for action in &mut more.actions {
        if let Action::Resize { from, .. } = action {
            from.limits.cpu = Some(huddle_core::units::Millicores(400));
        }
    }
    let second = scene.approved_as("plan-outsized-2", &more).await?;
    scene.live(&second, Fault::None, &ENDS).await?;
    proved(&scene, &second).await?;
    ensure!(scene.rules().await?.len() == 2, "the older rule stays for the way back");
    comes_with(&controller, "outsized", "800m").await?;
    for (plan, cpu) in [(&second, "400m"), (&first, "200m")] {
        scene.ask_back(plan).await?;
        scene.live(plan, Fault::None, &[PlanPhase::RolledBack]).await?;
        are_sized(&scene, "app", cpu).await?;
        comes_with(&controller, "outsized", cpu).await?;
    }
    scene.remove().await
}

#[tokio::test]
async fn whatever_a_kubelet_says_all_pods_end_as_they_were() -> Result<()> {
    let stories = [
        (Resize::Defers, "deferred"),
        (Resize::Infeasible, "infeasible"),
        (Resize::Fails, "resizeFailed"),
        (Resize::Restarts, "restarted"),
    ];
    for (how, reason) in stories {
        let scene = starved(&format!("says-{}", reason.to_lowercase())).await?;
        let before = everything(&scene).await?;
        let planned = scene.relief("app", 800).await?;
        // The second pod: the first is resized by then.
        let Some(Action::Resize { pod_name, .. }) = planned.actions.get(2) else {
            anyhow::bail!("a second pod")
        };
        resize_as(&scene.namespace, pod_name, how);
        let plan = scene.approved(&planned).await?;
        scene.live(&plan, Fault::None, &ENDS).await?;
        let story = scene.story(&plan).await?;
        ensure!(
            scene.phase(&plan).await? == PlanPhase::RolledBack && story.contains(reason),
            "{story}"
        );
        ensure!(everything(&scene).await? == before, "not what it was: {story}");
        ensure!(scene.rules().await?.is_empty(), "rules stand");
        scene.remove().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_limit_range_or_a_quota_forbids_is_never_written() -> Result<()> {
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "spec": {"limits": [{"type": "Container", "max": {"cpu": "500m"}}]}});
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"limits.cpu": "1500m"}}});
    // What a person reads is what the API server said: which of the owner's limits it is.
    let said = ["maximum cpu usage per Container is 500m", "exceeded quota: owner"];
    for (index, (mut forbids, said)) in [range, quota].into_iter().zip(said).enumerate() {
        let name = format!("forbidden-{index}");
        let scene = Scene::set(&name).await?;
        // Pods without limits are refused under such a quota; the scene's others are not needed.
        scene.starve("200m").await?;
        forbids["metadata"] = json!({"name": "owner", "namespace": name});
        apply(&scene.admin, forbids).await?;
        let versions = |pods: Vec<Pod>| -> BTreeMap<String, Option<i64>> {
            pods.iter()
                .map(|pod| (pod.name_any(), pod.metadata.generation))
                .collect()
        };
        let before = versions(scene.pods("starved").await?);
        let plan = scene.approved(&scene.relief("app", 800).await?).await?;
        scene.live(&plan, Fault::None, &ENDS).await?;
        let story = scene.story(&plan).await?;
        ensure!(
            scene.phase(&plan).await? == PlanPhase::RolledBack
                && story.contains("resizeRefused")
                && story.contains(said),
            "{story}"
        );
        ensure!(
            versions(scene.pods("starved").await?) == before,
            "a pod was written: {story}"
        );
        ensure!(scene.rules().await?.is_empty(), "rules stand");
        scene.remove().await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_inverse_in_the_receipt_undoes_it_without_huddle() -> Result<()> {
    let scene = starved("by-hand").await?;
    let before = everything(&scene).await?;
    let plan = scene.approved(&scene.relief("app", 800).await?).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    proved(&scene, &plan).await?;
    let status = scene.plans().get(plan.as_str()).await?.status.context("a status")?;
    let pods: Api<Pod> = Api::namespaced(scene.admin.clone(), "by-hand");
    let rules: Api<api::Rule> = Api::namespaced(scene.admin.clone(), "by-hand");
    for inverse in status.steps.iter().rev().flat_map(|step| &step.inverse) {
        if let Some(rule) = &inverse.delete {
            rules.delete(&rule.name, &DeleteParams::default()).await?;
        }
        if let (Some(object), Some(part)) = (&inverse.apply, &inverse.subresource) {
            ensure!(inverse.says.contains("kubectl patch pod"), "{}", inverse.says);
            let object: DynamicObject = serde_json::from_value(object.clone())?;
            pods.patch_subresource(
                part,
                &object.name_any(),
                &PatchParams::default(),
                &Patch::Strategic(&object),
            )
            .await?;
        }
    }
    wait("the kubelets have done it", async || {
        ensure!(everything(&scene).await? == before, "not yet");
        Ok(())
    })
    .await?;
    ensure!(scene.rules().await?.is_empty(), "rules stand");
    scene.remove().await
}

#[tokio::test]
async fn the_controller_resizes_and_changes_nothing_else_of_a_pod() -> Result<()> {
    let scene = starved("figures-only").await?;
    let controller = Client::try_from(shared().await.controller_config().await)?;
    let pods: Api<Pod> = Api::namespaced(controller, "figures-only");
    let name = scene
        .pods("starved")
        .await?
        .first()
        .map(ResourceExt::name_any)
        .context("a pod")?;
    let patch = async |spec: Value| {
        let body = json!({"spec": {"containers": [spec]}});
        let patched = pods
            .patch_subresource("resize", &name, &PatchParams::default(), &Patch::Strategic(body))
            .await;
        patched
            .map(|pod| figures(&pod, "app", false))
            .map_err(|error| error.to_string())
    };
    let policy =
        patch(json!({"name": "app", "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]}))
            .await;
    ensure!(policy.is_err(), "it changed a resizePolicy: {policy:?}");
    let image = patch(json!({"name": "app", "image": "evil"})).await;
    let kept = scene.pods("starved").await?;
    let kept = kept
        .iter()
        .flat_map(|pod| pod.spec.iter().flat_map(|spec| &spec.containers));
    ensure!(
        kept.into_iter().all(|it| it.image.as_deref() == Some("x")),
        "it changed an image: {image:?}"
    );
    let class = patch(json!({"name": "app", "resources": {"requests": {"cpu": "200m", "memory": "128Mi"}}})).await;
    ensure!(class.is_ok(), "the sidecar keeps the pod Burstable: {class:?}");
    scene.remove().await
}

/// Kills the controller after its write `n` on the way forth, and after its write `n` on the way back. Whether there was such a write.
async fn killed_after(n: u64) -> Result<bool> {
    let scene = starved(&format!("resized-{n}")).await?;
    let before = everything(&scene).await?;
    let plan = scene.approved(&scene.relief("app", 800).await?).await?;
    let forth = scene.live(&plan, Fault::Dies(n), &ENDS).await?;
    if matches!(forth, Life::Died) {
        scene.live(&plan, Fault::None, &ENDS).await?;
    }
    proved(&scene, &plan).await?;
    are_sized(&scene, "app", "800m").await?;
    scene.ask_back(&plan).await?;
    if matches!(
        scene.live(&plan, Fault::Dies(n), &[PlanPhase::RolledBack]).await?,
        Life::Died
    ) {
        scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    }
    ensure!(everything(&scene).await? == before, "undone after write {n}");
    ensure!(scene.rules().await?.is_empty(), "rules stand");
    scene.remove().await?;
    Ok(matches!(forth, Life::Died))
}

#[tokio::test]
async fn killed_after_any_write_every_pod_is_resized_and_comes_back() -> Result<()> {
    after_every_write(100, killed_after).await
}
