//! Stories and laws of the orphan move.

use super::world::{World, is_done, stage};
use crate::act::{RuleSeen, Stage, Step, StepState, Trouble};
use crate::cluster::Budget;
use crate::time::Span;
use proptest::prelude::*;

#[test]
fn an_undisturbed_move_ends_on_the_wanted_node_and_never_serves_with_less() {
    let (mut world, mut step) = (World::new(), Step::default());
    world.run(&mut step);
    assert!(is_done(&step), "{step:?}");
    world.assert_nothing_stuck(&step);
    assert!(!world.pods.contains_key("pod-0"));
    let near = world
        .pods
        .values()
        .filter(|pod| pod.node.as_deref() == Some("near"))
        .count();
    assert_eq!(near, 1);
    assert_eq!(world.fewest_serving, 3, "three pods serve at every moment");
}

#[test]
fn who_goes_on_serving_when_deleted_stays_with_its_services_until_then() {
    for (seconds, stays) in [(0, false), (1, false), (2, true), (60, true)] {
        let (mut world, mut step) = (World::new(), Step::default());
        world.lingers = Span::seconds(seconds);
        let mut last = world.pods["pod-0"].labels.clone();
        for _ in 0..5_000 {
            if world.advance(&mut step) {
                break;
            }
            world.replica_set();
            world.nodes();
            if let Some(pod) = world.pods.get("pod-0") {
                last.clone_from(&pod.labels);
            }
        }
        assert!(is_done(&step), "{seconds}: {step:?}");
        assert_eq!(last.contains_key("app"), stays, "{seconds}");
        assert_eq!(world.fewest_serving, 3, "{seconds}");
    }
}

#[test]
fn a_replacement_elsewhere_gives_the_old_pod_back() {
    let (mut world, mut step) = (World::new(), Step::default());
    world.target_full = true;
    world.run(&mut step);
    assert_eq!(step.state, StepState::Undone);
    assert_eq!(step.trouble, Some(Trouble::Elsewhere { node: "far".into() }));
    world.assert_nothing_stuck(&step);
    assert!(world.pods.contains_key("pod-0"), "the old pod is the one that stays");
    assert_eq!(world.fewest_serving, 3);
}

#[test]
fn a_replacement_that_never_gets_ready_goes() {
    let (mut world, mut step) = (World::new(), Step::default());
    world.pods_get_ready = false;
    world.run(&mut step);
    assert_eq!(step.trouble, Some(Trouble::NotReady));
    world.assert_nothing_stuck(&step);
    assert!(world.pods.contains_key("pod-0"));
}

#[test]
fn a_budget_that_allows_none_is_waited_for_and_then_skipped() {
    let (mut world, mut step) = (World::new(), Step::default());
    world.budget = Budget::Allows(0);
    world.run(&mut step);
    assert_eq!(
        (step.state, step.trouble.clone()),
        (StepState::Skipped, Some(Trouble::Budget))
    );
    assert!(matches!(world.rule, RuleSeen::Absent));
}

#[test]
fn rules_switched_off_in_the_middle_undo_the_move() {
    let (mut world, mut step) = (World::new(), Step::default());
    world.pods_get_ready = false;
    while stage(&step) != Some(Stage::Replace) {
        world.advance(&mut step);
    }
    world.bound = false;
    world.run(&mut step);
    assert_eq!(step.trouble, Some(Trouble::Unbound));
    world.assert_nothing_stuck(&step);
}

/// What may happen between two writes.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Nothing,
    ReplicaSet,
    Nodes,
    Time,
    OldPodDeleted,
    NewestPodDeleted,
    TargetLost,
    TargetFull,
    RollOut,
    WorkloadDeleted,
    ScaledDown,
    ScaledUp,
    Unbound,
    BudgetGone,
    ProcessRestarted,
    StatusOfPodChanged,
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening as H;
    prop_oneof![
        10 => Just(H::Nothing), 10 => Just(H::ReplicaSet), 10 => Just(H::Nodes), 3 => Just(H::Time),
        1 => Just(H::OldPodDeleted), 1 => Just(H::NewestPodDeleted), 1 => Just(H::TargetLost), 1 => Just(H::TargetFull),
        1 => Just(H::RollOut), 1 => Just(H::WorkloadDeleted), 1 => Just(H::ScaledDown), 1 => Just(H::ScaledUp),
        1 => Just(H::Unbound), 1 => Just(H::BudgetGone), 2 => Just(H::ProcessRestarted), 2 => Just(H::StatusOfPodChanged),
    ]
}

fn befall(world: &mut World, happening: Happening) {
    let newest = world.pods.keys().rfind(|name| *name != "pod-0").cloned();
    match happening {
        Happening::Nothing => {}
        Happening::ReplicaSet => world.replica_set(),
        Happening::Nodes => world.nodes(),
        Happening::Time => world.now = world.now.plus(crate::time::Span::seconds(20)),
        Happening::OldPodDeleted => {
            if let Some(pod) = world.pods.get_mut("pod-0") {
                pod.deleting = true;
            }
        }
        Happening::NewestPodDeleted => {
            if let Some(pod) = newest.and_then(|name| world.pods.get_mut(&name)) {
                pod.deleting = true;
            }
        }
        Happening::TargetLost => world.target_ready = false,
        Happening::TargetFull => world.target_full = true,
        Happening::RollOut => world.roll_out(),
        Happening::WorkloadDeleted => world.workload_exists = false,
        Happening::ScaledDown => world.replicas = 2,
        Happening::ScaledUp => world.replicas = 4,
        Happening::Unbound => world.bound = false,
        Happening::BudgetGone => world.budget = Budget::Allows(0),
        // What a process knows beside the record: how tries of rules went.
        Happening::ProcessRestarted => match &mut world.rule {
            RuleSeen::Trial { tried } => *tried = None,
            RuleSeen::Armed { in_force } => *in_force = false,
            RuleSeen::Absent | RuleSeen::Deleting => {}
        },
        Happening::StatusOfPodChanged => {
            for pod in world.pods.values_mut() {
                pod.version += 1;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_stuck_and_nothing_is_lost(story in prop::collection::vec(happening(), 0..80), lingers in 0_u64..4) {
        let (mut world, mut step) = (World::new(), Step::default());
        world.lingers = Span::seconds(lingers);
        for happening in story {
            befall(&mut world, happening);
            world.advance(&mut step);
        }
        world.run(&mut step);
        world.assert_nothing_stuck(&step);
    }

    #[test]
    fn rolled_back_at_any_moment_nothing_is_stuck(after in 0_usize..60, gaps in prop::collection::vec(any::<bool>(), 60), lingers in 0_u64..4) {
        let (mut world, mut step) = (World::new(), Step::default());
        world.lingers = Span::seconds(lingers);
        for react in gaps.into_iter().take(after) {
            world.advance(&mut step);
            if react {
                world.replica_set();
                world.nodes();
            }
        }
        if step.state == StepState::Running {
            step.state = StepState::Undoing;
            step.since = world.now;
        }
        world.run(&mut step);
        world.assert_nothing_stuck(&step);
    }
}
