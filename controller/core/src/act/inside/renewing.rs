//! The callee's owner has rolled out another version while a merge stands: the companion follows it, pod by pod.
//!
//! ```text
//! done ─► Companion ─► Clusters ─► Route ─► Pods ──────► Prove ─► Lower ─► done
//!         the old one  told to pods that    one by one,  the      what proxies knew
//!         goes, then   hold the new one     each proved  last     of the old one goes
//!         the new one                       first        pod
//! ```
//!
//! Nothing follows before the owner's own roll-out is whole, so what does not come up there is not spread. What comes up there and does not answer inside is met by
//! the first pod, and the two are split. Over loopback nobody sees the calls: there a pod shows by what it is asked itself, and answers (`Usual::inside_of`).

use super::super::swapping::holds;
use super::super::{
    Awaited, CalleeSeen, Intent, MergeReceipt, MergeStage, Next, PodSeen, Receipt, RoutePart, RuleName, Seen, Step,
    StepState, Trouble,
};
use super::Merging;

/// Whether a merge that stands is of an older version than its callee, whose turn it is not yet.
pub fn is_outdated(step: &Step, seen: &Seen) -> bool {
    match (&step.receipt, seen) {
        (Some(Receipt::Merge(receipt)), Seen::Merge(seen)) => {
            let other = |callee: &CalleeSeen| callee.template != receipt.template;
            step.state == StepState::Done && seen.callee.as_ref().is_some_and(other)
        }
        (Some(_) | None, _) => false,
    }
}

impl Merging<'_> {
    /// The companion may be of an older version than its callee, since it follows: now, or once the version before has.
    pub(super) fn may_follow(&self) -> bool {
        let follows = self.receipt.former.is_some() && self.receipt.stage > MergeStage::Companion;
        self.step.state == StepState::Done || follows
    }

    /// Another version's turn, where there is one and its own roll-out is whole: pods that come and go are not what the rules are about.
    pub(super) fn renewal(&self) -> Option<Next> {
        let callee = self.seen.callee.as_ref()?;
        if callee.template == self.receipt.template {
            return None;
        }
        let told = callee.rolled_out.map(|at| at.plus(self.turn.config.told));
        let known = !self.seen.unclear && told.is_none_or(|told| self.turn.now >= told);
        if !(callee.whole && self.seen.undisturbed && known) {
            return None;
        }
        if let Some(why) = &self.seen.against {
            return Some(self.undo(Trouble::CompanionRefused { why: why.clone() }));
        }
        let receipt = MergeReceipt {
            former: Some(self.receipt.companion.clone()),
            companion: self.receipt.companion.renewed(),
            template: callee.template.clone(),
            stage: MergeStage::Companion,
            stage_since: self.turn.now,
            ..self.receipt.clone()
        };
        Some(self.renewed(StepState::Running, receipt))
    }

    fn renewed(&self, state: StepState, receipt: MergeReceipt) -> Next {
        Next::Record(Box::new(Step {
            receipt: Some(Receipt::Merge(Box::new(receipt))),
            ..self.step.turned(state, None, self.turn.now)
        }))
    }

    /// The companion of before goes: two would be two for the same pods.
    pub(super) fn former_goes(&self) -> Option<Intent> {
        let former = self.receipt.former.as_ref()?;
        self.seen.former.stands.then(|| Intent::DeleteCompanion {
            companion: former.clone(),
        })
    }

    /// Where a version is followed, no pod goes before the calls of the one that came last stay inside.
    pub(super) fn after_the_newest(&self, then: impl FnOnce() -> Next) -> Next {
        let holders = || self.seen.pods.iter().filter(|pod| !pod.deleting);
        let any = holders().any(|pod| holds(pod, &self.receipt.companion.name));
        if self.receipt.former.is_none() || !any {
            return then();
        }
        self.once_inside(self.seen.inside_newest, then)
    }

    /// What proxies knew of the companion of before, once no pod holds it.
    pub(super) fn forget_former(&self, former: &RuleName) -> Next {
        let since = self.receipt.stage_since;
        let late = since.plus(self.turn.config.patience);
        let held = self.seen.pods.iter().any(|pod| holds(pod, &former.name));
        if held && self.turn.now < late {
            return Next::Wait {
                why: Awaited::Drain,
                until: late,
            };
        }
        let forget = |part| Intent::ForgetProxies {
            companion: former.clone(),
            part,
        };
        if self.seen.former.route.contains(&RoutePart::Route) {
            return Next::Do(forget(RoutePart::Route));
        }
        if self.seen.former.route.contains(&RoutePart::Clusters) {
            let until = since.plus(self.turn.config.drain);
            return self
                .turn
                .patient(Awaited::Drain, until, || Next::Do(forget(RoutePart::Clusters)));
        }
        let receipt = MergeReceipt {
            former: None,
            ..self.receipt.clone()
        };
        self.renewed(StepState::Done, receipt)
    }

    /// That proxies forget a part of what they know of any companion of this merge; `None` once they have.
    pub(super) fn forget(&self, part: RoutePart) -> Option<Intent> {
        let former = self.receipt.former.iter().map(|name| (name, &self.seen.former.route));
        let told = [(&self.receipt.companion, &self.seen.route)].into_iter().chain(former);
        let (companion, _) = told.into_iter().find(|(_, route)| route.contains(&part))?;
        Some(Intent::ForgetProxies {
            companion: companion.clone(),
            part,
        })
    }

    pub(super) fn holds_any(&self, pod: &PodSeen) -> bool {
        let former = self.receipt.former.as_ref();
        holds(pod, &self.receipt.companion.name) || former.is_some_and(|former| holds(pod, &former.name))
    }
}
