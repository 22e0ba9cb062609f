//! A merge that stands, and what it was made for.

use super::*;
use crate::plan::{Faded, Use};

/// Looks every ten minutes for so long; whether it still stands.
fn stands_for(world: &mut World, of_use: Use, span: Span) -> bool {
    let standing = |of_use| Standing {
        of_use,
        calls: None,
        patience: Span::seconds(24 * 3600),
    };
    world.standing = Some(standing(of_use));
    let until = world.now.plus(span);
    while world.now < until && world.step.state == StepState::Done {
        world.now = world.now.plus(Span::seconds(600));
        world.run([]);
    }
    world.step.state == StepState::Done
}

#[test]
fn a_merge_whose_load_has_gone_is_split_and_one_whose_load_comes_back_is_not() {
    let hours = |hours: u64| Span::seconds(hours * 3600);
    let gone = Use::Gone(Faded::NotCalled);
    let mut world = World::new();
    world.run([]);
    assert!(stands_for(&mut world, gone, hours(23)), "a night is not a day");
    assert!(stands_for(&mut world, Use::Of, hours(1)));
    assert!(stands_for(&mut world, gone, hours(23)), "it began anew");
    assert!(!stands_for(&mut world, gone, hours(2)));
    world.assert_split();
    assert_eq!(world.trouble(), Some("loadGone"));

    let mut away = World::new();
    away.run([]);
    assert!(stands_for(&mut away, gone, hours(23)));
    away.now = away.now.plus(hours(3));
    assert!(stands_for(&mut away, gone, hours(2)), "nobody knows what was meanwhile");
    assert!(stands_for(&mut away, Use::Unknown, hours(48)), "nothing is measured");
}

#[test]
fn a_callee_that_calls_others_is_split_at_once() {
    let mut world = World::new();
    world.run([]);
    world.standing = Some(Standing {
        of_use: Use::Of,
        calls: Some(WorkloadId::deployment("shop", "store")),
        patience: Span::seconds(3600),
    });
    world.run([]);
    world.assert_split();
    assert_eq!(world.trouble(), Some("calleeCalls"));
}

#[test]
fn a_call_to_somebody_new_is_the_callers_own_after_its_roll_out_and_splits_the_two_else() {
    let bank = || WorkloadId::deployment("shop", "bank");
    let hours = |world: &mut World, hours: u64| world.now = world.now.plus(Span::seconds(hours * 3600));
    let mut world = World::new();
    world.run([]);
    hours(&mut world, 2);
    world.run([]);
    assert_eq!(
        world.step.state,
        StepState::Done,
        "whom it called before it may go on calling"
    );
    world.calls.insert(bank());
    world.run([]);
    world.assert_split();
    assert_eq!(world.trouble(), Some("newCalls"));

    let mut rolled = World::new();
    rolled.run([]);
    hours(&mut rolled, 2);
    rolled.run([Event::Rolled]);
    rolled.run([Event::Nothing; 3]);
    rolled.calls.insert(bank());
    rolled.run([]);
    assert_eq!(
        (rolled.step.state, rolled.trouble()),
        (StepState::Done, None),
        "a new version's call"
    );
    rolled.calls.remove(&bank());
    hours(&mut rolled, 2);
    rolled.run([]);
    rolled.calls.insert(bank());
    rolled.run([]);
    assert_eq!(rolled.step.state, StepState::Done, "it is known by now");
    rolled.calls.insert(WorkloadId::deployment("shop", "ledger"));
    rolled.run([]);
    rolled.assert_split();
}

/// And a version that is followed brings no leave to call others.
#[test]
fn a_new_version_of_the_callee_that_calls_somebody_is_split() {
    let mut world = World::new();
    world.run([]);
    world.now = world.now.plus(Span::seconds(7_200));
    world.run([Event::Changed]);
    world.run([Event::Nothing; 5]);
    assert_eq!(world.step.state, StepState::Done);
    world.calls.insert(WorkloadId::deployment("shop", "bank"));
    world.run([]);
    world.assert_split();
    assert_eq!(world.trouble(), Some("newCalls"));
}

