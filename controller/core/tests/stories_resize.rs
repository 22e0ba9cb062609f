//! Pressure to a plan: which pods get how much cpu, and who gets none.

mod world;

use huddle_core::cluster::*;
use huddle_core::diagnose::{Cause, Finding, Lack, LocalEvidence};
use huddle_core::distribution::Distribution;
use huddle_core::graph::Snapshot;
use huddle_core::id::*;
use huddle_core::plan::{Action, PlaceForm, Plan, PlannerConfig, RefusalReason, Unrelieved, plan, saved_now, stands};
use huddle_core::time::Span;
use huddle_core::units::*;
use huddle_core::verify::{EdgeVerdict, Harm, Verdict, VerifyConfig, baseline, edge_verdict, judge};
use proptest::prelude::*;
use std::collections::BTreeMap;
use world::World;
use world::starving::{NOW, decide, limits, nothing_measured, why};

const MEBI: u64 = 1 << 20;

fn id(name: &str) -> WorkloadId {
    WorkloadId::deployment("shop", name)
}

fn edge(from: &str, to: &str) -> EdgeId {
    EdgeId {
        source: id(from),
        destination: id(to),
    }
}

fn container(name: &str, request: u64, limit: Option<u64>) -> Container {
    Container {
        name: name.into(),
        native_sidecar: name == "istio-proxy",
        requests: Compute {
            cpu: Some(Millicores(request)),
            memory: Some(Bytes(64 * MEBI)),
        },
        limits: Compute {
            cpu: limit.map(Millicores),
            memory: limit.map(|_| Bytes(64 * MEBI)),
        },
        restarts_for_cpu: false,
        restarts_for_memory: false,
        at_start: None,
        killed: None,
        resized: None,
    }
}

/// A front and a back of three pods on three of four nodes, each with a sidecar.
fn shop(request: u64, limit: u64) -> World {
    let mut world = World::new(4, 2, 4_000);
    world.deploy("front", 100, &[0]);
    world.deploy("back", request + 100, &[1, 2, 3]);
    for pod in world.cluster.pods.values_mut() {
        pod.containers = vec![
            container("app", request, Some(limit)),
            container("istio-proxy", 100, None),
        ];
    }
    world
}

/// `back` is stopped by its limit in this share of the periods.
fn pressed(share: f64, limit: u64, peak: u64) -> Finding {
    Finding {
        edge: edge("front", "back"),
        cause: Cause::Pressure {
            container: "app".into(),
            lack: Lack::CpuLimit,
            share: Ratio::clamped(share),
            pods: 3,
            pods_seen: 3,
            cpu_used: Millicores(peak / 2),
            cpu_peak: Millicores(peak),
            cpu_limit: Some(Millicores(limit)),
            memory_peak: Bytes(MEBI),
            memory_limit: None,
            served_p50: Micros(2_000),
            served_p99: Micros(80_000),
            calm_p99: Some(Micros(9_000)),
        },
        cost: 1.5,
    }
}

fn far() -> Finding {
    Finding {
        edge: edge("back", "front"),
        cause: Cause::Distance {
            network_share: Ratio::clamped(0.6),
            local_p50: Micros(400),
            local_p99: Micros(700),
            remote_p50: Micros(1_600),
            remote_p99: Micros(3_000),
            local_requests: 2_000,
            remote_requests: 2_000,
            saved_p50_at_least: Micros(1_000),
            local_evidence: LocalEvidence::Own,
        },
        cost: 0.5,
    }
}

