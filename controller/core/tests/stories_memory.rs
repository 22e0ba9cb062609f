//! Stories of the other two figures: memory for what stalls on it or is killed, and a cpu request for what waits its turn.

mod world;

use huddle_core::cluster::{ClusterView, Compute, Container, CpuOwner, NamespacePolicy, Sizing};
use huddle_core::diagnose::{Cause, DiagnoseConfig, Finding, Lack, PressureConfig, Seen, diagnose_with};
use huddle_core::id::EdgeId;
use huddle_core::plan::{Action, Plan, PlannerConfig, saved_now, stands};
use huddle_core::time::{Span, Timestamp, Window};
use huddle_core::units::{Bytes, Micros, Millicores, Ratio};
use huddle_core::usage::{Counters, Pace, Reading, UsageConfig, UsageStore};
use huddle_core::verify::{Verdict, eased};
use proptest::prelude::*;
use world::starving::{decide, nothing_measured, why};
use world::stops::Watched;
use world::{World, id};

const MEBI: u64 = 1 << 20;

fn compute(cpu: Option<u64>, mebibytes: Option<u64>) -> Compute {
    Compute {
        cpu: cpu.map(Millicores),
        memory: mebibytes.map(|memory| Bytes(memory * MEBI)),
    }
}

fn container(requests: Compute, limits: Compute) -> Container {
    Container {
        name: "app".into(),
        native_sidecar: false,
        requests,
        limits,
        restarts_for_cpu: false,
        restarts_for_memory: false,
        at_start: None,
        killed: None,
        resized: None,
    }
}

/// A front and a back of three pods on three of four nodes.
fn shop(requests: Compute, limits: Compute) -> World {
    let mut world = World::new(4, 2, 4_000);
    world.deploy("front", 100, &[0]);
    world.deploy("back", 100, &[1, 2, 3]);
    for pod in world.cluster.pods.values_mut() {
        pod.requests.memory = requests.memory.unwrap_or_default();
        pod.containers = vec![container(requests, limits)];
    }
    world
}

fn lacking(lack: Lack, cpu_peak: u64, mebibytes: u64) -> Finding {
    Finding {
        edge: EdgeId {
            source: id("front"),
            destination: id("back"),
        },
        cause: Cause::Pressure {
            container: "app".into(),
            lack,
            share: Ratio::clamped(0.4),
            pods: 3,
            pods_seen: 3,
            cpu_used: Millicores(cpu_peak),
            cpu_peak: Millicores(cpu_peak),
            cpu_limit: None,
            memory_peak: Bytes(mebibytes * MEBI),
            memory_limit: None,
            served_p50: Micros(2_000),
            served_p99: Micros(80_000),
            calm_p99: Some(Micros(9_000)),
        },
        cost: 0.5,
    }
}

/// A pod whose memory has a limit of 64 MiB, and whose cpu has none.
fn small() -> World {
    shop(compute(Some(100), Some(32)), compute(None, Some(64)))
}

fn policy(cluster: &mut ClusterView, change: impl Fn(&mut NamespacePolicy)) {
    change(cluster.policies.get_mut(&"shop".into()).unwrap());
}

#[test]
fn what_is_killed_for_want_of_memory_gets_more_in_place_and_nothing_else_changes() {
    let world = small();
    let made = decide(&world, &[lacking(Lack::Memory, 50, 63)]);
    let kinds: Vec<_> = made.actions.iter().map(Action::label).collect();
    assert_eq!(kinds, ["size", "resize", "resize", "resize"]);
    for action in &made.actions {
        if let Action::Resize { from, to, .. } = action {
            assert_eq!(to.limits.memory, Some(Bytes(164 * MEBI)));
            assert_eq!((to.requests, to.limits.cpu), (from.requests, from.limits.cpu));
        }
    }
    let actions = made.actions.iter().take(2).map(Action::sentence);
    let told: Vec<String> = actions
        .chain(made.relief.iter().map(|relief| relief.because()))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
    let config = PlannerConfig::default();
    let saved =
        |findings: &[Finding]| saved_now(&made, &nothing_measured(), findings, &world.cluster, &config).unwrap();
    let finding = [lacking(Lack::Memory, 50, 63)];
    assert!(stands(
        &made,
        saved(&finding),
        &decide(&world, &finding),
        Ratio::clamped(0.1),
        &world.cluster
    ));
    assert!(saved(&[]) <= 0.0, "the lack is gone");
}

