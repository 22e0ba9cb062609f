//! A plan's life: phases, whose turn it is, and the way back.

use super::{ActConfig, Awaited, BeforeWindow, CellStage, Phase, Progress, Receipt, Stage, Step, StepState, Trouble};
use crate::time::{Timestamp, Window};
use crate::verify::{Sign, Verdict};

/// What counts for a plan as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// Somebody approved exactly this content.
    pub approved: bool,
    /// The content is what its digest says.
    pub genuine: bool,
    /// Who wants it undone.
    pub rollback: Option<String>,
    /// Another plan that is active.
    pub other: Option<String>,
    /// What it gave back is missed.
    pub missed: Option<Sign>,
}

/// The next thing to do for a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lead {
    /// Put this down before anything else.
    Record(Box<Progress>),
    /// Go on with this step.
    Step {
        /// Its index.
        index: usize,
        /// Since when it is its turn.
        from: Timestamp,
    },
    /// Ask verify whether the before window, begun at `from`, is good enough; then [`measured`].
    Measure {
        /// Its begin.
        from: Timestamp,
    },
    /// Ask verify for the verdict; then [`judged`].
    Judge {
        /// The before window.
        before: Window,
        /// Begin of the after window.
        from: Timestamp,
    },
    /// Wait.
    Wait(Awaited),
    /// Nothing any more, but for what is [`watched`] as long as it stands.
    Rest,
}

/// A new plan's progress.
pub fn begin(steps: usize, now: Timestamp) -> Progress {
    Progress {
        since: now,
        steps: vec![
            Step {
                since: now,
                ..Step::default()
            };
            steps
        ],
        ..Progress::default()
    }
}

/// The next thing to do for the plan.
pub fn next(progress: &Progress, situation: &Situation, config: &ActConfig, now: Timestamp) -> Lead {
    if let Some(trouble) = reason_to_turn_back(progress, situation) {
        return turn_back(progress, trouble, now);
    }
    match progress.phase {
        Phase::Proposed if situation.approved => record(progress, Phase::Approved, now),
        Phase::Proposed => Lead::Wait(Awaited::Approval),
        Phase::Approved => match &situation.other {
            Some(plan) => Lead::Wait(Awaited::Turn { plan: plan.clone() }),
            None => record(progress, Phase::Baseline, now),
        },
        Phase::Baseline => Lead::Measure { from: progress.since },
        Phase::Acting => act(progress, config, now),
        Phase::Settling | Phase::Proving if open_step(progress).is_some() => finish_open_step(progress),
        Phase::Settling if now >= progress.since.plus(config.settle) => {
            let mut next = at(progress, Phase::Proving, now);
            next.after_from = Some(now);
            Lead::Record(Box::new(next))
        }
        Phase::Settling => Lead::Wait(Awaited::Settling),
        Phase::Proving => match (progress.before, progress.after_from) {
            (Some(before), Some(from)) => Lead::Judge {
                before: before.window,
                from,
            },
            // Without a before window nothing can be proved: such a status was not written by this code.
            _ => turn_back(progress, Trouble::Tampered, now),
        },
        Phase::RollingBack => go_back(progress, now),
        Phase::Proved | Phase::RolledBack | Phase::Superseded => finish_open_step(progress),
    }
}

/// The progress after the before window was found good.
pub fn measured(progress: &Progress, window: Window, now: Timestamp) -> Progress {
    let mut next = at(progress, Phase::Acting, now);
    next.before = Some(BeforeWindow { window });
    next
}

/// The progress after a verdict; `None` while it waits.
pub fn judged(progress: &Progress, verdict: &Verdict, now: Timestamp) -> Option<Progress> {
    match verdict {
        Verdict::Waiting { .. } => None,
        Verdict::Improved | Verdict::Unchanged | Verdict::Eased => Some(at(progress, Phase::Proved, now)),
        Verdict::Regressed { .. } => {
            let mut next = at(progress, Phase::RollingBack, now);
            next.trouble = Some(Trouble::Regressed);
            Some(next)
        }
    }
}

/// What is watched, whatever the plan's phase: routes that stand, each shown to its guard on every round, merges that stand, and cells that stand, whose
/// labels go when their rule is gone. Of a plan that was proved also cells that went that way: their labels come back with their rule.
pub fn watched(progress: &Progress) -> impl Iterator<Item = usize> + '_ {
    let is_watched = |step: &Step| match (step.state, &step.receipt) {
        (StepState::Done, Some(Receipt::Route { .. } | Receipt::Cell(_) | Receipt::Merge(_))) => true,
        (StepState::Undone, Some(Receipt::Cell(receipt))) => {
            receipt.stage == CellStage::Lapsed && matches!(progress.phase, Phase::Proved | Phase::RollingBack)
        }
        _ => false,
    };
    progress
        .steps
        .iter()
        .enumerate()
        .filter(move |(_, step)| is_watched(step))
        .map(|(index, _)| index)
}

