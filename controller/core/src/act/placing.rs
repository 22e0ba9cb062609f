//! A steady rule: created, tried, armed, seen in force. Undone by deleting it.

use super::{Awaited, Intent, Next, PlaceSeen, Placement, Receipt, RuleName, RuleSeen, Step, StepState, Trouble, Turn};
use crate::id::WorkloadId;
use crate::time::Timestamp;

pub(super) fn next(
    step: &Step,
    workload: &WorkloadId,
    placement: &Placement,
    seen: &PlaceSeen,
    turn: Turn<'_>,
) -> Next {
    match step.state {
        StepState::Pending => begin(step, workload, seen, turn),
        StepState::Running => {
            let rule = RuleName::of(turn.plan, turn.index, &workload.namespace);
            let make = || Intent::CreateRule {
                rule: rule.clone(),
                plan: turn.plan.clone(),
                workload: workload.clone(),
                placement: placement.clone(),
            };
            match into_force((&seen.rule, seen.bound), &rule, workload, step.since, turn, make) {
                Force::Yes => turn.turned(step, StepState::Done, None),
                Force::No(trouble) => turn.turned(step, StepState::Undoing, trouble),
                Force::NotYet(next) => next,
            }
        }
        StepState::Undoing => match (&step.receipt, &seen.rule) {
            (Some(Receipt::Place { rule }), RuleSeen::Trial { .. } | RuleSeen::Armed { .. }) => {
                Next::Do(Intent::DeleteRule { rule: rule.clone() })
            }
            _ => turn.turned(step, StepState::Undone, None),
        },
        StepState::Done | StepState::Undone | StepState::Skipped => Next::Over,
    }
}

fn begin(step: &Step, workload: &WorkloadId, seen: &PlaceSeen, turn: Turn<'_>) -> Next {
    let trouble = match &seen.workload {
        None => Some(Trouble::WorkloadGone),
        Some(placed) if !placed.allowed => Some(Trouble::NotAllowed),
        Some(placed) if !placed.selectable => Some(Trouble::Unselectable),
        Some(_) if !seen.hub_exists => Some(Trouble::WorkloadGone),
        Some(_) => seen
            .other_rule
            .as_ref()
            .map(|plan| Trouble::RuleInForce { plan: plan.clone() }),
    };
    if trouble.is_some() {
        return turn.turned(step, StepState::Skipped, trouble);
    }
    Next::Record(Box::new(Step {
        state: StepState::Running,
        since: turn.now,
        trouble: None,
        receipt: Some(Receipt::Place {
            rule: RuleName::of(turn.plan, turn.index, &workload.namespace),
        }),
    }))
}

/// How far a rule is on its way into force.
pub(super) enum Force {
    /// There.
    Yes,
    /// Never.
    No(Trouble),
    /// On its way; next comes this.
    NotYet(Next),
}

/// Takes a rule from nothing into force: created as a trial, tried on a dry-run pod, armed, tried again through the
/// binding that counts.
pub(super) fn into_force(
    (seen, bound): (&RuleSeen, bool),
    rule: &RuleName,
    workload: &WorkloadId,
    since: Timestamp,
    turn: Turn<'_>,
    make: impl FnOnce() -> Intent,
) -> Force {
    if let RuleSeen::Trial { tried: Some(Err(why)) } = seen {
        return Force::No(Trouble::RuleRefused { why: why.clone() });
    }
    // Binding comes before arming: an armed rule without it means that the switch was thrown.
    if matches!(seen, RuleSeen::Armed { .. }) && !bound {
        return Force::No(Trouble::Unbound);
    }
    if matches!(seen, RuleSeen::Armed { in_force: true }) {
        return Force::Yes;
    }
    let until = since.plus(turn.config.rule);
    if turn.now >= until {
        return Force::No(Trouble::RuleNotInForce);
    }
    let attempt = |armed| Intent::TryRule {
        rule: rule.clone(),
        workload: workload.clone(),
        armed,
    };
    Force::NotYet(match seen {
        RuleSeen::Absent => Next::Do(make()),
        RuleSeen::Trial { tried: None } => Next::Do(attempt(false)),
        RuleSeen::Trial { tried: Some(_) } => Next::Do(Intent::ArmRule { rule: rule.clone() }),
        RuleSeen::Armed { .. } => Next::Do(attempt(true)),
        RuleSeen::Deleting => Next::Wait {
            why: Awaited::Rule,
            until,
        },
    })
}
