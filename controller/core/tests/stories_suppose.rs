//! Stories of what-if and of why: plans explained, and plans under supposed changes.

mod world;

use huddle_core::cluster::ClusterView;
use huddle_core::diagnose::{DiagnoseConfig, Finding, diagnose};
use huddle_core::graph::Snapshot;
use huddle_core::id::{NodeName, WorkloadId, WorkloadKind};
use huddle_core::plan::{
    Action, Change, InvalidChange, Plan, PlannerConfig, RefusalReason, Supposed, explain, limited, suppose,
};
use proptest::prelude::*;
use world::check::check;
use world::{World, boutique, demo, id, planned};

struct Measured {
    world: World,
    snapshot: Snapshot,
    findings: Vec<Finding>,
}

fn measured(mut world: World) -> Measured {
    let snapshot = world.measure(60);
    let findings = diagnose(&snapshot, &DiagnoseConfig::default());
    Measured {
        world,
        snapshot,
        findings,
    }
}

impl Measured {
    fn suppose(&self, changes: &[Change]) -> Result<Supposed, InvalidChange> {
        suppose(&self.world.cluster, &self.snapshot, changes)
    }
    /// The plan under changes, checked against the cluster as it would be.
    fn under(&self, changes: &[Change]) -> (Supposed, Plan) {
        let supposed = self.suppose(changes).unwrap();
        let plan = supposed.plan(&self.findings, &PlannerConfig::default(), self.world.now);
        check(&supposed.cluster, &plan).unwrap();
        let explained = supposed.explain(&plan, &self.findings, &PlannerConfig::default());
        let terms = explained.unwrap().0;
        let sum: f64 = terms.iter().map(|term| term.saved).sum();
        assert!((sum - plan.saved).abs() < 1e-9, "{sum} is not {}", plan.saved);
        (supposed, plan)
    }
}

fn node(name: &str) -> NodeName {
    NodeName::from(name)
}

/// No node has more asked of it than it offers.
fn fits(cluster: &ClusterView) {
    for node in cluster.nodes.values() {
        let cpu: u64 = cluster
            .pods
            .values()
            .filter(|pod| pod.node.as_ref() == Some(&node.name))
            .map(|pod| pod.requests.cpu.0)
            .sum();
        assert!(cpu <= node.allocatable.cpu.0, "{}: {cpu}", node.name);
    }
}

