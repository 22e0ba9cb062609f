//! When the planner runs, and which of its plans stands: beside the engine, since it may think for seconds where a cluster is
//! large, and reports must not wait for it.

use crate::watch::Cluster;
use huddle_core::cluster::ClusterView;
use huddle_core::diagnose::Finding;
use huddle_core::graph::Snapshot;
use huddle_core::plan::{Plan, PlannerConfig, plan, saved_now, stands};
use huddle_core::time::{Span, Timestamp};
use huddle_core::units::Ratio;
use std::sync::Arc;
use tokio::sync::oneshot;

/// How often the planner starts, at most.
const EVERY: Span = Span::seconds(10);

/// While the first findings come in every better plan takes the standing one's place: an edge that had too few requests ten
/// seconds ago is worth a move now. The first proposal waits for it to end (see `proposals`).
const FINDING: Span = Span::seconds(120);

/// How much more a newer plan must save to take the place of one that has stood for `age`: 3 % at first (less is noise), then
/// 10 % (facts/loop.md B5, step 5).
fn better(age: Span) -> Ratio {
    Ratio::clamped(if age < FINDING { 0.03 } else { 0.10 })
}

/// What a plan is made of.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    /// The graph.
    pub(super) snapshot: Arc<Snapshot>,
    /// What diagnose says of it.
    pub(super) findings: Arc<Vec<Finding>>,
    /// The cluster.
    pub(super) cluster: Arc<Cluster>,
}

/// The planner's runs, one at a time, and the plan that stands.
#[derive(Debug, Default)]
pub(super) struct Planning {
    started: Timestamp,
    running: Option<oneshot::Receiver<Found>>,
    standing: Option<Arc<Plan>>,
    /// When the first plan that does something was found.
    first: Option<Timestamp>,
}

/// What a run of the planner found.
#[derive(Debug)]
struct Found {
    plan: Plan,
    /// What the plan that stood when it began would save by the same measurements.
    standing_saves: Option<f64>,
}

impl Planning {
    /// The plan that stands; `None` before the first one is ready. It changes only for one that is clearly better or where it
    /// can no longer be carried out; its `at` therefore tells how long it has stood.
    pub(super) fn standing(&self) -> Option<Arc<Plan>> {
        self.standing.clone()
    }
    /// Takes in a plan that is ready, and starts another run when it is time.
    pub(super) fn look(&mut self, ground: &Ground, now: Timestamp) {
        match self.running.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(found)) => {
                self.running = None;
                self.take(found, &ground.cluster.view, now);
            }
            Some(Err(oneshot::error::TryRecvError::Empty)) => return,
            Some(Err(oneshot::error::TryRecvError::Closed)) => {
                tracing::error!("the planner ended without a plan; it is tried again");
                self.running = None;
            }
            None => {}
        }
        if now.since(self.started) >= EVERY {
            self.started = now;
            self.running = start(ground.clone(), self.standing(), now);
        }
    }
    fn take(&mut self, found: Found, cluster: &ClusterView, now: Timestamp) {
        let Found { plan, standing_saves } = found;
        if self.first.is_none() && !plan.actions.is_empty() {
            self.first = Some(now);
        }
        let better = better(now.since(self.first.unwrap_or(now)));
        let stays = self.standing.as_ref().is_some_and(|old| {
            let saved_now = standing_saves.unwrap_or(old.saved);
            stands(old, saved_now, &plan, better, cluster)
        });
        if !stays {
            self.standing = Some(Arc::new(plan));
        }
    }
}

fn start(ground: Ground, standing: Option<Arc<Plan>>, now: Timestamp) -> Option<oneshot::Receiver<Found>> {
    let (done, ready) = oneshot::channel();
    let run = move || {
        let Ground {
            snapshot,
            findings,
            cluster,
        } = ground;
        let config = PlannerConfig::default();
        let saves = |old: Arc<Plan>| saved_now(&old, &snapshot, &findings, &cluster.view, &config);
        let found = Found {
            standing_saves: standing.and_then(saves),
            plan: plan(&snapshot, &findings, &cluster.view, &config, now),
        };
        // The engine may have ended meanwhile; then nobody wants the plan.
        let _ = done.send(found);
    };
    match std::thread::Builder::new().name("plan".to_owned()).spawn(run) {
        Ok(_) => Some(ready),
        Err(error) => {
            tracing::error!(%error, "the planner cannot start; it is tried again");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::cluster;

    #[test]
    fn a_run_ends_in_a_plan_that_tells_since_when_it_stands() {
        let ground = Ground {
            snapshot: Arc::new(Snapshot {
                at: Timestamp(1),
                window: huddle_core::time::Window {
                    from: Timestamp(0),
                    to: Timestamp(1),
                },
                edges: std::collections::BTreeMap::new(),
            }),
            findings: Arc::default(),
            cluster: Arc::new(cluster(&[("db-1", "node-1")])),
        };
        let mut planning = Planning::default();
        planning.look(&ground, Timestamp(20_000));
        while planning.standing().is_none() {
            std::thread::yield_now();
            planning.look(&ground, Timestamp(20_001));
        }
        let standing = planning.standing().map(|plan| (plan.at, plan.actions.len()));
        assert_eq!(standing, Some((Timestamp(20_000), 0)));
    }
}
