//! The orphan move of one pod: its replacement serves before it stops.
//!
//! ```text
//! begin ─► Rule ─► Release ─► Replace ─► Drain ─► Drained ─► Clear ─► done
//!            └────────┴──────────┴─────────┘
//!                      undo: give the labels back, delete the rule
//! ```

use super::placing::{Force, into_force};
use super::{
    Awaited, Intent, MoveReceipt, MoveSeen, Next, Placement, PodAt, PodSeen, Receipt, RuleName, RuleSeen, Stage, Step,
    StepState, Trouble, Turn, WorkloadSeen,
};
use crate::cluster::{Budget, Labels};
use crate::id::{NodeName, WorkloadId};
use crate::plan::Action;
use crate::time::{Span, Timestamp};

/// The label by which a ReplicaSet knows its pods among those of its Deployment.
pub(super) const TEMPLATE_HASH: &str = "pod-template-hash";

pub(super) fn next(step: &Step, action: &Action, seen: &MoveSeen, turn: Turn<'_>) -> Next {
    let Action::Move { workload, to, .. } = action else {
        return Next::Over;
    };
    let moving = match &step.receipt {
        Some(Receipt::Move(receipt)) => Some(Moving {
            step,
            receipt,
            workload,
            to,
            seen,
            turn,
        }),
        _ => None,
    };
    match (step.state, moving) {
        (StepState::Pending, _) => begin(step, workload, to, seen, turn),
        (StepState::Running, Some(moving)) => moving.forward(),
        // Past this stage nothing can be taken back: the old pod serves nobody any more.
        (StepState::Undoing, Some(moving)) if moving.receipt.stage >= Stage::Drained => moving.forward(),
        (StepState::Undoing, Some(moving)) => moving.backward(),
        (StepState::Running | StepState::Undoing, None) => turn.turned(step, StepState::Undone, None),
        (StepState::Done | StepState::Undone | StepState::Skipped, _) => Next::Over,
    }
}

