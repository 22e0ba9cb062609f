//! Stories of why a plan comes now.

mod world;

use huddle_core::cluster::{RoutingMode, Used};
use huddle_core::id::EdgeId;
use huddle_core::plan::{Action, Expected, Faded, Plan, PlanKind, PlannerConfig, Trigger, Watch};
use huddle_core::time::Timestamp;
use huddle_core::units::{Bytes, Micros, Millicores, Ratio};
use world::{World, id, planned};

const NOTHING: [Trigger; 0] = [];

fn edge() -> EdgeId {
    EdgeId {
        source: id("front"),
        destination: id("back"),
    }
}

/// Callers and callees on the same two nodes, others beside them.
fn shop() -> World {
    let mut world = World::new(4, 4, 4000);
    for name in ["front", "back"] {
        world.deploy(name, 100, &[2, 3]);
    }
    for name in ["here", "there"] {
        world.deploy(name, 100, &[0, 1, 2, 3]);
    }
    world.calls("front", "back", 100.0);
    world.calls("here", "there", 20.0);
    for service in world.cluster.services.values_mut() {
        service.routing = RoutingMode::PreferSameNode;
    }
    world
}

/// A plan that moves a pod of back from node-3 to node-0 for the sake of front's calls.
fn about(world: &mut World) -> Plan {
    let snapshot = world.measure(10);
    let none = (Micros(0), Micros(0));
    Plan {
        actions: vec![Action::Move {
            workload: id("back"),
            pod: "uid".into(),
            pod_name: "back-1".to_owned(),
            from: "node-3".into(),
            to: "node-0".into(),
        }],
        expected: vec![Expected {
            edge: edge(),
            local_share_before: Ratio::ZERO,
            local_share_after: Ratio::ONE,
            network_p50_before: Micros(0),
            network_p50: none,
            network_p99_before: Micros(0),
            network_p99: none,
        }],
        ..planned(world, &snapshot)
    }
}

/// A look after a minute of load.
fn look(world: &mut World, watch: &mut Watch) {
    let snapshot = world.measure(60);
    watch.look(&snapshot, &world.cluster, &PlannerConfig::default(), world.now);
}

#[test]
fn where_nothing_has_changed_nothing_is_said() {
    let (mut world, mut watch) = (shop(), Watch::default());
    let plan = about(&mut world);
    for _ in 0..10 {
        look(&mut world, &mut watch);
        assert_eq!(watch.because(&plan), NOTHING);
    }
}

/// What has changed is said of plans that have to do with it, the newest first.
#[test]
fn nodes_that_come_and_go_and_a_workload_that_is_scaled() {
    let (mut world, mut watch) = (shop(), Watch::default());
    let plan = about(&mut world);
    let open = |world: &mut World, node: &str, schedulable: bool| {
        world.cluster.nodes.get_mut(&node.into()).unwrap().schedulable = schedulable;
    };
    open(&mut world, "node-0", false);
    open(&mut world, "node-1", false);
    look(&mut world, &mut watch);
    open(&mut world, "node-0", true);
    open(&mut world, "node-1", true);
    look(&mut world, &mut watch);
    let joined = Trigger::NodeJoined { node: "node-0".into() };
    let because = watch.because(&plan);
    assert_eq!(
        because.as_slice(),
        std::slice::from_ref(&joined),
        "nothing goes to node-1"
    );
    for (name, replicas) in [("back", 5), ("there", 3)] {
        world.cluster.workloads.get_mut(&id(name)).unwrap().replicas = replicas;
    }
    open(&mut world, "node-2", false);
    look(&mut world, &mut watch);
    let scaled = Trigger::Scaled {
        workload: id("back"),
        from: 2,
        to: 5,
    };
    let drained = Trigger::NodeDrained { node: "node-2".into() };
    assert_eq!(
        watch.because(&plan),
        [scaled, drained, joined],
        "there has nothing to do with it"
    );
}

