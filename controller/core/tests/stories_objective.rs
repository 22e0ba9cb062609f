//! Stories and laws of what a plan is to bring: waiting saved, calls kept on their node, money saved between zones.

mod world;

use huddle_core::cluster::{ClusterView, NamespacePolicy};
use huddle_core::diagnose::{DiagnoseConfig, diagnose};
use huddle_core::graph::Snapshot;
use huddle_core::plan::{Action, Brings, Objective, Plan, PlannerConfig, Term, ZonePrice, explain, plan, valued};
use proptest::prelude::*;
use world::check::check;
use world::{World, boutique, id};

/// Every request of this size, its answer included.
fn with_bytes(mut snapshot: Snapshot, of: impl Fn(&str, &str) -> u64) -> Snapshot {
    for stats in snapshot.edges.values_mut() {
        let each = of(&stats.edge.source.name, &stats.edge.destination.name);
        stats.total.response_bytes = each * stats.total.requests;
    }
    snapshot
}

fn plan_for(cluster: &ClusterView, snapshot: &Snapshot) -> (Plan, Vec<Term>) {
    let findings = diagnose(snapshot, &DiagnoseConfig::default());
    let config = PlannerConfig::default();
    let plan = plan(snapshot, &findings, cluster, &config, snapshot.at);
    let (terms, _) = explain(&plan, snapshot, &findings, cluster, &config).unwrap();
    (plan, terms)
}

fn brought(terms: &[Term]) -> Brings {
    terms.iter().map(|term| term.brings).sum()
}

fn moved(plan: &Plan) -> Vec<&str> {
    let mut moved: Vec<&str> = plan
        .actions
        .iter()
        .filter(|action| matches!(action, Action::Move { .. }))
        .map(|action| action.workload().name.as_str())
        .collect();
    moved.dedup();
    moved
}

/// Two callers, one in each zone, and a callee with a pod on another node of each.
fn apart() -> (World, Snapshot) {
    let mut world = World::new(4, 2, 2000);
    world.deploy("east", 200, &[0, 0]);
    world.deploy("west", 200, &[1, 1]);
    world.deploy("store", 400, &[2, 3]);
    world.calls("east", "store", 40.0);
    world.calls("west", "store", 40.0);
    // What it is to have somebody on the own node is known from others.
    world.deploy("here", 100, &[0, 1, 2, 3]);
    world.deploy("there", 100, &[0, 1, 2, 3]);
    world.calls("here", "there", 20.0);
    let snapshot = with_bytes(world.measure(60), |_, to| if to == "store" { 1_000_000 } else { 0 });
    (world, snapshot)
}

#[test]
fn money_needs_the_zone_where_waiting_wants_the_node() {
    let (world, snapshot) = apart();
    let (waiting, _) = plan_for(&world.cluster, &snapshot);
    let cluster = valued(&world.cluster, &Objective::of(0, 0, 1));
    let (money, terms) = plan_for(&cluster, &snapshot);
    for plan in [&waiting, &money] {
        check(&world.cluster, plan).unwrap();
        let routed = plan.actions.iter().any(|action| matches!(action, Action::Route { .. }));
        assert!(routed, "{:?} {:?}", plan.actions, plan.refusals);
    }
    assert!(!moved(&waiting).is_empty());
    assert_eq!(moved(&money), [] as [&str; 0]);
    // 80 calls a second of 1 MB, half of them across: 144 GB in an hour, at 0.02 each.
    assert!((money.saved - 2.88).abs() < 0.01, "{}", money.saved);
    assert_eq!(money.saved, brought(&terms).money);
    assert_eq!(money.expected.len(), 2);
}

