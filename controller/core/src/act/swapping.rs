//! One pod replaced by one of another make, wherever the scheduler puts it: the orphan move without a wanted node.
//!
//! ```text
//! Release ─► Replace ─► Drain ─► Drained ─► over
//!    └──────────┴─────────┘
//!           Return: the old pod gets its labels back, its replacement goes
//! ```

use super::moving::{TEMPLATE_HASH, allows_one, drained_at, is_released, leaves_by_itself};
use super::{Awaited, Intent, MergeSeen, PodAt, PodSeen, Swap, SwapStage, Trouble, Turn, WorkloadSeen};
use crate::cluster::Labels;
use crate::id::Namespace;
use crate::time::Timestamp;

/// Pod label: the companion whose containers it holds.
pub const COMPANION_LABEL: &str = "huddle.dev/companion";

/// What comes next for a pod that is being replaced.
#[derive(Debug)]
pub(super) enum Swapped {
    /// Put this down before anything else.
    Record(Swap),
    /// Write this.
    Do(Intent),
    /// Nothing yet.
    Wait { why: Awaited, until: Timestamp },
    /// The replacement serves, the old pod is gone or going.
    Over,
    /// It does not work: the old pod is to be given back.
    Failed(Trouble),
    /// The old pod is back with its ReplicaSet, or gone.
    Returned,
}

