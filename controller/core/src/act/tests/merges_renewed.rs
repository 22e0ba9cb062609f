//! A merge that stands, and a callee whose owner rolls out another version.

use super::*;
use crate::act::is_outdated;

/// Merged, then another version of the callee, whose roll-out is whole by now.
fn outdated(way: Way) -> World {
    let mut world = World::on(way);
    world.run([]);
    world.befall(Event::Changed);
    while world.callee_rolls > 0 {
        let before = world.step.clone();
        assert!(world.advance() || world.step != before, "it waits");
        world.befall(Event::Nothing);
    }
    world
}

fn companion_of_all(world: &World) -> BTreeSet<&String> {
    let held = world.pods.values().map(|pod| pod.labels.get(COMPANION));
    held.collect::<Option<_>>().unwrap()
}

const WAYS: [Way; 2] = [Way::Proxied, Way::Direct];

#[test]
fn the_companion_follows_pod_by_pod_and_nothing_of_the_one_before_is_left() {
    WAYS.into_iter().for_each(follows_twice);
}

fn follows_twice(way: Way) {
    let mut world = World::on(way);
    world.run([]);
    for version in 2..=3 {
        world.befall(Event::Changed);
        world.run([]);
        assert_eq!(world.version, version);
        assert_eq!(
            world.step.state,
            StepState::Done,
            "the callee's own roll-out comes first"
        );
        world.run([Event::Nothing; 5]);
        assert_eq!((world.step.state, world.trouble()), (StepState::Done, None));
        world.assert_stands();
        assert_eq!(companion_of_all(&world), BTreeSet::from([&format!("p-0-v{version}")]));
        assert_eq!((world.fewest, world.replicas), (REPLICAS, 3));
    }
}

#[test]
fn it_waits_until_the_plan_is_proved_and_what_the_rules_ask_is_known() {
    let mut world = outdated(Way::Proxied);
    let template = |world: &World| world.receipt().unwrap().template.clone();
    for (proved, unclear) in [(false, false), (true, true)] {
        (world.proved, world.unclear) = (proved, unclear);
        world.run([]);
        assert_eq!((world.step.state, template(&world)), (StepState::Done, "1".to_owned()));
        assert!(is_outdated(&world.step, &world.seen()), "and the plan says so");
    }
    world.unclear = false;
    world.rolled_out = Some(world.now);
    world.run([]);
    assert_eq!(template(&world), "1", "what is known may be of before");
    world.now = world.now.plus(ActConfig::default().told);
    world.run([]);
    assert_eq!(template(&world), "2");
}

/// Up and well outside, and nobody answers inside.
#[test]
fn a_version_that_does_not_answer_inside_gets_no_further_than_one_pod() {
    WAYS.into_iter().for_each(held_back);
}

fn held_back(way: Way) {
    let mut world = outdated(way);
    world.inside = Some(Percent(40));
    let mut most = 0;
    while !world.advance() {
        let renewed = |pod: &&SimPod| pod.labels.get(COMPANION).is_some_and(|name| name == "p-0-v2");
        most = most.max(world.pods.values().filter(renewed).count());
        world.befall(Event::Nothing);
    }
    assert_eq!(most, 1);
    world.assert_split();
    assert_eq!(world.step.trouble, Some(Trouble::NotInside { percent: Some(40) }));
    assert_eq!(world.fewest, REPLICAS);
}

#[test]
fn undo_at_any_point_of_it_restores_both() {
    WAYS.into_iter().for_each(undone_at_any_point);
}

fn undone_at_any_point(way: Way) {
    let whole = outdated(way).decisions();
    assert!(whole > 20, "{whole} decisions follow nothing");
    for at in 1..=whole {
        let mut world = outdated(way);
        for _ in 0..at {
            world.advance();
            world.befall(Event::Nothing);
        }
        world.turn_back();
        world.run([]);
        world.assert_split();
        assert_eq!(
            (world.fewest, world.merged()),
            (REPLICAS, 0),
            "undone after {at} decisions"
        );
    }
}
