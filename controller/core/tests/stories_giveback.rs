//! Giving back: who gives how much, who keeps what it has, and what shows that it is missed.

mod world;

use huddle_core::cluster::*;
use huddle_core::diagnose::{Cause, Finding, Lack};
use huddle_core::graph::Snapshot;
use huddle_core::id::*;
use huddle_core::plan::{Action, Kept, PlaceForm, Plan, PlanKind, RefusalReason, give_back_beside, stands};
use huddle_core::time::{Slots, Span, Timestamp};
use huddle_core::units::*;
use huddle_core::usage::{ContainerUse, Counters, Figures, Habits, Moment, Usage};
use huddle_core::verify::{Harm, Sign, Verdict, VerifyConfig, judge, sign};
use proptest::prelude::*;
use std::collections::BTreeMap;
use world::giving::*;
use world::starving::limits;
use world::{World, id};

fn pressed(from: &str, to: &str) -> Finding {
    Finding {
        edge: EdgeId {
            source: id(from),
            destination: id(to),
        },
        cause: Cause::Pressure {
            container: "app".into(),
            lack: Lack::Memory,
            share: Ratio::clamped(0.3),
            pods: 1,
            pods_seen: 1,
            cpu_used: Millicores(10),
            cpu_peak: Millicores(10),
            cpu_limit: None,
            memory_peak: Bytes(MEBI),
            memory_limit: None,
            served_p50: Micros(2_000),
            served_p99: Micros(80_000),
            calm_p99: Some(Micros(9_000)),
        },
        cost: 1.0,
    }
}

