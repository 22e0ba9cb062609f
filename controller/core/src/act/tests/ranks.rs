//! Laws of outranking, over every order of plans proved, rolled back and rules deleted by hand.

use crate::act::{RuleName, Standing, in_force, outlived};
use crate::id::{Namespace, PlanId};
use proptest::prelude::*;

/// What befalls one workload's rules.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A new plan places it and is proved.
    Proved,
    /// A new plan places it and is rolled back.
    RolledBack,
    /// Somebody deletes the n-th rule that stands.
    Deleted(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => Just(Event::Proved),
        1 => Just(Event::RolledBack),
        1 => (0_usize..3).prop_map(Event::Deleted),
    ];
    prop::collection::vec(event, 0..20)
}

/// The rule of the n-th plan, over all that stand.
fn rule(number: usize, under: &[Standing]) -> Standing {
    let plan = PlanId::new(format!("plan-{number}"));
    Standing {
        rule: RuleName::of(&plan, 0, &Namespace::from("shop")),
        plan,
        outranks: under.iter().map(|it| it.rule.name.clone()).collect(),
    }
}

fn working(standing: &[Standing]) -> Vec<String> {
    in_force(standing).map(|it| it.rule.name.clone()).collect()
}

proptest! {
    #[test]
    fn one_rule_works_and_deleting_it_brings_back_the_one_before(events in events()) {
        let mut standing: Vec<Standing> = Vec::new();
        for (number, event) in events.into_iter().enumerate() {
            let before = working(&standing);
            match event {
                Event::Proved | Event::RolledBack => {
                    let new = rule(number, &standing);
                    standing.push(new.clone());
                    prop_assert_eq!(working(&standing), vec![new.rule.name.clone()], "the new one works alone");
                    if matches!(event, Event::Proved) {
                        let gone: Vec<_> = outlived(&standing, &new.plan).map(|it| it.rule.clone()).collect();
                        standing.retain(|it| !gone.contains(&it.rule));
                        prop_assert_eq!(working(&standing), vec![new.rule.name.clone()]);
                    }
                    let mut back = standing.clone();
                    back.retain(|it| it.rule != new.rule);
                    prop_assert_eq!(working(&back), before, "its deletion brings back what was");
                    if matches!(event, Event::RolledBack) {
                        standing = back;
                    }
                }
                Event::Deleted(at) if at < standing.len() => {
                    standing.remove(at);
                }
                Event::Deleted(_) => {}
            }
            prop_assert!(standing.len() <= 2, "{standing:?}");
            prop_assert_eq!(working(&standing).len(), standing.len().min(1));
        }
    }
}
