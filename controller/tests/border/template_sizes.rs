//! Figures in templates: written where the policy gives them away, rolled out, given back figure by figure; what others write stays.

use super::cluster::{apply, apply_file};
use super::faults::Fault;
use super::kubelets::hold;
use super::scene::{Life, Scene, after_every_write, wait};
use super::templates::content;
use anyhow::{Context, Result, ensure};
use huddle_api as api;
use huddle_api::PlanPhase;
use huddle_core::cluster::{Compute, Sizing};
use huddle_core::id::{PlanId, WorkloadId};
use huddle_core::plan::{Action, PlaceForm, Plan};
use huddle_core::units::{Bytes, Millicores};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::path::Path;

const ENDS: [PlanPhase; 2] = [PlanPhase::Proved, PlanPhase::RolledBack];
const BACK: [PlanPhase; 1] = [PlanPhase::RolledBack];

/// Three starved pods in a namespace where rules are written into templates; `given`: its policy gives their figures away.
async fn scene(name: &str, given: bool) -> Result<Scene> {
    let scene = Scene::set(name).await?;
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/admission/rbac-act-template.yaml");
    apply_file(&scene.admin, &role, &[("NAMESPACE", name)]).await?;
    let policy = json!({"apiVersion": "huddle.dev/v1alpha1", "kind": "Policy",
        "metadata": {"name": "huddle", "namespace": name}, "spec": {"templateSizes": given}});
    apply(&scene.admin, policy).await?;
    scene.starve("200m").await?;
    settled(&scene).await?;
    Ok(scene)
}

fn deployments(scene: &Scene) -> Api<Deployment> {
    Api::namespaced(scene.admin.clone(), &scene.namespace)
}

/// The Deployment once it is rolled out.
async fn settled(scene: &Scene) -> Result<Deployment> {
    wait("the roll-out is through", async || {
        let found = deployments(scene).get("starved").await?;
        let status = found.status.clone().unwrap_or_default();
        let current = status.observed_generation == found.metadata.generation;
        let three = [status.updated_replicas, status.replicas, status.ready_replicas];
        ensure!(current && three == [Some(3); 3], "{status:?}");
        scene.whole("starved", 3).await?;
        Ok(found)
    })
    .await
}

/// What its owner wrote, without who wrote it.
async fn written(scene: &Scene) -> Result<Value> {
    Ok(content(&settled(scene).await?)?["spec"].clone())
}

fn cpu(millicores: u64) -> Compute {
    Compute {
        cpu: Some(Millicores(millicores)),
        memory: None,
    }
}

fn limit(millicores: u64) -> Sizing {
    Sizing {
        requests: Compute::default(),
        limits: cpu(millicores),
    }
}

/// The plan for these figures of a container.
async fn plan(scene: &Scene, container: &str, instead: Sizing, to: Sizing) -> Result<Plan> {
    let mut plan = scene.relief("app", 800).await?;
    plan.actions = vec![Action::Size {
        workload: WorkloadId::deployment(&scene.namespace, "starved"),
        container: container.into(),
        to,
        instead,
        form: PlaceForm::Template,
    }];
    plan.pods_restarted = 3;
    Ok(plan)
}

async fn relief(scene: &Scene) -> Result<Plan> {
    plan(scene, "app", limit(200), limit(800)).await
}

/// The limits of a container in every pod, and in the template.
async fn are_sized(scene: &Scene, container: &str, cpu: &str) -> Result<()> {
    let found = serde_json::to_value(settled(scene).await?)?;
    let limit = |spec: &Value| {
        let lists = ["containers", "initContainers"].map(|list| spec[list].as_array().cloned().unwrap_or_default());
        let found = lists.into_iter().flatten().find(|it| it["name"] == container);
        found
            .map(|it| it["resources"]["limits"]["cpu"].clone())
            .unwrap_or_default()
    };
    let says = limit(&found["spec"]["template"]["spec"]);
    ensure!(says == cpu, "the template says {says}");
    for pod in scene.whole("starved", 3).await? {
        let has = limit(&serde_json::to_value(&pod)?["spec"]);
        ensure!(has == cpu, "{} has {has}", pod.name_any());
    }
    ensure!(scene.rules().await?.is_empty(), "a Rule object stands");
    Ok(())
}

