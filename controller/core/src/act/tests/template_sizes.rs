//! Laws of figures in a template: whatever happens in between, it ends rolled out with them, or as it was; what somebody else wrote stays.

use crate::act::{
    ActConfig, Intent, Next, PodSeen, SaidSize, Seen, Sizes, Step, StepState, TemplateSizeSeen, Trouble, Turn,
    WorkloadSeen, next_of_step,
};
use crate::cluster::{Budget, Compute, Labels, Sizing};
use crate::id::{PlanId, PodUid, WorkloadId};
use crate::plan::{Action, PlaceForm};
use crate::time::{Span, Timestamp};
use crate::units::{Bytes, Millicores};
use proptest::prelude::*;

/// What befalls the workload between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Nothing,
    /// Its owner rolls it out.
    Rolled,
    /// Somebody writes this cpu limit into the template.
    Written(u64),
    /// Somebody writes another memory limit.
    MemoryToo,
    /// It is deleted and made anew.
    Remade,
    /// Its new pods never get ready.
    Stuck,
    /// Its new pods crash.
    Crashes,
    /// Its owner opts out.
    OptedOut,
    /// Somebody wants it undone.
    Wanted,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        14 => Just(Event::Nothing),
        1 => Just(Event::Rolled),
        1 => prop_oneof![Just(200), Just(300)].prop_map(Event::Written),
        1 => Just(Event::MemoryToo),
        1 => Just(Event::Remade),
        1 => Just(Event::Stuck),
        1 => Just(Event::Crashes),
        1 => Just(Event::OptedOut),
        1 => Just(Event::Wanted),
    ]
}

fn cpu(limit: Option<u64>) -> Sizing {
    Sizing {
        requests: Compute::default(),
        limits: Compute {
            cpu: limit.map(Millicores),
            memory: None,
        },
    }
}

/// The model: one Deployment, two replicas, its template's limits, what the API server would say.
#[derive(Debug)]
struct World {
    now: Timestamp,
    uid: u32,
    version: u32,
    template: Option<Compute>,
    /// What the template says before.
    before: Option<u64>,
    /// Somebody else's figure was overwritten.
    clobbered: bool,
    foreign: bool,
    /// Looks until a roll-out is through; `None` where none is under way.
    rolling: Option<u8>,
    stuck: bool,
    crashes: bool,
    allowed: bool,
    strategy: Result<(), String>,
    refused: Option<String>,
    tried: Option<(u32, Sizing, Result<(), String>)>,
    writes: u64,
    step: Step,
}

const MEMORY: Option<Bytes> = Some(Bytes(64 << 20));

impl World {
    fn new(before: Option<u64>) -> Self {
        Self {
            now: Timestamp(1_000_000),
            uid: 1,
            version: 1,
            template: Some(Compute {
                cpu: before.map(Millicores),
                memory: MEMORY,
            }),
            before,
            clobbered: false,
            foreign: false,
            rolling: None,
            stuck: false,
            crashes: false,
            allowed: true,
            strategy: Ok(()),
            refused: None,
            tried: None,
            writes: 0,
            step: Step::default(),
        }
    }

    fn limit(&self) -> Option<u64> {
        self.template.and_then(|limits| limits.cpu).map(|cpu| cpu.0)
    }

    fn action(&self) -> Action {
        Action::Size {
            workload: WorkloadId::deployment("shop", "callee"),
            container: "app".into(),
            to: cpu(Some(800)),
            instead: cpu(self.before),
            form: PlaceForm::Template,
        }
    }

