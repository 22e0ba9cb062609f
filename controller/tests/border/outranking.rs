//! A newer steady rule takes an older one's place, and its deletion alone gives that place back.

use super::admission::{dry_run, pod};
use super::faults::Fault;
use super::scene::{Life, Scene, after_every_write, wait};
use anyhow::{Result, ensure};
use huddle_api as api;
use huddle_api::PlanPhase;
use huddle_core::id::{PlanId, WorkloadId};
use huddle_core::plan::{Action, Plan};
use kube::api::DeleteParams;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ENDS: [PlanPhase; 2] = [PlanPhase::Proved, PlanPhase::RolledBack];
/// A pod's wishes to be near others.
const NEAR: &str = "/spec/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution";

/// The callees next to the pods of `hub`; one of them is moved under a step rule first, and the rule follows.
async fn plan(scene: &Scene, hub: &str, to: &str) -> Result<Plan> {
    let mut plan = scene.plan_to(to).await?;
    plan.actions.retain(|action| !matches!(action, Action::Route { .. }));
    plan.actions.rotate_left(1);
    for action in &mut plan.actions {
        if let Action::Place { with, .. } = action {
            *with = WorkloadId::deployment(&scene.namespace, hub);
        }
    }
    Ok(plan)
}

async fn proved(scene: &Scene, hub: &str, to: &str) -> Result<PlanId> {
    let name = format!("plan-{}-{hub}", scene.namespace);
    let plan = scene.approved_as(&name, &plan(scene, hub, to).await?).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    let story = scene.story(&plan).await?;
    ensure!(scene.phase(&plan).await? == PlanPhase::Proved, "{story}");
    Ok(plan)
}

async fn rolled_back(scene: &Scene, plan: &PlanId, fault: Fault) -> Result<()> {
    scene.ask_back(plan).await?;
    let back = [PlanPhase::RolledBack];
    if matches!(scene.live(plan, fault, &back).await?, Life::Died) {
        scene.live(plan, Fault::None, &back).await?;
    }
    Ok(())
}

/// The rules that stand, as the API server has them: an untouched one keeps its resourceVersion.
async fn standing(scene: &Scene) -> Result<BTreeMap<String, api::Rule>> {
    let rules = scene.rules().await?;
    Ok(rules.into_iter().map(|rule| (rule.name_any(), rule)).collect())
}

/// The steady rule of a plan's last step.
fn steady(plan: &PlanId) -> String {
    format!("{plan}-1")
}

/// A pod as the scene's ReplicaSet would create it now is placed by exactly these rules, next to exactly these hubs.
async fn is_placed(client: &Client, namespace: &str, rules: &[&str], hubs: &[&str]) -> Result<()> {
    let own = json!({"metadata": {"labels": {"huddle.dev/trial": null}}});
    let made = dry_run(client, namespace, &pod(&own)).await?;
    let marks: Vec<String> = made
        .annotations()
        .get(api::ANNOTATION_RULE)
        .map(|names| names.split(',').map(str::to_owned).collect())
        .unwrap_or_default();
    ensure!(marks == rules, "{marks:?} instead of {rules:?}");
    let made = serde_json::to_value(made)?;
    let terms = made
        .pointer(NEAR)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let near: Vec<&str> = terms
        .iter()
        .filter_map(|term| term.pointer("/podAffinityTerm/labelSelector/matchLabels/app")?.as_str())
        .collect();
    ensure!(near == hubs, "near {near:?} instead of {hubs:?}");
    Ok(())
}

/// The same once the API server's admission has heard of the last change.
async fn placed(client: &Client, namespace: &str, rules: &[&str], hubs: &[&str]) -> Result<()> {
    let looks = async || is_placed(client, namespace, rules, hubs).await;
    wait("the rules that stand work", looks).await
}

async fn scene(name: &str) -> Result<Scene> {
    let scene = Scene::set(name).await?;
    for hub in ["second", "third"] {
        scene.deploy(hub, 1, "NotIn").await?;
        scene.whole(hub, 1).await?;
    }
    Ok(scene)
}

