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
