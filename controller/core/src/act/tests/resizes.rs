//! In-place resize: tried, done, watched; whatever the kubelet says, it ends done or as it was.

use crate::act::{
    ActConfig, Awaited, Intent, Next, Receipt, ResizeSeen, Seen, SizedPod, Step, StepState, Trouble, Turn,
    WorkloadSeen, next_of_step,
};
use crate::cluster::{Budget, Compute, Sizing};
use crate::id::{PlanId, PodUid, WorkloadId};
use crate::plan::Action;
use crate::time::{Span, Timestamp};
use crate::units::Millicores;

fn sizing(limit: u64) -> Sizing {
    let cpu = |millicores| Compute {
        cpu: Some(Millicores(millicores)),
        memory: None,
    };
    Sizing {
        requests: cpu(100),
        limits: cpu(limit),
    }
}

/// How the pod's kubelet takes a resize.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kubelet {
    Does,
    Defers,
    Refuses,
    Fails,
    Restarts,
    Sleeps,
}

/// A pod, its kubelet, and what the API server says to a dry run. Nothing happens but when it is asked to.
struct World {
    pod: Option<SizedPod>,
    kubelet: Kubelet,
    refused: Option<String>,
    tried: Option<Result<(), String>>,
    allowed: bool,
    writes: u64,
    now: Timestamp,
    step: Step,
}

impl World {
    fn new(kubelet: Kubelet) -> Self {
        let pod = SizedPod {
            uid: PodUid::from("pod-0"),
            name: "pod-0".to_owned(),
            resource_version: "1".to_owned(),
            ready: true,
            native_sidecar: false,
            wanted: sizing(200),
            actual: Some(sizing(200)),
            restarts: 2,
            restarts_for_cpu: false,
            restarts_for_memory: false,
            deferred: None,
            infeasible: None,
            failed: None,
        };
        Self {
            pod: Some(pod),
            kubelet,
            refused: None,
            tried: None,
            allowed: true,
            writes: 0,
            now: Timestamp(1_000_000),
            step: Step::default(),
        }
    }

    fn next(&self) -> Next {
        self.towards(800, false)
    }

    fn towards(&self, limit: u64, rolling: bool) -> Next {
        let action = Action::Resize {
            workload: WorkloadId::deployment("shop", "callee"),
            pod: PodUid::from("pod-0"),
            pod_name: "pod-0".to_owned(),
            container: "app".into(),
            from: sizing(200),
            to: sizing(limit),
        };
        let seen = Seen::Resize(Box::new(ResizeSeen {
            workload: Some(WorkloadSeen {
                replica_set: None,
                replicas: 3,
                rolling,
                budget: Budget::None,
                allowed: self.allowed,
                selectable: true,
            }),
            pod: self.pod.clone(),
            tried: self.tried.clone(),
        }));
        let config = ActConfig::default();
        let turn = Turn {
            plan: &PlanId::from("p"),
            index: 1,
            from: Timestamp(1_000_000),
            now: self.now,
            config: &config,
        };
        next_of_step(&self.step, &action, &seen, turn)
    }

    fn tend(&mut self) {
        let Some(pod) = &mut self.pod else { return };
        if pod.actual == Some(pod.wanted) {
            (pod.deferred, pod.infeasible, pod.failed) = (None, None, None);
            return;
        }
        // Back to what it has is no work.
        let raised = pod.wanted.limits.cpu > pod.actual.and_then(|it| it.limits.cpu);
        match self.kubelet {
            Kubelet::Sleeps => {}
            Kubelet::Defers if raised => pod.deferred = Some("node is full".to_owned()),
            Kubelet::Refuses if raised => pod.infeasible = Some("node is too small".to_owned()),
            Kubelet::Fails if raised => pod.failed = Some("runc says no".to_owned()),
            Kubelet::Restarts if raised => pod.restarts += 1,
            Kubelet::Does | Kubelet::Defers | Kubelet::Refuses | Kubelet::Fails | Kubelet::Restarts => {
                pod.actual = Some(pod.wanted);
            }
        }
    }

    /// One decision; whether the step is over. A receipt comes before the first write.
    fn advance(&mut self) -> bool {
        match self.next() {
            Next::Record(step) => self.step = *step,
            Next::Do(Intent::Resize { dry_run: true, .. }) => {
                self.tried = Some(self.refused.clone().map_or(Ok(()), Err));
            }
            Next::Do(Intent::Resize { to, pod, .. }) => {
                assert!(matches!(self.step.receipt, Some(Receipt::Resize(_))));
                assert_eq!(pod.resource_version, "1");
                self.writes += 1;
                assert_eq!(to.requests, Compute::default(), "what stays is not written");
                if let Some(pod) = &mut self.pod {
                    pod.wanted.limits.cpu = to.limits.cpu;
                }
            }
            Next::Do(other) => panic!("{other:?}"),
            Next::Wait { .. } => self.now = self.now.plus(Span::seconds(1)),
            Next::Over => return true,
        }
        false
    }

    fn run(&mut self) {
        for _ in 0..500 {
            if self.advance() {
                return;
            }
            self.tend();
        }
        panic!("never over: {:?}", self.step);
    }

    fn limit(&self) -> Option<u64> {
        self.pod.as_ref().and_then(|pod| pod.wanted.limits.cpu).map(|cpu| cpu.0)
    }
}

