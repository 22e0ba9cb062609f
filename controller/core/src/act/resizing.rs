//! In-place resize of one container of one pod, watched until its kubelet has done it.
//!
//! ```text
//! begin ─► tried as a dry run ─► resized ─► the kubelet says so ─► done
//!                                  └────────────┴─► undo: resized back, watched alike
//! ```

use super::{
    Awaited, Intent, Next, PodAt, Receipt, ResizeReceipt, ResizeSeen, SizedPod, Step, StepState, Trouble, Turn,
};
use crate::cluster::Sizing;
use crate::plan::Action;

pub(super) fn next(step: &Step, action: &Action, seen: &ResizeSeen, turn: Turn<'_>) -> Next {
    let resizing = match &step.receipt {
        Some(Receipt::Resize(receipt)) => Some(Resizing {
            step,
            receipt,
            seen,
            turn,
        }),
        _ => None,
    };
    match (step.state, resizing) {
        (StepState::Pending, _) => begin(step, action, seen, turn),
        (StepState::Running, Some(resizing)) => resizing.forward(),
        (StepState::Undoing, Some(resizing)) => resizing.backward(),
        (StepState::Running | StepState::Undoing, None) => turn.turned(step, StepState::Undone, None),
        (StepState::Done | StepState::Undone | StepState::Skipped, _) => Next::Over,
    }
}

fn begin(step: &Step, action: &Action, seen: &ResizeSeen, turn: Turn<'_>) -> Next {
    let skip = |trouble: Trouble| turn.turned(step, StepState::Skipped, trouble);
    let Action::Resize {
        workload,
        container,
        from,
        to,
        ..
    } = action
    else {
        return Next::Over;
    };
    let Some(now) = &seen.workload else {
        return skip(Trouble::WorkloadGone);
    };
    // Its successor was created under the size rule, which comes first.
    let Some(pod) = &seen.pod else {
        return skip(Trouble::PodGone);
    };
    if !now.allowed {
        return skip(Trouble::NotAllowed);
    }
    // Its owner may be writing other figures; what is taken from a pod that is about to go helps nobody.
    if now.rolling && is_less(from, to) {
        let until = turn.from.plus(turn.config.patience);
        return turn.patient(Awaited::Rollout, until, || skip(Trouble::RolledOut));
    }
    if pod.wanted == *to {
        return skip(Trouble::AlreadySo);
    }
    if pod.wanted != *from {
        return skip(Trouble::SizeTaken);
    }
    if pod.actual.is_none() {
        return skip(Trouble::NotResizable);
    }
    if pod.is_moving() {
        let until = turn.from.plus(turn.config.patience);
        return turn.patient(Awaited::Kubelet, until, || skip(Trouble::SizeTaken));
    }
    Next::Record(Box::new(Step {
        state: StepState::Running,
        since: turn.now,
        trouble: None,
        receipt: Some(Receipt::Resize(ResizeReceipt {
            namespace: workload.namespace.clone(),
            pod: pod.uid.clone(),
            pod_name: pod.name.clone(),
            container: container.clone(),
            native_sidecar: pod.native_sidecar,
            before: *from,
            wanted: *to,
            restarts: pod.restarts,
            may_restart: may_restart(pod, &to.beyond(from)),
        })),
    }))
}

/// Its `resizePolicy` restarts it for one of the figures that change.
fn may_restart(pod: &SizedPod, changes: &Sizing) -> bool {
    let cpu = changes.limits.cpu.is_some() || changes.requests.cpu.is_some();
    let memory = changes.limits.memory.is_some() || changes.requests.memory.is_some();
    (cpu && pod.restarts_for_cpu) || (memory && pod.restarts_for_memory)
}

/// Whether something is taken away.
fn is_less(from: &Sizing, to: &Sizing) -> bool {
    to.limits.cpu < from.limits.cpu
        || to.limits.memory < from.limits.memory
        || to.requests.cpu < from.requests.cpu
        || to.requests.memory < from.requests.memory
}