/// A pod's replacement begins.
pub(super) fn begin(pod: &PodSeen, owner: &str, seen: &MergeSeen, merged: bool, now: Timestamp) -> Swap {
    let kept = |key: &str| key == TEMPLATE_HASH || seen.service_labels.iter().any(|label| label == key);
    let labels: Labels = pod
        .labels
        .iter()
        .filter(|(key, _)| kept(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Swap {
        pod: pod.uid.clone(),
        pod_name: pod.name.clone(),
        replica_set: owner.to_owned(),
        labels,
        service_labels: seen.service_labels.clone(),
        siblings: seen.pods.iter().map(|pod| pod.uid.clone()).collect(),
        merged,
        stage: SwapStage::Release,
        stage_since: now,
    }
}

/// All wanted pods there and ready, none on its way in or out but orphans that are going.
pub(super) fn is_whole(workload: &WorkloadSeen, seen: &MergeSeen) -> bool {
    let pods = || seen.pods.iter().filter(|pod| !(pod.orphan && pod.deleting));
    pods().count() as u64 == workload.replicas && pods().all(|pod| pod.ready && !pod.deleting && !pod.orphan)
}

/// Whether a pod holds this companion.
pub(super) fn holds(pod: &PodSeen, companion: &str) -> bool {
    pod.labels.get(COMPANION_LABEL).is_some_and(|name| name == companion)
}

/// A pod under way.
#[derive(Debug)]
pub(super) struct Swapping<'a> {
    pub(super) swap: &'a Swap,
    pub(super) companion: &'a str,
    pub(super) namespace: &'a Namespace,
    pub(super) seen: &'a MergeSeen,
    /// Nothing else forbids to go on.
    pub(super) ground: Result<(), Trouble>,
    pub(super) turn: Turn<'a>,
}

impl Swapping<'_> {
    pub(super) fn next(&self) -> Swapped {
        match self.swap.stage {
            SwapStage::Release => self.release(),
            SwapStage::Replace => self.replace(),
            SwapStage::Drain => self.drain(),
            SwapStage::Drained => self.drained(),
            SwapStage::Return => self.give_back(),
        }
    }

    fn release(&self) -> Swapped {
        let Some(pod) = self.old_pod() else {
            // Somebody else deleted it: its ReplicaSet replaces it all the same.
            return self.at(SwapStage::Replace);
        };
        if is_released(pod) {
            return self.at(SwapStage::Replace);
        }
        if let Err(trouble) = self.lost_ground() {
            return Swapped::Failed(trouble);
        }
        if !self.seen.caller.as_ref().is_some_and(|now| allows_one(now.budget)) {
            let until = self.swap.stage_since.plus(self.turn.config.patience);
            return self.patient(Awaited::Budget, until, Trouble::Budget);
        }
        Swapped::Do(Intent::Release {
            pod: self.pod_at(pod),
            plan: self.turn.plan.clone(),
        })
    }

    fn replace(&self) -> Swapped {
        if self.replacements().any(|pod| pod.ready && self.is_wanted(pod)) {
            return self.at(SwapStage::Drain);
        }
        if let Err(trouble) = self.lost_ground() {
            return Swapped::Failed(trouble);
        }
        if self.replacements().next().is_some() && !self.replacements().any(|pod| self.is_wanted(pod)) {
            return Swapped::Failed(Trouble::CompanionMissing);
        }
        let since = self.swap.stage_since;
        let stuck = self.replacements().next().is_some() && self.replacements().all(|pod| pod.unschedulable);
        if stuck && self.turn.now >= since.plus(self.turn.config.schedule) {
            return Swapped::Failed(Trouble::Unschedulable);
        }
        let until = since.plus(self.turn.config.ready);
        self.patient(Awaited::Replacement, until, Trouble::NotReady)
    }

    fn drain(&self) -> Swapped {
        let Some(pod) = self.old_pod() else {
            return Swapped::Over;
        };
        let mut keys = self.swap.service_labels.iter();
        if !keys.any(|key| pod.labels.contains_key(key)) {
            return self.at(SwapStage::Drained);
        }
        if !self.replacements().any(|pod| pod.ready && self.is_wanted(pod)) {
            return self.at(SwapStage::Replace);
        }
        if leaves_by_itself(pod, self.turn) {
            return self.at(SwapStage::Drained);
        }
        Swapped::Do(Intent::LeaveServices {
            pod: self.pod_at(pod),
            keys: self.swap.service_labels.clone(),
        })
    }

    /// From here on nothing can be taken back: the old pod serves nobody any more.
    fn drained(&self) -> Swapped {
        let Some(pod) = self.old_pod() else {
            return Swapped::Over;
        };
        let until = drained_at(pod, self.swap.stage_since, self.turn);
        if self.turn.now < until {
            return Swapped::Wait {
                why: Awaited::Drain,
                until,
            };
        }
        Swapped::Do(Intent::DeletePod { pod: self.pod_at(pod) })
    }

    fn give_back(&self) -> Swapped {
        let Some(pod) = self.old_pod() else {
            return Swapped::Returned;
        };
        let lacks = |(key, value): (&String, &String)| pod.labels.get(key) != Some(value);
        if self.swap.labels.iter().any(lacks) || pod.orphan {
            if !self.seen.replica_set_exists {
                // Nobody would take it back, and its workload no longer wants it.
                return Swapped::Do(Intent::DeletePod { pod: self.pod_at(pod) });
            }
            // The ReplicaSet will have one too many: the newcomer goes, not some other pod.
            if let Some(newcomer) = self.replacements().find(|pod| !pod.expendable) {
                return Swapped::Do(Intent::Devalue {
                    pod: self.pod_at(newcomer),
                });
            }
            return Swapped::Do(Intent::GiveBack {
                pod: self.pod_at(pod),
                labels: self.swap.labels.clone(),
            });
        }
        if pod.owner.is_some() {
            return Swapped::Returned;
        }
        let until = self.swap.stage_since.plus(self.turn.config.gone);
        if self.turn.now < until {
            return Swapped::Wait {
                why: Awaited::Adoption,
                until,
            };
        }
        Swapped::Do(Intent::DeletePod { pod: self.pod_at(pod) })
    }

    fn lost_ground(&self) -> Result<(), Trouble> {
        self.ground.clone()?;
        match &self.seen.caller {
            None => Err(Trouble::WorkloadGone),
            Some(now) if now.replica_set.as_ref() != Some(&self.swap.replica_set) => Err(Trouble::RolledOut),
            Some(_) => Ok(()),
        }
    }

    fn patient(&self, why: Awaited, until: Timestamp, late: Trouble) -> Swapped {
        if self.turn.now < until {
            Swapped::Wait { why, until }
        } else {
            Swapped::Failed(late)
        }
    }

    /// The same pod in another stage.
    pub(super) fn staged(&self, stage: SwapStage) -> Swap {
        Swap {
            stage,
            stage_since: self.turn.now,
            ..self.swap.clone()
        }
    }

    fn at(&self, stage: SwapStage) -> Swapped {
        Swapped::Record(self.staged(stage))
    }

    fn old_pod(&self) -> Option<&PodSeen> {
        self.seen.pod.as_ref().filter(|pod| !pod.deleting)
    }

    fn replacements(&self) -> impl Iterator<Item = &PodSeen> {
        self.seen.pods.iter().filter(|pod| {
            !pod.deleting
                && pod.owner.as_ref() == Some(&self.swap.replica_set)
                && !self.swap.siblings.contains(&pod.uid)
        })
    }

    /// On the way back any replacement will do: an API server that has not heard of the deletion yet gives it the companion once more, and
    /// then it is replaced in its turn.
    fn is_wanted(&self, pod: &PodSeen) -> bool {
        !self.swap.merged || holds(pod, self.companion)
    }

    fn pod_at(&self, pod: &PodSeen) -> PodAt {
        pod.at(self.namespace)
    }
}
