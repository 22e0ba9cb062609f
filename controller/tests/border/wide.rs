//! A thousand nodes: the scheduler scores a sample of them, and a pod must come to its node all the same.

use super::cluster::wide;
use super::faults::Fault;
use super::scene::{Scene, node_of};
use anyhow::{Context, Result, ensure};
use huddle_api as api;
use huddle_core::id::{NodeName, PodUid, WorkloadId};
use huddle_core::plan::{Action, Plan};
use huddle_core::time::Timestamp;
use kube::ResourceExt;
use std::collections::BTreeMap;

const MOVED: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn moved_pods_come_to_their_nodes_where_the_scheduler_scores_a_sample() -> Result<()> {
    let cluster = wide().await;
    let scene = Scene::on(cluster, "wide").await?;
    scene.deploy("many", MOVED as u32, "NotIn").await?;
    let pods = scene.whole("many", MOVED).await?;
    let workload = WorkloadId::deployment(&scene.namespace, "many");
    let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
    let actions: Vec<Action> = pods
        .iter()
        .enumerate()
        .map(|(index, pod)| {
            // Nodes from all over the cluster, none of which holds a pod of the workload.
            let free = |name: &String| !pods.iter().any(|pod| node_of(pod) == name);
            let mut names = (42 + 80 * index..).map(|number| format!("node-{number}"));
            let to = names.find(free).context("a free node")?;
            *wanted.entry(to.clone()).or_default() += 1;
            Ok(Action::Move {
                workload: workload.clone(),
                pod: PodUid::new(pod.uid().context("a uid")?),
                pod_name: pod.name_any(),
                from: NodeName::from(node_of(pod)),
                to: NodeName::new(to),
            })
        })
        .collect::<Result<_>>()?;
    let plan = Plan {
        at: Timestamp(1),
        actions,
        expected: Vec::new(),
        relief: Vec::new(),
        given_back: Vec::new(),
        merging: Vec::new(),
        spread: Vec::new(),
        refusals: Vec::new(),
        pods_restarted: MOVED as u64,
        because: Vec::new(),
        saved: 1.0,
    };
    let plan = scene.approved(&plan).await?;
    scene
        .live(
            &plan,
            Fault::None,
            &[api::PlanPhase::Proved, api::PlanPhase::RolledBack],
        )
        .await?;
    let mut landed: BTreeMap<String, usize> = BTreeMap::new();
    for pod in scene.whole("many", MOVED).await? {
        *landed.entry(node_of(&pod).to_owned()).or_default() += 1;
    }
    ensure!(
        landed == wanted,
        "wanted {wanted:?}\nlanded {landed:?}\n{}",
        scene.story(&plan).await?
    );
    Ok(())
}
