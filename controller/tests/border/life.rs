//! A plan's life: from approval to proof and back, with a controller that dies, is refused, or finds the world changed.

use super::faults::Fault;
use super::scene::{Life, Scene, node_of};
use anyhow::{Result, ensure};
use huddle_api::PlanPhase;
use kube::ResourceExt;

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

#[tokio::test]
async fn approved_is_proved_and_rolled_back_object_by_object() -> Result<()> {
    let scene = Scene::set("whole").await?;
    let before = scene.service().await?;
    let plan = scene.approved(&scene.plan().await?).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    ensure!(
        scene.phase(&plan).await? == PlanPhase::Proved,
        "{}",
        scene.story(&plan).await?
    );
    is_done(&scene).await?;

    scene.ask_back(&plan).await?;
    scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    scene.nothing_stuck(3).await?;
    ensure!(scene.rules().await?.is_empty(), "rules stand");
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
async fn killed_after_any_write_it_ends_done() -> Result<()> {
    let scene = Scene::set("count").await?;
    let plan = scene.approved(&scene.plan().await?).await?;
    let Life::Lived { writes } = scene.live(&plan, Fault::None, &ENDS).await? else {
        unreachable!("nothing kills it");
    };
    is_done(&scene).await?;
    println!("{writes} writes");
    Ok(())
}
