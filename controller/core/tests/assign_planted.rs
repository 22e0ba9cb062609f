//! Clusters made up: what is planted holds every rule, what is given to the search is the same pods scrambled, and the
//! search finds the planted gain again.

mod rasa;

use huddle_core::assign::{Generated, InvalidRecipe, Layout, Recipe};

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
