//! The fit check against real binding.

use super::dice::Dice;
use super::generate::{NAMESPACES, NODES, node, node_name, pod, runtime};
use super::world::{Outcome, World};
use anyhow::{Context, Result, ensure};
use huddle_core::id::{NodeName, PodUid};
use huddle_core::plan::fits;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::Value;
use std::collections::BTreeSet;

const SEED: u64 = 20_261_122;
const PODS: usize = 500;
/// More stand at no time: nodes that are all full would ask only one question.
const STANDING: usize = 30;

/// One pod after the other is made, and where the scheduler puts it the planner must have thought it could stand; where it puts it
/// nowhere, the planner must have thought so too. Half the pods may stand on one node only, which asks the question of that node.
#[tokio::test(flavor = "multi_thread")]
async fn the_planner_s_fit_check_agrees_with_kube_scheduler() -> Result<()> {
    let mut dice = Dice(SEED);
    let mut world = World::start().await?;
    for number in 0..NODES {
        world.node(node(&mut dice, number)).await?;
    }
    for namespace in NAMESPACES {
        world.namespace(namespace).await?;
    }
    world.runtime(runtime()).await?;
    world.view("all nodes", |view| view.nodes.len() == NODES).await?;
    let (mut standing, mut wrong) = (Vec::<Pod>::new(), Vec::<String>::new());
    let (mut bound, mut refused) = (0, 0);
    for number in 0..PODS {
        let wanted = pod(&mut dice, number);
        let (made, outcome) = world.schedule(&wanted).await?;
        match outcome {
            Outcome::Bound(_) => bound += 1,
            Outcome::Nowhere(_) => refused += 1,
        }
        wrong.extend(judge(&mut world, &standing, &wanted, &made, &outcome).await?);
        match outcome {
            Outcome::Bound(_) => standing.push(made),
            Outcome::Nowhere(_) => world.delete(&made).await?,
        }
        if standing.len() > STANDING {
            let leaves = standing.swap_remove(dice.below(standing.len()));
            world.delete(&leaves).await?;
        }
    }
    let heavy = standing
        .iter()
        .filter(|pod| pod.spec.as_ref().is_some_and(|spec| spec.overhead.is_some()));
    ensure!(heavy.count() > 0, "no pod that stands has an overhead");
    println!(
        "{bound} pods bound, {refused} refused, {} answers differ (seed {SEED})",
        wrong.len()
    );
    ensure!(
        wrong.is_empty(),
        "{} of {PODS} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(10)].join("\n")
    );
    ensure!(
        bound >= PODS / 4 && refused >= PODS / 4,
        "{bound} bound, {refused} refused: a lopsided question"
    );
    Ok(())
}

/// How the planner's answer differs, if it does.
async fn judge(
    world: &mut World,
    standing: &[Pod],
    wanted: &Value,
    made: &Pod,
    outcome: &Outcome,
) -> Result<Option<String>> {
    let uid = |pod: &Pod| pod.uid().map(PodUid::new);
    let mut expected: BTreeSet<PodUid> = standing.iter().filter_map(uid).collect();
    let made = uid(made).context("a uid")?;
    expected.insert(made.clone());
    let at = match outcome {
        Outcome::Bound(node) => Some(NodeName::from(node.as_str())),
        Outcome::Nowhere(_) => None,
    };
    let view = world
        .view("the pods that stand", |view| {
            view.pods.keys().eq(&expected) && view.pods.get(&made).is_some_and(|pod| pod.node == at)
        })
        .await?;
    let pod = view.pods.get(&made).context("the pod")?;
    let answers: Vec<(NodeName, Result<(), String>)> = (0..NODES)
        .map(|number| NodeName::new(node_name(number)))
        .map(|node| {
            let answer = fits(&view, pod, &node).map_err(|reason| format!("{reason:?}"));
            (node, answer)
        })
        .collect();
    let differs = match &at {
        Some(at) => answers.iter().any(|(node, answer)| node == at && answer.is_err()),
        None => answers.iter().any(|(_, answer)| answer.is_ok()),
    };
    Ok(differs.then(|| format!("{wanted}\n  scheduler: {outcome:?}\n  planner: {answers:?}")))
}
