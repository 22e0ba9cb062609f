//! Giving back over weeks of made-up usage, over many seeds: `cargo bench -p huddle-core --bench replay`.

#[path = "../tests/replay/mod.rs"]
mod replay;
#[path = "../tests/world/mod.rs"]
mod world;

/// Seeds of each kind.
const SEEDS: u64 = 20;

fn main() {
    let (mut without, mut with) = (replay::Outcome::default(), replay::Outcome::default());
    for kind in replay::KINDS {
        let (plain, given) = replay::together(kind, SEEDS);
        without.add(&plain);
        with.add(&given);
    }
    replay::tell("All together", &without, &with);
}