#[test]
fn where_no_waiting_is_known_to_be_saved_money_may_be() {
    // Nobody is on the own node of anybody: what that would save is not known, but what the bytes cost is.
    let mut world = World::new(4, 2, 2000);
    world.deploy("front", 200, &[0, 2]);
    world.deploy("back", 200, &[1, 3]);
    world.calls("front", "back", 3.0);
    let snapshot = with_bytes(world.measure(60), |_, _| 500_000);
    let (waiting, _) = plan_for(&world.cluster, &snapshot);
    let cluster = valued(&world.cluster, &Objective::of(0, 0, 10));
    let (money, terms) = plan_for(&cluster, &snapshot);
    check(&cluster, &money).unwrap();
    assert_eq!((waiting.actions, waiting.saved), (Vec::new(), 0.0));
    assert!(brought(&terms).money > 0.0, "{:?}", money.refusals);
    // 3 calls a second of 0.5 MB are 5.4 GB in an hour, at 0.02 each, and not more than all of it can be saved.
    assert!(money.saved <= 10.0 * 5.4 * 0.02 + 1e-6, "{}", money.saved);
}

#[test]
fn a_pair_of_zones_may_have_its_own_price() {
    let objective = Objective {
        prices: vec![ZonePrice {
            zones: ("zone-1".into(), "zone-0".into()),
            thousandths_per_gb: 0,
        }],
        ..Objective::of(0, 0, 1)
    };
    let (near, far) = ("zone-0".into(), "zone-1".into());
    assert_eq!(
        [objective.price(&near, &far), objective.price(&near, &near)],
        [0.0, 0.0]
    );
    assert_eq!(objective.price(&near, &"zone-2".into()), 0.02);
    let (world, snapshot) = apart();
    let mut cluster = world.cluster.clone();
    let policy = cluster.policies.entry("shop".into()).or_default();
    policy.objective = objective;
    let (plan, _) = plan_for(&cluster, &snapshot);
    assert_eq!((plan.actions, plan.saved), (Vec::new(), 0.0));
}

#[test]
fn without_an_objective_waiting_is_what_counts() {
    let mut world = boutique(4.0);
    let snapshot = with_bytes(world.measure(60), |_, _| 10_000);
    let (silent, terms) = plan_for(&world.cluster, &snapshot);
    let (said, _) = plan_for(&valued(&world.cluster, &Objective::of(1, 0, 0)), &snapshot);
    assert_eq!(silent, said);
    assert!(!moved(&silent).is_empty());
    let latency: f64 = terms.iter().map(|term| term.brings.latency).sum();
    assert!((latency - silent.saved).abs() < 1e-9);
    assert_eq!(NamespacePolicy::default().objective, Objective::of(1, 0, 0));
}

#[test]
fn calls_kept_on_their_node_count_where_traffic_is_wanted() {
    let mut world = boutique(4.0);
    let snapshot = world.measure(60);
    let cluster = valued(&world.cluster, &Objective::of(0, 1, 0));
    let (plan, terms) = plan_for(&cluster, &snapshot);
    check(&cluster, &plan).unwrap();
    let (_, by_waiting) = plan_for(&world.cluster, &snapshot);
    let kept = brought(&terms).traffic;
    assert!((plan.saved - kept / 1000.0).abs() < 1e-9);
    assert!(
        kept >= 0.9 * brought(&by_waiting).traffic,
        "{kept} {:?}",
        brought(&by_waiting)
    );
    assert!(plan.actions.iter().any(|action| action.workload() != &id("frontend")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_parts_of_all_edges_add_up_to_what_the_plan_brings(latency in 0u32..4, traffic in 0u32..4, money in 0u32..40, scale in 2.0f64..20.0) {
        let mut world = boutique(scale);
        let snapshot = with_bytes(world.measure(30), |from, to| (from.len() * to.len() * 1000) as u64);
        let objective = Objective::of(latency, traffic, money);
        let cluster = valued(&world.cluster, &objective);
        let (plan, terms) = plan_for(&cluster, &snapshot);
        prop_assert!(check(&cluster, &plan).is_ok());
        let saved: f64 = terms.iter().map(|term| term.saved).sum();
        prop_assert!((saved - plan.saved).abs() < 1e-6, "{} is not {}", saved, plan.saved);
        prop_assert!((objective.points(brought(&terms)) - plan.saved).abs() < 1e-6);
        for term in &terms {
            prop_assert!((objective.points(term.brings) - term.saved).abs() < 1e-9);
        }
        if objective == Objective::of(0, 0, 0) {
            prop_assert!(plan.actions.is_empty());
        }
    }
}
