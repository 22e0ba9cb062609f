//! Laws and stories of rules: what the search for same-node-first routing finds, and what the stock scheduler makes of rules. Judged
//! from the problem's own numbers.

mod small;

use huddle_core::assign::{
    Amount, Layout, Means, NearWish, Problem, Rule, Service, Steps, Traffic, assign_by_rules, assign_near, recreate,
    rules,
};
use proptest::prelude::*;
use small::Case;
use std::collections::BTreeMap;

const MOST_LOAD: f64 = 1.3;
const MEANS: [Means; 3] = [Means::Beside, Means::Cells, Means::WeightedCells];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_layout_for_near_first_breaks_nothing_and_is_never_worse_than_todays(seed: u64, dice: u64) {
        let case = Case::draw(seed);
        let problem = case.problem();
        let wish = NearWish { seed: dice, most_moves: case.most_moves, most_load: MOST_LOAD };
        let answer = assign_near(&problem, wish, &mut Steps(12));
        let found = case.seats(&problem, &answer.layout);
        prop_assert_eq!(case.broken(&found), Vec::<String>::new());
        prop_assert!(case.most_moves.is_none_or(|most| answer.moves <= most));
        prop_assert!(case.moves(&found) <= answer.moves);
        prop_assert!(answer.near.worst_load <= MOST_LOAD);
        prop_assert!(answer.near.local >= Layout::home(&problem).near_first(&problem, MOST_LOAD).local);
        let again = assign_near(&problem, wish, &mut Steps(12));
        prop_assert_eq!(again.layout, answer.layout);
    }

    #[test]
    fn by_rules_nothing_is_broken_and_the_prediction_is_not_worse_than_without(seed: u64, dice: u64, means in 0usize..3) {
        let case = Case::draw(seed);
        let problem = case.problem();
        let wish = NearWish { seed: dice, most_moves: case.most_moves, most_load: MOST_LOAD };
        let answer = assign_by_rules(&problem, wish, MEANS[means], &mut Steps(12));
        prop_assert_eq!(case.broken(&case.seats(&problem, &answer.layout)), Vec::<String>::new());
        prop_assert!(case.most_moves.is_none_or(|most| answer.moves <= most));
        prop_assert!(answer.after.worst_load <= MOST_LOAD);
        let none = vec![Rule::None; problem.services()];
        let alone = (0..8).map(|order| {
            let after = recreate(&problem, &Layout::home(&problem), &none, dice ^ (0x7072_6564_6963_7400 + order));
            after.near_first(&problem, MOST_LOAD).local
        });
        prop_assert!(answer.after.local >= alone.fold(1.0, f64::min));
        let again = assign_by_rules(&problem, wish, MEANS[means], &mut Steps(12));
        prop_assert_eq!((again.layout, again.rules), (answer.layout, answer.rules));
    }

    #[test]
    fn what_near_first_is_worth_is_what_its_formula_says(seed: u64, most in 1.0f64..3.0) {
        let case = Case::draw(seed);
        let problem = case.problem();
        let said = Layout::home(&problem).near_first(&problem, most);
        let (local, worst) = case.near_first(&case.home, most);
        prop_assert!((said.local - local).abs() < 1e-6, "{} is not {local}", said.local);
        prop_assert!((said.worst_load - worst).abs() < 1e-6, "{} is not {worst}", said.worst_load);
        prop_assert!(said.worst_load <= most && said.refused.iter().all(|(_, load)| *load > most));
    }

    #[test]
    fn whoever_is_created_anew_comes_up_where_it_may(seed: u64, dice: u64, means in 0usize..3) {
        let case = Case::draw(seed);
        let problem = case.problem();
        let home = Layout::home(&problem);
        let rules = rules(&problem, &home, MEANS[means]);
        let after = recreate(&problem, &home, &rules, dice);
        prop_assert_eq!(case.broken(&case.seats(&problem, &after)), Vec::<String>::new());
        prop_assert_eq!(recreate(&problem, &home, &rules, dice), after);
    }
}

fn service(pods: &[(usize, u32)], cpu: i64) -> Service {
    Service {
        demand: Amount([cpu, cpu, 0, 0]),
        home: pods.iter().copied().collect(),
        ..Service::default()
    }
}

/// A caller with a pod on each of four nodes, half empty; and a service of eight pods that it calls, all on the first.
fn roomy() -> Problem {
    let services = vec![service(&[(0, 1), (1, 1), (2, 1), (3, 1)], 1), service(&[(0, 8)], 1)];
    let call = Traffic {
        from: 0,
        to: 1,
        weight: 1.0,
    };
    Problem::new(services, vec![Amount([100, 100, 0, 0]); 4], &[call], &[]).unwrap()
}

