//! Routing: set while its guard holds, withdrawn when it does not, left alone when somebody else set it.

use crate::act::{
    ActConfig, GuardReason, Intent, Next, RouteSeen, Seen, ServiceSeen, Step, StepState, Trouble, Turn, next_of_step,
};
use crate::cluster::RoutingMode;
use crate::id::{PlanId, ServiceId, WorkloadId};
use crate::plan::Action;
use crate::time::{Span, Timestamp};

struct Route {
    distribution: Option<String>,
    guard: Result<(), GuardReason>,
    now: Timestamp,
    step: Step,
}

impl Route {
    fn new() -> Self {
        Self {
            distribution: None,
            guard: Ok(()),
            now: Timestamp(1_000_000),
            step: Step::default(),
        }
    }
    fn next(&self) -> Next {
        let service = ServiceId {
            namespace: "shop".into(),
            name: "callee".to_owned(),
        };
        let action = Action::Route {
            service,
            workload: WorkloadId::deployment("shop", "callee"),
            from: RoutingMode::Spread,
            to: RoutingMode::PreferSameNode,
        };
        let seen = Seen::Route(RouteSeen {
            service: Some(ServiceSeen {
                uid: "u".to_owned(),
                resource_version: "1".to_owned(),
                distribution: self.distribution.clone(),
            }),
            allowed: true,
            guard: self.guard.clone(),
        });
        let config = ActConfig::default();
        let turn = Turn {
            plan: &PlanId::from("p"),
            index: 2,
            from: Timestamp(1_000_000),
            now: self.now,
            config: &config,
        };
        next_of_step(&self.step, &action, &seen, turn)
    }
    fn run(&mut self) {
        for _ in 0..500 {
            match self.next() {
                Next::Record(step) => self.step = *step,
                Next::Do(Intent::SetRoute { distribution, .. }) => self.distribution = distribution,
                Next::Do(other) => panic!("{other:?}"),
                Next::Wait { .. } => self.now = self.now.plus(Span::seconds(1)),
                Next::Over => return,
            }
        }
        panic!("never over: {:?}", self.step);
    }
}

#[test]
fn a_safe_route_is_set_and_undone_to_what_was_there() {
    for before in [None, Some("PreferClose".to_owned())] {
        let mut route = Route::new();
        route.distribution.clone_from(&before);
        route.run();
        assert_eq!(route.step.state, StepState::Done);
        assert_eq!(route.distribution.as_deref(), Some("PreferSameNode"));
        route.step.state = StepState::Undoing;
        route.run();
        assert_eq!((route.step.state, &route.distribution), (StepState::Undone, &before));
    }
}

#[test]
fn a_route_whose_guard_says_no_is_withdrawn() {
    let mut route = Route::new();
    route.run();
    let guard = GuardReason::Overload { factor: 180 };
    route.guard = Err(guard.clone());
    route.run();
    assert_eq!((route.step.state, route.distribution), (StepState::Undone, None));
    assert_eq!(route.step.trouble, Some(Trouble::Guard { guard }));
}

#[test]
fn an_unsafe_route_is_never_set() {
    let mut route = Route::new();
    route.guard = Err(GuardReason::TooFewPods);
    route.run();
    assert_eq!((route.step.state, route.distribution), (StepState::Skipped, None));
}

#[test]
fn what_somebody_else_set_is_theirs() {
    let mut route = Route::new();
    route.run();
    route.distribution = Some("PreferSameZone".to_owned());
    route.run();
    assert_eq!(route.step.trouble, Some(Trouble::RoutingTaken));
    assert_eq!(route.distribution.as_deref(), Some("PreferSameZone"));
}