#[test]
fn it_is_tried_then_done_when_the_kubelet_says_so_and_undone_to_what_it_was() {
    let mut world = World::new(Kubelet::Does);
    world.run();
    assert_eq!(
        (world.step.state, world.limit(), world.writes),
        (StepState::Done, Some(800), 1)
    );
    assert_eq!(world.tried, Some(Ok(())));
    world.step.state = StepState::Undoing;
    world.run();
    assert_eq!((world.step.state, world.limit()), (StepState::Undone, Some(200)));
    assert_eq!(world.pod.and_then(|pod| pod.actual), Some(sizing(200)));
}

#[test]
fn whatever_the_kubelet_says_the_pod_ends_as_it_was_and_the_plan_hears_why() {
    let stories = [
        (Kubelet::Defers, "deferred"),
        (Kubelet::Refuses, "infeasible"),
        (Kubelet::Fails, "resizeFailed"),
        (Kubelet::Restarts, "restarted"),
        (Kubelet::Sleeps, "notResized"),
    ];
    for (kubelet, label) in stories {
        let mut world = World::new(kubelet);
        world.run();
        let trouble = world.step.trouble.clone().expect("a reason");
        assert_eq!((world.step.state, trouble.label()), (StepState::Undone, label));
        assert!(trouble.stops_the_plan(), "{kubelet:?}");
        assert_eq!(world.limit(), Some(200), "{kubelet:?}");
    }
}

#[test]
fn a_restart_that_its_policy_asks_for_is_none_too_many() {
    let mut world = World::new(Kubelet::Does);
    world.pod.as_mut().unwrap().restarts_for_cpu = true;
    for _ in 0..500 {
        let over = world.advance();
        let pod = world.pod.as_mut().unwrap();
        if pod.actual != Some(pod.wanted) {
            (pod.restarts, pod.ready) = (pod.restarts + 1, false);
            world.tend();
        } else if !pod.ready && world.step.state == StepState::Running {
            assert!(!over, "not done before it is ready again");
            pod.ready = true;
        }
        if over {
            break;
        }
    }
    assert_eq!((world.step.state, world.limit()), (StepState::Done, Some(800)));
}

#[test]
fn what_the_api_server_refuses_is_never_written() {
    let mut world = World::new(Kubelet::Does);
    world.refused = Some("exceeded quota".to_owned());
    world.run();
    let why = "exceeded quota".to_owned();
    assert_eq!(world.step.trouble, Some(Trouble::ResizeRefused { why }));
    assert_eq!(
        (world.step.state, world.writes, world.limit()),
        (StepState::Undone, 0, Some(200))
    );
}

#[test]
fn what_has_changed_since_the_plan_is_left_alone() {
    let skipped = |change: fn(&mut World)| {
        let mut world = World::new(Kubelet::Does);
        change(&mut world);
        world.run();
        assert_eq!((world.step.state, world.writes), (StepState::Skipped, 0));
        world.step.trouble.expect("a reason")
    };
    assert_eq!(skipped(|world| world.pod = None), Trouble::PodGone);
    assert_eq!(skipped(|world| world.allowed = false), Trouble::NotAllowed);
    let wanted = |world: &mut World, limit| world.pod.as_mut().unwrap().wanted = sizing(limit);
    assert_eq!(
        skipped(|world| world.pod.as_mut().unwrap().wanted = sizing(800)),
        Trouble::AlreadySo
    );
    assert_eq!(
        skipped(|world| world.pod.as_mut().unwrap().wanted = sizing(300)),
        Trouble::SizeTaken
    );
    assert_eq!(
        skipped(|world| world.pod.as_mut().unwrap().actual = None),
        Trouble::NotResizable
    );

    // While it is under way, and on the way back: another's figures are another's.
    let mut world = World::new(Kubelet::Sleeps);
    while world.limit() == Some(200) {
        world.advance();
    }
    wanted(&mut world, 500);
    world.run();
    assert_eq!(
        (world.step.state, world.limit(), world.step.trouble),
        (StepState::Undone, Some(500), Some(Trouble::SizeTaken))
    );
}

/// A controller that dies between any two decisions is replaced by one that has only the record; what was tried is lost with it.
#[test]
fn forgetting_what_was_tried_changes_nothing_but_the_time() {
    for forget_at in 0..12 {
        for pod_goes in [false, true] {
            let mut world = World::new(Kubelet::Does);
            for round in 0..500 {
                if round == forget_at {
                    world.tried = None;
                    if pod_goes {
                        world.pod = None;
                    }
                }
                if world.advance() {
                    break;
                }
                world.tend();
            }
            let ends = [StepState::Done, StepState::Undone, StepState::Skipped];
            assert!(ends.contains(&world.step.state), "{:?}", world.step);
            if !pod_goes {
                assert_eq!((world.step.state, world.limit()), (StepState::Done, Some(800)));
            }
        }
    }
}

#[test]
fn nothing_is_taken_from_a_workload_that_is_rolled_out_and_more_is_given_all_the_same() {
    let mut world = World::new(Kubelet::Does);
    let begins = |world: &World, limit, rolling| {
        let next = world.towards(limit, rolling);
        matches!(next, Next::Record(step) if step.state == StepState::Running)
    };
    assert!(begins(&world, 100, false) && begins(&world, 800, true) && !begins(&world, 100, true));
    let why = Awaited::Rollout;
    assert!(matches!(world.towards(100, true), Next::Wait { why: it, .. } if it == why));
    world.now = world.now.plus(ActConfig::default().patience);
    let Next::Record(step) = world.towards(100, true) else {
        panic!("it waits on")
    };
    assert_eq!(
        (step.state, step.trouble),
        (StepState::Skipped, Some(Trouble::RolledOut))
    );
}
