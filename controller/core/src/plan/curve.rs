//! What more moves would bring: the plan for each of several limits.

use super::{Plan, PlannerConfig, limited, plan};
use crate::cluster::ClusterView;
use crate::diagnose::Finding;
use crate::graph::Snapshot;

/// The plan for each limit on moves, in rising order of limits, whatever the policies say of moves. A plan found within a lower limit that saves
/// more stands for the higher one too: more moves never gain less.
pub fn curve(
    snapshot: &Snapshot,
    findings: &[Finding],
    cluster: &ClusterView,
    config: &PlannerConfig,
    limits: &[u64],
) -> Vec<(u64, Plan)> {
    let mut limits = limits.to_vec();
    limits.sort_unstable();
    limits.dedup();
    let mut points: Vec<(u64, Plan)> = Vec::new();
    for limit in limits {
        let mut found = plan(snapshot, findings, &limited(cluster, limit), config, snapshot.at);
        if let Some((_, before)) = points.last().filter(|(_, before)| before.saved > found.saved) {
            found = before.clone();
        }
        points.push((limit, found));
    }
    points
}
