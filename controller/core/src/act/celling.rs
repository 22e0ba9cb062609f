//! A cell: its nodes labelled, then a steady rule that prefers them. Undone in reverse: the rule goes, then the labels.
//!
//! ```text
//! begin ─► Label ─► Rule ─► done ─► (its rule is gone) ─► Lapsed: take the labels off
//!            ▲        └── undo: delete the rule, take the labels off         │
//!            └─────────────── (its rule is there again, at any moment) ◄─────┘
//! ```
//!
//! A node that is gone is no obstacle, on either way; a label that somebody else changed is theirs from then on.

use super::placing::{Force, into_force};
use super::{
    Awaited, CellName, CellReceipt, CellSeen, CellStage, Intent, LabelledNode, Next, Placement, Receipt, RuleName,
    RuleSeen, Step, StepState, Trouble, Turn,
};
use crate::id::WorkloadId;
use crate::plan::{Action, Seat};

pub(super) fn next(step: &Step, action: &Action, seen: &CellSeen, turn: Turn<'_>) -> Next {
    let Action::Cell { workload, seats, .. } = action else {
        return Next::Over;
    };
    let celling = match &step.receipt {
        Some(Receipt::Cell(receipt)) => Some(Celling {
            step,
            receipt,
            workload,
            seen,
            turn,
        }),
        _ => None,
    };
    match (step.state, celling) {
        (StepState::Pending, _) => begin(step, workload, seats, seen, turn),
        (StepState::Running, Some(celling)) => celling.forward(),
        (StepState::Done, Some(celling)) => celling.hold(),
        (StepState::Undoing, Some(celling)) => celling.backward(),
        (StepState::Undone, Some(celling)) => celling.again(),
        (StepState::Running | StepState::Undoing, None) => turn.turned(step, StepState::Undone, None),
        (StepState::Done | StepState::Undone, None) | (StepState::Skipped, _) => Next::Over,
    }
}

fn begin(step: &Step, workload: &WorkloadId, seats: &[Seat], seen: &CellSeen, turn: Turn<'_>) -> Next {
    let skip = |trouble| turn.turned(step, StepState::Skipped, trouble);
    match &seen.workload {
        None => return skip(Trouble::WorkloadGone),
        Some(placed) if !placed.allowed => return skip(Trouble::NotAllowed),
        Some(placed) if !placed.selectable => return skip(Trouble::Unselectable),
        Some(_) if !seen.cells_allowed => return skip(Trouble::CellsNotAllowed),
        Some(_) => {}
    }
    if let Some(plan) = &seen.other_rule {
        return skip(Trouble::RuleInForce { plan: plan.clone() });
    }
    let rule = RuleName::of(turn.plan, turn.index, &workload.namespace);
    let nodes: Vec<LabelledNode> = seats
        .iter()
        .enumerate()
        .filter_map(|(number, seat)| {
            let node = seen.nodes.get(&seat.node)?;
            let value = number.to_string();
            // A label that is there already with another value is somebody else's.
            let free = node.label.as_ref().is_none_or(|label| *label == value);
            free.then(|| LabelledNode {
                node: seat.node.clone(),
                uid: node.uid.clone(),
                value,
                weight: seat.weight,
            })
        })
        .collect();
    if nodes.is_empty() {
        return skip(Trouble::NodeLost);
    }
    Next::Record(Box::new(Step {
        state: StepState::Running,
        since: turn.now,
        trouble: None,
        receipt: Some(Receipt::Cell(CellReceipt {
            cell: CellName::of(&rule),
            rule,
            nodes,
            stage: CellStage::Label,
        })),
    }))
}

/// A cell under way, in force, or on its way back.
struct Celling<'a> {
    step: &'a Step,
    receipt: &'a CellReceipt,
    workload: &'a WorkloadId,
    seen: &'a CellSeen,
    turn: Turn<'a>,
}

