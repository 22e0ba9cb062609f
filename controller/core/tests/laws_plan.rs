//! Laws of plan, over generated clusters with constraints, tight nodes and uneven traffic. The checker of `world::check` and the
//! router of `world` share no code with the planner.

mod world;

use huddle_core::cluster::*;
use huddle_core::diagnose::{DiagnoseConfig, diagnose};
use huddle_core::graph::Snapshot;
use huddle_core::plan::{Action, Plan, PlannerConfig, curve, limited, plan};
use huddle_core::units::Millicores;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::collections::BTreeMap;
use world::check::check;
use world::{World, carry_out, labels};

/// A world, shown by its pods.
struct Generated(World);

impl std::fmt::Debug for Generated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for pod in self.0.cluster.pods.values() {
            writeln!(
                f,
                "{} {:?} {} {:?}",
                pod.name, pod.node, pod.requests.cpu.0, pod.constraints
            )?;
        }
        write!(f, "{:?}", self.0.calls)
    }
}

/// One workload of a generated cluster.
#[derive(Clone, Debug)]
struct Kind {
    replicas: usize,
    cpu: u64,
    obstacle: u8,
    seed: u64,
}

fn kind() -> impl Strategy<Value = Kind> {
    (1_usize..5, 1_u64..8, 0_u8..16, any::<u64>()).prop_map(|(replicas, cpu, obstacle, seed)| Kind {
        replicas,
        cpu: cpu * 50,
        obstacle,
        seed,
    })
}

/// What the workload's pods ask for beyond room.
fn constraints(kind: &Kind, name: &str) -> Constraints {
    let own = Selector {
        labels: labels(&[("app", name)]),
        requirements: Vec::new(),
    };
    let mut constraints = Constraints::default();
    match kind.obstacle {
        0 => constraints.anti_affinity.push(PodTerm {
            selector: own,
            namespaces: None,
            topology_key: "kubernetes.io/hostname".to_owned(),
        }),
        1 => constraints.spread.push(SpreadConstraint {
            selector: own,
            topology_key: "topology.kubernetes.io/zone".to_owned(),
            max_skew: 1,
            hard: true,
            min_domains: 1,
            honors_affinity: true,
            honors_taints: false,
        }),
        2 => constraints.node_selector = labels(&[("topology.kubernetes.io/zone", "zone-0")]),
        3 => constraints.pinned_volumes = true,
        _ => {}
    }
    constraints
}

/// A cluster whose pods stand wherever their constraints let them, by lot.
fn cluster(nodes: usize, zones: usize, cpu: u64, kinds: &[Kind]) -> World {
    let mut world = World::new(nodes, zones, cpu);
    if let Some(node) = world.cluster.nodes.values_mut().last() {
        node.taints.push(Taint {
            key: "dedicated".to_owned(),
            value: String::new(),
            effect: TaintEffect::NoSchedule,
        });
    }
    for (number, kind) in kinds.iter().enumerate() {
        let name = format!("w{number}");
        let workload = world.deploy(&name, kind.cpu, &[]);
        let constraints = constraints(kind, &name);
        for replica in 0..kind.replicas {
            let uid = world.pod(&workload, kind.cpu, "node-0");
            let mut pod = world.cluster.pods.remove(&uid).unwrap();
            pod.constraints = constraints.clone();
            let names: Vec<_> = world.cluster.nodes.keys().cloned().collect();
            let start = (kind.seed >> (replica * 4)) as usize;
            let free = (0..names.len())
                .map(|step| &names[(start + step) % names.len()])
                .find(|name| world::check::admits(&world.cluster, &pod, &world.cluster.nodes[*name]).is_ok());
            if let Some(node) = free.cloned() {
                pod.node = Some(node);
                world.cluster.pods.insert(uid, pod);
            }
        }
        let count = world.cluster.pods_of(&workload).count() as u64;
        let placed = world.cluster.workloads.get_mut(&workload).unwrap();
        (placed.replicas, placed.ready) = (count, count);
        placed.opted_out = kind.obstacle == 4;
        if kind.obstacle == 5 {
            placed.budget = Budget::Allows(1);
        }
        // In every second world kubelets tell what pods use: more or less than they ask for.
        if kinds.first().is_some_and(|first| first.seed % 2 == 0) {
            let told = world.cluster.pods_of(&workload).map(|pod| {
                let used = Used {
                    cpu: Millicores(kind.cpu * (40 + kind.seed % 150) / 100),
                    memory: pod.requests.memory,
                };
                (pod.uid.clone(), used)
            });
            let told: Vec<_> = told.filter(|_| kind.seed % 7 > 0).collect();
            world.cluster.used.extend(told);
        }
    }
    world
}

