//! A small cluster: one Deployment's ReplicaSet, a scheduler, kubelets, a Service, rules. It reacts only when asked to,
//! so that a test can put anything between two writes.

use crate::act::{
    ActConfig, Intent, MoveSeen, Next, PodSeen, Receipt, RuleSeen, Seen, Step, StepState, Turn, WorkloadSeen,
    next_of_step,
};
use crate::cluster::{Budget, Labels};
use crate::id::{NodeName, PlanId, PodUid, WorkloadId};
use crate::plan::Action;
use crate::time::{Span, Timestamp};
use std::collections::BTreeMap;

pub(super) const HASH: &str = "pod-template-hash";

#[derive(Clone, Debug)]
pub(super) struct SimPod {
    pub(super) labels: Labels,
    pub(super) node: Option<String>,
    pub(super) ready: bool,
    pub(super) deleting: bool,
    pub(super) owned: bool,
    pub(super) expendable: bool,
    pub(super) version: u64,
}

/// The model.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) pods: BTreeMap<String, SimPod>,
    pub(super) made: u64,
    pub(super) replicas: usize,
    pub(super) hash: &'static str,
    pub(super) workload_exists: bool,
    pub(super) target_ready: bool,
    pub(super) target_full: bool,
    pub(super) pods_get_ready: bool,
    pub(super) bound: bool,
    pub(super) rule: RuleSeen,
    pub(super) budget: Budget,
    pub(super) fewest_serving: usize,
    /// How long each pod goes on serving when it is deleted.
    pub(super) lingers: Span,
}

