//! A steady rule of an earlier plan, deleted because what it was for is gone. Undone by creating it again, tried first like any rule.

use super::placing::{Force, into_force};
use super::{
    Awaited, Intent, Next, Receipt, RuleName, RuleSeen, Step, StepState, Trouble, Turn, WithdrawReceipt, WithdrawSeen,
};
use crate::id::WorkloadId;

pub(super) fn next(
    step: &Step,
    (workload, rule, uid): (&WorkloadId, &String, &String),
    seen: &WithdrawSeen,
    turn: Turn<'_>,
) -> Next {
    let at_work = |receipt| Withdrawing {
        step,
        workload,
        receipt,
        seen,
        turn,
    };
    match (step.state, &step.receipt) {
        (StepState::Pending, _) => begin(step, (workload, rule, uid), seen, turn),
        (StepState::Running, Some(Receipt::Withdraw(receipt))) => at_work(receipt).forward(),
        (StepState::Undoing, Some(Receipt::Withdraw(receipt))) => at_work(receipt).backward(),
        (StepState::Running | StepState::Undoing, _) => turn.turned(step, StepState::Undone, None),
        (StepState::Done | StepState::Undone | StepState::Skipped, _) => Next::Over,
    }
}

fn begin(
    step: &Step,
    (workload, rule, uid): (&WorkloadId, &String, &String),
    seen: &WithdrawSeen,
    turn: Turn<'_>,
) -> Next {
    let skip = |trouble: Trouble| turn.turned(step, StepState::Skipped, trouble);
    let Some(standing) = seen.standing.as_ref().filter(|it| it.uid == *uid) else {
        return skip(Trouble::AlreadySo);
    };
    if !standing.faded {
        return skip(Trouble::OfUse);
    }
    if seen.workload.as_ref().is_some_and(|now| !now.allowed) {
        return skip(Trouble::NotAllowed);
    }
    if let Some(plan) = &seen.under_way {
        return skip(Trouble::RuleInForce { plan: plan.clone() });
    }
    Next::Record(Box::new(Step {
        state: StepState::Running,
        since: turn.now,
        trouble: None,
        receipt: Some(Receipt::Withdraw(WithdrawReceipt {
            rule: RuleName {
                namespace: workload.namespace.clone(),
                name: rule.clone(),
            },
            uid: uid.clone(),
            object: standing.object.clone(),
        })),
    }))
}

/// A deletion under way, or its undo.
struct Withdrawing<'a> {
    step: &'a Step,
    workload: &'a WorkloadId,
    receipt: &'a WithdrawReceipt,
    seen: &'a WithdrawSeen,
    turn: Turn<'a>,
}

impl Withdrawing<'_> {
    fn forward(&self) -> Next {
        match &self.seen.standing {
            None => self.turned(StepState::Done, None),
            // Somebody made another of that name meanwhile.
            Some(now) if now.uid != self.receipt.uid => self.turned(StepState::Undone, Trouble::AlreadySo),
            Some(_) if self.seen.rule == RuleSeen::Deleting => {
                let until = self.step.since.plus(self.turn.config.gone);
                self.turn.patient(Awaited::Rule, until, || {
                    self.turned(StepState::Undoing, Trouble::TooLong)
                })
            }
            Some(_) => Next::Do(Intent::RemoveRule {
                rule: self.receipt.rule.clone(),
                uid: self.receipt.uid.clone(),
            }),
        }
    }

    /// Creates the rule again, unless it was never deleted, its workload is gone or no longer Huddle's to touch, the plan that placed it
    /// was rolled back, or a newer rule places its pods by now.
    fn backward(&self) -> Next {
        let was_never_deleted = self
            .seen
            .standing
            .as_ref()
            .is_some_and(|now| now.uid == self.receipt.uid);
        if was_never_deleted && self.seen.rule != RuleSeen::Deleting {
            return self.turned(StepState::Undone, None);
        }
        let failed = matches!(
            self.step.trouble,
            Some(Trouble::RuleRefused { .. } | Trouble::RuleNotInForce | Trouble::Unbound)
        );
        if failed {
            return match self.seen.rule {
                RuleSeen::Trial { .. } | RuleSeen::Armed { .. } => Next::Do(Intent::DeleteRule {
                    rule: self.receipt.rule.clone(),
                }),
                RuleSeen::Absent | RuleSeen::Deleting => self.turned(StepState::Undone, None),
            };
        }
        if self.seen.rule == RuleSeen::Absent
            && let Some(trouble) = self.in_the_way()
        {
            return self.turned(StepState::Undone, trouble);
        }
        let make = || Intent::RestoreRule {
            rule: self.receipt.rule.clone(),
            object: self.receipt.object.clone(),
        };
        let late = self.turn.now >= self.step.since.plus(self.turn.config.whole);
        match self.seen.rule {
            // The controller was away since the undo began: its time begins now.
            RuleSeen::Absent if late => return self.turned(StepState::Undoing, None),
            // Armed is what it was before, and it has passed its dry run.
            RuleSeen::Armed { .. } if late && self.seen.bound => return self.turned(StepState::Undone, None),
            RuleSeen::Trial { .. } if late => return self.turned(StepState::Undoing, Trouble::RuleNotInForce),
            RuleSeen::Absent | RuleSeen::Deleting | RuleSeen::Trial { .. } | RuleSeen::Armed { .. } => {}
        }
        let (seen, since) = ((&self.seen.rule, self.seen.bound), self.turn.now);
        match into_force(seen, &self.receipt.rule, self.workload, since, self.turn, make) {
            Force::Yes => self.turned(StepState::Undone, None),
            Force::No(trouble) => self.turned(StepState::Undoing, trouble),
            Force::NotYet(next) => next,
        }
    }

    fn in_the_way(&self) -> Option<Trouble> {
        match &self.seen.workload {
            None => Some(Trouble::WorkloadGone),
            Some(now) if !now.allowed => Some(Trouble::NotAllowed),
            Some(_) => {
                let undone = self.seen.origin_undone.clone();
                let undone = undone.map(|plan| Trouble::OriginUndone { plan });
                let placed = self.seen.successor.clone();
                undone.or_else(|| placed.map(|plan| Trouble::RuleInForce { plan }))
            }
        }
    }

    fn turned(&self, state: StepState, trouble: impl Into<Option<Trouble>>) -> Next {
        self.turn.turned(self.step, state, trouble)
    }
}
