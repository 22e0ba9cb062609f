//! Laws of a merge: whatever happens in between, it ends with the callee inside every pod of the caller, or with both Deployments as they
//! were. Nobody loses a pod that serves, and no route leads to what is not there.

use crate::act::{
    ActConfig, CalleeSeen, CompanionSeen, FormerSeen, Intent, MergeReceipt, MergeSeen, MergeStage, Next, PodAt,
    PodSeen, Receipt, RoutePart, Seen, Step, StepState, Trouble, Turn, WorkloadSeen, kept, next_of_step,
};
use crate::cluster::{Budget, Labels};
use crate::id::{NodeName, PlanId, PodUid, WorkloadId};
use crate::plan::merge::{Standing, Usual, Way};
use crate::plan::{Action, Percent};
use crate::time::{Span, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const HASH: &str = "pod-template-hash";
const COMPANION: &str = "huddle.dev/companion";
const REPLICAS: usize = 3;
const OF_CALLEE: u64 = 6;

#[derive(Clone, Debug)]
struct SimPod {
    labels: Labels,
    ready: bool,
    deleting: bool,
    owned: bool,
    expendable: bool,
    version: u64,
}

/// What befalls it between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Nothing,
    /// The caller's owner rolls it out.
    Rolled,
    /// The callee's owner rolls out another version.
    Changed,
    /// And one that may not join the caller's pods.
    Unfit,
    /// Somebody deletes a pod of the caller.
    PodDeleted,
    /// A FailedCreate switches companions off.
    Unbound,
    /// New pods never get ready.
    Stuck,
    /// An owner opts out.
    OptedOut,
    /// Somebody else sets the callee's replicas.
    Scaled,
    /// The calls do not stay inside.
    Outside,
    /// Somebody wants it undone.
    Wanted,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        30 => Just(Event::Nothing),
        1 => Just(Event::Rolled),
        2 => Just(Event::Changed),
        1 => Just(Event::Unfit),
        1 => Just(Event::PodDeleted),
        1 => Just(Event::Unbound),
        1 => Just(Event::Stuck),
        1 => Just(Event::OptedOut),
        1 => Just(Event::Scaled),
        1 => Just(Event::Outside),
        1 => Just(Event::Wanted),
    ]
}

/// A caller's ReplicaSet, a callee, an API server with a companion.
#[derive(Debug)]
struct World {
    now: Timestamp,
    pods: BTreeMap<String, SimPod>,
    made: usize,
    hash: u32,
    rolling: bool,
    companions: BTreeMap<String, CompanionSeen>,
    /// A deleted companion, and looks for which the API server still gives it to new pods.
    lag: (String, u8),
    route: BTreeSet<(String, RoutePart)>,
    replicas: u64,
    scaled: bool,
    version: u32,
    /// Looks until the callee's own roll-out is whole.
    callee_rolls: u8,
    allowed: bool,
    stuck: bool,
    inside: Option<Percent>,
    standing: Option<Standing>,
    against: Option<String>,
    unclear: bool,
    rolled_out: Option<Timestamp>,
    way: Way,
    against_way: Option<String>,
    /// Of the callee's calls, those of others.
    others: u64,
    /// Whom the caller's pods call.
    calls: BTreeSet<WorkloadId>,
    /// What the caller's disruption budget allows.
    budget: Budget,
    /// The plan was proved.
    proved: bool,
    disturbed: bool,
    fewest: usize,
    step: Step,
}

impl World {
    fn new() -> Self {
        Self::on(Way::Proxied)
    }

    fn on(way: Way) -> Self {
        let mut world = Self {
            way,
            against_way: None,
            others: 20,
            calls: BTreeSet::from([
                WorkloadId::deployment("shop", "callee"),
                WorkloadId::deployment("shop", "store"),
            ]),
            budget: Budget::Allows(1),
            now: Timestamp(1_000_000),
            pods: BTreeMap::new(),
            made: 0,
            hash: 1,
            rolling: false,
            companions: BTreeMap::new(),
            lag: (String::new(), 0),
            route: BTreeSet::new(),
            replicas: OF_CALLEE,
            scaled: false,
            version: 1,
            callee_rolls: 0,
            allowed: true,
            stuck: false,
            inside: Some(Percent(100)),
            standing: None,
            against: None,
            unclear: false,
            rolled_out: None,
            proved: true,
            disturbed: false,
            fewest: REPLICAS,
            step: Step::default(),
        };
        for _ in 0..REPLICAS {
            world.make();
        }
        world.pods.values_mut().for_each(|pod| pod.ready = true);
        world
    }

