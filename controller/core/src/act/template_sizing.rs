//! Figures in the workload's own template: tried, written, rolled out by the Deployment itself, watched. Undone by writing what was there
//! before, which rolls out once more; what somebody else has written by then stays.
//!
//! Where the new pods stand is not asked, other than for wishes: nothing here says where they are to be, and the way back would be one
//! more roll-out by the same scheduler.
//!
//! ```text
//! begin ─► tried as a dry run ─► Apply ─► Roll ─► done
//!                                  └────────┴─► undo: the figures before, wait for the roll-out
//! ```

use super::moving::allows_one;
use super::templating::is_whole;
use super::{
    Awaited, Intent, Next, Receipt, Sizes, Step, StepState, TemplateSizeReceipt, TemplateSizeSeen, TemplateStage,
    Trouble, Turn, WorkloadSeen,
};
use crate::plan::Action;
use crate::time::Timestamp;

pub(super) fn next(step: &Step, action: &Action, seen: &TemplateSizeSeen, turn: Turn<'_>) -> Next {
    let sizing = match &step.receipt {
        Some(Receipt::TemplateSize(receipt)) => Some(Sizing {
            step,
            receipt,
            seen,
            turn,
        }),
        _ => None,
    };
    match (step.state, sizing) {
        (StepState::Pending, _) => begin(step, action, seen, turn),
        (StepState::Running, Some(sizing)) => sizing.forward(),
        (StepState::Undoing, Some(sizing)) => sizing.backward(),
        (StepState::Running | StepState::Undoing, None) => turn.turned(step, StepState::Undone, None),
        (StepState::Done | StepState::Undone | StepState::Skipped, _) => Next::Over,
    }
}

fn begin(step: &Step, action: &Action, seen: &TemplateSizeSeen, turn: Turn<'_>) -> Next {
    let skip = |trouble: Trouble| turn.turned(step, StepState::Skipped, trouble);
    let until = turn.from.plus(turn.config.patience);
    let Action::Size {
        workload,
        container,
        to,
        instead,
        ..
    } = action
    else {
        return Next::Over;
    };
    let Some(now) = &seen.workload else {
        return skip(Trouble::WorkloadGone);
    };
    if !now.allowed {
        return skip(Trouble::NotAllowed);
    }
    let Some(says) = seen.says else {
        return skip(Trouble::TemplateSizeTaken);
    };
    if says.figures.only(to) == *to {
        return skip(Trouble::AlreadySo);
    }
    if says.figures.only(to) != *instead {
        return skip(Trouble::TemplateSizeTaken);
    }
    if let Err(why) = &seen.strategy {
        return skip(Trouble::Strategy { why: why.clone() });
    }
    if now.rolling {
        return turn.patient(Awaited::Rollout, until, || skip(Trouble::RolledOut));
    }
    if !is_whole(now, &seen.pods) {
        return turn.patient(Awaited::Readiness, until, || skip(Trouble::Unready));
    }
    if !allows_one(now.budget) {
        return turn.patient(Awaited::Budget, until, || skip(Trouble::Budget));
    }
    Next::Record(Box::new(Step {
        state: StepState::Running,
        since: turn.now,
        trouble: None,
        receipt: Some(Receipt::TemplateSize(TemplateSizeReceipt {
            workload: workload.clone(),
            uid: seen.uid.clone(),
            container: container.clone(),
            native_sidecar: says.native_sidecar,
            before: *instead,
            wanted: *to,
            stage: TemplateStage::Apply,
        })),
    }))
}

/// What the template says, of the figures wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Before,
    Wanted,
    Other,
}

/// Figures being written or written back.
struct Sizing<'a> {
    step: &'a Step,
    receipt: &'a TemplateSizeReceipt,
    seen: &'a TemplateSizeSeen,
    turn: Turn<'a>,
}

