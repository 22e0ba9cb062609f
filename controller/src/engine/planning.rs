//! When the planner runs, and which of its plans stands: beside the engine, since it may think for seconds where a cluster is
//! large, and reports must not wait for it.

use crate::watch::Cluster;
use huddle_api::PlanPhase;
use huddle_core::cluster::ClusterView;
use huddle_core::diagnose::{DiagnoseConfig, Finding};
use huddle_core::graph::Snapshot;
use huddle_core::plan::merge::{Adviser, merge_beside, uses};
use huddle_core::plan::{
    CLEARLY, Plan, PlanKind, PlannerConfig, Refusal, RefusalReason, Watch, give_back_beside, plan_with, saved_now,
    stands,
};
use huddle_core::time::{Span, Timestamp};
use huddle_core::units::Ratio;
use huddle_core::usage::{Habits, Usage};
use std::sync::Arc;
use tokio::sync::oneshot;

/// How often the planner starts, at most.
const EVERY: Span = Span::seconds(10);

/// For so long after the first plan that does something none stands, and each run begins afresh: an edge that had too few
/// requests ten seconds ago, or counted half because it borrowed its evidence, may be worth a move now.
const FINDING: Span = Span::seconds(60);

/// What a plan is made of.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    /// The graph.
    pub(super) snapshot: Arc<Snapshot>,
    /// What diagnose says of it.
    pub(super) findings: Arc<Vec<Finding>>,
    /// What containers used over days.
    pub(super) habits: Arc<Habits>,
    /// The cluster.
    pub(super) cluster: Arc<Cluster>,
    /// What containers use.
    pub(super) usage: Arc<Usage>,
}

/// The cluster as the planner reads it: with what its pods use, as far as kubelets tell.
pub(crate) fn with_use(view: &ClusterView, usage: &Usage) -> ClusterView {
    ClusterView {
        used: usage.by_pod(),
        ..view.clone()
    }
}

/// The planner's runs, one at a time, and the plan that stands.
#[derive(Debug, Default)]
pub(super) struct Planning {
    started: Timestamp,
    running: Option<oneshot::Receiver<Found>>,
    standing: Option<Arc<Plan>>,
    /// What stands beside it: a merge, what is given back.
    beside: Vec<Arc<Plan>>,
    /// When the first plan that does something was found.
    first: Option<Timestamp>,
    /// What has changed between plans; with the planner while it runs.
    watch: Watch,
    /// Starved workloads that the last run gave nothing. A run that makes no plan, because that is all there is, says so too.
    unrelieved: Vec<Refusal>,
}

/// What a run of the planner found.
#[derive(Debug)]
struct Found {
    plan: Plan,
    /// What is found beside it, at most one of a kind.
    beside: Vec<Plan>,
    /// What the plan that stood when it began would save by the same measurements.
    standing_saves: Option<f64>,
    /// What has changed between plans.
    watch: Watch,
}

impl Planning {
    /// The plan that stands; `None` while the first findings still come in. While a proposal is
    /// open it changes only for one that is clearly better or where it can no longer be carried out.
    pub(super) fn standing(&self, now: Timestamp) -> Option<Arc<Plan>> {
        self.standing.clone().filter(|_| self.has_found(now))
    }
    /// What stands beside the plan that stands.
    pub(super) fn beside(&self, now: Timestamp) -> Vec<Arc<Plan>> {
        match self.has_found(now) {
            true => self.beside.clone(),
            false => Vec::new(),
        }
    }
    /// Starved workloads that get nothing as of the last run, and why.
    pub(super) fn unrelieved(&self) -> &[Refusal] {
        &self.unrelieved
    }
    fn has_found(&self, now: Timestamp) -> bool {
        self.first.is_some_and(|first| now.since(first) >= FINDING)
    }
    /// Takes in a plan that is ready, and starts another run when it is time.
    pub(super) fn look(&mut self, ground: &Ground, now: Timestamp) {
        match self.running.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(found)) => {
                self.running = None;
                self.take(found, &ground.cluster, now);
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
            self.running = start(
                ground.clone(),
                self.standing.clone(),
                std::mem::take(&mut self.watch),
                now,
            );
        }
    }
    /// While people look at a proposal the plan behind it stands; else the newest counts: who deletes a proposal wants another.
    fn take(&mut self, found: Found, cluster: &Cluster, now: Timestamp) {
        let Found {
            plan,
            beside,
            standing_saves,
            watch,
        } = found;
        self.watch = watch;
        let starved = |refusal: &&Refusal| matches!(refusal.reason, RefusalReason::Unrelieved { .. });
        self.unrelieved = plan.refusals.iter().filter(starved).cloned().collect();
        if self.first.is_none() && !(plan.actions.is_empty() && beside.is_empty()) {
            self.first = Some(now);
        }
        let has_found = self.has_found(now);
        let stays = |old: &Plan, saved_now: f64, new: &Plan| {
            has_found
                && is_open(cluster, old.kind())
                && stands(old, saved_now, new, Ratio::clamped(CLEARLY), &cluster.view)
        };
        let old = self.standing.as_ref();
        if !old.is_some_and(|old| stays(old, standing_saves.unwrap_or(old.saved), &plan)) {
            let because = self.watch.because(&plan);
            self.standing = Some(Arc::new(Plan { because, ..plan }));
        }
        let mut stand = Vec::new();
        for new in beside {
            let old = self.beside.iter().find(|old| old.kind() == new.kind());
            let kept = old.filter(|old| stays(old, old.saved, &new)).map(Arc::clone);
            stand.push(kept.unwrap_or_else(|| Arc::new(new)));
        }
        self.beside = stand;
    }
}