#[test]
fn what_was_given_is_given_back_step_by_step_and_never_below_the_template() {
    let (mut world, snapshot) = shop(sizing(50, 400, 128), sizing(50, 330, 128));
    let first = decide(&world, &snapshot, &week(&world), &[]);
    assert_eq!(first.kind(), PlanKind::GiveBack, "{:?}", first.refusals);
    assert_eq!(limits(&first), [360; 4]);
    let [given] = first.given_back.as_slice() else {
        panic!("{:?}", first.given_back)
    };
    assert_eq!((given.pods, given.cpu_peak), (3, Millicores(100)));
    assert!((first.saved - 0.12).abs() < 1e-9, "{}", first.saved);
    let words = first.actions.iter().map(Action::sentence).chain([given.sentence()]);
    insta::assert_snapshot!(words.collect::<Vec<_>>().join("\n"), @r"
    From now on, container app in new pods of shop/back comes with at least a cpu limit of 360m; the template stays as it is.
    Leave container app in one pod of shop/back (back-00002) a cpu limit of 360m (today 400m), in place: nothing is restarted unless its resizePolicy says so.
    Leave container app in one pod of shop/back (back-00003) a cpu limit of 360m (today 400m), in place: nothing is restarted unless its resizePolicy says so.
    Leave container app in one pod of shop/back (back-00004) a cpu limit of 360m (today 400m), in place: nothing is restarted unless its resizePolicy says so.
    container app of shop/back used 100m of cpu at most in 7 days (61m in 95 % of the time), and was stopped by its limit in 0.0 % of its periods: 400m → 360m cpu limit in each of 3 pods, 120m of cpu limits in all. At the first sign that it is missed, it is given again by itself.
    ");
    world::carry_out(&mut world, &first);
    let second = decide(&world, &snapshot, &week(&world), &[]);
    assert_eq!(limits(&second), [330; 4], "the template's figure");
    world::carry_out(&mut world, &second);
    let third = decide(&world, &snapshot, &week(&world), &[]);
    assert!(
        third.actions.is_empty() && kept(&third).is_empty(),
        "{:?}",
        third.refusals
    );
}

#[test]
fn below_the_template_only_where_the_policy_says_so_and_memory_only_where_it_says_that() {
    let usual_size = sizing(200, 400, 128);
    let (mut world, snapshot) = shop(usual_size, usual_size);
    assert!(decide(&world, &snapshot, &week(&world), &[]).actions.is_empty());
    policy(&mut world).give_back = GiveBack::LimitsToo;
    let plan = decide(&world, &snapshot, &week(&world), &[]);
    let Some(Action::Size { to, instead, .. }) = plan.actions.first() else {
        panic!("{:?}", plan.refusals)
    };
    assert_eq!(to.limits.cpu, Some(Millicores(360)));
    assert_eq!(
        to.requests.cpu,
        Some(Millicores(180)),
        "VPA's margin above 95 %, a step at most"
    );
    assert_eq!(
        instead.limits.cpu,
        Some(Millicores(400)),
        "only where the template says just that"
    );
    assert_eq!(instead.requests.cpu, Some(Millicores(200)));
    assert_eq!(to.limits.memory, None);
    insta::assert_snapshot!(plan.actions[0].sentence(), @"From now on, container app in new pods of shop/back comes with a cpu limit of 360m (in the template 400m) and a cpu request of 180m (in the template 200m); the template stays as it is, and is followed again as soon as it says anything else.");
    policy(&mut world).give_back_memory = true;
    let plan = decide(&world, &snapshot, &week(&world), &[]);
    assert_eq!(plan.given_back[0].after.limits.memory, Some(Bytes(116 * MEBI)));
    let leaks = |at: i64| Figures {
        memory_peak: Bytes((40 + u64::try_from(at / HOUR / 24).unwrap() * 4) * MEBI),
        ..usual(at)
    };
    let leaking = decide(&world, &snapshot, &watched(&world, 0..7 * 24, leaks), &[]);
    assert_eq!(leaking.given_back[0].after.limits.memory, None, "it grows");
}

#[test]
fn a_plan_that_waits_to_bring_pods_nearer_keeps_nobody_from_giving_back() {
    let (world, snapshot) = shop(sizing(50, 400, 128), sizing(50, 330, 128));
    let alone = decide(&world, &snapshot, &week(&world), &[]);
    let beside = |first: &Plan| give_back_beside(first, &snapshot, &[], &week(&world), &world.cluster, NOW);
    let placing = |name: &str| {
        let (workload, with, form) = (id(name), id("front"), PlaceForm::Admission);
        Plan {
            actions: vec![Action::Place { workload, with, form }],
            given_back: Vec::new(),
            merging: Vec::new(),
            ..alone.clone()
        }
    };
    assert_eq!(beside(&placing("other")).unwrap().actions, alone.actions);
    assert_eq!(
        beside(&placing("back")).unwrap().actions,
        alone.actions,
        "the same workload"
    );
    assert!(beside(&alone).is_none(), "it is one itself");
}

#[test]
fn memory_that_was_given_is_given_back_where_the_policy_says_memory_and_nobody_was_killed() {
    let (mut world, snapshot) = shop(sizing(50, 400, 256), sizing(50, 400, 128));
    assert!(decide(&world, &snapshot, &week(&world), &[]).actions.is_empty());
    policy(&mut world).give_back_memory = true;
    let plan = decide(&world, &snapshot, &week(&world), &[]);
    let after = plan.given_back[0].after.limits;
    assert_eq!((after.cpu, after.memory), (None, Some(Bytes(231 * MEBI))));
    let pod = world.cluster.pods_of(&id("back")).next().unwrap().uid.clone();
    world.cluster.pods.get_mut(&pod).unwrap().containers[0].killed = Some(Timestamp(WEEK - HOUR));
    assert_eq!(kept(&decide(&world, &snapshot, &week(&world), &[])), ["strained"]);
}

#[test]
fn who_must_keep_what_it_has_says_why() {
    let refused = |change: &dyn Fn(&mut World), habits: &dyn Fn(&World) -> Habits, findings: &[Finding]| {
        let (mut world, snapshot) = shop(sizing(50, 400, 128), sizing(50, 200, 128));
        change(&mut world);
        let plan = decide(&world, &snapshot, &habits(&world), findings);
        assert!(plan.given_back.is_empty(), "{:?}", plan.given_back);
        plan.refusals
            .into_iter()
            .filter_map(|refusal| {
                let RefusalReason::Kept { why } = refusal.reason else {
                    return None;
                };
                assert_eq!(serde_json::to_value(&why).unwrap()["why"], why.label());
                Some(format!("{}: {} {}", why.label(), why.sentence(), why.remedy()))
            })
            .collect::<Vec<_>>()
            .join("\n")
    };
    let same = |_: &mut World| {};
    let workload = |world: &mut World| {
        world.cluster.workloads.get_mut(&id("back")).unwrap().cpu_owner = Some(CpuOwner::Horizontal("back".to_owned()));
    };
    let restarts = |world: &mut World| {
        let containers = world.cluster.pods.values_mut().flat_map(|pod| &mut pod.containers);
        containers.for_each(|container| container.restarts_for_cpu = true);
    };
    let all = [
        refused(&same, &|_| Habits::default(), &[]),
        refused(&same, &|world| watched(world, 24..7 * 24, usual), &[]),
        refused(&same, &week, &[pressed("front", "back")]),
        refused(&same, &week, &[pressed("back", "front")]),
        refused(
            &same,
            &|world| {
                watched(world, 0..7 * 24, |at| Figures {
                    counted: Counters {
                        throttled_periods: Some(70),
                        ..usual(at).counted
                    },
                    ..usual(at)
                })
            },
            &[],
        ),
        refused(
            &same,
            &|world| {
                watched(world, 0..7 * 24, |at| Figures {
                    counted: Counters {
                        cpu_us: Some(350 * 600_000),
                        ..usual(at).counted
                    },
                    ..usual(at)
                })
            },
            &[],
        ),
        refused(&workload, &week, &[]),
        refused(&restarts, &week, &[]),
    ];
    insta::assert_snapshot!(all.join("\n"));
    for nothing in [
        &(|world: &mut World| policy(world).give_back = GiveBack::Never) as &dyn Fn(&mut World),
        &|world| policy(world).may_act = false,
        &|world| world.cluster.workloads.get_mut(&id("back")).unwrap().opted_out = true,
        &|world| world.cluster.workloads.get_mut(&id("back")).unwrap().rolling = true,
    ] {
        assert_eq!(refused(nothing, &week, &[]), "", "nothing is Huddle's to give back");
    }
}

#[test]
fn figures_that_were_raised_are_watched_a_whole_window_and_lowered_ones_a_seventh() {
    let (mut world, snapshot) = shop(sizing(50, 400, 128), sizing(50, 200, 128));
    let since = |world: &World, limit: u64, hours: i64| {
        let mut before = World::new(1, 1, 1_000);
        before.cluster = world.cluster.clone();
        for pod in before.cluster.pods.values_mut() {
            pod.containers
                .iter_mut()
                .for_each(|it| it.limits.cpu = Some(Millicores(limit)));
        }
        let mut habits = watched(&before, 0..7 * 24 - hours, usual);
        let limits = world.cluster.pods_of(&id("back")).next().unwrap().containers[0].limits;
        for n in (7 * 24 - hours) * 6..7 * 24 * 6 {
            let at = n * HOUR / 6;
            habits.absorb(Moment {
                workload: &id("back"),
                container: &"app".into(),
                at: Timestamp(at),
                length: Span(600_000),
                figures: &Figures {
                    seen: Span(600_000),
                    ..usual(at)
                },
                limits,
                window: Span(u64::try_from(WEEK).unwrap()),
            });
        }
        habits
    };
    let raised = decide(&world, &snapshot, &since(&world, 200, 48), &[]);
    assert_eq!(kept(&raised), ["unsettled"]);
    let lowered = |world: &World, hours| decide(world, &snapshot, &since(world, 500, hours), &[]);
    assert_eq!(kept(&lowered(&world, 23)), ["unsettled"]);
    assert_eq!(limits(&lowered(&world, 25)), [360; 4]);
    policy(&mut world).give_back_step = 30;
    let day = lowered(&world, 25);
    assert_eq!(
        limits(&day),
        [340; 4],
        "the step is the policy's, as far as a day shows"
    );
    assert_eq!(limits(&lowered(&world, 167)), [300; 4], "a week shows more");
}

#[test]
fn the_floor_is_the_policys_and_rises_with_what_grows() {
    let (mut world, snapshot) = shop(sizing(50, 400, 128), sizing(50, 200, 128));
    let floor = |world: &World, of: &dyn Fn(i64) -> Figures| {
        let plan = decide(world, &snapshot, &watched(world, 0..7 * 24, of), &[]);
        plan.refusals.iter().find_map(|it| {
            let RefusalReason::Kept { why } = &it.reason else {
                return None;
            };
            let Kept::InUse { floor, .. } = why else { return None };
            Some(floor.0)
        })
    };
    policy(&mut world).give_back_step = 50;
    assert_eq!(floor(&world, &usual), None);
    // 0.65 × 640 % of the 100m of the afternoon; of what it mostly stays under, 61m, 640 % are less.
    policy(&mut world).give_back_floor = 640;
    assert_eq!(floor(&world, &usual), Some(420));
    policy(&mut world).give_back_floor = 450;
    // A fiftieth more each day: the last four days' peak is 8 % above that of the three before, and three times that is left.
    let grows = |at: i64| {
        let (mut figures, days) = (usual(at), u64::try_from(at / HOUR / 24).unwrap());
        figures.counted.cpu_us = figures.counted.cpu_us.map(|cpu| cpu * (50 + days) / 50);
        figures
    };
    assert_eq!(floor(&world, &grows), Some(410));
}

#[test]
fn a_guaranteed_pod_stays_so_and_no_other_becomes_so() {
    let guaranteed = |cpu: u64| Sizing {
        requests: sizing(cpu, cpu, 128).limits,
        limits: sizing(cpu, cpu, 128).limits,
    };
    let (mut world, snapshot) = shop(guaranteed(400), guaranteed(400));
    let policy = policy(&mut world);
    (policy.give_back, policy.give_back_memory) = (GiveBack::LimitsToo, true);
    let plan = decide(&world, &snapshot, &week(&world), &[]);
    for action in &plan.actions {
        if let Action::Resize { to, .. } = action {
            assert_eq!(to.requests, to.limits);
        }
    }
    assert_eq!(limits(&plan), [360; 4]);
}

#[test]
fn pressure_and_distance_come_first_and_one_workload_gives_at_a_time() {
    let (mut world, snapshot) = shop(sizing(50, 400, 128), sizing(50, 200, 128));
    let habits = week(&world);
    let mut starved = pressed("front", "back");
    if let Cause::Pressure { lack, cpu_limit, .. } = &mut starved.cause {
        (*lack, *cpu_limit) = (Lack::CpuLimit, Some(Millicores(400)));
    }
    let relief = decide(&world, &snapshot, &habits, &[starved]);
    assert_eq!(relief.kind(), PlanKind::Relief);
    let back = decide(&world, &snapshot, &habits, &[]);
    assert_eq!(back.kind(), PlanKind::GiveBack);
    let better = Ratio::clamped(0.1);
    assert!(!stands(&back, back.saved, &relief, better, &world.cluster));
    assert!(stands(&back, back.saved, &back, better, &world.cluster));
    assert!(
        PlanKind::Relief < PlanKind::Nearer && PlanKind::Withdrawal < PlanKind::GiveBack,
        "first things first"
    );

    // The front has as much to give: it waits.
    let front = id("front");
    world.calls("back", "front", 100.0);
    let both = world.measure(20);
    for pod in world.cluster.pods.values_mut().filter(|pod| pod.workload == front) {
        pod.containers = vec![container(sizing(50, 400, 128))];
    }
    let template = world.cluster.workloads[&id("back")].template.clone();
    world.cluster.workloads.get_mut(&front).unwrap().template = template;
    let mut habits = week(&world);
    absorb(&mut habits, &world, "front", 0..7 * 24, usual);
    let plan = decide(&world, &both, &habits, &[]);
    assert_eq!(plan.given_back.len(), 1);
    assert_eq!(plan.given_back[0].workload, id("back"), "three pods give more than one");
    assert!(
        plan.refusals
            .iter()
            .any(|it| matches!(&it.reason, RefusalReason::Kept { why: Kept::Turn { .. } }))
    );
}

/// What a pod of `back` did in the last half minute.
fn recent(world: &World, figures: Figures) -> Usage {
    let back = id("back");
    let pod = world.cluster.pods_of(&back).nth(1).unwrap();
    let slots = [20_000, 10_000].map(|ago| (Timestamp(NOW.0 - ago), figures));
    let used = ContainerUse {
        slots: BTreeMap::from(slots),
    };
    Usage {
        slots: Slots::of_length(Span::seconds(10)),
        pods: BTreeMap::from([(pod.uid.clone(), BTreeMap::from([("app".into(), used)]))]),
    }
}

#[test]
fn the_first_sign_that_it_is_missed_is_seen_and_only_under_its_own_figures() {
    let usual_size = sizing(200, 400, 128);
    let (mut world, snapshot) = shop(usual_size, usual_size);
    let policy = policy(&mut world);
    (policy.give_back, policy.give_back_memory) = (GiveBack::LimitsToo, true);
    let plan = decide(&world, &snapshot, &week(&world), &[]);
    let seen = |world: &World, figures| sign(&plan, &recent(world, figures), &world.cluster, Timestamp(0), NOW);
    assert_eq!(seen(&world, figures(60, 40, 30, 0)), None, "not done yet");
    world::carry_out(&mut world, &plan);
    assert_eq!(seen(&world, figures(60, 40, 1, 0)), None, "two periods are chance");
    assert_eq!(seen(&world, figures(60, 100, 0, 0)), None);
    assert!(matches!(
        seen(&world, figures(60, 40, 6, 0)),
        Some(Sign::Throttled {
            percent: 6,
            before: 0,
            ..
        })
    ));
    assert!(matches!(seen(&world, figures(60, 40, 0, 1)), Some(Sign::Killed { .. })));
    assert!(matches!(
        seen(&world, figures(60, 105, 0, 0)),
        Some(Sign::NearLimit { .. })
    ));
    let words = [figures(60, 40, 6, 0), figures(60, 40, 0, 1), figures(60, 105, 0, 0)];
    let words = words.map(|it| {
        let sign = seen(&world, it).unwrap();
        assert_eq!(serde_json::to_value(&sign).unwrap()["sign"], sign.label());
        sign.sentence()
    });
    insta::assert_snapshot!(words.join("\n"), @r"
    the cpu limit stops pod back-00003 in 6 % of its periods; it was 0 % before
    something in pod back-00003 was killed for want of memory
    pod back-00003 uses 105 MiB of the 116 MiB of memory it may
    ");
    let late = sign(&plan, &recent(&world, figures(60, 40, 30, 0)), &world.cluster, NOW, NOW);
    assert_eq!(late, None, "what was before its figures were set");
}

#[test]
fn served_no_slower_is_enough_and_a_slower_tail_is_harm() {
    let (mut world, snapshot) = shop(sizing(50, 400, 128), sizing(50, 200, 128));
    let plan = decide(&world, &snapshot, &week(&world), &[]);
    let config = VerifyConfig {
        requests: 2_000,
        ..VerifyConfig::default()
    };
    let (before, after) = (world.measure(120), world.measure(120));
    let verdict = |after: &Snapshot| judge(&before, after, &plan, &world.cluster, &config, world.now);
    assert_eq!(verdict(&after), Verdict::Unchanged);
    // Every thirtieth call waits for the next period: the mean below the old p99 hardly shows it.
    let mut slower = after.clone();
    for stats in slower.edges.values_mut() {
        let late = |served: &huddle_core::distribution::Distribution| {
            let mut then = huddle_core::distribution::Distribution::default();
            let mut due = 0;
            for (at, count) in served.buckets() {
                due += count;
                let stopped = due / 30;
                due %= 30;
                then.add(Micros(at.0 + 60_000), stopped);
                then.add(at, count - stopped);
            }
            then
        };
        stats.total.served = late(&stats.total.served);
        stats
            .pairs
            .iter_mut()
            .for_each(|pair| pair.exchange.served = late(&pair.exchange.served));
    }
    let harm = verdict(&slower);
    assert!(
        matches!(
            &harm,
            Verdict::Regressed {
                harm: Harm::ServedTail { .. } | Harm::Served { .. }
            }
        ),
        "{harm:?}"
    );
}

proptest! {
    #[test]
    fn no_step_goes_below_what_is_used_and_none_is_larger_than_the_policy_says(
        limit in 20_u64..8_000, request in 10_u64..4_000, cpu in 1_u64..3_000, memory in 1_u64..2_000,
        step in 5_u64..50, below in any::<bool>(), with_memory in any::<bool>(), throttled in 0_u64..60,
    ) {
        let has = sizing(request.min(limit), limit, 512);
        let template = sizing(request.min(limit), if below { limit } else { limit / 2 }, 512);
        let (mut world, snapshot) = shop(has, template);
        let policy = policy(&mut world);
        (policy.give_back_step, policy.give_back_memory) = (step, with_memory);
        policy.give_back = if below { GiveBack::LimitsToo } else { GiveBack::Given };
        let used = |at: i64| {
            let mut figures = usual(at);
            figures.counted.cpu_us = Some(cpu.min(limit) * 600_000);
            figures.counted.throttled_periods = Some(throttled);
            figures.memory_peak = Bytes(memory.min(512) * MEBI);
            figures
        };
        let plan = decide(&world, &snapshot, &watched(&world, 0..7 * 24, used), &[]);
        for action in &plan.actions {
            let Action::Resize { from, to, .. } = action else { continue };
            let (was, is) = (from.limits.cpu.unwrap().0, to.limits.cpu.unwrap().0);
            prop_assert!(is <= was && is >= cpu.min(limit).min(was), "{action:?}");
            prop_assert!(is * 100 >= was * (100 - step), "{action:?}");
            prop_assert!(below || is >= limit / 2);
            prop_assert!(to.requests.cpu <= to.limits.cpu && to.requests.cpu <= from.requests.cpu);
            prop_assert_eq!(from.requests == from.limits, to.requests == to.limits);
            prop_assert!(to.limits.memory.unwrap().0 >= memory.min(512) * MEBI || to.limits.memory == from.limits.memory);
            prop_assert!(below && with_memory || to.limits.memory == from.limits.memory);
        }
    }
}
