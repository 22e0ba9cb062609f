//! A callee inside its caller's pods, and out again, on a real API server; with a controller that dies after any write.

use super::cluster::{apply, companioned};
use super::companions::scene_on;
use super::faults::Fault;
use super::scene::{Life, Scene, after_every_write, is_ready, wait};
use anyhow::{Context, Result, ensure};
use huddle_api::{self as api, PlanPhase};
use huddle_core::id::WorkloadId;
use huddle_core::plan::{Action, Plan};
use huddle_core::time::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

const ENDS: [PlanPhase; 2] = [PlanPhase::Proved, PlanPhase::RolledBack];

/// What matters of the mesh here: that it serves EnvoyFilters.
async fn mesh(scene: &Scene) -> Result<()> {
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "envoyfilters.networking.istio.io"},
        "spec": {"group": "networking.istio.io", "scope": "Namespaced", "names": {"kind": "EnvoyFilter", "plural": "envoyfilters"},
            "versions": [{"name": "v1alpha3", "served": true, "storage": true, "schema": {"openAPIV3Schema": anything}}]}});
    apply(&scene.admin, definition).await?;
    wait("EnvoyFilters are served", async || {
        filters(scene).list(&ListParams::default()).await?;
        Ok(())
    })
    .await
}

fn filters(scene: &Scene) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1alpha3", "EnvoyFilter");
    Api::namespaced_with(scene.admin.clone(), &scene.namespace, &ApiResource::from_gvk(&kind))
}

/// A caller of two pods and a callee of three whose template says all that a companion needs.
async fn scene(namespace: &str) -> Result<Scene> {
    let scene = scene_on(companioned().await, namespace).await?;
    mesh(&scene).await?;
    let callee = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "callee:1", "command": ["/serve"],
        "ports": [{"containerPort": 80}], "readinessProbe": {"httpGet": {"path": "/ready", "port": 80}}}]}}}});
    let deployments: Api<Deployment> = Api::namespaced(scene.admin.clone(), namespace);
    let patch = PatchParams::default();
    deployments.patch("callee", &patch, &Patch::Strategic(callee)).await?;
    let two = json!({"spec": {"replicas": 2}});
    deployments.patch("caller", &patch, &Patch::Merge(two)).await?;
    wait("both are as they were told to be", async || {
        for (name, replicas) in [("caller", 2), ("callee", 3)] {
            let status = deployments.get(name).await?.status.unwrap_or_default();
            let updated = status.updated_replicas.unwrap_or(0);
            ensure!(
                updated == replicas && status.ready_replicas == Some(replicas) && status.replicas == Some(replicas),
                "{name}: {status:?}"
            );
        }
        Ok(())
    })
    .await?;
    scene.whole("caller", 2).await?;
    scene.whole("callee", 3).await?;
    Ok(scene)
}

fn plan(scene: &Scene) -> Plan {
    Plan {
        at: Timestamp(1),
        actions: vec![Action::Merge {
            workload: WorkloadId::deployment(&scene.namespace, "caller"),
            with: WorkloadId::deployment(&scene.namespace, "callee"),
        }],
        expected: Vec::new(),
        relief: Vec::new(),
        given_back: Vec::new(),
        spread: Vec::new(),
        refusals: Vec::new(),
        pods_restarted: 2,
        because: Vec::new(),
        saved: 0.5,
    }
}

async fn deployment(scene: &Scene, name: &str) -> Result<Deployment> {
    let deployments: Api<Deployment> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    Ok(deployments.get(name).await?)
}

async fn replicas(scene: &Scene) -> Result<i32> {
    let spec = deployment(scene, "callee").await?.spec.context("a spec")?;
    spec.replicas.context("replicas")
}

async fn companions(scene: &Scene) -> Result<Vec<api::Companion>> {
    let all: Api<api::Companion> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    Ok(all.list(&ListParams::default()).await?.items)
}