prop_compose! {
    fn world_and_calls()(nodes in 2_usize..6, zones in 1_usize..4, cpu in 6_u64..20, kinds in prop::collection::vec(kind(), 2..7),
                         calls in prop::collection::vec((0_usize..7, 0_usize..7, 20_u32..120), 1..8), seed in any::<u64>(), cells in any::<bool>()) -> Generated {
        let mut world = cluster(nodes, zones, cpu * 100, &kinds);
        world.dice.0 = seed;
        if let Some(policy) = world.cluster.policies.values_mut().next() {
            policy.cells = cells;
        }
        let mut seen = Vec::new();
        for (from, to, rate) in calls {
            let (from, to) = (from % kinds.len(), to % kinds.len());
            // Calls go to later workloads, so that the world's single pass over them follows the load.
            let (from, to) = (from.min(to), from.max(to));
            if from != to && !seen.contains(&(from, to)) {
                seen.push((from, to));
                world.calls(&format!("w{from}"), &format!("w{to}"), f64::from(rate));
            }
        }
        world.calls.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        Generated(world)
    }
}

fn decide(world: &World, snapshot: &Snapshot) -> Plan {
    let findings = diagnose(snapshot, &DiagnoseConfig::default());
    plan(
        snapshot,
        &findings,
        &world.cluster,
        &PlannerConfig::default(),
        world.now,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_breaks_nothing_and_accounts_for_everything(Generated(mut world) in world_and_calls()) {
        let snapshot = world.measure(20);
        let plan = decide(&world, &snapshot);
        prop_assert!(check(&world.cluster, &plan).is_ok(), "{:?}\n{:#?}", check(&world.cluster, &plan), plan);
        for finding in diagnose(&snapshot, &DiagnoseConfig::default()).iter().filter(|finding| finding.cost > 0.0) {
            let acted = plan.expected.iter().any(|expected| expected.edge == finding.edge);
            let refused = plan.refusals.iter().any(|refusal| {
                refusal.workload == finding.edge.destination && refusal.with.as_ref() == Some(&finding.edge.source)
            });
            prop_assert!(acted != refused, "{}: acted on {}, refused {}", finding.edge, acted, refused);
        }
        for spread in &plan.spread {
            prop_assert!(spread.nodes_after >= spread.nodes_before && spread.zones_after >= spread.zones_before);
        }
        for expected in &plan.expected {
            prop_assert!(expected.local_share_after > expected.local_share_before);
            prop_assert!(expected.network_p50.0 <= expected.network_p50.1 && expected.network_p99.0 <= expected.network_p99.1);
        }
        prop_assert_eq!(&plan, &decide(&world, &snapshot));
        let (mut reversed, config) = (diagnose(&snapshot, &DiagnoseConfig::default()), PlannerConfig::default());
        reversed.reverse();
        prop_assert_eq!(&plan, &huddle_core::plan::plan(&snapshot, &reversed, &world.cluster, &config, world.now));
    }

    /// More moves never gain less, and no plan makes more of them than it may. The order in which pairs of pods were measured is
    /// irrelevant. Each plan is checked.
    #[test]
    fn more_moves_never_gain_less(Generated(mut world) in world_and_calls(), limits in prop::collection::vec(0_u64..12, 2..4)) {
        let mut limits = limits;
        limits.sort_unstable();
        let mut snapshot = world.measure(20);
        let findings = diagnose(&snapshot, &DiagnoseConfig::default());
        let config = PlannerConfig::default();
        let mut before = 0.0;
        for (limit, plan) in curve(&snapshot, &findings, &world.cluster, &config, limits) {
            prop_assert!(plan.saved >= before, "{} moves save {}, fewer save {}", limit, plan.saved, before);
            prop_assert!(plan.pods_restarted <= limit);
            let limited = limited(&world.cluster, limit);
            prop_assert!(check(&limited, &plan).is_ok(), "{:?}", check(&limited, &plan));
            before = plan.saved;
        }
        let straight = decide(&world, &snapshot);
        snapshot.edges.values_mut().for_each(|edge| edge.pairs.reverse());
        prop_assert_eq!(straight, decide(&world, &snapshot));
    }

    /// After the plan no pod of a locally routed workload gets more than 1.3 × its share, as the world's own router counts it,
    /// but for chance (four standard deviations of a Poisson count).
    #[test]
    fn no_pod_is_overloaded_by_local_routing(Generated(mut world) in world_and_calls()) {
        let snapshot = world.measure(20);
        let plan = decide(&world, &snapshot);
        carry_out(&mut world, &plan);
        let after = world.measure(20);
        for action in &plan.actions {
            let Action::Route { workload, .. } = action else { continue };
            let mut load: BTreeMap<_, u64> = world.cluster.pods_of(workload).map(|pod| (pod.uid.clone(), 0)).collect();
            for pair in after.edges_into(workload).flat_map(|edge| &edge.pairs) {
                *load.get_mut(&pair.callee).unwrap() += pair.exchange.requests;
            }
            let share = load.values().sum::<u64>() as f64 / load.len() as f64;
            let most = *load.values().max().unwrap() as f64;
            prop_assert!(load.len() >= 2);
            prop_assert!(most <= 1.3 * share + 4.0 * (1.3 * share).sqrt() + 2.0, "{}: {:?}\n{:#?}", workload, load, plan);
        }
    }

    /// The inverse of every action brings the layout and the routing back.
    #[test]
    fn a_plan_can_be_undone(Generated(mut world) in world_and_calls()) {
        let snapshot = world.measure(20);
        let plan = decide(&world, &snapshot);
        let layout = |world: &World| -> Vec<_> {
            let mut layout: Vec<_> = world.cluster.pods.values().map(|pod| (pod.workload.clone(), pod.node.clone())).collect();
            layout.sort();
            layout
        };
        let (before, services) = (layout(&world), world.cluster.services.clone());
        carry_out(&mut world, &plan);
        for action in plan.actions.iter().rev() {
            match action {
                Action::Place { .. } | Action::Cell { .. } | Action::Merge { .. } => {}
                Action::Move { workload, from, to, .. } => {
                    let pod = world.cluster.pods_of(workload).find(|pod| pod.node.as_ref() == Some(to)).unwrap().uid.clone();
                    world.relocate(&pod, from);
                }
                Action::Route { service, from, .. } => world.cluster.services.get_mut(service).unwrap().routing = *from,
                Action::Size { .. } | Action::Resize { .. } | Action::Withdraw { .. } => panic!("nothing is starved here"),
            }
        }
        prop_assert_eq!(layout(&world), before);
        prop_assert_eq!(&world.cluster.services, &services);
    }
}

/// A generated world really does plan something, often, so that the laws are not empty.
#[test]
fn the_laws_see_plans() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let planned = (0..40)
        .filter(|_| {
            let Generated(mut world) = world_and_calls().new_tree(&mut runner).unwrap().current();
            let snapshot = world.measure(20);
            decide(&world, &snapshot).pods_restarted > 0
        })
        .count();
    assert!(planned >= 8, "{planned} of 40 moved something");
}
