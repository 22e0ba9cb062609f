//! Giving back over weeks of made-up usage: what is reserved is halved, and no period more is throttled; cpu limits can be
//! lowered too, and with a floor of 200 % their slack is halved; nobody is killed. The benchmark `replay` runs more seeds and more floors.

mod replay;
mod world;

use replay::{KINDS, Outcome, basis_points, together};

/// Seeds of each kind.
const SEEDS: u64 = 2;

/// The weeks of each kind, without giving back and with; of the kinds together, the sum.
fn lives(floor: Option<u64>) -> (Outcome, Outcome) {
    let (mut without, mut with) = (Outcome::default(), Outcome::default());
    let kinds: Vec<_> = std::thread::scope(|scope| {
        let threads = KINDS.map(|kind| scope.spawn(move || together(kind, SEEDS, floor)));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for ((plain, given), kind) in kinds.iter().zip(KINDS) {
        assert_eq!(
            (plain.kills, given.kills),
            (0, 0),
            "{kind:?}: killed for want of memory"
        );
        without.add(plain);
        with.add(given);
    }
    assert!(
        with.memory_slack <= without.memory_slack / 2.0,
        "{without:?} → {with:?}"
    );
    (without, with)
}

#[test]
fn what_is_reserved_is_halved_and_no_period_more_is_throttled() {
    let (without, with) = lives(None);
    assert!(
        with.cpu_reserved <= without.cpu_reserved / 2.0,
        "{without:?} → {with:?}"
    );
    assert!(
        with.memory_reserved <= without.memory_reserved / 2.0,
        "{without:?} → {with:?}"
    );
    assert!(with.throttled <= without.throttled, "{without:?} → {with:?}");
}

#[test]
fn with_limits_too_throttling_stays_what_it_was_as_the_floor_comes() {
    /// Of 10 000 periods, what may be throttled more: one in ten millions. The weeks are the same with giving back and without, so that a
    /// lower limit never throttles less, and a single period of 240 millions is more.
    const SAME: f64 = 0.001;
    /// What is left of the cpu slack, at most. It cannot be halved by a limit that is never missed: not even by who knows what is to come.
    const LEFT: f64 = 0.85;
    let (without, with) = lives(Some(450));
    assert!(
        basis_points(&with) <= basis_points(&without) + SAME,
        "{without:?} → {with:?}"
    );
    assert!(with.cpu_slack <= without.cpu_slack * LEFT, "{without:?} → {with:?}");
}

#[test]
fn with_a_low_floor_slack_is_halved_and_next_to_nothing_is_throttled() {
    /// Of 10 000 periods, what giving back may throttle more than before.
    const NOISE: f64 = 0.5;
    let (without, with) = lives(Some(200));
    assert!(with.cpu_slack <= without.cpu_slack / 2.0, "{without:?} → {with:?}");
    assert!(
        basis_points(&with) <= basis_points(&without) + NOISE,
        "{without:?} → {with:?}"
    );
}