    fn seen(&self) -> Seen {
        let pod = |ix: u32| PodSeen {
            uid: PodUid::new(format!("pod-{ix}")),
            name: format!("pod-{ix}"),
            resource_version: "1".to_owned(),
            labels: Labels::new(),
            node: Some("a".into()),
            ready: self.rolling.is_none(),
            unschedulable: false,
            deleting: false,
            owner: None,
            orphan: false,
            expendable: false,
            lingers: Span(0),
        };
        let towards = cpu(if self.step.state == StepState::Undoing {
            self.before
        } else {
            Some(800)
        });
        let tried = self.tried.clone();
        Seen::TemplateSize(Box::new(TemplateSizeSeen {
            workload: Some(WorkloadSeen {
                replica_set: None,
                replicas: 2,
                rolling: self.rolling.is_some(),
                budget: Budget::None,
                allowed: self.allowed,
                selectable: true,
            }),
            uid: self.uid.to_string(),
            resource_version: self.version.to_string(),
            says: self.template.map(|limits| SaidSize {
                figures: Sizing {
                    requests: Compute::default(),
                    limits,
                },
                native_sidecar: false,
            }),
            strategy: self.strategy.clone(),
            tried: tried
                .filter(|(version, to, _)| *version == self.version && *to == towards)
                .map(|tried| tried.2),
            stuck: self.stuck && self.rolling.is_some(),
            restarted: self.crashes && self.rolling.is_some() && self.limit() == Some(800),
            pods: (0..2).map(pod).collect(),
        }))
    }

    fn write(&mut self, change: impl FnMut(&mut Compute)) {
        let before = self.template;
        self.template.iter_mut().for_each(change);
        if self.template != before {
            self.version += 1;
            self.rolling = Some(3);
        }
    }

    fn befall(&mut self, event: Event) {
        match event {
            Event::Nothing => {}
            Event::Rolled => self.rolling = Some(2),
            Event::Written(limit) => {
                self.foreign = Some(limit) != self.before;
                self.write(|limits| limits.cpu = Some(Millicores(limit)));
            }
            Event::MemoryToo => self.write(|limits| limits.memory = Some(Bytes(1 << 30))),
            Event::Remade => {
                self.uid += 1;
                self.version += 1;
                self.rolling = Some(2);
            }
            Event::Stuck => self.stuck = true,
            Event::Crashes => self.crashes = true,
            Event::OptedOut => self.allowed = false,
            Event::Wanted if matches!(self.step.state, StepState::Running | StepState::Done) => {
                self.step.state = StepState::Undoing;
            }
            Event::Wanted => {}
        }
        self.now = self.now.plus(Span::seconds(10));
        if !(self.stuck && self.limit() == Some(800)) {
            self.rolling = self.rolling.and_then(|looks| looks.checked_sub(1));
        }
    }

    /// One decision and its write; whether the step is over.
    fn advance(&mut self) -> bool {
        let config = ActConfig::default();
        let turn = Turn {
            plan: &PlanId::from("p"),
            index: 3,
            from: Timestamp(1_000_000),
            now: self.now,
            config: &config,
        };
        match next_of_step(&self.step, &self.action(), &self.seen(), turn) {
            Next::Record(step) => self.step = *step,
            Next::Do(intent) => {
                assert!(self.step.receipt.is_some(), "{intent:?} comes before its receipt");
                self.carry(intent);
            }
            Next::Wait { .. } => {}
            Next::Over => return true,
        }
        false
    }