impl Celling<'_> {
    fn forward(&self) -> Next {
        match self.receipt.stage {
            // Labels come first, also of one that had lapsed.
            CellStage::Label | CellStage::Lapsed => self.label(),
            CellStage::Rule => self.rule(),
        }
    }

    fn label(&self) -> Next {
        let allowed = self.seen.workload.as_ref().is_some_and(|now| now.allowed);
        if !allowed || !self.seen.cells_allowed {
            return self.undo(Trouble::CellsNotAllowed);
        }
        let until = self.step.since.plus(self.turn.config.rule);
        if self.turn.now >= until {
            return self.undo(Trouble::NodesNotLabelled);
        }
        let bare = self.receipt.nodes.iter().find_map(|labelled| {
            let now = self.seen.nodes.get(&labelled.node)?;
            (now.uid == labelled.uid && now.label.is_none()).then(|| self.write(labelled, Some(labelled.value.clone())))
        });
        if let Some(Some(intent)) = bare {
            return Next::Do(intent);
        }
        if !self.receipt.nodes.iter().any(|labelled| self.is_ours(labelled)) {
            return self.undo(Trouble::NodeLost);
        }
        self.at_stage(StepState::Running, CellStage::Rule)
    }

    fn at_stage(&self, state: StepState, stage: CellStage) -> Next {
        Next::Record(Box::new(Step {
            state,
            since: self.turn.now,
            trouble: None,
            receipt: Some(Receipt::Cell(CellReceipt {
                stage,
                ..self.receipt.clone()
            })),
        }))
    }

    fn rule(&self) -> Next {
        let rule = &self.receipt.rule;
        let make = || Intent::CreateRule {
            rule: rule.clone(),
            plan: self.turn.plan.clone(),
            workload: self.workload.clone(),
            placement: Placement::InCell {
                cell: self.receipt.cell.clone(),
                nodes: self
                    .receipt
                    .nodes
                    .iter()
                    .map(|node| (node.value.clone(), node.weight))
                    .collect(),
            },
        };
        let seen = (&self.seen.rule, self.seen.bound);
        match into_force(seen, rule, self.workload, self.step.since, self.turn, make) {
            Force::Yes => self.turn.turned(self.step, StepState::Done, None),
            Force::No(trouble) => self.undo(trouble),
            Force::NotYet(next) => next,
        }
    }

    /// Whoever deletes the rule, by hand or with the proof of a later plan, has undone the cell: its labels go. That is no failure of it.
    fn hold(&self) -> Next {
        match self.seen.rule {
            RuleSeen::Absent => self.at_stage(StepState::Undoing, CellStage::Lapsed),
            RuleSeen::Trial { .. } | RuleSeen::Armed { .. } | RuleSeen::Deleting => Next::Over,
        }
    }

    /// Its rule is in force again, because a plan that had withdrawn it was rolled back: without labels it would wish for nothing.
    fn is_back(&self) -> bool {
        self.receipt.stage == CellStage::Lapsed && matches!(self.seen.rule, RuleSeen::Armed { .. })
    }

    fn again(&self) -> Next {
        if self.is_back() {
            self.at_stage(StepState::Running, CellStage::Label)
        } else {
            Next::Over
        }
    }

    fn backward(&self) -> Next {
        let until = self.step.since.plus(self.turn.config.patience);
        match self.seen.rule {
            RuleSeen::Armed { .. } if self.is_back() => return self.again(),
            // Being brought back: it is not this cell's to delete.
            RuleSeen::Trial { .. } if self.receipt.stage == CellStage::Lapsed => {}
            RuleSeen::Trial { .. } | RuleSeen::Armed { .. } => {
                return Next::Do(Intent::DeleteRule {
                    rule: self.receipt.rule.clone(),
                });
            }
            RuleSeen::Deleting if self.turn.now < until => {
                return Next::Wait {
                    why: Awaited::Rule,
                    until,
                };
            }
            RuleSeen::Deleting | RuleSeen::Absent => {}
        }
        let mut ours = self.receipt.nodes.iter().filter(|labelled| self.is_ours(labelled));
        match ours.next().and_then(|labelled| self.write(labelled, None)) {
            None => self.turn.turned(self.step, StepState::Undone, None),
            // Without a rule a label does nothing; who took the right away wants no more of it.
            Some(_) if self.turn.now >= until => self.turn.turned(self.step, StepState::Undone, Trouble::LabelsLeft),
            Some(intent) => Next::Do(intent),
        }
    }

    /// The node is the one that was labelled, and its label is what was set.
    fn is_ours(&self, labelled: &LabelledNode) -> bool {
        let now = self.seen.nodes.get(&labelled.node);
        now.is_some_and(|now| now.uid == labelled.uid && now.label.as_ref() == Some(&labelled.value))
    }

    fn write(&self, labelled: &LabelledNode, value: Option<String>) -> Option<Intent> {
        let now = self.seen.nodes.get(&labelled.node)?;
        Some(Intent::LabelNode {
            node: labelled.node.clone(),
            uid: now.uid.clone(),
            resource_version: now.resource_version.clone(),
            cell: self.receipt.cell.clone(),
            value,
        })
    }

    fn undo(&self, trouble: Trouble) -> Next {
        self.turn.turned(self.step, StepState::Undoing, trouble)
    }
}
