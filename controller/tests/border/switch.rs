//! A policy that stops pod creation: never bound in the first place, and unbound at once when it happens later.

use super::cluster::{apply, apply_file, switched};
use super::faults::Fault;
use super::scene::{Scene, config, wait};
use anyhow::{Result, bail, ensure};
use huddle_api::PlanPhase;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const ENDS: [PlanPhase; 2] = [PlanPhase::Proved, PlanPhase::RolledBack];

fn policy_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/admission/rules.yaml")
}

/// The policy with a list literal of typed objects: the API server panics on it, whatever failurePolicy says.
fn harmful() -> Result<Value> {
    let text = std::fs::read_to_string(policy_file())?;
    let mut policy: Value = serde_saphyr::from_multiple::<Value>(&text)?
        .into_iter()
        .next()
        .unwrap_or_default();
    let value = "[Object.spec.tolerations{key: \"x\", operator: \"Exists\"}]";
    policy["spec"]["mutations"] = json!([{"patchType": "JSONPatch", "jsonPatch": {
        "expression": format!("[JSONPatch{{op: \"add\", path: \"/spec/tolerations\", value: {value}}}]"),
    }}]);
    Ok(policy)
}

#[tokio::test]
async fn a_policy_that_stops_pod_creation_is_not_bound_and_a_failed_create_unbinds() -> Result<()> {
    let cluster = switched().await;
    let admin = cluster.admin().await;

    let scene = Scene::on(cluster, "harmful").await?;
    apply(&admin, harmful()?).await?;
    let plan = scene.approved(&scene.plan().await?).await?;
    scene.live(&plan, Fault::None, &ENDS).await?;
    let story = scene.story(&plan).await?;
    // Refused at its trial, or, where the API server learnt of the policy only then, unbound at the next dry run.
    ensure!(story.contains("ruleRefused") || story.contains("unbound"), "{story}");
    ensure!(!huddle::act::is_bound(&admin).await?, "a harmful policy was bound");
    scene.nothing_stuck(3).await?;

    apply_file(&admin, &policy_file(), &[]).await?;
    let scene = Scene::on(cluster, "failing").await?;
    let plan = scene.approved(&scene.plan().await?).await?;
    let client = super::faults::Faults::new(Fault::None).client(cluster.controller_config().await);
    let controller = huddle::act::run(
        client,
        "test".to_owned(),
        scene.says.clone(),
        (config(), None),
        std::future::pending(),
    );
    let story = async {
        wait("the plan is proved", async || {
            let phase = scene.phase(&plan).await?;
            ensure!(phase == PlanPhase::Proved, "{phase:?}");
            Ok(())
        })
        .await?;
        ensure!(huddle::act::is_bound(&admin).await?, "rules are not bound");
        apply(&admin, harmful()?).await?;
        wait("the harm is done", async || {
            let pods = scene.pods("callee").await?;
            let Some(pod) = pods.first() else { return Ok(()) };
            let name = pod.metadata.name.clone().unwrap_or_default();
            scene.delete_pod(&name).await?;
            ensure!(!huddle::act::is_bound(&admin).await?, "still bound");
            Ok(())
        })
        .await?;
        scene.whole("callee", 3).await?;
        anyhow::Ok(())
    };
    tokio::select! {
        () = controller => bail!("the controller ended by itself"),
        result = story => result,
    }
}
