//! Stories of verify: what it says when the truth is known.

mod world;

use huddle_core::graph::Snapshot;
use huddle_core::plan::Plan;
use huddle_core::time::{Span, Timestamp};
use huddle_core::units::Micros;
use huddle_core::verify::{
    EdgeVerdict, Harm, Verdict, VerifyConfig, Waiting, baseline, edge_verdict, gap, harm_meanwhile, judge,
};
use world::{World, boutique, carry_out, planned};

fn decided() -> (World, Plan) {
    let mut world = boutique(4.0);
    let seen = world.measure(60);
    let plan = planned(&world, &seen);
    (world, plan)
}

fn verdict(world: &World, plan: &Plan, before: &Snapshot, after: &Snapshot) -> Verdict {
    judge(before, after, plan, &world.cluster, &VerifyConfig::default(), world.now)
}

#[test]
fn moving_together_improves_and_closes_the_gap() {
    let (mut world, plan) = decided();
    let before = world.measure(60);
    assert_eq!(baseline(&before, &plan, &VerifyConfig::default()), None);
    carry_out(&mut world, &plan);
    let after = world.measure(60);
    assert_eq!(verdict(&world, &plan, &before, &after), Verdict::Improved);
    let gap = gap(&before, &after, &plan);
    assert!(gap.p50.unwrap() > 0.95 && gap.p99.unwrap() > 0.9, "{gap:?}");
    assert!(
        gap.local_share_after.get() > 0.95 && gap.share_of_calls.get() > 0.6,
        "{gap:?}"
    );
    assert_eq!(
        gap.left_out.len(),
        4,
        "edges without same-node requests before: {:?}",
        gap.left_out
    );
}

/// A/A: nothing done, nothing claimed, however often one looks.
#[test]
fn doing_nothing_is_unchanged() {
    let (mut world, plan) = decided();
    let before = world.measure(60);
    for look in 0..4 {
        let after = world.measure(60);
        assert_eq!(
            verdict(&world, &plan, &before, &after),
            Verdict::Unchanged,
            "look {look}"
        );
    }
}

/// An edge that stayed as it was is not called improved because the others were.
#[test]
fn each_edge_is_judged_for_itself() {
    let config = VerifyConfig::default();
    let (mut world, plan) = decided();
    let (before, again) = (world.measure(60), world.measure(60));
    carry_out(&mut world, &plan);
    let after = world.measure(60);
    let edge = &plan.expected[0].edge;
    let of = |after: &Snapshot| edge_verdict(&plan, &before.edges[edge], after.edges.get(edge), &config);
    assert_eq!(of(&after), EdgeVerdict::Improved);
    assert_eq!(of(&again), EdgeVerdict::Unchanged);
    world.slower = 3_000.0;
    assert_eq!(of(&world.measure(60)), EdgeVerdict::Regressed);
    assert_eq!(
        edge_verdict(&plan, &before.edges[edge], None, &config),
        EdgeVerdict::Waiting
    );
}

#[test]
fn a_slower_network_is_harm() {
    let (mut world, plan) = decided();
    let before = world.measure(60);
    world.slower = 600.0;
    let after = world.measure(60);
    assert!(matches!(
        verdict(&world, &plan, &before, &after),
        Verdict::Regressed {
            harm: Harm::Network { .. }
        }
    ));
}

#[test]
fn errors_are_harm_before_anything_else() {
    let (mut world, plan) = decided();
    let before = world.measure(60);
    carry_out(&mut world, &plan);
    let mut after = world.measure(60);
    let failing = after.edges.values_mut().max_by_key(|edge| edge.total.requests).unwrap();
    failing.total.errors = failing.total.requests / 50;
    assert!(matches!(
        verdict(&world, &plan, &before, &after),
        Verdict::Regressed {
            harm: Harm::Errors { .. }
        }
    ));
}

#[test]
fn errors_are_harm_while_it_is_carried_out_and_slow_calls_are_not_yet() {
    let (mut world, plan) = decided();
    let before = world.measure(60);
    let mut meanwhile = world.measure(60);
    let config = VerifyConfig::default();
    let harm = |meanwhile: &Snapshot| harm_meanwhile(&before, meanwhile, &plan, &config);
    let busiest = meanwhile.edges.values_mut().max_by_key(|edge| edge.total.requests);
    let busiest = busiest.unwrap();
    let mut slow = huddle_core::distribution::Distribution::default();
    let times = busiest.total.upstream.buckets();
    times.for_each(|(at, count)| slow.add(Micros(at.0 * 3), count));
    busiest.total.upstream = slow;
    assert_eq!(harm(&meanwhile), None);
    let busiest = meanwhile.edges.values_mut().max_by_key(|edge| edge.total.requests);
    let busiest = busiest.unwrap();
    busiest.total.errors = busiest.total.requests / 50;
    let found = harm(&meanwhile);
    assert!(matches!(found, Some(Harm::Errors { .. })), "{found:?}");
}