    fn make(&mut self) {
        let mut labels = Labels::from([
            ("app".to_owned(), "caller".to_owned()),
            (HASH.to_owned(), self.hash.to_string()),
        ]);
        let mut given = self
            .companions
            .iter()
            .filter(|(_, seen)| **seen == CompanionSeen::InForce);
        let lagging = (self.lag.1 > 0).then_some(&self.lag.0);
        if let Some(name) = given.next().map(|(name, _)| name).or(lagging) {
            labels.insert(COMPANION.to_owned(), name.clone());
        }
        let pod = SimPod {
            labels,
            ready: false,
            deleting: false,
            owned: true,
            expendable: false,
            version: 1,
        };
        self.pods.insert(format!("pod-{}", self.made), pod);
        self.made += 1;
    }

    fn serving(&self) -> usize {
        let serves = |pod: &&SimPod| pod.ready && !pod.deleting && pod.labels.contains_key("app");
        self.pods.values().filter(serves).count()
    }

    fn merged(&self) -> usize {
        self.pods
            .values()
            .filter(|pod| pod.labels.contains_key(COMPANION))
            .count()
    }

    fn receipt(&self) -> Option<&MergeReceipt> {
        match &self.step.receipt {
            Some(Receipt::Merge(receipt)) => Some(receipt),
            _ => None,
        }
    }

    fn companion(&self, name: &str) -> CompanionSeen {
        self.companions.get(name).cloned().unwrap_or(CompanionSeen::Absent)
    }

    fn told(&self, name: &str) -> BTreeSet<RoutePart> {
        let own = self.route.iter().filter(|(of, _)| of == name);
        own.map(|(_, part)| *part).collect()
    }

    /// One round of the Deployment's and ReplicaSet's controllers, the scheduler and the kubelets.
    fn react(&mut self) {
        self.lag.1 = self.lag.1.saturating_sub(1);
        self.callee_rolls = self.callee_rolls.saturating_sub(1);
        let hash = self.hash.to_string();
        for pod in self.pods.values_mut() {
            let current = pod.labels.get(HASH) == Some(&hash) && pod.labels.contains_key("app");
            pod.owned = !pod.deleting && pod.labels.contains_key(HASH) && (current || pod.owned);
            if !self.stuck && !pod.deleting {
                pod.ready = true;
            }
        }
        let is_current = |pod: &SimPod| pod.owned && !pod.deleting && pod.labels.get(HASH) == Some(&hash);
        let mut current: Vec<String> = self.named(is_current);
        for _ in current.len()..REPLICAS {
            self.make();
        }
        // The old ones go when the new ones are ready.
        let all_ready = current.len() >= REPLICAS && current.iter().all(|name| self.pods[name].ready);
        if all_ready {
            for pod in self.pods.values_mut() {
                pod.deleting |= pod.owned && pod.labels.get(HASH) != Some(&hash);
            }
            self.rolling = false;
        }
        current.sort_by_key(|name| (self.pods[name].ready, !self.pods[name].expendable));
        for name in current.iter().take(current.len().saturating_sub(REPLICAS)) {
            self.change(name, |pod| pod.deleting = true);
        }
        self.pods.retain(|_, pod| !pod.deleting);
    }