impl Sizing<'_> {
    fn forward(&self) -> Next {
        let Some(now) = self.workload() else {
            return self.turned(StepState::Undone, Trouble::WorkloadGone);
        };
        match self.receipt.stage {
            TemplateStage::Apply => self.apply(now),
            TemplateStage::Roll => self.roll(now),
        }
    }

    fn apply(&self, now: &WorkloadSeen) -> Next {
        match self.says() {
            Says::Wanted => {
                let mut step = self.step.clone();
                step.receipt = Some(Receipt::TemplateSize(TemplateSizeReceipt {
                    stage: TemplateStage::Roll,
                    ..self.receipt.clone()
                }));
                return Next::Record(Box::new(step));
            }
            Says::Other => return self.turned(StepState::Undone, Trouble::TemplateSizeTaken),
            Says::Before => {}
        }
        if !now.allowed {
            return self.turned(StepState::Undone, Trouble::NotAllowed);
        }
        if self.is_late() {
            return self.turned(StepState::Undone, Trouble::TooLong);
        }
        // What its owner rolls out goes first: the two would be told apart by nobody.
        if now.rolling {
            return self.wait();
        }
        match &self.seen.tried {
            None => Next::Do(self.intent(true, true)),
            Some(Err(why)) => {
                let why = why.clone();
                self.turned(StepState::Undone, Trouble::TemplateRefused { why })
            }
            Some(Ok(())) => Next::Do(self.intent(true, false)),
        }
    }

    fn roll(&self, now: &WorkloadSeen) -> Next {
        let undo = |trouble| self.turned(StepState::Undoing, trouble);
        if self.says() != Says::Wanted {
            return undo(Trouble::TemplateSizeTaken);
        }
        if !now.allowed {
            return undo(Trouble::NotAllowed);
        }
        if self.seen.restarted {
            return undo(Trouble::Restarted);
        }
        if self.seen.stuck {
            return undo(Trouble::NotReady);
        }
        if !now.rolling && is_whole(now, &self.seen.pods) {
            return self.turned(StepState::Done, None);
        }
        if self.is_late() {
            return undo(Trouble::TooLong);
        }
        self.wait()
    }

    /// The figures before, where nobody else has written others, and the roll-out that follows.
    fn backward(&self) -> Next {
        let undone = || self.turned(StepState::Undone, None);
        let Some(now) = self.workload() else {
            return undone();
        };
        match self.says() {
            Says::Wanted => match &self.seen.tried {
                // Somebody's admission policy may let it pass later; what stands beside them by now may not go with them at all.
                Some(Err(why)) => {
                    let refused = || Trouble::TemplateRefused { why: why.clone() };
                    let late = || self.turned(StepState::Undone, refused());
                    self.turn
                        .patient(Awaited::WayBack { says: why.clone() }, self.until(), late)
                }
                Some(Ok(())) | None => Next::Do(self.intent(false, false)),
            },
            Says::Other => self.turned(StepState::Undone, Trouble::TemplateSizeTaken),
            Says::Before if now.rolling => self.turn.patient(Awaited::Rollout, self.until(), undone),
            Says::Before => undone(),
        }
    }

    /// The workload, if it is the one that the receipt speaks of.
    fn workload(&self) -> Option<&WorkloadSeen> {
        let same = self.seen.uid == self.receipt.uid;
        self.seen.workload.as_ref().filter(|_| same)
    }

    fn says(&self) -> Says {
        let TemplateSizeReceipt { before, wanted, .. } = self.receipt;
        match self.seen.says.map(|says| says.figures.only(wanted)) {
            Some(says) if says == *wanted => Says::Wanted,
            Some(says) if says == *before => Says::Before,
            Some(_) | None => Says::Other,
        }
    }

    fn until(&self) -> Timestamp {
        self.step.since.plus(self.turn.config.whole)
    }

    fn is_late(&self) -> bool {
        self.turn.now >= self.until()
    }

    fn wait(&self) -> Next {
        Next::Wait {
            why: Awaited::Rollout,
            until: self.until(),
        }
    }

    fn intent(&self, forth: bool, dry_run: bool) -> Intent {
        let TemplateSizeReceipt { before, wanted, .. } = self.receipt;
        let (to, instead) = if forth { (wanted, before) } else { (before, wanted) };
        Intent::SizeTemplate {
            plan: self.turn.plan.clone(),
            workload: self.receipt.workload.clone(),
            uid: self.receipt.uid.clone(),
            resource_version: self.seen.resource_version.clone(),
            container: self.receipt.container.clone(),
            native_sidecar: self.receipt.native_sidecar,
            sizes: Box::new(Sizes {
                to: *to,
                instead: *instead,
            }),
            dry_run,
        }
    }

    fn turned(&self, state: StepState, trouble: impl Into<Option<Trouble>>) -> Next {
        self.turn.turned(self.step, state, trouble)
    }
}
