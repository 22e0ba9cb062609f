//! Stories of what keeps pods where they are: their cost, and nodes whose pods already use much.

mod world;

use huddle_core::cluster::{ClusterView, Used};
use huddle_core::diagnose::{Cause, DiagnoseConfig, Finding, Lack, diagnose};
use huddle_core::graph::Snapshot;
use huddle_core::id::{NodeName, WorkloadId};
use huddle_core::plan::{Action, MoveCost, Plan, PlannerConfig, RefusalReason, judged_by_requests, move_costs, plan};
use huddle_core::time::Span;
use huddle_core::units::{Bytes, Micros, Millicores, Ratio};
use world::{World, apart, id, labels, planned};

fn moved(plan: &Plan) -> Vec<&WorkloadId> {
    let moves = plan
        .actions
        .iter()
        .filter(|action| matches!(action, Action::Move { .. }));
    moves.map(Action::workload).collect()
}

fn reason(plan: &Plan) -> Option<&RefusalReason> {
    let found = plan.refusals.iter().find(|refusal| refusal.workload == id("back"));
    found.map(|refusal| &refusal.reason)
}

fn costs(world: &World, snapshot: &Snapshot, plan: &Plan) -> Vec<MoveCost> {
    let findings = diagnose(snapshot, &DiagnoseConfig::default());
    move_costs(plan, snapshot, &findings, &world.cluster, &PlannerConfig::default())
}

/// What each pod uses, by a figure for each.
fn told(cluster: &mut ClusterView, used: impl Fn(&WorkloadId) -> u64) {
    let told = cluster.pods.values().map(|pod| {
        let used = Used {
            cpu: Millicores(used(&pod.workload)),
            memory: Bytes(64 << 20),
        };
        (pod.uid.clone(), used)
    });
    cluster.used = told.collect();
}

#[test]
fn who_is_dear_to_move_stays_and_the_other_comes() {
    let mut world = apart();
    let snapshot = world.measure(30);
    // Its pods are slow for months after they are ready; its callers are called by nobody, so nobody waits for them.
    world.cluster.workloads.get_mut(&id("back")).unwrap().warm_up = Some(Span::seconds(10_000_000));
    let plan = planned(&world, &snapshot);
    let moved = moved(&plan);
    assert!(
        !moved.is_empty() && moved.iter().all(|moved| **moved == id("front")),
        "{:?}",
        plan.actions
    );
}

#[test]
fn what_is_not_paid_back_in_time_is_refused() {
    let mut world = apart();
    let snapshot = world.measure(30);
    for name in ["front", "back"] {
        world.cluster.workloads.get_mut(&id(name)).unwrap().warm_up = Some(Span::seconds(10_000_000));
    }
    // The caller can be moved by nobody, so the callee would have to come.
    world.cluster.workloads.get_mut(&id("front")).unwrap().opted_out = true;
    let plan = planned(&world, &snapshot);
    assert!(moved(&plan).is_empty(), "{:?}", plan.actions);
    let day = Span::seconds(24 * 3600);
    assert_eq!(reason(&plan), Some(&RefusalReason::Costly { payback: day }));
    // Whoever looks further ahead moves it all the same.
    world.cluster.policies.get_mut(&"shop".into()).unwrap().payback = Span::seconds(10_000_000_000);
    assert!(!moved(&planned(&world, &snapshot)).is_empty());
}

#[test]
fn the_parts_of_a_cost_add_up_and_are_said() {
    let mut world = World::new(4, 4, 4000);
    world.deploy("front", 100, &[0]);
    world.deploy("back", 100, &[2]);
    world.deploy("here", 100, &[0, 1, 2, 3]);
    world.deploy("there", 100, &[0, 1, 2, 3]);
    world.calls("front", "back", 100.0);
    world.calls("here", "there", 20.0);
    world.cluster.workloads.get_mut(&id("front")).unwrap().opted_out = true;
    for pod in world.cluster.pods.values_mut().filter(|pod| pod.workload == id("back")) {
        pod.labels.extend(labels(&[("huddle.dev/gen", "plan-1")]));
        pod.start_up = Some(Span::seconds(12));
    }
    world.cluster.workloads.get_mut(&id("back")).unwrap().warm_up = Some(Span::seconds(300));
    let snapshot = world.measure(30);
    let plan = planned(&world, &snapshot);
    assert_eq!(moved(&plan), [&id("back")], "{:?}", plan.refusals);
    let costs = costs(&world, &snapshot, &plan);
    let [one] = costs.as_slice() else { panic!("{costs:?}") };
    let cost = one.cost;
    assert!(cost.restart > 0.0 && cost.alone == cost.restart && cost.recent == cost.restart && cost.warm_up > 0.0);
    let sum = cost.restart + cost.alone + cost.recent + cost.warm_up;
    assert!((cost.total() - sum).abs() < 1e-12);
    assert!(cost.total() < plan.saved, "nothing moves for less than it costs");
    let said = one.sentence();
    assert!(said.starts_with("1 pod of shop/back: "), "{said}");
    assert!(
        said.ends_with("for being slow at first, over 24 h (ready after 12 s, warm 5 min later)"),
        "{said}"
    );
}