/// Short above the bound, said once, and again only after it was clearly below it.
#[test]
fn a_node_whose_pods_use_too_much() {
    let (mut world, mut watch) = (shop(), Watch::default());
    let plan = about(&mut world);
    let mut short = |cpu: u64| {
        let pods = world
            .cluster
            .pods_of(plan.actions[0].workload())
            .cloned()
            .collect::<Vec<_>>();
        let used = Used {
            cpu: Millicores(cpu),
            memory: Bytes(0),
        };
        let there = pods.into_iter().filter(|pod| pod.node == Some("node-3".into()));
        world.cluster.used = there.map(|pod| (pod.uid, used)).collect();
        let before = watch.because(&plan).len();
        look(&mut world, &mut watch);
        (before, watch.because(&plan).len())
    };
    assert_eq!(short(2000), (0, 0));
    assert_eq!(short(3200), (0, 1));
    assert_eq!(short(3300), (1, 1));
    assert_eq!(watch.because(&plan), [Trigger::NodeShort { node: "node-3".into() }]);
}

/// A passing trouble is no level; one that stays is, once.
#[test]
fn an_edge_s_new_level_is_told_once_it_has_stayed() {
    let (mut world, mut watch) = (shop(), Watch::default());
    let plan = about(&mut world);
    let mut slower = |world: &mut World, by: f64, times: usize| {
        world.slower = by;
        for _ in 0..times {
            look(world, &mut watch);
        }
        watch.because(&plan)
    };
    assert_eq!(slower(&mut world, 0.0, 3), NOTHING);
    let since = world.now;
    assert_eq!(slower(&mut world, 8_000.0, 4), NOTHING);
    assert_eq!(slower(&mut world, 0.0, 1), NOTHING, "it went away");
    assert_eq!(slower(&mut world, 8_000.0, 4), NOTHING);
    let told = slower(&mut world, 8_000.0, 1);
    let [
        Trigger::Slower {
            was, is, since: known, ..
        },
    ] = told.as_slice()
    else {
        panic!("{told:?}")
    };
    assert!(is.0 > was.0 + 5_000 && known.0 < since.0, "{told:?}");
    assert_eq!(slower(&mut world, 8_000.0, 10), told, "told once");
}

#[test]
fn words() {
    let node = || "node-3".into();
    let since = Timestamp(1_795_392_300_000);
    let all = [
        Trigger::NodeJoined { node: node() },
        Trigger::NodeDrained { node: node() },
        Trigger::NodeShort { node: node() },
        Trigger::Scaled {
            workload: id("back"),
            from: 2,
            to: 5,
        },
        Trigger::Slower {
            edge: edge(),
            was: Micros(1_600),
            since,
            is: Micros(3_700),
        },
        Trigger::Faded { workload: id("back") },
    ];
    for trigger in &all {
        let json = serde_json::to_value(trigger).unwrap();
        assert_eq!(json["trigger"], trigger.label());
        assert_eq!(serde_json::from_value::<Trigger>(json).unwrap(), *trigger);
    }
    let words: Vec<String> = all.iter().map(Trigger::sentence).collect();
    assert_eq!(words[0], "node-3 joined");
    assert_eq!(words[1], "node-3 takes no more pods");
    assert_eq!(words[2], "the pods on node-3 use more of it than is planned for");
    assert_eq!(words[3], "shop/back was scaled from 2 to 5");
    assert_eq!(
        words[4],
        format!(
            "{} is {} slower at p99 than its level since 2026-11-23 00:05 UTC",
            edge(),
            Micros(2_100)
        )
    );
    assert_eq!(words[5], "a rule for shop/back is of no use any more");
}

/// A withdrawal says so by itself.
#[test]
fn a_rule_of_no_use_is_its_own_reason() {
    let withdrawal = Plan {
        actions: vec![Action::Withdraw {
            workload: id("back"),
            with: None,
            rule: "plan-1-0".to_owned(),
            rule_uid: "uid".to_owned(),
            faded: Faded::Gone,
            faded_since: Timestamp(0),
        }],
        ..about(&mut shop())
    };
    assert_eq!(withdrawal.kind(), PlanKind::Withdrawal);
    assert_eq!(
        Watch::default().because(&withdrawal),
        [Trigger::Faded { workload: id("back") }]
    );
}
