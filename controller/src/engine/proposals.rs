//! Which plans are proposed: few, and not another one while people look at one.

use super::Published;
use crate::act;
use crate::clock;
use crate::shutdown::Shutdown;
use huddle_api::PlanPhase;
use huddle_core::cluster::{Fade, SteadyRule};
use huddle_core::plan::{Action, Plan, PlannerConfig, Trigger, is_outranked, replaces, use_of, watched};
use huddle_core::time::{Span, Timestamp};
use kube::Client;
use std::sync::Arc;
use tokio::sync::watch;

/// How often existing plans are read for it, at most.
const ASK_EVERY: Span = Span::seconds(5);
/// How often it is looked whether rules are of use.
const LOOK_EVERY: Span = Span::seconds(60);
/// That a rule is still of no use is put down so often: a part of the time after which the watching begins anew.
const NOTE_EVERY: Span = Span::seconds(15 * 60);

/// What is known of an existing plan.
#[derive(Clone, Debug, PartialEq)]
struct Existing {
    phase: PlanPhase,
    approved: bool,
    plan: Plan,
}

fn is_under_way(phase: PlanPhase, approved: bool) -> bool {
    match phase {
        PlanPhase::Proposed => approved,
        PlanPhase::Approved
        | PlanPhase::Baseline
        | PlanPhase::Acting
        | PlanPhase::Settling
        | PlanPhase::Proving
        | PlanPhase::RollingBack => true,
        PlanPhase::Proved | PlanPhase::RolledBack | PlanPhase::Superseded => false,
    }
}

/// The plan that has to end before one that somebody asks for is proposed: one under way, or a proposal whose place it would take and that
/// is of another kind, or was asked for too.
pub(crate) fn stands_before(asked: &Plan, plans: &[huddle_api::Plan]) -> Option<String> {
    let mut before = plans.iter().filter(|object| {
        let phase = object.status.as_ref().map(|status| status.phase).unwrap_or_default();
        if phase != PlanPhase::Proposed || object.spec.approval.is_some() {
            return is_under_way(phase, object.spec.approval.is_some());
        }
        act::plan_of(object).is_ok_and(|open| {
            let of_others = open.kind() != asked.kind() || open.because.contains(&Trigger::Asked);
            of_others && !open.kind().is_beside(asked.kind()) && open.actions != asked.actions
        })
    });
    before.next().map(kube::ResourceExt::name_any)
}

/// Whether `new` is worth proposing beside what is there.
fn worth_proposing(new: &Plan, existing: &[Existing], pod_exists: impl Fn(&Action) -> bool, now: Timestamp) -> bool {
    if new.actions.is_empty() {
        return false;
    }
    if existing.iter().any(|it| is_under_way(it.phase, it.approved)) {
        return false;
    }
    let mut open = existing.iter().filter(|it| it.phase == PlanPhase::Proposed);
    let open = open.find(|open| !open.plan.kind().is_beside(new.kind()));
    open.is_none_or(|open| replaces(new, &open.plan, open.plan.actions.iter().all(pod_exists), now))
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

/// What has changed in what is remembered of the rules, and is worth a write.
fn fades(current: &Published, now: Timestamp) -> Vec<(SteadyRule, Option<Fade>)> {
    let view = &current.cluster.view;
    let config = PlannerConfig::default();
    let watched_ones = view.steady.iter().filter(|rule| {
        let policy = view.policy(&rule.workload.namespace);
        policy.may_act && !is_outranked(rule, &view.steady)
    });
    let news = watched_ones.filter_map(|rule| {
        let seen = use_of(rule, &current.snapshot, &current.findings, view, &config);
        let fade = watched(rule.fade.as_ref(), seen, now);
        let worth = match (&rule.fade, &fade) {
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
            (Some(old), Some(new)) => {
                old.since != new.since || old.why != new.why || new.seen.since(old.seen) >= NOTE_EVERY
            }
        };
        worth.then(|| (rule.clone(), fade))
    });
    news.collect()
}

/// Proposes what the engine plans, until the stop.
pub async fn run(client: Client, mut published: watch::Receiver<Arc<Published>>, stop: Shutdown) {
    let work = async {
        let mut asked = Timestamp::default();
        let begun = clock::now();
        let mut looked = begun;
        while published.changed().await.is_ok() {
            let current = Arc::clone(&published.borrow_and_update());
            let now = clock::now();
            // Before the window was measured once, what was not called may only not have been heard of.
            let whole = now.since(begun) >= current.snapshot.window.span() && current.cluster.waiting_for.is_empty();
            if whole && now.since(looked) >= LOOK_EVERY {
                looked = now;
                for (rule, fade) in fades(&current, now) {
                    if let Err(error) = act::note_fade(&client, &rule, fade.as_ref()).await {
                        tracing::warn!(%error, rule = rule.name, "what is known of a rule's use cannot be noted");
                    }
                }
            }
            // Nothing is proposed or taken up before this controller has measured for itself.
            if current.plan.is_none() || now.since(asked) < ASK_EVERY {
                continue;
            }
            asked = now;
            let pods = &current.cluster.view.pods;
            let exists = |action: &Action| match action {
                Action::Move { pod, .. } | Action::Resize { pod, .. } => pods.contains_key(pod),
                Action::Withdraw { rule_uid, .. } => {
                    let mut rules = current.cluster.view.steady.iter();
                    rules.any(|rule| rule.uid == *rule_uid && rule.fade.is_some())
                }
                Action::Place { .. }
                | Action::Route { .. }
                | Action::Size { .. }
                | Action::Cell { .. }
                | Action::Merge { .. } => true,
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
            // One at a time: the next look knows of it.
            let mut planned = current.plan.iter().chain(&current.beside);
            let there = existing(&current.cluster.plans);
            if let Some(plan) = planned.find(|plan| worth_proposing(plan, &there, exists, now)) {
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
                instead: huddle_core::cluster::Sizing::default(),
                form: huddle_core::plan::PlaceForm::Admission,
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
        // Giving back waits for nobody, and nobody for it.
        let lessened = Plan {
            given_back: vec![crate::testing::given_back()],
            ..plan(990_000, 0.1)
        };
        assert!(worth_proposing(&lessened, &[open(&far)], |_| true, now), "beside");
        assert!(worth_proposing(&far, &[open(&lessened)], |_| true, now), "beside");
        let both = [open(&far), open(&lessened)];
        assert!(!worth_proposing(&lessened, &both, |_| true, now), "too young");
        assert!(worth_proposing(&starved, &both, |_| true, now), "pressure first");
        assert!(
            !worth_proposing(&lessened, &[open(&starved)], |_| true, now),
            "not beside relief"
        );
        let nothing = Plan {
            actions: Vec::new(),
            ..plan(0, 0.0)
        };
        assert!(!worth_proposing(&nothing, &[], |_| true, Timestamp(0)));
    }
}
