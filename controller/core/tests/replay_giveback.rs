//! Giving back over weeks of made-up usage: slack halved, nobody killed, next to nothing throttled. The benchmark `replay` runs more seeds.

mod replay;
mod world;

use replay::{KINDS, Outcome, basis_points, together};

/// Seeds of each kind.
const SEEDS: u64 = 2;
/// Of 10 000 periods, what giving back may throttle more than before.
const NOISE: f64 = 10.0;
/// What may be left of one kind's slack: bursts need most of what they are given, of which no week tells when they come.
const LEFT: f64 = 0.7;

#[test]
fn slack_is_halved_nobody_is_killed_and_next_to_nothing_is_throttled() {
    let (mut without, mut with) = (Outcome::default(), Outcome::default());
    let kinds: Vec<_> = std::thread::scope(|scope| {
        let threads = KINDS.map(|kind| scope.spawn(move || together(kind, SEEDS)));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for ((plain, given), kind) in kinds.iter().zip(KINDS) {
        let (before, after) = (basis_points(plain), basis_points(given));
        assert_eq!(
            (plain.kills, given.kills),
            (0, 0),
            "{kind:?}: killed for want of memory"
        );
        assert!(after <= before + NOISE, "{kind:?}: throttled {before} → {after}");
        let left = given.cpu_slack / plain.cpu_slack;
        assert!(left <= LEFT, "{kind:?}: {left} of the cpu slack is left");
        without.add(plain);
        with.add(given);
    }
    let halved = |before: f64, after: f64| after <= before / 2.0;
    assert!(halved(without.cpu_slack, with.cpu_slack), "{without:?} → {with:?}");
    assert!(
        halved(without.memory_slack, with.memory_slack),
        "{without:?} → {with:?}"
    );
}
