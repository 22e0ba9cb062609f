//! Laws of a wish in a template: whatever happens in between, it ends rolled out with its pods near and spread, or given up.

use crate::act::{
    ActConfig, Intent, Next, PodSeen, Seen, Step, StepState, TemplateSeen, Trouble, Turn, WorkloadSeen, next_of_step,
};
use crate::cluster::{Budget, Labels};
use crate::id::{NodeName, PlanId, PodUid, WorkloadId};
use crate::plan::{Action, PlaceForm};
use crate::time::{Span, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What befalls the workload between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Nothing,
    /// Its owner rolls it out.
    Rolled,
    /// Its owner takes the affinity over.
    Taken,
    /// It is deleted and made anew.
    Remade,
    /// Its new pods never get ready.
    Stuck,
    /// Its owner opts out.
    OptedOut,
    /// Somebody wants it undone.
    Wanted,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => Just(Event::Nothing),
        1 => Just(Event::Rolled),
        1 => Just(Event::Taken),
        1 => Just(Event::Remade),
        1 => Just(Event::Stuck),
        1 => Just(Event::OptedOut),
        1 => Just(Event::Wanted),
    ]
}

/// The model: one Deployment, two replicas.
#[derive(Debug)]
struct World {
    now: Timestamp,
    uid: u32,
    mark: Option<String>,
    taken: bool,
    /// Looks until a roll-out is through; `None` where none is under way.
    rolling: Option<u8>,
    stuck: bool,
    allowed: bool,
    strategy: Result<(), String>,
    free: Result<(), String>,
    /// Where pods come up under the wish, and without it.
    near: [&'static str; 2],
    far: [&'static str; 2],
    at: [&'static str; 2],
    step: Step,
}

impl World {
    fn new() -> Self {
        Self {
            now: Timestamp(1_000_000),
            uid: 1,
            mark: None,
            taken: false,
            rolling: None,
            stuck: false,
            allowed: true,
            strategy: Ok(()),
            free: Ok(()),
            near: ["a", "b"],
            far: ["c", "d"],
            at: ["c", "d"],
            step: Step::default(),
        }
    }

    fn seen(&self) -> Seen {
        let pod = |(ix, node): (usize, &&str)| PodSeen {
            uid: PodUid::new(format!("pod-{ix}")),
            name: format!("pod-{ix}"),
            resource_version: "1".to_owned(),
            labels: Labels::new(),
            node: Some(NodeName::from(*node)),
            ready: self.rolling.is_none(),
            unschedulable: false,
            deleting: false,
            owner: None,
            orphan: false,
            expendable: false,
            lingers: Span(0),
        };
        Seen::Template(Box::new(TemplateSeen {
            workload: Some(WorkloadSeen {
                replica_set: None,
                replicas: 2,
                rolling: self.rolling.is_some(),
                budget: Budget::None,
                allowed: self.allowed,
                selectable: true,
            }),
            uid: self.uid.to_string(),
            resource_version: "1".to_owned(),
            hub_exists: true,
            mark: self.mark.clone(),
            intact: self.mark.is_some() && !self.taken,
            strategy: self.strategy.clone(),
            free: self.free.clone(),
            stuck: self.stuck && self.rolling.is_some(),
            pods: self.at.iter().enumerate().map(pod).collect(),
            hub_nodes: BTreeSet::from(["a".into(), "b".into()]),
            zones: BTreeMap::from(["a", "b", "c", "d"].map(|node| (node.into(), format!("zone-{}", node > "b")))),
        }))
    }

    fn befall(&mut self, event: Event) {
        match event {
            Event::Nothing => {}
            Event::Rolled => self.rolling = Some(2),
            Event::Taken => {
                self.taken = true;
                self.free = Err("conflict with kubectl".to_owned());
                self.rolling = Some(2);
            }
            Event::Remade => {
                self.uid += 1;
                self.mark = None;
                self.rolling = Some(2);
            }
            Event::Stuck => self.stuck = true,
            Event::OptedOut => self.allowed = false,
            Event::Wanted if matches!(self.step.state, StepState::Running | StepState::Done) => {
                self.step.state = StepState::Undoing;
            }
            Event::Wanted => {}
        }
        self.now = self.now.plus(Span::seconds(10));
        if !(self.stuck && self.mark.is_some()) {
            self.rolling = self.rolling.and_then(|looks| looks.checked_sub(1));
        }
        if self.rolling.is_none() {
            self.at = if self.mark.is_some() && !self.taken {
                self.near
            } else {
                self.far
            };
        }
    }

    /// One decision and its write; whether the step is over.
    fn advance(&mut self) -> bool {
        let action = Action::Place {
            workload: WorkloadId::deployment("shop", "callee"),
            with: WorkloadId::deployment("shop", "caller"),
            form: PlaceForm::Template,
        };
        let config = ActConfig::default();
        let turn = Turn {
            plan: &PlanId::from("p"),
            index: 3,
            from: Timestamp(1_000_000),
            now: self.now,
            config: &config,
        };
        match next_of_step(&self.step, &action, &self.seen(), turn) {
            Next::Record(step) => self.step = *step,
            Next::Do(intent) => {
                assert!(self.step.receipt.is_some(), "{intent:?} comes before its receipt");
                self.carry(&intent);
            }
            Next::Wait { .. } => {}
            Next::Over => return true,
        }
        false
    }

    fn carry(&mut self, intent: &Intent) {
        if let Intent::ApplyTemplate { rule, uid, .. } = intent
            && *uid == self.uid.to_string()
            && self.free.is_ok()
        {
            self.mark = Some(rule.name.clone());
            self.rolling = Some(3);
        } else if matches!(intent, Intent::ClearTemplate { uid, .. } if *uid == self.uid.to_string()) {
            self.mark = None;
            self.rolling = Some(3);
        } else {
            panic!("{intent:?} in {self:?}");
        }
    }

    fn run(&mut self, events: impl IntoIterator<Item = Event>) {
        let mut events = events.into_iter();
        for _ in 0..2_000 {
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

    fn trouble(&self) -> Option<&'static str> {
        self.step.trouble.as_ref().map(Trouble::label)
    }
}

proptest! {
    #[test]
    fn it_ends_rolled_out_or_given_up(events in prop::collection::vec(event(), 0..30)) {
        let mut world = World::new();
        world.run(events);
        let stands = world.mark.is_some();
        prop_assert!(world.step.state.is_over());
        prop_assert!(stands == (world.step.state == StepState::Done) || world.uid > 1, "{world:?}");
    }
}

#[test]
fn what_would_break_the_guarantee_is_not_begun() {
    type Obstacle = fn(&mut World);
    let cases: [(&str, Obstacle); 4] = [
        ("strategy", |world| {
            world.strategy = Err("maxUnavailable comes to 1".to_owned())
        }),
        ("fieldOwned", |world| {
            world.free = Err("conflict with kubectl".to_owned())
        }),
        ("ruleInForce", |world| world.mark = Some("plan-1-0".to_owned())),
        ("notAllowed", |world| world.allowed = false),
    ];
    for (label, obstacle) in cases {
        let mut world = World::new();
        obstacle(&mut world);
        let before = world.mark.clone();
        world.run([]);
        assert_eq!((world.step.state, world.trouble()), (StepState::Skipped, Some(label)));
        assert_eq!(world.mark, before, "nothing was written");
    }
}

#[test]
fn pods_that_land_elsewhere_or_crowded_give_it_up() {
    for (near, label) in [(["c", "d"], "elsewhere"), (["a", "a"], "crowded")] {
        let mut world = World::new();
        world.near = near;
        world.run([]);
        assert_eq!((world.step.state, world.trouble()), (StepState::Undone, Some(label)));
        assert!(world.mark.is_none());
    }
}