#[test]
fn memory_is_given_within_the_ceiling_the_nodes_and_the_class() {
    let finding = [lacking(Lack::Memory, 50, 63)];
    let refused = |change: &dyn Fn(&mut ClusterView)| {
        let mut world = small();
        change(&mut world.cluster);
        let made = decide(&world, &finding);
        assert!(made.actions.is_empty(), "{:?}", made.actions);
        why(&made)
    };
    assert_eq!(
        refused(&|it| policy(it, |it| it.max_memory = Bytes(0))),
        ["memoryCeiling"]
    );
    assert_eq!(
        refused(&|it| policy(it, |it| it.max_memory = Bytes(70 * MEBI))),
        ["memoryCeiling"]
    );
    let workload = |it: &mut ClusterView, change: &dyn Fn(&mut huddle_core::cluster::Workload)| {
        change(it.workloads.get_mut(&id("back")).unwrap());
    };
    let acting = CpuOwner::Vertical("back".to_owned());
    assert_eq!(
        refused(&|it| workload(it, &|it| it.cpu_owner = Some(acting.clone()))),
        ["memoryOwned"]
    );
    assert_eq!(
        refused(&|it| workload(it, &|it| it.autoscaler = Some("back".to_owned()))),
        ["memoryOwned"]
    );
    let restarts = |it: &mut ClusterView| {
        let containers = it.pods.values_mut().flat_map(|pod| &mut pod.containers);
        containers.for_each(|container| container.restarts_for_memory = true);
    };
    assert_eq!(refused(&restarts), ["memoryRestarts"]);
    let full = |it: &mut ClusterView| {
        let nodes = it.nodes.values_mut();
        nodes.for_each(|node| node.allocatable.memory = Bytes(120 * MEBI));
    };
    assert_eq!(refused(&full), ["memoryNodeFull"]);

    let limitless = decide(&shop(compute(Some(100), Some(32)), compute(None, None)), &finding);
    assert_eq!((limitless.actions.len(), why(&limitless)), (0, vec!["otherLack"]));

    let whole = compute(Some(100), Some(64));
    for action in &decide(&shop(whole, whole), &finding).actions {
        if let Action::Resize { to, .. } = action {
            assert_eq!(to.requests, to.limits, "Guaranteed stays Guaranteed");
            assert_eq!(to.limits.memory, Some(Bytes(164 * MEBI)));
        }
    }
}

#[test]
fn what_waits_its_turn_asks_for_what_it_uses() {
    let finding = [lacking(Lack::CpuShare, 400, 10)];
    let made = decide(&small(), &finding);
    for action in &made.actions {
        if let Action::Resize { from, to, .. } = action {
            assert_eq!(to.requests.cpu, Some(Millicores(460)));
            assert_eq!((to.limits, to.requests.memory), (from.limits, from.requests.memory));
        }
    }
    assert_eq!(made.actions.len(), 4);
    // Nothing to raise: it asks for all that it uses, or goes with its limit.
    let asks = shop(compute(Some(460), Some(32)), compute(None, Some(64)));
    assert_eq!(why(&decide(&asks, &finding)), ["otherLack"]);
    let whole = compute(Some(100), Some(64));
    assert_eq!(why(&decide(&shop(whole, whole), &finding)), ["otherLack"]);
    // Below its limit, so that the class stays.
    let limited = shop(compute(Some(100), Some(64)), compute(Some(300), Some(64)));
    let made = decide(&limited, &finding);
    for action in &made.actions {
        if let Action::Resize { to, .. } = action {
            assert_eq!(to.requests.cpu, Some(Millicores(290)));
        }
    }
    let mut full = small();
    full.deploy("other", 3_200, &[2]);
    assert_eq!(why(&decide(&full, &finding)), ["shareNodeFull"]);
    let mut scaled = small();
    scaled.cluster.workloads.get_mut(&id("back")).unwrap().cpu_owner = Some(CpuOwner::Horizontal("back".to_owned()));
    assert_eq!(why(&decide(&scaled, &finding)), ["shareOwned"]);
}

#[test]
fn a_kill_is_said_even_where_no_request_tells_of_it() {
    let mut world = World::new(1, 1, 4_000);
    world.deploy("front", 100, &[0]);
    world.deploy("back", 100, &[0, 0]);
    world.calls("front", "back", 60.0);
    let mut watched = Watched::new(world);
    watched.run(120);
    let pod = watched.world.cluster.pods_of(&id("back")).next().unwrap().uid.clone();
    let window = watched.window(120);
    let killed = |kills: Option<u64>, at: Timestamp| Reading {
        pod: pod.clone(),
        container: "other".into(),
        at,
        started: Some(Timestamp(0)),
        counters: Counters {
            kills,
            ..Counters::default()
        },
        working_set: Bytes(63 * MEBI),
    };
    watched
        .usage
        .absorb(killed(Some(0), window.to.minus(Span::seconds(30))));
    watched
        .usage
        .absorb(killed(Some(1), window.to.minus(Span::seconds(20))));
    let config = DiagnoseConfig::default();
    let seen = Seen::of(&watched.graph, &watched.usage, window, &watched.world.cluster, &config);
    let findings = diagnose_with(&watched.graph.snapshot(window, watched.world.now), &seen, &config);
    let sentence = findings[0].cause.sentence();
    assert!(
        matches!(&findings[0].cause, Cause::Pressure { lack: Lack::Memory, .. }),
        "{sentence}"
    );
    assert!(
        sentence.contains("container other had a process killed for want of memory"),
        "{sentence}"
    );
}

