//! Giving back over weeks of made-up usage, over many seeds: `cargo bench -p huddle-core --bench replay`. First as the policy comes, kind by
//! kind, then what lower and higher floors trade: slack for throttled periods.

#[path = "../tests/replay/mod.rs"]
mod replay;
#[path = "../tests/world/mod.rs"]
mod world;

use replay::Outcome;

/// Seeds of each kind.
const SEEDS: u64 = 20;
/// Floors to try, as the policy has them.
const FLOORS: [u64; 7] = [150, 200, 250, 300, 350, 400, 600];

/// Slack left in core days, and throttled periods.
type Left = (f64, u64);

fn main() {
    all("requests, and memory", None);
    all("limits too, as the floor comes", Some(450));
    for floor in FLOORS {
        all(&format!("floor {floor} %"), Some(floor));
    }
    hindsight();
}

/// The best that one limit each could do, chosen knowing what is to come: for each price of a core day of slack, in throttled periods.
fn hindsight() {
    let lives: Vec<_> = std::thread::scope(|scope| {
        let of = |kind| {
            (1..=SEEDS)
                .map(move |seed| replay::hindsight(kind, seed))
                .collect::<Vec<_>>()
        };
        let threads = replay::KINDS.map(|kind| scope.spawn(move || of(kind)));
        let known = threads.map(|thread| thread.join().expect("a replay runs to its end"));
        known.into_iter().flatten().collect()
    });
    let sum = |chosen: &dyn Fn(&[Left]) -> Left| {
        let each = lives.iter().map(|life| chosen(life));
        each.fold((0.0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    };
    let (slack, throttled) = sum(&|life| life[0]);
    println!("\nwith hindsight: {slack:.2} core days, {throttled} periods");
    for price in [0.01, 10.0, 30.0, 100.0, 400.0, 1_000.0, 10_000.0] {
        let cost = |one: &Left| one.1 as f64 + price * one.0;
        let best = |life: &[Left]| *life.iter().min_by(|a, b| cost(a).total_cmp(&cost(b))).expect("some");
        let (left, then) = sum(&best);
        println!("{:.1} % of the slack left: {then} periods", left / slack * 100.0);
    }
}

fn all(what: &str, floor: Option<u64>) {
    println!("\n{what}");
    let lives = std::thread::scope(|scope| {
        let threads = replay::KINDS.map(|kind| scope.spawn(move || replay::together(kind, SEEDS, floor)));
        threads.map(|thread| thread.join().expect("a replay runs to its end"))
    });
    let (mut without, mut with) = (Outcome::default(), Outcome::default());
    for (plain, given) in &lives {
        without.add(plain);
        with.add(given);
    }
    replay::tell("All together", &without, &with);
}