fn begin(step: &Step, workload: &WorkloadId, to: &NodeName, seen: &MoveSeen, turn: Turn<'_>) -> Next {
    let skip = |trouble: Trouble| turn.turned(step, StepState::Skipped, trouble);
    let until = turn.from.plus(turn.config.patience);
    let Some(now) = &seen.workload else {
        return skip(Trouble::WorkloadGone);
    };
    let Some(pod) = seen.pod.as_ref().filter(|pod| !pod.deleting) else {
        return skip(Trouble::PodGone);
    };
    if !now.allowed {
        return skip(Trouble::NotAllowed);
    }
    if !now.selectable || !pod.labels.contains_key(TEMPLATE_HASH) {
        return skip(Trouble::Unselectable);
    }
    if pod.node.as_ref() == Some(to) {
        return skip(Trouble::AlreadySo);
    }
    if !seen.target_ready {
        return skip(Trouble::NodeLost);
    }
    let Some(owner) = &pod.owner else {
        return skip(Trouble::NotOwned);
    };
    if now.rolling || now.replica_set.as_ref() != Some(owner) {
        return turn.patient(Awaited::Rollout, until, || skip(Trouble::RolledOut));
    }
    if !is_whole(now, pod, seen) {
        return turn.patient(Awaited::Readiness, until, || skip(Trouble::Unready));
    }
    if !allows_one(now.budget) {
        return turn.patient(Awaited::Budget, until, || skip(Trouble::Budget));
    }
    let labels: Labels = pod
        .labels
        .iter()
        .filter(|(key, _)| key.as_str() == TEMPLATE_HASH || seen.service_labels.contains(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Next::Record(Box::new(Step {
        state: StepState::Running,
        since: turn.now,
        trouble: None,
        receipt: Some(Receipt::Move(MoveReceipt {
            rule: RuleName::of(turn.plan, turn.index, &workload.namespace),
            namespace: workload.namespace.clone(),
            pod: pod.uid.clone(),
            pod_name: pod.name.clone(),
            replica_set: owner.clone(),
            labels,
            service_labels: seen.service_labels.clone(),
            siblings: seen.pods.iter().map(|pod| pod.uid.clone()).collect(),
            stage: Stage::Rule,
            stage_since: turn.now,
        })),
    }))
}

/// All wanted pods there and ready, none on its way in or out: one pod is moved at a time. An earlier orphan that is
/// already being deleted may take its time.
fn is_whole(workload: &WorkloadSeen, pod: &PodSeen, seen: &MoveSeen) -> bool {
    let pods = || {
        let others = seen.pods.iter().filter(|pod| !(pod.orphan && pod.deleting));
        others.chain([pod])
    };
    pods().count() as u64 == workload.replicas && pods().all(|pod| pod.ready && !pod.deleting && !pod.orphan)
}

pub(super) fn allows_one(budget: Budget) -> bool {
    match budget {
        Budget::None => true,
        Budget::Allows(pods) => pods >= 1,
        Budget::Ambiguous => false,
    }
}

/// A move under way.
struct Moving<'a> {
    step: &'a Step,
    receipt: &'a MoveReceipt,
    workload: &'a WorkloadId,
    to: &'a NodeName,
    seen: &'a MoveSeen,
    turn: Turn<'a>,
}

impl Moving<'_> {
    fn forward(&self) -> Next {
        let late = self.turn.now >= self.step.since.plus(self.turn.config.whole);
        if late && self.receipt.stage < Stage::Drained {
            return self.undo(Trouble::TooLong);
        }
        match self.receipt.stage {
            Stage::Rule => self.rule(),
            Stage::Release => self.release(),
            Stage::Replace => self.replace(),
            Stage::Drain => self.drain(),
            Stage::Drained => self.drained(),
            Stage::Clear => self.clear(),
        }
    }

    fn rule(&self) -> Next {
        if self.old_pod().is_none() {
            return self.undo(Trouble::PodGone);
        }
        let rule = &self.receipt.rule;
        let make = || Intent::CreateRule {
            rule: rule.clone(),
            plan: self.turn.plan.clone(),
            workload: self.workload.clone(),
            placement: Placement::On(self.to.clone()),
        };
        let since = self.receipt.stage_since;
        match into_force(
            (&self.seen.rule, self.seen.bound),
            rule,
            self.workload,
            since,
            self.turn,
            make,
        ) {
            Force::Yes => self.at(Stage::Release),
            Force::No(trouble) => self.undo(trouble),
            Force::NotYet(next) => next,
        }
    }

    fn release(&self) -> Next {
        let Some(pod) = self.old_pod() else {
            // Somebody else deleted it: its ReplicaSet replaces it all the same, under the step rule.
            return self.at(Stage::Replace);
        };
        if is_released(pod) {
            return self.at(Stage::Replace);
        }
        if let Some(trouble) = self.lost_ground() {
            return self.undo(trouble);
        }
        let allowed = self.seen.workload.as_ref().is_some_and(|now| allows_one(now.budget));
        if !allowed {
            let until = self.receipt.stage_since.plus(self.turn.config.patience);
            return self.turn.patient(Awaited::Budget, until, || self.undo(Trouble::Budget));
        }
        Next::Do(Intent::Release {
            pod: self.pod_at(pod),
            plan: self.turn.plan.clone(),
        })
    }

    fn replace(&self) -> Next {
        if self.replacements().any(|pod| pod.ready && self.is_there(pod)) {
            return self.at(Stage::Drain);
        }
        if let Some(trouble) = self.lost_ground() {
            return self.undo(trouble);
        }
        let since = self.receipt.stage_since;
        let hopeful = self.replacements().any(|pod| pod.node.is_none() || self.is_there(pod));
        let elsewhere = self.replacements().find_map(|pod| pod.node.clone());
        if let (false, Some(node)) = (hopeful, elsewhere) {
            return self.undo(Trouble::Elsewhere { node });
        }
        let stuck = self.replacements().all(|pod| pod.unschedulable);
        let until = since.plus(self.turn.config.schedule);
        if stuck && self.replacements().next().is_some() && self.turn.now >= until {
            return self.undo(Trouble::Unschedulable);
        }
        let until = since.plus(self.turn.config.ready);
        self.turn
            .patient(Awaited::Replacement, until, || self.undo(Trouble::NotReady))
    }

    fn drain(&self) -> Next {
        let Some(pod) = self.old_pod() else {
            return self.at(Stage::Clear);
        };
        if !self
            .receipt
            .service_labels
            .iter()
            .any(|key| pod.labels.contains_key(key))
        {
            return self.at(Stage::Drained);
        }
        if !self.replacements().any(|pod| pod.ready && self.is_there(pod)) {
            return self.at(Stage::Replace);
        }
        if leaves_by_itself(pod, self.turn) {
            return self.at(Stage::Drained);
        }
        Next::Do(Intent::LeaveServices {
            pod: self.pod_at(pod),
            keys: self.receipt.service_labels.clone(),
        })
    }

    fn drained(&self) -> Next {
        let Some(pod) = self.old_pod() else {
            return self.at(Stage::Clear);
        };
        let until = drained_at(pod, self.receipt.stage_since, self.turn);
        self.turn.patient(Awaited::Drain, until, || {
            Next::Do(Intent::DeletePod { pod: self.pod_at(pod) })
        })
    }

    fn clear(&self) -> Next {
        if let Some(next) = self.delete_rule() {
            return next;
        }
        if self.seen.pod.is_none() {
            return self.turn.turned(self.step, StepState::Done, None);
        }
        // A node that is lost never confirms the end of its pods; the next step does not wait for that.
        let until = self.receipt.stage_since.plus(self.turn.config.gone);
        self.turn.patient(Awaited::OldPod, until, || {
            self.turn.turned(self.step, StepState::Done, None)
        })
    }

    /// Back to before: the old pod gets its labels back, its replacement goes, the rule goes.
    fn backward(&self) -> Next {
        let Some(pod) = self.old_pod() else {
            return self.delete_rule().unwrap_or_else(|| self.undone());
        };
        let lacks = self
            .receipt
            .labels
            .iter()
            .any(|(key, value)| pod.labels.get(key) != Some(value));
        if (lacks || pod.orphan) && !self.seen.replica_set_exists {
            // Nobody would take it back, and its workload no longer wants it.
            return Next::Do(Intent::DeletePod { pod: self.pod_at(pod) });
        }
        if lacks || pod.orphan {
            // The ReplicaSet will have one too many: the newcomer goes, not some other pod.
            if let Some(newcomer) = self.replacements().find(|pod| !pod.expendable) {
                return Next::Do(Intent::Devalue {
                    pod: self.pod_at(newcomer),
                });
            }
            return Next::Do(Intent::GiveBack {
                pod: self.pod_at(pod),
                labels: self.receipt.labels.clone(),
            });
        }
        if let Some(next) = self.delete_rule() {
            return next;
        }
        if pod.owner.is_some() {
            return self.undone();
        }
        let until = self.step.since.plus(self.turn.config.gone);
        self.turn.patient(Awaited::Adoption, until, || {
            Next::Do(Intent::DeletePod { pod: self.pod_at(pod) })
        })
    }

    fn undone(&self) -> Next {
        self.turn.turned(self.step, StepState::Undone, None)
    }

    fn undo(&self, trouble: Trouble) -> Next {
        self.turn.turned(self.step, StepState::Undoing, trouble)
    }

    fn delete_rule(&self) -> Option<Next> {
        match self.seen.rule {
            RuleSeen::Trial { .. } | RuleSeen::Armed { .. } => Some(Next::Do(Intent::DeleteRule {
                rule: self.receipt.rule.clone(),
            })),
            RuleSeen::Absent | RuleSeen::Deleting => None,
        }
    }

    fn at(&self, stage: Stage) -> Next {
        let mut step = self.step.clone();
        step.receipt = Some(Receipt::Move(MoveReceipt {
            stage,
            stage_since: self.turn.now,
            ..self.receipt.clone()
        }));
        Next::Record(Box::new(step))
    }

    /// What makes going on senseless while the old pod still can go back.
    fn lost_ground(&self) -> Option<Trouble> {
        match &self.seen.workload {
            None => Some(Trouble::WorkloadGone),
            Some(now) if !now.allowed => Some(Trouble::NotAllowed),
            Some(now) if now.replica_set.as_ref() != Some(&self.receipt.replica_set) => Some(Trouble::RolledOut),
            Some(_) if !self.seen.bound => Some(Trouble::Unbound),
            Some(_) if !self.seen.target_ready => Some(Trouble::NodeLost),
            Some(_) => None,
        }
    }

    fn old_pod(&self) -> Option<&PodSeen> {
        self.seen.pod.as_ref().filter(|pod| !pod.deleting)
    }

    fn replacements(&self) -> impl Iterator<Item = &PodSeen> {
        self.seen.pods.iter().filter(|pod| {
            !pod.deleting
                && pod.owner.as_ref() == Some(&self.receipt.replica_set)
                && !self.receipt.siblings.contains(&pod.uid)
        })
    }

    fn is_there(&self, pod: &PodSeen) -> bool {
        pod.node.as_ref() == Some(self.to)
    }

    fn pod_at(&self, pod: &PodSeen) -> PodAt {
        pod.at(&self.receipt.namespace)
    }
}

/// Whether a pod stays with its Services until it is deleted. Who goes on serving after that, for as long as Huddle would wait, is no endpoint from
/// that moment on. Others leave first; but their proxies are told of it too, and know no way to their own containers for some
/// milliseconds: a request that came just then was answered with 503 (`NC cluster_not_found`, seen on the bed).
pub(super) fn leaves_by_itself(pod: &PodSeen, turn: Turn<'_>) -> bool {
    pod.lingers > Span(0) && pod.lingers >= turn.config.drain
}

/// When a pod that has drained since then may be deleted.
pub(super) fn drained_at(pod: &PodSeen, since: Timestamp, turn: Turn<'_>) -> Timestamp {
    match leaves_by_itself(pod, turn) {
        true => since,
        false => since.plus(turn.config.drain),
    }
}

pub(super) fn is_released(pod: &PodSeen) -> bool {
    pod.orphan && !pod.labels.contains_key(TEMPLATE_HASH)
}