#[test]
fn memory_is_judged_by_what_is_no_longer_killed() {
    let world = small();
    let made = decide(&world, &[lacking(Lack::Memory, 50, 63)]);
    let from = Timestamp(100_000);
    let judged = |plan: &Plan, verdict: Verdict, kills: u64, last: i64| {
        let mut usage = UsageStore::new(UsageConfig::beside(
            Span::seconds(10),
            Span::seconds(1_800),
            Pace::KUBELETS,
        ));
        for pod in world.cluster.pods_of(&id("back")) {
            for (at, kills) in [(90_000, 0), (110_000, 0), (last, kills)] {
                usage.absorb(Reading {
                    pod: pod.uid.clone(),
                    container: "app".into(),
                    at: Timestamp(at),
                    started: Some(Timestamp(0)),
                    counters: Counters {
                        kills: Some(kills),
                        ..Counters::default()
                    },
                    working_set: Bytes(80 * MEBI),
                });
            }
        }
        let window = Window {
            from: Timestamp(0),
            to: Timestamp(200_000),
        };
        let config = PressureConfig::default();
        eased(verdict, plan, &usage.window(window), &world.cluster, from, &config)
    };
    assert_eq!(judged(&made, Verdict::Unchanged, 0, 130_000), Verdict::Eased);
    assert_eq!(judged(&made, Verdict::Unchanged, 1, 130_000), Verdict::Unchanged);
    assert_eq!(judged(&made, Verdict::Improved, 0, 130_000), Verdict::Improved);
    let cpu = decide(&world, &[lacking(Lack::CpuShare, 400, 10)]);
    assert_eq!(judged(&cpu, Verdict::Unchanged, 0, 130_000), Verdict::Unchanged);
}

proptest! {
    /// Laws of every plan that gives memory or a larger share: nothing shrinks, nothing is above its ceiling, only one figure changes
    /// (with what goes with it), the class stays, and equal input gives an equal plan.
    #[test]
    fn whatever_is_found_the_laws_hold(
        memory in any::<bool>(), guaranteed in any::<bool>(), request in 10_u64..2_000, limit in proptest::option::of(10_u64..3_000),
        asked in 1_u64..500, may in 1_u64..1_000, cpu_peak in 0_u64..4_000, held in 0_u64..2_000, ceiling in 0_u64..4_000,
    ) {
        let limits = if guaranteed { compute(Some(request), Some(may)) } else { compute(limit.map(|it| it.max(request)), Some(may)) };
        let requests = if guaranteed { limits } else { compute(Some(request), Some(asked.min(may))) };
        let mut world = shop(requests, limits);
        policy(&mut world.cluster, |it| {
            it.max_memory = Bytes(ceiling * MEBI);
            it.max_cpu = Millicores(ceiling);
        });
        let lack = if memory { Lack::Memory } else { Lack::CpuShare };
        let finding = [lacking(lack, cpu_peak, held)];
        let made = decide(&world, &finding);
        prop_assert_eq!(&made, &decide(&world, &finding));
        prop_assert!(!made.actions.is_empty() || !made.refusals.is_empty(), "neither done nor refused");
        let class = |of: &Sizing| of.limits.cpu.is_some() && of.limits.memory.is_some() && of.requests == of.limits;
        for action in &made.actions {
            let Action::Resize { from, to, .. } = action else { continue };
            prop_assert_eq!(class(from), class(to), "{:?} to {:?}", from, to);
            prop_assert!(to.requests.cpu >= from.requests.cpu && to.limits.memory > from.limits.memory || !memory);
            prop_assert_eq!(to.limits.cpu, from.limits.cpu);
            if memory {
                prop_assert!(to.limits.memory.unwrap().0 <= ceiling * MEBI);
                prop_assert_eq!(to.requests.cpu, from.requests.cpu);
            } else {
                prop_assert!(to.requests.cpu > from.requests.cpu && to.requests.cpu.unwrap().0 <= ceiling);
                prop_assert_eq!((to.limits, to.requests.memory), (from.limits, from.requests.memory));
            }
        }
    }
}

#[test]
fn what_was_counted_before_a_resize_is_lacked_no_longer() {
    let label = |resized: bool| {
        let mut world = World::new(1, 1, 4_000);
        world.deploy("front", 100, &[0]);
        world.deploy("back", 100, &[0, 0]);
        world.calls("front", "back", 60.0);
        let mut watched = Watched::new(world);
        watched.run(120);
        watched.stop(&id("back"), &[0, 1], "app", 0.40);
        watched.run(60);
        watched.world.stops.clear();
        let now = watched.world.now;
        let containers = watched
            .world
            .cluster
            .pods
            .values_mut()
            .flat_map(|pod| &mut pod.containers);
        containers.for_each(|container| container.resized = resized.then_some(now));
        watched.run(30);
        let (window, config) = (watched.window(120), DiagnoseConfig::default());
        let seen = Seen::of(&watched.graph, &watched.usage, window, &watched.world.cluster, &config);
        let snapshot = watched.graph.snapshot(window, watched.world.now);
        diagnose_with(&snapshot, &seen, &config)[0].cause.label()
    };
    assert_eq!((label(false), label(true)), ("pressure", "notDistance"));
}