async fn is_merged(scene: &Scene) -> Result<()> {
    let [companion] = companions(scene).await?.try_into().ok().context("one companion")?;
    for pod in settled(scene).await? {
        ensure!(
            pod.labels().get(api::LABEL_COMPANION) == Some(&companion.name_any()),
            "{} has none",
            pod.name_any()
        );
        let spec = pod.spec.unwrap_or_default();
        let installed = spec
            .init_containers
            .iter()
            .flatten()
            .any(|it| it.name == "huddle-callee-supervisor");
        ensure!(
            installed,
            "nothing starts its program again: {:?}",
            spec.init_containers
        );
        let containers = spec.containers;
        ensure!(
            containers.iter().any(|it| it.name == "huddle-callee-app"),
            "{containers:?}"
        );
    }
    let told = filters(scene).list(&ListParams::default()).await?.items;
    ensure!(told.len() == 2, "{} EnvoyFilters", told.len());
    for filter in &told {
        let selected = filter.data.pointer("/spec/workloadSelector/labels");
        ensure!(
            selected == Some(&json!({api::LABEL_COMPANION: companion.name_any()})),
            "{filter:?}"
        );
    }
    ensure!(replicas(scene).await? == 2, "the callee was not made smaller");
    Ok(())
}

async fn is_split(scene: &Scene) -> Result<()> {
    for pod in settled(scene).await? {
        ensure!(
            !pod.labels().contains_key(api::LABEL_COMPANION),
            "{} has one still",
            pod.name_any()
        );
    }
    ensure!(companions(scene).await?.is_empty(), "a companion stands");
    let told = filters(scene).list(&ListParams::default()).await?.items;
    ensure!(told.is_empty(), "{} EnvoyFilters stand", told.len());
    ensure!(replicas(scene).await? == 3, "{} replicas", replicas(scene).await?);
    Ok(())
}

/// The caller's pods, once they are whole and nobody's orphan.
async fn settled(scene: &Scene) -> Result<Vec<Pod>> {
    let pods = scene.whole("caller", 2).await?;
    let all: Api<Pod> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    wait("no orphan is left", async || {
        let orphans = all.list(&ListParams::default().labels(api::LABEL_ORPHAN)).await?.items;
        ensure!(orphans.is_empty(), "{} orphans", orphans.len());
        Ok(())
    })
    .await?;
    Ok(pods)
}

/// What an owner wrote: all but the replicas of the callee.
async fn templates(scene: &Scene) -> Result<Vec<Value>> {
    let mut templates = Vec::new();
    for name in ["caller", "callee"] {
        let deployment = deployment(scene, name).await?;
        let template = deployment.spec.as_ref().map(|spec| &spec.template);
        templates.push(json!([template, deployment.annotations(), deployment.labels()]));
    }
    Ok(templates)
}

#[tokio::test]
async fn a_callee_joins_its_callers_pods_and_leaves_them() -> Result<()> {
    let scene = scene("merged").await?;
    let before = templates(&scene).await?;
    let plan = scene.approved(&plan(&scene)).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    let story = scene.story(&plan).await?;
    ensure!(scene.phase(&plan).await? == PlanPhase::Proved, "{story}");
    is_merged(&scene).await.with_context(|| story)?;
    ensure!(
        templates(&scene).await? == before,
        "a template is not what its owner wrote"
    );

    scene.ask_back(&plan).await?;
    scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    is_split(&scene).await?;
    ensure!(
        templates(&scene).await? == before,
        "a template is not what its owner wrote"
    );
    scene.remove().await
}

#[tokio::test]
async fn calls_that_do_not_stay_inside_and_a_new_version_split_it_again() -> Result<()> {
    let scene = scene("parted").await?;
    let first = scene.approved(&plan(&scene)).await?;
    scene.live(&first, Fault::None, &ENDS).await?;
    ensure!(scene.phase(&first).await? == PlanPhase::Proved, "not merged");
    // The callee's owner rolls out: the companions are of the version before.
    scene.annotate_template("callee", "v2").await?;
    wait("what stands is taken apart", async || {
        scene.live(&first, Fault::None, &ENDS).await?;
        ensure!(companions(&scene).await?.is_empty(), "it stands");
        ensure!(
            filters(&scene).list(&ListParams::default()).await?.items.is_empty(),
            "its route stands"
        );
        Ok(())
    })
    .await?;
    is_split(&scene).await?;
    ensure!(
        scene.story(&first).await?.contains("calleeChanged"),
        "{}",
        scene.story(&first).await?
    );
    scene.remove().await
}