#[test]
fn no_node_is_filled_beyond_what_its_pods_may_use() {
    let mut world = apart();
    world.cluster.workloads.get_mut(&id("front")).unwrap().opted_out = true;
    let snapshot = world.measure(30);
    // Of 4000m, pods of here and there use 1400m each, one of back or front 500m: 83 % with both.
    let heavy = |id: &WorkloadId| {
        if ["back", "front"].contains(&id.name.as_str()) {
            500
        } else {
            1400
        }
    };
    told(&mut world.cluster, heavy);
    let plan = planned(&world, &snapshot);
    assert!(
        moved(&plan).iter().all(|moved| **moved != id("back")),
        "{:?}",
        plan.actions
    );
    match reason(&plan) {
        Some(RefusalReason::Headroom {
            resource,
            percent,
            most,
            ..
        }) => {
            assert_eq!((resource.as_str(), *percent, *most), ("cpu", 95, 80));
        }
        other => panic!("{other:?}"),
    }
    // The same by requests alone: the pods ask for little.
    world.cluster.used.clear();
    assert!(!moved(&planned(&world, &snapshot)).is_empty());
    // And where they use as little as they ask for.
    told(&mut world.cluster, |_| 100);
    assert!(!moved(&planned(&world, &snapshot)).is_empty());
}

#[test]
fn where_a_kubelet_tells_nothing_requests_count_and_it_is_said() {
    let mut world = apart();
    world.cluster.workloads.get_mut(&id("front")).unwrap().opted_out = true;
    let snapshot = world.measure(30);
    told(&mut world.cluster, |_| 1400);
    // The kubelets of the callers' nodes tell nothing.
    let dark: Vec<NodeName> = ["node-0", "node-1"].map(NodeName::from).into();
    let there: Vec<_> = world
        .cluster
        .pods
        .values()
        .filter(|pod| pod.node.as_ref().is_some_and(|node| dark.contains(node)))
        .map(|pod| pod.uid.clone())
        .collect();
    world.cluster.used.retain(|pod, _| !there.contains(pod));
    let plan = planned(&world, &snapshot);
    assert!(!moved(&plan).is_empty(), "{:?}", plan.refusals);
    assert_eq!(
        judged_by_requests(&plan, &world.cluster)
            .into_iter()
            .collect::<Vec<_>>(),
        dark
    );
}

/// A callee of two callers, beside the one whose calls are called pressure; that is no reason to take it away from there.
#[test]
fn calls_under_pressure_that_stay_on_their_node_are_not_given_away() {
    let mut world = World::new(4, 4, 4000);
    world.deploy("near", 100, &[2, 3]);
    world.deploy("far", 100, &[0, 1]);
    world.deploy("back", 100, &[2, 3]);
    world.deploy("here", 100, &[0, 1, 2, 3]);
    world.deploy("there", 100, &[0, 1, 2, 3]);
    world.calls("near", "back", 400.0);
    world.calls("far", "back", 40.0);
    world.calls("here", "there", 20.0);
    for name in ["near", "far"] {
        world.cluster.workloads.get_mut(&id(name)).unwrap().opted_out = true;
    }
    let snapshot = world.measure(30);
    let mut findings = diagnose(&snapshot, &DiagnoseConfig::default());
    findings.retain(|finding| finding.edge.source != id("near"));
    let edge = snapshot.edges.keys().find(|edge| edge.source == id("near")).unwrap();
    findings.push(Finding {
        edge: edge.clone(),
        cause: Cause::Pressure {
            container: "app".into(),
            lack: Lack::CpuShare,
            share: Ratio::clamped(0.3),
            pods: 2,
            pods_seen: 2,
            cpu_used: Millicores(100),
            cpu_peak: Millicores(100),
            cpu_limit: None,
            memory_peak: Bytes(0),
            memory_limit: None,
            served_p50: Micros(500),
            served_p99: Micros(1500),
            calm_p99: None,
        },
        cost: 1.0,
    });
    let plan = plan(
        &snapshot,
        &findings,
        &world.cluster,
        &PlannerConfig::default(),
        world.now,
    );
    assert!(
        moved(&plan).iter().all(|moved| **moved != id("back")),
        "{:?}",
        plan.actions
    );
}
