//! Five hundred random small problems beside an exact solver (a mixed integer program, proved optimal): with and without a limit
//! on moves, with caps, pools of nodes and services without traffic. Layouts are judged from the problem's own numbers, with
//! nothing of the search.

#[path = "small/exact.rs"]
mod exact;
mod small;

use huddle_core::assign::{Steps, Wish, assign, bound};
use small::Case;

/// What the search spends on one case.
const STEPS: Steps = Steps(150);

/// How far the search stays behind the optimum, as a share of it; checks every rule on the way.
fn behind(seed: u64) -> f64 {
    let case = Case::draw(seed);
    let problem = case.problem();
    let wish = Wish {
        seed,
        most_moves: case.most_moves,
        ..Wish::default()
    };
    let answer = assign(&problem, wish, &mut STEPS.clone());
    let found = case.seats(&problem, &answer.layout);
    assert_eq!(case.broken(&found), Vec::<String>::new(), "case {seed}");
    assert_eq!(case.moves(&found), answer.moves, "case {seed}");
    assert!((case.gain(&found) - answer.gain).abs() < 1e-6, "case {seed}");
    let best = case.optimum();
    let most = bound(&problem);
    assert!(best <= most + 1e-6, "case {seed}: {best} is above the bound {most}");
    assert!(
        answer.gain <= best + 1e-6,
        "case {seed}: the search found {} and the solver only {best}",
        answer.gain
    );
    if best > 0.0 { 1.0 - answer.gain / best } else { 0.0 }
}

#[test]
fn the_search_is_within_a_hundredth_of_the_optimum() {
    let worker =
        |first: u64| move || -> Vec<(u64, f64)> { (first..500).step_by(2).map(|seed| (seed, behind(seed))).collect() };
    let workers = [0, 1].map(|first| std::thread::spawn(worker(first)));
    let all: Vec<(u64, f64)> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    assert_eq!(all.len(), 500);
    let far: Vec<_> = all.iter().filter(|(_, behind)| *behind > 0.01).collect();
    println!("{} of 500 are more than 1 % behind the optimum: {far:?}", far.len());
    assert!(far.len() <= 25, "{far:?}");
}