    fn named(&self, wanted: impl Fn(&SimPod) -> bool) -> Vec<String> {
        let pods = self.pods.iter().filter(|(_, pod)| wanted(pod));
        pods.map(|(name, _)| name.clone()).collect()
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut SimPod)) {
        if let Some(pod) = self.pods.get_mut(name) {
            change(pod);
            pod.version += 1;
        }
    }

    fn befall(&mut self, event: Event) {
        self.disturbed |= !matches!(event, Event::Nothing | Event::Changed);
        match event {
            Event::Nothing => {}
            Event::Rolled => {
                self.hash += 1;
                self.rolling = true;
            }
            Event::Changed | Event::Unfit => {
                self.version += 1;
                self.callee_rolls = 4;
                self.against = (event == Event::Unfit).then(|| "it is stateful".to_owned());
            }
            Event::PodDeleted => {
                let name = self.pods.keys().next().cloned().unwrap_or_default();
                self.change(&name, |pod| pod.deleting = true);
            }
            Event::Unbound => {
                let in_force = |seen: &&mut CompanionSeen| **seen == CompanionSeen::InForce;
                let all = self.companions.values_mut().filter(in_force);
                all.for_each(|seen| *seen = CompanionSeen::Unbound);
            }
            Event::Stuck => self.stuck = true,
            Event::OptedOut => self.allowed = false,
            Event::Scaled => self.replicas = 9,
            Event::Outside => self.inside = Some(Percent(40)),
            Event::Wanted => self.turn_back(),
        }
        self.now = self.now.plus(Span::seconds(1));
        self.react();
    }

    /// As a plan that is rolled back does it.
    fn turn_back(&mut self) {
        if matches!(self.step.state, StepState::Running | StepState::Done) {
            self.step.state = StepState::Undoing;
            self.step.since = self.now;
        }
    }

    fn seen_pod(name: &str, pod: &SimPod) -> PodSeen {
        PodSeen {
            uid: PodUid::from(name),
            name: name.to_owned(),
            resource_version: pod.version.to_string(),
            labels: pod.labels.clone(),
            node: Some(NodeName::from("node")),
            ready: pod.ready,
            unschedulable: false,
            deleting: pod.deleting,
            owner: pod.owned.then(|| pod.labels.get(HASH).cloned().unwrap_or_default()),
            orphan: pod.labels.contains_key("orphan"),
            expendable: pod.expendable,
            // Every other pod goes on serving when it is deleted.
            lingers: Span(u64::from(name.bytes().last().unwrap_or(0) % 2) * 60_000),
        }
    }

    fn seen(&self) -> Seen {
        let receipt = self.receipt();
        let own = receipt.map_or("p-0", |receipt| &receipt.companion.name);
        let former = receipt.and_then(|receipt| Some(receipt.former.as_ref()?.name.as_str()));
        let under_way = receipt.and_then(|receipt| receipt.swap.as_ref());
        let name = under_way.map(|swap| swap.pod.as_str().to_owned()).unwrap_or_default();
        let others = self
            .pods
            .iter()
            .filter(|(other, pod)| **other != name && pod.labels.contains_key("app"));
        Seen::Merge(Box::new(MergeSeen {
            caller: Some(WorkloadSeen {
                replica_set: Some(self.hash.to_string()),
                replicas: REPLICAS as u64,
                rolling: self.rolling,
                budget: self.budget,
                allowed: self.allowed,
                selectable: true,
            }),
            callee: Some(CalleeSeen {
                uid: "callee".to_owned(),
                resource_version: "1".to_owned(),
                replicas: self.replicas,
                whole: self.callee_rolls == 0,
                scaled: self.scaled,
                allowed: self.allowed,
                template: self.version.to_string(),
                rolled_out: self.rolled_out,
            }),
            against: self.against.clone(),
            unclear: self.unclear,
            companion: self.companion(own),
            route: self.told(own),
            former: former.map_or_else(FormerSeen::default, |former| FormerSeen {
                stands: self.companion(former) != CompanionSeen::Absent,
                route: self.told(former),
            }),
            undisturbed: self.proved,
            pod: self.pods.get(&name).map(|pod| Self::seen_pod(&name, pod)),
            pods: others.map(|(name, pod)| Self::seen_pod(name, pod)).collect(),
            replica_set_exists: under_way.is_none_or(|swap| swap.replica_set == self.hash.to_string()),
            service_labels: vec!["app".to_owned()],
            against_way: self.against_way.clone(),
            usual: Some(Usual {
                at: self.now,
                calls: 100,
                others: 25,
                answered: 50,
            }),
            inside: self.inside,
            inside_newest: self.inside,
            others: Some(Percent(self.others)),
            calls: self.calls.clone(),
            standing: self.standing.clone(),
        }))
    }

    fn carry(&mut self, intent: Intent) {
        let current = |world: &Self, pod: &PodAt| {
            let known = world.pods.get(pod.uid.as_str());
            known.is_some_and(|known| known.version.to_string() == pod.resource_version)
        };
        match intent {
            Intent::CreateCompanion { companion, .. } => {
                assert!(self.companions.is_empty(), "two for the same pods: {self:?}");
                self.companions.insert(companion.name, CompanionSeen::Standing);
            }
            Intent::AdvanceCompanion { companion } => {
                self.companions.insert(companion.name, CompanionSeen::InForce);
            }
            Intent::DeleteCompanion { companion } => {
                let was = self.companions.remove(&companion.name);
                if was == Some(CompanionSeen::InForce) {
                    self.lag = (companion.name, 3);
                }
            }
            Intent::TellProxies { companion, part, .. } => {
                self.route.insert((companion.name, part));
            }
            Intent::ForgetProxies { companion, part } => {
                self.route.remove(&(companion.name, part));
            }
            Intent::Scale { replicas, .. } => self.replicas = replicas,
            Intent::Release { pod, .. } if current(self, &pod) => self.change(pod.uid.as_str(), |it| {
                it.labels.remove(HASH);
                it.labels.insert("orphan".to_owned(), "p".to_owned());
                it.owned = false;
            }),
            Intent::Devalue { pod } if current(self, &pod) => self.change(pod.uid.as_str(), |it| it.expendable = true),
            Intent::GiveBack { pod, labels } if current(self, &pod) => self.change(pod.uid.as_str(), |it| {
                it.labels.extend(labels);
                it.labels.remove("orphan");
            }),
            Intent::LeaveServices { pod, keys } if current(self, &pod) => self.change(pod.uid.as_str(), |it| {
                it.labels.retain(|key, _| !keys.contains(key));
            }),
            Intent::DeletePod { pod } => self.change(pod.uid.as_str(), |it| it.deleting = true),
            // Late ones are refused.
            Intent::Release { .. }
            | Intent::Devalue { .. }
            | Intent::GiveBack { .. }
            | Intent::LeaveServices { .. } => {}
            Intent::CreateRule { .. }
            | Intent::TryRule { .. }
            | Intent::ArmRule { .. }
            | Intent::DeleteRule { .. }
            | Intent::RemoveRule { .. }
            | Intent::RestoreRule { .. }
            | Intent::ApplyTemplate { .. }
            | Intent::SizeTemplate { .. }
            | Intent::ClearTemplate { .. }
            | Intent::Resize { .. }
            | Intent::SetRoute { .. }
            | Intent::LabelNode { .. } => panic!("no part of a merge"),
        }
        let has = |name: &str, part| self.route.contains(&(name.to_owned(), part));
        for (name, _) in self.route.iter().filter(|(_, part)| *part == RoutePart::Route) {
            assert!(has(name, RoutePart::Clusters), "a route to clusters that are not there");
        }
        let whole = |name: &String| has(name, RoutePart::Clusters) && has(name, RoutePart::Route);
        let mut holding = self.pods.values().filter_map(|pod| pod.labels.get(COMPANION));
        let known = self.way == Way::Direct || self.disturbed || self.is_closing();
        assert!(
            known || holding.all(whole),
            "a pod's proxy does not know its way: {self:?}"
        );
    }

    fn is_closing(&self) -> bool {
        self.step.state == StepState::Undoing
    }

    /// One decision and its write; whether the step is over.
    fn advance(&mut self) -> bool {
        let config = ActConfig::default();
        let action = Action::Merge {
            workload: WorkloadId::deployment("shop", "caller"),
            with: WorkloadId::deployment("shop", "callee"),
            way: self.way,
        };
        let turn = Turn {
            plan: &PlanId::from("p"),
            index: 0,
            from: Timestamp(1_000_000),
            now: self.now,
            config: &config,
        };
        match next_of_step(&self.step, &action, &self.seen(), turn) {
            Next::Record(step) => self.step = *step,
            Next::Do(intent) => {
                assert!(self.step.receipt.is_some(), "{intent:?} comes before its receipt");
                self.carry(intent);
            }
            Next::Wait { .. } => self.now = self.now.plus(Span::seconds(1)),
            Next::Over => return true,
        }
        self.fewest = self.fewest.min(self.serving());
        false
    }

    fn run(&mut self, events: impl IntoIterator<Item = Event>) {
        let mut events = events.into_iter();
        for _ in 0..20_000 {
            if self.advance() {
                match events.next() {
                    Some(event) => self.befall(event),
                    None => return,
                }
            } else {
                self.befall(events.next().unwrap_or(Event::Nothing));
            }
        }
        panic!("never over: {self:?}");
    }

    /// How many it takes until it is over.
    fn decisions(mut self) -> usize {
        let mut decisions = 0;
        while !self.advance() {
            self.befall(Event::Nothing);
            decisions += 1;
        }
        decisions
    }

    fn trouble(&self) -> Option<&'static str> {
        self.step.trouble.as_ref().map(Trouble::label)
    }

    fn lets_go(&self) -> bool {
        matches!(&self.step.receipt, Some(Receipt::Merge(receipt)) if receipt.left)
    }

    /// One companion, and only what belongs to it.
    fn assert_stands(&self) {
        let receipt = self.receipt().unwrap();
        let name = &receipt.companion.name;
        assert!(receipt.former.is_none(), "{self:?}");
        assert_eq!(
            self.companions,
            BTreeMap::from([(name.clone(), CompanionSeen::InForce)])
        );
        let parts: &[RoutePart] = match self.way {
            Way::Proxied => &[RoutePart::Clusters, RoutePart::Route],
            Way::Direct => &[],
        };
        assert_eq!(self.route, parts.iter().map(|part| (name.clone(), *part)).collect());
        let follows = receipt.template == self.version.to_string() || self.callee_rolls > 0;
        assert!(follows, "it is of an older version: {self:?}");
    }

    /// As if it had never been.
    fn assert_split(&self) {
        assert!(
            matches!(self.step.state, StepState::Undone | StepState::Skipped),
            "{self:?}"
        );
        assert!(self.companions.is_empty() && self.route.is_empty(), "{self:?}");
        assert!(self.replicas == OF_CALLEE || self.disturbed, "{self:?}");
        assert!(self.merged() == 0 || self.lets_go(), "{self:?}");
        assert!(
            !self.pods.values().any(|pod| pod.labels.contains_key("orphan")),
            "{self:?}"
        );
    }
}

proptest! {
    #[test]
    fn it_ends_merged_or_as_if_it_had_never_been(events in prop::collection::vec(event(), 0..120), direct in any::<bool>()) {
        let mut world = World::on(if direct { Way::Direct } else { Way::Proxied });
        world.run(events.clone());
        if world.step.state == StepState::Done {
            world.assert_stands();
        } else {
            world.assert_split();
        }
        if !events.contains(&Event::PodDeleted) && !events.contains(&Event::Rolled) {
            prop_assert!(world.fewest >= REPLICAS, "{} served: {:?}", world.fewest, world);
        }
    }

    #[test]
    fn a_callee_keeps_what_others_ask_of_it(replicas in 1_u64..200, others in 0_u64..=100, pods in 1_u64..50) {
        let kept = kept(replicas, Percent(others), pods);
        prop_assert!(kept <= replicas && kept * 2 >= replicas && kept >= replicas.min(2));
        prop_assert!(kept * 100 >= replicas * others);
    }
}

#[path = "merges_renewed.rs"]
mod another_version;
#[path = "merges_told.rs"]
mod one_by_one;
#[path = "merges_standing.rs"]
mod what_stands;