async fn ends(scene: &Scene, plan: &PlanId, phase: PlanPhase, reason: &str) -> Result<()> {
    let story = scene.story(plan).await?;
    ensure!(scene.phase(plan).await? == phase && story.contains(reason), "{story}");
    Ok(())
}

/// Its owner writes this cpu limit.
async fn owner_writes(scene: &Scene, limit: &str) -> Result<()> {
    let body = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "resources": {"limits": {"cpu": limit}}}]}}}});
    let by = PatchParams {
        field_manager: Some("owner".to_owned()),
        ..PatchParams::default()
    };
    deployments(scene)
        .patch("starved", &by, &Patch::Strategic(body))
        .await?;
    Ok(())
}

/// The controller lives until it has written its figures and their new pods wait, unready.
async fn until_rolling(scene: &Scene, plan: &PlanId) -> Result<()> {
    hold(&scene.namespace);
    let rolling = wait("the roll-out is recorded", async || {
        let story = scene.story(plan).await?;
        let new = scene.pods("starved").await?.len();
        ensure!(story.contains("\"roll\"") && new > 3, "{new} pods: {story}");
        Ok(())
    });
    tokio::select! {
        result = rolling => result,
        result = scene.rounds(plan) => result,
    }
}

#[tokio::test]
async fn a_template_gets_the_figures_rolls_them_out_and_gets_the_old_ones_back() -> Result<()> {
    let scene = scene("tsize", true).await?;
    let before = written(&scene).await?;
    let mut plans = Vec::new();
    // The sidecar after the app, each by a plan of its own; undone the other way round.
    for (container, to) in [("app", 800), ("proxy", 400)] {
        let made = plan(&scene, container, limit(200), limit(to)).await?;
        let id = scene.approved_as(&format!("plan-tsize-{container}"), &made).await?;
        scene.live(&id, Fault::None, &ENDS).await?;
        ends(&scene, &id, PlanPhase::Proved, "templateSize").await?;
        are_sized(&scene, container, &format!("{to}m")).await?;
        plans.push(id);
    }
    let found = settled(&scene).await?;
    ensure!(serde_json::to_string(&found.metadata.managed_fields)?.contains(api::TEMPLATE_MANAGER));
    let mut wanted = before.clone();
    for list in ["containers", "initContainers"] {
        let cpu = format!("/template/spec/{list}/0/resources/limits/cpu");
        let to = if list == "containers" { "800m" } else { "400m" };
        *wanted.pointer_mut(&cpu).context("a limit")? = json!(to);
    }
    ensure!(written(&scene).await? == wanted, "something else has changed");

    for id in plans.iter().rev() {
        scene.ask_back(id).await?;
        scene.live(id, Fault::None, &BACK).await?;
    }
    are_sized(&scene, "app", "200m").await?;
    ensure!(written(&scene).await? == before, "not what it was");
    scene.remove().await
}

#[tokio::test]
async fn figures_that_a_template_does_not_set_go_again() -> Result<()> {
    let scene = scene("tsize-bare", true).await?;
    let bare =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "resources": {"$patch": "replace"}}]}}}});
    deployments(&scene)
        .patch("starved", &PatchParams::default(), &Patch::Strategic(bare))
        .await?;
    let before = written(&scene).await?;
    ensure!(
        before["template"]["spec"]["containers"][0]["resources"] == json!({}),
        "{before:#}"
    );
    let to = Sizing {
        requests: cpu(100),
        limits: Compute {
            cpu: Some(Millicores(800)),
            memory: Some(Bytes(96 << 20)),
        },
    };
    let id = scene
        .approved(&plan(&scene, "app", Sizing::default(), to).await?)
        .await?;
    scene.live(&id, Fault::None, &ENDS).await?;
    ends(&scene, &id, PlanPhase::Proved, "templateSize").await?;
    let says = written(&scene).await?;
    ensure!(
        says["template"]["spec"]["containers"][0]["resources"]
            == json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "800m", "memory": "96Mi"}}),
        "{says:#}"
    );
    // By hand, as the plan says it.
    let status = scene.plans().get(id.as_str()).await?.status.context("a status")?;
    let inverse = status
        .steps
        .first()
        .and_then(|step| step.inverse.first())
        .context("an inverse")?;
    ensure!(
        inverse.patch && inverse.says.contains("kubectl patch deployment starved"),
        "{inverse:?}"
    );
    let object: DynamicObject = serde_json::from_value(inverse.apply.clone().context("an object")?)?;
    deployments(&scene)
        .patch(&object.name_any(), &PatchParams::default(), &Patch::Strategic(&object))
        .await?;
    ensure!(written(&scene).await? == before, "not what it was");
    scene.remove().await
}

