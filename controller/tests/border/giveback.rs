//! Giving back: less in place and for the pods to come, under rules that lower, and all of it given again at the first sign.

use super::admission::{dry_run, pod};
use super::cluster::apply;
use super::faults::Fault;
use super::scene::{Life, Scene, after_every_write, wait};
use anyhow::{Context, Result, ensure};
use huddle_api as api;
use huddle_api::PlanPhase;
use huddle_core::cluster::{Compute, Sizing};
use huddle_core::id::{PlanId, WorkloadId};
use huddle_core::plan::{Action, GivenBack, Plan, PlanKind};
use huddle_core::time::{Span, Timestamp};
use huddle_core::units::{Bytes, Millicores, Ratio};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

const ENDS: [PlanPhase; 2] = [PlanPhase::Proved, PlanPhase::RolledBack];

fn cpu(limit: u64) -> Compute {
    Compute {
        cpu: Some(Millicores(limit)),
        memory: None,
    }
}

/// As the planner makes it: from this limit to that one; `template`: below it.
async fn lessening(scene: &Scene, (at, from, to): (i64, u64, u64), template: Option<u64>) -> Result<Plan> {
    let mut plan = scene.relief("app", to).await?;
    for action in &mut plan.actions {
        match action {
            Action::Resize { from: has, .. } => has.limits.cpu = Some(Millicores(from)),
            Action::Size { to: all, instead, .. } => {
                if let Some(template) = template {
                    all.requests = cpu(100);
                    *instead = Sizing {
                        requests: cpu(100),
                        limits: cpu(template),
                    };
                }
            }
            Action::Place { .. }
            | Action::Move { .. }
            | Action::Route { .. }
            | Action::Withdraw { .. }
            | Action::Cell { .. }
            | Action::Merge { .. } => {}
        }
    }
    let limits = |limit| Sizing {
        requests: Compute::default(),
        limits: cpu(limit),
    };
    plan.at = Timestamp(at);
    plan.given_back = vec![GivenBack {
        workload: WorkloadId::deployment(&scene.namespace, "starved"),
        container: "app".into(),
        pods: 3,
        edges: Vec::new(),
        watched: Span::seconds(120),
        cpu_peak: Millicores(60),
        cpu_high: Millicores(50),
        memory_peak: Bytes(1 << 20),
        throttled: Ratio::ZERO,
        before: limits(from),
        after: limits(to),
    }];
    ensure!(plan.kind() == PlanKind::GiveBack, "{plan:?}");
    Ok(plan)
}

async fn carried_out(scene: &Scene, name: &str, plan: &Plan) -> Result<PlanId> {
    let plan = scene.approved_as(name, plan).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    let story = scene.story(&plan).await?;
    ensure!(scene.phase(&plan).await? == PlanPhase::Proved, "{story}");
    Ok(plan)
}

/// Cpu limits of the running pods, as their kubelets have them.
async fn are_sized(scene: &Scene, cpu: &str) -> Result<()> {
    have(scene, "limits", cpu).await
}

/// The same of their cpu limits, or their cpu requests.
async fn have(scene: &Scene, figures: &str, cpu: &str) -> Result<()> {
    for pod in scene.whole("starved", 3).await? {
        let pod = serde_json::to_value(&pod)?;
        let statuses = pod["status"]["containerStatuses"].as_array().context("statuses")?;
        let app = statuses.iter().find(|it| it["name"] == "app").context("app")?;
        ensure!(app["resources"][figures]["cpu"] == cpu, "{}", app["resources"]);
    }
    Ok(())
}

/// The limit that a pod comes with whose template has this one.
async fn comes_with(client: &Client, namespace: &str, own: &str, cpu: &str) -> Result<()> {
    come_with(client, namespace, ["100m", own], ["100m", cpu]).await
}

/// What a pod comes with whose template has this request and limit, once the API server's admission has heard of the last change; several
/// times, as rules work in any order.
async fn come_with(client: &Client, namespace: &str, own: [&str; 2], cpu: [&str; 2]) -> Result<()> {
    let like = json!({
        "metadata": {"labels": {"app": "starved", "huddle.dev/trial": null}},
        "spec": {"containers": [{"name": "app", "image": "x", "resources": {
            "requests": {"cpu": own[0], "memory": "64Mi"}, "limits": {"cpu": own[1], "memory": "128Mi"}}}]},
    });
    wait("new pods come with the figures", async || {
        for _ in 0..5 {
            let made = serde_json::to_value(dry_run(client, namespace, &pod(&like)).await?)?;
            let has = &made["spec"]["containers"][0]["resources"];
            let has = [&has["requests"]["cpu"], &has["limits"]["cpu"]];
            ensure!(has == cpu, "a pod whose template says {own:?} comes with {has:?}");
        }
        Ok(())
    })
    .await
}

async fn allow_lowering(scene: &Scene) -> Result<()> {
    let policy = json!({"apiVersion": "huddle.dev/v1alpha1", "kind": "Policy", "metadata": {"name": "huddle", "namespace": scene.namespace},
        "spec": {"giveBack": "BelowTemplate"}});
    apply(&scene.admin, policy).await
}

