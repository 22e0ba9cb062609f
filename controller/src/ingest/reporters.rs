//! What ingest remembers of each reporter: which batches were applied, and how fast they come.

use super::convert::VmId;
use dashmap::DashMap;
use huddle_core::id::PodUid;
use huddle_core::time::{Span, Timestamp};

/// Recording threads remembered per pod: a gateway with 64 workers, before and after an update of its filter.
const MAX_VMS: usize = 128;
/// Batches a pod may send at once; 64 workers that come back together fit.
const BURST: f64 = 200.0;
/// Batches per second and pod in the long run: 64 workers at one per 2 s.
const RATE: f64 = 32.0;
/// A pod that was silent this long is forgotten. Longer than any reporter goes on repeating a batch.
const FORGOTTEN: Span = Span::seconds(1_800);

/// One recording thread.
#[derive(Clone, Copy, Debug)]
struct Vm {
    id: VmId,
    last: u64,
    seen: Timestamp,
}

/// Whether a batch is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Not applied yet; this many sequence numbers before it were given up by the reporter.
    New {
        /// How many are missing.
        gap: u64,
    },
    /// Applied before, or older than one that was.
    Repeat,
}

/// One pod's reporters.
#[derive(Debug)]
pub struct Reporter {
    vms: Vec<Vm>,
    seen: Timestamp,
    tokens: f64,
    refilled: Timestamp,
}

impl Reporter {
    fn new(now: Timestamp) -> Self {
        Self {
            vms: Vec::new(),
            seen: now,
            tokens: BURST,
            refilled: now,
        }
    }
    /// Whether the pod may send another batch now (token bucket).
    pub fn may_send(&mut self, now: Timestamp) -> bool {
        let earned = now.since(self.refilled).as_secs_f64() * RATE;
        self.tokens = (self.tokens + earned).min(BURST);
        self.refilled = self.refilled.max(now);
        self.seen = self.seen.max(now);
        let may = self.tokens >= 1.0;
        if may {
            self.tokens -= 1.0;
        }
        may
    }
    /// Whether `sequence` of `vm` is new. Changes nothing.
    pub fn turn(&self, vm: VmId, sequence: u64) -> Turn {
        match self.vms.iter().find(|known| known.id == vm) {
            Some(known) if sequence <= known.last => Turn::Repeat,
            Some(known) => Turn::New {
                gap: sequence - known.last - 1,
            },
            // The controller may have started after the reporter did: what came before is not a gap it can know of.
            None => Turn::New { gap: 0 },
        }
    }
    /// Remembers that `sequence` of `vm` was applied. Of too many threads the longest silent one is forgotten.
    pub fn applied(&mut self, vm: VmId, sequence: u64, now: Timestamp) {
        if let Some(known) = self.vms.iter_mut().find(|known| known.id == vm) {
            known.last = known.last.max(sequence);
            known.seen = now;
            return;
        }
        if self.vms.len() >= MAX_VMS
            && let Some(oldest) = (0..self.vms.len()).min_by_key(|&index| self.vms.get(index).map(|vm| vm.seen))
        {
            self.vms.swap_remove(oldest);
        }
        self.vms.push(Vm {
            id: vm,
            last: sequence,
            seen: now,
        });
    }
}

/// All reporters, by pod: a pod cannot touch what is remembered of another one.
#[derive(Debug, Default)]
pub struct Reporters {
    pods: DashMap<PodUid, Reporter>,
}

impl Reporters {
    /// Runs `f` on a pod's reporters, alone.
    pub fn with<T>(&self, pod: &PodUid, now: Timestamp, f: impl FnOnce(&mut Reporter) -> T) -> T {
        let mut entry = self.pods.entry(pod.clone()).or_insert_with(|| Reporter::new(now));
        f(entry.value_mut())
    }
    /// Forgets pods that were silent for long.
    pub fn forget(&self, now: Timestamp) {
        self.pods.retain(|_, reporter| now.since(reporter.seen) < FORGOTTEN);
    }
    /// Pods remembered.
    pub fn len(&self) -> usize {
        self.pods.len()
    }
    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn repeats_and_gaps_are_told_apart() {
        let mut reporter = Reporter::new(Timestamp(0));
        assert_eq!(reporter.turn([1; 16], 7), Turn::New { gap: 0 });
        reporter.applied([1; 16], 7, Timestamp(0));
        assert_eq!(reporter.turn([1; 16], 7), Turn::Repeat);
        assert_eq!(reporter.turn([1; 16], 3), Turn::Repeat);
        assert_eq!(reporter.turn([1; 16], 8), Turn::New { gap: 0 });
        assert_eq!(reporter.turn([1; 16], 11), Turn::New { gap: 3 });
        assert_eq!(reporter.turn([2; 16], 1), Turn::New { gap: 0 });
    }

    #[test]
    fn a_flood_is_stopped_and_recovers() {
        let mut reporter = Reporter::new(Timestamp(0));
        let taken = (0..1_000).filter(|_| reporter.may_send(Timestamp(0))).count();
        assert_eq!(taken, 200);
        assert!(reporter.may_send(Timestamp(1_000)));
    }

    #[test]
    fn silent_pods_are_forgotten() {
        let reporters = Reporters::default();
        reporters.with(&PodUid::from("a"), Timestamp(0), |_| ());
        reporters.with(&PodUid::from("b"), Timestamp(1_000_000), |_| ());
        reporters.forget(Timestamp(1_800_000));
        assert_eq!(reporters.len(), 1);
    }

    proptest! {
        /// Whatever is repeated and in whatever order it comes, no batch is applied twice.
        #[test]
        fn nothing_is_applied_twice(batches in prop::collection::vec((0_u8..4, 1_u64..20), 0..200)) {
            let mut reporter = Reporter::new(Timestamp(0));
            let mut applied = std::collections::BTreeSet::new();
            for (at, (vm, sequence)) in batches.into_iter().enumerate() {
                if let Turn::New { .. } = reporter.turn([vm; 16], sequence) {
                    prop_assert!(applied.insert((vm, sequence)));
                    reporter.applied([vm; 16], sequence, Timestamp(at as i64));
                }
            }
        }
    }

    #[test]
    fn memory_per_pod_is_bounded() {
        let mut reporter = Reporter::new(Timestamp(0));
        for vm in 0_u16..1_000 {
            let mut id = [0; 16];
            id[..2].copy_from_slice(&vm.to_be_bytes());
            reporter.applied(id, 1, Timestamp(i64::from(vm)));
        }
        assert_eq!(reporter.vms.len(), MAX_VMS);
    }
}