#[tokio::test]
async fn a_newer_rule_takes_the_place_of_an_older_one_until_it_is_deleted() -> Result<()> {
    let scene = scene("outranked").await?;
    let (controller, namespace) = (scene.controller().await?, scene.namespace.clone());
    let first = proved(&scene, "caller", "node-1").await?;
    placed(&controller, &namespace, &[&steady(&first)], &["caller"]).await?;
    let before = standing(&scene).await?;

    let second = proved(&scene, "second", "node-2").await?;
    ensure!(standing(&scene).await?.len() == 2, "the older rule stays");
    placed(&controller, &namespace, &[&steady(&second)], &["second"]).await?;
    // Rules work on a pod in any order: what holds for one pod holds for many.
    for _ in 0..20 {
        is_placed(&controller, &namespace, &[&steady(&second)], &["second"]).await?;
    }
    let own = json!([{"weight": 100, "podAffinityTerm": {
        "labelSelector": {"matchLabels": {"app": "caller"}}, "topologyKey": "kubernetes.io/hostname"}}]);
    let owned = json!({"metadata": {"labels": {"huddle.dev/trial": null}}, "spec": {"affinity": {"podAffinity":
        {"preferredDuringSchedulingIgnoredDuringExecution": own}}}});
    for _ in 0..20 {
        let made = serde_json::to_value(dry_run(&controller, &namespace, &pod(&owned)).await?)?;
        let terms = made.pointer(NEAR);
        let count = terms.and_then(Value::as_array).map_or(0, Vec::len);
        let kept = terms.and_then(|terms| terms.get(0)) == own.get(0);
        ensure!(
            count == 2 && kept,
            "the owner's equal wish is not the outranked one's: {made:#}"
        );
    }

    // Third: the first rule was kept for the second's rollback, and ends with the third's proof.
    let third = proved(&scene, "third", "node-3").await?;
    let names: Vec<String> = standing(&scene).await?.into_keys().collect();
    ensure!(names == [steady(&second), steady(&third)], "{names:?}");
    placed(&controller, &namespace, &[&steady(&third)], &["third"]).await?;

    // By hand, Huddle gone: deletion is all it takes.
    let rules: Api<api::Rule> = Api::namespaced(scene.admin.clone(), &namespace);
    rules.delete(&steady(&third), &DeleteParams::default()).await?;
    placed(&controller, &namespace, &[&steady(&second)], &["second"]).await?;
    ensure!(before.len() == 1, "one rule stood at first");
    for plan in [&third, &second, &first] {
        rolled_back(&scene, plan, Fault::None).await?;
    }
    ensure!(standing(&scene).await?.is_empty(), "rules are left");
    placed(&controller, &namespace, &[], &[]).await?;
    scene.remove().await
}

/// Kills the controller after its write `n` of a second plan, on the way forth and back. Whether there was such a write.
async fn killed_after(n: u64) -> Result<bool> {
    let scene = scene(&format!("outranked-{n}")).await?;
    let (controller, namespace) = (scene.controller().await?, scene.namespace.clone());
    let first = proved(&scene, "caller", "node-1").await?;
    let before = standing(&scene).await?;

    let name = format!("plan-{namespace}-second");
    let second = scene
        .approved_as(&name, &plan(&scene, "second", "node-2").await?)
        .await?;
    let forth = scene.live(&second, Fault::Dies(n), &ENDS).await?;
    let died = matches!(forth, Life::Died);
    if died {
        // Whatever stands now, a pod that is created now gets the one rule or the other, never both.
        let own = json!({"metadata": {"labels": {"huddle.dev/trial": null}}});
        let made = dry_run(&controller, &namespace, &pod(&own)).await?;
        let marks = made
            .annotations()
            .get(api::ANNOTATION_RULE)
            .cloned()
            .unwrap_or_default();
        ensure!(!marks.is_empty() && !marks.contains(','), "placed by {marks:?}");
        scene.live(&second, Fault::None, &ENDS).await?;
    }
    ensure!(
        scene.phase(&second).await? == PlanPhase::Proved,
        "{}",
        scene.story(&second).await?
    );
    placed(&controller, &namespace, &[&steady(&second)], &["second"]).await?;

    rolled_back(&scene, &second, Fault::Dies(n)).await?;
    ensure!(
        standing(&scene).await? == before,
        "the older rule is not what it was, object by object"
    );
    placed(&controller, &namespace, &[&steady(&first)], &["caller"]).await?;
    scene.nothing_stuck(3).await?;
    scene.remove().await?;
    Ok(died)
}

#[tokio::test]
async fn killed_after_any_write_one_rule_works_and_the_older_one_comes_back() -> Result<()> {
    after_every_write(200, killed_after).await
}
