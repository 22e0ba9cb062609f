//! A callee's containers inside its caller's pods, and out again. Both Deployments' templates stay as their owners wrote them.
//!
//! ```text
//! begin ─► Companion ─► Clusters ─► Route ─► Pods ─► Prove ─► Lower ─► done
//!          in force     told to pods that    one by  calls    the callee's own
//!                       hold it, none yet    one     inside   replicas
//!
//! undo, from anywhere: the pod under way ─► the callee's replicas ─► the Companion ─► pods one by one ─► route ─► clusters
//! ```
//!
//! The direct way passes clusters and route over, both times: no proxy is told of calls that pass none.
//!
//! Undo goes the other way round: there is room outside before a companion goes, and the route is the last to know. What stands is looked
//! at as long as it stands: a companion out of force is taken apart again, one of another version than its callee's follows it
//! (`inside/renewing.rs`).

mod clearing;
mod growing;
mod outward;
mod renewing;

pub use renewing::is_outdated;

use super::moving::allows_one;
use super::swapping::{self, Swapped, Swapping, holds, is_whole};
use super::{
    Awaited, CalleeSeen, CompanionSeen, Intent, KnownCalls, Lowered, MergeReceipt, MergeSeen, MergeStage, Next,
    PodSeen, Receipt, RoutePart, RuleName, Step, StepState, Swap, SwapStage, Trouble, Turn, WorkloadSeen,
};
use crate::id::WorkloadId;
use crate::plan::merge::Way;
use crate::plan::{Percent, watched};
use crate::time::Span;

/// Of the caller's calls, the least that must stay inside: a companion that starts late or pauses loses some, one that is of use has
/// nearly all.
const INSIDE: Percent = Percent(90);

/// That its load is still gone is put down so often: a part of the time after which the watching begins anew.
const NOTE_EVERY: Span = Span::seconds(15 * 60);

pub(super) fn next(
    step: &Step,
    (caller, callee, way): (&WorkloadId, &WorkloadId, Way),
    seen: &MergeSeen,
    turn: Turn<'_>,
) -> Next {
    let merging = match &step.receipt {
        Some(Receipt::Merge(receipt)) => Some(Merging {
            step,
            receipt,
            caller,
            callee,
            seen,
            turn,
        }),
        _ => None,
    };
    match (step.state, merging) {
        (StepState::Pending, _) => begin(step, (caller, callee, way), seen, turn),
        (StepState::Running, Some(merging)) => merging.forward(),
        (StepState::Done, Some(merging)) => merging.hold(),
        (StepState::Undoing, Some(merging)) => merging.backward(),
        (StepState::Running | StepState::Undoing, None) => turn.turned(step, StepState::Undone, None),
        (StepState::Done, None) | (StepState::Undone | StepState::Skipped, _) => Next::Over,
    }
}

fn begin(
    step: &Step,
    (caller, callee, way): (&WorkloadId, &WorkloadId, Way),
    seen: &MergeSeen,
    turn: Turn<'_>,
) -> Next {
    let skip = |trouble| turn.turned(step, StepState::Skipped, trouble);
    let (Some(one), Some(other)) = (&seen.caller, &seen.callee) else {
        return skip(Trouble::WorkloadGone);
    };
    if !(one.allowed && other.allowed) {
        return skip(Trouble::NotAllowed);
    }
    if let Some(why) = &seen.against {
        return skip(Trouble::CompanionRefused { why: why.clone() });
    }
    let usual = match way {
        Way::Proxied => None,
        Way::Direct => {
            if let Some(why) = &seen.against_way {
                return skip(Trouble::DirectRefused { why: why.clone() });
            }
            if seen.usual.is_none() {
                return skip(Trouble::NotInside { percent: None });
            }
            seen.usual
        }
    };
    if let Some(name) = seen
        .pods
        .iter()
        .find_map(|pod| pod.labels.get(swapping::COMPANION_LABEL))
    {
        return skip(Trouble::OtherCompanion { name: name.clone() });
    }
    let until = turn.from.plus(turn.config.patience);
    if one.rolling {
        return turn.patient(Awaited::Rollout, until, || skip(Trouble::RolledOut));
    }
    if !(is_whole(one, seen) && other.whole) {
        return turn.patient(Awaited::Readiness, until, || skip(Trouble::Unready));
    }
    Next::Record(Box::new(Step {
        state: StepState::Running,
        since: turn.now,
        trouble: None,
        receipt: Some(Receipt::Merge(Box::new(MergeReceipt {
            companion: RuleName::of(turn.plan, turn.index, &caller.namespace),
            former: None,
            caller: caller.clone(),
            callee: callee.clone(),
            callee_uid: other.uid.clone(),
            template: other.template.clone(),
            way,
            usual,
            stage: MergeStage::Companion,
            stage_since: turn.now,
            swap: None,
            lowered: None,
            known: Some(KnownCalls {
                version: one.replica_set.clone(),
                since: turn.now,
                calls: seen.calls.clone(),
            }),
            left: false,
            fade: None,
        }))),
    }))
}

