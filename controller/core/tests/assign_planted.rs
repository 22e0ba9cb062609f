//! Clusters made up: what is planted holds every rule, what is given to the search is the same pods scrambled, and the
//! search finds the planted gain again.

mod rasa;

use huddle_core::assign::{Alone, Generated, InvalidRecipe, Layout, Recipe, Steps, Wish, assign, curve};

const SMALL: Recipe = Recipe {
    seed: 1,
    nodes: 60,
    pods: 1800,
    services: 120,
};

fn made(recipe: Recipe) -> Generated {
    recipe.generate().unwrap()
}

#[test]
fn the_planted_layout_and_the_scrambled_one_hold_every_rule() {
    for seed in 1..=5 {
        let made = made(Recipe { seed, ..SMALL });
        let problem = made.cluster.problem().unwrap();
        assert_eq!((problem.nodes(), problem.services()), (60, 120));
        assert!((1780..=1820).contains(&problem.pods()), "{}", problem.pods());
        let file = serde_json::to_value(&made.cluster).unwrap();
        let planted = rasa::check(&file, &made.cluster.containers(&made.planted));
        let start = rasa::check(&file, &made.cluster.containers(&Layout::home(&problem)));
        assert!(planted.broken.is_empty(), "{:?}", planted.broken);
        assert!(start.broken.is_empty(), "{:?}", start.broken);
        assert_eq!(start.moved, 0);
        assert!((planted.gain - made.planted.gain(&problem)).abs() < 1e-6);
        assert!(planted.gain > 0.6, "planted {}", planted.gain);
        assert!(start.gain < 0.5, "start {}", start.gain);
    }
}

#[test]
fn equal_recipes_give_equal_clusters_and_seeds_differ() {
    let text = |recipe: Recipe| serde_json::to_string(&made(recipe).cluster).unwrap();
    assert_eq!(text(SMALL), text(SMALL));
    assert_ne!(text(SMALL), text(Recipe { seed: 2, ..SMALL }));
}

#[test]
fn what_cannot_be_had_is_refused_by_name() {
    let refused = |recipe: Recipe| recipe.generate().unwrap_err();
    assert_eq!(refused(Recipe { nodes: 3, ..SMALL }), InvalidRecipe::Nodes(3));
    assert_eq!(refused(Recipe { services: 2, ..SMALL }), InvalidRecipe::Services(2));
    assert_eq!(
        refused(Recipe { pods: 100, ..SMALL }).to_string(),
        "pods: 100 is not between 480 (4 per service) and 6000 (100 per node)"
    );
}

/// Large enough to be searched in groups, each on the nodes where it is and with a limit of its own.
#[test]
fn a_large_cluster_with_a_limit_on_moves_holds_every_rule_and_more_moves_gain_more() {
    let large = Recipe {
        seed: 3,
        nodes: 800,
        pods: 8_000,
        services: 900,
    };
    let cluster = made(large).cluster;
    let mut turned = cluster.clone();
    turned.service_list.reverse();
    turned.machine_list.reverse();
    turned.traffic_list.reverse();
    let (problem, file) = (cluster.problem().unwrap(), serde_json::to_value(&cluster).unwrap());
    let start = Layout::home(&problem).gain(&problem);
    let wish = Wish {
        seed: 7,
        ..Wish::default()
    };
    let limits = [0, 40, 800];
    let points = curve(&problem, &limits, wish, &mut Steps(90), &Alone);
    let mut before = start;
    for ((most, answer), limit) in points.iter().zip(limits) {
        let report = rasa::check(&file, &cluster.containers(&answer.layout));
        assert!(report.broken.is_empty(), "{:?}", report.broken);
        assert_eq!((*most, report.moved as u64), (limit, answer.moves));
        assert!(answer.moves <= limit && (report.gain - answer.gain).abs() < 1e-6);
        assert!(
            limit == 0 || answer.gain > before,
            "{limit} moves: {} after {before}",
            answer.gain
        );
        before = answer.gain;
    }
    let other = curve(&turned.problem().unwrap(), &limits, wish, &mut Steps(90), &Alone);
    for ((_, one), (_, other)) in points.iter().zip(&other) {
        assert_eq!(one.layout, other.layout);
    }
    let most_moves = Some(800);
    let alone = assign(&problem, Wish { most_moves, ..wish }, &mut Steps(90));
    let report = rasa::check(&file, &cluster.containers(&alone.layout));
    assert!(report.broken.is_empty() && alone.moves <= 800 && alone.gain > start);
}