#[test]
fn a_starved_workload_gets_a_rule_for_pods_to_come_and_then_its_pods_one_by_one() {
    let plan = decide(&shop(100, 200), &[pressed(0.3, 200, 150)]);
    let kinds: Vec<_> = plan.actions.iter().map(Action::label).collect();
    assert_eq!(kinds, ["size", "resize", "resize", "resize"]);
    assert_eq!(
        limits(&plan),
        [1_040; 4],
        "200m × ln 0.002 ÷ ln 0.3, within eight times"
    );
    for action in &plan.actions {
        let Action::Resize { from, to, .. } = action else {
            continue;
        };
        assert_eq!(to.requests, from.requests, "Burstable: what it asks for stays");
        assert_eq!(to.limits.memory, from.limits.memory);
    }
    assert_eq!(plan.pods_restarted, 0);
    assert!(plan.resizes() && plan.saved > 1.4, "{}", plan.saved);
    let [relief] = plan.relief.as_slice() else {
        panic!("{:?}", plan.relief)
    };
    assert_eq!(relief.served_p99.0, Micros(9_000));
    assert!(relief.served_p99.1 < Micros(13_000), "{:?}", relief.served_p99);
    assert!(relief.throttled_after.get() < 0.011);
    let sentence = plan.actions.iter().map(Action::sentence).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(sentence, @r"
    From now on, container app in new pods of shop/back comes with at least a cpu limit of 1040m; the template stays as it is.
    Give container app in one pod of shop/back (back-00002) a cpu limit of 1040m (today 200m), in place: nothing is restarted unless its resizePolicy says so.
    Give container app in one pod of shop/back (back-00003) a cpu limit of 1040m (today 200m), in place: nothing is restarted unless its resizePolicy says so.
    Give container app in one pod of shop/back (back-00004) a cpu limit of 1040m (today 200m), in place: nothing is restarted unless its resizePolicy says so.
    ");
}

#[test]
fn pressure_comes_before_distance_and_distance_again_when_it_is_relieved() {
    let mut world = shop(100, 200);
    let first = decide(&world, &[far(), pressed(0.2, 200, 150)]);
    assert!(first.resizes());
    assert_eq!(why(&first), ["pressureFirst"]);
    // The same figures once more, when it has been done: nothing is done twice.
    world::carry_out(&mut world, &first);
    let second = decide(&world, &[far(), pressed(0.2, 200, 150)]);
    assert!(!second.resizes(), "{:?}", second.actions);
    assert!(why(&second).contains(&"raised"), "{:?}", why(&second));
}

#[test]
fn one_step_and_the_ceiling_bound_what_is_given() {
    let mut world = shop(100, 200);
    assert_eq!(
        limits(&decide(&world, &[pressed(0.8, 200, 200)])),
        [1_600; 4],
        "one step"
    );
    let policy = world.cluster.policies.get_mut(&"shop".into()).unwrap();
    (policy.max_cpu, policy.cpu_step) = (Millicores(515), 1_000);
    assert_eq!(
        limits(&decide(&world, &[pressed(0.8, 200, 200)])),
        [510; 4],
        "the ceiling"
    );
    for (ceiling, given) in [(205, "ceiling"), (0, "ceiling")] {
        world.cluster.policies.get_mut(&"shop".into()).unwrap().max_cpu = Millicores(ceiling);
        let plan = decide(&world, &[pressed(0.8, 200, 200)]);
        assert_eq!((plan.actions.len(), why(&plan)), (0, vec![given]));
    }
}

#[test]
fn what_a_new_limit_does_is_watched_before_another_is_reckoned_from_it() {
    let later = |seconds| NOW.plus(Span::seconds(seconds));
    let mut world = shop(100, 200);
    let resized = |world: &mut World, at| {
        let pod = world.cluster.pods.values_mut().find(|pod| pod.workload == id("back"));
        pod.unwrap().containers[0].resized = at;
    };
    let at = |world: &World, at| {
        let config = PlannerConfig::default();
        plan(
            &nothing_measured(),
            &[pressed(0.3, 200, 150)],
            &world.cluster,
            &config,
            at,
        )
    };
    resized(&mut world, Some(NOW));
    let early = at(&world, later(29));
    assert_eq!((early.actions.len(), why(&early)), (0, vec!["unsettled"]));
    assert_eq!(limits(&at(&world, later(30))), [1_040; 4], "long enough");
    resized(&mut world, None);
    let pod = world.cluster.pods.values_mut().find(|pod| pod.workload == id("back"));
    pod.unwrap().created = NOW;
    assert_eq!(why(&at(&world, later(29))), ["unsettled"], "a new pod's limit is new");
    assert_eq!(limits(&at(&world, later(30))), [1_040; 4]);
}

#[test]
fn a_guaranteed_pod_stays_so_as_far_as_its_nodes_have_room() {
    let mut world = shop(200, 200);
    for pod in world.cluster.pods.values_mut() {
        pod.containers.truncate(1);
    }
    let plan = decide(&world, &[pressed(0.1, 200, 100)]);
    for action in &plan.actions {
        match action {
            Action::Size { to, .. } => assert_eq!(to.requests.cpu, to.limits.cpu),
            Action::Resize { to, .. } => assert_eq!(to.requests, to.limits),
            Action::Place { .. }
            | Action::Move { .. }
            | Action::Route { .. }
            | Action::Withdraw { .. }
            | Action::Cell { .. }
            | Action::Merge { .. } => {
                panic!("{action:?}")
            }
        }
    }
    assert_eq!(limits(&plan), [540; 4]);

    // 3600m usable, 3160m and its own 300m taken: 140m more for the one pod there.
    let other = world.deploy("other", 3_160, &[2]);
    assert_eq!(limits(&decide(&world, &[pressed(0.1, 200, 100)])), [340; 4]);
    world.pod(&other, 140, "node-2");
    let plan = decide(&world, &[pressed(0.1, 200, 100)]);
    assert_eq!((plan.actions.len(), why(&plan)), (0, vec!["nodeFull"]));
}

#[test]
fn who_is_not_to_be_touched_gets_nothing_and_hears_why() {
    let finding = [pressed(0.3, 200, 150)];
    let refused = |change: &dyn Fn(&mut ClusterView)| {
        let mut world = shop(100, 200);
        change(&mut world.cluster);
        let plan = decide(&world, &finding);
        assert!(plan.actions.is_empty(), "{:?}", plan.actions);
        plan
    };
    let policy = |cluster: &mut ClusterView, change: &dyn Fn(&mut NamespacePolicy)| {
        change(cluster.policies.get_mut(&"shop".into()).unwrap());
    };
    let workload = |cluster: &mut ClusterView, change: &dyn Fn(&mut Workload)| {
        change(cluster.workloads.get_mut(&id("back")).unwrap());
    };
    let plan = refused(&|cluster| policy(cluster, &|it| it.automation = Automation::Observe));
    assert_eq!(why(&plan), ["observeOnly"]);
    let plan = refused(&|cluster| policy(cluster, &|it| it.may_act = false));
    assert_eq!(why(&plan), ["noRight"]);
    let plan = refused(&|cluster| policy(cluster, &|it| it.form = PlaceForm::Template));
    assert_eq!(why(&plan), ["templates"]);
    let plan = refused(&|cluster| workload(cluster, &|it| it.opted_out = true));
    assert_eq!(why(&plan), ["optedOut"]);
    let plan = refused(&|cluster| workload(cluster, &|it| it.rolling = true));
    assert_eq!(why(&plan), ["rolling"]);
    for owner in [
        CpuOwner::Horizontal("back".to_owned()),
        CpuOwner::Vertical("back".to_owned()),
    ] {
        let plan = refused(&|cluster| workload(cluster, &|it| it.cpu_owner = Some(owner.clone())));
        assert_eq!(why(&plan), ["cpuOwned"]);
        let RefusalReason::Unrelieved {
            why: Unrelieved::CpuOwned { wanted, .. },
        } = &plan.refusals[0].reason
        else {
            panic!("{:?}", plan.refusals)
        };
        assert_eq!(*wanted, Millicores(1_040), "the figure is shown all the same");
    }
    let restarts = |cluster: &mut ClusterView| {
        for container in cluster.pods.values_mut().flat_map(|pod| &mut pod.containers) {
            container.restarts_for_cpu = true;
        }
    };
    assert_eq!(why(&refused(&restarts)), ["restarts"]);
    let mut world = shop(100, 200);
    restarts(&mut world.cluster);
    world.cluster.policies.get_mut(&"shop".into()).unwrap().resize_restarts = true;
    let plan = decide(&world, &finding);
    assert_eq!((plan.actions.len(), plan.pods_restarted), (4, 3));
}

#[test]
fn a_proposal_stands_while_figures_waver_and_falls_when_the_pressure_or_a_pod_goes() {
    let world = shop(100, 200);
    let (snapshot, config) = (nothing_measured(), PlannerConfig::default());
    let old = decide(&world, &[pressed(0.3, 200, 150)]);
    let stays = |world: &World, findings: &[Finding]| {
        let new = decide(world, findings);
        let saved = saved_now(&old, &snapshot, findings, &world.cluster, &config).unwrap();
        stands(&old, saved, &new, Ratio::clamped(0.1), &world.cluster)
    };
    assert!(stays(&world, &[pressed(0.34, 200, 160)]));
    assert!(!stays(&world, &[]), "the pressure is gone");
    let mut fewer = shop(100, 200);
    let first = fewer.cluster.pods.keys().nth(1).cloned().unwrap();
    fewer.cluster.pods.remove(&first);
    assert!(!stays(&fewer, &[pressed(0.3, 200, 150)]));
    let mut owned = shop(100, 200);
    owned.cluster.workloads.get_mut(&id("back")).unwrap().cpu_owner = Some(CpuOwner::Vertical("vpa".to_owned()));
    assert!(!stays(&owned, &[pressed(0.3, 200, 150)]));
}

/// The boutique, in which something is known to happen to `currency`, and the plan that gives it cpu.
fn decided() -> (World, Plan) {
    let mut world = world::boutique(4.0);
    for pod in world.cluster.pods.values_mut() {
        pod.containers = vec![container("app", 100, Some(200)), container("istio-proxy", 100, None)];
    }
    let mut finding = pressed(0.3, 200, 150);
    finding.edge = edge("frontend", "currency");
    let plan = decide(&world, &[finding]);
    assert!(plan.resizes());
    (world, plan)
}

/// The same traffic with this share of the calls to `currency` stopped for 40 ms.
fn stopped(snapshot: &Snapshot, share: f64) -> Snapshot {
    let late = |served: &Distribution| {
        let mut then = Distribution::default();
        let mut due = 0.0;
        for (at, count) in served.buckets() {
            due += count as f64 * share;
            let stopped = due as u64;
            due -= stopped as f64;
            then.add(Micros(at.0 + 40_000), stopped);
            then.add(at, count - stopped);
        }
        then
    };
    let mut snapshot = snapshot.clone();
    for (_, stats) in snapshot
        .edges
        .iter_mut()
        .filter(|(edge, _)| edge.destination == id("currency"))
    {
        stats.total.served = late(&stats.total.served);
        for pair in &mut stats.pairs {
            pair.exchange.served = late(&pair.exchange.served);
        }
    }
    snapshot
}

#[test]
fn served_time_is_what_a_resize_is_judged_by() {
    let (mut world, plan) = decided();
    let config = VerifyConfig {
        requests: 2_000,
        ..VerifyConfig::default()
    };
    let (before, after) = (world.measure(60), world.measure(60));
    let verdict = |before: &Snapshot, after: &Snapshot| judge(before, after, &plan, &world.cluster, &config, world.now);
    assert_eq!(baseline(&before, &plan, &config), None);
    assert_eq!(verdict(&stopped(&before, 0.3), &after), Verdict::Improved);
    assert_eq!(
        verdict(&stopped(&before, 0.03), &after),
        Verdict::Improved,
        "only the tail shows it"
    );
    assert_eq!(verdict(&before, &after), Verdict::Unchanged, "A/A");
    assert_eq!(
        verdict(&stopped(&before, 0.3), &stopped(&after, 0.3)),
        Verdict::Unchanged,
        "A/A under pressure"
    );
    let harm = verdict(&before, &stopped(&after, 0.3));
    assert!(
        matches!(&harm, Verdict::Regressed { harm: Harm::Served { edge: slow, .. } } if *slow == edge("frontend", "currency")),
        "{harm:?}"
    );
    let near = edge("frontend", "currency");
    let own = edge_verdict(
        &plan,
        &stopped(&before, 0.3).edges[&near],
        after.edges.get(&near),
        &config,
    );
    assert_eq!(own, EdgeVerdict::Improved);
}

/// By how much the plan raises the requests of a pod.
fn raised(plan: &Plan, pod: &Pod) -> u64 {
    let of = |action: &Action| {
        let Action::Resize { pod: uid, from, to, .. } = action else {
            return None;
        };
        (*uid == pod.uid).then(|| to.requests.cpu.unwrap().0 - from.requests.cpu.unwrap().0)
    };
    plan.actions.iter().filter_map(of).sum()
}

proptest! {
    /// Laws of every plan that gives cpu: no limit shrinks, none is above the ceiling or one step, the QoS class stays, raised
    /// requests leave a tenth of each node free, and equal input gives an equal plan.
    #[test]
    fn whatever_is_found_the_laws_hold(
        share in 0.0_f64..1.0, limit in 10_u64..3_000, request in 10_u64..3_000, peak in 0_u64..4_000,
        ceiling in 0_u64..8_000, step in 100_u64..1_000, guaranteed in any::<bool>(),
    ) {
        let request = if guaranteed { limit } else { request.min(limit) };
        let mut world = shop(request, limit);
        if guaranteed {
            world.cluster.pods.values_mut().for_each(|pod| pod.containers.truncate(1));
        }
        let policy = world.cluster.policies.get_mut(&"shop".into()).unwrap();
        (policy.max_cpu, policy.cpu_step) = (Millicores(ceiling), step);
        let finding = [pressed(share, limit, peak)];
        let plan = decide(&world, &finding);
        prop_assert_eq!(&plan, &decide(&world, &finding));
        prop_assert!(!plan.actions.is_empty() || !plan.refusals.is_empty(), "neither done nor refused");
        let class = |sizing: &Sizing| sizing.limits.cpu.is_some() && sizing.requests == sizing.limits;
        for action in &plan.actions {
            let Action::Resize { from, to, .. } = action else { continue };
            let (was, is) = (from.limits.cpu.unwrap().0, to.limits.cpu.unwrap().0);
            prop_assert!(is > was && is <= ceiling && is <= was * step / 100, "{} to {}", was, is);
            prop_assert!(to.requests.cpu <= to.limits.cpu);
            if guaranteed {
                prop_assert!(class(to));
            } else {
                prop_assert_eq!(to.requests, from.requests);
            }
            prop_assert_eq!((to.requests.memory, to.limits.memory), (from.requests.memory, from.limits.memory));
        }
        let mut used: BTreeMap<NodeName, u64> = BTreeMap::new();
        for pod in world.cluster.pods.values() {
            let raised: u64 = raised(&plan, pod);
            if raised > 0 {
                used.insert(pod.node.clone().unwrap(), pod.requests.cpu.0 + raised);
            }
        }
        prop_assert!(used.values().all(|cpu| *cpu <= 3_600), "{:?}", used);
    }
}