#[tokio::test]
async fn what_was_given_is_given_back_step_by_step_and_given_again_at_the_first_sign() -> Result<()> {
    let scene = Scene::set("given").await?;
    scene.starve("200m").await?;
    let controller = scene.controller().await?;
    carried_out(&scene, "plan-given-0", &scene.relief("app", 800).await?).await?;
    let mut plans = Vec::new();
    for (n, (from, to)) in [(800, 640), (640, 510), (510, 400)].into_iter().enumerate() {
        let at = 2 + i64::try_from(n)?;
        let plan = lessening(&scene, (at, from, to), None).await?;
        plans.push(carried_out(&scene, &format!("plan-given-{at}"), &plan).await?);
        are_sized(&scene, &format!("{to}m")).await?;
        comes_with(&controller, "given", "200m", &format!("{to}m")).await?;
    }
    comes_with(&controller, "given", "700m", "700m").await?;
    ensure!(scene.rules().await?.len() == 3, "the first, and the last two");
    scene.says.missed.store(true, Ordering::SeqCst);
    for (plan, cpu) in plans.iter().rev().zip(["510m", "640m", "800m"]) {
        scene.live(plan, Fault::None, &[PlanPhase::RolledBack]).await?;
        ensure!(
            scene.story(plan).await?.contains("missed"),
            "{}",
            scene.story(plan).await?
        );
        are_sized(&scene, cpu).await?;
    }
    comes_with(&controller, "given", "200m", "800m").await?;
    scene.remove().await
}

#[tokio::test]
async fn below_the_template_only_where_the_policy_says_so_and_the_template_is_as_it_was() -> Result<()> {
    let scene = Scene::set("below").await?;
    scene.starve("200m").await?;
    let controller = scene.controller().await?;
    let rules: Api<api::Rule> = Api::namespaced(controller.clone(), "below");
    let rule = |labels: Value, resource: &str| {
        let mut figures = json!({"limits": {"cpu": "160m"}, "requests": {"cpu": "100m"}});
        if resource == "memory" {
            figures = json!({"limits": {"memory": "100Mi"}});
        }
        let said = json!({"limits": {resource: if resource == "cpu" { "200m" } else { "128Mi" }}});
        let mut size = json!({"name": "app", "insteadOf": said});
        json_patch::merge(&mut size, &figures);
        serde_json::from_value::<api::Rule>(json!({
            "apiVersion": "huddle.dev/v1alpha1", "kind": "Rule",
            "metadata": {"name": "lowers", "namespace": "below", "labels": labels},
            "spec": {"workload": "starved", "form": "Steady", "selector": {"matchLabels": {"app": "starved"}}, "containers": [size]},
        }))
    };
    let marked = json!({"huddle.dev/lowers": "true", "huddle.dev/state": "trial"});
    let create = async |labels: &Value, resource: &str| -> Result<Result<api::Rule, String>> {
        let made = rules
            .create(&PostParams::default(), &rule(labels.clone(), resource)?)
            .await;
        Ok(made.map_err(|error| error.to_string()))
    };
    let refused = async |labels: &Value, resource: &str, why: &str| {
        wait("the rule is refused", async || {
            match create(labels, resource).await? {
                Ok(_) => {
                    rules.delete("lowers", &DeleteParams::default()).await?;
                    anyhow::bail!("it was made")
                }
                Err(error) => ensure!(error.contains(why), "{error}"),
            }
            Ok(())
        })
        .await
    };
    refused(&json!({"huddle.dev/state": "trial"}), "cpu", "carries the label").await?;
    ensure!(create(&marked, "cpu").await?.is_err(), "no Policy, no lowering");
    allow_lowering(&scene).await?;
    refused(&marked, "memory", "giveBackMemory").await?;

    let plan = lessening(&scene, (2, 200, 160), Some(200)).await?;
    let plan = carried_out(&scene, "plan-below", &plan).await?;
    are_sized(&scene, "160m").await?;
    for (own, cpu) in [
        ("200m", "160m"),
        ("0.2", "160m"),
        ("300m", "300m"),
        ("180m", "180m"),
        ("140m", "140m"),
    ] {
        comes_with(&controller, "below", own, cpu).await?;
    }
    scene.ask_back(&plan).await?;
    scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    are_sized(&scene, "200m").await?;
    comes_with(&controller, "below", "200m", "200m").await?;
    scene.remove().await
}

/// Of the request alone, as of a container without a limit: 100m → 60m in each pod, and for those to come.
async fn asking_less(scene: &Scene) -> Result<Plan> {
    let mut plan = lessening(scene, (2, 200, 200), None).await?;
    let requests = |request| Sizing {
        requests: cpu(request),
        limits: Compute::default(),
    };
    for action in &mut plan.actions {
        match action {
            Action::Resize { to, .. } => to.requests.cpu = Some(Millicores(60)),
            Action::Size { to, instead, .. } => (*to, *instead) = (requests(60), requests(100)),
            Action::Place { .. }
            | Action::Move { .. }
            | Action::Route { .. }
            | Action::Withdraw { .. }
            | Action::Cell { .. }
            | Action::Merge { .. } => {}
        }
    }
    for given in &mut plan.given_back {
        (given.before, given.after) = (requests(100), requests(60));
    }
    Ok(plan)
}

