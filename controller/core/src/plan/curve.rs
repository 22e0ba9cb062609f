//! What more moves would bring: the plan for each of several limits.

use super::{Plan, PlannerConfig, limited, plan};
use crate::cluster::ClusterView;
use crate::diagnose::Finding;
use crate::graph::Snapshot;

/// The plan for each limit on moves, whatever the policies say of moves; each is made as it is asked for. `limits` rise. A plan found within a
/// lower limit that saves more stands for the higher one too: more moves never gain less.
pub fn curve<'a>(
    snapshot: &'a Snapshot,
    findings: &'a [Finding],
    cluster: &'a ClusterView,
    config: &'a PlannerConfig,
    limits: impl IntoIterator<Item = u64, IntoIter: 'a>,
) -> impl Iterator<Item = (u64, Plan)> + 'a {
    let mut best: Option<Plan> = None;
    limits.into_iter().map(move |limit| {
        let mut found = plan(snapshot, findings, &limited(cluster, limit), config, snapshot.at);
        match &best {
            Some(before) if before.saved > found.saved => found.clone_from(before),
            _ => best = Some(found.clone()),
        }
        (limit, found)
    })
}