/// Seen on a bed: a pod evicted under 20 calls a second, 100 of 600 failed, and the proof called none of it sure.
#[test]
fn a_few_failed_calls_are_harm_where_the_plan_acts_and_nowhere_else() {
    let (mut world, plan) = decided();
    let few = |snapshot: &mut Snapshot| {
        for edge in snapshot.edges.values_mut() {
            (edge.total.requests, edge.total.errors) = (600, 0);
        }
    };
    let (mut before, mut calm) = (world.measure(60), world.measure(60));
    few(&mut before);
    few(&mut calm);
    let config = VerifyConfig::default();
    let harm = |meanwhile: &Snapshot| harm_meanwhile(&before, meanwhile, &plan, &config);
    assert_eq!(harm(&calm), None);
    let touched = plan.actions[0].workload();
    let with_errors = |near: bool, errors: u64| {
        let mut meanwhile = calm.clone();
        let is_near = |edge: &huddle_core::id::EdgeId| {
            let ends = plan.edges().flat_map(|edge| [&edge.source, &edge.destination]);
            ends.chain([touched])
                .any(|end| *end == edge.source || *end == edge.destination)
        };
        let edge = meanwhile.edges.values_mut().find(|stats| is_near(&stats.edge) == near);
        edge.unwrap().total.errors = errors;
        meanwhile
    };
    assert!(harm(&with_errors(true, 60)).is_some());
    assert_eq!(harm(&with_errors(true, 9)), None);
    assert_eq!(harm(&with_errors(false, 60)), None);
}

#[test]
fn one_pod_that_serves_slowly_is_harm_and_named() {
    let (mut world, plan) = decided();
    let before = world.measure(60);
    carry_out(&mut world, &plan);
    let mut after = world.measure(60);
    let edge = after.edges.get_mut(&plan.expected[0].edge).unwrap();
    let slow = edge.pairs[0].callee.clone();
    for pair in edge.pairs.iter_mut().filter(|pair| pair.callee == slow) {
        let mut served = huddle_core::distribution::Distribution::default();
        pair.exchange
            .served
            .buckets()
            .for_each(|(at, count)| served.add(Micros(at.0 * 2), count));
        pair.exchange.served = served;
    }
    let Verdict::Regressed {
        harm: Harm::CalleePod { pod, .. },
    } = verdict(&world, &plan, &before, &after)
    else {
        panic!("not seen")
    };
    assert_eq!(pod, world.cluster.pods[&slow].name);
}

#[test]
fn it_waits_for_settling_requests_and_load_and_says_how_long() {
    let (mut world, plan) = decided();
    let before = world.measure(60);
    let mut after = world.measure(10);
    let config = VerifyConfig::default();
    assert!(matches!(
        judge(&before, &after, &plan, &world.cluster, &config, world.now),
        Verdict::Waiting { waiting: Waiting::Requests { seen, wanted: 10_000 } } if seen > 0 && seen < 10_000
    ));
    let early = after.window.from.minus(Span::seconds(12));
    assert_eq!(
        judge(&before, &after, &plan, &world.cluster, &config, early),
        Verdict::Waiting {
            waiting: Waiting::Settling { left_ms: 12_000 }
        }
    );
    after = world.measure(60);
    after.window.from = Timestamp(after.window.from.0 - 200_000);
    assert!(matches!(
        verdict(&world, &plan, &before, &after),
        Verdict::Waiting { waiting: Waiting::Load { percent } } if percent < 50
    ));
}

/// On a busy edge the first proxy's report brings the requests wanted, long before the others have told theirs.
#[test]
fn a_window_shorter_than_two_reports_is_none() {
    let (mut world, plan) = decided();
    let (mut before, mut after) = (world.measure(60), world.measure(60));
    let config = VerifyConfig::default();
    after.window.from = Timestamp(after.window.to.0 - 9_830);
    let short = Waiting::Window { left_ms: 170 };
    assert_eq!(
        verdict(&world, &plan, &before, &after),
        Verdict::Waiting { waiting: short }
    );
    before.window.from = Timestamp(before.window.to.0 - 170);
    let short = Waiting::Window { left_ms: 9_830 };
    assert_eq!(baseline(&before, &plan, &config), Some(short));
    before.window.from = Timestamp(before.window.to.0 - 10_000);
    assert_eq!(baseline(&before, &plan, &config), None);
}