/// Merged and undone, with a controller that dies after write `n`; whether it died.
async fn killed_after(n: u64) -> Result<bool> {
    let scene = scene(&format!("killed-{n}")).await?;
    let plan = scene.approved(&plan(&scene)).await?;
    let died = matches!(scene.live(&plan, Fault::Dies(n), &ENDS).await?, Life::Died);
    scene.live(&plan, Fault::None, &ENDS).await?;
    let story = scene.story(&plan).await?;
    ensure!(scene.phase(&plan).await? == PlanPhase::Proved, "{story}");
    is_merged(&scene).await.with_context(|| story)?;
    scene.ask_back(&plan).await?;
    let died_back = matches!(
        scene.live(&plan, Fault::Dies(n), &[PlanPhase::RolledBack]).await?,
        Life::Died
    );
    scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    is_split(&scene)
        .await
        .with_context(|| format!("{:?}", (died, died_back)))?;
    scene.remove().await?;
    Ok(died || died_back)
}

#[tokio::test]
async fn a_controller_that_dies_after_any_write_is_replaced_by_one_that_ends_the_merge() -> Result<()> {
    after_every_write(120, killed_after).await
}

#[tokio::test]
async fn what_proxies_are_told_is_of_companions_alone() -> Result<()> {
    let scene = scene("told").await?;
    let controller = scene.controller().await?;
    let filter = |name: &str, selector: Value, patch: Value| {
        json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
            "metadata": {"name": name, "namespace": "told", "labels": {api::LABEL_COMPANION: "p-0"}},
            "spec": {"workloadSelector": selector, "configPatches": [patch]}})
    };
    let ours = json!({"labels": {api::LABEL_COMPANION: "p-0"}});
    let cluster = |name: &str| {
        json!({"applyTo": "CLUSTER", "match": {"context": "SIDECAR_OUTBOUND"},
            "patch": {"operation": "ADD", "value": {"name": name}}})
    };
    apply(
        &controller,
        filter("p-0-clusters", ours.clone(), cluster("huddle-inside|80||back")),
    )
    .await?;
    let everybody = json!({"labels": {"app": "caller"}});
    let listener = json!({"applyTo": "HTTP_FILTER", "match": {"context": "SIDECAR_INBOUND"}, "patch": {"operation": "INSERT_FIRST"}});
    let elsewhere = json!({"applyTo": "HTTP_ROUTE", "match": {"context": "SIDECAR_OUTBOUND"},
        "patch": {"operation": "MERGE", "value": {"route": {"cluster": "outbound|80||evil"}}}});
    for (name, selector, patch) in [
        ("p-0-clusters", everybody, cluster("huddle-inside|80||back")),
        ("p-0-clusters", ours.clone(), cluster("outbound|80||back")),
        ("p-0-route", ours.clone(), listener),
        ("p-0-route", ours.clone(), elsewhere),
        ("other", ours.clone(), cluster("huddle-inside|80||back")),
    ] {
        let forged = apply(&controller, filter(name, selector, patch.clone())).await;
        ensure!(
            forged.is_err_and(|error| format!("{error:#}").contains("companion")),
            "{name} {patch}"
        );
    }
    // Somebody else's is not the controller's to change or delete.
    let theirs = json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
        "metadata": {"name": "theirs", "namespace": "told"}, "spec": {}});
    apply(&scene.admin, theirs).await?;
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1alpha3", "EnvoyFilter");
    let all: Api<DynamicObject> = Api::namespaced_with(controller, "told", &ApiResource::from_gvk(&kind));
    ensure!(
        all.delete("theirs", &Default::default()).await.is_err(),
        "it deleted another's"
    );
    all.delete("p-0-clusters", &Default::default()).await?;
    scene.remove().await
}

#[tokio::test]
async fn a_merge_that_cannot_be_is_skipped_with_its_reason() -> Result<()> {
    let scene = scene("refused").await?;
    let volume = json!({"spec": {"template": {"spec": {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}}}});
    let deployments: Api<Deployment> = Api::namespaced(scene.admin.clone(), "refused");
    deployments
        .patch("callee", &PatchParams::default(), &Patch::Strategic(volume))
        .await?;
    let pods = scene.pods("caller").await?;
    let plan = scene.approved(&plan(&scene)).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    let story = scene.story(&plan).await?;
    ensure!(
        story.contains("companionRefused") && story.contains("hostPath"),
        "{story}"
    );
    let names = |pods: &[Pod]| -> Vec<String> { pods.iter().map(ResourceExt::name_any).collect() };
    ensure!(
        names(&scene.pods("caller").await?) == names(&pods),
        "a pod was replaced"
    );
    ensure!(
        pods.iter().all(is_ready) && companions(&scene).await?.is_empty(),
        "something was written"
    );
    ensure!(!scene.says.outside.load(Ordering::SeqCst), "nothing was measured");
    scene.remove().await
}