#[test]
fn every_action_has_its_reason_and_the_terms_sum_to_what_is_saved() {
    let Measured {
        world,
        snapshot,
        findings,
    } = measured(boutique(4.0));
    let plan = planned(&world, &snapshot);
    let (terms, whys) = explain(&plan, &snapshot, &findings, &world.cluster, &PlannerConfig::default()).unwrap();
    let sum: f64 = terms.iter().map(|term| term.saved).sum();
    assert!((sum - plan.saved).abs() < 1e-9, "{sum} is not {}", plan.saved);
    assert_eq!(whys.len(), plan.actions.len());
    let told: Vec<String> = plan
        .actions
        .iter()
        .zip(&whys)
        .map(|(action, why)| format!("{}\n  {}: {}", action.sentence(), why.label(), why.sentence()))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn nothing_supposed_is_the_present_plan() {
    let shop = measured(demo(1.0));
    assert_eq!(shop.under(&[]).1, planned(&shop.world, &shop.snapshot));
}

#[test]
fn a_drained_node_s_pods_come_up_elsewhere_and_the_plan_leaves_it_alone() {
    let shop = measured(boutique(4.0));
    let (supposed, plan) = shop.under(&[Change::Drain(node("node-1"))]);
    fits(&supposed.cluster);
    let left = supposed
        .cluster
        .pods
        .values()
        .filter(|pod| pod.node == Some(node("node-1")));
    assert_eq!(left.count(), 0);
    let was = shop
        .world
        .cluster
        .pods
        .values()
        .filter(|pod| pod.node == Some(node("node-1")));
    assert_eq!(supposed.landings.len(), was.count());
    for landing in &supposed.landings {
        assert_eq!(landing.from, Some(node("node-1")));
        assert!(landing.to.is_some(), "{landing:?}");
    }
    let moves = plan.actions.iter().filter_map(|action| match action {
        Action::Move { from, to, .. } => Some([from, to]),
        Action::Place { .. }
        | Action::Route { .. }
        | Action::Size { .. }
        | Action::Resize { .. }
        | Action::Withdraw { .. }
        | Action::Cell { .. }
        | Action::Merge { .. } => None,
    });
    assert!(moves.flatten().all(|at| *at != node("node-1")), "{plan:#?}");
    assert!(plan.saved > 0.0);
}

#[test]
fn pods_that_find_no_room_are_said_to_come_up_nowhere() {
    let mut world = World::new(2, 1, 1000);
    world.deploy("big", 900, &[0, 1]);
    world.deploy("small", 50, &[0]);
    world.calls("small", "big", 10.0);
    let tight = measured(world);
    let (supposed, _) = tight.under(&[Change::Drain(node("node-0"))]);
    fits(&supposed.cluster);
    let landed: Vec<_> = supposed
        .landings
        .iter()
        .map(|landing| (landing.workload.name.as_str(), landing.to.clone()))
        .collect();
    assert_eq!(landed, [("big", None), ("small", Some(node("node-1")))]);
    assert_eq!(supposed.cluster.workloads[&id("big")].ready, 1);
}

#[test]
fn a_new_node_is_empty_but_for_its_daemons_and_gives_room() {
    let mut world = boutique(4.0);
    let mut agent = world.cluster.pods.values().next().unwrap().clone();
    agent.uid = "agent-0".into();
    agent.workload = WorkloadId {
        kind: WorkloadKind::DaemonSet,
        ..id("agent")
    };
    agent.node = Some(node("node-0"));
    world.cluster.pods.insert(agent.uid.clone(), agent);
    let shop = measured(world);
    let (supposed, _) = shop.under(&[Change::AddNode {
        name: node("new"),
        like: Some(node("node-0")),
        zone: Some("zone-1".into()),
    }]);
    let new = &supposed.cluster.nodes[&node("new")];
    assert_eq!(new.zone.as_str(), "zone-1");
    assert_eq!(new.labels["kubernetes.io/hostname"], "new");
    let on: Vec<_> = supposed
        .cluster
        .pods
        .values()
        .filter(|pod| pod.node == Some(node("new")))
        .collect();
    assert_eq!(on.len(), 1);
    assert_eq!(on[0].workload.kind, WorkloadKind::DaemonSet);
}

#[test]
fn replicas_come_and_go() {
    let shop = measured(boutique(4.0));
    let scaled = |replicas| Change::Replicas {
        workload: id("frontend"),
        replicas,
    };
    let (more, plan) = shop.under(&[scaled(4)]);
    fits(&more.cluster);
    assert_eq!(more.cluster.pods_of(&id("frontend")).count(), 4);
    assert_eq!(more.landings.len(), 2);
    assert!(plan.saved > 0.0);
    let calls = |supposed: &Supposed| -> usize {
        let edge = &supposed
            .snapshot
            .edges
            .values()
            .find(|edge| edge.edge.source == id("frontend"))
            .unwrap();
        let callers: std::collections::BTreeSet<_> = edge.pairs.iter().map(|pair| &pair.caller).collect();
        callers.len()
    };
    assert_eq!(calls(&more), 4, "new pods call too");
    let (less, _) = shop.under(&[scaled(1)]);
    assert_eq!(less.cluster.pods_of(&id("frontend")).count(), 1);
    assert_eq!(less.landings.iter().filter(|landing| landing.to.is_none()).count(), 1);
    let (again, _) = shop.under(&[scaled(3), scaled(5)]);
    assert_eq!(again.cluster.pods_of(&id("frontend")).count(), 5);
    let (none, _) = shop.under(&[scaled(0)]);
    assert_eq!(none.cluster.pods_of(&id("frontend")).count(), 0);
}

#[test]
fn a_pinned_workload_is_refused_by_that_name() {
    let shop = measured(boutique(4.0));
    let moved = planned(&shop.world, &shop.snapshot).actions[0].workload().clone();
    let (_, plan) = shop.under(&[Change::Pin(moved.clone())]);
    assert!(
        plan.actions.iter().all(|action| *action.workload() != moved),
        "{plan:#?}"
    );
    assert!(
        plan.refusals
            .iter()
            .any(|refusal| refusal.reason == RefusalReason::OptedOut),
        "{plan:#?}"
    );
}

#[test]
fn a_limit_on_moves_holds_and_a_further_one_gains_no_less() {
    let shop = measured(boutique(4.0));
    let mut best = 0.0;
    for most in [0, 1, 2, 5, 100] {
        let (_, plan) = shop.under(&[Change::MostMoves(most)]);
        assert!(plan.pods_restarted <= most, "{most}: {}", plan.pods_restarted);
        assert!(plan.saved >= best - 1e-9, "{most}: {} after {best}", plan.saved);
        best = plan.saved;
        let cluster = limited(&shop.world.cluster, most);
        let same = huddle_core::plan::plan(
            &shop.snapshot,
            &shop.findings,
            &cluster,
            &PlannerConfig::default(),
            shop.world.now,
        );
        assert_eq!(same, plan);
    }
}

#[test]
fn what_is_not_there_is_named() {
    let shop = measured(boutique(4.0));
    let error = |change| shop.suppose(&[change]).unwrap_err().to_string();
    let agent = WorkloadId {
        kind: WorkloadKind::DaemonSet,
        ..id("agent")
    };
    assert_eq!(error(Change::Drain(node("nowhere"))), "there is no node nowhere");
    assert_eq!(error(Change::Pin(agent)), "there is no workload shop/DaemonSet/agent");
    let add = |name: &str, like: &str| Change::AddNode {
        name: node(name),
        like: Some(node(like)),
        zone: None,
    };
    assert_eq!(error(add("node-1", "node-1")), "there is a node node-1 already");
    assert_eq!(error(add("new", "nowhere")), "there is no node nowhere");
    let many = Change::Replicas {
        workload: id("frontend"),
        replicas: u64::MAX,
    };
    assert!(error(many).contains("at most 10000 can be supposed"));
}

fn change() -> impl Strategy<Value = Change> {
    const NAMES: [&str; 6] = ["frontend", "currency", "catalog", "cart", "redis", "ad"];
    let name = (0..NAMES.len()).prop_map(|ix| id(NAMES[ix]));
    prop_oneof![
        (0..3_u64).prop_map(|number| Change::Drain(node(&format!("node-{number}")))),
        (0..100_u64, 0..4_u64).prop_map(|(fresh, like)| Change::AddNode {
            name: node(&format!("new-{fresh}")),
            like: Some(node(&format!("node-{like}"))),
            zone: None,
        }),
        (name.clone(), 0..7_u64).prop_map(|(workload, replicas)| Change::Replicas { workload, replicas }),
        name.prop_map(Change::Pin),
        (0..9_u64).prop_map(Change::MostMoves),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is supposed: no node is overfull, the plan then breaks nothing and its terms sum to what it saves (see `under`), pods stand on
    /// nodes that exist, and equal changes give equal plans.
    #[test]
    fn whatever_is_supposed_holds(changes in prop::collection::vec(change(), 1..5)) {
        static SHOP: std::sync::OnceLock<Measured> = std::sync::OnceLock::new();
        let shop = SHOP.get_or_init(|| measured(demo(1.0)));
        // The same new node twice, and replicas of what has no pod left, are refused.
        let Ok(_) = shop.suppose(&changes) else { return Ok(()) };
        let (supposed, plan) = shop.under(&changes);
        fits(&supposed.cluster);
        for pod in supposed.cluster.pods.values() {
            prop_assert!(pod.node.as_ref().is_none_or(|node| supposed.cluster.nodes.contains_key(node)));
        }
        prop_assert_eq!(shop.under(&changes).1, plan);
    }
}
