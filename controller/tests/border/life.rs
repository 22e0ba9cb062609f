//! A plan's life: from approval to proof and back, with a controller that dies, is refused, or finds the world changed.

use super::cluster::shared;
use super::faults::Fault;
use super::kubelets::{make_node, set_ready};
use super::scene::{Life, Scene, after_every_write, node_of, wait};
use anyhow::{Context, Result, ensure};
use huddle_api::PlanPhase;
use huddle_core::id::{NodeName, PodUid};
use huddle_core::plan::Action;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

const ENDS: [PlanPhase; 2] = [PlanPhase::Proved, PlanPhase::RolledBack];

async fn is_done(scene: &Scene) -> Result<()> {
    let pods = scene.nothing_stuck(3).await?;
    ensure!(pods.iter().any(|pod| node_of(pod) == "node-1"), "no pod is on node-1");
    let rules = scene.rules().await?;
    ensure!(rules.len() == 1, "{} rules", rules.len());
    let spec = scene.service().await?.spec.unwrap_or_default();
    ensure!(
        spec.traffic_distribution.as_deref() == Some("PreferSameNode"),
        "not routed"
    );
    Ok(())
}

async fn is_undone(scene: &Scene) -> Result<()> {
    scene.nothing_stuck(3).await?;
    ensure!(scene.rules().await?.is_empty(), "rules stand");
    let spec = scene.service().await?.spec.unwrap_or_default();
    ensure!(spec.traffic_distribution.is_none(), "routing stands");
    Ok(())
}

#[tokio::test]
async fn approved_is_proved_and_rolled_back_object_by_object() -> Result<()> {
    let scene = Scene::set("whole").await?;
    let before = scene.service().await?;
    let plan = scene.approved(&scene.plan().await?).await?;
    let serving = scene.fewest_serving().await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    ensure!(
        scene.phase(&plan).await? == PlanPhase::Proved,
        "{}",
        scene.story(&plan).await?
    );
    is_done(&scene).await?;
    let conditions = scene
        .plans()
        .get(plan.as_str())
        .await?
        .status
        .map(|status| status.conditions);
    let finished = conditions
        .iter()
        .flatten()
        .any(|it| it.type_ == "Finished" && it.status == "True" && it.reason == "Proved");
    ensure!(finished, "{conditions:?}");
    let fewest = serving.load(Ordering::SeqCst);
    ensure!(fewest == 3, "only {fewest} pods served at some moment");

    scene.ask_back(&plan).await?;
    scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    is_undone(&scene).await?;
    let mut after = scene.service().await?;
    ensure!(after.spec == before.spec, "the Service is not what it was");
    let ours = after
        .managed_fields()
        .iter()
        .any(|entry| entry.manager.as_deref() == Some("huddle"));
    ensure!(!ours, "Huddle still owns a part of the Service");
    after
        .metadata
        .managed_fields
        .clone_from(&before.metadata.managed_fields);
    after
        .metadata
        .resource_version
        .clone_from(&before.metadata.resource_version);
    ensure!(
        after.metadata == before.metadata,
        "the Service's metadata is not what it was"
    );
    Ok(())
}

#[tokio::test]
async fn two_pods_join_a_third_on_its_node_against_the_default_spread() -> Result<()> {
    let scene = Scene::set("two").await?;
    let mut planned = scene.plan().await?;
    let pods = scene.pods("callee").await?;
    let target = pods.first().map(node_of).context("a callee")?.to_owned();
    let mut moves = Vec::new();
    for pod in pods.iter().filter(|pod| node_of(pod) != target).take(2) {
        let mut action = planned.actions.get(1).cloned().context("a move")?;
        if let Action::Move {
            pod: uid, pod_name, to, ..
        } = &mut action
        {
            *uid = PodUid::new(pod.uid().unwrap_or_default());
            *pod_name = pod.name_any();
            *to = NodeName::new(&target);
        }
        moves.push(action);
    }
    ensure!(moves.len() == 2, "two callees elsewhere");
    planned.actions = moves;
    let plan = scene.approved(&planned).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    let pods = scene.nothing_stuck(3).await?;
    let there = pods.iter().filter(|pod| node_of(pod) == target).count();
    ensure!(there == 3, "{}", scene.story(&plan).await?);
    Ok(())
}

/// Kills the controller after its write `n` on the way to the proof, starts it again, then the same on the way back.
/// Whether there was a write `n` to be killed after.
async fn killed_after(n: u64) -> Result<bool> {
    let scene = Scene::set(&format!("killed-{n}")).await?;
    let plan = scene.approved(&scene.plan().await?).await?;
    let forth = scene.live(&plan, Fault::Dies(n), &ENDS).await?;
    if matches!(forth, Life::Died) {
        scene.live(&plan, Fault::None, &ENDS).await?;
    }
    let story = scene.story(&plan).await?;
    ensure!(scene.phase(&plan).await? == PlanPhase::Proved, "{story}");
    is_done(&scene).await.with_context(|| story)?;

    scene.ask_back(&plan).await?;
    let back = scene.live(&plan, Fault::Dies(n), &[PlanPhase::RolledBack]).await?;
    if matches!(back, Life::Died) {
        scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    }
    is_undone(&scene)
        .await
        .with_context(|| format!("undone after write {n}"))?;
    scene.remove().await?;
    Ok(matches!(forth, Life::Died))
}

#[tokio::test]
async fn killed_after_any_write_it_ends_done_and_comes_back() -> Result<()> {
    after_every_write(200, killed_after).await
}

