//! A callee inside its caller's pods, and out again, on a real API server; with a controller that dies after any write.

use super::cluster::{apply, companioned};
use super::companions::scene_on;
use super::faults::Fault;
use super::scene::{Life, Scene, after_every_write, is_ready, wait};
use super::world::World;
use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use huddle::act::Evidence;
use huddle::watch::{Skipped, Store, streams};
use huddle_api::{self as api, PlanPhase};
use huddle_core::cluster::ClusterView;
use huddle_core::diagnose::{DiagnoseConfig, diagnose};
use huddle_core::id::{EdgeId, NodeName, PlanId, WorkloadId};
use huddle_core::plan::merge::{Adviser, Uses, Way, asked_for, merge_beside};
use huddle_core::plan::{Action, Plan, PlannerConfig, Refusal, plan as plans};
use huddle_core::time::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

pub(super) const ENDS: [PlanPhase; 2] = [PlanPhase::Proved, PlanPhase::RolledBack];

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

pub(super) fn filters(scene: &Scene) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1alpha3", "EnvoyFilter");
    Api::namespaced_with(scene.admin.clone(), &scene.namespace, &ApiResource::from_gvk(&kind))
}

/// A caller of two pods and a callee of three whose template says all that a companion needs.
pub(super) async fn scene(namespace: &str) -> Result<Scene> {
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

pub(super) fn plan(scene: &Scene) -> Plan {
    Plan {
        at: Timestamp(1),
        actions: vec![Action::Merge {
            workload: WorkloadId::deployment(&scene.namespace, "caller"),
            with: WorkloadId::deployment(&scene.namespace, "callee"),
            way: Way::Proxied,
        }],
        expected: Vec::new(),
        relief: Vec::new(),
        given_back: Vec::new(),
        merging: Vec::new(),
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

pub(super) async fn replicas(scene: &Scene) -> Result<i32> {
    let spec = deployment(scene, "callee").await?.spec.context("a spec")?;
    spec.replicas.context("replicas")
}

pub(super) async fn companions(scene: &Scene) -> Result<Vec<api::Companion>> {
    let all: Api<api::Companion> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    Ok(all.list(&ListParams::default()).await?.items)
}

pub(super) async fn is_merged(scene: &Scene) -> Result<()> {
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
    let wanted = if companion.spec.loopback.is_some() { 0 } else { 2 };
    ensure!(told.len() == wanted, "{} EnvoyFilters", told.len());
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

pub(super) async fn is_split(scene: &Scene) -> Result<()> {
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
pub(super) async fn settled(scene: &Scene) -> Result<Vec<Pod>> {
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
async fn a_version_that_may_not_join_splits_it_again() -> Result<()> {
    let scene = scene("parted").await?;
    let first = scene.approved(&plan(&scene)).await?;
    scene.live(&first, Fault::None, &ENDS).await?;
    ensure!(scene.phase(&first).await? == PlanPhase::Proved, "not merged");
    let volume = json!({"spec": {"template": {"spec": {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}}}});
    let deployments: Api<Deployment> = Api::namespaced(scene.admin.clone(), "parted");
    deployments
        .patch("callee", &PatchParams::default(), &Patch::Strategic(volume))
        .await?;
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
        scene.story(&first).await?.contains("companionRefused"),
        "{}",
        scene.story(&first).await?
    );
    scene.remove().await
}

async fn killed_after(n: u64) -> Result<bool> {
    let scene = scene(&format!("killed-{n}")).await?;
    let plan = plan(&scene);
    dies_once(scene, &plan, n).await
}

/// Merged and undone, with a controller that dies after write `n` of either; whether it died.
pub(super) async fn dies_once(scene: Scene, plan: &Plan, n: u64) -> Result<bool> {
    let plan = scene.approved(plan).await?;
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
    let route = |value: Value| json!({"applyTo": "HTTP_ROUTE", "match": {"context": "SIDECAR_OUTBOUND"}, "patch": {"operation": "MERGE", "value": value}});
    let inside = json!({"cluster": "huddle-inside-first|80||back"});
    let header = |key: &str| json!([{"header": {"key": key, "value": "reset"}}]);
    let tried_again = route(json!({"route": inside, "request_headers_to_add": header("x-envoy-retry-on")}));
    apply(&controller, filter("p-0-route", ours.clone(), tried_again)).await?;
    let somebody_else = route(json!({"route": inside, "request_headers_to_add": header("x-forwarded-client-cert")}));
    let rewritten =
        route(json!({"route": {"cluster": "huddle-inside-first|80||back", "host_rewrite_literal": "other"}}));
    for (name, selector, patch) in [
        ("p-0-route", ours.clone(), somebody_else),
        ("p-0-route", ours.clone(), rewritten),
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
    for own in ["p-0-clusters", "p-0-route"] {
        all.delete(own, &Default::default()).await?;
    }
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

/// The cluster as Huddle's own watches see it, once it holds what is wanted.
async fn seen(scene: &Scene, what: &str, wanted: impl Fn(&ClusterView) -> bool) -> Result<ClusterView> {
    let mut updates = streams(&scene.admin, &Skipped::default()).await;
    let mut store = Store::default();
    let whole = async {
        loop {
            let view = store.assemble();
            if store.waiting_for().is_empty() && wanted(&view) {
                return Ok(view);
            }
            match updates.next().await {
                Some(update) => store.apply(update),
                None => bail!("the watches ended"),
            };
        }
    };
    let timeout = tokio::time::timeout(std::time::Duration::from_secs(60), whole).await;
    timeout.with_context(|| format!("the watches do not show {what}"))?
}

fn of(scene: &Scene, name: &str) -> WorkloadId {
    WorkloadId::deployment(&scene.namespace, name)
}

/// What the planner makes of that cluster where the caller calls the callee two hundred times a second, on one node, through sidecars.
fn chattering(scene: &Scene, mut cluster: ClusterView) -> (Option<Plan>, Vec<Refusal>) {
    // Nobody injects sidecars here.
    cluster.pods.values_mut().for_each(|pod| pod.meshed = true);
    let mut world = World::new(0, 1, 0);
    world.cluster = cluster.clone();
    for pod in world.cluster.pods.values_mut() {
        pod.node = Some(NodeName::from("node-1"));
    }
    let (caller, callee) = (of(scene, "caller"), of(scene, "callee"));
    world.served.insert(callee.clone(), 100.0);
    world.calls = vec![(caller.clone(), callee.clone(), 200.0)];
    world.now = scene.says.now();
    let snapshot = world.measure(60);
    let findings = diagnose(&snapshot, &DiagnoseConfig::default());
    let adviser = Adviser {
        cluster: &cluster,
        snapshot: &snapshot,
        uses: &Uses::new(),
        config: &DiagnoseConfig::default(),
    };
    let first = plans(&snapshot, &findings, &cluster, &PlannerConfig::default(), world.now);
    let edge = EdgeId {
        source: caller,
        destination: callee,
    };
    let (merge, refusals) = merge_beside(&first, &adviser, &findings, world.now);
    // Whoever asks for it hears of the same reasons, but for what became of it before.
    let asked = asked_for(&edge, &adviser, &findings, world.now);
    assert_eq!(
        asked.is_ok(),
        merge.is_some() || refusals.iter().all(|it| it.sentence().contains("undone")),
        "{asked:?}"
    );
    (merge, refusals)
}

fn sentences(refusals: &[Refusal]) -> String {
    refusals.iter().map(Refusal::sentence).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_planners_own_merge_is_carried_out_and_split_when_its_load_has_gone() -> Result<()> {
    let scene = scene("chatter").await?;
    let named = json!({"spec": {"template": {"spec": {"containers": [{"name": "front", "image": "front:1",
        "ports": [{"containerPort": 8080}]}]}}}});
    let deployments: Api<Deployment> = Api::namespaced(scene.admin.clone(), "chatter");
    deployments
        .patch("caller", &PatchParams::default(), &Patch::Merge(named))
        .await?;
    let settled = |view: &ClusterView| {
        let whole = |name: &str, pods: usize| {
            let id = of(&scene, name);
            let ready = view.pods_of(&id).filter(|pod| pod.ready && pod.node.is_some()).count();
            let workload = view.workloads.get(&id);
            ready == pods
                && view.pods_of(&id).count() == pods
                && workload.is_some_and(|it| !it.rolling && it.ready == it.replicas)
        };
        let started = |name: &str| {
            view.templates
                .get(&of(&scene, name))
                .is_some_and(|it| it.start_up.is_some())
        };
        let front = view.templates.get(&of(&scene, "caller"));
        let rolled = front.is_some_and(|it| it.containers.iter().any(|it| it.name.as_str() == "front"));
        rolled && whole("caller", 2) && whole("callee", 3) && started("caller") && started("callee")
    };
    let silent = chattering(&scene, seen(&scene, "both", settled).await?);
    ensure!(
        silent == (None, Vec::new()),
        "the policy says nothing: {}",
        sentences(&silent.1)
    );
    let policy = json!({"apiVersion": "huddle.dev/v1alpha1", "kind": "Policy",
        "metadata": {"name": "huddle", "namespace": "chatter"}, "spec": {"merges": true}});
    apply(&scene.admin, policy).await?;
    let merges = |view: &ClusterView| settled(view) && view.policy(&"chatter".into()).merges;
    let (plan, refusals) = chattering(&scene, seen(&scene, "the policy", merges).await?);
    let plan = plan.with_context(|| sentences(&refusals))?;

    // As the engine proposes it; it comes back from the API server as it was, and is one plan however often it is proposed.
    let controller = scene.controller().await?;
    let now = scene.says.now();
    let id = huddle::act::propose(&controller, &plan, now).await?.context("a plan")?;
    ensure!(
        huddle::act::propose(&controller, &plan, now).await? == Some(id.clone()),
        "another one"
    );
    let object = scene.plans().get(id.as_str()).await?;
    ensure!(huddle::act::plan_of(&object)? == plan, "{:?}", object.spec);
    let view = huddle::act::view(&object)?;
    ensure!(view.merging.len() == 1 && view.merging[0].ways.len() == 1, "{view:?}");
    huddle::act::approve(&scene.admin, &object, now).await?;
    scene.live(&id, Fault::None, &ENDS).await?;
    is_merged(&scene).await.with_context(|| id.to_string())?;
    let stands =
        |view: &ClusterView| settled_but_callee(&scene, view) && view.merged.iter().any(|it| it.parted.is_none());
    let (again, refusals) = chattering(&scene, seen(&scene, "what stands", stands).await?);
    ensure!(
        again.is_none() && sentences(&refusals).contains("in a merge already"),
        "{}",
        sentences(&refusals)
    );

    scene.says.idle.store(true, Ordering::SeqCst);
    parted(&scene, &id, "loadGone").await?;
    let over = |view: &ClusterView| merges(view) && view.merged.iter().any(|it| it.parted.is_some());
    let (again, refusals) = chattering(&scene, seen(&scene, "what was split", over).await?);
    ensure!(
        again.is_none() && sentences(&refusals).contains("undone"),
        "{}",
        sentences(&refusals)
    );
    scene.remove().await
}

/// The callee has fewer replicas meanwhile.
fn settled_but_callee(scene: &Scene, view: &ClusterView) -> bool {
    view.pods_of(&of(scene, "caller")).filter(|pod| pod.ready).count() == 2
}

/// Lives on until the merge is split by itself.
pub(super) async fn parted(scene: &Scene, plan: &PlanId, why: &str) -> Result<()> {
    wait("it is split by itself", async || {
        scene.live(plan, Fault::None, &ENDS).await?;
        let step = scene
            .plans()
            .get(plan.as_str())
            .await?
            .status
            .and_then(|it| it.steps.into_iter().next());
        ensure!(
            step.is_some_and(|step| step.state == api::StepPhase::Undone),
            "it stands"
        );
        Ok(())
    })
    .await?;
    is_split(scene).await?;
    let story = scene.story(plan).await?;
    ensure!(story.contains(why), "{story}");
    Ok(())
}
