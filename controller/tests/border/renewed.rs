//! A merge whose callee's owner rolls out another version: the companion follows, also under a controller that dies after any write.

use super::direct::{direct, policy};
use super::faults::Fault;
use super::merges::{ENDS, companions, filters, is_merged, is_split, plan, scene};
use super::scene::{Life, PATIENCE, Scene, after_every_write};
use anyhow::{Context, Result, ensure};
use huddle_api::{self as api, PlanPhase};
use huddle_core::plan::merge::Way;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use std::sync::atomic::Ordering;

/// Only what is of the second version is there, in every pod of the caller.
async fn has_followed(scene: &Scene, way: Way) -> Result<()> {
    let [companion] = companions(scene).await?.try_into().ok().context("one companion")?;
    let name = companion.name_any();
    ensure!(name.ends_with("-v2"), "{name}");
    ensure!(
        companion.spec.loopback.is_some() == (way == Way::Direct),
        "{name} goes another way"
    );
    for filter in filters(scene).list(&ListParams::default()).await? {
        ensure!(
            filter.labels().get(api::LABEL_COMPANION) == Some(&name),
            "{} is of the one before",
            filter.name_any()
        );
    }
    let pods: Api<Pod> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    let callers = pods.list(&ListParams::default().labels("app=caller")).await?.items;
    let held = |pod: &Pod| pod.labels().get(api::LABEL_COMPANION) == Some(&name);
    ensure!(callers.len() == 2 && callers.iter().all(held), "{} pods", callers.len());
    let orphans = pods.list(&ListParams::default().labels(api::LABEL_ORPHAN)).await?.items;
    ensure!(orphans.is_empty(), "{} orphans", orphans.len());
    Ok(())
}

/// Merged, then another version of the callee, with a controller that dies after write `n` of what it does for that version; whether it died.
/// Split where it did not: what stands then is a merge like any other.
async fn killed_after(way: Way, n: u64) -> Result<bool> {
    let scene = scene(&format!("renewed-{way:?}-{n}").to_lowercase()).await?;
    let plan = match way {
        Way::Proxied => plan(&scene),
        Way::Direct => {
            policy(&scene, "Direct").await?;
            direct(&scene)
        }
    };
    let plan = scene.approved(&plan).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    let story = scene.story(&plan).await?;
    ensure!(scene.phase(&plan).await? == PlanPhase::Proved, "{story}");
    is_merged(&scene).await.with_context(|| story)?;

    scene.annotate_template("callee", "v2").await?;
    let follows = async || has_followed(&scene, way).await;
    let died = matches!(
        scene.live_until(PATIENCE, &plan, Fault::Dies(n), follows).await?,
        Life::Died
    );
    scene.live_until(PATIENCE, &plan, Fault::None, follows).await?;
    is_merged(&scene).await?;
    let phase = scene.phase(&plan).await?;
    ensure!(phase == PlanPhase::Proved, "{}", scene.story(&plan).await?);

    if !died {
        scene.ask_back(&plan).await?;
        scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
        is_split(&scene).await?;
    }
    scene.remove().await?;
    Ok(died)
}

#[tokio::test]
async fn a_controller_that_dies_after_any_write_is_replaced_by_one_that_ends_what_follows_a_version() -> Result<()> {
    after_every_write(120, |n| killed_after(Way::Proxied, n)).await
}

/// No proxy is told anything of it; the pods show when it is over.
#[tokio::test]
async fn the_same_over_loopback() -> Result<()> {
    after_every_write(120, |n| killed_after(Way::Direct, n)).await
}

/// A plan that was proved is looked at again for as long as it changes something.
#[tokio::test]
async fn calls_that_fail_while_a_version_is_followed_split_the_two() -> Result<()> {
    let scene = scene("renewed-harm").await?;
    let plan = scene.approved(&plan(&scene)).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    scene.says.harming.store(true, Ordering::SeqCst);
    scene.annotate_template("callee", "v2").await?;
    let back = [PlanPhase::RolledBack];
    scene.live(&plan, Fault::None, &back).await?;
    is_split(&scene).await?;
    scene.remove().await
}