#[tokio::test]
async fn what_its_owner_writes_meanwhile_or_later_stays() -> Result<()> {
    let scene = scene("tsize-taken", true).await?;
    let first = scene.approved_as("plan-tsize-taken-1", &relief(&scene).await?).await?;
    until_rolling(&scene, &first).await?;
    owner_writes(&scene, "300m").await?;
    scene.let_go().await?;
    scene.live(&first, Fault::None, &ENDS).await?;
    ends(&scene, &first, PlanPhase::RolledBack, "templateSizeTaken").await?;
    are_sized(&scene, "app", "300m").await?;

    let made = plan(&scene, "app", limit(300), limit(800)).await?;
    let second = scene.approved_as("plan-tsize-taken-2", &made).await?;
    scene.live(&second, Fault::None, &ENDS).await?;
    ends(&scene, &second, PlanPhase::Proved, "templateSize").await?;
    owner_writes(&scene, "500m").await?;
    scene.ask_back(&second).await?;
    scene.live(&second, Fault::None, &BACK).await?;
    ends(&scene, &second, PlanPhase::RolledBack, "templateSizeTaken").await?;
    are_sized(&scene, "app", "500m").await?;

    // What a plan was made of is not there any more.
    let third = scene.approved_as("plan-tsize-taken-3", &relief(&scene).await?).await?;
    scene.live(&third, Fault::None, &ENDS).await?;
    ends(&scene, &third, PlanPhase::RolledBack, "templateSizeTaken").await?;
    are_sized(&scene, "app", "500m").await?;
    scene.remove().await
}

#[tokio::test]
async fn what_is_forbidden_is_never_written_and_told_in_its_words() -> Result<()> {
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "spec": {"limits": [{"type": "Container", "max": {"cpu": "500m"}}]}});
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"limits.cpu": "1500m"}}});
    let stories = [
        (Some(range), "maximum cpu usage per Container is 500m"),
        (Some(quota), "exceeded quota: owner"),
        (None, "does not say templateSizes: true"),
    ];
    for (index, (forbids, said)) in stories.into_iter().enumerate() {
        let name = format!("tsize-no-{index}");
        let scene = scene(&name, forbids.is_some()).await?;
        if let Some(mut forbids) = forbids {
            forbids["metadata"] = json!({"name": "owner", "namespace": name});
            apply(&scene.admin, forbids).await?;
        }
        let before = settled(&scene).await?.metadata.generation;
        let id = scene.approved(&relief(&scene).await?).await?;
        scene.live(&id, Fault::None, &ENDS).await?;
        ends(&scene, &id, PlanPhase::RolledBack, "templateRefused").await?;
        ends(&scene, &id, PlanPhase::RolledBack, said).await?;
        ensure!(
            settled(&scene).await?.metadata.generation == before,
            "the template was written"
        );
        scene.remove().await?;
    }
    Ok(())
}