#[tokio::test]
async fn conflicts_refusals_errors_and_cuts_do_not_stop_it() -> Result<()> {
    for every in [17, 23] {
        let scene = Scene::set(&format!("troubled-{every}")).await?;
        let plan = scene.approved(&scene.plan().await?).await?;
        scene.live(&plan, Fault::Troubled(every), &ENDS).await?;
        let story = scene.story(&plan).await?;
        ensure!(scene.phase(&plan).await? == PlanPhase::Proved, "{story}");
        is_done(&scene).await.with_context(|| story)?;
        scene.remove().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_regression_is_rolled_back() -> Result<()> {
    let scene = Scene::set("regressed").await?;
    scene.says.regressed.store(true, Ordering::SeqCst);
    let plan = scene.approved(&scene.plan().await?).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    ensure!(scene.phase(&plan).await? == PlanPhase::RolledBack, "not rolled back");
    is_undone(&scene).await
}

#[tokio::test]
async fn calls_that_fail_while_a_pod_is_moved_give_the_old_pod_back() -> Result<()> {
    let scene = Scene::set("harming").await?;
    let pods = scene.pods("callee").await?;
    let plan = scene.approved(&scene.plan().await?).await?;
    scene.live_until_released(&plan).await?;
    scene.says.harming.store(true, Ordering::SeqCst);
    scene.let_go().await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    ensure!(scene.phase(&plan).await? == PlanPhase::RolledBack, "not rolled back");
    let left = scene.nothing_stuck(3).await?;
    ensure!(names(&left) == names(&pods), "other pods than before");
    let story = scene.story(&plan).await?;
    ensure!(story.contains("regressed"), "{story}");
    Ok(())
}

#[tokio::test]
async fn routing_is_withdrawn_when_its_guard_says_no_also_after_the_proof() -> Result<()> {
    let scene = Scene::set("guarded").await?;
    let plan = scene.approved(&scene.plan().await?).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    is_done(&scene).await?;
    scene.says.overload.store(true, Ordering::SeqCst);
    let rounds = scene.rounds(&plan);
    let looks = wait("the route is withdrawn", async || {
        let spec = scene.service().await?.spec.unwrap_or_default();
        ensure!(spec.traffic_distribution.is_none(), "routed");
        Ok(())
    });
    tokio::select! {
        result = looks => result?,
        result = rounds => result?,
    }
    ensure!(
        scene.phase(&plan).await? == PlanPhase::Proved,
        "the rest of the plan stays"
    );
    Ok(())
}

#[tokio::test]
async fn the_old_pod_deleted_in_the_middle_is_replaced() -> Result<()> {
    let scene = Scene::set("deleted").await?;
    let planned = scene.plan().await?;
    let plan = scene.approved(&planned).await?;
    scene.live_until_released(&plan).await?;
    if let Some(Action::Move { pod_name, .. }) = planned.actions.get(1) {
        scene.delete_pod(pod_name).await?;
    }
    scene.let_go().await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    is_done(&scene).await
}

#[tokio::test]
async fn a_replacement_that_never_gets_ready_gives_the_old_pod_back() -> Result<()> {
    let scene = Scene::set("unready").await?;
    let pods = scene.pods("callee").await?;
    let plan = scene.approved(&scene.plan().await?).await?;
    scene.live_until_released(&plan).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    let left = scene.nothing_stuck(3).await?;
    ensure!(names(&left) == names(&pods), "other pods than before");
    let story = scene.story(&plan).await?;
    ensure!(story.contains("notReady"), "{story}");
    Ok(())
}

fn names(pods: &[Pod]) -> BTreeSet<String> {
    pods.iter().map(ResourceExt::name_any).collect()
}

#[tokio::test]
async fn a_node_lost_in_the_middle_undoes_the_move() -> Result<()> {
    let scene = Scene::set("lost").await?;
    make_node(&scene.admin, "node-5", 4).await?;
    let pods = scene.pods("callee").await?;
    let mut planned = scene.plan_to("node-5").await?;
    planned.actions.retain(|action| matches!(action, Action::Move { .. }));
    let plan = scene.approved(&planned).await?;
    scene.live_until_released(&plan).await?;
    set_ready(&scene.admin, "node-5", false).await?;
    let lived = scene.live(&plan, Fault::None, &ENDS).await;
    set_ready(&scene.admin, "node-5", true).await?;
    lived?;
    let left = scene.nothing_stuck(3).await?;
    ensure!(names(&left) == names(&pods), "other pods than before");
    let story = scene.story(&plan).await?;
    ensure!(story.contains("nodeLost"), "{story}");
    Ok(())
}

#[tokio::test]
async fn a_roll_out_by_the_owner_in_the_middle_wins() -> Result<()> {
    let scene = Scene::set("rolled").await?;
    let plan = scene.approved(&scene.plan().await?).await?;
    scene.live_until_released(&plan).await?;
    scene.annotate_template("callee", "border/rolled").await?;
    scene.let_go().await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    wait("the roll-out is through", async || {
        let pods = scene.nothing_stuck(3).await?;
        let new = pods.iter().all(|pod| pod.annotations().contains_key("border/rolled"));
        ensure!(new, "old pods are left");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn one_writer_holds_the_lease_and_the_next_one_takes_it_when_it_is_gone() -> Result<()> {
    let client = shared().await.user(None).await;
    let mut first = huddle::act::Lease::new(client.clone(), "first".to_owned());
    let mut second = huddle::act::Lease::new(client.clone(), "second".to_owned());
    ensure!(first.hold().await?, "nobody else held it");
    ensure!(!second.hold().await?, "two hold it");
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> = Api::namespaced(client, huddle_api::SYSTEM_NAMESPACE);
    leases
        .delete(huddle_api::SERVICE_ACCOUNT, &DeleteParams::default())
        .await?;
    ensure!(second.hold().await?, "it was free");
    Ok(())
}