fn after(problem: &Problem, rule: Rule) -> Vec<(usize, u32)> {
    let rules = vec![Rule::None, rule];
    let once = recreate(problem, &Layout::home(problem), &rules, 1);
    recreate(problem, &once, &rules, 2).of(1).collect()
}

fn cell(weights: &[(usize, u32)], skew: u32) -> Rule {
    Rule::Cell {
        weights: weights.iter().copied().collect::<BTreeMap<_, _>>(),
        skew,
    }
}

#[test]
fn in_a_cell_pods_spread_evenly_and_outside_it_there_are_none() {
    assert_eq!(after(&roomy(), cell(&[(1, 100), (3, 100)], 6)), [(1, 4), (3, 4)]);
}

#[test]
fn where_the_spread_counts_as_much_as_the_wish_pods_leave_the_cell() {
    let outside = after(&roomy(), cell(&[(1, 100), (3, 100)], 1));
    assert!(outside.iter().any(|(node, _)| [0, 2].contains(node)), "{outside:?}");
}

#[test]
fn in_a_cell_with_weights_more_pods_settle_where_it_weighs_more() {
    let weighted = cell(&[(0, 100), (1, 70), (2, 70)], 6);
    assert_eq!(after(&roomy(), weighted), [(0, 4), (1, 2), (2, 2)]);
}

#[test]
fn beside_another_service_pods_go_where_there_are_more_of_it() {
    let services = vec![service(&[(0, 6), (2, 3)], 1), service(&[(1, 6)], 1)];
    let problem = Problem::new(services, vec![Amount([100, 100, 0, 0]); 4], &[], &[]).unwrap();
    let rules = vec![cell(&[(0, 100), (2, 80)], 8), Rule::Beside { with: 0, skew: 3 }];
    let layout = recreate(
        &problem,
        &recreate(&problem, &Layout::home(&problem), &rules, 1),
        &rules,
        2,
    );
    let beside: Vec<_> = layout.of(1).collect();
    let at = |wanted: usize| {
        beside
            .iter()
            .filter(|(node, _)| *node == wanted)
            .map(|(_, pods)| pods)
            .sum::<u32>()
    };
    assert!(at(0) >= 4 && at(0) + at(2) >= 5, "{beside:?}");
}

#[test]
fn weights_made_for_a_layout_bring_its_pods_back() {
    // On two nodes others take most of the room, so that the empty ones attract whoever has no wish.
    let bound = |node: usize, pods: u32| Service {
        allowed: Some(vec![node]),
        ..service(&[(node, pods)], 1)
    };
    let services = vec![
        bound(0, 60),
        service(&[(0, 1), (1, 3), (2, 6)], 1),
        service(&[(3, 4)], 1),
        bound(1, 40),
    ];
    let calls = [(1, 2, 1.0)].map(|(from, to, weight)| Traffic { from, to, weight });
    let nodes = vec![Amount([100, 200, 0, 0]); 5];
    let problem = Problem::new(services, nodes, &calls, &[]).unwrap();
    let home = Layout::home(&problem);
    let rules = rules(&problem, &home, Means::WeightedCells);
    let mut layout = home.clone();
    for seed in 1..=3 {
        layout = recreate(&problem, &layout, &rules, seed);
        for service in [1, 2] {
            assert_eq!(
                layout.of(service).collect::<Vec<_>>(),
                home.of(service).collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn a_pod_that_would_get_too_much_makes_its_service_be_called_evenly() {
    // Three of four callers are on the node of one of two pods: half more than its share.
    let services = vec![service(&[(0, 3), (1, 1)], 1), service(&[(0, 1), (1, 1)], 1)];
    let call = Traffic {
        from: 0,
        to: 1,
        weight: 7.0,
    };
    let problem = Problem::new(services, vec![Amount([10, 10, 0, 0]); 2], &[call], &[]).unwrap();
    let home = Layout::home(&problem);
    let bold = home.near_first(&problem, 1.5);
    assert_eq!((bold.routed, bold.worst_load), (vec![1], 1.5));
    assert!((bold.local - 1.0).abs() < 1e-9);
    let careful = home.near_first(&problem, MOST_LOAD);
    assert_eq!((careful.refused, careful.worst_load), (vec![(1, 1.5)], 0.0));
    assert!((careful.local - 0.5).abs() < 1e-9);
    let answer = assign_near(
        &problem,
        NearWish {
            seed: 1,
            most_moves: None,
            most_load: MOST_LOAD,
        },
        &mut Steps(20),
    );
    assert!((answer.near.local - 1.0).abs() < 1e-9, "{answer:?}");
}
