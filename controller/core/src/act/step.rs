//! One step: from its record and what is seen to the next thing to do.

use super::{
    ActConfig, Awaited, Intent, Placement, Seen, Sizes, Step, StepState, Trouble, celling, inside, moving, placing,
    resizing, routing, template_sizing, templating, withdrawing,
};
use crate::id::PlanId;
use crate::plan::{Action, PlaceForm};
use crate::time::Timestamp;

/// The next thing to do for a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Put this down before anything else.
    Record(Box<Step>),
    /// Write this.
    Do(Intent),
    /// Nothing, until something changes, or until then.
    Wait {
        /// For what.
        why: Awaited,
        /// When it has been long enough.
        until: Timestamp,
    },
    /// Nothing any more.
    Over,
}

/// What a step belongs to, and the time.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// Its plan.
    pub plan: &'a PlanId,
    /// Its index.
    pub index: usize,
    /// Since when it is this step's turn.
    pub from: Timestamp,
    /// The time.
    pub now: Timestamp,
    /// How patient to be.
    pub config: &'a ActConfig,
}

impl Turn<'_> {
    /// The step in another state.
    pub(super) fn turned(&self, step: &Step, state: StepState, trouble: impl Into<Option<Trouble>>) -> Next {
        Next::Record(Box::new(step.turned(state, trouble.into(), self.now)))
    }
    /// Waits until `until`, then does `late`.
    pub(super) fn patient(&self, why: Awaited, until: Timestamp, late: impl FnOnce() -> Next) -> Next {
        if self.now < until {
            Next::Wait { why, until }
        } else {
            late()
        }
    }
}

/// The next thing to do for the step that carries out `action`. Seen facts of another kind than the action's lead to
/// nothing: the caller has mixed up two steps.
pub fn next(step: &Step, action: &Action, seen: &Seen, turn: Turn<'_>) -> Next {
    match (action, seen) {
        (Action::Place { workload, with, .. }, Seen::Place(seen)) => {
            placing::next(step, workload, &Placement::NextTo(with.clone()), seen, turn)
        }
        (
            Action::Size {
                workload,
                container,
                to,
                instead,
                form: PlaceForm::Admission,
            },
            Seen::Place(seen),
        ) => {
            let sizes = Box::new(Sizes {
                to: *to,
                instead: *instead,
            });
            placing::next(step, workload, &Placement::Sized(container.clone(), sizes), seen, turn)
        }
        (
            Action::Size {
                form: PlaceForm::Template,
                ..
            },
            Seen::TemplateSize(seen),
        ) => template_sizing::next(step, action, seen, turn),
        (Action::Cell { .. }, Seen::Cell(seen)) => celling::next(step, action, seen, turn),
        (Action::Merge { workload, with, way }, Seen::Merge(seen)) => {
            inside::next(step, (workload, with, *way), seen, turn)
        }
        (Action::Resize { .. }, Seen::Resize(seen)) => resizing::next(step, action, seen, turn),
        (Action::Place { workload, with, .. }, Seen::Template(seen)) => {
            templating::next(step, workload, with, seen, turn)
        }
        (
            Action::Withdraw {
                workload,
                rule,
                rule_uid,
                ..
            },
            Seen::Withdraw(seen),
        ) => withdrawing::next(step, (workload, rule, rule_uid), seen, turn),
        (Action::Move { .. }, Seen::Move(seen)) => moving::next(step, action, seen, turn),
        (Action::Route { service, to, .. }, Seen::Route(seen)) => routing::next(step, service, *to, seen, turn),
        (
            Action::Place { .. }
            | Action::Move { .. }
            | Action::Route { .. }
            | Action::Size { .. }
            | Action::Resize { .. }
            | Action::Withdraw { .. }
            | Action::Cell { .. }
            | Action::Merge { .. },
            _,
        ) => Next::Over,
    }
}
