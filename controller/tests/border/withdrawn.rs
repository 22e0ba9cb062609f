//! A rule of no use is deleted, and comes back where that is wanted: with a controller that dies after any write.

use super::faults::Fault;
use super::scene::{Life, Scene, after_every_write, node_of};
use anyhow::{Context, Result, ensure};
use huddle_api as api;
use huddle_api::PlanPhase;
use huddle_core::cluster::{Fade, SteadyRule};
use huddle_core::id::{PlanId, WorkloadId};
use huddle_core::plan::{Action, Faded, Plan};
use huddle_core::time::Timestamp;
use kube::ResourceExt;
use std::collections::BTreeSet;

const ENDS: [PlanPhase; 2] = [PlanPhase::Proved, PlanPhase::RolledBack];

/// A proved plan's rule, as the watches would tell of it.
async fn ruled(scene: &Scene) -> Result<SteadyRule> {
    let mut placing = scene.plan().await?;
    placing.actions.truncate(1);
    let plan = scene
        .approved_as(&format!("place-{}", scene.namespace), &placing)
        .await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    ensure!(
        scene.phase(&plan).await? == PlanPhase::Proved,
        "{}",
        scene.story(&plan).await?
    );
    let rules = scene.rules().await?;
    let [rule] = rules.as_slice() else {
        anyhow::bail!("{} rules", rules.len());
    };
    Ok(SteadyRule {
        name: rule.name_any(),
        uid: rule.uid().context("a uid")?,
        plan: plan.as_str().to_owned(),
        workload: WorkloadId::deployment(&scene.namespace, "callee"),
        beside: Some(WorkloadId::deployment(&scene.namespace, "caller")),
        outranks: BTreeSet::new(),
        fade: None,
    })
}

pub(super) fn fade() -> Fade {
    Fade {
        why: Faded::NotCalled,
        since: Timestamp(1_795_392_300_000),
        seen: Timestamp(1_795_999_900_000),
    }
}

/// What the engine would propose for it.
pub(super) fn withdrawal(rule: &SteadyRule) -> Plan {
    Plan {
        at: Timestamp(2),
        actions: vec![Action::Withdraw {
            workload: rule.workload.clone(),
            with: rule.beside.clone(),
            rule: rule.name.clone(),
            rule_uid: rule.uid.clone(),
            faded: fade().why,
            faded_since: fade().since,
        }],
        expected: Vec::new(),
        relief: Vec::new(),
        given_back: Vec::new(),
        merging: Vec::new(),
        spread: Vec::new(),
        refusals: Vec::new(),
        pods_restarted: 0,
        because: Vec::new(),
        saved: 0.0,
    }
}

/// A scene whose rule is noted to be of no use, and the plan that takes it away, approved.
async fn set(namespace: &str) -> Result<(Scene, SteadyRule, PlanId)> {
    let scene = Scene::set(namespace).await?;
    let rule = ruled(&scene).await?;
    huddle::act::note_fade(&scene.controller().await?, &rule, Some(&fade())).await?;
    let plan = scene.approved(&withdrawal(&rule)).await?;
    Ok((scene, rule, plan))
}

async fn is_back(scene: &Scene, before: &api::Rule) -> Result<()> {
    let rules = scene.rules().await?;
    let [rule] = rules.as_slice() else {
        anyhow::bail!("{} rules", rules.len());
    };
    ensure!(rule.spec == before.spec && rule.labels() == before.labels(), "{rule:?}");
    ensure!(
        !rule.annotations().contains_key(api::ANNOTATION_FADED),
        "still called of no use"
    );
    Ok(())
}

async fn killed_after(n: u64) -> Result<bool> {
    let (scene, _, plan) = set(&format!("faded-{n}")).await?;
    let before = scene.rules().await?.pop().context("a rule")?;
    let pods = |pods: Vec<k8s_openapi::api::core::v1::Pod>| -> BTreeSet<String> {
        pods.iter().filter_map(ResourceExt::uid).collect()
    };
    let standing = pods(scene.pods("callee").await?);
    let forth = scene.live(&plan, Fault::Dies(n), &ENDS).await?;
    if matches!(forth, Life::Died) {
        scene.live(&plan, Fault::None, &ENDS).await?;
    }
    ensure!(
        scene.phase(&plan).await? == PlanPhase::Proved,
        "{}",
        scene.story(&plan).await?
    );
    ensure!(scene.rules().await?.is_empty(), "the rule stands");

    scene.ask_back(&plan).await?;
    let back = scene.live(&plan, Fault::Dies(n), &[PlanPhase::RolledBack]).await?;
    if matches!(back, Life::Died) {
        scene.live(&plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    }
    is_back(&scene, &before)
        .await
        .with_context(|| format!("after write {n}"))?;
    ensure!(pods(scene.pods("callee").await?) == standing, "a pod was restarted");
    scene.remove().await?;
    Ok(matches!(forth, Life::Died) || matches!(back, Life::Died))
}

#[tokio::test]
async fn a_faded_rule_goes_and_comes_back_killed_after_any_write() -> Result<()> {
    after_every_write(60, killed_after).await
}

/// The inverse in the receipt is an object that an admin's kubectl can apply, in the name of the controller's account; Huddle is not needed.
#[tokio::test]
async fn kubectl_alone_brings_a_withdrawn_rule_back() -> Result<()> {
    let (scene, _, plan) = set("faded-kubectl").await?;
    let before = scene.rules().await?.pop().context("a rule")?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    ensure!(scene.rules().await?.is_empty(), "{}", scene.story(&plan).await?);
    let status = scene.plans().get(plan.as_str()).await?.status.context("a status")?;
    let inverse = status
        .steps
        .first()
        .and_then(|step| step.inverse.first())
        .context("an inverse")?;
    let object = inverse.apply.clone().context("an object to apply")?;
    super::cluster::apply(&scene.controller().await?, object).await?;
    is_back(&scene, &before).await
}

#[tokio::test]
async fn a_rule_that_is_of_use_again_stays() -> Result<()> {
    let (scene, rule, plan) = set("faded-not").await?;
    huddle::act::note_fade(&scene.controller().await?, &rule, None).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    ensure!(
        scene.phase(&plan).await? == PlanPhase::RolledBack,
        "{}",
        scene.story(&plan).await?
    );
    let uids: Vec<_> = scene.rules().await?.iter().filter_map(ResourceExt::uid).collect();
    ensure!(uids == [rule.uid], "{uids:?}");
    ensure!(
        scene.pods("callee").await?.iter().all(|pod| !node_of(pod).is_empty()),
        "unscheduled"
    );
    Ok(())
}

#[tokio::test]
async fn a_rule_whose_own_plan_was_rolled_back_does_not_come_back() -> Result<()> {
    let (scene, rule, plan) = set("faded-origin").await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    for plan in [&PlanId::new(rule.plan), &plan] {
        scene.ask_back(plan).await?;
        scene.live(plan, Fault::None, &[PlanPhase::RolledBack]).await?;
    }
    ensure!(scene.rules().await?.is_empty(), "{}", scene.story(&plan).await?);
    Ok(())
}