pub(super) fn action() -> Action {
    Action::Move {
        workload: WorkloadId::deployment("shop", "callee"),
        pod: PodUid::from("pod-0"),
        pod_name: "pod-0".to_owned(),
        from: NodeName::from("far"),
        to: NodeName::from("near"),
    }
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self {
            now: Timestamp(1_000_000),
            pods: BTreeMap::new(),
            made: 0,
            replicas: 3,
            hash: "one",
            workload_exists: true,
            target_ready: true,
            target_full: false,
            pods_get_ready: true,
            bound: true,
            rule: RuleSeen::Absent,
            budget: Budget::Allows(1),
            fewest_serving: usize::MAX,
            lingers: Span(0),
        };
        for _ in 0..world.replicas {
            world.make("far", true);
        }
        world.fewest_serving = world.serving();
        world
    }

    fn make(&mut self, node: &str, ready: bool) {
        let labels = Labels::from([
            ("app".to_owned(), "callee".to_owned()),
            (HASH.to_owned(), self.hash.to_owned()),
        ]);
        let pod = SimPod {
            labels,
            node: (!node.is_empty()).then(|| node.to_owned()),
            ready,
            deleting: false,
            owned: true,
            expendable: false,
            version: 1,
        };
        self.pods.insert(format!("pod-{}", self.made), pod);
        self.made += 1;
    }

    /// Pods that the Service sends calls to.
    pub(super) fn serving(&self) -> usize {
        let selected = |pod: &&SimPod| pod.ready && !pod.deleting && pod.labels.contains_key("app");
        self.pods.values().filter(selected).count()
    }

    /// One round of the ReplicaSet controller.
    pub(super) fn replica_set(&mut self) {
        let hash = self.hash;
        for pod in self.pods.values_mut() {
            let matches = pod.labels.get(HASH).is_some_and(|it| it == hash) && pod.labels.contains_key("app");
            let old = pod.labels.contains_key(HASH) && !matches;
            pod.owned = self.workload_exists && !pod.deleting && (matches || (old && pod.owned));
            if old && pod.owned {
                pod.deleting = true; // the rollout takes down what an older ReplicaSet owns
            }
        }
        let mine: Vec<String> = self.alive().map(|(name, _)| name.clone()).collect();
        let wanted = if self.workload_exists { self.replicas } else { 0 };
        for _ in mine.len()..wanted {
            self.make("", false);
        }
        let mut surplus: Vec<String> = mine;
        surplus.sort_by_key(|name| {
            self.pods
                .get(name)
                .map(|pod| (pod.node.is_some(), pod.ready, !pod.expendable))
        });
        let too_many = surplus.len().saturating_sub(wanted);
        for name in surplus.into_iter().take(too_many) {
            if let Some(pod) = self.pods.get_mut(&name) {
                pod.deleting = true;
            }
        }
    }

    fn alive(&self) -> impl Iterator<Item = (&String, &SimPod)> {
        let hash = self.hash;
        self.pods
            .iter()
            .filter(move |(_, pod)| pod.owned && !pod.deleting && pod.labels.get(HASH).is_some_and(|it| it == hash))
    }

    /// One round of the scheduler and the kubelets.
    pub(super) fn nodes(&mut self) {
        let drawn = self.bound && matches!(self.rule, RuleSeen::Armed { .. }) && self.target_ready && !self.target_full;
        for pod in self.pods.values_mut() {
            if pod.node.is_none() {
                pod.node = Some(if drawn { "near" } else { "far" }.to_owned());
            } else if self.pods_get_ready && !pod.deleting {
                pod.ready = true;
            }
        }
        self.pods.retain(|_, pod| !pod.deleting);
    }

    pub(super) fn settle(&mut self) {
        for _ in 0..4 {
            self.replica_set();
            self.nodes();
        }
    }

    pub(super) fn roll_out(&mut self) {
        self.hash = "two";
    }

    fn seen_pod(&self, name: &str, pod: &SimPod) -> PodSeen {
        PodSeen {
            uid: PodUid::from(name),
            name: name.to_owned(),
            resource_version: pod.version.to_string(),
            labels: pod.labels.clone(),
            node: pod.node.as_deref().map(NodeName::from),
            ready: pod.ready,
            unschedulable: false,
            deleting: pod.deleting,
            owner: pod.owned.then(|| pod.labels.get(HASH).cloned().unwrap_or_default()),
            orphan: pod.labels.contains_key("orphan"),
            expendable: pod.expendable,
            lingers: self.lingers,
        }
    }

    pub(super) fn seen(&self) -> Seen {
        let others = self
            .pods
            .iter()
            .filter(|(name, pod)| *name != "pod-0" && pod.labels.contains_key("app"));
        Seen::Move(Box::new(MoveSeen {
            workload: self.workload_exists.then(|| WorkloadSeen {
                replica_set: Some(self.hash.to_owned()),
                replicas: self.replicas as u64,
                rolling: false,
                budget: self.budget,
                allowed: true,
                selectable: true,
            }),
            pod: self.pods.get("pod-0").map(|pod| self.seen_pod("pod-0", pod)),
            pods: others.map(|(name, pod)| self.seen_pod(name, pod)).collect(),
            replica_set_exists: self.workload_exists,
            service_labels: vec!["app".to_owned()],
            target_ready: self.target_ready,
            rule: self.rule.clone(),
            bound: self.bound,
        }))
    }

    /// Carries the intent out, as the API server would: a late one is refused.
    pub(super) fn carry(&mut self, intent: &Intent) {
        let current = |world: &Self, pod: &crate::act::PodAt| {
            let version = world.pods.get(pod.uid.as_str()).map(|it| it.version.to_string());
            version.as_ref() == Some(&pod.resource_version)
        };
        match intent {
            Intent::CreateRule { .. } => self.rule = RuleSeen::Trial { tried: None },
            Intent::TryRule { armed: false, .. } => self.rule = RuleSeen::Trial { tried: Some(Ok(())) },
            Intent::ArmRule { .. } => {
                self.bound = true;
                self.rule = RuleSeen::Armed { in_force: false };
            }
            Intent::TryRule { armed: true, .. } => self.rule = RuleSeen::Armed { in_force: self.bound },
            Intent::DeleteRule { .. } => self.rule = RuleSeen::Absent,
            Intent::Release { pod, .. } if current(self, pod) => self.change(pod.uid.as_str(), |it| {
                it.labels.remove(HASH);
                it.labels.insert("orphan".to_owned(), "p".to_owned());
                it.owned = false;
            }),
            Intent::Devalue { pod } if current(self, pod) => self.change(pod.uid.as_str(), |it| it.expendable = true),
            Intent::GiveBack { pod, labels } if current(self, pod) => self.change(pod.uid.as_str(), |it| {
                it.labels.extend(labels.clone());
                it.labels.remove("orphan");
            }),
            Intent::LeaveServices { pod, keys } if current(self, pod) => self.change(pod.uid.as_str(), |it| {
                it.labels.retain(|key, _| !keys.contains(key));
            }),
            Intent::DeletePod { pod } => self.change(pod.uid.as_str(), |it| it.deleting = true),
            Intent::Release { .. }
            | Intent::Devalue { .. }
            | Intent::GiveBack { .. }
            | Intent::LeaveServices { .. }
            | Intent::ApplyTemplate { .. }
            | Intent::ClearTemplate { .. }
            | Intent::SizeTemplate { .. }
            | Intent::RemoveRule { .. }
            | Intent::RestoreRule { .. }
            | Intent::Resize { .. }
            | Intent::SetRoute { .. }
            | Intent::LabelNode { .. }
            | Intent::CreateCompanion { .. }
            | Intent::AdvanceCompanion { .. }
            | Intent::DeleteCompanion { .. }
            | Intent::TellProxies { .. }
            | Intent::ForgetProxies { .. }
            | Intent::Scale { .. } => {}
        }
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut SimPod)) {
        if let Some(pod) = self.pods.get_mut(name) {
            change(pod);
            pod.version += 1;
        }
    }

    /// One decision and its write; whether the step is over. A record is written before anything else happens.
    pub(super) fn advance(&mut self, step: &mut Step) -> bool {
        let config = ActConfig::default();
        let plan = PlanId::from("p");
        let turn = Turn {
            plan: &plan,
            index: 0,
            from: Timestamp(1_000_000),
            now: self.now,
            config: &config,
        };
        match next_of_step(step, &action(), &self.seen(), turn) {
            Next::Record(next) => *step = *next,
            Next::Do(intent) => {
                assert!(step.receipt.is_some(), "{intent:?} comes before its receipt");
                self.carry(&intent);
                self.now = self.now.plus(Span(50));
            }
            Next::Wait { .. } => self.now = self.now.plus(Span::seconds(1)),
            Next::Over => return true,
        }
        self.fewest_serving = self.fewest_serving.min(self.serving());
        false
    }

    /// Decides and reacts in turn until the step is over.
    pub(super) fn run(&mut self, step: &mut Step) {
        for _ in 0..5_000 {
            if self.advance(step) {
                return;
            }
            self.replica_set();
            self.nodes();
        }
        panic!("never over: {step:?} in {self:?}");
    }

    /// What must hold after any end.
    pub(super) fn assert_nothing_stuck(&mut self, step: &Step) {
        self.settle();
        assert!(step.state.is_over(), "{step:?}");
        assert!(matches!(self.rule, RuleSeen::Absent), "a step rule stands: {step:?}");
        let wanted = if self.workload_exists { self.replicas } else { 0 };
        assert_eq!(self.alive().count(), wanted, "{step:?} {self:?}");
        let stray: Vec<_> = self.pods.iter().filter(|(_, pod)| !pod.owned).collect();
        assert!(
            stray.is_empty() || !self.workload_exists,
            "pods that belong to nobody: {stray:?} after {step:?}"
        );
        let orphans = self
            .pods
            .values()
            .filter(|pod| pod.labels.contains_key("orphan"))
            .count();
        assert_eq!(orphans, 0, "orphans are left after {step:?}");
    }
}

pub(super) fn stage(step: &Step) -> Option<crate::act::Stage> {
    match &step.receipt {
        Some(Receipt::Move(receipt)) => Some(receipt.stage),
        _ => None,
    }
}

pub(super) fn is_done(step: &Step) -> bool {
    step.state == StepState::Done
}