#[tokio::test]
async fn a_request_is_lowered_beside_a_limit_that_stays() -> Result<()> {
    let scene = Scene::set("asked").await?;
    scene.starve("200m").await?;
    allow_lowering(&scene).await?;
    let controller = scene.controller().await?;
    let plan = carried_out(&scene, "plan-asked", &asking_less(&scene).await?).await?;
    have(&scene, "requests", "60m").await?;
    are_sized(&scene, "200m").await?;
    for (own, then) in [("100m", "60m"), ("0.1", "60m"), ("150m", "150m"), ("80m", "80m")] {
        come_with(&controller, "asked", [own, "200m"], [then, "200m"]).await?;
    }
    come_with(&controller, "asked", ["50m", "50m"], ["50m", "50m"]).await?;
    scene.ask_back(&plan).await?;
    scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    have(&scene, "requests", "100m").await?;
    come_with(&controller, "asked", ["100m", "200m"], ["100m", "200m"]).await?;
    scene.remove().await
}

/// As for a container that waits for a processor without a limit: the rule says what is asked for, and nothing of limits.
#[tokio::test]
async fn a_request_is_raised_without_a_limit_and_never_above_one() -> Result<()> {
    let scene = Scene::set("more").await?;
    scene.starve("400m").await?;
    let controller = scene.controller().await?;
    let mut plan = scene.relief("app", 400).await?;
    for action in &mut plan.actions {
        match action {
            Action::Resize { to, .. } => to.requests.cpu = Some(Millicores(300)),
            Action::Size { to, .. } => {
                *to = Sizing {
                    requests: cpu(300),
                    limits: Compute::default(),
                }
            }
            Action::Place { .. }
            | Action::Move { .. }
            | Action::Route { .. }
            | Action::Withdraw { .. }
            | Action::Cell { .. }
            | Action::Merge { .. } => {}
        }
    }
    for action in &mut plan.actions {
        if let Action::Resize { from, to, .. } = action {
            (from.limits.cpu, to.limits.cpu) = (Some(Millicores(400)), Some(Millicores(400)));
        }
    }
    let plan = carried_out(&scene, "plan-more", &plan).await?;
    have(&scene, "requests", "300m").await?;
    let bounds = [("400m", "300m"), ("300m", "300m"), ("250m", "100m")];
    for (limit, then) in bounds {
        come_with(&controller, "more", ["100m", limit], [then, limit]).await?;
    }
    come_with(&controller, "more", ["350m", "400m"], ["350m", "400m"]).await?;
    scene.ask_back(&plan).await?;
    scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    have(&scene, "requests", "100m").await?;
    scene.remove().await
}

#[tokio::test]
async fn a_template_that_its_owner_has_changed_is_not_lowered() -> Result<()> {
    let scene = Scene::set("changed").await?;
    scene.starve("200m").await?;
    allow_lowering(&scene).await?;
    let planned = lessening(&scene, (2, 200, 160), Some(200)).await?;
    let deployments: Api<Deployment> = Api::namespaced(scene.admin.clone(), "changed");
    let body = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "resources": {"limits": {"cpu": "300m"}}}]}}}});
    deployments
        .patch("starved", &PatchParams::default(), &Patch::Strategic(body))
        .await?;
    let plan = scene.approved(&planned).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    let story = scene.story(&plan).await?;
    ensure!(scene.phase(&plan).await? == PlanPhase::RolledBack, "{story}");
    ensure!(scene.rules().await?.is_empty(), "rules stand: {story}");
    wait("all pods are as the owner wants them", async || {
        are_sized(&scene, "300m").await
    })
    .await?;
    scene.remove().await
}

/// Kills the controller after its write `n` while it gives back, and again while that is undone at a sign.
async fn killed_after(n: u64) -> Result<bool> {
    let scene = Scene::set(&format!("lessened-{n}")).await?;
    scene.starve("200m").await?;
    allow_lowering(&scene).await?;
    let plan = scene
        .approved(&lessening(&scene, (2, 200, 160), Some(200)).await?)
        .await?;
    let forth = scene.live(&plan, Fault::Dies(n), &ENDS).await?;
    if matches!(forth, Life::Died) {
        scene.live(&plan, Fault::None, &ENDS).await?;
    }
    ensure!(
        scene.phase(&plan).await? == PlanPhase::Proved,
        "{}",
        scene.story(&plan).await?
    );
    are_sized(&scene, "160m").await?;
    scene.says.missed.store(true, Ordering::SeqCst);
    let back = scene.live(&plan, Fault::Dies(n), &[PlanPhase::RolledBack]).await?;
    if matches!(back, Life::Died) {
        scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    }
    are_sized(&scene, "200m").await?;
    ensure!(scene.rules().await?.is_empty(), "rules stand");
    scene.remove().await?;
    Ok(matches!(forth, Life::Died))
}

#[tokio::test]
async fn killed_after_any_write_it_is_given_back_and_given_again() -> Result<()> {
    after_every_write(100, killed_after).await
}
