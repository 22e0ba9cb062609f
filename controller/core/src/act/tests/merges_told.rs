//! Merges told one by one.

use super::*;

#[test]
fn all_pods_hold_the_companion_then_the_callee_is_made_smaller() {
    let mut world = World::new();
    world.run([]);
    assert_eq!((world.step.state, world.trouble()), (StepState::Done, None));
    assert_eq!((world.merged(), world.fewest), (REPLICAS, REPLICAS));
    // A fifth of the calls is others', and one of three pods may be without its companion: 0.2 + 0.8 / 3 of six; half of them stay.
    assert_eq!(world.replicas, 3);
}

#[test]
fn undo_at_any_point_restores_both() {
    let whole = World::new().decisions();
    assert!(whole > 30, "{whole} decisions are no merge");
    for at in 1..=whole {
        let mut world = World::new();
        for _ in 0..at {
            world.advance();
            world.befall(Event::Nothing);
        }
        world.turn_back();
        let mut raised = world.replicas == OF_CALLEE;
        let before = world.merged();
        while !world.advance() {
            raised |= world.replicas == OF_CALLEE;
            assert!(
                raised || world.merged() >= before,
                "a companion goes before there is room outside"
            );
            world.befall(Event::Nothing);
        }
        world.assert_split();
        assert_eq!(
            (world.fewest, world.merged()),
            (REPLICAS, 0),
            "undone after {at} decisions"
        );
    }
}

/// The disruption budget of the caller's pods is heard for each of them, on the way in and where another version is followed.
#[test]
fn no_pod_goes_that_its_budget_does_not_let_go() {
    let mut world = World::new();
    world.budget = Budget::Allows(0);
    world.run([]);
    world.assert_split();
    assert_eq!(
        (world.trouble(), world.made),
        (Some("budget"), REPLICAS),
        "no pod was made"
    );

    let mut renewed = World::new();
    renewed.run([]);
    let made = renewed.made;
    renewed.budget = Budget::Allows(0);
    renewed.run([Event::Changed]);
    for _ in 0..20 {
        renewed.advance();
        renewed.befall(Event::Nothing);
    }
    assert_eq!((renewed.made, renewed.merged()), (made, REPLICAS), "it waits");
    renewed.budget = Budget::Allows(1);
    renewed.run([Event::Nothing; 5]);
    assert_eq!((renewed.step.state, renewed.trouble()), (StepState::Done, None));
    renewed.assert_stands();
}

#[test]
fn what_stands_is_taken_apart_when_it_no_longer_holds() {
    for (event, label) in [
        (Event::Unfit, "companionRefused"),
        (Event::Unbound, "companionUnbound"),
        (Event::OptedOut, "notAllowed"),
    ] {
        let mut world = World::new();
        world.run([]);
        world.befall(event);
        world.run([Event::Nothing; 6]);
        world.assert_split();
        assert_eq!(world.trouble(), Some(label));
    }
}

#[test]
fn calls_that_do_not_stay_inside_undo_it() {
    for (inside, percent) in [(Some(Percent(40)), Some(40)), (None, None)] {
        let mut world = World::new();
        world.inside = inside;
        world.run([]);
        world.assert_split();
        assert_eq!(world.step.trouble, Some(Trouble::NotInside { percent }));
    }
}

#[test]
fn what_cannot_be_is_not_begun_or_given_up() {
    let mut refused = World::new();
    refused.against = Some("it is stateful".to_owned());
    refused.run([]);
    assert_eq!(
        (refused.step.state, refused.trouble()),
        (StepState::Skipped, Some("companionRefused"))
    );
    let mut merged = World::new();
    merged.change("pod-1", |pod| {
        pod.labels.insert(COMPANION.to_owned(), "other".to_owned());
    });
    merged.run([]);
    assert_eq!(
        (merged.step.state, merged.trouble()),
        (StepState::Skipped, Some("otherCompanion"))
    );
    let mut stuck = World::new();
    while !matches!(&stuck.step.receipt, Some(Receipt::Merge(receipt)) if receipt.stage == MergeStage::Pods) {
        stuck.advance();
    }
    stuck.stuck = true;
    stuck.run([]);
    stuck.assert_split();
    assert_eq!((stuck.trouble(), stuck.fewest), (Some("notReady"), REPLICAS));
}

#[test]
fn replicas_are_never_written_behind_an_autoscalers_back() {
    let mut world = World::new();
    world.scaled = true;
    world.run([]);
    assert_eq!((world.step.state, world.replicas), (StepState::Done, OF_CALLEE));
}