/// Whether people look at a proposal whose place a plan of this kind would take.
fn is_open(cluster: &Cluster, kind: PlanKind) -> bool {
    cluster.plans.iter().any(|plan| {
        let phase = plan.status.as_ref().map(|status| status.phase).unwrap_or_default();
        let of_its_kind = crate::act::plan_of(plan).is_ok_and(|plan| !plan.kind().is_beside(kind));
        phase == PlanPhase::Proposed && plan.spec.approval.is_none() && of_its_kind
    })
}

fn start(
    ground: Ground,
    standing: Option<Arc<Plan>>,
    mut watch: Watch,
    now: Timestamp,
) -> Option<oneshot::Receiver<Found>> {
    let (done, ready) = oneshot::channel();
    let run = move || {
        let Ground {
            snapshot,
            findings,
            habits,
            cluster,
            usage,
        } = ground;
        let config = PlannerConfig::default();
        let view = with_use(&cluster.view, &usage);
        watch.look(&snapshot, &view, &config, now);
        let saves = |old: Arc<Plan>| saved_now(&old, &snapshot, &findings, &view, &config);
        let plan = plan_with(&snapshot, &findings, &habits, &view, &config, now);
        let adviser = Adviser {
            cluster: &view,
            snapshot: &snapshot,
            uses: &uses(&usage, &view),
            config: &DiagnoseConfig::default(),
        };
        let (merge, unmerged) = merge_beside(&plan, &adviser, &findings, now);
        for refusal in unmerged {
            tracing::debug!(refusal = refusal.sentence(), "not merged");
        }
        let given_back = give_back_beside(&plan, &snapshot, &findings, &habits, &view, now);
        let found = Found {
            standing_saves: standing.and_then(saves),
            beside: merge.into_iter().chain(given_back).collect(),
            plan,
            watch,
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
    use crate::testing::{self, cluster};

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
            habits: Arc::default(),
            cluster: Arc::new(cluster(&[("db-1", "node-1")])),
            usage: Arc::default(),
        };
        let mut planning = Planning::default();
        planning.look(&ground, Timestamp(20_000));
        while planning.standing.is_none() {
            std::thread::yield_now();
            planning.look(&ground, Timestamp(20_001));
        }
        assert_eq!(planning.standing.as_ref().map(|plan| plan.at), Some(Timestamp(20_000)));
        assert_eq!(
            planning.standing(Timestamp(900_000)),
            None,
            "a plan that does nothing is no finding"
        );
    }

    #[test]
    fn while_findings_come_in_the_newest_counts_then_only_a_better_one() {
        let mut cluster = cluster(&[("db-1", "node-1"), ("web-1", "node-1")]);
        let found = |at: i64, saved: f64| Found {
            plan: testing::plan(at, saved),
            beside: Vec::new(),
            standing_saves: Some(1.0),
            watch: Watch::default(),
        };
        let mut planning = Planning::default();
        let mut after = |cluster: &Cluster, at: i64, saved: f64| {
            planning.take(found(at, saved), cluster, Timestamp(at));
            planning.standing(Timestamp(at)).map(|plan| plan.at.0)
        };
        assert_eq!(after(&cluster, 0, 1.0), None);
        assert_eq!(after(&cluster, 50_000, 0.9), None);
        let spec = crate::act::spec_of(&found(50_000, 0.9).plan).unwrap();
        cluster.plans.push(huddle_api::Plan::new("plan-1", spec));
        let hardly_better = after(&cluster, 70_000, 1.05);
        assert_eq!(hardly_better, Some(50_000), "a proposal is open");
        assert_eq!(after(&cluster, 80_000, 1.2), Some(80_000));
        cluster.plans.clear();
        assert_eq!(after(&cluster, 90_000, 1.0), Some(90_000), "nobody looks at one");
    }

    #[test]
    fn what_is_given_back_stands_beside_what_waits_for_its_approval() {
        let mut cluster = cluster(&[("db-1", "node-1"), ("web-1", "node-1")]);
        let lessened = |at: i64| Plan {
            given_back: vec![testing::given_back()],
            ..testing::plan(at, 1.0)
        };
        let mut planning = Planning::default();
        let mut after = |cluster: &Cluster, at: i64, beside: Option<Plan>| {
            let found = Found {
                plan: testing::plan(at, 1.0),
                beside: beside.into_iter().collect(),
                standing_saves: Some(1.0),
                watch: Watch::default(),
            };
            planning.take(found, cluster, Timestamp(at));
            let began = |plan: Option<&Arc<Plan>>| plan.map(|plan| plan.at.0);
            let later = Timestamp(at).plus(FINDING);
            (
                began(planning.standing(later).as_ref()),
                began(planning.beside(later).first()),
            )
        };
        assert_eq!(after(&cluster, 0, Some(lessened(0))), (Some(0), Some(0)));
        // A proposal of the one kind keeps its plan, and not that of the other.
        let spec = crate::act::spec_of(&lessened(0)).unwrap();
        cluster.plans.push(huddle_api::Plan::new("plan-1", spec));
        assert_eq!(after(&cluster, 70_000, Some(lessened(70_000))), (Some(70_000), Some(0)));
        assert_eq!(
            after(&cluster, 80_000, None),
            (Some(80_000), None),
            "it is in use again"
        );
    }
}