#[test]
fn what_others_ask_more_brings_replicas_back_and_an_owners_word_stands() {
    let mut world = World::new();
    world.run([]);
    assert_eq!(world.replicas, 3);
    world.others = 60;
    world.run([]);
    // Six tenths are others', and one of three pods may be without its companion: 0.6 + 0.4 / 3 of six.
    assert_eq!(world.replicas, 5);
    world.others = 20;
    world.run([]);
    assert_eq!(world.replicas, 5, "a lull is not followed");
    world.turn_back();
    world.run([]);
    world.assert_split();

    let mut owned = World::new();
    owned.run([]);
    owned.replicas = 4;
    owned.others = 60;
    owned.run([]);
    assert_eq!(owned.replicas, 4, "its owner has spoken");
    owned.turn_back();
    owned.run([]);
    assert_eq!(owned.replicas, 4);
}

#[test]
fn over_loopback_no_proxy_is_told_anything_and_none_is_told_to_forget() {
    let mut world = World::on(Way::Direct);
    world.run([]);
    assert_eq!((world.step.state, world.trouble()), (StepState::Done, None));
    assert_eq!((world.merged(), world.fewest, world.replicas), (REPLICAS, REPLICAS, 3));
    let Some(Receipt::Merge(receipt)) = &world.step.receipt else {
        panic!("no receipt")
    };
    assert_eq!(
        (receipt.way, receipt.usual.map(|usual| usual.calls)),
        (Way::Direct, Some(100))
    );
    // The Policy takes its word back, or a Service of the callee changes.
    world.against_way = Some("the callee's Service leads from port 80 to 8080".to_owned());
    world.run([]);
    world.assert_split();
    assert_eq!(world.trouble(), Some("directRefused"));

    let mut unwanted = World::on(Way::Direct);
    unwanted.against_way = Some("the Policy does not say so".to_owned());
    unwanted.run([]);
    assert_eq!(
        (unwanted.step.state, unwanted.trouble()),
        (StepState::Skipped, Some("directRefused"))
    );
}

/// The callee's owner begins to send a part of its calls elsewhere: the caller's proxy would not.
#[test]
fn a_route_that_comes_while_a_merge_stands_splits_it() {
    let mut world = World::on(Way::Proxied);
    world.run([]);
    assert_eq!(world.step.state, StepState::Done);
    world.against_way = Some("VirtualService shop/back sends calls to a subset".to_owned());
    world.run([]);
    world.assert_split();
    assert_eq!(world.trouble(), Some("companionRefused"));
}

/// The caller's owner rolls out a version that listens where the companion does: neither it nor its roll-out hangs on the companion for long.
#[test]
fn a_roll_out_that_does_not_go_with_the_companion_gets_pods_without_it() {
    let mut world = World::new();
    world.run([]);
    world.stuck = true;
    world.befall(Event::Rolled);
    world.befall(Event::Nothing);
    let new = |world: &World| {
        let of = |pod: &&SimPod| pod.labels.get(HASH).is_some_and(|hash| hash == "2");
        let pods: Vec<bool> = world
            .pods
            .values()
            .filter(of)
            .map(|pod| pod.labels.contains_key(COMPANION))
            .collect();
        pods
    };
    assert_eq!(new(&world), [true; REPLICAS], "they came with it, and are not ready");
    world.against_way = Some("both listen on port 8080 (TCP)".to_owned());
    while new(&world) != [false; REPLICAS] {
        world.advance();
        world.befall(Event::Nothing);
    }
    world.stuck = false;
    world.run([]);
    world.assert_split();
    assert_eq!((world.fewest, world.merged()), (REPLICAS, 0));
}

#[test]
fn a_pod_that_comes_while_a_deleted_companion_is_still_given_is_replaced_too() {
    use Event::{Nothing, OptedOut, PodDeleted};
    let mut world = World::on(Way::Direct);
    world.run([Nothing, Nothing, OptedOut, Nothing, Nothing, PodDeleted]);
    world.assert_split();
}