    fn carry(&mut self, intent: Intent) {
        let Intent::SizeTemplate {
            uid,
            resource_version,
            sizes,
            dry_run,
            ..
        } = intent
        else {
            panic!("{intent:?} in {self:?}");
        };
        let Sizes { to, instead } = *sizes;
        assert_eq!(
            (uid, resource_version),
            (self.uid.to_string(), self.version.to_string())
        );
        assert!(
            [(Some(800), self.before), (self.before, Some(800))]
                .map(|(to, instead)| (cpu(to), cpu(instead)))
                .contains(&(to, instead))
        );
        if dry_run || self.refused.is_some() {
            let verdict = self.refused.clone().map_or(Ok(()), Err);
            self.tried = Some((self.version, to, verdict));
            return;
        }
        self.writes += 1;
        self.clobbered |= self.foreign;
        self.write(|limits| limits.cpu = to.limits.cpu);
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
    /// A look remembers nothing, so these are also the laws of a controller that is killed between any two writes.
    #[test]
    fn it_ends_rolled_out_or_as_it_was_and_never_over_somebody_elses(
        before in prop_oneof![Just(None), Just(Some(200))],
        events in prop::collection::vec(event(), 0..30),
    ) {
        let mut world = World::new(before);
        world.run(events.clone());
        prop_assert!(world.step.state.is_over());
        prop_assert!(!world.clobbered, "{world:?}");
        let others = events.iter().any(|event| matches!(event, Event::Written(_) | Event::Remade));
        let stands = world.limit() == Some(800);
        prop_assert!(others || stands == (world.step.state == StepState::Done), "{world:?}");
        prop_assert!(others || stands || world.limit() == before, "{world:?}");
        let memory = world.template.and_then(|limits| limits.memory);
        prop_assert!(events.contains(&Event::MemoryToo) || memory == MEMORY);
    }
}

#[test]
fn it_is_tried_then_written_and_undone_to_what_it_was_also_to_nothing() {
    for before in [None, Some(200)] {
        let mut world = World::new(before);
        world.run([]);
        assert_eq!(
            (world.step.state, world.limit(), world.writes),
            (StepState::Done, Some(800), 1)
        );
        assert_eq!(world.tried.clone().map(|tried| tried.2), Some(Ok(())));
        world.step.state = StepState::Undoing;
        world.run([]);
        assert_eq!(
            (world.step.state, world.limit(), world.writes),
            (StepState::Undone, before, 2)
        );
        assert_eq!(world.rolling, None, "the way back is rolled out too");
    }
}

#[test]
fn what_would_break_the_guarantee_is_not_begun() {
    type Obstacle = fn(&mut World);
    let cases: [(&str, Obstacle); 6] = [
        ("strategy", |world| {
            world.strategy = Err("maxUnavailable comes to 1".to_owned())
        }),
        ("notAllowed", |world| world.allowed = false),
        ("templateSizeTaken", |world| {
            world.write(|limits| limits.cpu = Some(Millicores(300)))
        }),
        ("templateSizeTaken", |world| world.template = None),
        ("alreadySo", |world| {
            world.write(|limits| limits.cpu = Some(Millicores(800)))
        }),
        ("rolledOut", |world| {
            (world.rolling, world.now) = (Some(200), Timestamp(2_000_000))
        }),
    ];
    for (label, obstacle) in cases {
        let mut world = World::new(Some(200));
        obstacle(&mut world);
        world.run([]);
        assert_eq!(
            (world.step.state, world.trouble(), world.writes),
            (StepState::Skipped, Some(label), 0)
        );
    }
}

#[test]
fn what_the_api_server_refuses_is_never_written_and_told_in_its_words() {
    let mut world = World::new(Some(200));
    world.refused = Some("exceeded quota".to_owned());
    world.run([]);
    let why = "exceeded quota".to_owned();
    assert_eq!(world.step.trouble, Some(Trouble::TemplateRefused { why }));
    assert_eq!(
        (world.step.state, world.writes, world.limit()),
        (StepState::Undone, 0, Some(200))
    );

    // The way back does not hang on a refusal either.
    let mut world = World::new(Some(200));
    world.run([]);
    (world.step.state, world.refused) = (StepState::Undoing, Some("must be less than or equal".to_owned()));
    world.run([]);
    assert_eq!(
        (world.step.state, world.trouble()),
        (StepState::Undone, Some("templateRefused"))
    );
}

#[test]
fn a_roll_out_that_fails_gives_them_back() {
    for (event, label) in [(Event::Stuck, "notReady"), (Event::Crashes, "restarted")] {
        let mut world = World::new(Some(200));
        world.run([event]);
        assert_eq!(
            (world.step.state, world.trouble(), world.limit()),
            (StepState::Undone, Some(label), Some(200))
        );
    }
}

#[test]
fn what_somebody_writes_meanwhile_stays() {
    let mut world = World::new(Some(200));
    while world.limit() != Some(800) {
        assert!(!world.advance());
    }
    assert!(!world.advance(), "seen as written");
    world.run([Event::Written(300)]);
    assert_eq!(
        (world.step.state, world.trouble(), world.limit()),
        (StepState::Undone, Some("templateSizeTaken"), Some(300))
    );

    // Also after all is done, when it is to be undone.
    let mut world = World::new(Some(200));
    world.run([]);
    world.befall(Event::Written(300));
    world.befall(Event::Wanted);
    world.run([]);
    assert_eq!(
        (world.step.state, world.trouble(), world.limit()),
        (StepState::Undone, Some("templateSizeTaken"), Some(300))
    );
}
