//! What containers used, slot by slot, to what they used over days.

use crate::watch::Cluster;
use huddle_core::cluster::{ClusterView, Compute, GiveBack};
use huddle_core::id::{ContainerName, WorkloadId};
use huddle_core::time::{Span, Timestamp, Window};
use huddle_core::usage::{Habits, Moment, Pace, UsageStore};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The habits, and up to when they are known. In memory alone: a controller that begins anew watches a whole window again before anything
/// is given back.
#[derive(Debug)]
pub(super) struct Watching {
    /// A slot is taken in when it is so old: what is read is spread back over the slots since the reading before.
    settled: Span,
    habits: Arc<Habits>,
    until: Option<Timestamp>,
}

impl Watching {
    /// Of nothing yet.
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            settled: pace.settled,
            habits: Arc::default(),
            until: None,
        }
    }

    /// As they are now; copied only where the planner still reads them when the next slot is taken in.
    pub(super) fn known(&self) -> Arc<Habits> {
        Arc::clone(&self.habits)
    }

    /// Takes in the slots that have settled since the last look.
    pub(super) fn look(&mut self, usage: &UsageStore, cluster: &Cluster, now: Timestamp) {
        let settled = now.minus(self.settled);
        let slots = usage.slots();
        let to = slots.start(slots.of(settled));
        let from = *self.until.get_or_insert(to);
        if to <= from || !cluster.waiting_for.is_empty() {
            return;
        }
        self.until = Some(to);
        let view = &cluster.view;
        let habits = Arc::make_mut(&mut self.habits);
        habits.keep(|workload| view.workloads.contains_key(workload));
        let limits = limits(view);
        let known = usage.window(Window { from, to });
        let mut slots: BTreeMap<Timestamp, Vec<Moment<'_>>> = BTreeMap::new();
        for (uid, containers) in &known.pods {
            let Some(pod) = view.pods.get(uid) else { continue };
            let policy = view.policies.get(&pod.workload.namespace);
            let (give_back, window) = policy.map_or_else(
                || {
                    (
                        GiveBack::default(),
                        huddle_core::cluster::NamespacePolicy::default().give_back_after,
                    )
                },
                |policy| (policy.give_back, policy.give_back_after),
            );
            if give_back == GiveBack::Never {
                continue;
            }
            for (container, used) in containers {
                for (at, figures) in &used.slots {
                    slots.entry(*at).or_default().push(Moment {
                        workload: &pod.workload,
                        container,
                        at: *at,
                        length: known.slots.length(),
                        figures,
                        limits: limits.get(&(&pod.workload, container)).copied().unwrap_or_default(),
                        window,
                    });
                }
            }
        }
        slots.into_values().flatten().for_each(|moment| habits.absorb(moment));
    }
}

/// The limits of each container, those of the pod that has most.
fn limits(view: &ClusterView) -> BTreeMap<(&WorkloadId, &ContainerName), Compute> {
    let mut limits: BTreeMap<(&WorkloadId, &ContainerName), Compute> = BTreeMap::new();
    for pod in view.pods.values() {
        for container in &pod.containers {
            let known = limits.entry((&pod.workload, &container.name)).or_default();
            known.cpu = known.cpu.max(container.limits.cpu);
            known.memory = known.memory.max(container.limits.memory);
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cluster, deployment};
    use huddle_core::id::PodUid;
    use huddle_core::units::Bytes;
    use huddle_core::usage::{Counters, Reading, UsageConfig};

    /// Prometheus looks every minute, and what it saw is known 30 s later.
    #[test]
    fn readings_a_minute_apart_are_watched_without_a_gap() {
        let cluster = cluster(&[("db-1", "node-1")]);
        let pod = cluster.view.pods.keys().next().cloned().unwrap();
        let mut usage = UsageStore::new(UsageConfig::beside(
            Span::seconds(10),
            Span::seconds(1800),
            Pace::PROMETHEUS,
        ));
        let mut watching = Watching::new(Pace::PROMETHEUS);
        for now in (0..=900_000_i64).step_by(10_000) {
            let at = (now - 30_000).div_euclid(60_000) * 60_000;
            usage.absorb(Reading {
                pod: pod.clone(),
                container: "app".into(),
                at: Timestamp(at),
                started: None,
                counters: Counters {
                    cpu_us: Some(u64::try_from(at + 60_000).unwrap() * 100),
                    ..Counters::default()
                },
                working_set: Bytes(1),
            });
            watching.look(&usage, &cluster, Timestamp(now));
        }
        let now = Timestamp(900_000);
        let habit = watching.known().of(&deployment("db"), &"app".into(), now).unwrap();
        assert!(habit.watched >= Span::seconds(780), "{habit:?}");
        assert_eq!((habit.cpu_peak.0, habit.cpu_high.0), (100, 103));
    }

    #[test]
    fn slots_are_taken_in_once_when_they_have_settled_and_a_new_process_begins_anew() {
        let cluster = cluster(&[("db-1", "node-1")]);
        let uid = cluster.view.pods.keys().next().cloned().unwrap();
        let mut usage = UsageStore::new(UsageConfig::beside(
            Span::seconds(10),
            Span::seconds(1800),
            Pace::KUBELETS,
        ));
        let mut watching = Watching::new(Pace::KUBELETS);
        let seen = |watching: &Watching, now: Timestamp| {
            let habit = watching.known().of(&deployment("db"), &"app".into(), now);
            habit.map(|habit| (habit.watched, habit.cpu_peak.0))
        };
        let read = |usage: &mut UsageStore, uid: &PodUid, at: i64| {
            usage.absorb(Reading {
                pod: uid.clone(),
                container: "app".into(),
                at: Timestamp(at),
                started: None,
                counters: Counters {
                    cpu_us: Some(u64::try_from(at).unwrap() * 100),
                    ..Counters::default()
                },
                working_set: Bytes(1),
            });
        };
        for at in (0..=120_000).step_by(10_000) {
            read(&mut usage, &uid, at);
            watching.look(&usage, &cluster, Timestamp(at));
            watching.look(&usage, &cluster, Timestamp(at));
        }
        let now = Timestamp(120_000);
        assert_eq!(
            seen(&watching, now),
            Some((Span::seconds(100), 100)),
            "up to the slot that has settled"
        );
        let mut anew = Watching::new(Pace::KUBELETS);
        anew.look(&usage, &cluster, now);
        assert_eq!(seen(&anew, now), None, "nothing of what was before");
    }
}
