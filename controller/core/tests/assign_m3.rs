//! The search on ByteDance's M3, judged by the independent checker. Budgets are in steps: nothing here depends on a clock.

mod rasa;

use huddle_core::assign::{Layout, Problem, RasaCluster, Steps, Wish, assign};
use serde_json::Value;

fn m3() -> (Value, RasaCluster, Problem) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/rasa-m3/M3.json");
    let text = std::fs::read_to_string(path).unwrap();
    let cluster: RasaCluster = serde_json::from_str(&text).unwrap();
    let problem = cluster.problem().unwrap();
    (serde_json::from_str(&text).unwrap(), cluster, problem)
}

#[test]
fn the_checker_and_the_search_agree_on_the_start() {
    let (value, cluster, problem) = m3();
    let home = Layout::home(&problem);
    let report = rasa::check(&value, &cluster.containers(&home));
    assert!(report.broken.is_empty(), "{:?}", report.broken);
    assert_eq!(report.moved, 0);
    assert!((report.gain - home.gain(&problem)).abs() < 1e-6);
    // facts/placement.md section 4: 7.00 % at capture.
    assert!((report.gain - 0.07).abs() < 0.0005, "{}", report.gain);
}

#[test]
fn whatever_is_found_holds_every_constraint_and_is_worth_what_it_says() {
    let (value, cluster, problem) = m3();
    for (most_moves, least) in [(None, 0.5), (Some(100), 0.15), (Some(697), 0.4), (Some(1), 0.0699)] {
        let wish = Wish {
            seed: 3,
            most_moves,
            ..Wish::default()
        };
        let answer = assign(&problem, wish, &mut Steps(300));
        let report = rasa::check(&value, &cluster.containers(&answer.layout));
        assert!(report.broken.is_empty(), "{most_moves:?}: {:?}", report.broken);
        assert_eq!(report.moved as u64, answer.moves);
        assert!(
            most_moves.is_none_or(|most| answer.moves <= most),
            "{most_moves:?}: {}",
            answer.moves
        );
        assert!((report.gain - answer.gain).abs() < 1e-6);
        assert!(report.gain >= least, "{most_moves:?}: {}", report.gain);
    }
}

#[test]
fn the_order_of_the_file_changes_nothing() {
    let (_, cluster, problem) = m3();
    let mut turned = cluster.clone();
    turned.service_list.reverse();
    turned.machine_list.reverse();
    turned.traffic_list.reverse();
    let wish = Wish {
        seed: 5,
        ..Wish::default()
    };
    let straight = assign(&problem, wish, &mut Steps(60));
    let reversed = assign(&turned.problem().unwrap(), wish, &mut Steps(60));
    assert_eq!(straight.layout, reversed.layout);
}
