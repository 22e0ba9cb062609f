//! Giving back what is reserved: below the template requests go down, and a limit, which reserves nothing, stays.

mod world;

use huddle_core::cluster::*;
use huddle_core::plan::{Action, Kept, RefusalReason};
use huddle_core::units::*;
use huddle_core::usage::Figures;
use world::giving::*;

fn below(has: Sizing, memory: bool) -> (world::World, huddle_core::graph::Snapshot) {
    let (mut world, snapshot) = shop(has, has);
    let policy = policy(&mut world);
    (policy.give_back, policy.give_back_memory) = (GiveBack::BelowTemplate, memory);
    (world, snapshot)
}

#[test]
fn the_request_goes_down_and_the_limit_stays() {
    let (world, snapshot) = below(sizing(200, 400, 128), false);
    let plan = decide(&world, &snapshot, &week(&world), &[]);
    let [given] = plan.given_back.as_slice() else {
        panic!("{:?}", plan.refusals)
    };
    assert_eq!(given.after.requests.cpu, Some(Millicores(180)));
    assert_eq!(
        (given.after.limits, given.after.requests.memory),
        (Compute::default(), None)
    );
    let Action::Size { to, instead, .. } = &plan.actions[0] else {
        panic!("{:?}", plan.actions)
    };
    assert_eq!(
        (to.limits.cpu, instead.limits.cpu),
        (Some(Millicores(400)), Some(Millicores(400))),
        "who writes another limit is heard"
    );
    assert_eq!(instead.requests.cpu, Some(Millicores(200)));
    insta::assert_snapshot!(format!("{}\n{}", plan.actions[0].sentence(), given.sentence()), @r"
    From now on, container app in new pods of shop/back comes with a cpu request of 180m (in the template 200m); the template stays as it is, and is followed again as soon as it says anything else.
    container app of shop/back used 100m of cpu at most in 7 days (61m in 95 % of the time), and was stopped by its limit in 0.0 % of its periods: 200m → 180m cpu request in each of 3 pods, 60m of cpu requests in all. At the first sign that it is missed, it is given again by itself.
    ");
}

/// 61m mostly: VPA's 15 % above it are 71m, in tens 80m. A tenth of 90m is less than the ten that figures go by.
#[test]
fn it_ends_where_what_is_used_begins_and_says_so() {
    let (mut world, snapshot) = below(sizing(100, 400, 128), false);
    for _ in 0..3 {
        let plan = decide(&world, &snapshot, &week(&world), &[]);
        world::carry_out(&mut world, &plan);
    }
    let plan = decide(&world, &snapshot, &week(&world), &[]);
    let kept: Vec<&Kept> = plan
        .refusals
        .iter()
        .filter_map(|refusal| {
            if let RefusalReason::Kept { why } = &refusal.reason {
                Some(why)
            } else {
                None
            }
        })
        .collect();
    let floor = |grown: &[&Kept]| match grown {
        [Kept::Reserved { floor, .. }] => floor.0,
        other => panic!("{other:?}"),
    };
    assert_eq!((plan.actions.len(), floor(&kept)), (0, 80));
    let back = world::id("back");
    let pod = world.cluster.pods_of(&back).next().unwrap();
    assert_eq!(pod.containers[0].requests.cpu, Some(Millicores(90)));
    insta::assert_snapshot!(format!("{} {}", kept[0].sentence(), kept[0].remedy()), @"its container app uses what is reserved for it: it needs a request of 80m. Nothing need change.");
}

/// A fiftieth more each day is 8 % from one half of the week to the other, and three times that is left.
#[test]
fn growth_is_reckoned_ahead() {
    let (world, snapshot) = below(sizing(100, 400, 128), false);
    let grows = |at: i64| {
        let (mut figures, days) = (usual(at), u64::try_from(at / HOUR / 24).unwrap());
        figures.counted.cpu_us = figures.counted.cpu_us.map(|cpu| cpu * (50 + days) / 50);
        figures
    };
    let plan = decide(&world, &snapshot, &watched(&world, 0..7 * 24, grows), &[]);
    assert!(plan.actions.is_empty(), "{:?}", plan.actions);
}

#[test]
fn a_guaranteed_pod_gives_request_and_limit_together() {
    let all = sizing(400, 400, 128).limits;
    let guaranteed = Sizing {
        requests: all,
        limits: all,
    };
    let (world, snapshot) = below(guaranteed, true);
    let plan = decide(&world, &snapshot, &week(&world), &[]);
    let after = plan.given_back[0].after;
    assert_eq!(after.requests, after.limits);
    assert_eq!(after.limits.cpu, Some(Millicores(360)));
}

/// The request keeps 30 % above the peak of 40 MiB: who uses more than it asked for is evicted first.
#[test]
fn memory_that_is_reserved_is_given_back_where_the_policy_says_memory() {
    let mut has = sizing(200, 400, 128);
    has.requests.memory = Some(Bytes(96 * MEBI));
    let (mut world, snapshot) = below(has, true);
    let first = decide(&world, &snapshot, &week(&world), &[]);
    let after = first.given_back[0].after;
    assert_eq!(
        (after.requests.memory, after.limits.memory),
        (Some(Bytes(87 * MEBI)), Some(Bytes(116 * MEBI)))
    );
    for _ in 0..20 {
        let plan = decide(&world, &snapshot, &week(&world), &[]);
        world::carry_out(&mut world, &plan);
    }
    let back = world::id("back");
    let pod = world.cluster.pods_of(&back).next().unwrap();
    let left = pod.containers[0].requests.memory.unwrap();
    assert!((52..=55).contains(&(left.0 / MEBI)), "{left}");
    let leaks = |at: i64| Figures {
        memory_peak: Bytes((40 + u64::try_from(at / HOUR / 24).unwrap() * 4) * MEBI),
        ..usual(at)
    };
    let (world, snapshot) = below(has, true);
    let leaking = decide(&world, &snapshot, &watched(&world, 0..7 * 24, leaks), &[]);
    assert_eq!(leaking.given_back[0].after.requests.memory, None, "it grows");
}