fn reason_to_turn_back(progress: &Progress, situation: &Situation) -> Option<Trouble> {
    match progress.phase {
        Phase::RollingBack | Phase::RolledBack | Phase::Superseded => None,
        Phase::Proposed | Phase::Approved | Phase::Baseline | Phase::Acting | Phase::Settling | Phase::Proving
            if !situation.genuine =>
        {
            Some(Trouble::Tampered)
        }
        Phase::Proposed
        | Phase::Approved
        | Phase::Baseline
        | Phase::Acting
        | Phase::Settling
        | Phase::Proving
        | Phase::Proved => {
            let wanted = situation.rollback.clone().map(|by| Trouble::Wanted { by });
            let begun = matches!(
                progress.phase,
                Phase::Acting | Phase::Settling | Phase::Proving | Phase::Proved
            );
            let missed = situation.missed.clone().filter(|_| begun);
            wanted.or_else(|| missed.map(|sign| Trouble::Missed { sign }))
        }
    }
}

fn turn_back(progress: &Progress, trouble: Trouble, now: Timestamp) -> Lead {
    let mut next = at(progress, Phase::RollingBack, now);
    next.trouble = Some(trouble);
    Lead::Record(Box::new(next))
}

fn act(progress: &Progress, config: &ActConfig, now: Timestamp) -> Lead {
    let stop = progress
        .steps
        .iter()
        .filter_map(|step| step.trouble.as_ref())
        .find(|trouble| trouble.stops_the_plan());
    if let Some(trouble) = stop {
        return turn_back(progress, trouble.clone(), now);
    }
    let failures = progress.steps.iter().filter(|step| step.has_failed()).count();
    let mut from = progress.since;
    for (index, step) in progress.steps.iter().enumerate() {
        if step.state == StepState::Pending && failures >= config.max_failures {
            return leave_out(progress, Trouble::Stopped, now);
        }
        if !step.state.is_over() {
            return Lead::Step { index, from };
        }
        from = from.max(step.since);
    }
    if progress.steps.iter().any(|step| step.state == StepState::Done) {
        record(progress, Phase::Settling, now)
    } else {
        turn_back(progress, Trouble::NothingDone, now)
    }
}

/// Step by step from the last to the first. Moved pods stay where they are: moving them back would be another move each.
fn go_back(progress: &Progress, now: Timestamp) -> Lead {
    if progress.steps.iter().any(|step| step.state == StepState::Pending) {
        return leave_out(progress, Trouble::Stopped, now);
    }
    for (index, step) in progress.steps.iter().enumerate().rev() {
        let undo = match (step.state, &step.receipt) {
            (StepState::Undoing, _) => {
                return Lead::Step {
                    index,
                    from: step.since,
                };
            }
            (StepState::Running, Some(Receipt::Move(receipt))) if receipt.stage >= Stage::Drained => {
                return Lead::Step {
                    index,
                    from: step.since,
                };
            }
            (StepState::Running, _) => true,
            (
                StepState::Done,
                Some(
                    Receipt::Place { .. }
                    | Receipt::Template(_)
                    | Receipt::TemplateSize(_)
                    | Receipt::Route { .. }
                    | Receipt::Resize(_)
                    | Receipt::Withdraw(_)
                    | Receipt::Cell(_)
                    | Receipt::Merge(_),
                ),
            ) => true,
            (StepState::Done | StepState::Undone | StepState::Skipped | StepState::Pending, _) => false,
        };
        if undo {
            let mut next = progress.clone();
            if let Some(step) = next.steps.get_mut(index) {
                *step = step.turned(StepState::Undoing, progress.trouble.clone(), now);
            }
            return Lead::Record(Box::new(next));
        }
    }
    record(progress, Phase::RolledBack, now)
}

/// A step that became open again after acting: a route that its guard withdraws, a cell whose rule is gone, or there again.
fn open_step(progress: &Progress) -> Option<usize> {
    progress
        .steps
        .iter()
        .position(|step| matches!(step.state, StepState::Undoing | StepState::Running))
}

fn finish_open_step(progress: &Progress) -> Lead {
    open_step(progress).map_or(Lead::Rest, |index| Lead::Step {
        index,
        from: progress.since,
    })
}

fn leave_out(progress: &Progress, trouble: Trouble, now: Timestamp) -> Lead {
    let mut next = progress.clone();
    for step in &mut next.steps {
        if step.state == StepState::Pending {
            *step = step.turned(StepState::Skipped, Some(trouble.clone()), now);
        }
    }
    Lead::Record(Box::new(next))
}

fn record(progress: &Progress, phase: Phase, now: Timestamp) -> Lead {
    Lead::Record(Box::new(at(progress, phase, now)))
}

fn at(progress: &Progress, phase: Phase, now: Timestamp) -> Progress {
    Progress {
        phase,
        since: now,
        ..progress.clone()
    }
}
