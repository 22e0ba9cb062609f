//! Policy Auto: the controller approves by itself, in its own name, and only then.

use super::cluster::apply;
use super::faults::Fault;
use super::scene::{Scene, wait};
use anyhow::{Context, Result, ensure};
use huddle::act::Evidence;
use huddle::act::{held, take_up};
use huddle::watch::convert;
use huddle_api as api;
use huddle_core::act::Hold;
use huddle_core::cluster::ClusterView;
use huddle_core::id::PlanId;
use huddle_core::time::{Span, Timestamp};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;

/// What the watches would know: the namespace's policy.
async fn policies(scene: &Scene) -> Result<ClusterView> {
    let policies: Api<api::Policy> = Api::namespaced(scene.admin.clone(), &scene.namespace);
    let policy = policies.get("huddle").await?;
    let read = convert::policy(&policy)?.context("a policy")?;
    Ok(ClusterView {
        policies: [read].into(),
        ..ClusterView::default()
    })
}

/// The plans about this namespace.
async fn plans(scene: &Scene) -> Result<Vec<api::Plan>> {
    let all = scene.plans().list(&ListParams::default()).await?.items;
    let own = |plan: &api::Plan| plan.name_any().contains(&scene.namespace);
    Ok(all.into_iter().filter(own).collect())
}

async fn wish(scene: &Scene, automation: &str) -> Result<()> {
    apply(
        &scene.admin,
        json!({"apiVersion": "huddle.dev/v1alpha1", "kind": "Policy",
            "metadata": {"name": "huddle", "namespace": scene.namespace},
            "spec": {"automation": automation, "cooldownMinutes": 60}}),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_goes_ahead_alone_where_the_policy_says_so() -> Result<()> {
    let scene = Scene::set("alone").await?;
    let controller = scene.controller().await?;
    let name = format!("plan-{}", scene.namespace);
    wish(&scene, "Approve").await?;
    let made = scene.proposed_as(&name, &scene.plan().await?).await?;
    let soon = scene.says.now();
    let later = soon.plus(Span::seconds(300));
    let taken = take_up(&controller, &policies(&scene).await?, &plans(&scene).await?, later).await?;
    ensure!(taken.is_none(), "approved against the policy: {taken:?}");

    wish(&scene, "Auto").await?;
    let view = policies(&scene).await?;
    let hold = held(&made, &view, &plans(&scene).await?, soon);
    ensure!(matches!(hold, Some(Err(Hold::Young { .. }))), "{hold:?}");
    ensure!(
        take_up(&controller, &view, &plans(&scene).await?, soon)
            .await?
            .is_none(),
        "approved before anybody could look"
    );
    let taken = take_up(&controller, &view, &plans(&scene).await?, later).await?;
    ensure!(taken == Some(PlanId::new(name.clone())), "{taken:?}");
    let approved = scene.plans().get(&name).await?;
    let by = approved.spec.approval.context("approved")?.by;
    ensure!(by.ends_with("huddle-controller"), "approved by {by}");
    let ended = [api::PlanPhase::Proved, api::PlanPhase::RolledBack];
    scene.live(&PlanId::new(name.clone()), Fault::None, &ended).await?;
    ensure!(
        scene.phase(&PlanId::new(name.clone())).await? == api::PlanPhase::Proved,
        "not proved"
    );

    // Advice only: nothing more is done there, whoever has approved it.
    wish(&scene, "Recommend").await?;
    let advice = scene
        .approved_as(
            &format!("plan-{}-advice", scene.namespace),
            &scene.plan_to("node-3").await?,
        )
        .await?;
    scene.live(&advice, Fault::None, &ended).await?;
    let story = scene.story(&advice).await?;
    ensure!(
        scene.phase(&advice).await? == api::PlanPhase::RolledBack && story.contains("notAllowed"),
        "{story}"
    );
    wish(&scene, "Auto").await?;

    let next = format!("plan-{}-next", scene.namespace);
    let second = scene.proposed_as(&next, &scene.plan_to("node-2").await?).await?;
    let at = |now: Timestamp| {
        let (scene, view, second) = (&scene, &view, &second);
        async move { anyhow::Ok(held(second, view, &plans(scene).await?, now)) }
    };
    let proved = wait("the proof is recorded", async || {
        let first = plans(&scene).await?.into_iter().find(|plan| plan.name_any() == name);
        first
            .and_then(|plan| plan.status)
            .map(|status| Timestamp(status.since))
            .context("no status")
    })
    .await?;
    let (cooling, free) = (
        at(proved.plus(Span::seconds(3_599))).await?,
        at(proved.plus(Span::seconds(3_600))).await?,
    );
    ensure!(matches!(cooling, Some(Err(Hold::Cooling { .. }))), "{cooling:?}");
    ensure!(free == Some(Ok(())), "{free:?}");
    Ok(())
}