#[tokio::test]
async fn new_pods_that_crash_give_the_figures_back_and_old_ones_serve_on() -> Result<()> {
    let scene = scene("tsize-crash", true).await?;
    let before = written(&scene).await?;
    let old: Vec<String> = scene.pods("starved").await?.iter().map(ResourceExt::name_any).collect();
    let id = scene.approved(&relief(&scene).await?).await?;
    until_rolling(&scene, &id).await?;
    let pods: Api<Pod> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    let new = scene.pods("starved").await?;
    let new = new.iter().map(ResourceExt::name_any).find(|name| !old.contains(name));
    let crashed = json!({"status": {"containerStatuses": [{"name": "app", "image": "x", "imageID": "x", "ready": false,
        "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}});
    pods.patch_status(
        &new.context("a new pod")?,
        &PatchParams::default(),
        &Patch::Strategic(crashed),
    )
    .await?;
    scene.live(&id, Fault::None, &ENDS).await?;
    ends(&scene, &id, PlanPhase::RolledBack, "restarted").await?;
    ensure!(written(&scene).await? == before, "not what it was");
    let now: Vec<String> = scene.pods("starved").await?.iter().map(ResourceExt::name_any).collect();
    ensure!(old.iter().all(|name| now.contains(name)), "{old:?} then {now:?}");
    scene.remove().await
}

#[tokio::test]
async fn the_way_back_is_open_always_and_nothing_else_is_ever_changed() -> Result<()> {
    let scene = scene("tsize-held", true).await?;
    let before = written(&scene).await?;
    let controller: Client = scene.controller().await?;
    let theirs: Api<Deployment> = Api::namespaced(controller, &scene.namespace);
    let containers = [
        json!({"name": "app", "image": "evil"}),
        json!({"name": "app", "command": ["evil"]}),
        json!({"name": "app", "env": [{"name": "EVIL", "value": "1"}]}),
        json!({"name": "app", "securityContext": {"privileged": true}}),
        json!({"name": "app", "resources": {"limits": {"example.com/gpu": "1"}}}),
        json!({"name": "app", "resources": {"requests": {"ephemeral-storage": "1Gi"}}}),
        json!({"name": "evil", "image": "evil"}),
        json!({"name": "app", "$patch": "delete"}),
    ];
    for container in containers {
        let body = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        let answer = theirs
            .patch("starved", &PatchParams::default(), &Patch::Strategic(&body))
            .await;
        ensure!(answer.is_err(), "accepted: {body}");
    }
    let id = scene.approved(&relief(&scene).await?).await?;
    scene.live(&id, Fault::None, &ENDS).await?;
    are_sized(&scene, "app", "800m").await?;
    let policies: Api<api::Policy> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    let no = json!({"spec": {"templateSizes": false}});
    policies
        .patch("huddle", &PatchParams::default(), &Patch::Merge(no))
        .await?;
    let more = json!({"spec": {"template": {"spec": {"initContainers": [{"name": "proxy", "resources": {"limits": {"cpu": "300m"}}}]}}}});
    wait("nothing is raised any more", async || {
        let dry = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let answer = theirs.patch("starved", &dry, &Patch::Strategic(&more)).await;
        ensure!(answer.is_err(), "accepted: {more}");
        Ok(())
    })
    .await?;
    // Its owner goes on as ever, also without a Policy.
    policies.delete("huddle", &DeleteParams::default()).await?;
    owner_writes(&scene, "800m").await?;
    scene.annotate_template("starved", "border/rolled").await?;
    let unannotated = json!({"spec": {"template": {"metadata": {"annotations": null}}}});
    deployments(&scene)
        .patch("starved", &PatchParams::default(), &Patch::Merge(unannotated))
        .await?;
    scene.ask_back(&id).await?;
    scene.live(&id, Fault::None, &BACK).await?;
    let (after, story) = (written(&scene).await?, scene.story(&id).await?);
    ensure!(after == before, "before {before:#}\nafter {after:#}\n{story}");
    scene.remove().await
}

/// Kills the controller after its write `n`, forth and back. Whether there was such a write.
async fn killed_after(n: u64) -> Result<bool> {
    let scene = scene(&format!("tsize-{n}"), true).await?;
    let before = written(&scene).await?;
    let id = scene.approved(&relief(&scene).await?).await?;
    let died = matches!(scene.live(&id, Fault::Dies(n), &ENDS).await?, Life::Died);
    if died {
        scene.live(&id, Fault::None, &ENDS).await?;
    }
    ends(&scene, &id, PlanPhase::Proved, "templateSize").await?;
    are_sized(&scene, "app", "800m").await?;
    scene.ask_back(&id).await?;
    if matches!(scene.live(&id, Fault::Dies(n), &BACK).await?, Life::Died) {
        scene.live(&id, Fault::None, &BACK).await?;
    }
    ensure!(written(&scene).await? == before, "undone after write {n}");
    scene.remove().await?;
    Ok(died)
}

#[tokio::test]
async fn killed_after_any_write_the_figures_end_rolled_out_and_come_back() -> Result<()> {
    after_every_write(100, killed_after).await
}