/// How many replicas of its own a callee keeps: what others ask of it, and what one of the caller's pods asks while its companion is away;
/// half of what it has, since all companions may be away at once; two, so that there is always another.
pub fn kept(replicas: u64, others: Percent, caller_pods: u64) -> u64 {
    let others = others.0.min(100);
    let own = (100 - others).div_ceil(caller_pods.max(1));
    let needed = replicas.saturating_mul(others.saturating_add(own)).div_ceil(100);
    needed.max(replicas.div_ceil(2)).max(2).min(replicas)
}

/// A merge under way, in force, or on its way back.
struct Merging<'a> {
    step: &'a Step,
    receipt: &'a MergeReceipt,
    caller: &'a WorkloadId,
    callee: &'a WorkloadId,
    seen: &'a MergeSeen,
    turn: Turn<'a>,
}

impl Merging<'_> {
    fn forward(&self) -> Next {
        if let Some(trouble) = self.lost_ground() {
            return self.undo(trouble);
        }
        match self.receipt.stage {
            MergeStage::Companion => self.companion(),
            MergeStage::Clusters | MergeStage::Route if self.is_direct() => self.at(MergeStage::Pods),
            MergeStage::Clusters => self.told(RoutePart::Clusters, MergeStage::Route),
            MergeStage::Route => self.told(RoutePart::Route, MergeStage::Pods),
            MergeStage::Pods => self.pods(),
            MergeStage::Prove => self.prove(),
            MergeStage::Lower => self.lower(),
            MergeStage::Closed => self.undo(Trouble::Tampered),
        }
    }

    fn is_direct(&self) -> bool {
        self.receipt.way == Way::Direct
    }

    /// What ends it, whatever is under way.
    fn lost_ground(&self) -> Option<Trouble> {
        let (Some(caller), Some(callee)) = (&self.seen.caller, &self.seen.callee) else {
            return Some(Trouble::WorkloadGone);
        };
        if callee.uid != self.receipt.callee_uid {
            return Some(Trouble::WorkloadGone);
        }
        if !(caller.allowed && callee.allowed) {
            return Some(Trouble::NotAllowed);
        }
        if callee.template != self.receipt.template && !self.may_follow() {
            return Some(Trouble::CalleeChanged);
        }
        if let Some(why) = self.seen.against_way.clone() {
            return Some(match self.receipt.way {
                Way::Proxied => Trouble::CompanionRefused { why },
                Way::Direct => Trouble::DirectRefused { why },
            });
        }
        let stands = matches!(self.seen.companion, CompanionSeen::InForce);
        let out = matches!(self.seen.companion, CompanionSeen::Unbound);
        (out || (self.receipt.stage > MergeStage::Companion && !stands)).then_some(Trouble::CompanionUnbound)
    }

    fn companion(&self) -> Next {
        if let Some(intent) = self.former_goes() {
            return Next::Do(intent);
        }
        let companion = || self.receipt.companion.clone();
        let until = self.receipt.stage_since.plus(self.turn.config.rule);
        match &self.seen.companion {
            CompanionSeen::InForce if self.is_direct() => return self.at(MergeStage::Pods),
            CompanionSeen::InForce => return self.at(MergeStage::Clusters),
            CompanionSeen::Refused { why } => return self.undo(Trouble::CompanionRefused { why: why.clone() }),
            CompanionSeen::Unbound => return self.undo(Trouble::CompanionUnbound),
            CompanionSeen::Absent | CompanionSeen::Standing | CompanionSeen::Deleting => {}
        }
        if self.turn.now >= until {
            return self.undo(Trouble::CompanionNotInForce);
        }
        match &self.seen.companion {
            CompanionSeen::Absent => Next::Do(Intent::CreateCompanion {
                companion: companion(),
                plan: self.turn.plan.clone(),
                caller: self.caller.clone(),
                callee: self.callee.clone(),
                way: self.receipt.way,
            }),
            CompanionSeen::Deleting => Next::Wait {
                why: Awaited::Companion,
                until,
            },
            CompanionSeen::Standing
            | CompanionSeen::InForce
            | CompanionSeen::Refused { .. }
            | CompanionSeen::Unbound => Next::Do(Intent::AdvanceCompanion { companion: companion() }),
        }
    }

    /// No pod holds the companion yet, so no proxy hears of it.
    fn told(&self, part: RoutePart, then: MergeStage) -> Next {
        if self.seen.route.contains(&part) {
            return self.at(then);
        }
        Next::Do(Intent::TellProxies {
            companion: self.receipt.companion.clone(),
            callee: self.callee.clone(),
            part,
        })
    }

    fn pods(&self) -> Next {
        if let Some(swap) = &self.receipt.swap {
            return match self.swapping(swap).next() {
                Swapped::Record(swap) => self.swap(Some(swap)),
                Swapped::Do(intent) => Next::Do(intent),
                Swapped::Wait { why, until } => Next::Wait { why, until },
                Swapped::Over | Swapped::Returned => self.swap(None),
                Swapped::Failed(trouble) => self.undo(trouble),
            };
        }
        match self.following(true) {
            Following::Pod(swap) => self.after_the_newest(|| self.swap(Some(swap))),
            Following::Wait(why, trouble) => {
                let until = self.receipt.stage_since.plus(self.turn.config.patience);
                self.turn.patient(why, until, || self.undo(trouble))
            }
            Following::None => self.at(MergeStage::Prove),
        }
    }

    /// The next pod to be replaced: one that does not hold the companion where it should, or holds it where it should not.
    fn following(&self, merged: bool) -> Following {
        let Some(now) = &self.seen.caller else {
            return Following::None;
        };
        if now.rolling {
            return Following::Wait(Awaited::Rollout, Trouble::RolledOut);
        }
        if !is_whole(now, self.seen) {
            return Following::Wait(Awaited::Readiness, Trouble::Unready);
        }
        let wrong = |pod: &&PodSeen| match merged {
            true => !holds(pod, &self.receipt.companion.name),
            false => self.holds_any(pod),
        };
        let Some(pod) = self.seen.pods.iter().filter(|pod| !pod.deleting).find(wrong) else {
            return Following::None;
        };
        let Some(owner) = pod
            .owner
            .as_ref()
            .filter(|owner| now.replica_set.as_ref() == Some(*owner))
        else {
            return Following::Wait(Awaited::Rollout, Trouble::RolledOut);
        };
        if !allows_one(now.budget) {
            return Following::Wait(Awaited::Budget, Trouble::Budget);
        }
        Following::Pod(swapping::begin(pod, owner, self.seen, merged, self.turn.now))
    }

    fn prove(&self) -> Next {
        let share = match self.receipt.former {
            Some(_) => self.seen.inside_newest,
            None => self.seen.inside,
        };
        self.once_inside(share, || self.at(MergeStage::Lower))
    }

    fn once_inside(&self, share: Option<Percent>, then: impl FnOnce() -> Next) -> Next {
        if share.is_some_and(|share| share >= INSIDE) {
            return then();
        }
        let until = self.receipt.stage_since.plus(self.turn.config.guard);
        self.turn.patient(Awaited::Inside, until, || {
            self.undo(Trouble::NotInside {
                percent: share.map(|share| share.0),
            })
        })
    }

    fn lower(&self) -> Next {
        if let Some(former) = &self.receipt.former {
            return self.forget_former(former);
        }
        let (Some(caller), Some(callee)) = (&self.seen.caller, &self.seen.callee) else {
            return self.undo(Trouble::WorkloadGone);
        };
        match &self.receipt.lowered {
            Some(lowered) if callee.replicas == lowered.before && !callee.scaled => {
                Next::Do(self.scale(callee, lowered.to))
            }
            Some(_) => self.turn.turned(self.step, StepState::Done, None),
            None => {
                let to = self.lowest(caller, callee);
                if to >= callee.replicas {
                    return self.turn.turned(self.step, StepState::Done, None);
                }
                self.with(|receipt| {
                    receipt.lowered = Some(Lowered {
                        before: callee.replicas,
                        to,
                        was: None,
                    });
                })
            }
        }
    }

    /// Where an autoscaler says how many there are, or nobody knows who else calls, all of them stay.
    fn lowest(&self, caller: &WorkloadSeen, callee: &CalleeSeen) -> u64 {
        match self.seen.others {
            Some(others) if !callee.scaled => kept(callee.replicas, others, caller.replicas),
            Some(_) | None => callee.replicas,
        }
    }

    fn hold(&self) -> Next {
        if let Some(trouble) = self.lost_ground() {
            return self.undo(trouble);
        }
        let standing = self.seen.standing.as_ref();
        if let Some(to) = standing.and_then(|standing| standing.calls.as_ref()) {
            return self.undo(Trouble::CalleeCalls { to: to.clone() });
        }
        if let Some(next) = self.renewal().or_else(|| self.outward()).or_else(|| self.growing()) {
            return next;
        }
        let Some(standing) = standing else {
            return Next::Over;
        };
        let old = self.receipt.fade.as_ref();
        let fade = watched(old, standing.of_use, self.turn.now);
        if let Some(fade) = fade.as_ref().filter(|fade| fade.seen == self.turn.now)
            && fade.seen.since(fade.since) >= standing.patience
        {
            return self.undo(Trouble::LoadGone {
                why: fade.why,
                since: fade.since,
            });
        }
        let worth = match (old, &fade) {
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
            (Some(old), Some(new)) => old.since != new.since || new.seen.since(old.seen) >= NOTE_EVERY,
        };
        match worth {
            true => self.with(|receipt| receipt.fade = fade),
            false => Next::Over,
        }
    }

    fn backward(&self) -> Next {
        if let Some(swap) = &self.receipt.swap {
            return self.clear(swap);
        }
        let until = self.step.since.plus(self.turn.config.patience);
        if let Some(next) = self.raise() {
            return next;
        }
        match self.seen.companion {
            CompanionSeen::Absent | CompanionSeen::Deleting => {}
            CompanionSeen::Standing
            | CompanionSeen::InForce
            | CompanionSeen::Refused { .. }
            | CompanionSeen::Unbound => {
                return Next::Do(Intent::DeleteCompanion {
                    companion: self.receipt.companion.clone(),
                });
            }
        }
        if let Some(intent) = self.former_goes() {
            return Next::Do(intent);
        }
        if let Some(next) = self.clearing() {
            return next;
        }
        if !self.receipt.left {
            match self.following(false) {
                Following::Pod(swap) => return self.swap(Some(swap)),
                Following::Wait(why, _) if self.holders() => {
                    let until = until.max(self.receipt.stage_since.plus(self.turn.config.patience));
                    // What is not let go keeps its companion until its owner replaces it; its calls go to the Service.
                    return self
                        .turn
                        .patient(why, until, || self.with(|receipt| receipt.left = true));
                }
                Following::Wait(..) | Following::None => {}
            }
        }
        self.close()
    }

    /// The way to the companions is taken away after the last of them: first the route, later what it led to.
    fn close(&self) -> Next {
        if let Some(intent) = self.forget(RoutePart::Route) {
            return Next::Do(intent);
        }
        if self.receipt.stage != MergeStage::Closed {
            return self.at(MergeStage::Closed);
        }
        let until = self.receipt.stage_since.plus(self.turn.config.drain);
        if self.is_direct() && self.turn.now < until {
            // The API server may give a deleted companion to new pods for a moment.
            return Next::Wait {
                why: Awaited::Drain,
                until,
            };
        }
        if let Some(intent) = self.forget(RoutePart::Clusters) {
            return self.turn.patient(Awaited::Drain, until, || Next::Do(intent));
        }
        let trouble = self.receipt.left.then_some(Trouble::CompanionsLeft);
        self.turn.turned(self.step, StepState::Undone, trouble)
    }

    /// The pod under way, on the way back: what can go back does, what cannot is finished.
    fn clear(&self, swap: &Swap) -> Next {
        let swapping = self.swapping(swap);
        if swap.merged && swap.stage < SwapStage::Drained {
            return self.swap(Some(swapping.staged(SwapStage::Return)));
        }
        match swapping.next() {
            Swapped::Record(swap) => self.swap(Some(swap)),
            Swapped::Do(intent) => Next::Do(intent),
            Swapped::Wait { why, until } => Next::Wait { why, until },
            Swapped::Over => self.swap(None),
            Swapped::Returned => self.with(|receipt| {
                receipt.left |= !swap.merged;
                receipt.swap = None;
                receipt.stage_since = self.turn.now;
            }),
            Swapped::Failed(_) => self.swap(Some(swapping.staged(SwapStage::Return))),
        }
    }

    /// The callee's own replicas, before a companion goes. Who has set another number meanwhile is heard.
    fn raise(&self) -> Option<Next> {
        let (Some(lowered), Some(callee)) = (&self.receipt.lowered, &self.seen.callee) else {
            return None;
        };
        if callee.uid != self.receipt.callee_uid || callee.scaled {
            return None;
        }
        if callee.replicas == lowered.to || lowered.was == Some(callee.replicas) {
            return Some(Next::Do(self.scale(callee, lowered.before)));
        }
        let until = self.step.since.plus(self.turn.config.patience);
        (!callee.whole && self.turn.now < until).then_some(Next::Wait {
            why: Awaited::Readiness,
            until,
        })
    }

    fn holders(&self) -> bool {
        let pods = || self.seen.pods.iter().filter(|pod| !pod.deleting);
        self.seen.caller.is_some() && pods().any(|pod| self.holds_any(pod))
    }

    fn swapping<'b>(&'b self, swap: &'b Swap) -> Swapping<'b> {
        Swapping {
            swap,
            companion: &self.receipt.companion.name,
            namespace: &self.receipt.companion.namespace,
            seen: self.seen,
            ground: match self.lost_ground() {
                Some(trouble) if swap.merged => Err(trouble),
                Some(_) | None => Ok(()),
            },
            turn: self.turn,
        }
    }

    fn scale(&self, callee: &CalleeSeen, replicas: u64) -> Intent {
        Intent::Scale {
            workload: self.callee.clone(),
            uid: callee.uid.clone(),
            resource_version: callee.resource_version.clone(),
            replicas,
        }
    }

    fn at(&self, stage: MergeStage) -> Next {
        self.with(|receipt| {
            receipt.stage = stage;
            receipt.stage_since = self.turn.now;
        })
    }

    fn swap(&self, swap: Option<Swap>) -> Next {
        self.with(|receipt| {
            receipt.swap = swap;
            receipt.stage_since = self.turn.now;
        })
    }

    fn with(&self, change: impl FnOnce(&mut MergeReceipt)) -> Next {
        let mut receipt = self.receipt.clone();
        change(&mut receipt);
        let mut step = self.step.clone();
        step.receipt = Some(Receipt::Merge(Box::new(receipt)));
        Next::Record(Box::new(step))
    }

    fn undo(&self, trouble: Trouble) -> Next {
        self.turn.turned(self.step, StepState::Undoing, trouble)
    }
}

/// Which pod comes next.
enum Following {
    Pod(Swap),
    Wait(Awaited, Trouble),
    None,
}
