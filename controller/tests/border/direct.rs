//! Merges over loopback: where the Policy accepts them, what the pods hold then, and with a controller that dies after any write.

use super::cluster::apply;
use super::faults::Fault;
use super::merges::{ENDS, companions, dies_once, filters, parted, plan, replicas, scene, settled};
use super::scene::{Scene, after_every_write};
use anyhow::{Context, Result, ensure};
use huddle::act::goes_another_way;
use huddle_api::{self as api, PlanPhase};
use huddle_core::plan::merge::Way;
use huddle_core::plan::{Action, Plan};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

/// What the namespace's Policy says of the way.
pub(super) async fn policy(scene: &Scene, way: &str) -> Result<()> {
    let policy = json!({"apiVersion": "huddle.dev/v1alpha1", "kind": "Policy",
        "metadata": {"name": "huddle", "namespace": scene.namespace}, "spec": {"mergeWay": way}});
    apply(&scene.admin, policy).await
}

/// The merge of caller and callee, over loopback.
pub(super) fn direct(scene: &Scene) -> Plan {
    let mut direct = plan(scene);
    if let Some(Action::Merge { way, .. }) = direct.actions.first_mut() {
        *way = Way::Direct;
    }
    direct
}

#[tokio::test]
async fn over_loopback_no_proxy_is_told_anything_and_the_policys_word_is_kept() -> Result<()> {
    let scene = scene("direct").await?;
    let direct = direct(&scene);
    // The Policy does not accept what it costs: nothing is done.
    let refused = scene.approved(&direct).await?;
    scene.live(&refused, Fault::None, &ENDS).await?;
    ensure!(
        scene.story(&refused).await?.contains("mergeWay: Direct"),
        "{}",
        scene.story(&refused).await?
    );
    ensure!(companions(&scene).await?.is_empty(), "something was written");
    let outdated = async || anyhow::Ok(goes_another_way(&scene.controller().await?, &direct).await?);
    ensure!(outdated().await?, "the Policy names the other way");

    policy(&scene, "Direct").await?;
    ensure!(!outdated().await?, "the Policy names this way");
    scene.plans().delete(refused.as_str(), &Default::default()).await?;
    let merged = scene.approved(&direct).await?;
    scene.live(&merged, Fault::None, &ENDS).await?;
    let story = scene.story(&merged).await?;
    ensure!(scene.phase(&merged).await? == PlanPhase::Proved, "{story}");
    let [companion] = companions(&scene).await?.try_into().ok().context("one companion")?;
    let loopback = companion.spec.loopback.clone().context("names")?;
    ensure!(
        loopback.hostnames
            == [
                "callee",
                "callee.direct",
                "callee.direct.svc",
                "callee.direct.svc.cluster.local"
            ],
        "{loopback:?}"
    );
    for pod in settled(&scene).await? {
        ensure!(
            pod.labels().get(api::LABEL_COMPANION) == Some(&companion.name_any()),
            "{} has none",
            pod.name_any()
        );
        let spec = pod.spec.unwrap_or_default();
        let [alias] = spec
            .host_aliases
            .unwrap_or_default()
            .try_into()
            .ok()
            .context("one alias")?;
        ensure!(
            (alias.ip.as_str(), alias.hostnames) == ("127.0.0.1", Some(loopback.hostnames.clone())),
            "{}",
            alias.ip
        );
        let beside = spec.containers.iter().find(|it| it.name == "huddle-callee-app");
        let command = beside.and_then(|it| it.command.clone()).unwrap_or_default();
        ensure!(
            command.join(" ").contains("--lingers-ms 3000 --listens 80 -- /serve"),
            "{command:?}"
        );
    }
    let told = filters(&scene).list(&ListParams::default()).await?.items;
    ensure!(told.is_empty(), "{} EnvoyFilters", told.len());
    ensure!(replicas(&scene).await? == 2, "the callee was not made smaller");

    // Taken back, it is split: nobody accepts any more that calls fail.
    policy(&scene, "Proxied").await?;
    parted(&scene, &merged, "directRefused").await?;
    for pod in settled(&scene).await? {
        ensure!(
            pod.spec.is_some_and(|spec| spec.host_aliases.is_none()),
            "a pod knows the callee's names still"
        );
    }
    scene.remove().await
}

async fn killed_after(n: u64) -> Result<bool> {
    let scene = scene(&format!("loopback-{n}")).await?;
    policy(&scene, "Direct").await?;
    let plan = direct(&scene);
    dies_once(scene, &plan, n).await
}

#[tokio::test]
async fn a_controller_that_dies_after_any_write_is_replaced_by_one_that_ends_the_merge_over_loopback() -> Result<()> {
    after_every_write(120, killed_after).await
}
