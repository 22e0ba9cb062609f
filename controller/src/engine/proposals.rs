//! Which plans are proposed: few, and not another one while people look at one.

use super::Published;
use crate::act;
use crate::clock;
use crate::shutdown::Shutdown;
use huddle_api::PlanPhase;
use huddle_core::plan::{Action, Plan};
use huddle_core::time::{Span, Timestamp};
use kube::Client;
use std::sync::Arc;
use tokio::sync::watch;

/// A proposal stands at least this long before one that is merely better replaces it.
const STANDS: Span = Span::seconds(120);
/// How often existing plans are read for it, at most.
const ASK_EVERY: Span = Span::seconds(5);
/// How much better, then.
const BETTER: f64 = 1.2;

/// What is known of an existing plan.
#[derive(Clone, Debug, PartialEq)]
struct Existing {
    phase: PlanPhase,
    approved: bool,
    plan: Plan,
}

/// Whether `new` is worth proposing beside what is there.
fn worth_proposing(new: &Plan, existing: &[Existing], pod_exists: impl Fn(&Action) -> bool, now: Timestamp) -> bool {
    if new.actions.is_empty() {
        return false;
    }
    let under_way = existing.iter().any(|it| match it.phase {
        PlanPhase::Proposed => it.approved,
        PlanPhase::Approved
        | PlanPhase::Baseline
        | PlanPhase::Acting
        | PlanPhase::Settling
        | PlanPhase::Proving
        | PlanPhase::RollingBack => true,
        PlanPhase::Proved | PlanPhase::RolledBack | PlanPhase::Superseded => false,
    });
    if under_way {
        return false;
    }
    let open = existing.iter().find(|it| it.phase == PlanPhase::Proposed);
    open.is_none_or(|open| {
        let possible = open.plan.actions.iter().all(pod_exists);
        let old = now.since(open.plan.at) >= STANDS;
        if open.plan.resizes() != new.resizes() {
            // They save different things. Starved pods come first; the other way round, they may only seem to be relieved.
            return !possible || old || new.resizes();
        }
        !possible || (old && new.saved > open.plan.saved * BETTER)
    })
}

fn existing(plans: &[huddle_api::Plan]) -> Vec<Existing> {
    plans
        .iter()
        .filter_map(|object| {
            Some(Existing {
                phase: object.status.as_ref().map(|status| status.phase).unwrap_or_default(),
                approved: object.spec.approval.is_some(),
                plan: act::plan_of(object).ok()?,
            })
        })
        .collect()
}

/// Proposes what the engine plans, until the stop.
pub async fn run(client: Client, mut published: watch::Receiver<Arc<Published>>, stop: Shutdown) {
    let work = async {
        let mut asked = Timestamp::default();
        while published.changed().await.is_ok() {
            let current = Arc::clone(&published.borrow_and_update());
            let now = clock::now();
            let Some(plan) = current.plan.as_ref() else {
                continue;
            };
            if now.since(asked) < ASK_EVERY {
                continue;
            }
            asked = now;
            let pods = &current.cluster.view.pods;
            let exists = |action: &Action| match action {
                Action::Move { pod, .. } | Action::Resize { pod, .. } => pods.contains_key(pod),
                Action::Place { .. } | Action::Route { .. } | Action::Size { .. } => true,
            };
            match act::take_up(&client, &current.cluster.view, &current.cluster.plans, now).await {
                Ok(Some(id)) => {
                    // The plans that are known here do not tell of it yet: nothing is proposed beside it.
                    tracing::info!(plan = %id, "approved by the policy of its namespaces");
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "a plan cannot be approved"),
            }
            if worth_proposing(plan, &existing(&current.cluster.plans), exists, now) {
                match act::propose(&client, plan, now).await {
                    Ok(Some(id)) => tracing::info!(plan = %id, actions = plan.actions.len(), "proposed"),
                    Ok(None) => {}
                    Err(error) => tracing::warn!(%error, "a plan cannot be proposed"),
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.begun() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;

    fn decide(phase: PlanPhase, approved: bool, at: i64, saved: f64, possible: bool) -> bool {
        let there = Existing {
            phase,
            approved,
            plan: plan(at, 1.0),
        };
        worth_proposing(&plan(1_000_000, saved), &[there], |_| possible, Timestamp(1_000_000))
    }

    #[test]
    fn one_at_a_time_and_none_under_an_approval() {
        assert!(worth_proposing(&plan(0, 1.0), &[], |_| true, Timestamp(0)));
        assert!(!decide(PlanPhase::Acting, true, 0, 9.0, true));
        assert!(!decide(PlanPhase::Proposed, true, 0, 9.0, true));
        assert!(decide(PlanPhase::Proved, true, 0, 1.0, true));
        assert!(!decide(PlanPhase::Proposed, false, 900_000, 9.0, true), "too young");
        assert!(!decide(PlanPhase::Proposed, false, 0, 1.1, true), "hardly better");
        assert!(decide(PlanPhase::Proposed, false, 0, 1.3, true));
        assert!(
            decide(PlanPhase::Proposed, false, 990_000, 0.5, false),
            "no longer possible"
        );
        let starved = Plan {
            actions: vec![Action::Size {
                workload: crate::testing::deployment("db"),
                container: "app".into(),
                to: huddle_core::cluster::Sizing::default(),
            }],
            ..plan(990_000, 0.1)
        };
        let open = |plan: &Plan| Existing {
            phase: PlanPhase::Proposed,
            approved: false,
            plan: plan.clone(),
        };
        let (now, far) = (Timestamp(1_000_000), plan(990_000, 9.0));
        assert!(
            worth_proposing(&starved, &[open(&far)], |_| true, now),
            "pressure first"
        );
        assert!(!worth_proposing(&far, &[open(&starved)], |_| true, now), "too young");
        let nothing = Plan {
            actions: Vec::new(),
            ..plan(0, 0.0)
        };
        assert!(!worth_proposing(&nothing, &[], |_| true, Timestamp(0)));
    }
}