/// A resize under way.
struct Resizing<'a> {
    step: &'a Step,
    receipt: &'a ResizeReceipt,
    seen: &'a ResizeSeen,
    turn: Turn<'a>,
}

impl Resizing<'_> {
    fn forward(&self) -> Next {
        let Some(pod) = &self.seen.pod else {
            return self.turned(StepState::Undone, Trouble::PodGone);
        };
        let until = self.step.since.plus(self.turn.config.resize);
        if pod.wanted == self.receipt.wanted {
            return match self.harm(pod) {
                Some(trouble) => self.turned(StepState::Undoing, trouble),
                None if self.is_done(pod) => self.turned(StepState::Done, None),
                None => {
                    let late = || self.turned(StepState::Undoing, Trouble::NotResized);
                    self.turn.patient(Awaited::Kubelet, until, late)
                }
            };
        }
        if pod.wanted != self.receipt.before {
            return self.turned(StepState::Undone, Trouble::SizeTaken);
        }
        if !self.seen.workload.as_ref().is_some_and(|now| now.allowed) {
            return self.turned(StepState::Undone, Trouble::NotAllowed);
        }
        if self.turn.now >= until {
            return self.turned(StepState::Undone, Trouble::NotResized);
        }
        match &self.seen.tried {
            None => Next::Do(self.intent(pod, true, true)),
            Some(Err(why)) => {
                let why = why.clone();
                self.turned(StepState::Undone, Trouble::ResizeRefused { why })
            }
            Some(Ok(())) => Next::Do(self.intent(pod, true, false)),
        }
    }

    /// What ends it, as the kubelet says.
    fn harm(&self, pod: &SizedPod) -> Option<Trouble> {
        if pod.restarts
            > self
                .receipt
                .restarts
                .saturating_add(u64::from(self.receipt.may_restart))
        {
            return Some(Trouble::Restarted);
        }
        pod.deferred
            .clone()
            .map(|why| Trouble::Deferred { why })
            .or_else(|| pod.infeasible.clone().map(|why| Trouble::Infeasible { why }))
            .or_else(|| pod.failed.clone().map(|why| Trouble::ResizeFailed { why }))
    }

    fn is_done(&self, pod: &SizedPod) -> bool {
        let met = |actual| self.receipt.wanted.is_met_by(actual, &self.receipt.before);
        pod.actual.as_ref().is_some_and(met) && (pod.ready || !self.receipt.may_restart)
    }

    /// Back to the figures before, where nobody else has set others.
    fn backward(&self) -> Next {
        let undone = || self.turned(StepState::Undone, None);
        let Some(pod) = &self.seen.pod else {
            return undone();
        };
        if pod.wanted == self.receipt.wanted {
            return Next::Do(self.intent(pod, false, false));
        }
        if pod.wanted != self.receipt.before {
            return self.turned(StepState::Undone, Trouble::SizeTaken);
        }
        let met = |actual| self.receipt.before.is_met_by(actual, &self.receipt.wanted);
        if pod.actual.as_ref().is_none_or(met) {
            return undone();
        }
        // What is asked for is what was before; a kubelet that does not answer keeps nobody waiting.
        let until = self.step.since.plus(self.turn.config.gone);
        self.turn.patient(Awaited::Kubelet, until, undone)
    }

    fn intent(&self, pod: &SizedPod, forth: bool, dry_run: bool) -> Intent {
        let ResizeReceipt { before, wanted, .. } = self.receipt;
        Intent::Resize {
            pod: PodAt {
                namespace: self.receipt.namespace.clone(),
                name: pod.name.clone(),
                uid: pod.uid.clone(),
                resource_version: pod.resource_version.clone(),
            },
            container: self.receipt.container.clone(),
            native_sidecar: self.receipt.native_sidecar,
            to: if forth {
                wanted.beyond(before)
            } else {
                before.beyond(wanted)
            },
            dry_run,
        }
    }

    fn turned(&self, state: StepState, trouble: impl Into<Option<Trouble>>) -> Next {
        self.turn.turned(self.step, state, trouble)
    }
}
