//! A steady wish in the workload's own template: applied, rolled out by the Deployment itself, watched. Undone by giving the
//! fields up, which rolls out once more.
//!
//! ```text
//! begin ─► Apply ─► Roll ─► done
//!            └────────┴─► undo: give the fields up, wait for the roll-out
//! ```

use super::moving::allows_one;
use super::{
    Awaited, Intent, Next, PodSeen, Receipt, RuleName, Step, StepState, TemplateReceipt, TemplateSeen, TemplateStage,
    Trouble, Turn, WorkloadSeen,
};
use crate::id::{NodeName, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn next(step: &Step, workload: &WorkloadId, with: &WorkloadId, seen: &TemplateSeen, turn: Turn<'_>) -> Next {
    let at_work = |receipt| Templating {
        step,
        receipt,
        with,
        seen,
        turn,
    };
    match (step.state, &step.receipt) {
        (StepState::Pending, _) => begin(step, workload, seen, turn),
        (StepState::Running, Some(Receipt::Template(receipt))) => at_work(receipt).forward(),
        (StepState::Undoing, Some(Receipt::Template(receipt))) => at_work(receipt).backward(),
        (StepState::Running | StepState::Undoing, _) => turn.turned(step, StepState::Undone, None),
        (StepState::Done | StepState::Undone | StepState::Skipped, _) => Next::Over,
    }
}

fn begin(step: &Step, workload: &WorkloadId, seen: &TemplateSeen, turn: Turn<'_>) -> Next {
    let skip = |trouble: Trouble| turn.turned(step, StepState::Skipped, trouble);
    let until = turn.from.plus(turn.config.patience);
    let Some(now) = seen.workload.as_ref().filter(|_| seen.hub_exists) else {
        return skip(Trouble::WorkloadGone);
    };
    if !now.allowed {
        return skip(Trouble::NotAllowed);
    }
    if !now.selectable {
        return skip(Trouble::Unselectable);
    }
    if let Some(mark) = &seen.mark {
        let plan = mark.rsplit_once('-').map_or(mark.as_str(), |(plan, _)| plan);
        return skip(Trouble::RuleInForce { plan: plan.to_owned() });
    }
    if let Err(why) = &seen.strategy {
        return skip(Trouble::Strategy { why: why.clone() });
    }
    if let Err(by) = &seen.free {
        return skip(Trouble::FieldOwned { by: by.clone() });
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
    let (nodes, zones, _) = spread(seen);
    Next::Record(Box::new(Step {
        state: StepState::Running,
        since: turn.now,
        trouble: None,
        receipt: Some(Receipt::Template(TemplateReceipt {
            rule: RuleName::of(turn.plan, turn.index, &workload.namespace),
            workload: workload.clone(),
            uid: seen.uid.clone(),
            nodes,
            zones,
            stage: TemplateStage::Apply,
        })),
    }))
}

/// All wanted pods there and ready, none on its way in or out.
pub(super) fn is_whole(workload: &WorkloadSeen, pods: &[PodSeen]) -> bool {
    pods.len() as u64 == workload.replicas && pods.iter().all(|pod| pod.ready && !pod.deleting && !pod.orphan)
}

/// Distinct nodes, distinct zones, pods on the fullest node.
fn spread(seen: &TemplateSeen) -> (u64, u64, u64) {
    let mut counts: BTreeMap<&NodeName, u64> = BTreeMap::new();
    for node in seen.pods.iter().filter_map(|pod| pod.node.as_ref()) {
        *counts.entry(node).or_default() += 1;
    }
    let zones: BTreeSet<&String> = counts.keys().filter_map(|node| seen.zones.get(*node)).collect();
    let most = counts.values().copied().max().unwrap_or(0);
    (counts.len() as u64, zones.len() as u64, most)
}

/// A template being changed or changed back.
struct Templating<'a> {
    step: &'a Step,
    receipt: &'a TemplateReceipt,
    with: &'a WorkloadId,
    seen: &'a TemplateSeen,
    turn: Turn<'a>,
}

impl Templating<'_> {
    fn forward(&self) -> Next {
        let Some(now) = self.workload() else {
            return self.turn.turned(self.step, StepState::Undone, Trouble::WorkloadGone);
        };
        if !now.allowed {
            return self.undo(Trouble::NotAllowed);
        }
        if self.turn.now >= self.step.since.plus(self.turn.config.whole) {
            return self.undo(Trouble::TooLong);
        }
        match self.receipt.stage {
            TemplateStage::Apply => self.apply(),
            TemplateStage::Roll => self.roll(now),
        }
    }

    fn apply(&self) -> Next {
        if self.is_ours() {
            let mut step = self.step.clone();
            step.receipt = Some(Receipt::Template(TemplateReceipt {
                stage: TemplateStage::Roll,
                ..self.receipt.clone()
            }));
            return Next::Record(Box::new(step));
        }
        if let Err(by) = &self.seen.free {
            return self.undo(Trouble::FieldOwned { by: by.clone() });
        }
        Next::Do(Intent::ApplyTemplate {
            rule: self.receipt.rule.clone(),
            workload: self.receipt.workload.clone(),
            with: self.with.clone(),
            uid: self.receipt.uid.clone(),
            resource_version: self.seen.resource_version.clone(),
        })
    }

    fn roll(&self, now: &WorkloadSeen) -> Next {
        if !(self.is_ours() && self.seen.intact) {
            return self.undo(Trouble::TemplateTaken);
        }
        if self.seen.stuck {
            return self.undo(Trouble::NotReady);
        }
        let until = self.step.since.plus(self.turn.config.whole);
        if now.rolling || !is_whole(now, &self.seen.pods) {
            return Next::Wait {
                why: Awaited::Rollout,
                until,
            };
        }
        let (nodes, zones, most) = spread(self.seen);
        if nodes < self.receipt.nodes || zones < self.receipt.zones || most > now.replicas.div_ceil(2) {
            return self.undo(Trouble::Crowded {
                nodes_before: self.receipt.nodes,
                nodes_after: nodes,
                zones_before: self.receipt.zones,
                zones_after: zones,
            });
        }
        let mut at = self.seen.pods.iter().filter_map(|pod| pod.node.as_ref());
        match at.next() {
            Some(node) if !self.seen.pods.iter().any(|pod| self.is_near(pod)) => {
                self.undo(Trouble::Elsewhere { node: node.clone() })
            }
            _ => self.turn.turned(self.step, StepState::Done, None),
        }
    }

    /// Gives the fields up and waits for the roll-out that follows.
    fn backward(&self) -> Next {
        let Some(now) = self.workload() else {
            return self.undone();
        };
        if self.is_ours() {
            return Next::Do(Intent::ClearTemplate {
                workload: self.receipt.workload.clone(),
                uid: self.receipt.uid.clone(),
                resource_version: self.seen.resource_version.clone(),
            });
        }
        if now.rolling {
            let until = self.step.since.plus(self.turn.config.whole);
            return self.turn.patient(Awaited::Rollout, until, || self.undone());
        }
        self.undone()
    }

    /// The workload, if it is the one that the receipt speaks of.
    fn workload(&self) -> Option<&WorkloadSeen> {
        let same = self.seen.uid == self.receipt.uid;
        self.seen.workload.as_ref().filter(|_| same)
    }

    fn is_ours(&self) -> bool {
        self.seen.mark.as_ref() == Some(&self.receipt.rule.name)
    }

    fn is_near(&self, pod: &PodSeen) -> bool {
        pod.node.as_ref().is_some_and(|node| self.seen.hub_nodes.contains(node))
    }

    fn undone(&self) -> Next {
        self.turn.turned(self.step, StepState::Undone, None)
    }

    fn undo(&self, trouble: Trouble) -> Next {
        self.turn.turned(self.step, StepState::Undoing, trouble)
    }
}
