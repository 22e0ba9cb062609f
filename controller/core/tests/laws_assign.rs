//! Laws of the free assignment, on problems drawn at random: no rule is broken, the order of the input is irrelevant, more
//! moves never gain less, and equal input and seed give an equal plan. Layouts are judged from the problem's own numbers, with
//! nothing of the search.

mod rasa;
mod small;

use huddle_core::assign::{Alone, Layout, RasaCluster, Recipe, Steps, Unit, Wish, assign, curve, renew};
use proptest::prelude::*;
use small::{Case, Dice};

/// What the search spends on one problem.
const STEPS: Steps = Steps(12);

fn shuffle<T>(list: &mut [T], dice: &mut Dice) {
    for index in (1..list.len()).rev() {
        list.swap(index, dice.within(0, index as i64) as usize);
    }
}

fn made_up(seed: u64) -> RasaCluster {
    let recipe = Recipe {
        seed,
        nodes: 8,
        pods: 120,
        services: 20,
    };
    recipe.generate().unwrap().cluster
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_rule_is_broken_and_nothing_gets_worse(seed: u64, dice: u64, workloads: bool) {
        let case = Case::draw(seed);
        let problem = case.problem();
        let unit = if workloads { Unit::Workload } else { Unit::Pod };
        let wish = Wish { seed: dice, most_moves: case.most_moves, unit };
        let answer = assign(&problem, wish, &mut STEPS.clone());
        let found = case.seats(&problem, &answer.layout);
        prop_assert_eq!(case.broken(&found), Vec::<String>::new());
        prop_assert!(answer.gain >= Layout::home(&problem).gain(&problem));
        prop_assert!(case.most_moves.is_none_or(|most| answer.moves <= most));
        prop_assert!(case.moves(&found) <= answer.moves);
        prop_assert!((case.gain(&found) - answer.gain).abs() < 1e-6);
    }

    #[test]
    fn equal_input_and_seed_give_an_equal_plan(seed: u64, dice: u64) {
        let case = Case::draw(seed);
        let wish = Wish { seed: dice, most_moves: case.most_moves, ..Wish::default() };
        let plan = || assign(&case.problem(), wish, &mut STEPS.clone());
        let (one, other) = (plan(), plan());
        prop_assert_eq!(one.layout, other.layout);
        prop_assert_eq!((one.gain, one.moves, one.steps), (other.gain, other.moves, other.steps));
    }

    #[test]
    fn more_moves_never_gain_less(seed: u64, limits in prop::collection::vec(0u64..12, 1..5)) {
        let case = Case::draw(seed);
        let problem = case.problem();
        let wish = Wish { seed, ..Wish::default() };
        let points = curve(&problem, &limits, wish, &mut Steps(24), &Alone);
        for pair in points.windows(2) {
            prop_assert!(pair[0].0 < pair[1].0);
            prop_assert!(pair[0].1.gain <= pair[1].1.gain);
        }
        for (limit, answer) in &points {
            prop_assert!(answer.moves <= *limit);
            prop_assert_eq!(case.broken(&case.seats(&problem, &answer.layout)), Vec::<String>::new());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_the_input_is_irrelevant(seed: u64, order: u64, most_moves in prop::option::of(1u64..60)) {
        let straight = made_up(seed);
        let mut turned = straight.clone();
        let mut dice = Dice(order);
        shuffle(&mut turned.service_list, &mut dice);
        shuffle(&mut turned.machine_list, &mut dice);
        shuffle(&mut turned.traffic_list, &mut dice);
        for edge in turned.traffic_list.iter_mut().filter(|_| dice.within(0, 1) == 0) {
            std::mem::swap(&mut edge.service1, &mut edge.service2);
        }
        let wish = Wish { seed, most_moves, ..Wish::default() };
        let plan = |cluster: &RasaCluster| assign(&cluster.problem().unwrap(), wish, &mut STEPS.clone());
        let (one, other) = (plan(&straight), plan(&turned));
        prop_assert_eq!(one.layout, other.layout);
    }

    #[test]
    fn traffic_that_wavers_moves_nobody_and_costs_no_more_than_it_wavered(seed: u64, wavers in 0.0f64..0.1, dice: u64) {
        let mut cluster = made_up(seed);
        let problem = cluster.problem().unwrap();
        let before = assign(&problem, Wish { seed, ..Wish::default() }, &mut STEPS.clone());
        let mut dice = Dice(dice);
        for edge in &mut cluster.traffic_list {
            edge.traffic *= 1.0 + wavers * (2.0 * dice.unit() - 1.0);
        }
        let other = cluster.problem().unwrap();
        let after = renew(&other, &before.layout, &[], seed, &mut STEPS.clone()).unwrap();
        prop_assert_eq!((after.moves, &after.layout), (0, &before.layout));
        // Each weight, and their sum, is off by that much at most.
        prop_assert!(after.gain >= before.gain * (1.0 - wavers) / (1.0 + wavers) - 1e-9);
    }

    #[test]
    fn a_small_change_is_planned_without_breaking_a_rule(seed: u64, pick: u64, more in 0usize..4) {
        let mut cluster = made_up(seed);
        let stood = cluster.problem().unwrap();
        let before = assign(&stood, Wish { seed, ..Wish::default() }, &mut STEPS.clone()).layout;
        let still = renew(&stood, &before, &[], seed, &mut STEPS.clone()).unwrap();
        let report = rasa::check(&serde_json::to_value(&cluster).unwrap(), &cluster.containers(&still.layout));
        prop_assert_eq!((still.moves, report.moved as u64), (0, before.moves_from(&Layout::home(&stood))));
        let mut dice = Dice(pick);
        let edge = dice.within(0, cluster.traffic_list.len() as i64 - 1) as usize;
        cluster.traffic_list[edge].traffic *= 10.0;
        let service = dice.within(0, cluster.service_list.len() as i64 - 1) as usize;
        for extra in 0..more {
            let name = format!("new-{extra}");
            cluster.service_list[service].container_list.push(name.clone());
            cluster.machine_list[0].initial_deploying_containers.push(name);
        }
        let problem = cluster.problem().unwrap();
        let Some(answer) = renew(&problem, &before, &[service], seed, &mut STEPS.clone()) else {
            return Ok(());
        };
        let file = serde_json::to_value(&cluster).unwrap();
        let report = rasa::check(&file, &cluster.containers(&answer.layout));
        prop_assert!(report.broken.is_empty(), "{:?}", report.broken);
        prop_assert!((report.gain - answer.gain).abs() < 1e-6);
        // What stood is not given up: more pods beside it cannot make it worth less.
        prop_assert!(answer.gain >= before.gain(&problem) - 1e-9);
    }
}
